// PouchDB on LevelDB: one of the peers, in one mode, doing one kind of work; as `src/subject.rs` does
// for the others, with the same steps and the same line of JSON in the end.

import fs from 'node:fs';
import path from 'node:path';

import PouchDB from 'pouchdb';
import find from 'pouchdb-find';

PouchDB.plugin(find);

const BATCH = 1000;
const [mode, directory, kind, of] = process.argv.slice(2);
const steps = {};

async function once(step, act) {
  const started = process.hrtime.bigint();
  const done = await act();
  steps[step] = Number(process.hrtime.bigint() - started) / 1e9;
  return done;
}

async function often(step, act) {
  const times = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await once(step, act);
    times.push(steps[step]);
  }
  steps[step] = times.sort((one, other) => one - other)[2];
}

function size(place) {
  const found = fs.statSync(place);
  if (!found.isDirectory()) return found.size;
  return fs.readdirSync(place).reduce((sum, name) => sum + size(path.join(place, name)), 0);
}

function check(what, found, expected) {
  if (found !== expected) throw new Error(`${what}: ${found} instead of ${expected}`);
}

// `bulkDocs` answers with an error for each document that was not written.
async function write(database, documents) {
  const answers = await database.bulkDocs(documents);
  const refused = answers.find((answer) => answer.error);
  if (refused) throw new Error(`not written: ${JSON.stringify(refused)}`);
  return answers;
}

const id = (number) => `bug-${String(number).padStart(8, '0')}`;
const newStatus = (number) => (number % 4 === 1 ? 'closed' : 'assigned');
const listed = (records) =>
  Array.from({ length: records }, (_, number) => number)
    .filter((number) => newStatus(number) === 'closed' && (number % 5) + 1 >= 4).length;

function bug(number) {
  return {
    _id: id(number),
    type: 'bug',
    title: `bug number ${number} that somebody has found`,
    status: 'open',
    owner: `person-${String(number % 50).padStart(2, '0')}@example.org`,
    severity: (number % 5) + 1,
    component: `component ${number % 20}`,
  };
}

async function writeAll(database, documents) {
  const revisions = new Map();
  if (mode === 'each') {
    for (const document of documents) {
      const answer = await database.put(document);
      revisions.set(answer.id, answer.rev);
    }
    return revisions;
  }
  for (let first = 0; first < documents.length; first += BATCH) {
    for (const answer of await write(database, documents.slice(first, first + BATCH))) {
      revisions.set(answer.id, answer.rev);
    }
  }
  return revisions;
}

async function list(database) {
  const found = await database.find({
    selector: { status: 'closed', severity: { $gte: 4 } },
    limit: 1e9,
  });
  if (found.warning) throw new Error(found.warning);
  return found.docs.length;
}

async function records(database, count) {
  const bugs = Array.from({ length: count }, (_, number) => bug(number));
  const revisions = await once('load', () => writeAll(database, bugs));
  const updated = bugs.map((document, number) => ({
    ...document,
    _rev: revisions.get(document._id),
    status: newStatus(number),
  }));
  await once('update', () => writeAll(database, updated));
}

// One edit of the bug tracker: the bug and its new comments, in one call.
async function edit(database, line, number) {
  const comments = [];
  let document;
  if (line.ops[0].op === 'create') document = { _id: line.bug, type: 'bug', edits: 0 };
  else document = await database.get(line.bug);
  line.ops.forEach((operation, index) => {
    switch (operation.op) {
      case 'create':
        Object.assign(document, {
          title: operation.title, status: 'open', reporter: line.author, bytes: operation.bytes,
        });
        break;
      case 'title': document.title = operation.title; break;
      case 'status': document.status = operation.status; break;
      case 'label':
        document.labels = (document.labels ?? [])
          .filter((label) => !operation.removed.includes(label)).concat(operation.added);
        break;
      case 'comment':
        comments.push({
          _id: `comment-${String(number).padStart(6, '0')}-${String(index).padStart(3, '0')}`,
          type: 'comment', bug: line.bug, author: line.author, bytes: operation.bytes,
        });
        break;
      case 'edit-comment': document['edited-bytes'] = operation.bytes; break;
      default: throw new Error(`an operation that is not known: ${operation.op}`);
    }
  });
  document.edits += 1;
  // Who and when is in a changeset elsewhere; here there is only the document.
  document.author = line.author;
  document.time = line.ops[0].time;
  await write(database, [document, ...comments]);
}

const [here, there] = ['a', 'b'].map((name) => path.join(directory, name));
let database = new PouchDB(here);
let one;
if (kind === 'records') {
  await records(database, Number(of));
  one = id(Number(of) - 1);
} else {
  const lines = fs.readFileSync(of, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  one = lines[0].bug;
  await once('load', async () => {
    for (const [number, line] of lines.entries()) await edit(database, line, number);
  });
}
let other = new PouchDB(there);
await once('replicate', () => PouchDB.replicate(database, other));
const [ours, theirs] = [await database.info(), await other.info()];
check('documents at the other', theirs.doc_count, ours.doc_count);
await often('nothing new', () => PouchDB.replicate(database, other));
await database.close();
await other.close();
// Before there is an index, which would count.
steps.bytes = size(here);
steps['bytes of the other'] = size(there);
await often('open', async () => {
  database = new PouchDB(here);
  await database.get(one);
  await database.close();
});
if (kind === 'records') {
  database = new PouchDB(here);
  await once('index', async () => {
    await database.createIndex({ index: { fields: ['status', 'severity'] } });
    check('listed', await list(database), listed(Number(of)));
  });
  await often('list', async () => check('listed', await list(database), listed(Number(of))));
  await database.close();
}
steps.peak = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify(steps));

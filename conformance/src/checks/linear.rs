//! Linearizability. Every commit that succeeds has a version of its own, so the line that there has
//! to be is found by sorting; what is left is whether real time agrees with it, and each page.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_lite::future::block_on;
use prophet_store::{
    Commit, Head, LogScan, MetadataScan, PageLimit, Position, RecordId, RecordKey, RecordScan,
    StoreError,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::child::{Child, heard, told};
use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{Model, Racer, World, metadata_key, record_kind};
use crate::scan::{Scan, page};
use crate::suite::{Context, in_threads, persist};
use harnesses::Store;

/// A page: of which scan, after which place, of how many items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question(pub(crate) usize, pub(crate) usize, pub(crate) usize);

/// A page that came, so that another process can tell it.
#[derive(Debug)]
pub(crate) struct Answer {
    at: Head,
    count: usize,
    more: bool,
    items: String,
}

impl Answer {
    pub(crate) fn told(&self) -> String {
        format!("{} {} {} {}", told(&self.at), self.count, self.more, self.items)
    }

    fn heard(text: &str) -> Outcome<Self> {
        let words: Vec<_> = text.splitn(6, ' ').collect();
        if let [version, position, commit, count, more, items] = words[..]
            && let (Ok(count), Ok(more)) = (count.parse(), more.parse())
        {
            let at = heard(&format!("{version} {position} {commit}"))?;
            return Ok(Self { at, count, more, items: items.to_owned() });
        }
        Err(Failure::around(format!("another process says {text:?} for a page")))
    }
}

/// Does something with the scan of a question, and the cursor after which it reads.
macro_rules! with_scan {
    ($question:expr, |$scan:ident, $after:ident| $body:expr) => {{
        let Question(scan, place, _) = $question;
        let byte = u8::try_from(place % 256).unwrap_or_default();
        match scan % 3 {
            0 => {
                let ($scan, $after) = (LogScan::default(), Position::new(place as u64));
                $body
            }
            1 => {
                let id = RecordId::from_bytes([byte % 8; 16]);
                let ($scan, $after) =
                    (RecordScan::default(), RecordKey::new(record_kind("race"), id));
                $body
            }
            _ => {
                let $after = metadata_key(&format!("race/{}", byte % 4));
                let $scan = MetadataScan::default();
                $body
            }
        }
    }};
}

impl Question {
    pub(crate) async fn ask(self, store: &Store) -> Outcome<Answer> {
        with_scan!(self, |scan, after| {
            let page = page(&scan, store, Some(after), PageLimit::items(self.2)).await?;
            let (count, more) = (page.items.len(), page.more.is_some());
            Ok(Answer { at: page.at, count, more, items: format!("{:?}", page.items) })
        })
    }

    /// The answer is what the model says.
    fn check(self, answer: &Answer, model: &Model) -> Outcome {
        let (rest, items) = with_scan!(self, |scan, after| {
            let mut rest = scan.expected(model);
            rest.retain(|item| scan.is_before(&after, &cursor(&scan, item)));
            let page = rest.get(..answer.count).unwrap_or(&rest);
            (rest.len(), format!("{page:?}"))
        });
        ensure_eq!(R1, answer.items, items, "{self:?} at {}", answer.at);
        ensure!(R4, answer.more || answer.count == rest, "{self:?} ends before the end");
        Ok(())
    }
}

fn cursor<S: Scan>(_: &S, item: &S::Item) -> S::Cursor {
    S::cursor(item)
}

#[derive(Debug, Clone)]
enum Turn {
    /// One try to commit on the head that is read.
    Commit,
    Head,
    Read(Question),
}

fn turns(most: usize) -> impl Strategy<Value = Vec<Turn>> {
    let question = (0_usize..3, 0_usize..40, 1_usize..6);
    vec(
        prop_oneof![
            3 => Just(Turn::Commit),
            1 => Just(Turn::Head),
            3 => question.prop_map(|(scan, place, items)| Turn::Read(Question(scan, place, items))),
        ],
        1..most,
    )
}

/// Whoever takes turns: a thread, or another process.
trait Client: Send {
    fn head(&mut self) -> Outcome<Head>;
    fn read(&mut self, question: Question) -> Outcome<Answer>;
    /// A commit on `base`, and the head in the way if there is one.
    fn commit(&mut self, base: Head) -> Outcome<(Commit, Option<Head>)>;
}

struct Here {
    store: Store,
    racer: Racer,
}

impl Client for Here {
    fn head(&mut self) -> Outcome<Head> {
        Ok(block_on(self.store.head())?)
    }

    fn read(&mut self, question: Question) -> Outcome<Answer> {
        block_on(question.ask(&self.store))
    }

    fn commit(&mut self, base: Head) -> Outcome<(Commit, Option<Head>)> {
        let (commit, changeset) = self.racer.commit_on(base);
        match block_on(persist(&self.store, &commit)) {
            Ok(head) => {
                ensure_eq!(C3, head, commit.head(), "the answer to a commit in a race");
                self.racer.won(&changeset);
                Ok((commit, None))
            }
            Err(StoreError::StaleBase { head, .. }) => Ok((commit, Some(head))),
            Err(error) => Err(error.into()),
        }
    }
}

struct There {
    child: Child,
    salt: u8,
    /// Makes what the other process makes.
    racer: Racer,
}

impl Client for There {
    fn head(&mut self) -> Outcome<Head> {
        heard(&self.child.call("head")?)
    }

    fn read(&mut self, Question(scan, place, items): Question) -> Outcome<Answer> {
        Answer::heard(&self.child.call(&format!("read {scan} {place} {items}"))?)
    }

    fn commit(&mut self, base: Head) -> Outcome<(Commit, Option<Head>)> {
        let (commit, changeset) = self.racer.commit_on(base);
        let answer = self.child.call(&format!("try {} {}", self.salt, told(&base)))?;
        if let Some(head) = answer.strip_prefix("stale ") {
            return Ok((commit, Some(heard(head)?)));
        }
        ensure_eq!(C3, heard(&answer)?, commit.head(), "the answer to a commit elsewhere");
        self.racer.won(&changeset);
        Ok((commit, None))
    }
}

/// What was seen or done between two ticks of the clock that all share. The times are those of
/// whoever asks, so they begin before and end after those of the store.
#[derive(Debug)]
struct Event {
    handle: usize,
    start: u64,
    end: u64,
    /// What was acknowledged elsewhere before this has to be seen: the beginning, or where reads
    /// may be of the last head known, that of the call of `head` before.
    since: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Committed(Commit),
    Saw(Head),
    Read(Question, Answer),
}

impl Event {
    fn head(&self) -> Head {
        match &self.what {
            What::Committed(commit) => commit.head(),
            What::Saw(head) => *head,
            What::Read(_, answer) => answer.at,
        }
    }

    const fn commits(&self) -> bool {
        matches!(self.what, What::Committed(_))
    }
}

/// Takes all turns. Where there are other handles, each read comes after a call of `head`.
fn take_turns(
    client: &mut dyn Client,
    handle: usize,
    others: bool,
    clock: &AtomicU64,
    turns: &[Turn],
) -> Outcome<Vec<Event>> {
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let mut events = Vec::new();
    for turn in turns {
        let mut since = None;
        let mut head = None;
        if others || !matches!(turn, Turn::Read(_)) {
            let start = tick();
            let saw = client.head()?;
            (since, head) = (Some(start), Some(saw));
            events.push(Event { handle, start, end: tick(), since: start, what: What::Saw(saw) });
        }
        let start = tick();
        let since = since.unwrap_or(start);
        let (since, what) = match (turn, head) {
            (Turn::Read(question), _) => {
                let answer = client.read(*question)?;
                (since, What::Read(*question, answer))
            }
            (Turn::Commit, Some(base)) => match client.commit(base)? {
                (commit, None) => (start, What::Committed(commit)),
                (_, Some(head)) => (since, What::Saw(head)),
            },
            _ => continue,
        };
        events.push(Event { handle, start, end: tick(), since, what });
    }
    Ok(events)
}

/// There is one line of commits that agrees with all that was seen, and with real time.
fn check(events: &[Event]) -> Outcome {
    let mut line: Vec<_> = events.iter().filter(|event| event.commits()).collect();
    line.sort_by_key(|event| event.head().version);
    let mut models = vec![Model::EMPTY];
    for event in &line {
        let What::Committed(commit) = &event.what else { continue };
        let mut model = models[models.len() - 1].clone();
        ensure_eq!(C3, commit.base(), model.head, "what a commit that succeeded was based on");
        model.take_in(commit);
        models.push(model);
    }
    for event in events {
        let head = event.head();
        let version = usize::try_from(head.version.get()).unwrap_or(usize::MAX);
        let Some(model) = models.get(version) else {
            ensure!(R1, false, "{head} was seen, but there are {} commits", line.len());
            continue;
        };
        ensure_eq!(R1, head, model.head, "a head seen, of which there is one a version");
        if let What::Read(question, answer) = &event.what {
            question.check(answer, model)?;
        }
        let made = version.checked_sub(1).and_then(|index| line.get(index));
        let seen = made.is_none_or(|made| made.start < event.end);
        ensure!(C1, seen, "{head} was seen before anyone began to commit it: {event:?}");
        for earlier in events {
            in_order(earlier, event)?;
        }
    }
    Ok(())
}

/// What ended before the other began is before it in the line.
fn in_order(earlier: &Event, event: &Event) -> Outcome {
    let (before, after) = (earlier.head().version, event.head().version);
    if event.commits() && earlier.end < event.start {
        ensure!(C3, before < after, "{event:?} came after {earlier:?}");
    }
    let same = earlier.handle == event.handle && earlier.end < event.start;
    let acknowledged = earlier.commits() && earlier.end < event.since;
    if same || acknowledged {
        ensure!(R2, before <= after, "{event:?} came after {earlier:?}");
    }
    Ok(())
}

/// Lets all take their turns at once, each by a handle of its own or all by one.
fn at_once(clients: Vec<Box<dyn Client>>, one: bool, all: &[Vec<Turn>]) -> Outcome {
    let clock = AtomicU64::new(0);
    let events = in_threads(clients.into_iter().zip(all).enumerate().map(
        |(number, (mut client, turns))| {
            let (clock, handle) = (&clock, if one { 0 } else { number });
            move || take_turns(&mut *client, handle, !one, clock, turns)
        },
    ))?;
    let events: Vec<_> = events.into_iter().flatten().collect();
    check(&events).map_err(|failure| {
        let mut shown = String::new();
        for event in events.iter().filter(|event| event.commits()) {
            let Event { handle, start, end, .. } = event;
            let _ = write!(shown, "\n   commits: {start} to {end} by {handle}: {}", event.head());
        }
        failure.with(shown)
    })
}

pub(crate) async fn threads_are_linearizable(context: &Context<'_>) -> Outcome {
    context.cases(16).erratic().run(&vec(turns(24), 4), |all| {
        let place = context.harness().place();
        let store = place.create(World::IDENTITY)?;
        let client = |salt| -> Box<dyn Client> {
            Box::new(Here { store: store.clone(), racer: Racer::new(salt) })
        };
        at_once((1..=4).map(client).collect(), true, &all)
    })
}

pub(crate) async fn handles_are_linearizable(context: &Context<'_>) -> Outcome {
    context.cases(12).erratic().run(&vec(turns(24), 3), |all| {
        let place = context.harness().place();
        let first = place.create(World::IDENTITY)?;
        let stores = [first, place.open()?, place.open()?];
        let client = |(salt, store)| -> Box<dyn Client> {
            Box::new(Here { store, racer: Racer::new(salt) })
        };
        at_once((1..).zip(stores).map(client).collect(), false, &all)
    })
}

pub(crate) async fn processes_are_linearizable(context: &Context<'_>) -> Outcome {
    context.cases(4).erratic().run(&vec(turns(32), 3), |all| {
        let place = context.harness().place();
        let store = place.create(World::IDENTITY)?;
        let mut clients: Vec<Box<dyn Client>> =
            vec![Box::new(Here { store, racer: Racer::new(1) })];
        for salt in [2, 3] {
            let mut child = Child::start_at(context, &*place)?;
            ensure_eq!(O2, child.call("open")?, "done", "opening in another process");
            clients.push(Box::new(There { child, salt, racer: Racer::new(salt) }));
        }
        at_once(clients, false, &all)
    })
}

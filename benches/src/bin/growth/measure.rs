//! What is measured at one size, in a process of its own.

use std::time::Instant;

use async_trait::async_trait;
use benches::content;
use benches::server::Server;
use futures_lite::future::block_on;
use harnesses::{Harness as _, MemoryHarness};
use prophet_files::{DirectoryTree, PublishOptions, publish};
use prophet_http::{HttpOptions, HttpSource};
use prophet_store::{
    Changeset, ChangesetSource, Direction, Error, Identity, MemoryStore, Offer, PullOptions, Query,
    Record, Replica, ReplicaId, Streamed, VersionVector,
};

use crate::content::{Any, fill};
use crate::results::Row;
use crate::store::{Kind, Subject};

/// As many records as a page of a list has.
const PAGE: u64 = 50;
/// As many changesets as are integrated at once.
const INTEGRATED: usize = 1_000;

/// A source that has just what the replica has, and is another one.
struct Other<'a> {
    source: &'a dyn ChangesetSource,
    replica: ReplicaId,
}

impl<'a> Other<'a> {
    fn of(source: &'a dyn ChangesetSource) -> Self {
        Self { source, replica: ReplicaId::from_bytes([0xEE; 16]) }
    }
}

#[async_trait]
impl ChangesetSource for Other<'_> {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        Ok(Offer { replica: self.replica, head: None, ..self.source.offer(seen).await? })
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        self.source.changesets(offer, known)
    }
}

/// Collects what is measured of one store at one size.
struct Measuring {
    store: Kind,
    changesets: u64,
    subject: Subject,
    rows: Vec<Row>,
}

impl Measuring {
    fn note(&mut self, measure: &str, unit: &str, value: f64) {
        let (store, changesets) = (self.store.name().to_owned(), self.changesets);
        let (measure, unit) = (measure.to_owned(), unit.to_owned());
        self.rows.push(Row { store, changesets, measure, unit, value });
    }

    /// Does something so many times, and notes the median of the times, and the mean of the requests.
    fn time<S, T>(
        &mut self,
        measure: &str,
        times: u32,
        mut set_up: impl FnMut(&Subject) -> S,
        mut act: impl FnMut(&Subject, S) -> T,
    ) {
        let (mut all, mut requests) = (Vec::new(), 0);
        for _ in 0..times {
            let ready = set_up(&self.subject);
            let before = self.subject.requests().unwrap_or_default();
            let started = Instant::now();
            let made = std::hint::black_box(act(&self.subject, ready));
            all.push(started.elapsed().as_secs_f64() * 1e6);
            requests += self.subject.requests().unwrap_or_default() - before;
            drop(made);
        }
        all.sort_unstable_by(f64::total_cmp);
        let median = all.get(all.len() / 2).copied().unwrap_or_default();
        self.note(measure, "us", median);
        if self.subject.requests().is_some() {
            let mean = requests as f64 / f64::from(times);
            self.note(&format!("requests of {measure}"), "requests", mean);
        }
    }
}

fn open(subject: &Subject) -> Replica {
    let store = subject.place.open().expect("the store opens");
    block_on(Replica::options().open_shared(store)).expect("the replica opens")
}

/// Everything, of one store at one size.
pub(crate) fn all(store: Kind, changesets: u64) -> Vec<Row> {
    let identity = Identity::new_database().expect("there is chance");
    let mut on = Measuring { store, changesets, subject: store.subject(), rows: Vec::new() };
    build(&mut on, identity);
    on.time("open", 5, |_| (), |subject, ()| open(subject));

    let replica = open(&on.subject);
    edits_and_reads(&mut on, &replica);
    pulls(&mut on, &replica, identity);
    over_http(&mut on, &replica);
    block_on(replica.close()).expect("the replica closes");
    drop(replica);
    // Where what is stored is in the memory of this process, that says nothing of the store.
    if !on.subject.is_within()
        && let Some(peak) = MemoryHarness::new().peak_memory()
    {
        on.note("peak memory", "MB", peak as f64 / 1e6);
    }
    on.rows
}

/// Builds the replica, and notes what a changeset took and takes.
fn build(on: &mut Measuring, identity: Identity) {
    let changesets = on.changesets;
    let store = on.subject.place.create(identity).expect("the store makes a replica");
    let replica = block_on(Replica::options().open_shared(store)).expect("the replica opens");
    let started = Instant::now();
    fill(&replica, changesets);
    let taken = started.elapsed().as_secs_f64() * 1e6 / changesets as f64;
    on.note("build: one changeset of many", "us", taken);
    block_on(replica.close()).expect("the replica closes");
    drop(replica);
    if let Some(stored) = on.subject.stored() {
        on.note("stored: one changeset", "bytes", stored as f64 / changesets as f64);
    }
}

fn edits_and_reads(on: &mut Measuring, replica: &Replica) {
    let any = Any::of(on.changesets);
    let (mut edited, mut number) = (any.clone(), 0);
    on.time(
        "edit",
        200,
        |_| {
            number += 1;
            (edited.next(), content::change(number).expect("the values are good"))
        },
        |_, (record, change)| {
            let updated = block_on(replica.update(&record, change));
            updated.expect("the replica is edited").expect("the value is another one")
        },
    );
    let mut got = any.clone();
    on.time(
        "get",
        1_000,
        |_| got.next(),
        |_, record| {
            let found = block_on(replica.get(&record)).expect("the replica is read");
            found.expect("the record is there")
        },
    );
    let page = Query::of("bug").expect("it is a name").limit(PAGE);
    on.time(
        "find the first page",
        20,
        |_| (),
        |_, ()| {
            use futures_lite::StreamExt as _;
            let found: Vec<Record> =
                block_on(replica.find(&page).try_collect()).expect("the replica is read");
            assert_eq!(found.len() as u64, PAGE, "the page is full");
            found
        },
    );
    let mut told = any;
    on.time(
        "history",
        100,
        |_| told.next(),
        |_, record| {
            use futures_lite::StreamExt as _;
            let told: Vec<_> = block_on(replica.history(&record, Direction::Forward).try_collect())
                .expect("the replica is read");
            assert!(!told.is_empty(), "it was created");
            told
        },
    );
}

fn pulls(on: &mut Measuring, replica: &Replica, identity: Identity) {
    let same = Other::of(replica);
    on.time(
        "pull nothing new",
        20,
        |_| (),
        |_, ()| {
            let pulled = block_on(replica.pull(&same, PullOptions::new()));
            assert_eq!(pulled.expect("the replica pulls").integrated, 0, "nothing is new");
        },
    );
    on.time(
        "integrate 1000",
        3,
        |_| {
            let other = Identity::new_replica(identity.database).expect("there is chance");
            let source = block_on(Replica::open(MemoryStore::new(other))).expect("memory opens");
            block_on(content::fill(&source, INTEGRATED)).expect("memory is edited");
            source
        },
        |_, source| {
            let pulled = block_on(replica.pull(&source, PullOptions::new()));
            let pulled = pulled.expect("the replica pulls");
            assert_eq!(pulled.integrated, INTEGRATED as u64, "all of it is new");
            source
        },
    );
}

/// Publishes it, publishes it again after an edit, and looks over HTTP whether there is anything new.
fn over_http(on: &mut Measuring, replica: &Replica) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let tree = DirectoryTree::new(directory.path());
    let mut written = 0;
    let mut put = |_: &Subject, ()| {
        let published = block_on(publish(replica, &tree, PublishOptions::new()));
        written = published.expect("the replica is published").bytes;
    };
    on.time("publish all", 1, |_| (), &mut put);
    // Other values than those of the edits before.
    let (mut any, mut number) = (Any::of(on.changesets), 1_000_000);
    on.time(
        "publish one more",
        5,
        |_| {
            number += 1;
            let change = content::change(number).expect("the values are good");
            let updated = block_on(replica.update(&any.next(), change));
            updated.expect("the replica is edited").expect("the value is another one");
        },
        &mut put,
    );
    on.note("bytes of publish one more", "bytes", written as f64);

    let server = Server::of(directory);
    let options = HttpOptions::new().no_proxy();
    let source = block_on(HttpSource::open_with(server.url(), options));
    let source = source.expect("the tree is served");
    let before = source.stats();
    on.note("bytes of opening over HTTP", "bytes", before.bytes as f64);
    let pulled = block_on(replica.pull(&Other::of(&source), PullOptions::new()));
    assert_eq!(pulled.expect("the replica pulls").integrated, 0, "nothing is new");
    let after = source.stats();
    let requests = after.requests - before.requests;
    on.note("requests of pull nothing new over HTTP", "requests", requests as f64);
    on.note("bytes of pull nothing new over HTTP", "bytes", (after.bytes - before.bytes) as f64);
    clone(on, &source);
}

/// Pulls all of it into an empty replica of such a store.
fn clone(on: &mut Measuring, source: &HttpSource) {
    let subject = on.store.subject();
    let identity = Identity::new_replica(source.manifest().identity.database);
    let store = subject.place.create(identity.expect("there is chance"));
    let store = store.expect("the store makes a replica");
    let replica = block_on(Replica::options().open_shared(store)).expect("the replica opens");
    let started = Instant::now();
    let pulled = block_on(replica.pull(source, PullOptions::new())).expect("the replica pulls");
    let taken = started.elapsed().as_secs_f64() * 1e6 / pulled.integrated as f64;
    assert!(pulled.integrated > on.changesets, "all of it is there");
    on.note("clone over HTTP: one changeset of many", "us", taken);
    block_on(replica.close()).expect("the replica closes");
}

//! Reads. Nothing is written.

use std::cell::Cell;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{Direction, Query, Record, RecordKey, codec, property};

use crate::content;
use crate::suite::{Operation, Runner};
use crate::turns::{Contest, each, tight};
use crate::worlds::{Library, Opened, Worlds};

/// So many short reads for a look at the clock.
const SHORT: u64 = 32;
/// How many records are got at once.
const MANY: usize = 100;

pub(crate) fn all(runner: &mut Runner, worlds: &Worlds<'_>) {
    let sizes = worlds.sizes;
    runner.bench(Operation::new("get", 1), || get(worlds.library()));
    runner.bench(Operation::new("get of 100", MANY), || get_many(worlds.library()));
    let find = Operation::new("find 1 of 10,000", sizes.records);
    runner.bench(find, || find_one(worlds.library(), sizes.records));
    let stream = Operation::new("stream 10,000", sizes.records);
    runner.bench(stream, || stream_all(worlds.library(), sizes.records));
    let told = Operation::new("history of 1,000", sizes.history);
    runner.bench(told, || history(worlds.library(), sizes.history));
    runner.bench(Operation::new("as of, 500 back", 1), || as_of(worlds.library()));
}

/// Goes through the records in an order that is neither sequential nor always the same few.
struct Cursor<'a> {
    records: &'a [RecordKey],
    at: Cell<usize>,
}

impl<'a> Cursor<'a> {
    fn of(library: &'a Library) -> Self {
        Self { records: &library.records, at: Cell::new(0) }
    }

    fn next(&self) -> &'a RecordKey {
        self.at.set((self.at.get() + 7_919) % self.records.len());
        self.records.get(self.at.get()).expect("the place is within")
    }

    fn next_many(&self) -> Vec<RecordKey> {
        (0..MANY).map(|_| self.next().clone()).collect()
    }
}

/// Engines that can do something, which is tried once.
fn able<'a>(
    library: &'a Library,
    can: impl Fn(&Opened) -> bool + 'a,
) -> impl Iterator<Item = &'a Opened> {
    library.engines.iter().filter(move |engine| can(engine))
}

fn finds(engine: &Opened, library: &Library) -> bool {
    engine.bare.borrow_mut().get(std::slice::from_ref(&library.busiest)).is_some()
}

/// One record. The engine finds the state by its key, and it is decoded.
fn get(library: &Library) -> Contest<'_> {
    let (replica, cursor) = (&library.home.replica, Cursor::of(library));
    let ours = tight(move || {
        let found = block_on(replica.get(cursor.next())).expect("the replica is read");
        found.expect("the record is there")
    });
    able(library, move |it| finds(it, library)).fold(
        Contest::new(ours).per_turn(SHORT),
        |contest, engine| {
            let cursor = Cursor::of(library);
            let run = tight(move || {
                let record = std::slice::from_ref(cursor.next());
                engine.bare.borrow_mut().get(record).expect("the record is there")
            });
            contest.against(engine.other.clone(), run)
        },
    )
}

/// A hundred records at once.
fn get_many(library: &Library) -> Contest<'_> {
    let (replica, cursor) = (&library.home.replica, Cursor::of(library));
    let ours = each(
        move || cursor.next_many(),
        move |records| {
            let found = block_on(replica.get_many(&records)).expect("the replica is read");
            assert!(found.iter().all(Option::is_some), "the records are there");
            found
        },
    );
    able(library, move |it| finds(it, library)).fold(Contest::new(ours), |contest, engine| {
        let cursor = Cursor::of(library);
        let run = each(
            move || cursor.next_many(),
            move |records| engine.bare.borrow_mut().get(&records).expect("the records are there"),
        );
        contest.against(engine.other.clone(), run)
    })
}

fn scans(engine: &Opened) -> bool {
    engine.bare.borrow_mut().scan(&mut |_| {})
}

/// One record by a property on which there is no index. The engine reads the bytes of every record, and
/// looks at nothing.
fn find_one(library: &Library, records: usize) -> Contest<'_> {
    let replica = &library.home.replica;
    let wanted = content::title(records / 2 + 1);
    let title = property("title").expect("it is a name");
    let query = Query::of("bug").expect("it is a name").filter(title.eq(wanted));
    let ours = tight(move || {
        let found: Vec<Record> =
            block_on(replica.find(&query).try_collect()).expect("the replica is read");
        assert_eq!(found.len(), 1, "there is one such record");
        found
    });
    let floors = able(library, scans).filter(|engine| engine.other.floor);
    floors.fold(Contest::new(ours), |contest, engine| {
        let run = tight(move || {
            let mut bytes = 0;
            engine.bare.borrow_mut().scan(&mut |state| bytes += state.len());
            bytes
        });
        contest.against(engine.other.clone(), run)
    })
}

/// Every record, decoded.
fn stream_all(library: &Library, records: usize) -> Contest<'_> {
    let replica = &library.home.replica;
    let query = Query::of("bug").expect("it is a name");
    let ours = tight(move || {
        let seen = block_on(async {
            let (mut found, mut seen) = (replica.find(&query), 0);
            while let Some(record) = found.next().await {
                std::hint::black_box(record.expect("the replica is read"));
                seen += 1;
            }
            seen
        });
        assert_eq!(seen, records, "all records are seen");
    });
    let mut bytes = 0;
    let floors = able(library, scans).filter(|engine| engine.other.floor);
    let contest = floors.fold(Contest::new(ours), |contest, engine| {
        bytes = 0;
        engine.bare.borrow_mut().scan(&mut |state| bytes += state.len() as u64);
        let run = tight(move || {
            engine.bare.borrow_mut().scan(&mut |state| {
                std::hint::black_box(codec::decode_record(state).expect("it is a state"));
            })
        });
        contest.against(engine.other.clone(), run)
    });
    contest.bytes(bytes)
}

/// All that happened to one record, in order. The engine finds the same log entries, and looks at
/// nothing.
fn history(library: &Library, entries: usize) -> Contest<'_> {
    let (replica, record) = (&library.home.replica, &library.busiest);
    let ours = tight(move || {
        let told: Vec<_> = block_on(replica.history(record, Direction::Forward).try_collect())
            .expect("the replica is read");
        assert_eq!(told.len(), entries, "all of it is told");
        told
    });
    let knows = move |engine: &Opened| engine.bare.borrow_mut().history(record, &mut |_| {});
    let floors = able(library, knows).filter(|engine| engine.other.floor);
    floors.fold(Contest::new(ours), |contest, engine| {
        let run = tight(move || {
            let mut bytes = 0;
            engine.bare.borrow_mut().history(record, &mut |entry| bytes += entry.len());
            bytes
        });
        contest.against(engine.other.clone(), run)
    })
}

/// One record as it was half its history ago: that half is walked back.
fn as_of(library: &Library) -> Contest<'_> {
    let (replica, record, middle) = (&library.home.replica, &library.busiest, library.middle);
    Contest::new(tight(move || {
        let then = block_on(async { replica.as_of(middle).await?.get(record).await });
        then.expect("the replica is read").expect("the record was there")
    }))
}

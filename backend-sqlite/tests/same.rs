//! Everything that can be read is the same as on the reference store, page by page.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use backend_sqlite::SqliteStore;
use common::{Author, commit_id, identity, key, place, record, update};
use futures_lite::future::block_on;
use prophet_store::{
    Adjustment, Commit, ConflictId, Creator, DatabaseId, Digest, Direction, Head, HistoryScan,
    LogEntry, LogScan, MemoryStore, MetadataKey, MetadataScan, OriginScan, Page, PageLimit,
    Payload, Position, PropertyName, RecordKey, RecordScan, RecordType, RegisterName, ReplicaId,
    ReplicaStore, Resolution, ResolutionScan, Sequence, Timestamp, Value, Vote,
};
use proptest::prelude::*;

const TYPES: [&str; 4] = ["a", "bug", "bug2", "é\u{2028}'\""];
const METADATA: [&str; 7] = ["a", "a\0b", "a/b", "b", "é", "\0", "a/"];

/// A number that is taken for whatever a step needs.
type Dice = u64;

fn some_key(dice: Dice) -> RecordKey {
    key(TYPES[(dice % 4) as usize], u128::from(dice / 4 % 5) << 120)
}

fn some_vote(dice: Dice) -> Vote {
    let candidates = (0..2 + dice % 3).map(|n| (n > 0).then(|| Value::from(n as i64))).collect();
    let name = PropertyName::new("n").unwrap();
    Vote::new(some_key(dice), RegisterName::Property(name), candidates, None, Vec::new()).unwrap()
}

#[derive(Debug)]
struct World {
    authors: Vec<Author>,
    digests: Vec<Digest>,
    conflicts: Vec<ConflictId>,
    commits: Vec<Commit>,
    at: Head,
}

impl World {
    fn entry(&mut self, dice: Dice, position: u64) -> LogEntry {
        let before = self.digests.clone();
        let some = |n: u64| before.get((n % (before.len().max(1) as u64)) as usize).copied();
        let author = &mut self.authors[(dice % 3) as usize];
        // Now and then one goes on from an earlier place, as a fork does.
        let kept = author.clone();
        let payload = match dice % 5 {
            0 => Payload::Resolution(vec![some_vote(dice / 5)]),
            1 => Payload::Continuation {
                replica: ReplicaId::from_bytes([9; 16]),
                tip: Digest::from_bytes([8; 32]),
            },
            _ => update(&some_key(dice / 5), "n", None, Value::from(dice as i64), &[]),
        };
        let changeset = author.author_with(payload, |authored| {
            authored.parents = [dice, dice / 7].into_iter().filter_map(some).collect();
            authored.creator =
                Creator::new(["", "ada", "Åsa\u{1F980}"][(dice % 3) as usize]).unwrap();
            authored.time = Timestamp::new(dice.wrapping_mul(0x9E37_79B9_7F4A_7C15), dice as u32);
            if dice.is_multiple_of(11) {
                authored.database = DatabaseId::from_bytes([3; 16]);
            }
        });
        if dice.is_multiple_of(6) {
            *author = kept;
            author.time = Timestamp::new(dice, 7);
        }
        let adjustment = Adjustment {
            record: some_key(dice / 3),
            register: RegisterName::Existence,
            old: None,
            new: Some(Value::Boolean(true)),
            rule: None,
        };
        let mut entry = common::entry(position, &changeset);
        if dice.is_multiple_of(4) {
            entry.nullify.push(adjustment.clone());
        }
        if dice.is_multiple_of(8) {
            entry.settle.push(adjustment);
        }
        entry
    }

    fn commit(&mut self, dice: &[Dice]) -> Commit {
        let mut commit = Commit::new(commit_id(self.commits.len() as u64 + 1), self.at);
        for &dice in dice {
            match dice % 7 {
                0..=2 => {
                    let entry = self.entry(dice / 7, commit.head().position.next().get());
                    if self.digests.contains(&entry.changeset.digest()) {
                        continue;
                    }
                    self.digests.push(entry.changeset.digest());
                    commit = commit.with_entry(entry).unwrap();
                }
                3 => {
                    let value = [(PropertyName::new("n").unwrap(), Value::from(dice as i64))];
                    let state = record(&some_key(dice / 7), dice % 5 != 0, value);
                    commit = commit.with_record(state).unwrap();
                }
                4 => {
                    let vote = some_vote(dice / 7);
                    self.conflicts.push(vote.conflict());
                    let resolution = Resolution {
                        changeset: Digest::from_bytes([(dice % 3) as u8; 32]),
                        voter: ReplicaId::from_bytes([dice as u8; 16]),
                        sequence: Sequence::new(dice | 1).unwrap(),
                        vote,
                    };
                    commit = commit.with_resolution(resolution).unwrap();
                }
                _ => {
                    let key = MetadataKey::new(METADATA[(dice / 7 % 7) as usize]).unwrap();
                    let value =
                        (dice % 3 > 0).then(|| dice.to_le_bytes()[..(dice % 8) as usize].to_vec());
                    commit = commit.with_metadata(key, value).unwrap();
                }
            }
        }
        self.at = commit.head();
        self.commits.push(commit.clone());
        commit
    }
}

/// All pages of a scan, each as it came.
fn pages<T, C: Clone>(
    mut after: Option<C>,
    mut scan: impl FnMut(Option<C>) -> Page<T, C>,
) -> Vec<Page<T, C>> {
    let mut pages = Vec::new();
    loop {
        let page = scan(after);
        after = page.more.clone();
        pages.push(page);
        if after.is_none() {
            return pages;
        }
    }
}

/// Everything that `store` answers, as text.
fn everything(store: &dyn ReplicaStore, world: &World, items: usize, dice: Dice) -> Vec<String> {
    let mut all = vec![format!("{:?}", block_on(store.head()).unwrap())];
    let limits = [PageLimit::items(items), PageLimit { items: 100, bytes: 300 }];
    let keys: Vec<_> = (0..20).map(some_key).chain([some_key(3), some_key(3)]).collect();
    all.push(format!("{:?}", block_on(store.get_records(&keys)).unwrap()));
    for key in &keys {
        all.push(format!("{:?}", block_on(store.get_records(std::slice::from_ref(key))).unwrap()));
    }
    let mut digests = world.digests.clone();
    digests.extend([
        Digest::from_bytes([0; 32]),
        world.digests.first().copied().unwrap_or(Digest::from_bytes([1; 32])),
    ]);
    all.push(format!("{:?}", block_on(store.find_changesets(&digests)).unwrap()));
    let names: Vec<_> = METADATA.map(|key| MetadataKey::new(key).unwrap()).into();
    all.push(format!("{:?}", block_on(store.get_metadata(&names)).unwrap()));
    for limit in limits {
        let types = TYPES.iter().map(|name| Some(RecordType::new(name).unwrap()));
        for record_type in types.chain([None, Some(RecordType::new("none").unwrap())]) {
            for after in [None, Some(some_key(dice)), Some(key("b", 1)), Some(key("zz", 1))] {
                let scan = |after| {
                    let record_type = record_type.clone();
                    let scan = RecordScan { record_type, after, hint: None, limit };
                    block_on(store.scan_records(&scan)).unwrap()
                };
                all.push(format!("{:?}", pages(after, scan)));
            }
        }
        for direction in [Direction::Forward, Direction::Backward] {
            for after in [None, Some(0), Some(1), Some(dice % 9), Some(u64::MAX)] {
                let after = after.map(Position::new);
                let scan =
                    |after| block_on(store.scan_log(&LogScan { after, direction, limit })).unwrap();
                all.push(format!("{:?}", pages(after, scan)));
                for record in keys.iter().chain([&key("none", 1)]) {
                    let scan = |after| {
                        let record = record.clone();
                        let scan = HistoryScan { record, after, direction, limit };
                        block_on(store.scan_history(&scan)).unwrap()
                    };
                    all.push(format!("{:?}", pages(after, scan)));
                }
            }
            for origin in [0, 1, 2, 3] {
                let origin = ReplicaId::from_bytes([origin; 16]);
                let cursor = (Sequence::new(dice % 4 + 1).unwrap(), Digest::from_bytes([0x80; 32]));
                for after in [None, Some(cursor)] {
                    let scan = |after| {
                        let scan = OriginScan { origin, after, direction, limit };
                        block_on(store.scan_origin(&scan)).unwrap()
                    };
                    all.push(format!("{:?}", pages(after, scan)));
                }
            }
        }
        let some = world.conflicts.first().copied();
        let cursor = (ConflictId::from_bytes([0x80; 32]), Digest::from_bytes([1; 32]));
        let there = some.map(|conflict| (conflict, Digest::from_bytes([0; 32])));
        for conflict in world.conflicts.iter().copied().map(Some).chain([None]) {
            for after in [None, Some(cursor), there] {
                let scan = |after| {
                    let scan = ResolutionScan { conflict, after, limit };
                    block_on(store.scan_resolutions(&scan)).unwrap()
                };
                all.push(format!("{:?}", pages(after, scan)));
            }
        }
        for prefix in ["", "a", "a/", "a\0", "b", "zz"] {
            for after in [None, Some("a"), Some("a/b"), Some("~")] {
                let after = after.map(|key| MetadataKey::new(key).unwrap());
                let scan = |after| {
                    let scan = MetadataScan { prefix: prefix.to_owned(), after, limit };
                    block_on(store.scan_metadata(&scan)).unwrap()
                };
                all.push(format!("{:?}", pages(after, scan)));
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_read_answers_as_the_reference_store_does(
        commits in prop::collection::vec(prop::collection::vec(any::<Dice>(), 0..8), 1..8),
        items in 1_usize..4,
        dice in any::<Dice>(),
    ) {
        let (_directory, path) = place();
        let mut store = SqliteStore::create(&path, identity()).unwrap();
        let memory = MemoryStore::new(identity());
        let authors = [0, 1, 2].map(Author::new).into();
        let mut world = World {
            authors, digests: Vec::new(), conflicts: Vec::new(), commits: Vec::new(), at: Head::EMPTY,
        };
        for (number, steps) in commits.iter().enumerate() {
            let commit = world.commit(steps);
            let expected = block_on(memory.commit(&commit)).unwrap();
            prop_assert_eq!(block_on(store.commit(&commit)).unwrap(), expected);
            if dice.rotate_left(number as u32).is_multiple_of(3) {
                block_on(store.close()).unwrap();
                store = SqliteStore::open(&path).unwrap();
            }
        }
        for commit in &world.commits {
            prop_assert_eq!(block_on(store.commit(commit)).unwrap(), commit.head());
        }
        let answers = everything(&store, &world, items, dice);
        for (found, expected) in answers.iter().zip(everything(&memory, &world, items, dice)) {
            prop_assert_eq!(found, &expected);
        }
        let (found, expected) = (block_on(store.verify()).unwrap(), block_on(memory.verify()).unwrap());
        prop_assert_eq!(found, expected);
    }
}

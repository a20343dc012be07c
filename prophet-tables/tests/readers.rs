//! Readers that fail, or are not waited for; and how often they are asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_lite::future::{block_on, poll_once};
use prophet_store::Direction::{self, Backward, Forward};
use prophet_store::{
    ConflictId, Digest, Position, RecordId, RecordKey, RecordType, ReplicaId, Sequence,
};
use prophet_tables::{
    BlockCache, KeyRange, Layers, MergeError, Packing, ReadAt, Table, TableError, TableWriter,
    keys, merge_tables,
};

/// What happens to every second read.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    Fails,
    Waits,
}

struct Moody {
    bytes: Vec<u8>,
    mood: Mood,
    reads: AtomicUsize,
}

impl ReadAt for Moody {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let bad = self.reads.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        match self.mood {
            Mood::Fails if bad => return Err(io::Error::other("not now")),
            Mood::Waits if bad => poll_fn(|_| Poll::<()>::Pending).await,
            _ => {}
        }
        self.bytes.read_at(offset, len).await
    }
}

/// Every key modulo 3 is one table's; the values do not compress.
fn tables(mood: Mood) -> Vec<Table<Moody>> {
    let table = |rest: u32| {
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes).unwrap();
        let mut state = 7_u32;
        for n in (0..9_000_u32).filter(|n| n % 3 == rest || n % 10 == 0) {
            let mut value = vec![rest as u8];
            value.extend((0..100).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }));
            writer.add(&n.to_be_bytes(), Some(&value)).unwrap();
        }
        writer.finish().unwrap();
        let len = bytes.len() as u64;
        let reader = Moody { bytes, mood, reads: AtomicUsize::new(0) };
        block_on(Table::open(reader, len, "t".into())).unwrap()
    };
    (0..3).map(table).collect()
}

fn reads(tables: &[Table<Moody>]) -> usize {
    tables.iter().map(|table| table.reader().reads.load(Ordering::Relaxed)).sum()
}

#[test]
fn a_scan_goes_on_after_errors_and_dropped_futures() {
    for mood in [Mood::Fails, Mood::Waits] {
        for direction in [Direction::Forward, Direction::Backward] {
            let tables = tables(mood);
            let cache = BlockCache::new(0);
            let layers = Layers::new(&cache).with_tables(&tables);
            let mut scan = layers.scan(KeyRange::all(), direction);
            let (mut keys, mut disturbed) = (Vec::new(), 0);
            loop {
                match block_on(poll_once(scan.next())) {
                    None => disturbed += 1,
                    Some(Err(TableError::Io { .. })) => {
                        disturbed += 1;
                        assert!(scan.current().is_none());
                    }
                    Some(Err(error)) => panic!("{error}"),
                    Some(Ok(None)) => break,
                    Some(Ok(Some((key, value)))) => {
                        let n = u32::from_be_bytes(key.try_into().unwrap());
                        let newest = if n % 10 == 0 { 0 } else { n % 3 };
                        assert_eq!(value.first(), Some(&(newest as u8)));
                        keys.push(n);
                    }
                }
            }
            if direction == Direction::Backward {
                keys.reverse();
            }
            assert!(keys.iter().copied().eq(0..9_000));
            assert!(disturbed > 3);
        }
    }
}

#[test]
fn a_long_scan_reads_seldom() {
    for direction in [Direction::Forward, Direction::Backward] {
        let tables = tables(Mood::Good);
        let cache = BlockCache::new(1 << 20);
        let bytes: u64 = tables.iter().map(Table::bytes).sum();
        assert!(bytes > 1 << 20);
        let before = reads(&tables);
        let layers = Layers::new(&cache).with_tables(&tables);
        let mut scan = layers.scan(KeyRange::all(), direction);
        // The beginning costs a block each.
        assert!(block_on(scan.next()).unwrap().is_some());
        assert_eq!(reads(&tables) - before, 3);
        while block_on(scan.next()).unwrap().is_some() {}
        let all = reads(&tables) - before;
        assert!(all < 30, "{all} reads for {bytes} bytes");
    }
}

#[test]
fn a_key_costs_one_read_and_then_none() {
    let tables = tables(Mood::Good);
    let cache = BlockCache::new(1 << 20);
    let layers = Layers::new(&cache).with_tables(&tables);
    let before = reads(&tables);
    for _ in 0..3 {
        assert!(block_on(layers.get(&30_u32.to_be_bytes())).unwrap().is_some());
        assert_eq!(reads(&tables) - before, 1);
    }
    assert_eq!(block_on(layers.get(b"other")).unwrap(), None);
    assert_eq!(reads(&tables) - before, 1);
}

/// What is read together is known to be missing without reading.
#[test]
fn what_a_table_has_nothing_of_costs_no_read() {
    let record =
        |n: u8| RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([n; 16]));
    let (digest, position) = (|n: u8| Digest::from_bytes([n; 32]), Position::new(3));
    let origin = |n: u8| ReplicaId::from_bytes([n; 16]);
    let conflict = |n: u8| ConflictId::from_bytes([n; 32]);
    let first = Sequence::new(1).unwrap();
    // Those with even numbers.
    let mut written = std::collections::BTreeSet::new();
    for n in (0..100).step_by(2) {
        written.extend([keys::record(&record(n)), keys::history(&record(n), position)]);
        written.insert(keys::origin(origin(n), first, digest(n)));
        written.insert(keys::resolution(conflict(n), digest(n)));
    }
    let mut bytes = Vec::new();
    let mut writer = TableWriter::packed(&mut bytes, Packing::Dense).unwrap();
    for key in written {
        writer.add(&key, Some(&[])).unwrap();
    }
    writer.finish().unwrap();
    let len = bytes.len() as u64;
    let reader = Moody { bytes, mood: Mood::Good, reads: AtomicUsize::new(0) };
    let table = [block_on(Table::open(reader, len, "t".into())).unwrap()];
    let found = |range: KeyRange, direction| {
        let (cache, before) = (BlockCache::new(0), reads(&table));
        let mut cursor = table.first().unwrap().seek(range, direction, &cache);
        let found = block_on(cursor.next()).unwrap().is_some();
        (found, reads(&table) - before)
    };
    let mut in_vain = 0;
    for n in 0..100 {
        for range in [
            keys::history_of(&record(n)),
            keys::history_of(&record(n))
                .after(&keys::history(&record(n), Position::new(1)), Forward),
            keys::origin_of(origin(n)),
            keys::resolutions_of(conflict(n)),
        ] {
            for direction in [Forward, Backward] {
                let (found, reads) = found(range.clone(), direction);
                assert_eq!(found, n % 2 == 0, "{n}");
                if found {
                    assert_eq!(reads, 1);
                } else {
                    in_vain += reads;
                }
            }
        }
    }
    let (cache, before) = (BlockCache::new(0), reads(&table));
    for n in (1..100).step_by(2) {
        let known = block_on(table.first().unwrap().get(&keys::record(&record(n)), &cache));
        assert_eq!(known.unwrap(), None);
    }
    in_vain += reads(&table) - before;
    assert!(in_vain <= 2, "{in_vain} reads in vain");
    // Nor does a range of more than one end too early.
    let two = KeyRange { end: keys::history_of(&record(2)).end, ..keys::history_of(&record(1)) };
    assert!(found(two, Forward).0);
}

#[test]
fn a_merge_says_what_failed() {
    let failing = tables(Mood::Fails);
    let mut writer = TableWriter::new(io::sink()).unwrap();
    let error = block_on(merge_tables(&failing, &mut writer, true, |_| true)).unwrap_err();
    assert!(matches!(error, MergeError::Read(TableError::Io { .. })), "{error}");

    let good = tables(Mood::Good);
    let mut full = [0; 10_000];
    let mut writer = TableWriter::new(&mut full[..]).unwrap();
    let error = block_on(merge_tables(&good, &mut writer, true, |_| true)).unwrap_err();
    assert!(matches!(error, MergeError::Write(_)), "{error}");
}

#[test]
fn files() {
    let path = std::env::temp_dir().join(format!("prophet-tables-{}", std::process::id()));
    let written = std::fs::File::create(&path).unwrap();
    let mut writer = TableWriter::new(&written).unwrap();
    writer.add(b"a", Some(b"1")).unwrap();
    let summary = writer.finish().unwrap();
    written.sync_all().unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), summary.bytes);
    block_on(async {
        let table = Table::open(file, summary.bytes, path.display().to_string()).await.unwrap();
        let cache = BlockCache::new(1 << 20);
        assert_eq!(table.get(b"a", &cache).await.unwrap(), Some(Some(b"1".to_vec())));
        assert_eq!(table.get(b"b", &cache).await.unwrap(), None);
    });
}

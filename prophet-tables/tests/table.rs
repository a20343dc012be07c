//! Tables: sizes, damage, versions.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures_lite::future::block_on;
use prophet_store::Direction;
use prophet_tables::{
    BlockCache, Cursor, Entry, KeyRange, Layers, Scan, Table, TableError, TableWriter,
};

type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn write<K: AsRef<[u8]>>(entries: &[(K, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = TableWriter::new(&mut bytes).unwrap();
    for (key, value) in entries {
        writer.add(key.as_ref(), value.as_deref()).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Entries, TableError> {
    let len = bytes.len() as u64;
    block_on(async {
        let table = Table::open(bytes, len, "a table".into()).await?;
        assert_eq!(table.place(), "a table");
        let cache = BlockCache::new(1 << 20);
        let mut cursor = table.seek(KeyRange::all(), Direction::Forward, &cache);
        let mut entries = Vec::new();
        while let Some(Entry { key, value }) = cursor.next().await? {
            entries.push((key, value));
        }
        table.verify().await?;
        for (key, value) in &entries {
            assert_eq!(table.get(key, &cache).await?.as_ref(), Some(value));
        }
        Ok(entries)
    })
}

fn small() -> Entries {
    (0..60_u32)
        .map(|n| {
            let value: Vec<u8> =
                (0..n * 13).map(|m| (m.wrapping_mul(m * 2_654_435) >> 11) as u8).collect();
            (format!("key/{n:03}").into_bytes(), (n % 7 > 0).then_some(value))
        })
        .collect()
}

/// The worked example in `docs/format.md`.
#[test]
fn the_example_in_the_format() {
    let entries = vec![
        (b"mpeers/home".to_vec(), Some(b"192.0.2.1".to_vec())),
        (b"mpeers/work".to_vec(), None),
    ];
    let bytes = write(&entries);
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(read(bytes).unwrap(), entries);
    let format = include_str!("../../docs/format.md");
    let (_, section) = format.split_once("### A table of two entries").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: Vec<_> = rows.flat_map(str::split_whitespace).collect();
    assert_eq!(rows, hex);
}

#[test]
fn every_damaged_byte_is_noticed() {
    let entries = small();
    let bytes = write(&entries);
    assert_eq!(read(bytes.clone()).unwrap(), entries);
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let error = read(damaged).unwrap_err();
            assert!(matches!(error, TableError::Damaged { .. }), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_table_cut_short_or_with_more_is_noticed() {
    let bytes = write(&small());
    for len in 0..bytes.len() {
        let error = read(bytes[..len].to_vec()).unwrap_err();
        assert!(matches!(error, TableError::Damaged { .. }), "{len} bytes: {error}");
    }
    for more in [&b"\0"[..], &bytes, &bytes[bytes.len() - 56..]] {
        assert!(read([&bytes, more].concat()).is_err());
        assert!(read([more, &bytes].concat()).is_err());
    }
    // The file is shorter than whoever opens it believes.
    let len = bytes.len() as u64;
    let error = block_on(Table::open(bytes[1..].to_vec(), len, "x.table".into())).unwrap_err();
    assert!(matches!(error, TableError::Io { .. }), "{error}");
    assert!(error.to_string().contains("x.table"));
}

/// Puts a new checksum into a footer.
fn seal(bytes: &mut [u8], footer: usize) {
    let end = bytes.len() - 12;
    let checksum = crc32fast::hash(&bytes[end + 12 - footer..end]);
    bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_newer_version_is_refused() {
    let bytes = write(&small());
    let version = bytes.len() - 14;
    let mut newer = bytes.clone();
    newer[version..version + 2].copy_from_slice(&777_u16.to_le_bytes());
    assert!(matches!(read(newer.clone()), Err(TableError::Damaged { .. })));
    seal(&mut newer, 56);
    let error = read(newer).unwrap_err();
    assert!(matches!(error, TableError::Newer { found: 777, supported: 1, .. }), "{error}");

    // One with another footer.
    let mut longer = vec![9; 100];
    longer.extend_from_slice(&80_u16.to_le_bytes());
    longer.extend_from_slice(&2_u16.to_le_bytes());
    longer.extend_from_slice(&[0; 4]);
    longer.extend_from_slice(&bytes[bytes.len() - 8..]);
    seal(&mut longer, 80);
    assert!(matches!(read(longer), Err(TableError::Newer { found: 2, .. })));

    let mut zero = bytes;
    zero[version..version + 2].fill(0);
    seal(&mut zero, 56);
    assert!(matches!(read(zero), Err(TableError::Damaged { .. })));
}

#[test]
fn lengths_that_are_wrong_are_not_believed() {
    let bytes = write(&small());
    let footer = bytes.len() - 56;
    for field in 0..5 {
        let at = footer + field * 8;
        for number in [0, 1, u64::MAX, u64::MAX / 2, bytes.len() as u64, 1 << 40] {
            let mut wrong = bytes.clone();
            wrong[at..at + 8].copy_from_slice(&number.to_le_bytes());
            seal(&mut wrong, 56);
            assert!(wrong == bytes || read(wrong).is_err(), "field {field} with {number}");
        }
    }
}

#[test]
fn small_tables() {
    for entries in [
        vec![],
        vec![(b"".to_vec(), Some(vec![]))],
        vec![(b"".to_vec(), None)],
        vec![(b"a".to_vec(), Some(vec![1]))],
        vec![(b"".to_vec(), None), (b"\0".to_vec(), Some(vec![0])), (vec![255; 65_535], None)],
    ] {
        assert_eq!(read(write(&entries)).unwrap(), entries);
    }
    let bytes = write::<&[u8]>(&[]);
    let len = bytes.len() as u64;
    let table = block_on(Table::open(bytes, len, "empty".into())).unwrap();
    assert_eq!((table.entries(), table.ends()), (0, None));
    let cache = BlockCache::new(0);
    assert_eq!(block_on(table.get(b"", &cache)).unwrap(), None);
}

#[test]
fn large_values() {
    // One that does not compress, one that does, and small ones between.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..20 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let entries = vec![
        (b"a".to_vec(), Some(vec![1])),
        (b"b".to_vec(), Some(noise)),
        (b"c".to_vec(), None),
        (b"d".to_vec(), Some(vec![7; 20 << 20])),
        (b"e".to_vec(), Some(vec![2])),
    ];
    let bytes = write(&entries);
    assert!(bytes.len() < 21 << 20);
    assert!(read(bytes).unwrap() == entries);
}

#[test]
fn keys_have_to_rise() {
    let mut writer = TableWriter::new(io::sink()).unwrap();
    writer.add(b"b", None).unwrap();
    for key in [&b"b"[..], b"a", b"", &[b'c'; 65_536]] {
        assert_eq!(writer.add(key, None).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    writer.add(b"ba", None).unwrap();
    assert_eq!(writer.finish().unwrap().entries, 2);
}

#[test]
fn many_entries_need_a_second_read() {
    let entries: Vec<_> = (0..100_000_u32)
        .map(|n| (n.to_be_bytes(), (n % 10 != 3).then(|| n.to_le_bytes().to_vec())))
        .collect();
    let bytes: Arc<[u8]> = write(&entries).into();
    let len = bytes.len() as u64;
    let table = block_on(Table::open(bytes, len, "many".into())).unwrap();
    assert_eq!((table.entries(), table.tombstones()), (100_000, 10_000));
    assert_eq!(table.ends(), Some((&0_u32.to_be_bytes()[..], &99_999_u32.to_be_bytes()[..])));
    block_on(table.verify()).unwrap();
    let cache = BlockCache::new(64 << 10);
    for (key, value) in entries.iter().step_by(37) {
        assert_eq!(block_on(table.get(key, &cache)).unwrap().as_ref(), Some(value));
    }
    assert_eq!(block_on(table.get(&100_000_u32.to_be_bytes(), &cache)).unwrap(), None);
    assert!(cache.bytes() <= 64 << 10);
    let mut cursor = table.seek(KeyRange::all(), Direction::Backward, &cache);
    for (key, value) in entries.iter().rev() {
        let entry = block_on(cursor.next()).unwrap().unwrap();
        assert_eq!((&entry.key[..], &entry.value), (&key[..], value));
    }
    assert_eq!(block_on(cursor.next()).unwrap(), None);
    assert_eq!(block_on(cursor.next()).unwrap(), None);
}

#[test]
fn futures_can_go_to_other_threads() {
    fn is_send<T: Send>(_: T) {}
    fn check(
        table: &Table<std::fs::File>,
        cache: &BlockCache,
        cursor: &mut Cursor<'_, std::fs::File>,
        scan: &mut Scan<'_, std::fs::File>,
        layers: &Layers<'_, std::fs::File>,
        writer: &mut TableWriter<Vec<u8>>,
    ) {
        is_send(table.get(b"", cache));
        is_send(cursor.next());
        is_send(scan.next());
        is_send(layers.get(b""));
        is_send(layers.merge_into(writer, true, |_| true));
    }
    fn open(file: std::fs::File) {
        is_send(Table::open(file, 0, String::new()));
    }
    let _ = (check, open);
}

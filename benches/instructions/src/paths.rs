//! The hot paths: what each needs beforehand, and what is counted.

use std::hint::black_box;
use std::sync::Arc;

use backend_fs::FsStore;
use backend_sled::SledStore;
use backend_sqlite::SqliteStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::line::{self, LineReader, LineWriter};
use prophet_store::{
    DatabaseId, Digest, Identity, LogEntry, LogScan, MemoryStore, PageLimit, Properties, Query,
    RecordKey, RecordState, Register, Replica, ReplicaId, ReplicaStore, Timestamp, Value, Write,
    codec, property,
};

use crate::Result;
use crate::callgrind::counted;
use crate::environment::Fixed;

/// How many records a replica has, and how many changesets are integrated or found.
const RECORDS: usize = 1_000;
/// How often a small operation is done, so that its count does not hang on where it happens to be:
/// a page of a tree that is full, a table that grows.
const TIMES: u64 = 200;
/// The log entries of a page.
const PAGE: usize = 256;

/// What is counted, once all that it needs is there.
pub(crate) type Act = Box<dyn FnMut() -> Result<()>>;

/// One of them.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// How many operations what is counted has.
    pub(crate) operations: u64,
    prepare: fn() -> Result<Act>,
}

/// All of them.
pub(crate) fn all() -> Vec<Path> {
    let small = |name, prepare| Path { name, operations: TIMES, prepare };
    let large = |name, prepare| Path { name, operations: 1, prepare };
    vec![
        small("edit_memory", || edit(Engine::Memory)),
        small("edit_sqlite", || edit(Engine::Sqlite)),
        small("edit_fs", || edit(Engine::Files)),
        small("edit_sled", || edit(Engine::Sled)),
        small("get_memory", || get(Engine::Memory)),
        small("get_sqlite", || get(Engine::Sqlite)),
        small("get_fs", || get(Engine::Files)),
        small("get_sled", || get(Engine::Sled)),
        large("integrate_1000_memory", || integrate(Engine::Memory)),
        large("integrate_1000_sqlite", || integrate(Engine::Sqlite)),
        large("integrate_1000_fs", || integrate(Engine::Files)),
        large("integrate_1000_sled", || integrate(Engine::Sled)),
        large("find_in_1000_memory", || find(Engine::Memory)),
        large("find_in_1000_sqlite", || find(Engine::Sqlite)),
        large("find_in_1000_fs", || find(Engine::Files)),
        large("find_in_1000_sled", || find(Engine::Sled)),
        large("scan_log_page_memory", || scan_log(Engine::Memory)),
        large("scan_log_page_sqlite", || scan_log(Engine::Sqlite)),
        large("scan_log_page_fs", || scan_log(Engine::Files)),
        large("scan_log_page_sled", || scan_log(Engine::Sled)),
        small("encode_changeset", || {
            encode(|(entry, _)| codec::encode_changeset(&entry.changeset))
        }),
        small("decode_changeset", decode_changeset),
        small("encode_record", || encode(|(_, record)| codec::encode_record(record))),
        small("decode_record", decode_record),
        small("encode_entry", || encode(|(entry, _)| codec::encode_entry(entry))),
        small("decode_entry", decode_entry),
        small("write_line", write_line),
        small("read_line", read_line),
        small("judge_10_writes", judge),
    ]
}

/// Prepares a path, and has what is counted of it counted.
pub(crate) fn take(name: &str) -> Result<()> {
    let path = all().into_iter().find(|path| path.name == name);
    let path = path.ok_or_else(|| format!("there is no path {name:?}"))?;
    // What it holds is let go of behind it: closing a store is not part of a path.
    let mut act = (path.prepare)()?;
    counted(&mut act)
}

/// Does something [`TIMES`] times.
fn often(mut act: impl FnMut(u64) -> Result<()>) -> Result<()> {
    (0..TIMES).try_for_each(&mut act)
}

#[derive(Debug, Clone, Copy)]
enum Engine {
    Memory,
    Sqlite,
    Files,
    Sled,
}

const DATABASE: DatabaseId = DatabaseId::from_bytes([1; 16]);

impl Engine {
    /// An empty store in the current directory.
    fn create(self, replica: u8) -> Result<Arc<dyn ReplicaStore>> {
        let replica = ReplicaId::from_bytes([replica; 16]);
        let identity = Identity { database: DATABASE, replica };
        Ok(match self {
            Self::Memory => Arc::new(MemoryStore::new(identity)),
            Self::Sqlite => Arc::new(SqliteStore::create(PLACE, identity)?),
            Self::Files => Arc::new(FsStore::create(PLACE, identity)?),
            Self::Sled => Arc::new(SledStore::create(PLACE, identity)?),
        })
    }

    /// The replica, closed and opened again, so that nothing is left to be done in the background.
    fn settled(self, replica: Replica) -> Result<Replica> {
        let close = |replica: Replica| block_on(replica.close());
        let store: Arc<dyn ReplicaStore> = match self {
            Self::Memory => return Ok(replica),
            Self::Sqlite => close(replica).map(|()| SqliteStore::open(PLACE).map(Arc::new))??,
            Self::Files => close(replica).map(|()| FsStore::open(PLACE).map(Arc::new))??,
            Self::Sled => close(replica).map(|()| SledStore::open(PLACE).map(Arc::new))??,
        };
        open(store)
    }
}

/// Where a replica is, in the current directory.
const PLACE: &str = "replica";

fn open(store: Arc<dyn ReplicaStore>) -> Result<Replica> {
    Ok(block_on(Replica::options().environment(Fixed::default()).open_shared(store))?)
}

/// A replica with [`RECORDS`] records, each made by a changeset of its own.
fn filled(engine: Engine) -> Result<(Replica, Vec<RecordKey>)> {
    let replica = open(engine.create(2)?)?;
    let edited = block_on(replica.edit(|edit| async move {
        let mut keys = Vec::new();
        for number in 0..RECORDS {
            edit.begin_changeset("ada@example.org", None)?;
            keys.push(edit.create("bug", properties(number)?).await?);
        }
        Ok(keys)
    }));
    Ok((engine.settled(replica)?, edited?.value))
}

fn properties(number: usize) -> Result<Properties, prophet_store::Error> {
    Ok(Properties::new()
        .with("title", format!("bug number {number:04} that somebody has found"))?
        .with("status", if number.is_multiple_of(4) { "closed" } else { "open" })?
        .with("owner", "ada@example.org")?
        .with("severity", (number % 5) as i64)?
        .with("component", "storage")?)
}

/// One of the keys, in an order that is neither that of the ids nor always the same few.
fn some(keys: &[RecordKey], turn: u64) -> Result<&RecordKey> {
    let place = usize::try_from(turn)?.wrapping_mul(7_919) % keys.len().max(1);
    Ok(keys.get(place).ok_or("no records")?)
}

/// An edit of one property of one record, durable where the store is.
fn edit(engine: Engine) -> Result<Act> {
    let (replica, keys) = filled(engine)?;
    Ok(Box::new(move || {
        often(|turn| {
            let status = Properties::new().with("status", format!("state {turn:04}"))?;
            let digest = block_on(replica.update(some(&keys, turn)?, status))?;
            digest.ok_or("an edit that changes nothing")?;
            Ok(())
        })
    }))
}

fn get(engine: Engine) -> Result<Act> {
    let (replica, keys) = filled(engine)?;
    Ok(Box::new(move || {
        often(|turn| {
            let record = block_on(replica.get(some(&keys, turn)?))?.ok_or("no record")?;
            black_box(record);
            Ok(())
        })
    }))
}

/// The records that a filter leaves of [`RECORDS`].
fn find(engine: Engine) -> Result<Act> {
    let (replica, _) = filled(engine)?;
    let severe = property("severity")?.ge(3);
    let query = Query::of("bug")?.filter(property("status")?.eq("closed").and(severe));
    Ok(Box::new(move || {
        let found = block_on(replica.count(&query))?;
        expect(found, (RECORDS / 10) as u64)
    }))
}

/// [`RECORDS`] changesets of another replica, in one batch.
fn integrate(engine: Engine) -> Result<Act> {
    let (source, _) = filled(Engine::Memory)?;
    let target = open(engine.create(3)?)?;
    Ok(Box::new(move || {
        let report = block_on(target.pull(&source, prophet_store::PullOptions::new()))?;
        expect(report.integrated, RECORDS as u64)
    }))
}

fn scan_log(engine: Engine) -> Result<Act> {
    let (replica, _) = filled(engine)?;
    let scan = LogScan { limit: PageLimit::items(PAGE), ..LogScan::default() };
    Ok(Box::new(move || {
        let page = block_on(replica.store().scan_log(&scan))?;
        expect(page.items.len() as u64, PAGE as u64)
    }))
}

fn expect(found: u64, expected: u64) -> Result<()> {
    if found == expected { Ok(()) } else { Err(format!("{found} instead of {expected}").into()) }
}

/// A log entry that updates a record of five properties, and the record after it.
fn content() -> Result<(LogEntry, RecordState)> {
    let (replica, keys) = filled(Engine::Memory)?;
    let key = some(&keys, 7)?;
    let status = Properties::new().with("status", "assigned")?.with("severity", 9)?;
    let digest = block_on(replica.update(key, status))?.ok_or("an edit that changes nothing")?;
    let entry = block_on(replica.changeset(digest))?;
    let records = block_on(replica.store().get_records(std::slice::from_ref(key)))?.value;
    let record = records.into_iter().flatten().next().ok_or("no record")?;
    Ok((entry, record))
}

fn encode(encode: fn(&(LogEntry, RecordState)) -> Vec<u8>) -> Result<Act> {
    let content = content()?;
    Ok(Box::new(move || {
        often(|_| {
            black_box(encode(black_box(&content)));
            Ok(())
        })
    }))
}

fn decode_changeset() -> Result<Act> {
    let bytes = codec::encode_changeset(&content()?.0.changeset);
    Ok(Box::new(move || {
        often(|_| {
            black_box(codec::decode_changeset(black_box(&bytes))?);
            Ok(())
        })
    }))
}

fn decode_record() -> Result<Act> {
    let bytes = codec::encode_record(&content()?.1);
    Ok(Box::new(move || {
        often(|_| {
            black_box(codec::decode_record(black_box(&bytes))?);
            Ok(())
        })
    }))
}

fn decode_entry() -> Result<Act> {
    let entry = content()?.0;
    let bytes = codec::encode_entry(&entry);
    Ok(Box::new(move || {
        often(|_| {
            black_box(codec::decode_entry(entry.position, black_box(&bytes))?);
            Ok(())
        })
    }))
}

/// The first entries of a log.
fn entries() -> Result<Vec<LogEntry>> {
    let (replica, _) = filled(Engine::Memory)?;
    let mut log = replica.log(None, prophet_store::Direction::Forward);
    let mut entries = Vec::new();
    while let Some(entry) = block_on(log.next()) {
        entries.push(entry?);
    }
    entries.truncate(usize::try_from(TIMES)?);
    expect(entries.len() as u64, TIMES)?;
    drop(log);
    Ok(entries)
}

/// A log entry as a line of JSON.
fn write_line() -> Result<Act> {
    let entries = entries()?;
    let mut writer = LineWriter::new(DATABASE);
    Ok(Box::new(move || {
        let mut out = Vec::new();
        for entry in &entries {
            writer.write_entry(entry, &mut out);
        }
        black_box(out);
        Ok(())
    }))
}

fn read_line() -> Result<Act> {
    let mut writer = LineWriter::new(DATABASE);
    let mut text = Vec::new();
    for entry in entries()? {
        writer.write_entry(&entry, &mut text);
    }
    let mut reader = LineReader::new(DATABASE);
    Ok(Box::new(move || {
        for line in line::lines(&text) {
            black_box(reader.read(line)?);
        }
        Ok(())
    }))
}

/// What is visible of a register with ten writes of ten values, on which nobody has voted.
fn judge() -> Result<Act> {
    let writes = (0..10_u8).map(|number| {
        let rank = Timestamp::new(1_700_000_000_000 + u64::from(number), 0);
        Write::new(Digest::of(&[number]), rank, Some(Value::from(format!("state {number}"))))
    });
    let register = Register::new(writes.collect());
    if !register.is_contested() {
        return Err("there is nothing to judge".into());
    }
    Ok(Box::new(move || {
        often(|_| {
            black_box(black_box(&register).judge());
            Ok(())
        })
    }))
}

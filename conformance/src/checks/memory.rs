//! How much memory reading takes.

use futures_lite::StreamExt as _;
use prophet_store::{LogScan, RecordScan, ReplicaStoreExt as _, Value};

use crate::child::Child;
use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{World, key};
use crate::harness::{Harness, Store};
use crate::suite::{Context, apply};

/// How many values of 1 MiB there are.
const COUNT: usize = 48;
/// What reading all of it may take. The default page is of 1 MiB, and may hold one item more than
/// fits. A store that has the stored bytes, what they decode to and the page at once, and that twice
/// over, takes half of this; the rest is for its cache, and for what the allocator does not give
/// back. Whoever keeps what was read needs three times as much.
const MOST: u64 = 16 << 20;

/// Puts so many values of 1 MiB into the store, one a commit.
pub(crate) async fn fill(store: &Store, count: usize) -> Outcome {
    let mut world = World::new();
    for number in 0..count {
        let byte = u8::try_from(number).unwrap_or_default();
        let record = key("large", byte);
        let commit =
            world.draft().edit(&record, &[("bytes", Value::from(vec![byte; 1 << 20]))]).finish();
        apply(store, &commit).await?;
        // Nobody asks for it, and it is large.
        world.model.log.clear();
        world.model.records.clear();
    }
    Ok(())
}

/// Reads everything in pages of the default size, and says how far that raised the peak of the
/// memory in use.
pub(crate) async fn streamed(harness: &dyn Harness, store: &Store) -> Outcome<u64> {
    let peak = || {
        let none =
            || Failure::around("the harness declares the peak of memory but does not know it");
        harness.peak_memory().ok_or_else(none)
    };
    let before = peak()?;
    let mut log = store.stream_log(LogScan::default());
    let mut entries = 0;
    while let Some(entry) = log.next().await {
        entry?;
        entries += 1;
    }
    drop(log);
    let mut states = store.stream_records(RecordScan::default());
    let mut records = 0;
    while let Some(state) = states.next().await {
        state?;
        records += 1;
    }
    ensure_eq!(R4, (entries, records), (COUNT, COUNT), "the entries and records that came");
    Ok(peak()? - before)
}

pub(crate) async fn streaming_takes_bounded_memory(context: &Context<'_>) -> Outcome {
    drop(context.create()?);
    let mut writer = Child::start(context)?;
    ensure_eq!(O2, writer.call("open")?, "done", "opening in another process");
    ensure_eq!(C3, writer.call(&format!("fill {COUNT}"))?, "done", "large commits");
    ensure_eq!(O3, writer.call("close")?, "done", "closing in another process");
    drop(writer);
    // The peak never falls, so it is that of a process that did nothing but open and read.
    let mut reader = Child::start(context)?;
    ensure_eq!(O2, reader.call("open")?, "done", "opening in another process");
    let answer = reader.call("stream")?;
    let risen: u64 = answer
        .parse()
        .map_err(|_| Failure::around(format!("another process could not read: {answer}")))?;
    ensure!(R4, risen <= MOST, "reading {COUNT} MiB in pages took {risen} bytes of memory");
    Ok(())
}

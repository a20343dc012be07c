//! How much memory reading takes.

use futures_lite::StreamExt as _;
use prophet_store::{LogScan, RecordScan, ReplicaStoreExt as _, Value};

use crate::child::Child;
use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{World, key};
use crate::suite::{Context, apply};
use harnesses::{Harness, Store};

/// How many commits of `EACH` long texts there are.
const COMMITS: usize = 40;
const EACH: usize = 16;
const LENGTH: usize = 64 << 10;
/// What reading all of it may take. The default page is of 1 MiB. A store that has the stored bytes,
/// what they decode to and the page at once, and that twice over, takes 8 MiB; its caches may take
/// 16, and 4 are for what the allocator does not give back. Whoever keeps what was read takes 40, for
/// the log and the records each.
const MOST: u64 = 28 << 20;

/// Puts long texts into the store, each in a record of its own.
pub(crate) async fn fill(store: &Store) -> Outcome {
    let mut world = World::new();
    for commit in 0..COMMITS {
        let text = char::from(b'a' + u8::try_from(commit % 26).unwrap_or_default());
        let text = Value::from(text.to_string().repeat(LENGTH));
        let mut draft = world.draft();
        for number in 0..EACH {
            let kind = format!("long{commit}");
            let record = key(&kind, u8::try_from(number).unwrap_or_default());
            draft = draft.edit(&record, &[("text", text.clone())]);
        }
        apply(store, &draft.finish()).await?;
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
    let all = COMMITS * EACH;
    ensure_eq!(R4, (entries, records), (all, all), "the entries and records that came");
    Ok(peak()?.saturating_sub(before))
}

pub(crate) async fn streaming_takes_bounded_memory(context: &Context<'_>) -> Outcome {
    drop(context.create()?);
    let mut writer = Child::start(context)?;
    ensure_eq!(O2, writer.call("open")?, "done", "opening in another process");
    ensure_eq!(C3, writer.call("fill")?, "done", "large commits");
    ensure_eq!(O3, writer.call("close")?, "done", "closing in another process");
    drop(writer);
    // The peak never falls, so it is that of a process that did nothing but open and read.
    let mut reader = Child::start(context)?;
    ensure_eq!(O2, reader.call("open")?, "done", "opening in another process");
    let answer = reader.call("stream")?;
    let risen: u64 = answer
        .parse()
        .map_err(|_| Failure::around(format!("another process could not read: {answer}")))?;
    ensure!(
        R4,
        risen <= MOST,
        "reading {} bytes in pages took {risen} bytes of memory",
        COMMITS * EACH * LENGTH
    );
    Ok(())
}

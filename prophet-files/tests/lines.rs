//! Lines come back as they were written.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::frame::FrameEntries;
use prophet_files::line::{BadLine, CommitEnd, Line, LineReader, LineWriter, Start, frames, lines};
use prophet_store::{
    Direction, Head, Identity, LogEntry, MemoryStore, MetadataKey, Properties, PullOptions, Real,
    Replica, Side, Value,
};

/// The log of a replica to which everything that a log can say has happened.
async fn log() -> (Identity, Vec<LogEntry>) {
    let identity = Identity::new_database().unwrap();
    let ada = Replica::open(MemoryStore::new(identity)).await.unwrap();
    let other = Identity::new_replica(identity.database).unwrap();
    let bob = Replica::open(MemoryStore::new(other)).await.unwrap();
    let properties = Properties::new()
        .with("title", "quotes \" and \\ and \u{2028} and 😀")
        .unwrap()
        .with("$odd", Value::List(vec![0.into(), (-1).into()]))
        .unwrap()
        .with("real", Value::Real(Real::new(1.0).unwrap()))
        .unwrap();
    let bug = ada.create("bug/with/slashes", properties).await.unwrap();
    let gone = ada.create("bug", Properties::new()).await.unwrap();
    bob.pull(&ada, PullOptions::new()).await.unwrap();
    for (replica, title) in [(&ada, "one"), (&bob, "two")] {
        replica.update(&bug, Properties::try_from([("title", title)]).unwrap()).await.unwrap();
    }
    ada.delete(&gone).await.unwrap();
    bob.update(&gone, Properties::try_from([("title", "no")]).unwrap()).await.unwrap();
    ada.pull(&bob, PullOptions::new().prefer(Side::Source)).await.unwrap();
    let undone = ada.update(&bug, Properties::try_from([("x", 1)]).unwrap()).await.unwrap();
    let _ = undone;
    let log: Vec<_> = ada.log(None, Direction::Forward).map(Result::unwrap).collect().await;
    (identity, log)
}

/// Text that JSON escapes, bytes that are no text, and what is gone.
fn metadata() -> Vec<(MetadataKey, Option<Vec<u8>>)> {
    let key = |name: &str| MetadataKey::new(name).unwrap();
    let text = b"te\"xt".to_vec();
    vec![(key("a\"b"), Some(text)), (key("b"), Some(vec![0xff, 0])), (key("c"), None)]
}

#[test]
fn lines_come_back_as_they_were_written() {
    let (identity, log) = block_on(log());
    assert!(log.iter().any(|entry| !entry.nullify.is_empty()));
    assert!(log.iter().any(|entry| entry.settle.iter().any(|settled| settled.rule.is_some())));
    assert!(log.iter().any(|entry| !entry.changeset.payload().votes().is_empty()));
    let mut lines = vec![Line::Start(Start { identity, segment: 7, base: Head::EMPTY })];
    // Enough of them for several frames.
    for _ in 0..50 {
        lines.extend(log.iter().cloned().map(Line::Entry));
        let mut end = CommitEnd::at(Head::EMPTY);
        end.metadata = metadata();
        lines.push(Line::Commit(end));
    }
    lines.push(Line::Sealed(Head::EMPTY));
    let mut writer = LineWriter::new(identity.database);
    let (mut text, mut begun) = (Vec::new(), Vec::new());
    for line in &lines {
        begun.push(writer.write(line, &mut text));
    }
    assert!(begun.iter().filter(|begins| **begins).count() > 3);
    let mut reader = LineReader::new(identity.database);
    let read: Vec<_> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| reader.read(line).unwrap())
        .collect();
    for ((read, line), begins) in read.iter().zip(&lines).zip(begun) {
        assert_eq!((read.0, &read.1), (begins, line));
    }
    assert_eq!(read.len(), lines.len());
}

#[test]
fn a_line_with_any_byte_changed_is_refused() {
    let (identity, log) = block_on(log());
    let mut writer = LineWriter::new(identity.database);
    let mut text = Vec::new();
    writer.write(&Line::Entry(log[0].clone()), &mut text);
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let mut reader = LineReader::new(identity.database);
        assert!(matches!(reader.read(&changed), Err(BadLine::Damaged { .. })), "byte {at}");
        assert!(reader.read(&text[..at]).is_err());
    }
}

#[test]
fn entries_of_a_frame_are_read_one_by_one_in_any_order() {
    let (identity, log) = block_on(log());
    let database = identity.database;
    let mut writer = LineWriter::new(database);
    let mut text = Vec::new();
    writer.write(&Line::Start(Start { identity, segment: 1, base: Head::EMPTY }), &mut text);
    for entry in &log {
        writer.write_entry(entry, &mut text);
        writer.write_commit(&CommitEnd::at(Head::EMPTY), &mut text);
    }
    assert_eq!(frames(&text).count(), 1);
    assert_eq!(lines(&text).collect::<Vec<_>>().concat(), text);
    let read = || FrameEntries::new(database, text.clone()).unwrap();
    assert!(read().positions().eq(log.iter().map(|entry| entry.position)));
    let (forward, backward) = (read(), read());
    for (first, last) in log.iter().zip(log.iter().rev()) {
        assert_eq!(forward.entry_at(first.position).unwrap(), Some(first));
        assert_eq!(backward.entry_at(last.position).unwrap(), Some(last));
        // By itself.
        assert_eq!(read().entry_at(first.position).unwrap(), Some(first));
    }
    let beyond = log.last().unwrap().position.next();
    assert_eq!(forward.entry_at(beyond).unwrap(), None);

    // A letter of a title, and one of a digest with the checksum made anew.
    let at = text.windows(3).position(|bytes| bytes == b"two").unwrap();
    let mut damaged = text.clone();
    damaged[at] = b'T';
    let refused = FrameEntries::new(database, damaged);
    assert!(matches!(refused, Err(BadLine::Damaged { .. })), "{refused:?}");
    let mut forged = Vec::new();
    for line in lines(&text) {
        let line = String::from_utf8(line.to_vec()).unwrap();
        let line = line.replace("two", "Two");
        let (body, _) = line.rsplit_once(",\"crc\"").unwrap();
        let crc = crc32fast::hash(body.as_bytes());
        forged.extend_from_slice(format!("{body},\"crc\":\"{crc:08x}\"}}\n").as_bytes());
    }
    let forged = FrameEntries::new(database, forged).unwrap();
    let refused = log.iter().filter(|entry| forged.entry_at(entry.position).is_err()).count();
    assert!(0 < refused && refused < log.len(), "{refused}");
}

/// Lines that were written once are written so for ever, byte for byte: names of published segments say
/// what is in them. `PROPHET_BLESS` writes others.
#[test]
fn lines_are_written_as_they_always_were() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.jsonl");
    if std::env::var_os("PROPHET_BLESS").is_some() {
        let (identity, log) = block_on(log());
        let mut writer = LineWriter::new(identity.database);
        let mut text = Vec::new();
        writer.write(&Line::Start(Start { identity, segment: 7, base: Head::EMPTY }), &mut text);
        for entry in &log {
            writer.write_entry(entry, &mut text);
        }
        let mut end = CommitEnd::at(Head::EMPTY);
        end.metadata = metadata();
        writer.write_commit(&end, &mut text);
        writer.write(&Line::Sealed(Head::EMPTY), &mut text);
        std::fs::write(&place, text).unwrap();
    }
    let golden = std::fs::read(&place).unwrap();
    let start = lines(&golden).next().unwrap();
    let database = String::from_utf8_lossy(start);
    let database = database.split("\"database\":\"").nth(1).unwrap().get(..36).unwrap();
    let database = database.parse().unwrap();
    let (mut reader, mut writer) = (LineReader::new(database), LineWriter::new(database));
    let mut written = Vec::new();
    for line in lines(&golden) {
        writer.write(&reader.read(line).unwrap().1, &mut written);
    }
    assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(golden.clone()).unwrap());
    let golden = String::from_utf8(golden).unwrap();
    for member in
        ["votes", "nullify", "settle", "rule", "supersedes", "parents", "metadata", "sealed"]
    {
        assert!(golden.contains(&format!("\"{member}\":")), "no line has {member}");
    }
}

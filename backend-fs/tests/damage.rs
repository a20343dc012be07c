//! Bytes change, files are cut off, go or change places: that is said, or does no harm.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::fmt::Debug;

use backend_fs::simulated::{Image, SimulatedDisk};
use backend_fs::{Disk as _, FsOptions, FsStore};
use futures_lite::future::block_on;
use prophet_files::line::{Line, LineWriter, Start};
use prophet_store::{
    Head, Identity, LogScan, MetadataScan, RecordScan, ReplicaId, ReplicaStore as _,
    ResolutionScan, StoreError,
};
use support::{IDENTITY, Workload, create, everything, open, options};

const COMMITS: usize = 4;

/// A small replica, and how long its open segment was after each commit.
fn replica(options: &FsOptions) -> (Image, Vec<usize>) {
    let disk = SimulatedDisk::default();
    let store = create(options, &disk).unwrap();
    let length = || {
        let tree = disk.image().tree();
        tree.iter().filter(|(name, _)| name.ends_with(".jsonl")).map(|(_, text)| text.len()).sum()
    };
    let mut lengths = vec![length()];
    for commit in &Workload::small().commits[..COMMITS] {
        block_on(store.commit(commit)).unwrap();
        // What is sealed is sealed under the lock that the next commit takes.
        lengths.push(length());
    }
    block_on(store.close()).unwrap();
    (disk.image(), lengths)
}

fn unsealed() -> (Image, Vec<usize>) {
    let (image, lengths) = replica(&options(1 << 20));
    assert_eq!(image.tree().keys().filter(|name| name.starts_with("log/")).count(), 1);
    (image, lengths)
}

fn sealed() -> Image {
    let (image, _) = replica(&options(900));
    let tree = image.tree();
    let has = |ending: &str| tree.keys().filter(|name| name.ends_with(ending)).count();
    assert!(has(".zst") > 0 && has(".table") > 0 && has(".jsonl") == 1, "{:?}", tree.keys());
    image
}

/// The damage was seen.
fn said(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::NotAReplica { .. }
            | StoreError::NotFound { .. }
    )
}

fn right<T: PartialEq + Debug>(what: &str, found: Result<T, StoreError>, expected: &T) -> bool {
    match found {
        Ok(found) if found == *expected => true,
        Ok(_) => panic!("{what}: wrong data"),
        Err(error) if said(&error) => false,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// Each read by itself gives what is right, or says that something is damaged. Whether it all was
/// right.
fn reads(what: &str, store: &FsStore, number: usize) -> bool {
    let expected = &Workload::small().contents[number];
    let head = block_on(store.head());
    let log = block_on(store.scan_log(&LogScan::default())).map(|page| page.items);
    let records = block_on(store.scan_records(&RecordScan::default())).map(|page| page.items);
    let votes = block_on(store.scan_resolutions(&ResolutionScan::default())).map(|page| page.items);
    let metadata = block_on(store.scan_metadata(&MetadataScan::default())).map(|page| page.items);
    let all = [
        right(what, head, &expected.head),
        right(what, log, &expected.log),
        right(what, records, &expected.records),
        right(what, votes, &expected.resolutions),
        right(what, metadata, &expected.metadata),
        right(what, support::Content::of(store), expected),
    ];
    all.iter().all(|right| *right)
}

/// Looks at a damaged replica. `lost` says how many commits it has then instead of all. Whether
/// the damage was seen.
fn look(what: &str, image: &Image, options: &FsOptions, lost: Option<usize>) -> bool {
    let disk = SimulatedDisk::new(image.clone());
    let store = match open(options, &disk) {
        Ok(store) => store,
        Err(error) if said(&error) => return true,
        Err(error) => panic!("{what}: {error:?}"),
    };
    let right = reads(what, &store, lost.unwrap_or(COMMITS));
    let report = block_on(store.verify()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert!(right || !report.is_sound(), "{what}: a read meets damage that verify does not");
    !report.is_sound()
}

fn both(what: &str, image: &Image, lost: Option<usize>) -> bool {
    let options = options(1 << 20);
    let reading = look(what, image, &options.clone().read_only(true), lost);
    // What is derived may be made anew.
    let _ = look(what, image, &options, lost);
    reading
}

/// All, or a third of them; `PROPHET_ALL` says that all.
fn flips(at: usize) -> impl Iterator<Item = u8> {
    let all = [0x01, 0x80, 0xFF];
    let every = everything();
    all.into_iter().enumerate().filter(move |(way, _)| every || way % 3 == at % 3).map(|(_, f)| f)
}

fn flip_everything(image: &Image) {
    let (mut tried, mut seen) = (0, 0);
    for (name, bytes) in image.tree() {
        for at in 0..bytes.len() {
            for flip in flips(at) {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let what = format!("{name}, byte {at} of {} xor {flip:02x}", bytes.len());
                // Without the line feed at its end, the last commit looks cut off.
                let last = name.ends_with(".jsonl") && at + 1 == bytes.len();
                let lost = last.then_some(COMMITS - 1);
                let damaged = image.with(&name, Some(damaged));
                let said = both(&what, &damaged, lost);
                tried += 1;
                seen += usize::from(said);
                let log = name.starts_with("log/") && !last;
                assert!(said || !log, "{what}: it is not seen");
            }
        }
    }
    println!("{tried} bytes, {seen} seen");
}

#[test]
fn any_byte_of_an_open_segment() {
    flip_everything(&unsealed().0);
}

#[test]
fn any_byte_of_sealed_segments_and_tables() {
    flip_everything(&sealed());
}

#[test]
fn any_length() {
    let (image, lengths) = unsealed();
    let mut tried = 0;
    for (image, lengths) in [(image, Some(lengths)), (sealed(), None)] {
        for (name, bytes) in image.tree() {
            let step = if everything() { 1 } else { 6 };
            let ends = lengths.iter().flatten().flat_map(|end| [end - 1, *end, end + 1]);
            let all = (0..bytes.len()).step_by(step).chain(ends.filter(|end| *end < bytes.len()));
            for len in all {
                tried += 1;
                let what = format!("{name}, {len} of {} bytes", bytes.len());
                let damaged = image.with(&name, Some(bytes[..len].to_vec()));
                // The commits that are whole are there; nothing tells that there were others.
                let lost = match (&lengths, name.ends_with(".jsonl")) {
                    (Some(lengths), true) => lengths.iter().rposition(|end| *end <= len),
                    (None, true) => continue,
                    _ => None,
                };
                both(&what, &damaged, lost);
            }
        }
    }
    println!("{tried} lengths");
}

#[test]
fn any_file_goes_or_is_another() {
    for image in [unsealed().0, sealed()] {
        let tree = image.tree();
        for name in tree.keys() {
            let what = format!("{name} removed");
            let said = both(&what, &image.with(name, None), None);
            assert!(said || !(name.starts_with("log/") || name == "prophet.json"), "{what}");
            for (other, bytes) in tree.iter().filter(|(other, _)| *other != name) {
                let what = format!("{name} with the bytes of {other}");
                both(&what, &image.with(name, Some(bytes.clone())), None);
                let swapped = image.with(name, Some(bytes.clone()));
                let swapped = swapped.with(other, Some(tree[name].clone()));
                both(&format!("{name} and {other} swapped"), &swapped, None);
            }
        }
    }
}

#[test]
fn files_that_make_no_log_are_refused_and_named() {
    let image = sealed();
    let tree = image.tree();
    let names = |ending: &str| {
        tree.keys().filter(|name| name.ends_with(ending)).cloned().collect::<Vec<_>>()
    };
    let (sealed, open_one) = (names(".zst"), names(".jsonl").remove(0));
    let refused = |image: &Image, file: &str, words: &str| {
        let error = open(&options(900), &SimulatedDisk::new(image.clone())).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(file) && error.contains(words), "{file}, {words}: {error}");
    };
    let without = image.with(&sealed[0], None);
    refused(&without, "log/00000001.jsonl", "this segment of the log is missing");
    let unfinished = without.with("log/00000001.jsonl", Some(b"{}\n".to_vec()));
    refused(&unfinished, "log/00000001.jsonl", "it is not sealed, and another one follows");
    let twice = image.with("log/00000001-0123abcd.jsonl.zst", Some(tree[&sealed[0]].clone()));
    refused(&twice, "log/00000001.jsonl", "there are two sealed segments of this number");
    // The first segment of the same replica, and one of this number of another replica.
    let (first, _) = unsealed();
    let first = first.tree()["log/00000001.jsonl"].clone();
    refused(&image.with(&open_one, Some(first)), &open_one, "it is a segment of another log");
    let identity = Identity { replica: ReplicaId::from_bytes([0xEE; 16]), ..IDENTITY };
    let start = Line::Start(Start { identity, segment: 1, base: Head::EMPTY });
    let mut text = Vec::new();
    LineWriter::new(IDENTITY.database).write(&start, &mut text);
    let other = unsealed().0.with("log/00000001.jsonl", Some(text));
    refused(&other, "log/00000001.jsonl", "it is a segment of another log");
}

/// Zeros where a sector was, in front of commits that were acknowledged later, are damage.
#[test]
fn zeros_within_the_log_are_damage() {
    let (image, lengths) = unsealed();
    let (name, text) = image.tree().into_iter().find(|(name, _)| name.ends_with("jsonl")).unwrap();
    // The last commit begins a line, so that it can be told that there is one.
    let end = lengths[COMMITS - 1] - 1;
    for from in lengths[0]..end {
        if from % 5 > 0 {
            continue;
        }
        let mut damaged = text.clone();
        let to = (from + 64).min(end);
        damaged[from..to].fill(0);
        let what = format!("zeros from {from} to {to}");
        assert!(both(&what, &image.with(&name, Some(damaged)), None), "{what}");
        // That the last line is cut off as well does not change what comes before it.
        let end = lengths[COMMITS - 2] - 1;
        if from < end {
            let to = (from + 64).min(end);
            let mut damaged = text[..text.len() - 1].to_vec();
            damaged[from..to].fill(0);
            assert!(both(&what, &image.with(&name, Some(damaged)), None), "{what}, cut off");
        }
    }
}

/// One thing that is damaged does not hide another one.
#[test]
fn all_that_is_damaged_is_reported() {
    let disk = SimulatedDisk::default();
    let store = create(&options(1), &disk).unwrap();
    for commit in &Workload::small().commits {
        block_on(store.commit(commit)).unwrap();
    }
    drop(store);
    let names: Vec<_> = disk.image().tree().into_keys().collect();
    let of = |end: &str| names.iter().filter(|name| name.ends_with(end)).collect::<Vec<_>>();
    let (tables, segments) = (of(".table"), of(".zst"));
    assert!(segments.len() > 4, "{names:?}");
    let store = open(&options(1).read_only(true), &disk).unwrap();
    assert!(block_on(store.verify()).unwrap().is_sound());
    disk.flip(tables[0], 40);
    disk.flip(segments[1], 40);
    disk.remove(segments[3]).unwrap();
    let verification = block_on(store.verify()).unwrap();
    let problems = verification.problems.join("\n");
    for damaged in [tables[0], segments[1], segments[3]] {
        assert!(problems.contains(damaged.as_str()), "{damaged}: {problems}");
    }
    assert!(verification.problems.len() < 8, "each once: {problems}");
    assert!(verification.entries > 0, "the rest was looked at");
}

#[test]
fn what_is_derived_can_go() {
    let image = sealed();
    let options = options(900);
    let mut without = vec![image.without_directory("index"), image.with("manifest.json", None)];
    without.push(image.without_directory("index").without_directory("records"));
    without.push(without[2].with("manifest.json", None));
    for image in without {
        for read_only in [true, false] {
            let disk = SimulatedDisk::new(image.clone());
            let store = open(&options.clone().read_only(read_only), &disk).unwrap();
            assert_eq!(Workload::small().expect_sound(&store, true), Ok(COMMITS));
            if read_only {
                assert_eq!(disk.image().tree(), image.tree(), "who reads only leaves it as it is");
                continue;
            }
            block_on(store.commit(&Workload::small().commits[COMMITS])).unwrap();
            block_on(store.close()).unwrap();
            assert!(disk.image().tree().contains_key("manifest.json"));
            assert!(disk.image().tree().keys().any(|name| name.ends_with(".table")));
        }
    }
}

#[test]
fn newer_formats_are_refused_and_left_untouched() {
    let (image, _) = unsealed();
    let tree = image.tree();
    let (name, text) = tree.iter().find(|(name, _)| name.ends_with("jsonl")).unwrap();
    let text = std::str::from_utf8(text).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let (body, _) = first.split_once(",\"crc\"").unwrap();
    let newer = body.replace("\"format\":1", "\"format\":2");
    assert_ne!(newer, body, "{body}");
    let newer = format!("{newer},\"crc\":\"{:08x}\"}}\n{rest}", crc32fast::hash(newer.as_bytes()));
    let identity = std::str::from_utf8(&tree["prophet.json"]).unwrap();
    let raised = identity.replace("\"format\":1", "\"format\":2");
    assert_ne!(raised, identity);
    for (name, bytes) in [(name.as_str(), newer), ("prophet.json", raised)] {
        let image = image.with(name, Some(bytes.into_bytes()));
        for read_only in [true, false] {
            let disk = SimulatedDisk::new(image.clone());
            let error = open(&options(1).read_only(read_only), &disk).unwrap_err();
            let StoreError::NewerFormat { found: 2, .. } = error else { panic!("{error:?}") };
            assert_eq!(disk.image().tree(), image.tree());
        }
    }
}

//! Bytes change, files are cut off, go or are older: that is said, or does no harm.
//!
//! sled itself panics or opens with data silently gone in such cases.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Once, mpsc};
use std::time::Duration;

use backend_sled::SledStore;
use futures_lite::future::block_on;
use prophet_store::{
    LogScan, MetadataScan, RecordScan, ReplicaStore as _, ResolutionScan, StoreError,
};
use support::{Content, Random, cases, fill};

/// The files of a replica that nobody has open.
type Image = BTreeMap<PathBuf, Vec<u8>>;

fn image(path: &Path) -> Image {
    let mut files = Image::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let found = entry.unwrap().path();
            match found.is_dir() {
                true => directories.push(found),
                false => {
                    let name = found.strip_prefix(path).unwrap().to_owned();
                    files.insert(name, fs::read(&found).unwrap());
                }
            }
        }
    }
    files
}

fn put(image: &Image, path: &Path) {
    for (name, bytes) in image {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
}

/// Panics of sled are caught, and here they are many.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = info.location().is_some_and(|place| place.file().contains("backend-sled"));
            if ours || std::env::var_os("LOUD").is_some() {
                usual(info);
            }
        }));
    });
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

fn right<T: PartialEq>(what: &str, found: Result<T, StoreError>, expected: &T) -> bool {
    match found {
        Ok(found) if found == *expected => true,
        Ok(_) => panic!("{what}: wrong data"),
        Err(error) if said(&error) => false,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// How damage was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// It does no harm, and everything is there.
    Harmless,
    /// By opening.
    Opening,
    /// By a read.
    Reading,
    /// By `verify` alone.
    Verify,
}

/// Opens a damaged replica and reads all of it. Whatever sled does, that comes to an end.
fn look(what: &str, image: &Image, expected: &Content) -> Met {
    let (done, result) = mpsc::channel();
    let (image, expected, name) = (image.clone(), expected.clone(), what.to_owned());
    let looking = std::thread::spawn(move || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("replica");
        put(&image, &path);
        let met = read(&name, &path, &expected);
        let _ = done.send(());
        met
    });
    match result.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        _ => looking.join().unwrap_or_else(|_| panic!("{what}: see above")),
    }
}

fn read(what: &str, path: &Path, expected: &Content) -> Met {
    let store = match SledStore::open(path) {
        Ok(store) => store,
        Err(error) if said(&error) => return Met::Opening,
        Err(error) => panic!("{what}: {error:?}"),
    };
    let head = block_on(store.head());
    let log = block_on(store.scan_log(&LogScan::default())).map(|page| page.items);
    let records = block_on(store.scan_records(&RecordScan::default())).map(|page| page.items);
    let votes = block_on(store.scan_resolutions(&ResolutionScan::default())).map(|page| page.items);
    let metadata = block_on(store.scan_metadata(&MetadataScan::default())).map(|page| page.items);
    let page = |len: usize| len.min(256);
    let all = [
        right(what, head, &expected.head),
        right(what, log, &expected.log[..page(expected.log.len())].to_vec()),
        right(what, records, &expected.records[..page(expected.records.len())].to_vec()),
        right(what, votes, &expected.resolutions),
        right(what, metadata, &expected.metadata[..page(expected.metadata.len())].to_vec()),
        right(what, expected.again(&store), expected),
    ];
    let report = block_on(store.verify()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    match (all.iter().all(|right| *right), report.is_sound()) {
        (true, true) => Met::Harmless,
        (false, false) => Met::Reading,
        (true, false) => Met::Verify,
        (false, true) => panic!("{what}: a read meets damage that verify does not"),
    }
}

/// A replica as the handle left it that made it, and as the next handle left it.
fn images(records: usize) -> ([Image; 2], Content) {
    quiet();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    fill(&path, records);
    let first = image(&path);
    let store = SledStore::open(&path).unwrap();
    let content = Content::of(&store).unwrap();
    assert_eq!(block_on(store.verify()).unwrap().problems, Vec::<String>::new());
    drop(store);
    let second = image(&path);
    for image in [&first, &second] {
        assert_eq!(look("undamaged", image, &content), Met::Harmless);
        let blobs = image.keys().filter(|name| name.starts_with("sled/blobs")).count();
        assert_eq!(blobs, 0, "sled made files that it does not sync");
    }
    ([first, second], content)
}

/// Where to damage a file: everywhere in a short one, and here and there in what is not padding of a
/// long one.
fn places(bytes: &[u8], random: &mut Random, count: usize) -> Vec<usize> {
    if bytes.len() <= count {
        return (0..bytes.len()).collect();
    }
    let written: Vec<usize> = (0..bytes.len())
        .filter(|at| {
            let near = &bytes[at.saturating_sub(8)..(at + 8).min(bytes.len())];
            near.iter().any(|byte| *byte != near[0])
        })
        .collect();
    (0..count).map(|_| written[random.below(written.len())]).collect()
}

fn report(what: &str, met: &BTreeMap<Met, usize>) {
    println!("{what}: {met:?}");
}

#[test]
fn any_byte() {
    let (images, content) = images(300);
    let mut random = Random::new(1);
    for image in images {
        for (name, bytes) in &image {
            let mut met = BTreeMap::new();
            for at in places(bytes, &mut random, cases(60)) {
                let flip = [0x01, 0x80, 0xFF][random.below(3)];
                let mut damaged = image.clone();
                damaged.get_mut(name).unwrap()[at] ^= flip;
                let what = format!("{}, byte {at} xor {flip:02x}", name.display());
                *met.entry(look(&what, &damaged, &content)).or_insert(0) += 1;
            }
            report(&format!("{} of {} bytes", name.display(), bytes.len()), &met);
        }
    }
}

#[test]
fn zeros_in_the_place_of_a_sector() {
    let (images, content) = images(300);
    let mut random = Random::new(2);
    let name = PathBuf::from("sled/db");
    for image in images {
        let mut met = BTreeMap::new();
        for at in places(&image[&name], &mut random, cases(40)) {
            let mut damaged = image.clone();
            let bytes = damaged.get_mut(&name).unwrap();
            let from = at / 512 * 512;
            let to = (from + 512).min(bytes.len());
            bytes[from..to].fill(0);
            let what = format!("zeros at {from}");
            *met.entry(look(&what, &damaged, &content)).or_insert(0) += 1;
        }
        report("zeros", &met);
    }
}

#[test]
fn any_length() {
    let (images, content) = images(300);
    let mut random = Random::new(3);
    for image in images {
        for (name, bytes) in &image {
            let mut met = BTreeMap::new();
            for len in places(bytes, &mut random, cases(20)) {
                let mut damaged = image.clone();
                damaged.get_mut(name).unwrap().truncate(len);
                let what = format!("{}, {len} of {} bytes", name.display(), bytes.len());
                *met.entry(look(&what, &damaged, &content)).or_insert(0) += 1;
            }
            report(&format!("{} cut off", name.display()), &met);
        }
    }
}

#[test]
fn any_file_goes_or_is_older() {
    quiet();
    let ([first, second], content) = images(20);
    for image in [&first, &second] {
        for name in image.keys() {
            let mut damaged = image.clone();
            damaged.remove(name);
            let met = look(&format!("{} is gone", name.display()), &damaged, &content);
            println!("{} is gone: {met:?}", name.display());
            if name.ends_with("replica") || name.ends_with("db") {
                assert_eq!(met, Met::Opening, "{}", name.display());
            }
        }
    }
    // A whole tree of an earlier time: nothing but the witness tells.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica");
    put(&second, &path);
    let store = SledStore::open(&path).unwrap();
    let head = block_on(store.head()).unwrap();
    let commit = prophet_store::Commit::new(prophet_store::CommitId::from_bytes([9; 16]), head);
    block_on(store.commit(&commit)).unwrap();
    drop(store);
    let mut old = image(&path);
    old.retain(|name, _| !name.starts_with("sled"));
    old.extend(second.into_iter().filter(|(name, _)| name.starts_with("sled")));
    assert_eq!(look("an old tree", &old, &content), Met::Opening);
    // Without it, the tree is whole.
    old.remove(Path::new("head"));
    assert_eq!(look("an old tree without a witness", &old, &content), Met::Harmless);
}

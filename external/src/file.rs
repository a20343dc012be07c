//! The file: a header, two marks, and a frame for each commit.
//!
//! The header is the magic, the format as 4 bytes, and the database and the replica, 16 bytes each. At
//! bytes 512 and 1,024 there are marks, written in turns: how far commits were acknowledged. From byte
//! 1,536 on there are frames: 8 bytes of length, the head, and the writes, each with the lengths of its
//! key and its value. Header, marks and frames end in a checksum. Numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use prophet_kv::writes::Write;
use prophet_kv::{certified, certify};
use prophet_store::{
    CommitId, DatabaseId, Head, Identity, Position, ReplicaId, StoreError, Version,
};

use crate::State;

const MAGIC: [u8; 8] = *b"external";
pub(crate) const FORMAT: u32 = 1;
/// Header and marks are apart from one another, so that none is lost with another.
const MARKS: [u64; 2] = [512, 1024];
pub(crate) const FRAMES: u64 = 1536;
const CHECKSUM: usize = 4;

/// What a file holds.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) state: State,
    /// How far commits were acknowledged, and how far there are any.
    marked: u64,
    pub(crate) end: u64,
}

/// Makes a file whole beside the path and then links it there: there is a replica, or nothing.
pub(crate) fn create(path: &Path, identity: Identity) -> io::Result<File> {
    if path.try_exists()? {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let beside = parent.join(format!("{}.new", identity.replica));
    if let Ok(stale) = File::open(&beside) {
        // One that was interrupted left it, unless somebody is at it.
        stale.try_lock()?;
        fs::remove_file(&beside)?;
    }
    let file = File::options().read(true).write(true).create_new(true).open(&beside)?;
    let made = fill(&file, identity).and_then(|()| fs::hard_link(&beside, path));
    fs::remove_file(&beside)?;
    made?;
    File::open(parent)?.sync_all()?;
    Ok(file)
}

fn fill(file: &File, identity: Identity) -> io::Result<()> {
    let mut header = [&MAGIC[..], &FORMAT.to_le_bytes()].concat();
    header.extend([*identity.database.as_bytes(), *identity.replica.as_bytes()].concat());
    file.try_lock()?;
    write(file, 0, &certify(b"", header))?;
    make_durable(file, Version::ZERO, FRAMES)
}

/// Opens the file for this handle alone.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// Reads a file, as far as it was acknowledged at least.
pub(crate) fn replay(place: &str, bytes: &[u8]) -> Result<Found, StoreError> {
    let corrupt = |what| StoreError::corrupt(place, what);
    let mut rest = bytes;
    if take(&mut rest) != Some(MAGIC) {
        return Err(StoreError::not_a_replica(place, "it does not begin as one"));
    }
    let format = take(&mut rest).map(u32::from_le_bytes);
    if let Some(format) = format.filter(|format| *format > FORMAT) {
        return Err(StoreError::newer_format(place, format.into(), FORMAT.into()));
    }
    let ids = take(&mut rest).map(DatabaseId::from_bytes).zip(take(&mut rest));
    let header = bytes.get(..bytes.len() - rest.len() + CHECKSUM);
    let (Some((database, replica)), Some(_)) = (ids, header.and_then(|it| certified(b"", it)))
    else {
        return Err(corrupt("the header is not what was written"));
    };
    let marks = MARKS.iter().filter_map(|start| to_mark(bytes.get(at(*start)..)?));
    let marked = marks.max().ok_or_else(|| corrupt("neither mark is what was written"))?;

    let (mut state, mut end) = (State::EMPTY, FRAMES);
    while let Some((head, list, len)) = bytes.get(at(end)..).and_then(to_frame)
        && head.version == state.head.version.next()
    {
        state.apply(head, list);
        end += len;
    }
    if end < marked {
        let place = format!("{place}, byte {end}");
        return Err(StoreError::corrupt(place, "a commit is not what was written"));
    }
    let identity = Identity { database, replica: ReplicaId::from_bytes(replica) };
    Ok(Found { identity, state, marked, end })
}

/// What lies beyond the mark was never acknowledged. A whole commit is kept, once it is sure to
/// stay; the rest is cut off.
pub(crate) fn recover(file: &File, bytes: &[u8], found: &Found) -> io::Result<()> {
    if at(found.end) < bytes.len() {
        file.set_len(found.end)?;
    }
    match bytes.get(at(found.marked)..at(found.end)) {
        Some(tail) if !tail.is_empty() => {
            write(file, found.marked, tail)?;
            make_durable(file, found.state.head.version, found.end)
        }
        _ => Ok(()),
    }
}

/// Once all up to `end` is on the device, says so in the older mark: so one of them is always whole.
pub(crate) fn make_durable(file: &File, version: Version, end: u64) -> io::Result<()> {
    file.sync_data()?;
    let [even, odd] = MARKS;
    let start = if version.get().is_multiple_of(2) { even } else { odd };
    write(file, start, &certify(b"", end.to_le_bytes().to_vec()))?;
    file.sync_data()
}

fn to_mark(bytes: &[u8]) -> Option<u64> {
    let mark = certified(b"", bytes.get(..size_of::<u64>() + CHECKSUM)?)?;
    mark.try_into().ok().map(u64::from_le_bytes)
}

/// A commit as it is in the file.
pub(crate) fn frame(head: Head, list: &[Write]) -> Vec<u8> {
    let mut body = [head.version.get().to_le_bytes(), head.position.get().to_le_bytes()].concat();
    body.extend(head.commit.as_bytes());
    for (key, value) in list {
        let value_len = value.as_ref().map_or(u64::MAX, |value| value.len() as u64);
        body.extend([(key.len() as u64).to_le_bytes(), value_len.to_le_bytes()].concat());
        body.extend(key);
        body.extend(value.iter().flatten());
    }
    let len = (body.len() as u64).to_le_bytes();
    [&len[..], &certify(&len, body)].concat()
}

/// The frame that bytes begin with, if it is whole: its head, its writes and how long it is.
fn to_frame(bytes: &[u8]) -> Option<(Head, Vec<Write>, u64)> {
    let mut rest = bytes;
    let len = take(&mut rest)?;
    let sealed = rest.get(..at(u64::from_le_bytes(len)).checked_add(CHECKSUM)?)?;
    let mut body = certified(&len, sealed)?;
    let version = Version::new(number(&mut body)?);
    let position = Position::new(number(&mut body)?);
    let commit = CommitId::from_bytes(take(&mut body)?);
    let mut list = Vec::new();
    while !body.is_empty() {
        let (key_len, value_len) = (number(&mut body)?, number(&mut body)?);
        let (key, rest) = body.split_at_checked(at(key_len))?;
        let gone = value_len == u64::MAX;
        let (value, rest) = rest.split_at_checked(if gone { 0 } else { at(value_len) })?;
        list.push((key.to_vec(), (!gone).then(|| value.to_vec())));
        body = rest;
    }
    Some((Head { version, position, commit }, list, (len.len() + sealed.len()) as u64))
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

/// The first bytes of these, which then begin after them.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

/// A place in the file as one in memory; what is beyond all memory is not there.
fn at(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

pub(crate) fn read(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn write(mut file: &File, start: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.write_all(bytes)
}

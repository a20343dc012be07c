//! The file: a header, two marks, and a frame for each commit, all in the bytes of `postcard`, each
//! followed by a checksum.
//!
//! The header is the magic, the format, the database and the replica. At bytes 512 and 1,024 there are
//! marks, written in turns: how far commits were acknowledged. From byte 1,536 on there are frames: a
//! head, and the writes that lead to it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};
use prophet_kv::writes::Write;
use prophet_store::{
    CommitId, DatabaseId, Head, Identity, Position, ReplicaId, StoreError, Version,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use crate::State;

const MAGIC: [u8; 8] = *b"external";
pub(crate) const FORMAT: u32 = 1;
/// Header and marks are apart from one another, so that none is lost with another.
const MARKS: [u64; 2] = [512, 1024];
pub(crate) const FRAMES: u64 = 1536;
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

type Frame = (u64, u64, [u8; 16], Vec<Write>);

/// What a file holds.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) state: State,
    /// How far commits were acknowledged, and how far there are any.
    marked: u64,
    pub(crate) end: u64,
}

/// Makes a file whole under another name and then gives it its own: there is a replica, or nothing.
pub(crate) fn create(path: &Path, identity: Identity) -> io::Result<File> {
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = NamedTempFile::new_in(parent)?;
    made.as_file().try_lock()?;
    let Identity { database, replica } = identity;
    let header = (MAGIC, FORMAT, *database.as_bytes(), *replica.as_bytes());
    write(made.as_file(), 0, &to_bytes(&header)?)?;
    make_durable(made.as_file(), Version::ZERO, FRAMES)?;
    let file = made.persist_noclobber(path).map_err(|failed| failed.error)?;
    File::open(parent)?.sync_all()?;
    Ok(file)
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
    let Some((MAGIC, rest)) = bytes.split_first_chunk().map(|(magic, rest)| (*magic, rest)) else {
        return Err(StoreError::not_a_replica(place, "it does not begin as one"));
    };
    let format = postcard::take_from_bytes::<u32>(rest).map_or(0, |(format, _)| format);
    if format > FORMAT {
        return Err(StoreError::newer_format(place, format.into(), FORMAT.into()));
    }
    let Some(((_, _, database, replica), _)) = from_bytes::<([u8; 8], u32, _, _)>(bytes, 0) else {
        return Err(corrupt("the header is not what was written"));
    };
    let marks = MARKS.iter().filter_map(|start| from_bytes::<u64>(bytes, *start));
    let marked = marks.map(|(mark, _)| mark).max();
    let marked = marked.ok_or_else(|| corrupt("neither mark is what was written"))?;

    let (mut state, mut end) = (State::EMPTY, FRAMES);
    while let Some(((version, position, commit, list), len)) = from_bytes::<Frame>(bytes, end)
        && version == state.head.version.next().get()
    {
        let (version, position) = (Version::new(version), Position::new(position));
        state.apply(Head { version, position, commit: CommitId::from_bytes(commit) }, list);
        end += len;
    }
    if end < marked {
        let place = format!("{place}, byte {end}");
        return Err(StoreError::corrupt(place, "a commit is not what was written"));
    }
    let database = DatabaseId::from_bytes(database);
    let identity = Identity { database, replica: ReplicaId::from_bytes(replica) };
    Ok(Found { identity, state, marked, end })
}

/// What lies beyond the mark was never acknowledged. A whole commit is kept, once it is sure to
/// stay; the rest is cut off.
pub(crate) fn recover(file: &File, bytes: &[u8], found: &Found) -> io::Result<()> {
    if found.end < bytes.len() as u64 {
        file.set_len(found.end)?;
    }
    if found.marked < found.end {
        write(file, found.marked, bytes.get(at(found.marked)..at(found.end)).unwrap_or_default())?;
        make_durable(file, found.state.head.version, found.end)?;
    }
    Ok(())
}

/// Once all up to `end` is on the device, says so in the older mark: so one of them is always whole.
pub(crate) fn make_durable(file: &File, version: Version, end: u64) -> io::Result<()> {
    file.sync_data()?;
    let [even, odd] = MARKS;
    let start = if version.get().is_multiple_of(2) { even } else { odd };
    write(file, start, &to_bytes(&end)?)?;
    file.sync_data()
}

/// Writes the frame of a commit behind the others, and says where it ends.
pub(crate) fn append(file: &File, end: u64, head: Head, list: &[Write]) -> io::Result<u64> {
    let frame = to_bytes(&(head.version.get(), head.position.get(), head.commit.as_bytes(), list))?;
    write(file, end, &frame)?;
    Ok(end + frame.len() as u64)
}

fn to_bytes(value: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec_crc32(value, CHECKSUM.digest()).map_err(io::Error::other)
}

/// What stands at a place in these bytes, and how long it is.
fn from_bytes<T: DeserializeOwned>(bytes: &[u8], start: u64) -> Option<(T, u64)> {
    let bytes = bytes.get(at(start)..)?;
    let (value, rest) = postcard::take_from_bytes_crc32(bytes, CHECKSUM.digest()).ok()?;
    Some((value, (bytes.len() - rest.len()) as u64))
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

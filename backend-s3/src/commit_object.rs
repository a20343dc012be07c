//! Commit objects: a whole commit as bytes, and back. One may bring commits before it along, so that who
//! reads it need not ask for those.

use std::io::Read as _;
use std::sync::Arc;

use prophet_store::{
    Commit, CommitId, Head, Identity, MetadataKey, Position, StoreError, Version, codec,
};

/// What every commit object begins with.
const MAGIC: [u8; 2] = [0xAB, b'P'];
/// The version of the format of commit objects.
const VERSION: u8 = 1;
/// That it is a commit, and nothing else of Prophet's.
const TAG: u8 = b'c';
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
/// Magic, version, tag, packing and the length of the content.
const BEFORE: usize = 13;
/// Level 3 of zstd: its own default.
const LEVEL: i32 = 3;
/// Below so many bytes there is nothing to be had by compression.
const SMALL: usize = 256;
/// No content is longer: a commit has 512 MiB at most, by its own count.
const MOST: u64 = 1 << 31;
/// A decoder takes no more than 2 to this many bytes for what one refers back to.
const WINDOW_LOG: u32 = 27;

/// What a commit object has.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) commit: Commit,
    /// The commit as bytes.
    pub(crate) content: Arc<[u8]>,
    /// The commits before it that it brings along, as bytes, the latest first.
    pub(crate) before: Vec<Arc<[u8]>>,
}

/// A commit as bytes.
pub(crate) fn content(commit: &Commit) -> Vec<u8> {
    let mut content = Vec::new();
    let base = commit.base();
    content.extend_from_slice(&base.version.get().to_le_bytes());
    content.extend_from_slice(&base.position.get().to_le_bytes());
    put_id(&mut content, base.commit.as_bytes());
    put_id(&mut content, commit.id().as_bytes());
    put_count(&mut content, commit.entries().len());
    for entry in commit.entries() {
        put_bytes(&mut content, &codec::encode_entry(entry));
    }
    put_count(&mut content, commit.records().len());
    for state in commit.records().values() {
        put_bytes(&mut content, &codec::encode_record(state));
    }
    put_count(&mut content, commit.resolutions().len());
    for resolution in commit.resolutions() {
        put_bytes(&mut content, &codec::encode_resolution(resolution));
    }
    put_count(&mut content, commit.metadata().len());
    for (key, value) in commit.metadata() {
        put_bytes(&mut content, key.as_str().as_bytes());
        content.push(u8::from(value.is_some()));
        if let Some(value) = value {
            put_bytes(&mut content, value);
        }
    }
    content
}

/// The object of a commit to the replica `identity`, and of commits before it, the latest first.
///
/// # Errors
/// What the compressor says.
pub(crate) fn encode(
    identity: Identity,
    commit: &[u8],
    before: &[Arc<[u8]>],
) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    put_id(&mut content, identity.database.as_bytes());
    put_id(&mut content, identity.replica.as_bytes());
    content.extend_from_slice(commit);
    put_count(&mut content, before.len());
    for commit in before {
        put_bytes(&mut content, commit);
    }
    seal(&content)
}

fn seal(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let packed = match content.len() {
        ..SMALL => None,
        len => Some(zstd::bulk::compress(content, LEVEL)?).filter(|packed| packed.len() < len),
    };
    let (packing, body) = match &packed {
        Some(packed) => (COMPRESSED, packed.as_slice()),
        None => (PLAIN, content),
    };
    let mut object = Vec::with_capacity(BEFORE + body.len() + 4);
    object.extend_from_slice(&MAGIC);
    object.extend_from_slice(&[VERSION, TAG, packing]);
    object.extend_from_slice(&(content.len() as u64).to_le_bytes());
    object.extend_from_slice(body);
    let checksum = crc32fast::hash(&object);
    object.extend_from_slice(&checksum.to_le_bytes());
    Ok(object)
}

fn put_id(content: &mut Vec<u8>, id: &[u8; 16]) {
    content.extend_from_slice(id);
}

/// Neither a commit nor a part of one has more than 2^32 of anything: 512 MiB are its limit.
fn put_count(content: &mut Vec<u8>, count: usize) {
    content.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(content: &mut Vec<u8>, bytes: &[u8]) {
    put_count(content, bytes.len());
    content.extend_from_slice(bytes);
}

/// Reads the commit object of a version, which is to be one of the replica `identity`.
///
/// # Errors
/// [`StoreError::Corrupt`] for damaged bytes, [`StoreError::NewerFormat`] for those of a newer
/// program; neither ever gives a commit that was not once written.
pub(crate) fn decode(
    place: &str,
    identity: Identity,
    version: Version,
    object: &[u8],
) -> Result<Decoded, StoreError> {
    let content = open(place, object)?;
    let mut reader = Reader { place, rest: &content };
    let database = reader.id()?;
    let replica = reader.id()?;
    if &database != identity.database.as_bytes() || &replica != identity.replica.as_bytes() {
        return Err(StoreError::corrupt(place, "it is a commit of another replica"));
    }
    let all = reader.rest;
    let commit = reader.commit(version)?;
    let (own, _) = all.split_at(all.len() - reader.rest.len());
    let mut before = Vec::new();
    for _ in 0..reader.count()? {
        before.push(reader.bytes()?.into());
    }
    match reader.rest {
        [] => Ok(Decoded { commit, content: own.into(), before }),
        _ => Err(reader.bad(&"something follows the end of the commit")),
    }
}

/// Reads a commit that the object of a later one brought along.
///
/// # Errors
/// Those of [`decode`].
pub(crate) fn decode_content(
    place: &str,
    version: Version,
    content: &[u8],
) -> Result<Commit, StoreError> {
    let mut reader = Reader { place, rest: content };
    let commit = reader.commit(version)?;
    match reader.rest {
        [] => Ok(commit),
        _ => Err(reader.bad(&"something follows the end of a commit that it brings along")),
    }
}

fn open(place: &str, object: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = |why: &str| Err(StoreError::corrupt(place, why));
    let Some((sealed, checksum)) = object.split_last_chunk::<4>() else {
        return damaged("the commit ends too early");
    };
    let Some((before, body)) = sealed.split_first_chunk::<BEFORE>() else {
        return damaged("the commit ends too early");
    };
    let [first, second, version, tag, packing, length @ ..] = *before;
    if [first, second] != MAGIC {
        return damaged("it does not begin as a commit does");
    }
    // The checksum is looked at before the version is believed: a damaged byte is not a newer format.
    if crc32fast::hash(sealed) != u32::from_le_bytes(*checksum) {
        return damaged("the checksum of the commit is not that of its bytes");
    }
    if version > VERSION {
        return Err(StoreError::newer_format(place, version.into(), VERSION.into()));
    }
    let length = u64::from_le_bytes(length);
    if version != VERSION || tag != TAG || length > MOST {
        return damaged("it does not begin as a commit does");
    }
    let content = match packing {
        PLAIN => body.to_vec(),
        COMPRESSED => match unpack(body, length) {
            Ok(content) => content,
            Err(error) => return damaged(&error.to_string()),
        },
        _ => return damaged("the commit is packed in a way that is not known"),
    };
    match content.len() as u64 == length {
        true => Ok(content),
        false => damaged("the commit is not as long as it says"),
    }
}

fn unpack(body: &[u8], length: u64) -> std::io::Result<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
    decoder.window_log_max(WINDOW_LOG)?;
    let mut content = Vec::new();
    // A byte more than there may be shows that there is too much.
    decoder.take(length.saturating_add(1)).read_to_end(&mut content)?;
    Ok(content)
}

struct Reader<'a> {
    place: &'a str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bad(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::corrupt(self.place, why.to_string())
    }

    fn decoded<T>(&self, decoded: Result<T, codec::DecodeError>) -> Result<T, StoreError> {
        decoded.map_err(|error| StoreError::undecodable(self.place, &error))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.bad(&"the commit ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The commit to a version.
    fn commit(&mut self, version: Version) -> Result<Commit, StoreError> {
        let base = Head {
            version: Version::new(self.number()?),
            position: Position::new(self.number()?),
            commit: CommitId::from_bytes(self.id()?),
        };
        if base.version.next() != version {
            return Err(self.bad(&"it is a commit of another version"));
        }
        let mut commit = Commit::new(CommitId::from_bytes(self.id()?), base);
        for _ in 0..self.count()? {
            let position = commit.head().position.next();
            let entry = codec::decode_entry(position, self.bytes()?);
            commit = commit.with_entry(self.decoded(entry)?).map_err(|error| self.bad(&error))?;
        }
        for _ in 0..self.count()? {
            let state = codec::decode_record(self.bytes()?);
            commit = commit.with_record(self.decoded(state)?).map_err(|error| self.bad(&error))?;
        }
        for _ in 0..self.count()? {
            let resolution = codec::decode_resolution(self.bytes()?);
            let resolution = self.decoded(resolution)?;
            commit = commit.with_resolution(resolution).map_err(|error| self.bad(&error))?;
        }
        for _ in 0..self.count()? {
            let key = std::str::from_utf8(self.bytes()?).map_err(|error| self.bad(&error))?;
            let key = MetadataKey::new(key).map_err(|error| self.bad(&error))?;
            let value = match self.take(1)? {
                [0] => None,
                [1] => Some(self.bytes()?.to_vec()),
                _ => return Err(self.bad(&"metadata is neither set nor removed")),
            };
            commit = commit.with_metadata(key, value).map_err(|error| self.bad(&error))?;
        }
        Ok(commit)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.bad(&"the commit ends too early"))
    }

    fn id(&mut self) -> Result<[u8; 16], StoreError> {
        self.array()
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], StoreError> {
        let len = self.count()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use prophet_store::{DatabaseId, ReplicaId};

    use super::*;

    fn identity() -> Identity {
        Identity {
            database: DatabaseId::from_bytes([0xDB; 16]),
            replica: ReplicaId::from_bytes([7; 16]),
        }
    }

    fn commit(value: usize) -> Commit {
        let base = Head {
            version: Version::new(41),
            position: Position::new(90),
            commit: CommitId::from_bytes([4; 16]),
        };
        let key = |text: &str| MetadataKey::new(text).unwrap();
        Commit::new(CommitId::from_bytes([5; 16]), base)
            .with_metadata(key("peers/home"), Some(vec![b'x'; value]))
            .unwrap()
            .with_metadata(key("peers/gone"), None)
            .unwrap()
    }

    /// The one before it.
    fn earlier() -> Commit {
        let base = Head { version: Version::new(40), ..commit(0).base() };
        Commit::new(CommitId::from_bytes([4; 16]), base)
    }

    fn object(value: usize) -> Vec<u8> {
        encode(identity(), &content(&commit(value)), &[]).unwrap()
    }

    /// The bytes that `docs/format.md` describes. They never change.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let key = MetadataKey::new("k").unwrap();
        let gone = MetadataKey::new("l").unwrap();
        let commit = Commit::new(CommitId::from_bytes([5; 16]), commit(0).base())
            .with_metadata(key, Some(vec![0xEE]))
            .and_then(|commit| commit.with_metadata(gone, None))
            .unwrap();
        let before = [Arc::from(&[0xBB, 0xBB][..])];
        let object = encode(identity(), &content(&commit), &before).unwrap();
        let hex: String = object.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "ab50",             // magic
            "01",               // version
            "63",               // a commit
            "00",               // not compressed
            "7b00000000000000", // 123 bytes
            "dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb",
            "07070707070707070707070707070707",
            "2900000000000000",
            "5a00000000000000",
            "04040404040404040404040404040404",
            "05050505050505050505050505050505",
            "00000000", // entries
            "00000000", // records
            "00000000", // resolutions
            "02000000", // metadata
            "010000006b",
            "01",
            "01000000ee",
            "010000006c",
            "00",
            "01000000", // commits before it
            "02000000bbbb",
        ]
        .concat();
        assert_eq!(hex.get(..expected.len()), Some(expected.as_str()));
        assert_eq!(hex.len(), expected.len() + 8);
        let checksum = crc32fast::hash(object.get(..object.len() - 4).unwrap());
        assert!(hex.ends_with(&checksum.to_le_bytes().map(|byte| format!("{byte:02x}")).concat()));
    }

    /// With a checksum that is right.
    #[test]
    fn what_is_no_commit_is_not_read_as_one() {
        let sealed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut object = object(10);
            object.truncate(object.len() - 4);
            change(&mut object);
            object.extend_from_slice(&crc32fast::hash(&object).to_le_bytes());
            decode("here", identity(), Version::new(42), &object).map(|read| read.commit)
        };
        assert_eq!(sealed(&|_| {}).unwrap(), commit(10));
        let corrupt = |read| matches!(read, Err(StoreError::Corrupt { .. }));
        assert!(corrupt(sealed(&|object| object[2] = 0)), "a version that never was");
        assert!(corrupt(sealed(&|object| object[3] = b'r')), "something else");
        assert!(corrupt(sealed(&|object| object[4] = 7)), "packed otherwise");
        let longer = |object: &mut Vec<u8>, len: u64| {
            object[4] = COMPRESSED;
            object[5..13].copy_from_slice(&len.to_le_bytes());
        };
        for len in [MOST, MOST + 1, u64::MAX] {
            assert!(corrupt(sealed(&|object| longer(object, len))), "{len} bytes");
        }
        let newer = sealed(&|object| object[2] = VERSION + 1);
        assert!(matches!(newer, Err(StoreError::NewerFormat { .. })));
    }

    #[test]
    fn what_is_written_is_read_small_and_large() {
        for len in [0, 10, 100_000] {
            let commit = commit(len);
            let written = content(&commit);
            let before = [content(&earlier()).into()];
            let object = encode(identity(), &written, &before).unwrap();
            assert!(object.len() < 500, "{len} bytes of one letter take {}", object.len());
            let read = decode("here", identity(), Version::new(42), &object).unwrap();
            assert_eq!((read.commit, &*read.content), (commit, &*written));
            let brought = decode_content("here", Version::new(41), &read.before[0]).unwrap();
            assert_eq!(brought, earlier());
            assert!(decode_content("here", Version::new(40), &read.before[0]).is_err());
            for cut in 0..read.before[0].len() {
                assert!(decode_content("here", Version::new(41), &read.before[0][..cut]).is_err());
            }
        }
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_noticed() {
        for len in [10, 1000] {
            let object = object(len);
            for at in 0..object.len() {
                let mut damaged = object.clone();
                damaged[at] ^= 0x10;
                let read = decode("here", identity(), Version::new(42), &damaged);
                assert!(matches!(read, Err(StoreError::Corrupt { .. })), "byte {at}: {read:?}");
                let read = decode("here", identity(), Version::new(42), &object[..at]);
                assert!(matches!(read, Err(StoreError::Corrupt { .. })), "cut at {at}: {read:?}");
            }
        }
    }

    #[test]
    fn what_is_newer_of_another_replica_or_of_another_version_is_refused() {
        let object = object(10);
        let mut newer = object.clone();
        newer[2] = 2;
        let sealed = newer.len() - 4;
        let checksum = crc32fast::hash(&newer[..sealed]);
        newer[sealed..].copy_from_slice(&checksum.to_le_bytes());
        let read = decode("here", identity(), Version::new(42), &newer);
        assert!(matches!(read, Err(StoreError::NewerFormat { found: 2, .. })), "{read:?}");

        let other = Identity { replica: ReplicaId::from_bytes([8; 16]), ..identity() };
        assert!(decode("here", other, Version::new(42), &object).is_err());
        assert!(decode("here", identity(), Version::new(43), &object).is_err());
    }

    #[test]
    fn a_length_is_not_believed() {
        let content = vec![0; 100_000];
        let mut object = seal(&content).unwrap();
        object[5..13].copy_from_slice(&10_u64.to_le_bytes());
        let sealed = object.len() - 4;
        let checksum = crc32fast::hash(&object[..sealed]);
        object[sealed..].copy_from_slice(&checksum.to_le_bytes());
        assert!(open("here", &object).is_err());
    }
}

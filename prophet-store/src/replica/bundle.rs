//! Bundles: the changesets that a peer lacks, in one file, for peers that never meet.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_lite::{StreamExt as _, stream};

use crate::changeset::Changeset;
use crate::codec::{self, BundleEnd, BundleStart, Content};
use crate::error::Error;
use crate::id::{DatabaseId, Digest};
use crate::limits;
use crate::replica::seen::{Seen, seen, unknown};
use crate::replica::{Replica, Streamed};
use crate::source::{ChangesetSource, Offer};
use crate::store::ReplicaStore;
use crate::vector::VersionVector;

/// The largest envelope in a bundle: a changeset, and room for its header.
const ENVELOPE_BYTES: u64 = limits::CHANGESET_BYTES + (64 << 20);

/// What a bundle has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleSummary {
    /// The database.
    pub database: DatabaseId,
    /// What it leaves out: whoever pulls from it must have seen this.
    pub basis: VersionVector,
    /// What whoever has pulled from it will have seen.
    pub result: VersionVector,
    /// How many changesets it has.
    pub changesets: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Replica {
    /// Writes a bundle of what this replica has seen and a receiver who has seen `basis` has not:
    /// an empty basis bundles everything. What the receiver has seen, its
    /// [`vector`](Self::vector) says; it may be out of date, and is when the bundle arrives.
    ///
    /// Where the receiver has seen more of an origin than this replica, it is taken to have seen all
    /// that is here of it. If that origin was forked, it may not have: then it refuses the bundle
    /// ([`BasisMissing`](Error::BasisMissing)), and one of everything is what it takes.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use prophet_store::{
    ///     Bundle, Identity, MemoryStore, Properties, PullOptions, Replica, VersionVector,
    /// };
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let identity = Identity::new_database()?;
    ///     let ada = Replica::open(MemoryStore::new(identity)).await?;
    ///     let bug = ada.create("bug", Properties::try_from([("title", "It fails")])?).await?;
    ///     let mut stick = Vec::new();
    ///     ada.bundle(&VersionVector::new(), &mut stick).await?;
    ///
    ///     let other = Identity::new_replica(identity.database)?;
    ///     let bob = Replica::open(MemoryStore::new(other)).await?;
    ///     let bundle = Bundle::read(std::io::Cursor::new(stick), "a stick")?;
    ///     bob.pull(&bundle, PullOptions::new()).await?;
    ///     assert!(bob.get(&bug).await?.is_some());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the store says; a writer that fails. What was written by then is no bundle, and will
    /// not be taken for one.
    pub async fn bundle(
        &self,
        basis: &VersionVector,
        writer: &mut (dyn Write + Send),
    ) -> Result<BundleSummary, Error> {
        self.write_bundle(basis, writer, "to the given writer").await
    }

    /// Writes a [`bundle`](Self::bundle) into a new file.
    ///
    /// # Errors
    /// As for `bundle`; a file that exists already.
    pub async fn bundle_to(
        &self,
        basis: &VersionVector,
        path: impl AsRef<Path> + Send,
    ) -> Result<BundleSummary, Error> {
        let path = path.as_ref();
        let place = path.display().to_string();
        let failed = |error: std::io::Error| cannot_write(&place, &error);
        let file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
        let mut writer = BufWriter::new(&file);
        let written = self.write_bundle(basis, &mut writer, &place).await;
        drop(writer);
        let synced = written.and_then(|summary| {
            file.sync_all().map_err(failed)?;
            Ok(summary)
        });
        if synced.is_err() {
            // Nothing half-done is left; that failing too would change nothing about the error.
            let _ = std::fs::remove_file(path);
        }
        synced
    }

    async fn write_bundle(
        &self,
        basis: &VersionVector,
        writer: &mut (dyn Write + Send),
        place: &str,
    ) -> Result<BundleSummary, Error> {
        let store = &*self.inner.store;
        let seen = seen(store).await?;
        let basis = usable_basis(store, &seen, basis).await?;
        let database = store.facts().identity.database;
        let (replica, result) = (seen.lineage.author, seen.vector.clone());
        let mut sink = Sink { writer, place, hasher: blake3::Hasher::new(), bytes: 0 };
        let start = BundleStart { database, replica, basis, result };
        sink.put(&codec::encode_bundle_start(&start))?;
        let mut changesets = 0;
        let mut unknown = unknown(store, &seen, &start.basis).await?;
        while let Some(changeset) = unknown.next().await {
            sink.put(&codec::encode_changeset(&changeset?))?;
            changesets += 1;
        }
        let digest = Digest::from_bytes(*sink.hasher.finalize().as_bytes());
        sink.put(&codec::encode_bundle_end(&BundleEnd { changesets, digest }))?;
        sink.writer.flush().map_err(|error| cannot_write(place, &error))?;
        let BundleStart { basis, result, .. } = start;
        Ok(BundleSummary { database, basis, result, changesets, bytes: sink.bytes })
    }
}

/// The part of `basis` that can be left out: tips that are in the log, and where the receiver is
/// ahead of it, its own tips, which the receiver then must have.
async fn usable_basis(
    store: &dyn ReplicaStore,
    seen: &Seen,
    basis: &VersionVector,
) -> Result<VersionVector, Error> {
    let mut usable = VersionVector::new();
    for (origin, tips) in basis.tips() {
        let here = seen.vector.of(origin);
        let digests: Vec<_> = tips.iter().map(|tip| tip.digest).collect();
        let found = store.find_changesets(&digests).await?.value;
        let known: Vec<_> = tips.iter().zip(found).filter(|(_, found)| found.is_some()).collect();
        known.iter().for_each(|(tip, _)| usable.put(origin, **tip));
        let last = tips.last().map(|tip| tip.sequence);
        if known.is_empty() && here.iter().all(|own| Some(own.sequence) < last) {
            here.iter().for_each(|own| usable.put(origin, *own));
        }
    }
    Ok(usable)
}

fn cannot_write(place: &str, error: &std::io::Error) -> Error {
    Error::CannotWrite { place: place.to_owned(), why: error.to_string() }
}

/// Where a bundle goes, and the digest of what has gone there.
struct Sink<'a> {
    writer: &'a mut (dyn Write + Send),
    place: &'a str,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.writer.write_all(bytes).map_err(|error| cannot_write(self.place, &error))
    }
}

/// A bundle that was found to be whole: a source to [pull](Replica::pull) from.
#[derive(Debug)]
pub struct Bundle<R> {
    reader: Mutex<BufReader<R>>,
    place: String,
    start: BundleStart,
    /// Where the first changeset is, and where what follows the last one is.
    first: u64,
    end: u64,
    summary: BundleSummary,
}

impl Bundle<File> {
    /// Opens the bundle in a file, and checks all of it.
    ///
    /// # Errors
    /// A file that cannot be read, that is no bundle, that is damaged or cut short, or that a
    /// newer version wrote.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let place = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(file, place),
            Err(error) => Err(Error::BadSource { place, why: error.to_string() }),
        }
    }
}

impl<R: Read + Seek + Send> Bundle<R> {
    /// Reads a bundle, and checks all of it before anything is taken from it. `place` says in
    /// messages where it is. Reading blocks the calling thread, also while it is pulled from.
    ///
    /// # Errors
    /// As for [`open`](Bundle::open).
    pub fn read(reader: R, place: impl Into<String>) -> Result<Self, Error> {
        let place = place.into();
        let mut reader = BufReader::new(reader);
        let checked = check(&mut reader);
        match checked {
            Ok(Checked { start, changesets, first, end, bytes }) => {
                let summary = BundleSummary {
                    database: start.database,
                    basis: start.basis.clone(),
                    result: start.result.clone(),
                    changesets,
                    bytes,
                };
                Ok(Self { reader: Mutex::new(reader), place, start, first, end, summary })
            }
            Err(why) => Err(Error::BadSource { place, why }),
        }
    }

    /// What it has.
    pub const fn summary(&self) -> &BundleSummary {
        &self.summary
    }

    fn lock(&self) -> MutexGuard<'_, BufReader<R>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changeset at a place in the bundle, and where the next one is.
    fn changeset_at(&self, at: u64) -> Result<(Changeset, u64), String> {
        let mut reader = self.lock();
        let now = reader.stream_position().map_err(|error| error.to_string())?;
        if now != at {
            reader.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        }
        let sealed = next(&mut *reader, at)?;
        let changeset = codec::decode_changeset(&sealed).map_err(|error| describe(at, error))?;
        Ok((changeset, at + sealed.len() as u64))
    }
}

struct Checked {
    start: BundleStart,
    changesets: u64,
    first: u64,
    end: u64,
    bytes: u64,
}

fn describe(at: u64, error: impl std::fmt::Display) -> String {
    format!("at byte {at}: {error}")
}

fn next(reader: &mut impl Read, at: u64) -> Result<Vec<u8>, String> {
    let sealed = codec::read_sealed(reader, ENVELOPE_BYTES).map_err(|error| describe(at, error))?;
    sealed.ok_or_else(|| describe(at, "the bundle is cut short"))
}

/// Reads a bundle from its beginning to its end, and keeps nothing but what it says of itself.
fn check(reader: &mut (impl Read + Seek)) -> Result<Checked, String> {
    let mut hasher = blake3::Hasher::new();
    let begin = reader.stream_position().map_err(|error| error.to_string())?;
    let mut at = begin;
    let sealed = next(reader, at)?;
    let start = codec::decode_bundle_start(&sealed).map_err(|error| describe(at, error))?;
    hasher.update(&sealed);
    at += sealed.len() as u64;
    let first = at;
    let mut changesets = 0;
    loop {
        let sealed = next(reader, at)?;
        if codec::content(&sealed) == Some(Content::BundleEnd as u8) {
            let end = codec::decode_bundle_end(&sealed).map_err(|error| describe(at, error))?;
            if end.changesets != changesets {
                let why = format!("{changesets} changesets where there were {}", end.changesets);
                return Err(describe(at, why));
            }
            if end.digest.as_bytes() != hasher.finalize().as_bytes() {
                return Err("its digest is not that of its content: it was changed".to_owned());
            }
            let bytes = at - begin + sealed.len() as u64;
            return match reader.read(&mut [0]) {
                Ok(0) => Ok(Checked { start, changesets, first, end: at, bytes }),
                Ok(_) => Err(describe(at, "something follows the end of the bundle")),
                Err(error) => Err(describe(at, error)),
            };
        }
        codec::decode_changeset(&sealed).map_err(|error| describe(at, error))?;
        hasher.update(&sealed);
        changesets += 1;
        at += sealed.len() as u64;
    }
}

#[async_trait]
impl<R: Read + Seek + Send> ChangesetSource for Bundle<R> {
    async fn offer(&self) -> Result<Offer, Error> {
        Ok(Offer {
            database: self.start.database,
            replica: self.start.replica,
            place: self.place.clone(),
            seen: self.start.result.digest(),
            basis: self.start.basis.clone(),
            head: None,
        })
    }

    async fn vector(&self) -> Result<VersionVector, Error> {
        Ok(self.start.result.clone())
    }

    fn changesets(&self, _: &VersionVector) -> Streamed<'_, Changeset> {
        Box::pin(stream::try_unfold(self.first, move |at| async move {
            if at >= self.end {
                return Ok(None);
            }
            let read = self.changeset_at(at);
            read.map(Some).map_err(|why| Error::BadSource { place: self.place.clone(), why })
        }))
    }
}

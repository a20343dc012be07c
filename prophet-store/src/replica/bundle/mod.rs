//! Bundles: the changesets that a peer lacks, in one file, for peers that never meet; or in one answer,
//! for those that do.

mod file;
mod parts;
mod streamed;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use futures_lite::StreamExt as _;

pub use self::file::Bundle;
pub use self::streamed::StreamedBundle;
use crate::codec::{self, BundleEnd, BundleStart};
use crate::error::Error;
use crate::id::{DatabaseId, Digest};
use crate::replica::Replica;
use crate::replica::seen::{Seen, seen, unknown};
use crate::store::ReplicaStore;
use crate::vector::VersionVector;

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

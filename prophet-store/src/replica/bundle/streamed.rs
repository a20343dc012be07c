//! Bundles that are read as they come.

use std::io;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_lite::{Stream, StreamExt as _, stream};

use super::parts::{self, ENVELOPE_BYTES, Part, Parts, describe};
use crate::changeset::Changeset;
use crate::codec::{self, BundleStart};
use crate::error::Error;
use crate::replica::Streamed;
use crate::source::{ChangesetSource, Offer};
use crate::vector::VersionVector;

/// A bundle that is read as its bytes come, from a network say: a source to
/// [pull](crate::Replica::pull) from, once.
///
/// Each changeset is integrated before anybody knows whether the bundle is whole: an interrupted one
/// gives what came before. A [`Bundle`](crate::Bundle) is checked first, and needs to be kept somewhere
/// meanwhile. No more is in memory than one changeset, and one piece of what comes.
///
/// ```
/// use futures_lite::{future::block_on, stream};
/// use prophet_store::{
///     Identity, MemoryStore, Properties, PullOptions, Replica, StreamedBundle, VersionVector,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// block_on(async {
///     let identity = Identity::new_database()?;
///     let ada = Replica::open(MemoryStore::new(identity)).await?;
///     let bug = ada.create("bug", Properties::try_from([("title", "It fails")])?).await?;
///     let mut sent = Vec::new();
///     ada.bundle(&VersionVector::new(), &mut sent).await?;
///
///     let pieces: Vec<_> = sent.chunks(100).map(|piece| Ok(piece.to_vec())).collect();
///     let bundle = StreamedBundle::begin(stream::iter(pieces), "a line").await?;
///     let other = Identity::new_replica(identity.database)?;
///     let bob = Replica::open(MemoryStore::new(other)).await?;
///     bob.pull(&bundle, PullOptions::new()).await?;
///     assert!(bob.get(&bug).await?.is_some());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct StreamedBundle<S> {
    place: String,
    start: BundleStart,
    /// What has not been read yet, until somebody begins to.
    rest: Mutex<Option<Incoming<S>>>,
}

const ONCE: &str = "it came as a stream, which can be read only once";

/// Pieces of bytes, put together to envelopes.
#[derive(Debug)]
struct Incoming<S> {
    pieces: S,
    parts: Parts,
    bytes: Vec<u8>,
    /// So many of the bytes were used.
    used: usize,
}

impl<S, B> Incoming<S>
where
    S: Stream<Item = io::Result<B>> + Send + Unpin,
    B: AsRef<[u8]>,
{
    async fn next(&mut self) -> Result<Part, String> {
        loop {
            let at = self.parts.at();
            let unused = self.bytes.get(self.used..).unwrap_or_default();
            let length = codec::sealed_len(unused, ENVELOPE_BYTES);
            let length = length.map_err(|error| describe(at, error))?;
            let length = length.and_then(|length| usize::try_from(length).ok());
            if let Some(sealed) = length.and_then(|length| unused.get(..length)) {
                let part = self.parts.take(sealed)?;
                self.used += sealed.len();
                return Ok(part);
            }
            self.bytes.drain(..self.used);
            self.used = 0;
            match self.pieces.next().await {
                Some(Ok(piece)) => self.bytes.extend_from_slice(piece.as_ref()),
                Some(Err(error)) => return Err(describe(at, error)),
                None => return Err(parts::cut_short(at)),
            }
        }
    }

    /// The next changeset; `None` at the end.
    async fn changeset(&mut self) -> Result<Option<Changeset>, String> {
        match self.next().await? {
            Part::Changeset(changeset) => Ok(Some(changeset)),
            Part::Start(_) => Err(describe(self.parts.at(), "a bundle begins within a bundle")),
            Part::End => Ok(None),
        }
    }
}

impl<S, B> StreamedBundle<S>
where
    S: Stream<Item = io::Result<B>> + Send + Unpin,
    B: AsRef<[u8]>,
{
    /// Waits for the beginning of the bundle that these pieces of bytes make up. `place` says in
    /// messages where they come from.
    ///
    /// # Errors
    /// A stream that fails or ends too early; what is no bundle, is damaged, or was written by a newer
    /// version.
    pub async fn begin(pieces: S, place: impl Into<String>) -> Result<Self, Error> {
        let place = place.into();
        let mut rest = Incoming { pieces, parts: Parts::new(0), bytes: Vec::new(), used: 0 };
        match rest.next().await {
            Ok(Part::Start(start)) => Ok(Self { place, start, rest: Mutex::new(Some(rest)) }),
            Ok(_) => Err(Error::bad_source(place, "it does not begin as a bundle does")),
            Err(why) => Err(Error::bad_source(place, why)),
        }
    }

    /// What whoever has pulled from it will have seen.
    pub const fn result(&self) -> &VersionVector {
        &self.start.result
    }

    /// What it leaves out.
    pub const fn basis(&self) -> &VersionVector {
        &self.start.basis
    }

    /// The next changeset; `None` at the end. This and the stream of
    /// [`changesets`](ChangesetSource::changesets) are not for use side by side.
    ///
    /// # Errors
    /// A stream that fails or ends too early; what is damaged.
    pub async fn next(&mut self) -> Result<Option<Changeset>, Error> {
        let rest = self.rest.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(rest) = rest else { return Err(Error::bad_source(&self.place, ONCE)) };
        rest.changeset().await.map_err(|why| Error::bad_source(&self.place, why))
    }
}

#[async_trait]
impl<S, B> ChangesetSource for StreamedBundle<S>
where
    S: Stream<Item = io::Result<B>> + Send + Unpin,
    B: AsRef<[u8]> + Send,
{
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        Ok(parts::offer(&self.start, &self.place))
    }

    /// Those of the bundle, the first time; an error after that.
    fn changesets(&self, _: &Offer, _: &VersionVector) -> Streamed<'_, Changeset> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rest) = rest else {
            return Box::pin(stream::once(Err(Error::bad_source(&self.place, ONCE))));
        };
        Box::pin(stream::try_unfold(rest, move |mut rest| async move {
            let changeset = rest.changeset().await;
            let changeset = changeset.map_err(|why| Error::bad_source(&self.place, why))?;
            Ok(changeset.map(|changeset| (changeset, rest)))
        }))
    }
}

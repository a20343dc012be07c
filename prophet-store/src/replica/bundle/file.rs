//! Bundles in files, and whatever else can be read again.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_lite::stream;

use super::BundleSummary;
use super::parts::{self, ENVELOPE_BYTES, Part, Parts, describe};
use crate::changeset::Changeset;
use crate::codec::{self, BundleStart};
use crate::error::Error;
use crate::replica::Streamed;
use crate::source::{ChangesetSource, Offer};
use crate::vector::VersionVector;

/// A bundle that was found to be whole: a source to [pull](crate::Replica::pull) from.
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
            Err(error) => Err(Error::unreadable(place, error.to_string(), error.kind().into())),
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
            Err(why) => Err(Error::bad_source(place, why)),
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

fn next(reader: &mut impl Read, at: u64) -> Result<Vec<u8>, String> {
    let sealed = codec::read_sealed(reader, ENVELOPE_BYTES).map_err(|error| describe(at, error))?;
    sealed.ok_or_else(|| parts::cut_short(at))
}

/// Reads a bundle from its beginning to its end, and keeps nothing but what it says of itself.
fn check(reader: &mut (impl Read + Seek)) -> Result<Checked, String> {
    let begin = reader.stream_position().map_err(|error| error.to_string())?;
    let mut parts = Parts::new(begin);
    let mut began = None;
    loop {
        let at = parts.at();
        let sealed = next(reader, at)?;
        match parts.take(&sealed)? {
            Part::Start(start) => began = Some((start, parts.at())),
            Part::Changeset(_) => {}
            Part::End => {
                let Some((start, first)) = began else { return Err(parts::cut_short(at)) };
                return match reader.read(&mut [0]) {
                    Ok(0) => Ok(Checked {
                        start,
                        changesets: parts.changesets(),
                        first,
                        end: at,
                        bytes: parts.at() - begin,
                    }),
                    Ok(_) => Err(describe(at, "something follows the end of the bundle")),
                    Err(error) => Err(describe(at, error)),
                };
            }
        }
    }
}

#[async_trait]
impl<R: Read + Seek + Send> ChangesetSource for Bundle<R> {
    async fn offer(&self, _: &VersionVector) -> Result<Offer, Error> {
        Ok(parts::offer(&self.start, &self.place))
    }

    fn changesets(&self, _: &Offer, _: &VersionVector) -> Streamed<'_, Changeset> {
        Box::pin(stream::try_unfold(self.first, move |at| async move {
            if at >= self.end {
                return Ok(None);
            }
            let read = self.changeset_at(at);
            read.map(Some).map_err(|why| Error::bad_source(&self.place, why))
        }))
    }
}

//! What a bundle consists of, one envelope after another.

use std::fmt::Display;

use crate::changeset::Changeset;
use crate::codec::{self, BundleStart, Content};
use crate::limits;
use crate::source::Offer;

/// The largest envelope in a bundle: a changeset, and room for its header.
pub(super) const ENVELOPE_BYTES: u64 = limits::CHANGESET_BYTES + (64 << 20);

pub(super) enum Part {
    Start(BundleStart),
    Changeset(Changeset),
    End,
}

/// The envelopes of a bundle so far, to be held against what its end says.
#[derive(Debug)]
pub(super) struct Parts {
    hasher: blake3::Hasher,
    begun: bool,
    changesets: u64,
    at: u64,
}

pub(super) fn describe(at: u64, error: impl Display) -> String {
    format!("at byte {at}: {error}")
}

pub(super) fn cut_short(at: u64) -> String {
    describe(at, "the bundle is cut short")
}

impl Parts {
    /// None yet, of a bundle that begins at this byte.
    pub(super) fn new(begin: u64) -> Self {
        Self { hasher: blake3::Hasher::new(), begun: false, changesets: 0, at: begin }
    }

    /// Where the next envelope begins.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn changesets(&self) -> u64 {
        self.changesets
    }

    /// Takes the next envelope.
    pub(super) fn take(&mut self, sealed: &[u8]) -> Result<Part, String> {
        let at = self.at;
        let part = self.read(sealed).map_err(|error| describe(at, error))?;
        self.at += sealed.len() as u64;
        Ok(part)
    }

    fn read(&mut self, sealed: &[u8]) -> Result<Part, String> {
        let part = if !self.begun {
            self.begun = true;
            let start = codec::decode_bundle_start(sealed).map_err(|error| error.to_string())?;
            Part::Start(start)
        } else if codec::content(sealed) == Some(Content::BundleEnd as u8) {
            let end = codec::decode_bundle_end(sealed).map_err(|error| error.to_string())?;
            if end.changesets != self.changesets {
                let (here, there) = (self.changesets, end.changesets);
                return Err(format!("{here} changesets where there were {there}"));
            }
            if end.digest.as_bytes() != self.hasher.finalize().as_bytes() {
                return Err("its digest is not that of its content: it was changed".to_owned());
            }
            return Ok(Part::End);
        } else {
            let changeset = codec::decode_changeset(sealed).map_err(|error| error.to_string())?;
            self.changesets += 1;
            Part::Changeset(changeset)
        };
        self.hasher.update(sealed);
        Ok(part)
    }
}

/// What a bundle that begins so is as a source.
pub(super) fn offer(start: &BundleStart, place: &str) -> Offer {
    Offer {
        database: start.database,
        replica: start.replica,
        place: place.to_owned(),
        seen: start.result.clone(),
        basis: start.basis.clone(),
        head: None,
    }
}

//! The keys of the index that are this backend's own.

use std::ops::Bound;

use prophet_store::{Position, StoreError};
use prophet_tables::KeyRange;

use crate::log::FrameRef;

const FRAME: u8 = b'f';
/// What is in the sealed segments: a manifest.
pub(crate) const SEALED: &[u8] = b"s";

/// Under the position of the first entry in a frame: where the frame is.
pub(crate) fn frame(first: Position) -> Vec<u8> {
    [&[FRAME], first.get().to_be_bytes().as_slice()].concat()
}

/// The frames that begin at a position or before it.
pub(crate) fn frames_to(position: Position) -> KeyRange {
    KeyRange { start: Bound::Included(vec![FRAME]), end: Bound::Included(frame(position)) }
}

/// The frames from the one with this key on, or all.
pub(crate) fn frames_from(key: Option<Vec<u8>>) -> KeyRange {
    KeyRange {
        start: Bound::Included(key.unwrap_or_else(|| vec![FRAME])),
        end: Bound::Excluded(vec![FRAME + 1]),
    }
}

/// Three numbers, little-endian: segment, offset, length.
pub(crate) fn from_frame(frame: &FrameRef) -> Vec<u8> {
    [frame.segment, frame.offset, frame.len].map(u64::to_le_bytes).concat()
}

pub(crate) fn to_frame(place: &str, bytes: &[u8]) -> Result<FrameRef, StoreError> {
    match bytes.as_chunks::<8>() {
        (&[segment, offset, len], []) => Ok(FrameRef {
            segment: u64::from_le_bytes(segment),
            offset: u64::from_le_bytes(offset),
            len: u64::from_le_bytes(len),
            sealed: true,
        }),
        _ => Err(StoreError::corrupt(place, "the place of a frame in the index is cut off")),
    }
}

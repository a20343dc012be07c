//! JSON: that of lines, and what is handed over.

mod exact;
mod read;
mod write;

pub use exact::exact_json;
pub(crate) use read::{outline, read};
pub(crate) use write::{put_commit, put_crc, put_entry, put_sealed, put_start};

/// What the first line of a segment begins with.
const START: &[u8] = b"{\"prophet\":\"log\"";

pub(crate) fn is_start(line: &[u8]) -> bool {
    line.starts_with(START)
}

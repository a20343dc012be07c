//! The names of the files.

use prophet_files::segment::{crc_of_name, open_name, sealed_name};

/// The version of the format of the directory.
pub(crate) const FORMAT: u64 = prophet_files::line::FORMAT;

/// Which replica this is. It is put in place last, so that a replica without it was never made.
pub(crate) const IDENTITY: &str = "prophet.json";
/// What writers lock.
pub(crate) const LOCK: &str = "lock";
pub(crate) const LOG: &str = "log";
/// Derived: where things are in the log, and the states of records.
pub(crate) const INDEX: &str = "index";
/// Derived: the records, for people.
pub(crate) const RECORDS: &str = "records";
/// What a file is called until it is whole.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) number: u64,
    pub(crate) sealed: bool,
    pub(crate) name: String,
}

/// What a file in the directory of the log is; nothing if it is not ours.
pub(crate) fn parse_segment(file: &str) -> Option<SegmentName> {
    let name = format!("{LOG}/{file}");
    if let Some(number) = file.strip_suffix(".jsonl") {
        let number = number.parse().ok()?;
        return (open_name(number) == name).then_some(SegmentName { number, sealed: false, name });
    }
    let (number, _) = file.split_once('-')?;
    let (number, crc) = (number.parse().ok()?, crc_of_name(&name)?);
    (sealed_name(number, crc) == name).then_some(SegmentName { number, sealed: true, name })
}

/// The table of the segments from `first` to `last`.
pub(crate) fn table(first: u64, last: u64) -> String {
    format!("{INDEX}/{first:08}-{last:08}.table")
}

pub(crate) fn parse_table(file: &str) -> Option<(u64, u64)> {
    let (first, last) = file.strip_suffix(".table")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (table(first, last) == format!("{INDEX}/{file}") && 0 < first && first <= last)
        .then_some((first, last))
}

//! The names of the files.

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

pub(crate) fn open_segment(number: u64) -> String {
    format!("{LOG}/{number:08}.jsonl")
}

/// The checksum of the bytes is in the name, so that one name never means other bytes.
pub(crate) fn sealed_segment(number: u64, crc: u32) -> String {
    format!("{LOG}/{number:08}-{crc:08x}.jsonl.zst")
}

/// What a file in the directory of the log is; nothing if it is not ours.
pub(crate) fn parse_segment(file: &str) -> Option<SegmentName> {
    let name = format!("{LOG}/{file}");
    if let Some(number) = file.strip_suffix(".jsonl") {
        let number = number.parse().ok()?;
        return (open_segment(number) == name).then_some(SegmentName {
            number,
            sealed: false,
            name,
        });
    }
    let (number, crc) = file.strip_suffix(".jsonl.zst")?.split_once('-')?;
    let (number, crc) = (number.parse().ok()?, u32::from_str_radix(crc, 16).ok()?);
    (sealed_segment(number, crc) == name).then_some(SegmentName { number, sealed: true, name })
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

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_table_if_it_is_the_one_that_tables_get() {
        assert_eq!(parse_table("00000001-00000004.table"), Some((1, 4)));
        assert_eq!(parse_table("00000004-00000004.table"), Some((4, 4)));
        for other in [
            "00000000-00000004.table",
            "00000004-00000001.table",
            "1-4.table",
            "00000001-00000004.table.unfinished",
            "00000001-00000004",
            "00000001.table",
            "+0000001-00000004.table",
        ] {
            assert_eq!(parse_table(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_that_of_a_segment_if_it_is_the_one_that_segments_get() {
        let open = parse_segment("00000012.jsonl").unwrap();
        assert_eq!(
            (open.number, open.sealed, open.name.as_str()),
            (12, false, "log/00000012.jsonl")
        );
        let sealed = parse_segment("00000012-0123abcd.jsonl.zst").unwrap();
        assert_eq!((sealed.number, sealed.sealed), (12, true));
        for other in [
            "12.jsonl",
            "00000012.jsonl.unfinished",
            "00000012-0123ABCD.jsonl.zst",
            "00000012-0123abcd.jsonl",
            "12-0123abcd.jsonl.zst",
            "README",
        ] {
            assert_eq!(parse_segment(other), None, "{other}");
        }
    }
}

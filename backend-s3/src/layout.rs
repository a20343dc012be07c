//! The names of objects under the prefix of a replica.

use prophet_files::segment::{crc_of_name, sealed_name};
use prophet_store::{Digest, Version};

/// The version of the format of buckets.
pub(crate) const FORMAT: u64 = 1;

/// Which replica it is, and what is known of the service: written once.
pub(crate) const IDENTITY: &str = "prophet.json";
/// The commits: they alone count.
pub(crate) const COMMITS: &str = "commits";
/// Derived: the sorted tables.
pub(crate) const INDEX: &str = "index";
/// Derived: the segments of the published log.
pub(crate) const LOG: &str = "log";
/// What a probe of the service leaves behind if it is interrupted.
pub(crate) const PROBE: &str = "probe";

/// The object of the commit that leads to a version.
pub(crate) fn commit(version: Version) -> String {
    format!("{COMMITS}/{:020}", version.get())
}

/// The version of a name that [`commit`] made, without its directory.
pub(crate) fn to_commit(name: &str) -> Option<Version> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok().map(Version::new))?
}

/// The table of the commits after one version up to another, in an object of these bytes: others have
/// another name. A CRC-32 would not do, for that of parts which end with their own says how long they are
/// and nothing else.
pub(crate) fn table(after: Version, last: Version, bytes: &[u8]) -> String {
    let (first, last, digest) = (after.get().saturating_add(1), last.get(), Digest::of(bytes));
    format!("{INDEX}/{first:020}-{last:020}-{digest:#}.table")
}

/// Whether an object under the prefix of a replica is a table, a segment, or what a probe wrote: by its
/// name, which no other program gives to anything.
pub(crate) fn is_derived(name: &str) -> bool {
    let hexadecimal = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let Some((directory, name)) = name.split_once('/') else { return false };
    match directory {
        INDEX => {
            let parts = name.strip_suffix(".table").map(|name| name.split('-').collect::<Vec<_>>());
            let Some([first, last, digest]) = parts.as_deref() else { return false };
            [first, last].iter().all(|it| to_commit(it).is_some()) && hexadecimal(digest, 12)
        }
        LOG => {
            let number = name.split('-').next().and_then(|digits| digits.parse().ok());
            let parts = number.zip(crc_of_name(name));
            parts.is_some_and(|(number, crc)| {
                sealed_name(number, crc).strip_prefix(LOG) == Some(&format!("/{name}"))
            })
        }
        PROBE => name.split_once('-').is_some_and(|(nonce, number)| {
            hexadecimal(nonce, 32)
                && !number.is_empty()
                && number.bytes().all(|it| it.is_ascii_digit())
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_same_length_have_names_of_their_own() {
        let table = |value: u8| {
            let mut bytes = Vec::new();
            let mut writer = prophet_tables::TableWriter::new(&mut bytes).unwrap();
            writer.add(b"key", Some(&[value])).unwrap();
            writer.finish().unwrap();
            bytes
        };
        let (one, other) = (table(1), table(2));
        assert_eq!(crc32fast::hash(&one), crc32fast::hash(&other), "which says nothing");
        let name = |bytes: &[u8]| super::table(Version::new(64), Version::new(128), bytes);
        assert_ne!(name(&one), name(&other));
        assert!(name(&one).starts_with("index/00000000000000000065-00000000000000000128-"));
    }

    #[test]
    fn what_this_store_derived_is_known_by_its_name() {
        let nonce = "0123456789abcdef0123456789abcdef";
        let table = super::table(Version::new(64), Version::new(128), b"a table");
        let derived = [table.clone(), sealed_name(7, 0xDEAD), format!("{PROBE}/{nonce}-3")];
        for name in &derived {
            assert!(is_derived(name), "{name}");
            // Somebody's, that looks like it.
            let (directory, file) = name.split_once('/').unwrap();
            for other in [
                format!("{directory}/team/{file}"),
                format!("{directory}/x{file}"),
                format!("{directory}/{file}x"),
                format!("{directory}/{}", file.to_uppercase()),
                format!("notes/{file}"),
                file.to_owned(),
            ] {
                assert!(!is_derived(&other), "{other}");
            }
        }
        let log =
            ["log/00000007.jsonl", "log/7-0000dead.jsonl.zst", "log/access-0000dead.jsonl.zst"];
        let probe = [format!("{PROBE}/{nonce}"), format!("{PROBE}/{}-3", &nonce[1..])];
        let names = ["index/1-2-3.table".to_owned(), commit(Version::new(7)), IDENTITY.to_owned()];
        for name in log.map(str::to_owned).into_iter().chain(probe).chain(names) {
            assert!(!is_derived(&name), "{name}");
        }
    }

    #[test]
    fn names_of_commits_sort_as_versions_and_read_back() {
        let names: Vec<_> =
            [1, 9, 10, 99, 1_000_000, u64::MAX].map(|n| commit(Version::new(n))).into();
        assert!(names.is_sorted());
        assert_eq!(names.first().unwrap(), "commits/00000000000000000001");
        for name in names {
            let (_, number) = name.split_once('/').unwrap();
            assert_eq!(commit(to_commit(number).unwrap()), name);
        }
        for name in ["1", "0000000000000000000x", "+0000000000000000001", ""] {
            assert_eq!(to_commit(name), None, "{name}");
        }
    }
}

//! Keys are ordered as what they stand for, and come back as they were.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use prophet_store::{
    ConflictId, Digest, Direction, MetadataKey, Position, RecordId, RecordKey, RecordType,
    ReplicaId, Sequence, Version,
};
use prophet_tables::keys;
use proptest::prelude::*;

/// Few enough texts that some are prefixes of others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab!~é]{1,4}", "\\PC{1,8}"]
}

fn record_type() -> impl Strategy<Value = RecordType> {
    text().prop_map(|text| RecordType::new(text).unwrap())
}

fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    let byte = prop_oneof![Just(0), Just(0xFF), any::<u8>()];
    prop_oneof![byte.prop_map(|byte| [byte; N]), any::<[u8; N]>()]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_u64, Just(255), Just(256), Just(u64::MAX), any::<u64>()]
}

fn record() -> impl Strategy<Value = RecordKey> {
    (record_type(), bytes()).prop_map(|(t, id)| RecordKey::new(t, RecordId::from_bytes(id)))
}

fn digest() -> impl Strategy<Value = Digest> {
    bytes().prop_map(Digest::from_bytes)
}

fn origin() -> impl Strategy<Value = (ReplicaId, Sequence, Digest)> {
    let sequence = number().prop_map(|number| Sequence::new(number.max(1)).unwrap());
    (bytes().prop_map(ReplicaId::from_bytes), sequence, digest())
}

fn resolution() -> impl Strategy<Value = (ConflictId, Digest)> {
    (bytes().prop_map(ConflictId::from_bytes), digest())
}

fn metadata() -> impl Strategy<Value = MetadataKey> {
    prop_oneof![text(), "[a\\x00\\x01\u{10FFFF}]{1,4}"].prop_map(|t| MetadataKey::new(t).unwrap())
}

/// Encodes two, compares, and decodes; damaged ones are refused or are other keys.
macro_rules! check {
    ($a:ident, $b:ident, $encode:expr, $decode:expr) => {{
        let (x, y) = ($encode(&$a), $encode(&$b));
        prop_assert_eq!(x.cmp(&y), $a.cmp(&$b));
        for end in 0..x.len() {
            prop_assert_ne!($decode(&x[..end]), Some($a.clone()));
        }
        let mut longer = x.clone();
        longer.push(0);
        prop_assert_ne!($decode(&longer), Some($a.clone()));
        prop_assert_eq!($decode(&x), Some($a));
        (x, y)
    }};
}

proptest! {
    #[test]
    fn records(a in record(), b in record()) {
        let of = keys::records_of(a.record_type());
        let same = a.record_type() == b.record_type();
        let (x, y) = check!(a, b, keys::record, keys::to_record);
        prop_assert!(of.contains(&x) && keys::records().contains(&x));
        prop_assert_eq!(of.contains(&y), same);
    }

    #[test]
    fn histories(a in (record(), number()), b in (record(), number())) {
        let (a, b) = ((a.0, Position::new(a.1)), (b.0, Position::new(b.1)));
        let of = keys::history_of(&a.0);
        let same = a.0 == b.0;
        let (x, y) = check!(a, b, |(r, p): &(_, _)| keys::history(r, *p), keys::to_history);
        prop_assert!(of.contains(&x));
        prop_assert_eq!(of.contains(&y), same);
        prop_assert!(!keys::records().contains(&x));
    }

    #[test]
    fn origins(a in origin(), b in origin()) {
        let of = keys::origin_of(a.0);
        prop_assert!(keys::origins().contains(&keys::origin(a.0, a.1, a.2)));
        let same = a.0 == b.0;
        let encode = |(o, s, d): &(_, _, _)| keys::origin(*o, *s, *d);
        let (x, y) = check!(a, b, encode, keys::to_origin);
        prop_assert!(of.contains(&x));
        prop_assert_eq!(of.contains(&y), same);
    }

    #[test]
    fn changesets(a in digest(), b in digest()) {
        let (x, _) = check!(a, b, |d: &Digest| keys::changeset(*d), keys::to_changeset);
        prop_assert!(keys::changesets().contains(&x));
    }

    #[test]
    fn resolutions(a in resolution(), b in resolution()) {
        let of = keys::resolutions_of(a.0);
        let same = a.0 == b.0;
        let encode = |(c, d): &(_, _)| keys::resolution(*c, *d);
        let (x, y) = check!(a, b, encode, keys::to_resolution);
        prop_assert!(of.contains(&x) && keys::resolutions().contains(&x));
        prop_assert_eq!(of.contains(&y), same);
    }

    #[test]
    fn metadata_keys(a in metadata(), b in metadata(), prefix in "[ab]{0,2}") {
        let with = keys::metadata_with(&prefix);
        let begins = a.as_str().starts_with(&prefix);
        let (x, _) = check!(a, b, keys::metadata, keys::to_metadata);
        prop_assert_eq!(with.contains(&x), begins);
    }

    #[test]
    fn commits(a in number(), b in number()) {
        let (a, b) = (Version::new(a), Version::new(b));
        let (x, _) = check!(a, b, |v: &Version| keys::commit(*v), keys::to_commit);
        prop_assert!(keys::commits().contains(&x));
    }

    #[test]
    fn entries(a in number(), b in number()) {
        let (a, b) = (Position::new(a), Position::new(b));
        let (x, _) = check!(a, b, |p: &Position| keys::entry(*p), keys::to_entry);
        prop_assert!(keys::entries().contains(&x));
        prop_assert_eq!(keys::entries_from(b, Direction::Forward).contains(&x), a >= b);
        prop_assert_eq!(keys::entries_from(b, Direction::Backward).contains(&x), a <= b);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for space in b"rhocvmke" {
            let mut bytes = bytes.clone();
            bytes.insert(0, *space);
            let again = [
                keys::to_record(&bytes).map(|key| keys::record(&key)),
                keys::to_history(&bytes).map(|(key, at)| keys::history(&key, at)),
                keys::to_origin(&bytes).map(|(o, s, d)| keys::origin(o, s, d)),
                keys::to_changeset(&bytes).map(keys::changeset),
                keys::to_resolution(&bytes).map(|(c, d)| keys::resolution(c, d)),
                keys::to_metadata(&bytes).map(|key| keys::metadata(&key)),
                keys::to_commit(&bytes).map(keys::commit),
                keys::to_entry(&bytes).map(keys::entry),
            ];
            for again in again.into_iter().flatten() {
                prop_assert_eq!(&again, &bytes);
            }
        }
    }
}

//! Bundles that are not what was once written, and bundles that nobody's replica would write.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::io::{Cursor, Seek as _, SeekFrom};

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Bundle, BundleSummary, Changeset, ChangesetSource as _, DatabaseId, Error, Identity,
    MemoryStore, Position, PullOptions, Replica, ReplicaId, VersionVector, codec,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(dead_code, reason = "what the tests of the engine and the format share")]
mod support {
    pub(crate) mod sealing;
    pub(crate) mod store;
}
use support::sealing::{
    BUNDLE_END, BUNDLE_START, CHANGESET, METADATA, body, envelopes, reseal, seal, varint,
};
use support::store::{Still, identity, name};

/// Where the bundles are, in messages.
const PLACE: &str = "a stick";

/// A replica of four changesets, and what it had seen after the first.
fn replica() -> (Replica, VersionVector) {
    block_on(async {
        let options = Replica::options().environment(Still::default());
        let replica = options.open(MemoryStore::new(identity())).await.unwrap();
        let ada = replica.create("person", name("Ada")).await.unwrap();
        let basis = replica.vector().await.unwrap();
        replica.update(&ada, name("Ada Lovelace")).await.unwrap();
        replica.create("person", name("Grace")).await.unwrap();
        replica.delete(&ada).await.unwrap();
        (replica, basis)
    })
}

/// A bundle of the last three of them.
fn written() -> (Vec<u8>, BundleSummary) {
    let (replica, basis) = replica();
    let mut bytes = Vec::new();
    let summary = block_on(replica.bundle(&basis, &mut bytes)).unwrap();
    (bytes, summary)
}

/// A bundle of all of them.
fn complete() -> Vec<u8> {
    let mut bytes = Vec::new();
    block_on(replica().0.bundle(&VersionVector::new(), &mut bytes)).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Bundle<Cursor<Vec<u8>>>, Error> {
    Bundle::read(Cursor::new(bytes.to_vec()), PLACE)
}

/// Why a bundle is refused, before anything is taken from it.
#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(Error::BadSource { place, why, .. }) if place == PLACE => why,
        Err(other) => panic!("refused, but not for what it is: {other}"),
        Ok(bundle) => panic!("taken for a bundle of {:?}", bundle.summary()),
    }
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let why = refusal(bytes);
    assert!(why.contains(expected), "{why}");
}

/// The end of a bundle that begins with these envelopes.
fn end_of(envelopes: &[&[u8]], changesets: u64) -> Vec<u8> {
    let digest = blake3::hash(&envelopes.concat());
    seal(BUNDLE_END, &[varint(changesets).as_slice(), digest.as_bytes()].concat())
}

/// These envelopes as a whole bundle, as far as number and digest go: all but the first are
/// counted as changesets.
fn ended(envelopes: &[&[u8]]) -> Vec<u8> {
    let end = end_of(envelopes, envelopes.len() as u64 - 1);
    [envelopes.concat(), end].concat()
}

fn other_replica() -> Replica {
    let identity = Identity { replica: ReplicaId::from_bytes([3; 16]), ..identity() };
    let options = Replica::options().environment(Still::default());
    block_on(options.open(MemoryStore::new(identity))).unwrap()
}

#[test]
fn a_bundle_is_what_the_format_says() {
    let (bytes, summary) = written();
    let found = envelopes(&bytes);
    let [start, changesets @ .., end] = found.as_slice() else { panic!("{found:?}") };
    let ids = [summary.database.as_bytes().as_slice(), identity().replica.as_bytes()].concat();
    let vectors = [&summary.basis, &summary.result].map(codec::encode_vector);
    let fields = [ids.as_slice(), body(&vectors[0]), body(&vectors[1])].concat();
    assert_eq!(*start, seal(BUNDLE_START, &fields));
    let changesets: Vec<_> =
        changesets.iter().map(|sealed| codec::decode_changeset(sealed).unwrap()).collect();
    assert_eq!(changesets.len(), 3);
    assert_eq!(ended(&found[..4]), bytes);
    assert_eq!(found[4], *end);

    let bundle = read(&bytes).unwrap();
    assert_eq!(*bundle.summary(), summary);
    assert_eq!((summary.changesets, summary.bytes), (3, bytes.len() as u64));
    let nothing = VersionVector::new();
    let offer = block_on(bundle.offer(&nothing)).unwrap();
    let given = bundle.changesets(&offer, &nothing);
    let given: Vec<Changeset> = block_on(given.try_collect()).unwrap();
    assert_eq!(given, changesets);
}

#[test]
fn a_bundle_may_come_after_something_else() {
    let bytes = complete();
    let mut reader = Cursor::new([b"label", bytes.as_slice()].concat());
    reader.seek(SeekFrom::Start(5)).unwrap();
    let bundle = Bundle::read(reader, PLACE).unwrap();
    assert_eq!(bundle.summary().bytes, bytes.len() as u64);
    let report = block_on(other_replica().pull(&bundle, PullOptions::new())).unwrap();
    assert_eq!(report.integrated, 4);
}

#[test]
fn a_bundle_cut_short_anywhere_is_refused() {
    let (bytes, _) = written();
    assert!(read(&bytes).is_ok());
    for len in 0..bytes.len() {
        refusal(&bytes[..len]);
    }
    let between = envelopes(&bytes).into_iter().scan(0, |at, envelope| {
        *at += envelope.len();
        Some(*at)
    });
    for len in std::iter::once(0).chain(between).filter(|len| *len < bytes.len()) {
        refused(&bytes[..len], &format!("at byte {len}: the bundle is cut short"));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let (bytes, _) = written();
    let mut damaged = bytes.clone();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            damaged[place] ^= 1 << bit;
            refusal(&damaged);
            damaged[place] = bytes[place];
        }
    }
    assert!(read(&damaged).is_ok(), "all of it was put back");
}

#[test]
fn a_flipped_bit_is_refused_also_where_the_checksum_was_made_to_fit() {
    let (bytes, _) = written();
    let mut before = 0;
    for envelope in envelopes(&bytes) {
        let after = &bytes[before + envelope.len()..];
        let sealed = &envelope[..envelope.len() - 4];
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut sealed = sealed.to_vec();
                sealed[place] ^= 1 << bit;
                refusal(&[&bytes[..before], &reseal(&sealed), after].concat());
            }
        }
        before += envelope.len();
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let (bytes, _) = written();
    let end = envelopes(&bytes)[4];
    let why = "something follows the end of the bundle";
    for more in [[0].as_slice(), b"\n", &[0xab], end, &bytes] {
        refused(&[&bytes, more].concat(), why);
    }
}

#[test]
fn a_newer_codec_is_told_from_damage() {
    let (bytes, _) = written();
    let mut before = 0;
    for envelope in envelopes(&bytes) {
        let after = &bytes[before + envelope.len()..];
        let of_version = |version| {
            let mut sealed = envelope[..envelope.len() - 4].to_vec();
            sealed[2] = version;
            [&bytes[..before], &reseal(&sealed), after].concat()
        };
        for version in [2, 0xff] {
            let why = format!("at byte {before}: written by codec version {version}");
            refused(&of_version(version), &why);
        }
        refused(&of_version(0), "there is no codec version 0");
        assert_eq!(of_version(1), bytes);
        before += envelope.len();
    }
}

#[test]
fn changesets_that_changed_places_are_refused() {
    let (bytes, _) = written();
    let found = envelopes(&bytes);
    let [start, one, two, three, end] = found.as_slice() else { panic!("{found:?}") };
    let digest = "its digest is not that of its content";
    for swapped in [[two, one, three], [one, three, two], [three, two, one]] {
        let [first, second, third] = swapped;
        refused(&[*start, first, second, third, end].concat(), digest);
    }
    refused(&[*start, one, two, two, end].concat(), digest);
    refused(&[*start, one, two, end].concat(), "2 changesets where there were 3");
    refused(&[*start, end].concat(), "0 changesets where there were 3");
    refused(&[*start, one, two, three, three, end].concat(), "4 changesets where there were 3");
    let shorter = [*start, one, two];
    refused(&[shorter.concat(), end_of(&shorter, 3)].concat(), "2 changesets where there were 3");
    refused(&[*start, one, two, three, &end_of(&shorter, 3)].concat(), digest);
}

#[test]
fn a_bundle_is_a_start_then_changesets_then_an_end() {
    let (bytes, _) = written();
    let found = envelopes(&bytes);
    let [start, one, two, three, end] = found.as_slice() else { panic!("{found:?}") };
    refused(&[*one, two, three, end].concat(), "content 1 where BundleStart was expected");
    refused(end, "content 9 where BundleStart was expected");
    refused(&ended(&[start, start, one]), "content 8 where Changeset was expected");
    refused(&ended(&[start, &seal(METADATA, b"hi"), one]), "content 6 where Changeset");
    refused(&[*start, one, two, three].concat(), "the bundle is cut short");
    refused(&codec::encode_vector(&VersionVector::new()), "content 7 where BundleStart");
    refused(b"", "at byte 0: the bundle is cut short");
    refused(b"SQLite format 3\0 and what else there is in such a file", "at byte 0");
    assert_eq!(read(&ended(&[start])).unwrap().summary().changesets, 0);
}

#[test]
fn the_fields_of_start_and_end_are_read_strictly() {
    let (bytes, _) = written();
    let found = envelopes(&bytes);
    let (start, end) = (body(found[0]), body(found[4]));
    let started = |start: &[u8]| ended(&[&seal(BUNDLE_START, start), found[1]]);
    assert!(read(&started(start)).is_ok());
    refused(&started(&[start, &[0]].concat()), "1 bytes follow");
    refused(&started(&start[..start.len() - 1]), "end too early");
    // Both vectors have one origin: 16 bytes after the ids and a count.
    let tips = 16 + 16 + 1 + 16;
    assert_eq!(start[tips], 1);
    refused(&started(&[&start[..tips], &[0], &start[tips + 34..]].concat()), "without a tip");
    let sequence = [&start[..tips + 1], &[0], &start[tips + 2..]].concat();
    refused(&started(&sequence), "no sequence number 0");

    let ended = |end: &[u8]| [found[..4].concat(), seal(BUNDLE_END, end)].concat();
    assert_eq!(ended(end), bytes);
    refused(&ended(&[end, &[0]].concat()), "1 bytes follow");
    refused(&ended(&end[..32]), "end too early");
    refused(&ended(&[&[0xfb, 3, 0], &end[1..]].concat()), "spread over 3 bytes");
}

#[test]
fn a_length_that_no_envelope_has_is_refused_unread() {
    let most = (128_u64 << 20) + (64 << 20);
    let (bytes, _) = written();
    let start = envelopes(&bytes)[0];
    for content in [BUNDLE_START, CHANGESET, BUNDLE_END] {
        let announced = |length: &[u8]| {
            let before = if content == BUNDLE_START { &[] } else { start };
            [before, &[0xab, 0x50, 1, content], length].concat()
        };
        for length in [most + 1, 1 << 40, u64::MAX] {
            refused(&announced(&varint(length)), "are allowed");
        }
        refused(&announced(&varint(most)), "checksum");
        refused(&announced(&[0xfe, 0, 0, 0, 0, 0, 0, 0, 0]), "integer");
        refused(&announced(&[0xff]), "integer");
        refused(&announced(&[0xfb, 3, 0]), "spread over 3 bytes");
    }
}

/// Whether a bundle is in an order that can be, and is of this database, shows when it is pulled
/// from.
#[test]
fn what_a_bundle_does_not_show_by_itself_is_refused_when_it_is_pulled_from() {
    let bytes = complete();
    let found = envelopes(&bytes);
    let [start, one, two, three, four, _] = found.as_slice() else { panic!("{found:?}") };
    let pulled = |forged: &[u8]| {
        let (replica, bundle) = (other_replica(), read(forged).unwrap());
        let pulled = block_on(replica.pull(&bundle, PullOptions::new()));
        (pulled, block_on(replica.head()).unwrap().position)
    };
    let (good, position) = pulled(&bytes);
    assert_eq!((good.unwrap().integrated, position), (4, Position::new(4)));
    for (swapped, kept) in [([two, one, three, four], 0), ([one, two, four, three], 2)] {
        let [first, second, third, fourth] = swapped;
        let (refused, position) = pulled(&ended(&[start, first, second, third, fourth]));
        assert!(matches!(refused, Err(Error::BadChangeset { .. })), "{refused:?}");
        assert_eq!(position, Position::new(kept));
    }
    // The start announces a fourth changeset, which is not there.
    let (short, position) = pulled(&ended(&[start, one, two, three]));
    assert!(matches!(short, Err(Error::BadChangeset { .. })), "{short:?}");
    assert_eq!(position, Position::new(3));

    let database = DatabaseId::from_bytes([9; 16]);
    let forged = [database.as_bytes(), &body(start)[16..]].concat();
    let (other, position) = pulled(&ended(&[&seal(BUNDLE_START, &forged), one, two]));
    assert!(matches!(other, Err(Error::OtherDatabase { theirs, .. }) if theirs == database));
    assert_eq!(position, Position::ZERO);

    let (partial, _) = written();
    let (without_basis, position) = pulled(&partial);
    assert!(matches!(without_basis, Err(Error::BasisMissing { .. })), "{without_basis:?}");
    assert_eq!(position, Position::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_are_no_bundle(
        bytes in vec(any::<u8>(), 0..200),
        cut in any::<Index>(),
    ) {
        prop_assert!(read(&bytes).is_err());
        let (good, _) = written();
        let cut = cut.index(good.len());
        prop_assert!(read(&[&good[..cut], &bytes].concat()).is_err() || bytes == good[cut..]);
    }

    #[test]
    fn a_start_that_is_accepted_is_the_canonical_one(
        at in any::<Index>(),
        removed in 0_usize..3,
        inserted in vec(prop_oneof![0_u8..4, any::<u8>()], 0..3),
    ) {
        let (bytes, _) = written();
        let mut fields = body(envelopes(&bytes)[0]).to_vec();
        let at = at.index(fields.len());
        let until = (at + removed).min(fields.len());
        fields.splice(at..until, inserted);
        if let Ok(bundle) = read(&ended(&[&seal(BUNDLE_START, &fields)])) {
            let summary = bundle.summary();
            let replica = &fields[16..32];
            let vectors = [&summary.basis, &summary.result].map(codec::encode_vector);
            let again = [summary.database.as_bytes(), replica, body(&vectors[0]), body(&vectors[1])];
            prop_assert_eq!(again.concat(), fields);
        }
    }
}

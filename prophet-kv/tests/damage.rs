//! What `verify` and certified values see of a map that lost or changed something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use prophet_kv::{Certified, EntriesInMap, Map as _, Reads, Tally, certified, certify, verify};
use prophet_store::{Head, Identity, Properties, PullOptions, Replica, Side, StoreError};
use proptest::prelude::*;
use support::{MapStore, PLACE, Volume};

type Kept = BTreeMap<Vec<u8>, Vec<u8>>;

/// A map with something of everything in it.
fn kept() -> (Head, Kept) {
    block_on(async {
        let identity = Identity::new_database().unwrap();
        let volume = Arc::new(Mutex::new(Volume::default()));
        let replica = Replica::open(MapStore::new(&volume, identity)).await.unwrap();
        let theirs = Identity::new_replica(identity.database).unwrap();
        let peer = Arc::new(Mutex::new(Volume::default()));
        let peer = Replica::open(MapStore::new(&peer, theirs)).await.unwrap();
        let named = |name: &str| Properties::try_from([("name", name)]).unwrap();
        let first = replica.create("person", named("one")).await.unwrap();
        replica.create("bug", named("two")).await.unwrap();
        peer.pull(&replica, PullOptions::new()).await.unwrap();
        peer.update(&first, named("theirs")).await.unwrap();
        replica.update(&first, named("ours")).await.unwrap();
        replica.pull(&peer, PullOptions::new().prefer(Side::Source)).await.unwrap();
        let volume = volume.lock().unwrap();
        (volume.head.unwrap(), (*volume.map.0).clone())
    })
}

fn problems(head: Head, map: &Kept) -> Vec<String> {
    let reads = Reads::new(PLACE, head, map, EntriesInMap::new(PLACE, map));
    block_on(verify(&reads)).unwrap().problems
}

/// Of each space, whether it follows from the log and the head what must be in it.
fn told_by_the_log(key: &[u8], head: Head) -> bool {
    match key[0] {
        b'e' | b'h' | b'c' | b'o' => true,
        b'k' => key == prophet_tables::keys::commit(head.version),
        b'r' | b'v' | b'm' => false,
        other => panic!("there is a space {other}"),
    }
}

#[test]
fn verify_sees_what_is_lost_and_what_is_too_much() {
    let (head, map) = kept();
    assert_eq!(problems(head, &map), Vec::<String>::new());
    let mut spaces: Vec<u8> = map.keys().map(|key| key[0]).collect();
    spaces.dedup();
    assert_eq!(spaces, b"cehkmorv");
    for (key, value) in &map {
        let mut lost = map.clone();
        lost.remove(key);
        let told = told_by_the_log(key, head);
        let found = problems(head, &lost);
        assert_eq!(found.is_empty(), !told, "{}", key.escape_ascii());
        assert!(found.iter().all(|problem| problem.contains(PLACE)), "{found:?}");
        // Values that are not empty are all checked against something, but for plain metadata and
        // the ids of old commits.
        if !value.is_empty() && key[0] != b'm' && (key[0] != b'k' || told) {
            let mut changed = map.clone();
            *changed.get_mut(key).unwrap().last_mut().unwrap() ^= 1;
            assert_ne!(problems(head, &changed), Vec::<String>::new(), "{}", key.escape_ascii());
        }
        if told && key[0] != b'e' {
            // The same for a changeset, a record or a version that is not in the log.
            let mut more = map.clone();
            let mut other = key.clone();
            *other.last_mut().unwrap() ^= 0x10;
            assert_eq!(more.insert(other, value.clone()), None);
            assert_ne!(problems(head, &more), Vec::<String>::new(), "{}", key.escape_ascii());
        }
    }
}

#[test]
fn a_tally_sees_all_that_is_lost_or_old() {
    let (_, map) = kept();
    let stored: Kept =
        map.into_iter().map(|(key, value)| (key.clone(), certify(&key, value))).collect();
    let tally = |map: &Kept| {
        let mut tally = Tally::default();
        map.values().for_each(|value| tally.replace(None, Some(value)));
        tally
    };
    let all = tally(&stored);
    assert_eq!(all.keys(), stored.len() as u64);
    for key in stored.keys() {
        let mut lost = stored.clone();
        let value = lost.remove(key).unwrap();
        assert_ne!(tally(&lost), all);
        lost.insert(key.clone(), certify(key, b"an older value".to_vec()));
        assert_ne!(tally(&lost), all);
        lost.insert(key.clone(), value);
        assert_eq!(tally(&lost), all);
    }
}

#[test]
fn a_tally_is_kept_as_two_numbers() {
    let mut tally = Tally::default();
    let (one, other) = ([7, 0xFF, 0xFF, 0xFF, 0xFF], [2, 0, 0, 0]);
    tally.replace(None, Some(&one));
    tally.replace(None, Some(&other));
    let bytes = tally.to_bytes();
    assert_eq!(bytes[..8], 2_u64.to_le_bytes());
    assert_eq!(bytes[8..], 0x1_0000_0001_u64.to_le_bytes());
    assert_eq!(Tally::from_bytes(bytes), tally);
    assert_eq!(Tally::from_bytes(bytes).keys(), 2);
}

#[test]
fn a_certified_map_answers_what_was_stored_or_that_it_is_damaged() {
    let (head, map) = kept();
    let mut stored: Kept =
        map.iter().map(|(key, value)| (key.clone(), certify(key, value.clone()))).collect();
    let sound = Certified::new(PLACE, &stored);
    let reads = Reads::new(PLACE, head, sound, EntriesInMap::new(PLACE, sound));
    assert_eq!(block_on(verify(&reads)).unwrap().problems, Vec::<String>::new());
    for (key, value) in &map {
        let place = stored.get_mut(key).unwrap();
        for at in 0..place.len() {
            place[at] ^= 0x20;
            let map = BTreeMap::from([(key.clone(), place.clone())]);
            let got = block_on(Certified::new(PLACE, &map).get(key));
            assert!(matches!(got, Err(StoreError::Corrupt { .. })), "{got:?}");
            place[at] ^= 0x20;
        }
        let map = BTreeMap::from([(key.clone(), place.clone())]);
        assert_eq!(block_on(Certified::new(PLACE, &map).get(key)).unwrap().as_ref(), Some(value));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_certified(
        key in prop::collection::vec(any::<u8>(), 0..40),
        value in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let stored = certify(&key, value.clone());
        prop_assert_eq!(certified(&key, &stored), Some(value.as_slice()));
        prop_assert_eq!(certified(&key, &stored[..stored.len() - 1]), None);
    }
}

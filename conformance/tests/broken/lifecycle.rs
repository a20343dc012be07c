//! Stores that are wrong about being created, opened and closed, and about themselves.

use std::sync::atomic::Ordering;

use prophet_store::{
    Access, Commit, CommitId, DatabaseId, Head, Identity, MetadataKey, ReplicaId, Sharing,
    StoreError, Verification,
};

use crate::fault::{Fault, SHARED, fault};
use crate::tools::send;
use crate::wrapped::{Kept, locked};

const NOBODY: Identity =
    Identity { database: DatabaseId::from_bytes([0; 16]), replica: ReplicaId::from_bytes([0; 16]) };

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_facts();
    faults.extend(of_locks());
    faults.extend([
        fault("comes with something in it", &["lifecycle::a_new_replica_is_empty"]).create(
            |kept, identity| {
                let store = kept.place().create(identity)?;
                let key = MetadataKey::new("made by").expect("it is a good key");
                let commit = Commit::new(CommitId::from_bytes([7; 16]), Head::EMPTY);
                send(&store, &commit.with_metadata(key, Some(b"a test".to_vec()))?)?;
                Ok(store)
            },
        ),
        fault("creates over what is there", &["lifecycle::creating_twice_is_refused"])
            .create(|kept, identity| kept.renew().create(identity)),
        fault("makes what it opens", &["lifecycle::opening_nothing_finds_nothing"]).open(|kept| {
            match kept.place().open() {
                Err(StoreError::NotFound { .. }) => kept.place().create(NOBODY),
                opened => opened,
            }
        }),
        fault(
            "makes what it opens for reading",
            &["lifecycle::reading_only_needs_something_to_read"],
        )
        .over(SHARED)
        .open_read_only(|kept| match kept.place().open_read_only()? {
            Err(StoreError::NotFound { .. }) => Some(kept.place().create(NOBODY)),
            opened => Some(opened),
        }),
        fault("keeps all in one place", &["lifecycle::places_are_apart"]).one_place(),
        fault("answers after close", &["lifecycle::a_closed_handle_says_closed"]).hooks(
            |_, hooks| {
                hooks.head(|answer| match answer {
                    Err(StoreError::Closed { .. }) => Ok(Head::EMPTY),
                    answer => answer,
                })
            },
        ),
        fault("verifies nothing", &["lifecycle::a_sound_store_verifies"])
            .hooks(|_, hooks| hooks.verification(|report| *report = Verification::default())),
    ]);
    faults
}

fn of_facts() -> Vec<Fault> {
    vec![
        fault("declares that it is shared", &["lifecycle::the_declared_powers_are_the_true_ones"])
            .hooks(|_, hooks| hooks.facts(|facts| facts.capabilities.sharing = Sharing::Processes)),
        fault("declares that it is for reading", &["lifecycle::handles_are_for_writing"])
            .hooks(|_, hooks| hooks.facts(|facts| facts.capabilities.access = Access::ReadOnly)),
        fault("commits where it may only read", &["lifecycle::a_read_only_handle_refuses_commits"])
            .over(SHARED)
            .open_read_only(|kept| {
                kept.flag.store(true, Ordering::Release);
                Some(kept.place().open())
            })
            .hooks(|handle, hooks| {
                let reads = handle.kept.flag.swap(false, Ordering::AcqRel);
                hooks.facts(move |facts| {
                    if reads {
                        facts.capabilities.access = Access::ReadOnly;
                    }
                })
            }),
        fault("changes its facts", &["lifecycle::facts_never_change"]).hooks(|handle, hooks| {
            let number = u8::try_from(handle.number).unwrap_or(u8::MAX);
            hooks.facts(move |facts| {
                let mut replica = *facts.identity.replica.as_bytes();
                replica[0] ^= number;
                facts.identity.replica = ReplicaId::from_bytes(replica);
            })
        }),
        fault("takes an id of zeros for none", &["lifecycle::every_identity_is_kept"]).hooks(
            |_, hooks| {
                hooks.facts(|facts| {
                    if facts.identity.replica == NOBODY.replica {
                        facts.identity.replica = ReplicaId::from_bytes([1; 16]);
                    }
                })
            },
        ),
    ]
}

/// The handle that is open, as another one.
fn another(kept: &Kept) -> Option<conformance::Store> {
    locked(&kept.stores).last().cloned()
}

fn of_locks() -> Vec<Fault> {
    vec![
        fault("opens twice", &["lifecycle::a_second_open_is_locked"])
            .hooks(|handle, hooks| {
                locked(&handle.kept.stores).push(handle.inner.clone());
                hooks
            })
            .open(|kept| another(kept).map_or_else(|| kept.place().open(), Ok)),
        fault("stays locked until it is dropped", &["lifecycle::closing_lets_another_open"])
            .hooks(|_, hooks| hooks.close(|| Ok(()))),
        fault("stays locked when it is dropped", &["lifecycle::dropping_lets_another_open"]).hooks(
            |handle, hooks| {
                locked(&handle.kept.stores).push(handle.inner.clone());
                hooks
            },
        ),
    ]
}

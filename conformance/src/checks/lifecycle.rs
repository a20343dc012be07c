//! Creating, opening, closing, and what a store says of itself.

use prophet_store::{
    Access, DatabaseId, Durability, HistoryScan, Identity, OriginScan, PageLimit, ReplicaId,
    Sharing, StoreError,
};

use crate::failure::{Failure, Outcome, ensure, ensure_eq, ensure_error, ensure_ok};
use crate::fixtures::{Model, World, key, origin};
use crate::suite::{Context, apply, persist};
use harnesses::{Fault, FaultWay, Power, Store, Unsynced};

pub(crate) async fn the_declared_powers_are_the_true_ones(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let capabilities = store.facts().capabilities;
    let declares = |power: Power, truth: bool, what: &str| {
        let declared = context.has(power);
        if declared == truth {
            return Ok(());
        }
        let name = power.name();
        let why = match declared {
            true => format!("it is not so that {what}: {name} belongs into `without`"),
            false => format!("{what}: {name} does not belong into `without`"),
        };
        Err(Failure::new("O4", why))
    };
    let shared = capabilities.sharing >= Sharing::Processes;
    declares(Power::SeveralProcesses, shared, "the store declares Sharing::Processes")?;
    let addressed = context.place().address().is_some();
    declares(Power::Address, addressed, "the place has an address")?;
    let read_only = context.place().open_read_only().is_some();
    declares(Power::ReadOnly, read_only, "the place can be opened for reading only")?;
    let faulty = context.harness().faulty_place();
    declares(Power::Faults, faulty.is_some(), "the harness has a place with faults")?;
    if let Some(place) = &faulty {
        place.fail(Some(Fault { after: 0, way: FaultWay::Undone, lasting: true }));
        let created = place.create(World::IDENTITY).map(drop);
        let struck = created.is_err() && place.struck().is_some();
        ensure!(O4, struck, "every step of the place with faults fails, and creating: {created:?}");
        place.fail(None);
    }
    let loses = faulty.is_some_and(|place| place.after_power_loss(Unsynced::Lost).is_some());
    declares(Power::PowerLoss, loses, "a place with faults can lose what was not synced")?;
    let damaged = context.harness().damaged_place().is_some();
    declares(Power::Damage, damaged, "the harness has a place that can be damaged")?;
    // A line that does without it is for systems that do not tell, and may be the same on all.
    let measured = context.harness().peak_memory().is_some() || !context.has(Power::PeakMemory);
    ensure!(
        O4,
        measured,
        "nobody tells the peak of memory here: peak_memory belongs into `without`"
    );
    let survives = capabilities.durability > Durability::Volatile;
    ensure!(O4, addressed || !survives, "a store that outlives its process needs an address");
    ensure!(O4, addressed || !shared, "a store shared by processes needs an address");
    Ok(())
}

pub(crate) async fn a_new_replica_is_empty(context: &Context<'_>) -> Outcome {
    Model::EMPTY.expect(&context.create()?).await
}

pub(crate) async fn opening_nothing_finds_nothing(context: &Context<'_>) -> Outcome {
    let place = context.place();
    ensure_error!(O1, place.open(), StoreError::NotFound { .. }, "opening where nothing is");
    ensure_error!(O1, place.open(), StoreError::NotFound { .. }, "opening it once more");
    let store = context.create()?;
    Model::EMPTY.expect(&store).await
}

pub(crate) async fn creating_twice_is_refused(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    store.close().await?;
    drop(store);
    let other = Identity {
        database: DatabaseId::from_bytes([1; 16]),
        replica: ReplicaId::from_bytes([2; 16]),
    };
    for identity in [World::IDENTITY, other] {
        let created = context.place().create(identity);
        ensure_error!(
            O1,
            created,
            StoreError::AlreadyExists { .. },
            "creating over a replica as {identity:?}"
        );
    }
    let store = context.open()?;
    ensure_eq!(O1, store.facts().identity, World::IDENTITY, "whose replica it is afterwards");
    world.model.expect(&store).await
}

pub(crate) async fn places_are_apart(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    let place = context.harness().place();
    ensure_error!(O1, place.open(), StoreError::NotFound { .. }, "opening another place");
    let identity = Identity { replica: ReplicaId::from_bytes([3; 16]), ..World::IDENTITY };
    let other = place.create(identity)?;
    ensure_eq!(O4, other.facts().identity, identity, "whose replica the other place holds");
    Model::EMPTY.expect(&other).await?;
    let mut elsewhere = World::new();
    apply(&other, &elsewhere.step()).await?;
    elsewhere.model.expect(&other).await?;
    world.model.expect(&store).await
}

pub(crate) async fn a_second_open_is_locked(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    for _ in 0..2 {
        let second = context.place().open();
        ensure_error!(O2, second, StoreError::Locked { .. }, "opening what is open");
    }
    world.model.expect(&store).await?;
    let mut world = world;
    apply(&store, &world.step()).await?;
    let store = context.reopen(store)?;
    let second = context.place().open();
    ensure_error!(O2, second, StoreError::Locked { .. }, "opening what was opened again");
    world.model.expect(&store).await
}

pub(crate) async fn closing_lets_another_open(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    store.close().await?;
    // The closed handle is still there, and must not stand in the way, now or when it is dropped.
    let second = ensure_ok!(O2, context.place().open(), "opening what was closed");
    drop(store);
    if !context.has(Power::SeveralProcesses) {
        let third = context.place().open();
        ensure_error!(O2, third, StoreError::Locked { .. }, "opening beside the second handle");
    }
    apply(&second, &world.step()).await?;
    world.model.expect(&second).await
}

pub(crate) async fn dropping_lets_another_open(context: &Context<'_>) -> Outcome {
    let (mut store, mut world) = context.create_rich().await?;
    for _ in 0..5 {
        drop(store);
        store = ensure_ok!(O2, context.place().open(), "opening what was dropped");
        apply(&store, &world.step()).await?;
    }
    world.model.expect(&store).await
}

pub(crate) async fn a_closed_handle_says_closed(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    let facts = store.facts().clone();
    store.close().await?;
    let commit = world.clone().step();
    says_closed(&store, &commit).await?;
    ensure_eq!(O4, *store.facts(), facts, "the facts of a closed handle");
    drop(store);
    let store = context.open()?;
    world.model.expect(&store).await?;
    apply(&store, &world.step()).await
}

async fn says_closed(store: &Store, commit: &prophet_store::Commit) -> Outcome {
    macro_rules! closed {
        ($($call:expr),* $(,)?) => {$(
            let what = stringify!($call);
            ensure_error!(O3, $call.await, StoreError::Closed { .. }, "{what} after close");
        )*};
    }
    let history = HistoryScan {
        record: key("bug", 1),
        after: None,
        direction: Default::default(),
        limit: PageLimit::default(),
    };
    let authored = OriginScan {
        origin: origin(1),
        after: None,
        direction: Default::default(),
        limit: PageLimit::default(),
    };
    closed!(
        store.head(),
        store.get_records(&[key("bug", 1)]),
        store.get_records(&[]),
        store.scan_records(&Default::default()),
        store.count_records(None),
        store.scan_log(&Default::default()),
        store.scan_history(&history),
        store.scan_origin(&authored),
        store.find_changesets(&[]),
        store.scan_resolutions(&Default::default()),
        store.get_metadata(&[]),
        store.scan_metadata(&Default::default()),
        store.commit(commit),
        store.verify(),
        store.close(),
        store.close(),
    );
    Ok(())
}

pub(crate) async fn facts_never_change(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let facts = store.facts().clone();
    ensure_eq!(O4, facts.identity, World::IDENTITY, "whose replica it is");
    let mut world = World::new();
    for commit in world.rich() {
        apply(&store, &commit).await?;
        ensure_eq!(O4, *store.facts(), facts, "the facts after a commit");
    }
    let stale = persist(&store, &World::new().rival(1).step()).await;
    ensure!(C2, stale.is_err(), "a stale commit succeeded");
    ensure_eq!(O4, *store.facts(), facts, "the facts after a refused commit");
    let store = context.reopen(store)?;
    ensure_eq!(O4, *store.facts(), facts, "the facts after a reopen");
    Ok(())
}

pub(crate) async fn every_identity_is_kept(context: &Context<'_>) -> Outcome {
    for (database, replica) in [(0, 0), (0xFF, 0xFF), (0, 0xFF), (1, 1)] {
        let identity = Identity {
            database: DatabaseId::from_bytes([database; 16]),
            replica: ReplicaId::from_bytes([replica; 16]),
        };
        let place = context.harness().place();
        let store = place.create(identity)?;
        ensure_eq!(O4, store.facts().identity, identity, "whose replica was created");
        drop(store);
        let store = place.open()?;
        ensure_eq!(O4, store.facts().identity, identity, "whose replica was opened");
    }
    Ok(())
}

pub(crate) async fn handles_are_for_writing(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let access = store.facts().capabilities.access;
    ensure_eq!(O5, access, Access::ReadWrite, "the access of a handle that created");
    let store = context.reopen(store)?;
    let access = store.facts().capabilities.access;
    ensure_eq!(O5, access, Access::ReadWrite, "the access of a handle that opened");
    Ok(())
}

pub(crate) async fn a_read_only_handle_refuses_commits(context: &Context<'_>) -> Outcome {
    let (store, mut world) = context.create_rich().await?;
    store.close().await?;
    drop(store);
    let Some(opened) = context.place().open_read_only() else {
        return Err(Failure::around("the harness declares read-only handles but opens none"));
    };
    let store = opened?;
    let access = store.facts().capabilities.access;
    ensure_eq!(O5, access, Access::ReadOnly, "the access of a handle opened for reading");
    let (commit, before) = (world.clone().step(), world.model.clone());
    for commit in [&commit, &world.clone().note(), &commit] {
        let answer = persist(&store, commit).await;
        ensure_error!(O5, answer, StoreError::ReadOnly { .. }, "a commit where one may only read");
    }
    before.expect(&store).await?;
    store.close().await?;
    ensure_error!(O3, store.head().await, StoreError::Closed { .. }, "the head after close");
    drop(store);
    let store = context.open()?;
    before.expect(&store).await?;
    apply(&store, &world.step()).await
}

pub(crate) async fn reading_only_needs_something_to_read(context: &Context<'_>) -> Outcome {
    let Some(opened) = context.place().open_read_only() else {
        return Err(Failure::around("the harness declares read-only handles but opens none"));
    };
    ensure_error!(O1, opened, StoreError::NotFound { .. }, "opening nothing for reading");
    let store = context.create()?;
    Model::EMPTY.expect(&store).await
}

pub(crate) async fn a_sound_store_verifies(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let empty = store.verify().await?;
    ensure!(X3, empty.is_sound(), "problems in an empty store: {:?}", empty.problems);
    let mut world = World::new();
    for commit in world.rich() {
        apply(&store, &commit).await?;
    }
    for _ in 0..2 {
        let report = store.verify().await?;
        ensure!(X3, report.is_sound(), "problems in a sound store: {:?}", report.problems);
        let came = [report.entries, report.records, report.resolutions, report.metadata];
        let model = &world.model;
        let lens = [model.log.len(), model.records.len(), model.resolutions.len()];
        let [entries, records, resolutions] = lens.map(|len| len as u64);
        let expected = [entries, records, resolutions, model.metadata.len() as u64];
        ensure_eq!(X3, came, expected, "how many entries, records, votes and keys were checked");
    }
    world.model.expect(&store).await
}

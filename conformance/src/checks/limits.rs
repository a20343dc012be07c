//! The limits of the format: refused beyond, before a store is asked, and accepted up to.

use prophet_store::{
    Changeset, Commit, Creator, MetadataKey, NameError, Payload, PropertyName, RecordType,
    StoreError, Value, limits,
};

use crate::failure::{Outcome, ensure_eq, ensure_error, ensure_ok, under};
use crate::fixtures::{World, key, metadata_key, nested};
use crate::suite::{Context, persist};
use harnesses::Store;

fn len(limit: u64) -> usize {
    usize::try_from(limit).expect("limits fit into memory")
}

/// Commits what is within the limits, of a world that holds nothing else.
async fn is_accepted(context: &Context<'_>, commit: &Commit) -> Outcome<Store> {
    let store = context.create()?;
    let answer = persist(&store, commit).await;
    let head = ensure_ok!(V2, answer, "a commit within the limits");
    ensure_eq!(V2, head, commit.head(), "the answer to a commit within the limits");
    Ok(store)
}

async fn comes_back(context: &Context<'_>, commit: &Commit, world: &World) -> Outcome {
    let store = is_accepted(context, commit).await?;
    world.model.expect(&store).await.map_err(under("V2"))?;
    let store = context.reopen(store)?;
    world.model.expect(&store).await.map_err(under("V2"))
}

pub(crate) async fn names_beyond_are_refused(context: &Context<'_>) -> Outcome {
    let long = "n".repeat(len(limits::NAME_BYTES) + 1);
    macro_rules! too_long {
        ($made:expr, $limit:expr) => {
            ensure_error!(
                V2,
                $made,
                NameError::TooLong(ref named) if named.allowed == $limit && named.actual == $limit + 1,
                "a name one byte too long"
            );
        };
    }
    too_long!(RecordType::new(&long), limits::NAME_BYTES);
    too_long!(PropertyName::new(&long), limits::NAME_BYTES);
    let creator = "c".repeat(len(limits::CREATOR_BYTES) + 1);
    too_long!(Creator::new(creator), limits::CREATOR_BYTES);
    let longer = "k".repeat(len(limits::METADATA_KEY_BYTES) + 1);
    too_long!(MetadataKey::new(longer), limits::METADATA_KEY_BYTES);

    let name = "n".repeat(len(limits::NAME_BYTES));
    let mut world = World::new();
    let change = world.change(&key(&name, 1), &[(name.as_str(), Value::from(1))], true);
    let mut authored = world.authored(World::IDENTITY.replica, Payload::Edit(vec![change]));
    authored.creator =
        Creator::new("c".repeat(len(limits::CREATOR_BYTES))).expect("it is not too long");
    let commit = world.draft().append_authored(authored).finish();
    comes_back(context, &commit, &world).await
}

pub(crate) async fn values_beyond_are_refused(context: &Context<'_>) -> Outcome {
    let bytes = vec![0; len(limits::VALUE_BYTES)];
    let nodes = vec![Value::from(true); len(limits::VALUE_NODES)];
    let cases = [
        (nested(limits::VALUE_DEPTH + 1), limits::VALUE_DEPTH),
        (Value::from(bytes), limits::VALUE_BYTES),
        (Value::List(nodes), limits::VALUE_NODES),
    ];
    for (value, limit) in cases {
        let mut world = World::new();
        let change = world.change(&key("bug", 1), &[("title", value)], true);
        let authored = world.authored(World::IDENTITY.replica, Payload::Edit(vec![change]));
        ensure_error!(
            V2,
            Changeset::author(authored),
            prophet_store::InvalidChangeset::Limit(ref named) if named.allowed == limit,
            "a value beyond the limit {limit}"
        );
    }
    let mut world = World::new();
    let deepest = [("deepest", nested(limits::VALUE_DEPTH))];
    let commit = world.draft().edit(&key("bug", 1), &deepest).finish();
    comes_back(context, &commit, &world).await
}

pub(crate) async fn commits_beyond_are_refused(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commit = Commit::new(world.commit_id(), world.head());
    let value = vec![0; len(limits::METADATA_VALUE_BYTES) + 1];
    let key = metadata_key("k");
    ensure_error!(
        V2,
        commit.with_metadata(key, Some(value)),
        StoreError::Limit(ref named) if named.allowed == limits::METADATA_VALUE_BYTES,
        "a metadata value one byte too long"
    );
    // Far from the limit of a commit, which is a test of memory, but beyond that of many a system.
    let mut world = World::new();
    let mut draft = world.draft();
    for number in 0..12 {
        let largest = vec![number; len(limits::METADATA_VALUE_BYTES)];
        draft = draft.metadata(&format!("large/{number}"), Some(&largest));
    }
    let commit = draft.finish();
    comes_back(context, &commit, &world).await
}

pub(crate) async fn metadata_at_the_limit_is_accepted(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let longest = "k".repeat(len(limits::METADATA_KEY_BYTES));
    let largest: Vec<u8> =
        (0..len(limits::METADATA_VALUE_BYTES)).map(|index| (index % 253) as u8).collect();
    let commit = world
        .draft()
        .metadata(&longest, Some(&largest))
        .metadata("k", Some(b"neighbour"))
        .metadata(&"€".repeat(85), Some(b""))
        .finish();
    comes_back(context, &commit, &world).await
}

pub(crate) async fn the_largest_value_is_accepted(context: &Context<'_>) -> Outcome {
    // Its encoding has a tag and a length around it; how much is found out from below.
    let mut size = len(limits::VALUE_BYTES);
    let mut world = World::new();
    let record = key("largest", 1);
    let changeset = loop {
        let change = world.change(&record, &[("bytes", Value::from(vec![0xA5; size]))], true);
        let authored = world.authored(World::IDENTITY.replica, Payload::Edit(vec![change]));
        match Changeset::author(authored) {
            Ok(changeset) => break changeset,
            Err(_) => size -= 1,
        }
    };
    ensure_eq!(V2, len(limits::VALUE_BYTES) - size < 16, true, "the room that the encoding takes");
    let commit = world.draft().append(changeset, Vec::new(), Vec::new()).finish();
    let store = is_accepted(context, &commit).await?;
    world.model.expect(&store).await.map_err(under("V2"))
}

pub(crate) async fn the_widest_value_is_accepted(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let items = vec![Value::from(true); len(limits::VALUE_NODES) - 1];
    let commit = world.draft().edit(&key("widest", 1), &[("list", Value::List(items))]).finish();
    let store = is_accepted(context, &commit).await?;
    world.model.expect(&store).await.map_err(under("V2"))
}

pub(crate) async fn the_longest_commit_is_accepted(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let mut draft = world.draft();
    for number in 0..limits::COMMIT_ENTRIES {
        let record = key("entry", (number % 256) as u8);
        draft = draft.edit(&record, &[("n", Value::from(0))]);
    }
    let commit = draft.finish();
    let count = commit.entries().len() as u64;
    ensure_eq!(V2, count, limits::COMMIT_ENTRIES, "the entries that the check made");
    let store = is_accepted(context, &commit).await?;
    let found = crate::scan::walk(
        &prophet_store::LogScan::default(),
        &store,
        prophet_store::PageLimit { items: 10_000, bytes: 1 << 24 },
        1_000,
    )
    .await?;
    ensure_eq!(V2, found == world.model.log, true, "whether the longest commit came back");
    Ok(())
}

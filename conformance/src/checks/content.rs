//! Content comes back exactly.

use prophet_store::{Authored, Creator, Payload, PropertyChange, ReplicaId, Timestamp, Value};

use crate::failure::Outcome;
use crate::fixtures::{
    World, awkward_names, every_kind, key, map, nested, origin, property_name, real,
};
use crate::suite::{Context, apply};

/// Commits what was drafted, and reads it all before and after a reopen.
async fn comes_back(context: &Context<'_>, draft: impl FnOnce(&mut World)) -> Outcome {
    let mut world = World::new();
    draft(&mut world);
    let store = context.create()?;
    let mut commit = prophet_store::Commit::new(World::new().commit_id(), store.head().await?);
    for entry in &world.model.log {
        commit = commit.with_entry(entry.clone())?;
    }
    for state in world.model.records.values() {
        commit = commit.with_record(state.clone())?;
    }
    world.model.head = commit.head();
    apply(&store, &commit).await?;
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

/// Each of these as the value of a property of a record of its own, and all in one record.
async fn values_come_back(context: &Context<'_>, values: Vec<Value>) -> Outcome {
    comes_back(context, |world| {
        let mut draft = world.draft();
        for (number, value) in (0..).zip(&values) {
            draft = draft.edit(&key("value", number), &[("is", value.clone())]);
        }
        let names: Vec<_> = (0..values.len()).map(|number| format!("is {number}")).collect();
        let all: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        draft.edit(&key("values", 1), &all).finish();
    })
    .await
}

pub(crate) async fn every_kind_of_value(context: &Context<'_>) -> Outcome {
    values_come_back(context, every_kind()).await
}

pub(crate) async fn empty_values_are_not_absent(context: &Context<'_>) -> Outcome {
    let empty = || {
        [
            Value::from(""),
            Value::from(&b""[..]),
            Value::List(Vec::new()),
            Value::Map(Default::default()),
            Value::from(0),
            Value::from(false),
            real(0.0),
        ]
    };
    let mut values = Vec::from(empty());
    values.extend(empty().map(|value| Value::List(vec![value])));
    values.extend(empty().map(|value| map([("", value)])));
    values_come_back(context, values).await
}

pub(crate) async fn numbers_at_their_edges(context: &Context<'_>) -> Outcome {
    let mut values: Vec<_> = (0..63)
        .flat_map(|bits| [1_i64 << bits, -(1_i64 << bits), (1_i64 << bits) - 1])
        .map(Value::from)
        .collect();
    values.extend([i64::MIN, i64::MAX].map(Value::from));
    let bits = [
        1,
        2,
        0x000F_FFFF_FFFF_FFFF,
        0x0010_0000_0000_0000,
        0x3FB9_9999_9999_999A,
        0x4340_0000_0000_0001,
        0x7FEF_FFFF_FFFF_FFFF,
        0x4059_0000_0000_0000,
        0x44B5_2D02_C7E1_4AF6,
    ];
    values.extend(bits.iter().flat_map(|bits| {
        let number = f64::from_bits(*bits);
        [real(number), real(-number)]
    }));
    values_come_back(context, values).await
}

pub(crate) async fn text_is_not_normalised(context: &Context<'_>) -> Outcome {
    let mut texts = awkward_names();
    let more = [
        "a\0b",
        "\0",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\r",
        "\r\n",
        "\n",
        "\t",
        "\u{1b}[0m",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{10ffff}",
        "tail\n",
        " tail ",
    ];
    texts.extend(more.map(str::to_owned));
    let mut values: Vec<_> = texts.iter().map(|text| Value::from(text.as_str())).collect();
    let entries = texts.iter().map(|text| (text.clone(), Value::from(text.as_str())));
    values.push(Value::Map(entries.collect()));
    values_come_back(context, values).await
}

pub(crate) async fn every_byte(context: &Context<'_>) -> Outcome {
    let all: Vec<u8> = (0..=255).collect();
    let mut values: Vec<_> = all.iter().map(|byte| Value::from(vec![*byte])).collect();
    values.truncate(128);
    values.push(Value::from(all.clone()));
    values.push(Value::from(all.into_iter().rev().collect::<Vec<u8>>()));
    values.push(Value::from(vec![0; 70_000]));
    values_come_back(context, values).await
}

pub(crate) async fn large_text_and_bytes(context: &Context<'_>) -> Outcome {
    const LEN: usize = 16 << 20;
    // A pattern whose length has nothing in common with any block or page size.
    let bytes: Vec<u8> = (0..LEN).map(|index| (index % 251) as u8).collect();
    let text: String = "größer als 4 kB; ".chars().cycle().take(LEN - (LEN / 8)).collect();
    comes_back(context, |world| {
        let draft = world.draft();
        let draft = draft.edit(&key("large", 1), &[("bytes", Value::from(bytes))]);
        draft.edit(&key("large", 2), &[("text", Value::from(text))]).finish();
    })
    .await
}

pub(crate) async fn awkward_property_names(context: &Context<'_>) -> Outcome {
    comes_back(context, |world| {
        let names = awkward_names();
        let value = |name: &String| Value::from(name.as_str());
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), value(name))).collect();
        let mut draft = world.draft().edit(&key("names", 1), &all);
        // And each of them in a record where nothing is beside it.
        for (number, property) in (0..).zip(&all) {
            draft = draft.edit(&key("name", number), std::slice::from_ref(property));
        }
        draft.finish();
    })
    .await
}

pub(crate) async fn awkward_record_types(context: &Context<'_>) -> Outcome {
    let names = awkward_names();
    comes_back(context, |world| {
        let mut draft = world.draft();
        for name in &names {
            draft = draft.edit(&key(name, 1), &[("type", Value::from(name.as_str()))]);
        }
        draft.finish();
    })
    .await
}

pub(crate) async fn deep_nesting(context: &Context<'_>) -> Outcome {
    let lists = (1..64).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]));
    let maps = (1..64).fold(Value::from(""), |inner, _| map([("", inner)]));
    values_come_back(context, vec![nested(64), nested(63), lists, maps]).await
}

pub(crate) async fn wide_values(context: &Context<'_>) -> Outcome {
    let list = Value::List((0..20_000).map(|number: i32| Value::from(number)).collect());
    let entries = (0..5_000).map(|number: i32| (number.to_string(), Value::from(number)));
    values_come_back(context, vec![list, Value::Map(entries.collect())]).await
}

pub(crate) async fn many_properties(context: &Context<'_>) -> Outcome {
    let names: Vec<_> = (0..5_000).map(|number| format!("property {number}")).collect();
    let value = |name: &String| Value::from(name.len() as u32);
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), value(name))).collect();
    comes_back(context, |world| {
        world.draft().edit(&key("wide", 1), &all).finish();
    })
    .await
}

fn authored(world: &mut World, number: u8, change: impl FnOnce(&mut Authored)) {
    let record = key("authored", number);
    let edit = world.change(&record, &[("number", Value::from(u32::from(number)))], true);
    let mut authored = world.authored(World::IDENTITY.replica, Payload::Edit(vec![edit]));
    change(&mut authored);
    world.draft().append_authored(authored).finish();
}

pub(crate) async fn extreme_times(context: &Context<'_>) -> Outcome {
    let times = [
        Timestamp::new(0, 0),
        Timestamp::new(0, u32::MAX),
        Timestamp::new(i64::MAX as u64, 1),
        Timestamp::new(1 << 63, 1),
        Timestamp::new(u64::MAX, 0),
        Timestamp::new(u64::MAX, u32::MAX),
        Timestamp::new(1, 1 << 31),
    ];
    comes_back(context, |world| {
        for (number, time) in (0..).zip(times) {
            authored(world, number, |it| it.time = time);
        }
    })
    .await
}

pub(crate) async fn awkward_creators(context: &Context<'_>) -> Outcome {
    let mut names = awkward_names();
    names.extend([String::new(), "a".repeat(1_024), "€".repeat(341)]);
    comes_back(context, |world| {
        for (number, name) in (0..).zip(&names) {
            let creator = Creator::new(name).expect("it is a good name");
            authored(world, number, |it| it.creator = creator);
        }
    })
    .await
}

pub(crate) async fn many_parents(context: &Context<'_>) -> Outcome {
    let digest = |number: u8| prophet_store::Digest::from_bytes([number; 32]);
    comes_back(context, |world| {
        authored(world, 1, |it| it.parents = vec![digest(0)]);
        authored(world, 2, |it| it.parents = (0..=255).map(digest).collect());
        authored(world, 3, |it| it.parents = vec![digest(0xFF), digest(0)]);
    })
    .await
}

pub(crate) async fn every_origin_id(context: &Context<'_>) -> Outcome {
    comes_back(context, |world| {
        for byte in [0, 1, 0x7F, 0x80, 0xFF] {
            let record = key("origin", byte);
            let author = ReplicaId::from_bytes([byte; 16]);
            let properties = [("n", Value::from(u32::from(byte)))];
            world.draft().edits(author, &[(&record, &properties)]).finish();
        }
    })
    .await
}

pub(crate) async fn deleted_records_keep_their_registers(context: &Context<'_>) -> Outcome {
    comes_back(context, |world| {
        let kinds = every_kind();
        let names: Vec<_> = (0..kinds.len()).map(|number| format!("kind {number}")).collect();
        let all: Vec<_> = names.iter().map(String::as_str).zip(kinds).collect();
        let record = key("gone", 1);
        world.draft().edit(&record, &all).delete(&record).finish();
    })
    .await
}

/// One record whose registers hold every shape of live writes: of one value and of several, of
/// absence alone, and of a value beside it.
pub(crate) async fn registers_of_many_writes(context: &Context<'_>) -> Outcome {
    comes_back(context, |world| {
        let record = key("contested", 1);
        world.draft().edit(&record, &[("title", Value::from("0"))]).finish();
        for number in 1..=12 {
            let value = Value::from(u32::from(number / 3));
            let pairs = [("title", value.clone()), ("only there", value)];
            let mut change = world.change(&record, &pairs, false);
            let present = (number == 1).then(|| Value::from("present"));
            for (name, new) in [("absent", None), ("mixed", present)] {
                change.properties.push(PropertyChange {
                    name: property_name(name),
                    old: None,
                    new,
                    rank: None,
                    supersedes: Vec::new(),
                });
            }
            world.draft().author(origin(number), Payload::Edit(vec![change])).finish();
        }
    })
    .await
}

//! Local metadata.

use prophet_store::{MetadataScan, PageLimit};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{World, awkward_names, metadata_key};
use crate::scan::{Scan, walk, walk_from};
use crate::suite::{Context, apply};
use harnesses::Store;

fn keys() -> Vec<String> {
    let mut keys = awkward_names();
    let more = ["\0", "a\0", "a\0b", "\n", "a\tb", "\u{7f}", "\u{80}", "\u{1b}[0m"];
    keys.extend(more.map(str::to_owned));
    keys.push("\0".repeat(255));
    keys.push("\u{10ffff}".repeat(63));
    keys
}

async fn awkward(context: &Context<'_>) -> Outcome<(Store, World)> {
    let mut world = World::new();
    let mut draft = world.draft();
    for key in keys() {
        draft = draft.metadata(&key, Some(key.as_bytes()));
    }
    let commit = draft.finish();
    Ok((context.create_with(&[commit]).await?, world))
}

pub(crate) async fn every_key_is_a_key_of_its_own(context: &Context<'_>) -> Outcome {
    let (store, world) = awkward(context).await?;
    ensure_eq!(V1, world.model.metadata.len(), keys().len(), "the keys that the check made");
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn every_value_comes_back(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let every_byte: Vec<u8> = (0..=255).collect();
    let values: [&[u8]; 8] =
        [b"", b"\0", b"\0\0", b"text", b"\xff", b"\r\n", b"\xc3\x28", &every_byte];
    let mut draft = world.draft();
    for (number, value) in values.into_iter().enumerate() {
        draft = draft.metadata(&format!("value/{number}"), Some(value));
    }
    let commit = draft.finish();
    let store = context.create_with(&[commit]).await?;
    world.model.expect(&store).await?;
    world.model.expect(&context.reopen(store)?).await
}

pub(crate) async fn the_empty_value_is_not_absent(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commit = world.draft().metadata("empty", Some(b"")).metadata("gone", None).finish();
    let store = context.create_with(&[commit]).await?;
    let read = store.get_metadata(&["empty", "gone", "never"].map(metadata_key)).await?;
    ensure_eq!(V1, read.value, [Some(Vec::new()), None, None], "the keys empty, gone and never");
    world.model.expect(&store).await
}

pub(crate) async fn keys_are_set_replaced_and_removed(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let store = context.create()?;
    let long = [7; 3_000];
    let values: [Option<&[u8]>; 8] =
        [Some(b"1"), Some(b""), None, None, Some(&long), Some(b"2"), None, Some(b"3")];
    for value in values {
        let commit = world
            .draft()
            .metadata("changing", value)
            .metadata("neighbour", Some(b"stays"))
            .finish();
        apply(&store, &commit).await?;
        world.model.expect(&store).await?;
    }
    Ok(())
}

pub(crate) async fn order_is_bytewise(context: &Context<'_>) -> Outcome {
    let (store, _) = awkward(context).await?;
    let mut expected = keys();
    expected.sort_unstable();
    for items in [1, 3, 1_000] {
        let found = walk(&MetadataScan::default(), &store, PageLimit::items(items), 1_000).await?;
        let came: Vec<_> = found.iter().map(|(key, _)| key.as_str().to_owned()).collect();
        ensure_eq!(R3, came, expected, "the keys, {items} a page");
    }
    Ok(())
}

pub(crate) async fn prefixes_are_taken_literally(context: &Context<'_>) -> Outcome {
    let (store, world) = awkward(context).await?;
    let mut prefixes = keys();
    prefixes.extend(
        ["", "a%", "a_", "%%", "_%", "[", "COM", "\u{10ffff}\u{10ffff}"].map(str::to_owned),
    );
    for prefix in prefixes {
        let scan = MetadataScan { prefix, ..MetadataScan::default() };
        let expected = scan.expected(&world.model);
        for items in [2, 1_000] {
            let found = walk(&scan, &store, PageLimit::items(items), 1_000).await?;
            ensure_eq!(V1, found, expected, "what begins with {:?}", scan.prefix);
        }
    }
    Ok(())
}

pub(crate) async fn a_cursor_may_be_outside_the_prefix(context: &Context<'_>) -> Outcome {
    let (store, world) = awkward(context).await?;
    for prefix in ["a", "CON", "\u{10ffff}", "é", "zz"] {
        for after in ["\0", "A", "a", "a/", "a~", "b", "é", "\u{10ffff}", "\u{10ffff}\u{10ffff}"] {
            let after = Some(metadata_key(after));
            let scan = MetadataScan {
                prefix: prefix.to_owned(),
                after: after.clone(),
                ..Default::default()
            };
            let found = walk_from(&scan, &store, after.clone(), scan.limit, 10).await;
            let found = found.map_err(under("R5"))?;
            let beyond = scan.expected(&world.model).into_iter();
            let expected: Vec<_> = beyond.filter(|(key, _)| Some(key) > after.as_ref()).collect();
            ensure_eq!(R5, found, expected, "what {scan:?} finds");
        }
    }
    Ok(())
}

pub(crate) async fn batches_answer_in_the_order_asked(context: &Context<'_>) -> Outcome {
    let (store, world) = awkward(context).await?;
    let keys = ["é", "never", "a", "A", "a", "e\u{301}", "never", "\0"].map(metadata_key);
    let read = store.get_metadata(&keys).await?;
    let expected: Vec<_> = keys.iter().map(|key| world.model.metadata.get(key).cloned()).collect();
    ensure_eq!(R7, read.value, expected, "the keys {keys:?}");
    ensure_eq!(R1, read.at, world.head(), "the head they were read at");
    let none = store.get_metadata(&[]).await?;
    ensure!(R7, none.value.is_empty(), "nothing was asked for, {} came", none.value.len());
    ensure_eq!(R1, none.at, world.head(), "the head of an empty batch");
    Ok(())
}

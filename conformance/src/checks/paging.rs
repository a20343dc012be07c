//! Pages and cursors, the same for every scan.

use prophet_store::{LogScan, MetadataScan, PageLimit, RecordScan, Value};

use crate::failure::{Outcome, ensure, ensure_eq, under};
use crate::fixtures::{World, key, origin};
use crate::scan::{Scan, every_scan, page, walk};
use crate::suite::{Context, apply};
use harnesses::Store;

pub(crate) async fn pages_of_every_size_make_the_whole(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    every_scan!(world.model, |scan| {
        let expected = scan.expected(&world.model);
        for items in [1, 2, 7, 1_000] {
            let found = walk(scan, &store, PageLimit::items(items), 10_000).await?;
            ensure_eq!(R4, found, expected, "what {scan:?} finds, {items} a page");
        }
    });
    Ok(())
}

pub(crate) async fn pages_of_few_bytes_make_the_whole(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    every_scan!(world.model, |scan| {
        let expected = scan.expected(&world.model);
        for bytes in [0, 1, 300] {
            let limit = PageLimit { items: 1_000, bytes };
            let found = walk(scan, &store, limit, 10_000).await?;
            ensure_eq!(R4, found, expected, "what {scan:?} finds, {bytes} bytes a page");
        }
    });
    Ok(())
}

pub(crate) async fn more_is_none_at_the_end(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    every_scan!(world.model, |scan| {
        // Whatever was last is a place to go on from, and nothing is there.
        if let Some(last) = scan.expected(&world.model).last() {
            let mut after = Some(<_ as CursorOf<_>>::cursor_of(scan, last));
            for _ in 0..10 {
                let page = page(scan, &store, after, PageLimit::default()).await?;
                ensure!(R4, page.items.is_empty(), "{:?} after the end of {scan:?}", page.items);
                ensure_eq!(R1, page.at, world.head(), "the head of a page beyond the end");
                after = page.more;
                if after.is_none() {
                    break;
                }
            }
            ensure!(R4, after.is_none(), "{scan:?} has not ended long after its end");
        }
    });
    Ok(())
}

/// Lets the cursor of an item be asked of the scan that found it.
trait CursorOf<T> {
    type Cursor;
    fn cursor_of(&self, item: &T) -> Self::Cursor;
}

impl<S: Scan> CursorOf<S::Item> for S {
    type Cursor = S::Cursor;
    fn cursor_of(&self, item: &S::Item) -> S::Cursor {
        S::cursor(item)
    }
}

pub(crate) async fn any_item_is_a_place_to_go_on_from(context: &Context<'_>) -> Outcome {
    let (store, world) = context.create_rich().await?;
    every_scan!(world.model, |scan| {
        let all = scan.expected(&world.model);
        for (index, item) in all.iter().enumerate() {
            let after = <_ as CursorOf<_>>::cursor_of(scan, item);
            let limit = PageLimit { items: 1_000, bytes: usize::MAX };
            let mut found = Vec::new();
            let mut next = Some(after);
            while let Some(after) = next {
                let page = page(scan, &store, Some(after), limit).await.map_err(under("R5"))?;
                found.extend(page.items);
                next = page.more;
            }
            ensure_eq!(R5, found, all[index + 1..].to_vec(), "what {scan:?} finds after {item:?}");
        }
    });
    Ok(())
}

async fn survives_reopen<S: Scan>(
    scan: &S,
    first: prophet_store::Page<S::Item, S::Cursor>,
    store: &Store,
    world: &World,
) -> Outcome {
    let mut found = first.items;
    let mut after = first.more;
    while after.is_some() {
        let page = page(scan, store, after, PageLimit::items(2)).await.map_err(under("R5"))?;
        found.extend(page.items);
        after = page.more;
    }
    ensure_eq!(R5, found, scan.expected(&world.model), "{scan:?}, half before a reopen");
    Ok(())
}

pub(crate) async fn cursors_survive_a_reopen(context: &Context<'_>) -> Outcome {
    let (mut store, world) = context.create_rich().await?;
    every_scan!(world.model, |scan| {
        let first = page(scan, &store, None, PageLimit::items(1)).await?;
        store = context.reopen(store)?;
        survives_reopen(scan, first, &store, &world).await?;
    });
    Ok(())
}

/// Walks with a commit before each page but the first. What was there at the beginning has to be
/// shown, in what state it is found; and nothing that never was.
async fn walk_while_written<S: Scan>(scan: &S, items: usize, context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let commits = world.rich();
    let place = context.harness().place();
    let store = place.create(World::IDENTITY)?;
    for commit in &commits {
        apply(&store, commit).await?;
    }
    let cursors =
        |world: &World| -> Vec<_> { scan.expected(&world.model).iter().map(S::cursor).collect() };
    let before = cursors(&world);
    let mut found = Vec::new();
    let mut after = None;
    for number in 0..10_000_u32 {
        if number > 0 && number <= 40 {
            let commit = written_meanwhile(&mut world, number);
            apply(&store, &commit).await?;
        }
        let page = page(scan, &store, after, PageLimit::items(items)).await?;
        ensure_eq!(R1, page.at, world.head(), "the head of a page of {scan:?}");
        let all = scan.expected(&world.model);
        for item in &page.items {
            ensure!(R1, all.contains(item), "{item:?} is not so at {} in {scan:?}", page.at);
        }
        found.extend(page.items.iter().map(S::cursor));
        after = page.more;
        if after.is_none() {
            break;
        }
    }
    ensure!(R4, after.is_none(), "{scan:?} does not end");
    for (one, other) in found.iter().zip(found.iter().skip(1)) {
        ensure!(R4, scan.is_before(one, other), "{other:?} is shown after {one:?} in {scan:?}");
    }
    let now = cursors(&world);
    for cursor in before.iter().filter(|cursor| now.contains(cursor)) {
        ensure!(R4, found.contains(cursor), "{cursor:?} was there throughout {scan:?}");
    }
    ensure!(
        R4,
        found.iter().all(|cursor| now.contains(cursor) || before.contains(cursor)),
        "{scan:?} shows {found:?}, but there is only {now:?}"
    );
    Ok(())
}

/// A commit that puts something before, among and after what is there, of every kind.
fn written_meanwhile(world: &mut World, number: u32) -> prophet_store::Commit {
    let byte = u8::try_from(number).unwrap_or_default();
    let places = ["Aaa", "bug", "zzz"].map(|name| key(name, 0x40 + byte));
    let (here, there) = (Value::from(number), Value::from("there"));
    let mut draft = world.draft();
    for place in &places {
        draft = draft.edit(place, &[("title", here.clone())]);
    }
    draft = draft
        .edit(&key("bug", 2), &[("kind 0", here.clone())])
        .meet(origin(1), &places[1], &[("title", there.clone())], &[], &[], &[&key("bug", 1)])
        .vote(origin(2), &places[1], "title", &there)
        .metadata(&format!("peers/{number}"), Some(b"new"))
        .metadata(&format!("a/{number}"), Some(b"new"));
    if number == 2 {
        draft = draft.metadata("peers/work", None);
    }
    draft.finish()
}

pub(crate) async fn scans_go_on_while_others_write(context: &Context<'_>) -> Outcome {
    let world = {
        let mut world = World::new();
        world.rich();
        world
    };
    every_scan!(world.model, |scan| {
        walk_while_written(scan, 2, context).await?;
    });
    Ok(())
}

pub(crate) async fn scans_of_one_item_pages_go_on_too(context: &Context<'_>) -> Outcome {
    walk_while_written(&RecordScan::default(), 1, context).await?;
    walk_while_written(&LogScan::default(), 1, context).await?;
    walk_while_written(&MetadataScan::default(), 1, context).await
}

pub(crate) async fn a_page_holds_bounded_bytes(context: &Context<'_>) -> Outcome {
    const COUNT: u8 = 24;
    let mut world = World::new();
    let store = context.create()?;
    for number in 0..COUNT {
        let big = vec![number; 1 << 20];
        let commit = world
            .draft()
            .edit(&key("big", number), &[("bytes", Value::from(big.clone()))])
            .metadata(&format!("big/{number:02}"), Some(&big))
            .finish();
        apply(&store, &commit).await?;
    }
    let limit = PageLimit { items: 1_000, bytes: 1 << 20 };
    // "Roughly": a page of one mebibyte must not hold a dozen of them.
    bounded(&RecordScan::default(), &store, &world, limit, 4).await?;
    for scan in crate::fixtures::Model::log_scans() {
        bounded(&scan, &store, &world, limit, 4).await?;
    }
    bounded(&MetadataScan::default(), &store, &world, limit, 4).await?;
    let roomy = PageLimit { items: 1_000, bytes: 6 << 20 };
    bounded(&RecordScan::default(), &store, &world, roomy, 12).await
}

async fn bounded<S: Scan>(
    scan: &S,
    store: &Store,
    world: &World,
    limit: PageLimit,
    most: usize,
) -> Outcome {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = page(scan, store, after, limit).await?;
        let (count, bytes) = (page.items.len(), limit.bytes);
        ensure!(R4, count <= most, "{count} items of 1 MiB in a page of {bytes} bytes");
        found.extend(page.items);
        after = page.more;
        if after.is_none() {
            break;
        }
    }
    ensure!(R4, found == scan.expected(&world.model), "{scan:?} does not show all that there is");
    Ok(())
}

pub(crate) async fn an_item_larger_than_a_page_comes(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let small = world.draft().edit(&key("a", 1), &[("n", Value::from(1))]).finish();
    let large = Value::from("x".repeat(3 << 20));
    let big = world.draft().edit(&key("b", 1), &[("n", large)]).finish();
    let last = world.draft().edit(&key("c", 1), &[("n", Value::from(1))]).finish();
    let store = context.create_with(&[small, big, last]).await?;
    for bytes in [0, 1, 1 << 10, 1 << 20] {
        let limit = PageLimit { items: 10, bytes };
        let records = walk(&RecordScan::default(), &store, limit, 100).await?;
        ensure_eq!(R4, records.len(), 3, "records, with {bytes} bytes a page");
        let entries = walk(&LogScan::default(), &store, limit, 100).await?;
        ensure_eq!(R4, entries.len(), 3, "entries, with {bytes} bytes a page");
    }
    world.model.expect(&store).await
}

pub(crate) async fn an_empty_store_ends_at_once(context: &Context<'_>) -> Outcome {
    let store = context.create()?;
    let mut world = World::new();
    world.rich();
    // The scans of a full store, of an empty one.
    every_scan!(world.model, |scan| {
        let found = walk(scan, &store, PageLimit::items(1), 10).await?;
        ensure!(R4, found.is_empty(), "{scan:?} of an empty store finds {found:?}");
    });
    Ok(())
}

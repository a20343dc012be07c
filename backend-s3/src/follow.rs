//! Reading commits that are not known yet: one request where there is none, several at a time where there
//! are many, and few where it is known up to where they go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prophet_store::{Commit, Identity, StoreError, Version};

use crate::bucket::Bucket;
use crate::carry::steps;
use crate::commit_object::{self, Decoded};
use crate::layout;
use crate::state::{Recent, State};
use crate::together::together;

/// So many commits are asked for at once at most.
const WINDOW: usize = 64;
/// And so many that they have about so many bytes together, as far as that is known.
const WINDOW_BYTES: usize = 8 << 20;
/// What was not brought along in so many rounds is asked for one by one, all of it at once: a round takes as
/// long as a request does.
const ROUNDS: usize = 4;

/// Where following ended.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) state: State,
    /// Whether there was nothing more when this was asked.
    pub(crate) ended: bool,
}

/// Reads the commit that leads to a version, if it is there.
pub(crate) async fn read_commit(
    bucket: &Bucket,
    identity: Identity,
    version: Version,
) -> Result<Option<Decoded>, StoreError> {
    let name = layout::commit(version);
    let Some(object) = bucket.get(&name).await? else { return Ok(None) };
    let place = bucket.place_of(&name);
    commit_object::decode(&place, identity, version, &object.bytes).map(Some)
}

/// How far commits are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As far as a listing shows them, which may be behind.
    Listed,
    /// Up to one that is not there when it is asked for.
    Asked,
}

/// Takes in the commits after `state` up to one that is known to be there, and the one after that if it
/// is there and asked for: by the objects that bring the others along. Where one is missing it ends.
pub(crate) async fn follow_to(
    bucket: &Bucket,
    mut state: State,
    last: Version,
    end: End,
) -> Result<State, StoreError> {
    let first = state.head.version.get();
    let mut found = BTreeMap::new();
    let mut asked: BTreeSet<_> = [last.next()].into_iter().filter(|_| end == End::Asked).collect();
    let mut wanted: Vec<_> = asked.iter().copied().chain(steps(state.head.version, last)).collect();
    let mut rounds = 0;
    while !wanted.is_empty() {
        read_into(bucket, &state, &wanted, &mut found).await?;
        asked.extend(wanted);
        rounds += 1;
        // They may have brought fewer along than they could have, for some were long.
        let missing = (first + 1..=last.get()).map(Version::new);
        let missing = missing.filter(|it| !found.contains_key(it) && !asked.contains(it));
        let missing: Vec<_> = missing.collect();
        wanted = match rounds {
            ..ROUNDS => {
                let gaps = missing.chunk_by(|one, next| one.next() == *next);
                let ends = gaps.filter_map(|gap| Some((gap.first()?.get() - 1, *gap.last()?)));
                ends.flat_map(|(before, last)| steps(Version::new(before), last)).collect()
            }
            _ => missing,
        };
    }
    for (version, (place, commit)) in found {
        if version != state.head.version.next() {
            break;
        }
        let (commit, content) = match commit {
            Found::Own(commit, content) => (commit, content),
            Found::Along(content) => {
                (commit_object::decode_content(&place, version, &content)?, content)
            }
        };
        state = state.follow(&place, Recent::new(commit, content))?;
    }
    Ok(state)
}

/// Reads these objects, and notes what they have of the commits after `state`.
async fn read_into(
    bucket: &Bucket,
    state: &State,
    versions: &[Version],
    found: &mut BTreeMap<Version, (String, Found)>,
) -> Result<(), StoreError> {
    let (identity, first) = (state.root.identity, state.head.version.get());
    for versions in versions.chunks(WINDOW) {
        let read = versions.iter().map(|version| read_commit(bucket, identity, *version));
        for (version, read) in versions.iter().zip(together(read).await) {
            let Some(Decoded { commit, content, before }) = read? else { continue };
            let place = bucket.place_of(&layout::commit(*version));
            for (earlier, content) in (first + 1..version.get()).rev().zip(before) {
                let along = || (place.clone(), Found::Along(content));
                found.entry(Version::new(earlier)).or_insert_with(along);
            }
            found.insert(*version, (place, Found::Own(commit, content)));
        }
    }
    Ok(())
}

/// A commit that was read.
enum Found {
    /// By its own object.
    Own(Commit, Arc<[u8]>),
    /// By that of a later one.
    Along(Arc<[u8]>),
}

/// Takes in the commits after `state`, one of which is asked for at first and then ever more at once, and
/// ends where there are no more, or the tail has `most` commits or `most_bytes` bytes.
pub(crate) async fn follow(
    bucket: &Bucket,
    mut state: State,
    most: usize,
    most_bytes: usize,
) -> Result<Followed, StoreError> {
    let identity = state.root.identity;
    let mut window = 1;
    loop {
        let first = state.head.version.get();
        let versions = (1..=window as u64).map(|more| Version::new(first.saturating_add(more)));
        let read = versions.map(|version| read_commit(bucket, identity, version));
        let mut longest = 1;
        for (commit, version) in together(read).await.into_iter().zip(first + 1..) {
            let Some(Decoded { commit, content, before }) = commit? else {
                return Ok(Followed { state, ended: true });
            };
            let place = bucket.place_of(&layout::commit(Version::new(version)));
            let along: usize = before.iter().map(|content| content.len()).sum();
            longest = longest.max(content.len() + along);
            state = state.follow(&place, Recent::new(commit, content))?;
        }
        if state.tail.len() >= most || state.tail_bytes() >= most_bytes {
            return Ok(Followed { state, ended: false });
        }
        window = (window.max(2) * 2).min(WINDOW).min(1.max(WINDOW_BYTES / longest));
    }
}

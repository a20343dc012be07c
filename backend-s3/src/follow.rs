//! Reading commits that are not known yet: one request where there is none, several at a time where there
//! are many, and few where it is known up to where they go.

use std::collections::BTreeMap;
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

/// Takes in the commits after `state` up to one that is known to be there, and the one after that if it
/// is: by the objects that bring the others along, and then by those of commits that none of these has.
/// Where one is missing it ends.
pub(crate) async fn follow_to(
    bucket: &Bucket,
    mut state: State,
    last: Version,
) -> Result<Followed, StoreError> {
    let first = state.head.version;
    let mut found = BTreeMap::new();
    let steps: Vec<_> = [last.next()].into_iter().chain(steps(first, last)).collect();
    read_into(bucket, &state, &steps, &mut found).await?;
    let missing = first.get() + 1..=last.get();
    let missing = missing.map(Version::new).filter(|version| !found.contains_key(version));
    read_into(bucket, &state, &missing.collect::<Vec<_>>(), &mut found).await?;
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
    let ended = state.head.version == last;
    Ok(Followed { state, ended })
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
            let Some(Decoded { commit, content, .. }) = commit? else {
                return Ok(Followed { state, ended: true });
            };
            let place = bucket.place_of(&layout::commit(Version::new(version)));
            longest = longest.max(content.len());
            state = state.follow(&place, Recent::new(commit, content))?;
        }
        if state.tail.len() >= most || state.tail_bytes() >= most_bytes {
            return Ok(Followed { state, ended: false });
        }
        window = (window.max(2) * 2).min(WINDOW).min(1.max(WINDOW_BYTES / longest));
    }
}

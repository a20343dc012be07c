//! Reading commits that are not known yet: one request where there is none, and several at a time
//! where there are many.

use std::sync::Arc;

use prophet_store::{Commit, Identity, StoreError, Version};

use crate::bucket::Bucket;
use crate::commit_object;
use crate::layout;
use crate::state::{Recent, State};
use crate::together::together;

/// So many commits are asked for at once at most.
const WINDOW: u64 = 64;

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
) -> Result<Option<(Commit, usize)>, StoreError> {
    let name = layout::commit(version);
    let Some(object) = bucket.get(&name).await? else { return Ok(None) };
    let place = bucket.place_of(&name);
    let commit = commit_object::decode(&place, identity, version, &object.bytes)?;
    Ok(Some((commit, object.bytes.len())))
}

/// Takes in the commits after `state`, asking for `expected` of them at first, and ends where there
/// are no more, or the tail has `most` commits or `most_bytes` bytes.
pub(crate) async fn follow(
    bucket: &Bucket,
    mut state: State,
    expected: usize,
    most: usize,
    most_bytes: usize,
) -> Result<Followed, StoreError> {
    let identity = state.root.identity;
    let mut window = u64::try_from(expected).unwrap_or(WINDOW).clamp(1, WINDOW);
    // After as many as were expected there is, as a rule, nothing more.
    let mut next = if window > 1 { 1 } else { 4 };
    loop {
        let first = state.head.version.get();
        let versions = (1..=window).map(|more| Version::new(first.saturating_add(more)));
        let read = versions.map(|version| read_commit(bucket, identity, version));
        for (commit, version) in together(read).await.into_iter().zip(first + 1..) {
            let Some((commit, bytes)) = commit? else {
                return Ok(Followed { state, ended: true });
            };
            let place = bucket.place_of(&layout::commit(Version::new(version)));
            state = state.follow(&place, Arc::new(Recent { commit, bytes }))?;
        }
        if state.tail.len() >= most || state.tail_bytes() >= most_bytes {
            return Ok(Followed { state, ended: false });
        }
        window = next;
        next = (next.max(2) * 2).min(WINDOW);
    }
}

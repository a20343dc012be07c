//! What a handle knows of the replica: what is derived, and the commits since.

use std::collections::BTreeMap;
use std::sync::Arc;

use prophet_kv::writes;
use prophet_store::{
    Commit, CommitId, Head, LogEntry, Position, StoreError, Version, VersionVector,
};
use prophet_tables::Memory;

use crate::carry::LONGEST;
use crate::root::Root;

/// A commit that nothing is derived from yet.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) commit: Commit,
    /// As bytes, unless they are too many to be brought along by a later commit.
    pub(crate) content: Option<Arc<[u8]>>,
    /// How many they are.
    pub(crate) bytes: usize,
}

impl Recent {
    /// A commit that is these bytes.
    pub(crate) fn new(commit: Commit, content: Arc<[u8]>) -> Arc<Self> {
        let bytes = content.len();
        Arc::new(Self { commit, content: Some(content).filter(|_| bytes <= LONGEST), bytes })
    }
}

/// The replica at one head. It is never changed, so that whoever reads it has all of one head.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) seen: VersionVector,
    pub(crate) root: Arc<Root>,
    /// The commits after the root, in order.
    pub(crate) tail: Vec<Arc<Recent>>,
    /// What they made of all that is found by a key, the newest first. Each layer has more than
    /// twice as much as the one before it, so there are few, and a commit is copied few times.
    pub(crate) layers: Vec<Arc<Memory>>,
}

impl State {
    /// What is derived, and nothing else.
    pub(crate) fn of(root: Arc<Root>) -> Self {
        let (head, seen) = (root.head, root.seen.clone());
        Self { head, seen, root, tail: Vec::new(), layers: Vec::new() }
    }

    /// The state after a commit on this head.
    pub(crate) fn apply(&self, recent: Arc<Recent>) -> Self {
        let mut state = self.clone();
        let commit = &recent.commit;
        for entry in commit.entries() {
            state.seen.note(entry.changeset.header(), entry.changeset.digest());
        }
        let mut layer = layer(commit);
        while let Some(before) = state.layers.first()
            && before.len() <= layer.len().saturating_mul(2)
        {
            let mut merged = Memory::clone(before);
            merged.extend(layer);
            layer = merged;
            state.layers.remove(0);
        }
        state.layers.insert(0, Arc::new(layer));
        state.head = commit.head();
        state.tail.push(recent);
        state
    }

    /// The same head, with what is derived by a root. `None` if the root goes further than this state, or
    /// is of another line of commits.
    pub(crate) fn rebase(&self, root: &Arc<Root>) -> Option<Self> {
        self.onto(&Self::of(Arc::clone(root)))
    }

    /// The same head, on an earlier state: what is derived there, and all commits since. `None` if not all
    /// of them are in the tail, or that is of another line of commits.
    pub(crate) fn onto(&self, earlier: &Self) -> Option<Self> {
        if self.id_at(earlier.head.version)? != earlier.head.commit {
            return None;
        }
        let later = self.tail.iter().filter(|it| it.commit.base().version >= earlier.head.version);
        let state = later.fold(earlier.clone(), |state, it| state.apply(Arc::clone(it)));
        (state.head == self.head).then_some(state)
    }

    /// What this state and another one of the same replica come to, unless that is this one: the later
    /// head, on the root that is to be gone on from.
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        let at = |state: &Self| (state.head.version, state.root.rank());
        let ((head, rank), (other_head, other_rank)) = (at(self), at(other));
        match other_head > head {
            true if rank > other_rank => {
                let on_this = other.rebase(&self.root).or_else(|| other.onto(self));
                Some(on_this.unwrap_or_else(|| other.clone()))
            }
            true => Some(other.clone()),
            false if other_rank <= rank => None,
            false if other_head == head => Some(other.clone()),
            false => self.rebase(&other.root).or_else(|| self.onto(other)),
        }
    }

    /// The id of the commit that led to a version, as far as it is remembered.
    pub(crate) fn id_at(&self, version: Version) -> Option<CommitId> {
        if version == self.root.head.version {
            return Some(self.root.head.commit);
        }
        let before = self.root.head.version.get().checked_add(1)?;
        let at = usize::try_from(version.get().checked_sub(before)?).ok()?;
        self.tail.get(at).map(|recent| recent.commit.id())
    }

    /// How long the commits of the tail are together, as bytes.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.iter().map(|recent| recent.bytes).sum()
    }

    /// How many commits of the tail are too long to be brought along.
    pub(crate) fn alone(&self) -> usize {
        self.tail.iter().filter(|recent| recent.content.is_none()).count()
    }

    /// The entries of the tail.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &LogEntry> {
        self.tail.iter().flat_map(|recent| recent.commit.entries())
    }

    /// An entry of the tail.
    pub(crate) fn entry(&self, position: Position) -> Option<&LogEntry> {
        let holds = |recent: &Arc<Recent>| recent.commit.head().position < position;
        let recent = self.tail.get(self.tail.partition_point(holds))?;
        let before = recent.commit.base().position.get().checked_add(1)?;
        let at = usize::try_from(position.get().checked_sub(before)?).ok()?;
        recent.commit.entries().get(at)
    }

    /// Takes in the commit read for the next version.
    pub(crate) fn follow(&self, place: &str, recent: Arc<Recent>) -> Result<Self, StoreError> {
        let base = recent.commit.base();
        match base == self.head {
            true => Ok(self.apply(recent)),
            false => {
                let head = self.head;
                let what = format!("it is a commit on {base}, but the one before it led to {head}");
                Err(StoreError::corrupt(place, what))
            }
        }
    }
}

/// What a commit writes.
fn layer(commit: &Commit) -> Memory {
    let mut layer = BTreeMap::new();
    for entry in commit.entries() {
        writes::entry(&mut layer, entry);
    }
    for state in commit.records().values() {
        writes::record(&mut layer, state);
    }
    for resolution in commit.resolutions() {
        writes::resolution(&mut layer, resolution);
    }
    for (key, value) in commit.metadata() {
        writes::metadata(&mut layer, key, value.clone());
    }
    writes::commit_id(&mut layer, commit.head());
    layer
}

#[cfg(test)]
mod tests {
    use prophet_store::Identity;

    use super::*;
    use crate::options::Sharers;

    fn after(state: &State, id: u8) -> State {
        let commit = Commit::new(CommitId::from_bytes([id; 16]), state.head);
        state.apply(Recent::new(commit, Arc::from([])))
    }

    fn derived(state: &State) -> Arc<Root> {
        Arc::new(Root { head: state.head, ..Root::clone(&state.root) })
    }

    /// Version of the head, version of the root, and how many commits are in between.
    fn shape(state: &State) -> (u64, u64, usize) {
        (state.head.version.get(), state.root.head.version.get(), state.tail.len())
    }

    /// Such a commit was begun before the root was there for all, or before that of others was gone on from.
    #[test]
    fn a_commit_on_its_way_brings_back_no_root_that_nobody_else_has() {
        let identity = Identity::new_database().unwrap();
        let nothing = State::of(Arc::new(Root::nothing(identity, Sharers::Several)));
        let one = after(&nothing, 1);
        let two = after(&one, 2);
        let published =
            |state: &State| Arc::new(Root { published: true, ..Root::clone(&derived(state)) });
        let own = two.rebase(&derived(&two)).unwrap();
        let three = after(&own, 3);
        // The same one, and that of somebody who was behind.
        let there = two.rebase(&published(&two)).unwrap();
        let behind = two.rebase(&published(&one)).unwrap();
        for (current, tail) in [(there, 1), (behind, 2)] {
            assert!(current.joined(&own).is_none());
            let joined = current.joined(&three).unwrap();
            assert!(joined.root.published);
            assert_eq!((joined.head, joined.tail.len()), (three.head, tail));
        }
    }

    #[test]
    fn a_checkpoint_and_a_commit_that_meet_both_count() {
        let identity = Identity::new_database().unwrap();
        let nothing = State::of(Arc::new(Root::nothing(identity, Sharers::Several)));
        let two = after(&after(&nothing, 1), 2);
        let root = derived(&two);
        let checkpoint = two.rebase(&root).unwrap();
        assert_eq!(shape(&checkpoint), (2, 2, 0));
        // Made on what was there before the checkpoint.
        let three = after(&two, 3);
        assert_eq!(shape(&three), (3, 0, 3));
        for joined in [checkpoint.joined(&three), three.joined(&checkpoint)] {
            let joined = joined.unwrap();
            assert_eq!((shape(&joined), joined.head), ((3, 2, 1), three.head));
        }

        // What is earlier, or the same, changes nothing.
        for (one, other) in [(&three, &two), (&three, &three), (&checkpoint, &two)] {
            assert!(one.joined(other).is_none());
        }
        assert_eq!(shape(&two.joined(&checkpoint).unwrap()), (2, 2, 0));
        assert_eq!(shape(&two.joined(&three).unwrap()), (3, 0, 3));
        // A root of another line of commits is no part of this one.
        let elsewhere = after(&after(&after(&nothing, 1), 9), 3);
        assert_eq!(shape(&checkpoint.joined(&elsewhere).unwrap()), (3, 0, 3));
    }
}

//! Log entries in the making: what one's own changesets and foreign ones become alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::changeset::Changeset;
use crate::error::Error;
use crate::id::{CommitId, Digest, Position, ReplicaId, Sequence};
use crate::integrate::integrate_noting;
use crate::log::LogEntry;
use crate::name::RecordKey;
use crate::record::RecordState;
use crate::replica::group::Front;
use crate::replica::lineage::AUTHOR;
use crate::replica::metadata::{HEADS, contested_key, encode_heads, encode_tips, seen_key};
use crate::resolution::Resolution;
use crate::store::{Commit, Head, MetadataKey};
use crate::vector::{Tip, VersionVector};

/// Changesets on their way into the log, with all that they bring along: record states,
/// resolutions, and what the replica notes about what it has seen.
#[derive(Debug)]
pub(super) struct Batch {
    /// Where the replica is once everything in here is committed.
    pub(super) front: Front,
    /// Where the replica was when it began.
    began: Head,
    entries: Vec<LogEntry>,
    /// Its changesets, also those whose entries are forgotten.
    changesets: HashMap<Digest, (ReplicaId, Sequence)>,
    /// The states of the records that the changesets touch.
    states: BTreeMap<RecordKey, RecordState>,
    /// Whether a changeset left a record contested.
    contested: bool,
    resolutions: Vec<Resolution>,
    metadata: BTreeMap<MetadataKey, Option<Vec<u8>>>,
    /// The tips of the origins whose changesets are being integrated.
    seen: VersionVector,
    learnt: BTreeSet<ReplicaId>,
    seen_changed: BTreeSet<ReplicaId>,
}

impl Batch {
    pub(super) fn new(front: Front) -> Self {
        Self {
            began: front.head,
            front,
            entries: Vec::new(),
            changesets: HashMap::new(),
            states: BTreeMap::new(),
            contested: false,
            resolutions: Vec::new(),
            metadata: BTreeMap::new(),
            seen: VersionVector::new(),
            learnt: BTreeSet::new(),
            seen_changed: BTreeSet::new(),
        }
    }

    /// The state of a record as the changesets in here leave it, if it was needed for them.
    pub(super) fn state(&self, key: &RecordKey) -> Option<&RecordState> {
        self.states.get(key)
    }

    /// Takes in the state of a record before the changesets that touch it. Every record that is
    /// taken in is touched.
    pub(super) fn know(&mut self, state: RecordState) {
        self.states.entry(state.key().clone()).or_insert(state);
    }

    pub(super) const fn metadata(&self) -> &BTreeMap<MetadataKey, Option<Vec<u8>>> {
        &self.metadata
    }

    pub(super) fn set_metadata(&mut self, key: MetadataKey, value: Option<Vec<u8>>) {
        self.metadata.insert(key, value);
    }

    pub(super) fn changesets(&self) -> Vec<(Position, Digest)> {
        let entries = self.entries.iter();
        entries.map(|entry| (entry.position, entry.changeset.digest())).collect()
    }

    /// Whether a changeset left a record contested.
    pub(super) const fn is_contested(&self) -> bool {
        self.contested
    }

    /// Gives up the states of the records that no changeset is going to touch after all.
    pub(super) fn retain(&mut self, touched: impl Fn(&RecordKey) -> bool) {
        self.states.retain(|key, _| touched(key));
    }

    /// The states of the records that changesets in here touch.
    pub(super) fn touched(&self) -> impl Iterator<Item = &RecordState> {
        self.states.values()
    }

    /// Whether the tips of an origin were taken in.
    pub(super) fn knows(&self, origin: ReplicaId) -> bool {
        self.learnt.contains(&origin)
    }

    /// Takes in the tips of an origin.
    pub(super) fn learn(&mut self, origin: ReplicaId, tips: Vec<Tip>) {
        self.learnt.insert(origin);
        self.seen.extend(VersionVector::of_origin(origin, tips));
    }

    /// The tips of the origins taken in, and the author's own.
    pub(super) fn tips(&self) -> VersionVector {
        let mut tips = self.seen.clone();
        if let Some(tip) = self.front.tip {
            tips.put(self.front.lineage.author, tip);
        }
        tips
    }

    /// Whether a changeset is in here.
    pub(super) fn has(&self, changeset: &Digest) -> bool {
        self.changesets.contains_key(changeset)
    }

    /// Whether a changeset of this origin and sequence with this digest is in here.
    pub(super) fn has_at(&self, origin: ReplicaId, sequence: Sequence, changeset: &Digest) -> bool {
        self.changesets.get(changeset) == Some(&(origin, sequence))
    }

    /// A changeset of this origin and sequence that is in here.
    pub(super) fn at(&self, origin: ReplicaId, sequence: Sequence) -> Option<Digest> {
        let mut all = self.changesets.iter();
        all.find(|(_, place)| **place == (origin, sequence)).map(|(digest, _)| *digest)
    }

    /// Whether this batch began where the replica is now.
    pub(super) fn is_on(&self, front: &Front) -> bool {
        self.began == front.head
    }

    /// The changesets in here.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.changesets.keys().copied()
    }

    /// Appends a changeset that follows what the replica has seen. The states of the records it
    /// touches are known, as far as there are any.
    pub(super) fn append(&mut self, changeset: &Changeset) -> Result<(), Error> {
        let position = self.front.head.position.next();
        let header = changeset.header();
        self.changesets.insert(changeset.digest(), (header.origin, header.sequence));
        let mut changed = Vec::new();
        let entry = integrate_noting(position, changeset, &mut self.states, |before, state| {
            self.contested |= state.is_contested();
            if state.is_contested() != before {
                changed.push((state.key().clone(), !before));
            }
        });
        self.entries.push(entry);
        for (key, contested) in changed {
            let listed = contested.then(|| key.to_string().into_bytes());
            self.metadata.insert(contested_key(&key)?, listed);
        }
        self.resolutions.extend(Resolution::of(changeset));
        self.front.head.position = position;
        self.note_seen(changeset);
        Ok(())
    }

    /// Notes that `changeset` was seen: the maximal heads, and the tips of its origin.
    fn note_seen(&mut self, changeset: &Changeset) {
        let (header, digest) = (changeset.header(), changeset.digest());
        let covered = |head: &Digest| header.follows(*head);
        let own = header.origin == self.front.lineage.author;
        if !own || self.front.heads.iter().any(covered) {
            let heads = self.front.heads.iter().copied().filter(|head| !covered(head));
            let mut heads: Vec<_> = heads.chain((!own).then_some(digest)).collect();
            heads.sort_unstable();
            self.front.heads = heads.into();
        }
        if own {
            self.front.tip = Some(Tip { sequence: header.sequence, digest });
        } else {
            self.seen.note(header, digest);
            self.seen_changed.insert(header.origin);
        }
    }

    /// Whether a changeset in here names this one as what it follows.
    pub(super) fn is_followed(&self, digest: Digest) -> bool {
        self.entries.iter().any(|entry| entry.changeset.header().follows(digest))
    }

    /// Leaves the id under which the replica authored, and which another one uses too: it will
    /// go on as `author`. Its tip is a maximal changeset now if no other follows it.
    pub(super) fn go_on_as(&mut self, author: ReplicaId, maximal: bool) -> Result<(), Error> {
        let Some(tip) = self.front.tip.take() else { return Ok(()) };
        let forked = self.front.lineage.author;
        self.front.lineage = Arc::new(self.front.lineage.continued(author, tip));
        // From now on the old id is one of the origins it has seen.
        self.learn(forked, vec![tip]);
        self.seen_changed.insert(forked);
        let heads = self.front.heads.iter().copied();
        let mut heads: Vec<_> = heads.chain(maximal.then_some(tip.digest)).collect();
        heads.sort_unstable();
        self.front.heads = heads.into();
        self.metadata.insert(MetadataKey::new(AUTHOR)?, Some(self.front.lineage.encode()));
        Ok(())
    }

    /// The commit of everything in here, if that is anything, and where the replica is after it.
    /// The committer gives the id: what is staged together shares one. `began` is where the
    /// replica was.
    pub(super) fn into_commit(mut self, began: &Front) -> Result<Option<(Commit, Front)>, Error> {
        if self.front.heads != began.heads {
            let heads = (!self.front.heads.is_empty()).then(|| encode_heads(&self.front.heads));
            self.metadata.insert(MetadataKey::new(HEADS)?, heads);
        }
        for origin in &self.seen_changed {
            let tips = encode_tips(*origin, self.seen.of(*origin));
            self.metadata.insert(seen_key(*origin)?, Some(tips));
        }
        if self.entries.is_empty() && self.metadata.is_empty() {
            return Ok(None);
        }
        let mut base = self.front.head;
        base.position = self.began.position;
        let mut commit = Commit::new(CommitId::from_bytes([0; 16]), base);
        for entry in self.entries {
            commit = commit.with_entry(entry)?;
        }
        commit = commit.with_records(self.states)?;
        for resolution in self.resolutions {
            commit = commit.with_resolution(resolution)?;
        }
        for (key, value) in self.metadata {
            commit = commit.with_metadata(key, value)?;
        }
        Ok(Some((commit, self.front)))
    }

    /// Forgets the entries, and keeps what they led to: for a pass that commits nothing.
    pub(super) fn forget_entries(&mut self) {
        self.entries.clear();
        self.resolutions.clear();
    }
}

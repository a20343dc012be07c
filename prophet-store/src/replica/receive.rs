//! Receiving: changesets that nobody vouches for, checked and integrated.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::changeset::{Changeset, Header};
use crate::environment;
use crate::error::Error;
use crate::id::{Digest, ReplicaId, Sequence};
use crate::name::RecordKey;
use crate::replica::Edit;
use crate::replica::batch::Batch;
use crate::replica::metadata::{seen_key, take_tips};
use crate::store::{Direction, OriginScan, PageLimit};
use crate::vector::VersionVector;

/// An origin with two changesets of the same sequence: a replica was copied, or restored from a
/// backup, and both copies were written to. Both branches are integrated; nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fork {
    /// The replica id that both copies wrote under.
    pub origin: ReplicaId,
    /// The first sequence that both used.
    pub sequence: Sequence,
    /// The changeset of that sequence that was known here.
    pub known: Digest,
    /// The one that came.
    pub came: Digest,
    /// The id under which this replica goes on, if it was one of the copies.
    pub continued_as: Option<ReplicaId>,
}

impl std::fmt::Display for Fork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { origin, sequence, known, came, continued_as } = self;
        write!(
            f,
            "replica {origin} was copied and both copies were written to: its changeset {sequence} \
             is {known} here and {came} there; both branches are kept"
        )?;
        match continued_as {
            Some(id) => write!(f, ", and this replica goes on as {id}"),
            None => Ok(()),
        }
    }
}

/// What became of the changesets received.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) integrated: u64,
    pub(super) seen: u64,
    pub(super) bytes: u64,
    pub(super) forks: Vec<Fork>,
    /// Whether a record that they touch is contested now.
    pub(super) contested: bool,
    /// The first one that is refused, and why. It and all after it were left out.
    pub(super) refused: Option<(Digest, String)>,
}

impl Received {
    /// And what became of the next ones.
    pub(super) fn and(&mut self, next: Self) {
        self.integrated += next.integrated;
        self.seen += next.seen;
        self.bytes += next.bytes;
        self.forks.extend(next.forks);
        self.contested |= next.contested;
        self.refused = self.refused.take().or(next.refused);
    }
}

/// Integrates into `batch` those of `changesets` that are new, up to the first bad one.
pub(super) async fn receive(
    edit: &Edit,
    batch: &mut Batch,
    changesets: &[Changeset],
) -> Result<Received, Error> {
    let given = Given::new(changesets);
    let checked = Checked::of(edit, batch, &given).await?;
    let mut received = Received { refused: checked.refused, ..Received::default() };
    let mut new: &[&Changeset] = &checked.new;
    read_states(edit, batch, new).await?;
    if let Some((at, digest)) = first_unfounded(edit, batch, &given, new).await? {
        let changeset = new.get(at).map_or(digest, |changeset| changeset.digest());
        let why = format!("it supersedes {digest}, which does not come before it");
        received.refused = Some((changeset, why));
        new = new.get(..at).unwrap_or_default();
        let touched: HashSet<_> =
            new.iter().flat_map(|changeset| changeset.payload().records()).collect();
        batch.retain(|key| touched.contains(key));
    }
    for changeset in new {
        if let Some(known) = checked.branches.get(&changeset.digest()) {
            received.forks.push(fork(edit, batch, changeset, *known).await?);
        }
        batch.append(changeset)?;
        let time = changeset.header().time;
        batch.front.clock.follow(time, edit.environment().now());
        received.integrated += 1;
        received.bytes += changeset.payload_bytes().len() as u64;
    }
    received.seen = checked.seen;
    received.contested = batch.is_contested();
    Ok(received)
}

/// A changeset that begins another branch of its origin. If that is the author itself, it goes on
/// under a new id.
async fn fork(
    edit: &Edit,
    batch: &mut Batch,
    changeset: &Changeset,
    known: Digest,
) -> Result<Fork, Error> {
    let header = changeset.header();
    let continued_as = match header.origin == batch.front.lineage.author {
        true => Some(environment::new_replica_id(edit.environment())?),
        false => None,
    };
    if let (Some(author), Some(tip)) = (continued_as, batch.front.tip) {
        let followed = batch.is_followed(tip.digest) || edit.is_followed(tip.digest).await?;
        batch.go_on_as(author, !followed)?;
    }
    let (origin, sequence) = (header.origin, header.sequence);
    Ok(Fork { origin, sequence, known, came: changeset.digest(), continued_as })
}

/// Changesets as they were given, each found by its digest.
struct Given<'a> {
    changesets: &'a [Changeset],
    places: HashMap<Digest, usize>,
}

impl<'a> Given<'a> {
    fn new(changesets: &'a [Changeset]) -> Self {
        let mut places = HashMap::with_capacity(changesets.len());
        for (place, changeset) in changesets.iter().enumerate() {
            places.entry(changeset.digest()).or_insert(place);
        }
        Self { changesets, places }
    }

    /// Whether a changeset comes before a place.
    fn comes_before(&self, digest: &Digest, place: usize) -> bool {
        self.places.get(digest).is_some_and(|found| *found < place)
    }
}

/// Changesets sorted into those that are new and those that are here, up to the first bad one.
struct Checked<'a> {
    new: Vec<&'a Changeset>,
    seen: u64,
    /// Those of the new ones that begin a branch, and what is known at their place.
    branches: HashMap<Digest, Digest>,
    refused: Option<(Digest, String)>,
}

impl<'a> Checked<'a> {
    async fn of(edit: &Edit, batch: &mut Batch, given: &Given<'a>) -> Result<Self, Error> {
        load_tips(edit, batch, given.changesets).await?;
        let known = find_foundations(edit, batch, given).await?;
        let database = edit.database();
        let mut checked =
            Self { new: Vec::new(), seen: 0, branches: HashMap::new(), refused: None };
        let mut tips = batch.tips();
        for (place, changeset) in given.changesets.iter().enumerate() {
            let (header, digest) = (changeset.header(), changeset.digest());
            // All that came before is here by now.
            let here =
                |digest: &Digest| known.contains(digest) || given.comes_before(digest, place);
            let refuse = |why: String| Some((digest, why));
            if header.database != database {
                let why = format!("it belongs to another database, {}", header.database);
                checked.refused = refuse(why);
                break;
            }
            if tips.has_tip(header.origin, digest) || here(&digest) {
                checked.seen += 1;
                continue;
            }
            let follows = tips.is_followed_by(header);
            if !follows && !has_previous(edit, batch, &checked.new, header).await? {
                checked.refused = refuse(format!(
                    "it is number {} of replica {}, and the one before it is missing, or another",
                    header.sequence, header.origin
                ));
                break;
            }
            if let Some(missing) = header.parents.iter().find(|parent| !here(parent)) {
                checked.refused =
                    refuse(format!("it builds on changeset {missing}, which is missing"));
                break;
            }
            if !follows {
                let origin = header.origin;
                let at = at_sequence(edit, batch, origin, header.sequence).await?;
                let mut new = checked.new.iter().filter(|new| {
                    (new.header().origin, new.header().sequence) == (origin, header.sequence)
                });
                let known = at.or_else(|| new.next().map(|new| new.digest()));
                checked.branches.extend(known.map(|known| (digest, known)));
            }
            tips.note(header, digest);
            checked.new.push(changeset);
        }
        Ok(checked)
    }
}

/// Whether what a changeset names as the previous one of its origin is that: of the same origin, and
/// the number before.
async fn has_previous(
    edit: &Edit,
    batch: &Batch,
    new: &[&Changeset],
    header: &Header,
) -> Result<bool, Error> {
    let Some(previous) = header.previous else { return Ok(true) };
    let Some(sequence) = Sequence::new(header.sequence.get() - 1) else { return Ok(false) };
    let is_it = |digest, of: &Header| {
        digest == previous && (of.origin, of.sequence) == (header.origin, sequence)
    };
    if new.iter().any(|changeset| is_it(changeset.digest(), changeset.header()))
        || batch.has_at(header.origin, sequence, &previous)
    {
        return Ok(true);
    }
    // What is staged is asked first: it may be in the store, and staged no more, before that is asked.
    if edit.staged_at(header.origin, sequence, Some(previous)).is_some() {
        return Ok(true);
    }
    let mut after = Some((sequence, Digest::from_bytes([0; 32])));
    while after.is_some_and(|(at, _)| at == sequence) {
        let direction = Direction::Forward;
        let limit = PageLimit::items(4);
        let scan = OriginScan { origin: header.origin, after, direction, limit };
        let (found, more) = edit.scan_origin(&scan).await?;
        if found.iter().any(|found| (found.sequence, found.digest) == (sequence, previous)) {
            return Ok(true);
        }
        after = more;
    }
    Ok(false)
}

/// The changeset of an origin's sequence that is in the log.
async fn at_sequence(
    edit: &Edit,
    batch: &Batch,
    origin: ReplicaId,
    sequence: Sequence,
) -> Result<Option<Digest>, Error> {
    let scan = OriginScan {
        origin,
        after: Some((sequence, Digest::from_bytes([0; 32]))),
        direction: Direction::Forward,
        limit: PageLimit::items(1),
    };
    // In this order, as above.
    let staged = batch.at(origin, sequence).or_else(|| edit.staged_at(origin, sequence, None));
    let (found, _) = edit.scan_origin(&scan).await?;
    let found = found.first().filter(|found| found.sequence == sequence).map(|found| found.digest);
    Ok(found.or(staged))
}

/// Puts the tips of the origins of `changesets` into the batch.
async fn load_tips(edit: &Edit, batch: &mut Batch, changesets: &[Changeset]) -> Result<(), Error> {
    let author = batch.front.lineage.author;
    let origins: BTreeSet<_> =
        changesets.iter().map(|changeset| changeset.header().origin).collect();
    let unknown = origins.into_iter().filter(|origin| *origin != author && !batch.knows(*origin));
    let unknown: Vec<_> = unknown.collect();
    let keys = unknown.iter().map(|origin| seen_key(*origin)).collect::<Result<Vec<_>, _>>()?;
    let values = edit.get_metadata_many(&keys).await?;
    for ((origin, key), value) in unknown.into_iter().zip(&keys).zip(values) {
        let mut tips = VersionVector::new();
        if let Some(value) = value {
            take_tips(key, &value, &mut tips)?;
        }
        batch.learn(origin, tips.of(origin).to_vec());
    }
    Ok(())
}

/// Which of the changesets that `changesets` build on, or are, the log has: asked at once, and only
/// for what the tips and heads do not tell.
async fn find_foundations(
    edit: &Edit,
    batch: &Batch,
    given: &Given<'_>,
) -> Result<HashSet<Digest>, Error> {
    let mut tips = batch.tips();
    let mut known: HashSet<Digest> = batch.front.heads.iter().copied().collect();
    known.extend(batch.front.tip.map(|tip| tip.digest));
    known.extend(batch.digests());
    let mut asked = HashSet::new();
    for (place, changeset) in given.changesets.iter().enumerate() {
        let (header, digest) = (changeset.header(), changeset.digest());
        if tips.is_followed_by(header) {
            tips.note(header, digest);
        } else {
            asked.extend(header.previous);
            asked.insert(digest);
        }
        let parents = header.parents.iter();
        asked.extend(parents.filter(|parent| !given.comes_before(parent, place)));
    }
    let asked: Vec<_> = asked.into_iter().filter(|digest| !known.contains(digest)).collect();
    let found = edit.find_changesets(&asked).await?;
    known
        .extend(asked.into_iter().zip(found).filter_map(|(digest, found)| found.then_some(digest)));
    Ok(known)
}

/// Takes the states of the records that `changesets` touch into the batch.
async fn read_states(
    edit: &Edit,
    batch: &mut Batch,
    changesets: &[&Changeset],
) -> Result<(), Error> {
    let touched = changesets.iter().flat_map(|changeset| changeset.payload().records());
    let touched: HashSet<_> = touched.filter(|key| batch.state(key).is_none()).collect();
    let keys: Vec<_> = touched.into_iter().cloned().collect();
    for state in edit.read_many(keys).await? {
        batch.know(state);
    }
    Ok(())
}

/// The first of `changesets` that supersedes something that does not come before it, and what that
/// is. What is superseded is dead, whether it has arrived or not; that nobody can supersede what
/// they have not seen is what makes it enough to look at what is there.
async fn first_unfounded(
    edit: &Edit,
    batch: &Batch,
    given: &Given<'_>,
    changesets: &[&Changeset],
) -> Result<Option<(usize, Digest)>, Error> {
    let mut asked: Vec<(usize, Digest)> = Vec::new();
    for (at, changeset) in changesets.iter().enumerate() {
        let payload = changeset.payload();
        let mut look = |key: &RecordKey, digests: &mut dyn Iterator<Item = &Digest>| {
            let state = batch.state(key);
            let mentioned = |digest: &&Digest| state.is_some_and(|state| state.mentions(digest));
            asked.extend(digests.filter(|digest| !mentioned(digest)).map(|digest| (at, *digest)));
        };
        for change in payload.changes() {
            let properties = change.properties.iter().flat_map(|property| &property.supersedes);
            look(&change.record, &mut change.supersedes.iter().chain(properties));
        }
        for vote in payload.votes() {
            look(&vote.record, &mut vote.supersedes.iter().chain(&vote.seen));
        }
    }
    asked.retain(|(at, digest)| {
        let place = changesets.get(*at).and_then(|one| given.places.get(&one.digest()));
        !place.is_some_and(|place| given.comes_before(digest, *place)) && !batch.has(digest)
    });
    let digests: Vec<_> = asked.iter().map(|(_, digest)| *digest).collect();
    let found = edit.find_changesets(&digests).await?;
    Ok(asked.into_iter().zip(found).find(|(_, found)| !found).map(|(asked, _)| asked))
}

//! Publishing: a replica's log as a tree of files.

use std::collections::HashSet;

use futures_lite::StreamExt as _;
use prophet_store::{
    ChangesetSource as _, Error, Head, Identity, LogEntry, LogScan, PageLimit, Position, Replica,
    ReplicaStoreExt as _, VersionVector,
};

use crate::fetch::{FetchError, Request, Response};
use crate::line::{Line, Start};
use crate::manifest::{FRAMED_SEGMENTS, MANIFEST, Manifest, Segment};
use crate::segment::{SEGMENT_BYTES, Sealed, SegmentWriter, is_compressed, published_head};
use crate::tree::Tree;

/// A segment of so many bytes is not written again, to have fewer of them.
const LARGE_BYTES: u64 = 256 << 10;
/// A small segment is written again once what follows has more than half as many entries: so there
/// are few small ones, and an entry is written again as often as the logarithm of their number.
const GROWTH: u64 = 2;
/// Segments of fewer entries count as if they had so many.
const FEW_ENTRIES: u64 = 8;
/// No manifest is longer.
const MANIFEST_BYTES: u64 = 256 << 20;

/// How to publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishOptions {
    replace: bool,
}

impl PublishOptions {
    /// What another replica published is left alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces whatever the tree holds: another replica, another database, a damaged manifest.
    /// Files that only a damaged manifest named stay.
    #[must_use]
    pub const fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishReport {
    /// Where the replica was when it was published.
    pub head: Head,
    /// Changesets that the tree did not have.
    pub changesets: u64,
    /// Segments written.
    pub segments: u64,
    /// Bytes written, the manifest included; 0 if there was nothing new.
    pub bytes: u64,
    /// Files removed, which the manifest before the last one had named.
    pub removed: u64,
}

/// A replica could not be published. The tree is as it was, but for files that nothing names.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The replica cannot be read.
    #[error(transparent)]
    Replica(#[from] Error),
    /// The tree cannot be read or written.
    #[error(transparent)]
    Tree(#[from] FetchError),
    /// The tree holds something else.
    #[error(
        "{place} holds replica {} of database {}, and this is replica {} of database {}; publish \
         elsewhere, or say that it is to be replaced", .theirs.replica, .theirs.database,
        .ours.replica, .ours.database
    )]
    #[non_exhaustive]
    Occupied {
        /// Where the tree is.
        place: String,
        /// What it holds.
        theirs: Identity,
        /// What was to be published.
        ours: Identity,
    },
    /// There is a replica, which is a tree of its own.
    #[error("{place} is a replica itself, and can be pulled from as it is; publish elsewhere")]
    #[non_exhaustive]
    Live {
        /// Where it is.
        place: String,
    },
    /// The manifest of the tree is damaged or of a newer format.
    #[error(
        "the {MANIFEST} in {place} cannot be read: {why}; restore it, or say that the tree is to \
         be replaced"
    )]
    #[non_exhaustive]
    BadManifest {
        /// Where the tree is.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The log could not be compressed.
    #[error("the log cannot be compressed: {why}")]
    #[non_exhaustive]
    Compression {
        /// What the compressor said.
        why: String,
    },
}

impl PublishError {
    fn compression(error: &std::io::Error) -> Self {
        Self::Compression { why: error.to_string() }
    }
}

/// Writes what `replica` has seen to a tree, or what of it is new since it was published there
/// last. The manifest is written last and at once: a reader sees the state before or the one after,
/// also if this is interrupted anywhere. What is local to the replica, its metadata, is not written.
///
/// Publishers of one tree are to take turns. If they do not, the last manifest counts; one may
/// remove files that another one's still names, and to publish again after
/// [`replace`](PublishOptions::replace) mends that.
///
/// # Errors
/// A tree that holds something else, unless that is to be [replaced](PublishOptions::replace); what
/// the tree and the store say.
pub async fn publish(
    replica: &Replica,
    tree: &dyn Tree,
    options: PublishOptions,
) -> Result<PublishReport, PublishError> {
    let (head, seen) = snapshot(replica).await?;
    let identity = replica.store().facts().identity;
    let before = before(tree, identity, options).await?;
    let goes_on = match &before {
        Some(before) => !options.replace && goes_on(replica, identity, head, before).await?,
        None => false,
    };
    let had = before.as_ref().filter(|_| goes_on).map_or(Position::ZERO, |it| it.head.position);
    let changesets = head.position.get().saturating_sub(had.get());
    let mut report = PublishReport { head, changesets, segments: 0, bytes: 0, removed: 0 };
    if let Some(before) = before.as_ref().filter(|_| goes_on)
        && before.head.position == head.position
        && before.seen == seen
    {
        return Ok(report);
    }

    let mut segments = before.as_ref().filter(|_| goes_on).map(|it| it.segments.clone());
    let mut segments = segments.take().unwrap_or_default();
    keep_large(&mut segments, changesets);
    let named: HashSet<&str> =
        before.iter().flat_map(|it| &it.segments).map(|segment| segment.name.as_str()).collect();
    let after = segments.last().map_or(Position::ZERO, |segment| segment.last);
    let mut cutter = Cutter::new(replica, identity, segments.len() as u64, after, head).await?;
    while let Some(Sealed { segment, bytes }) = cutter.next().await? {
        // The same name is the same bytes.
        if !named.contains(segment.name.as_str()) || options.replace {
            report.segments += 1;
            report.bytes += segment.bytes;
            tree.put(&segment.name, bytes).await?;
        }
        segments.push(segment);
    }
    let unframed = segments.len().saturating_sub(FRAMED_SEGMENTS);
    segments.iter_mut().take(unframed).for_each(|segment| segment.frames.clear());

    let kept: HashSet<&str> = segments.iter().map(|segment| segment.name.as_str()).collect();
    let retired = named.into_iter().filter(|name| !kept.contains(name));
    let mut retired: Vec<String> = retired.map(str::to_owned).collect();
    retired.sort_unstable();
    let removed = before.iter().flat_map(|before| &before.retired);
    let removed: Vec<String> = removed
        .filter(|name| !kept.contains(name.as_str()) && !retired.contains(name))
        .cloned()
        .collect();
    let manifest = Manifest { identity, head, seen, segments, retired }.encode();
    report.bytes += manifest.len() as u64;
    tree.put(MANIFEST, manifest).await?;
    for name in removed {
        // What is published is published; a file that nothing names harms nobody.
        report.removed += u64::from(tree.remove(&name).await.is_ok());
    }
    Ok(report)
}

/// Where the replica is, and what it has seen there.
async fn snapshot(replica: &Replica) -> Result<(Head, VersionVector), Error> {
    let offer = replica.offer(&VersionVector::new()).await?;
    match offer.head {
        Some(head) => Ok((head, offer.seen)),
        None => Err(Error::bad_source(offer.place, "it does not say where it is")),
    }
}

/// What the tree holds.
async fn before(
    tree: &dyn Tree,
    ours: Identity,
    options: PublishOptions,
) -> Result<Option<Manifest>, PublishError> {
    // Whoever writes to a replica keeps the manifest of its directory.
    match tree.fetch(&Request::new("prophet.json", 4_096).fresh(true)).await {
        Err(FetchError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(PublishError::Live { place: tree.place().to_owned() }),
    }
    let request = Request::new(MANIFEST, MANIFEST_BYTES).fresh(true);
    let bytes = match tree.fetch(&request).await {
        Ok(Response::Content { bytes, .. }) => bytes,
        Ok(Response::Unchanged) | Err(FetchError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let place = tree.place().to_owned();
    match Manifest::decode(&bytes) {
        Ok(manifest) if manifest.identity == ours || options.replace => Ok(Some(manifest)),
        Ok(Manifest { identity: theirs, .. }) => {
            Err(PublishError::Occupied { place, theirs, ours })
        }
        Err(_) if options.replace => Ok(None),
        Err(error) => Err(PublishError::BadManifest { place, why: error.to_string() }),
    }
}

/// Whether the log goes on where the tree ends. If all that the tree has seen is in the first part
/// of the log, and as long as that part, it is that part.
async fn goes_on(
    replica: &Replica,
    identity: Identity,
    head: Head,
    before: &Manifest,
) -> Result<bool, Error> {
    let last = before.head.position;
    let mut end = Position::ZERO;
    let connected = before.segments.iter().all(|segment| {
        let follows = segment.after == end && is_compressed(&segment.name);
        end = segment.last;
        follows
    });
    if !connected || end != last || last > head.position || before.identity != identity {
        return Ok(false);
    }
    let tips = before.seen.tips().flat_map(|(_, tips)| tips);
    let tips: Vec<_> = tips.map(|tip| tip.digest).collect();
    let found = replica.store().find_changesets(&tips).await.map_err(Error::from)?.value;
    Ok(found.iter().all(|found| found.is_some_and(|position| position <= last)))
}

/// Leaves off the last segments as far as they are small beside what follows.
fn keep_large(segments: &mut Vec<Segment>, new: u64) {
    let mut following = new;
    while let Some(segment) = segments.last() {
        let entries = segment.last.get().saturating_sub(segment.after.get());
        if segment.bytes >= LARGE_BYTES || entries > GROWTH * following.max(FEW_ENTRIES) {
            break;
        }
        following += entries;
        segments.pop();
    }
}

/// Cuts a part of a log into segments.
struct Cutter<'a> {
    entries: prophet_store::Stored<'a, LogEntry>,
    identity: Identity,
    end: Position,
    /// The number of the last segment, and where it ended.
    number: u64,
    base: Head,
}

impl<'a> Cutter<'a> {
    async fn new(
        replica: &'a Replica,
        identity: Identity,
        number: u64,
        after: Position,
        head: Head,
    ) -> Result<Cutter<'a>, Error> {
        let store = replica.store();
        let limit = PageLimit::items(1_024);
        let mut base = Head::EMPTY;
        if let Some(before) = after.get().checked_sub(1) {
            let after = Some(Position::new(before));
            let scan = LogScan { after, limit: PageLimit::items(1), ..LogScan::default() };
            if let Some(entry) = store.scan_log(&scan).await.map_err(Error::from)?.items.first() {
                base = published_head(entry.position, entry.changeset.digest());
            }
        }
        let scan = LogScan { after: Some(after), limit, ..LogScan::default() };
        Ok(Cutter { entries: store.stream_log(scan), identity, end: head.position, number, base })
    }

    /// The next segment, unless the log has come to its end.
    async fn next(&mut self) -> Result<Option<Sealed>, PublishError> {
        let failed = |error: std::io::Error| PublishError::compression(&error);
        if self.base.position >= self.end {
            return Ok(None);
        }
        self.number += 1;
        let start = Start { identity: self.identity, segment: self.number, base: self.base };
        let mut writer = SegmentWriter::begin(start).map_err(failed)?;
        while self.base.position < self.end
            && writer.text_bytes() < SEGMENT_BYTES
            && let Some(entry) = self.entries.next().await
        {
            let entry = entry.map_err(Error::from)?;
            self.base = published_head(entry.position, entry.changeset.digest());
            writer.push(&Line::Entry(entry)).map_err(failed)?;
        }
        if self.base.position == start.base.position {
            // No store gives fewer entries than its head says.
            let place = self.end.to_string();
            let why = format!("the log ends before position {place}");
            return Err(Error::bad_source("the replica", why).into());
        }
        writer.commit_and_seal(self.base).map(Some).map_err(failed)
    }
}

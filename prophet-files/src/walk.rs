//! Going through the segments of a tree for what somebody has not seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use prophet_store::{
    Changeset, Error, LogEntry, Position, ReplicaId, Sequence, Tip, Unreadable, VersionVector,
};

use crate::ahead::Ahead;
use crate::fetch::{Fetch, FetchError, Request, Response, check_name};
use crate::line::Line;
use crate::manifest::{Holds, Manifest, Segment};
use crate::segment::{BadSegment, SegmentReader, crc_of_name, is_compressed};
use crate::source::PublishedSource;

/// So many segments are fetched, or wait to be read, at a time.
const AHEAD: usize = 4;
/// And the ones after the first only as long as they have no more bytes than this.
const AHEAD_BYTES: u64 = 64 << 20;
/// No segment is longer: it is held in memory.
const MOST_BYTES: u64 = 1 << 30;

/// What of an origin is wanted.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// Everything: sequences do not tell what is known.
    All,
    /// What comes after this; everything if there is nothing.
    After(Option<Tip>),
}

/// A part of a segment to fetch.
#[derive(Debug, Clone)]
struct Part {
    segment: Segment,
    bytes: Range<u64>,
    fresh: bool,
}

impl Part {
    fn len(&self) -> u64 {
        self.bytes.end.saturating_sub(self.bytes.start)
    }
}

/// Something that may be over once the manifest is read again, or not.
struct Trouble {
    why: String,
    cause: Unreadable,
}

impl From<BadSegment> for Trouble {
    fn from(bad: BadSegment) -> Self {
        Self { why: bad.to_string(), cause: Unreadable::Invalid }
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Self { why: error.to_string(), cause: error.cause() }
    }
}

/// A part that is being read.
struct Reading {
    part: Part,
    reader: SegmentReader,
    /// The position of the entry read last.
    last: Option<Position>,
}

pub(crate) struct Walk<'a, F> {
    source: &'a PublishedSource<F>,
    known: VersionVector,
    /// Not there until the first step.
    manifest: Option<Arc<Manifest>>,
    wants: HashMap<ReplicaId, Want>,
    /// Of each origin the last changeset given.
    given: HashMap<ReplicaId, Tip>,
    /// Origins of which something came that does not follow what is known.
    forked: HashSet<ReplicaId>,
    parts: VecDeque<Part>,
    ahead: Ahead<'a, (Part, Result<Vec<u8>, FetchError>)>,
    /// How many bytes these bring.
    ahead_bytes: u64,
    reading: Option<Reading>,
    /// The furthest position of what was given.
    furthest: Position,
    /// That at the last trouble: if there is more trouble before there is anything new, that is it.
    troubled: Option<Position>,
}

impl<'a, F: Fetch> Walk<'a, F> {
    pub(crate) fn new(source: &'a PublishedSource<F>, known: VersionVector) -> Self {
        Self {
            source,
            known,
            manifest: None,
            wants: HashMap::new(),
            given: HashMap::new(),
            forked: HashSet::new(),
            parts: VecDeque::new(),
            ahead: Ahead::new(),
            ahead_bytes: 0,
            reading: None,
            furthest: Position::ZERO,
            troubled: None,
        }
    }

    /// The next changeset.
    pub(crate) async fn next(&mut self) -> Result<Option<Changeset>, Error> {
        if self.manifest.is_none() {
            self.plan(self.source.manifest(), false);
        }
        loop {
            let read = match self.reading.take() {
                Some(reading) => self.read_on(reading),
                None => match self.fetch_next().await {
                    None => return Ok(None),
                    Some(begun) => begun.map(|reading| {
                        self.reading = Some(reading);
                        None
                    }),
                },
            };
            match read {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    if let Some(changeset) = self.consider(entry) {
                        return Ok(Some(changeset));
                    }
                }
                Err(trouble) => self.after(trouble).await?,
            }
        }
    }

    /// After trouble, from the manifest as it is now: the publisher may have moved on, or a cache
    /// on the way may have something old. If that does not help, it is an error.
    async fn after(&mut self, trouble: Trouble) -> Result<(), Error> {
        let again = self.troubled == Some(self.furthest);
        // Whoever fetched has tried more than once already.
        let lasting = matches!(trouble.cause, Unreadable::Denied | Unreadable::Temporary);
        if lasting || again {
            let more = if again { "; reading it again, past all caches, did not help" } else { "" };
            let why = format!("{}{more}", trouble.why);
            return Err(Error::unreadable(self.source.fetch().place(), why, trouble.cause));
        }
        self.troubled = Some(self.furthest);
        let manifest = self.source.refresh(true).await?;
        self.plan(manifest, true);
        Ok(())
    }

    /// What is wanted of what the manifest names, and where it is.
    fn plan(&mut self, manifest: Arc<Manifest>, fresh: bool) {
        self.wants.clear();
        for (origin, tips) in manifest.seen.tips() {
            let want = self.want(origin, tips);
            self.wants.insert(origin, want);
        }
        let parts = manifest.segments.iter().filter_map(|segment| self.part(segment, fresh));
        self.parts = parts.collect();
        self.ahead = Ahead::new();
        self.ahead_bytes = 0;
        self.reading = None;
        self.manifest = Some(manifest);
    }

    fn want(&self, origin: ReplicaId, tips: &[Tip]) -> Want {
        let known = self.known.of(origin);
        let given = self.given.get(&origin);
        let here = |tip: &Tip| known.contains(tip) || given == Some(tip);
        if self.forked.contains(&origin) {
            return Want::All;
        }
        if tips.iter().all(here) {
            return Want::After(tips.last().copied());
        }
        let last = match (given, known) {
            (Some(given), _) => Some(*given),
            (None, []) => None,
            (None, [known]) => Some(*known),
            _ => return Want::All,
        };
        match tips {
            [tip] if last.is_none_or(|last| last.sequence < tip.sequence) => Want::After(last),
            _ => Want::All,
        }
    }

    /// Whether some of these changesets is wanted.
    fn wants_of(&self, holds: &Holds) -> bool {
        holds.iter().any(|(origin, _, high)| match self.wants.get(&origin) {
            Some(Want::After(Some(tip))) => high > tip.sequence,
            Some(_) => true,
            None => false,
        })
    }

    fn part(&self, segment: &Segment, fresh: bool) -> Option<Part> {
        if !self.wants_of(&segment.holds) {
            return None;
        }
        let mut bytes = 0..segment.bytes;
        let wanted =
            |at: &usize| segment.frames.get(*at).is_some_and(|frame| self.wants_of(&frame.holds));
        let (first, last) = (0..segment.frames.len())
            .filter(wanted)
            .fold((None, None), |(first, _), at| (first.or(Some(at)), Some(at)));
        if let (Some(first), Some(last)) = (first, last) {
            bytes.start = segment.frames.get(first).map_or(0, |frame| frame.offset);
            bytes.end = segment.frames.get(last + 1).map_or(segment.bytes, |frame| frame.offset);
        }
        Some(Part { segment: segment.clone(), bytes, fresh })
    }

    /// Waits for the next part, while the ones after it come.
    async fn fetch_next(&mut self) -> Option<Result<Reading, Trouble>> {
        while self.ahead.len() < AHEAD
            && let Some(next) = self.parts.front()
            && (self.ahead.len() == 0 || self.ahead_bytes.saturating_add(next.len()) <= AHEAD_BYTES)
            && let Some(part) = self.parts.pop_front()
        {
            self.ahead_bytes = self.ahead_bytes.saturating_add(part.len());
            let fetch = self.source.fetch();
            self.ahead.begin(async move {
                let fetched = fetch_part(fetch, &part).await;
                (part, fetched)
            });
        }
        let (part, fetched) = self.ahead.next().await?;
        self.ahead_bytes = self.ahead_bytes.saturating_sub(part.len());
        Some(fetched.map_err(Trouble::from).and_then(|bytes| self.begin(part, bytes)))
    }

    fn begin(&self, part: Part, bytes: Vec<u8>) -> Result<Reading, Trouble> {
        let name = &part.segment.name;
        let bad = |why: String| {
            Err(Trouble { why: format!("{name}: {why}"), cause: Unreadable::Invalid })
        };
        let expected = part.len();
        if bytes.len() as u64 != expected {
            return bad(format!(
                "{} bytes came from byte {} on, but the manifest says that there are {expected}",
                bytes.len(),
                part.bytes.start
            ));
        }
        let whole = part.bytes == (0..part.segment.bytes);
        if let Some(crc) = crc_of_name(name).filter(|_| whole) {
            let found = crc32fast::hash(&bytes);
            if found != crc {
                return bad(format!(
                    "it is damaged: its CRC-32 is {found:08x}, not that in its name"
                ));
            }
        }
        let Some(manifest) = &self.manifest else { return bad("there is no manifest".to_owned()) };
        let database = manifest.identity.database;
        let reader = SegmentReader::new(name, database, part.bytes.start, bytes)?;
        Ok(Reading { part, reader, last: None })
    }

    /// Reads a line; `None` also where it is no entry, or the part has come to its end.
    fn read_on(&mut self, mut reading: Reading) -> Result<Option<LogEntry>, Trouble> {
        let segment = &reading.part.segment;
        let line = reading.reader.next_line()?;
        if line.is_none() {
            let ends = reading.part.bytes.end == segment.bytes;
            return match ends && reading.last != Some(segment.last) {
                false => Ok(None),
                true => Err(reading.reader.bad("it ends before the manifest says it does").into()),
            };
        }
        let first = reading.last.is_none() && reading.part.bytes.start == 0;
        let identity = self.manifest.as_ref().map(|manifest| manifest.identity);
        let fits = match &line {
            Some(Line::Start(start)) => {
                first && Some(start.identity) == identity && start.base.position == segment.after
            }
            Some(Line::Entry(entry)) => {
                let follows = match reading.last {
                    Some(last) => last.next() == entry.position,
                    None if first => segment.after.next() == entry.position,
                    None => segment.after < entry.position,
                };
                reading.last = Some(entry.position);
                follows && entry.position <= segment.last
            }
            _ => true,
        };
        if !fits {
            return Err(reading.reader.bad("it is not what the manifest says is there").into());
        }
        self.reading = Some(reading);
        match line {
            Some(Line::Entry(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// Gives a changeset, or leaves it out, or finds that its origin was forked.
    fn consider(&mut self, entry: LogEntry) -> Option<Changeset> {
        let (header, digest) = (entry.changeset.header(), entry.changeset.digest());
        let tip = Tip { sequence: header.sequence, digest };
        let origin = header.origin;
        if let Some(Want::After(last)) = self.wants.get(&origin) {
            if last.is_some_and(|last| tip.sequence <= last.sequence) {
                return None;
            }
            let follows = match last {
                None => tip.sequence == Sequence::FIRST,
                Some(last) => {
                    header.previous == Some(last.digest) && last.sequence.next() == tip.sequence
                }
            };
            if !follows {
                // Sequences do not tell what is known of it: from the beginning, all of it.
                self.forked.insert(origin);
                if let Some(manifest) = self.manifest.take() {
                    self.plan(manifest, false);
                }
                return None;
            }
            self.wants.insert(origin, Want::After(Some(tip)));
            self.given.insert(origin, tip);
        }
        self.furthest = self.furthest.max(entry.position);
        Some(entry.changeset)
    }
}

async fn fetch_part<F: Fetch>(fetch: &F, part: &Part) -> Result<Vec<u8>, FetchError> {
    let Part { segment, bytes, fresh } = part;
    check_name(&segment.name)?;
    if part.len() > MOST_BYTES {
        let why = format!("it has {} bytes, and more than {MOST_BYTES} are not read", part.len());
        return Err(FetchError::invalid(&segment.name, why));
    }
    let whole = *bytes == (0..segment.bytes) && is_compressed(&segment.name);
    let request = Request::new(&segment.name, segment.bytes).fresh(*fresh);
    let request = if whole { request } else { request.range(bytes.clone()) };
    match fetch.fetch(&request).await? {
        Response::Content { bytes, .. } => Ok(bytes),
        Response::Unchanged => {
            Err(FetchError::invalid(&segment.name, "it is unchanged, but nobody had it"))
        }
    }
}

//! Reading the log: by position, by record, by origin and by digest.

use prophet_store::{
    Authorship, DatabaseId, Digest, Direction, HistoryScan, LogEntry, LogScan, OriginCursor,
    OriginScan, Page, PageBuilder, Position, Read, Sequence, StoreError,
};
use rusqlite::{Connection, Params};

use crate::apply;
use crate::entry::{Reader, select_entries};
use crate::error::{damaged, sql};
use crate::head;

const LOG_FORWARD: &str =
    concat!(select_entries!("l.position", "log l"), "WHERE l.position > ?1 ORDER BY l.position");
const LOG_BACKWARD: &str = concat!(
    select_entries!("l.position", "log l"),
    "WHERE l.position < ?1 ORDER BY l.position DESC"
);

macro_rules! history {
    ($beyond:literal) => {
        concat!(
            select_entries!("h.position", "history h LEFT JOIN log l ON l.position = h.position"),
            "WHERE h.record = (SELECT r.id FROM record r WHERE r.type = ",
            "(SELECT t.id FROM record_type t WHERE t.name = ?1) AND r.uuid = ?2) AND h.position ",
            $beyond
        )
    };
}
const HISTORY_FORWARD: &str = history!("> ?3 ORDER BY h.position");
const HISTORY_BACKWARD: &str = history!("< ?3 ORDER BY h.position DESC");
/// The column of the position that the history names, whether the log has it or not.
const HISTORY_POSITION: usize = 14;

macro_rules! authored {
    ($range:literal) => {
        concat!(
            "SELECT l.sequence, l.digest, l.position, l.checksum FROM log l WHERE l.origin = ",
            "(SELECT o.id FROM origin o WHERE o.uuid = ?1) AND ",
            $range
        )
    };
}
const ORIGIN_FORWARD: &str = authored!(
    "l.sequence BETWEEN ?2 AND ?3 AND (l.sequence > ?2 OR l.digest > ?4) \
     ORDER BY l.sequence, l.digest"
);
const ORIGIN_BACKWARD: &str = authored!(
    "l.sequence BETWEEN ?2 AND ?3 AND (l.sequence < ?3 OR l.digest < ?4) \
     ORDER BY l.sequence DESC, l.digest DESC"
);

/// Where a scan of positions begins: beyond what cursor. Positions never get to the last `i64`.
fn start(after: Option<Position>, direction: Direction) -> i64 {
    match (after, direction) {
        (Some(after), _) => i64::try_from(after.get()).unwrap_or(i64::MAX),
        (None, Direction::Forward) => 0,
        (None, Direction::Backward) => i64::MAX,
    }
}

/// What reading entries needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) place: &'a str,
    pub(crate) database: DatabaseId,
}

impl Source<'_> {
    pub(crate) fn scan(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        let Self { conn, place, .. } = *self;
        head::pinned(conn, place, |at| {
            let after = start(scan.after, scan.direction).cast_unsigned();
            // Positions have no gaps, so each row can be checked to be the one that comes next.
            let last = at.position.get();
            let mut expected = match scan.direction {
                Direction::Forward => after.saturating_add(1),
                Direction::Backward => after.saturating_sub(1).min(last),
            };
            let statement = match scan.direction {
                Direction::Forward => LOG_FORWARD,
                Direction::Backward => LOG_BACKWARD,
            };
            let failed = sql(place, "scanning the log");
            let mut statement = conn.prepare_cached(statement).map_err(&failed)?;
            let mut rows = statement.query([after.cast_signed()]).map_err(&failed)?;
            let mut page = PageBuilder::new(scan.limit, at);
            let mut entries = Reader::new(conn, place, self.database);
            while let Some(row) = rows.next().map_err(&failed)? {
                if page.is_full() {
                    return Ok(page.unfinished());
                }
                if scan.direction == Direction::Forward && expected > last {
                    let what = format_args!("log entry {expected}");
                    return Err(damaged(place, what, "the head does not know it"));
                }
                let position = Position::new(expected);
                push(&mut page, entries.read(position, row)?);
                expected = match scan.direction {
                    Direction::Forward => expected.saturating_add(1),
                    Direction::Backward => expected.saturating_sub(1),
                };
            }
            let complete = match scan.direction {
                Direction::Forward => expected > last,
                Direction::Backward => expected == 0,
            };
            match complete {
                true => Ok(page.finished()),
                false => Err(damaged(place, format_args!("log entry {expected}"), "it is missing")),
            }
        })
    }

    pub(crate) fn history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        let Self { conn, place, .. } = *self;
        head::pinned(conn, place, |at| {
            let statement = match scan.direction {
                Direction::Forward => HISTORY_FORWARD,
                Direction::Backward => HISTORY_BACKWARD,
            };
            let columns = (
                scan.record.record_type().as_str(),
                *scan.record.id().as_bytes(),
                start(scan.after, scan.direction),
            );
            let failed = sql(place, "scanning the history of a record");
            let mut statement = conn.prepare_cached(statement).map_err(&failed)?;
            let mut rows = statement.query(columns).map_err(&failed)?;
            let mut page = PageBuilder::new(scan.limit, at);
            let mut entries = Reader::new(conn, place, self.database);
            while let Some(row) = rows.next().map_err(&failed)? {
                if page.is_full() {
                    return Ok(page.unfinished());
                }
                let position: i64 = row.get(HISTORY_POSITION).map_err(&failed)?;
                let position = Position::new(position.cast_unsigned());
                let entry = entries.read(position, row)?;
                if !entry.records().contains(&scan.record) {
                    let what = format!("the history of {}", scan.record);
                    let why = format!("entry {position} does not touch it");
                    return Err(damaged(place, what, why));
                }
                push(&mut page, entry);
            }
            Ok(page.finished())
        })
    }

    pub(crate) fn origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        head::pinned(self.conn, self.place, |at| {
            let mut page = PageBuilder::new(scan.limit, at);
            for range in ranges(scan) {
                let origin = scan.origin.as_bytes();
                let Range { low, high, digest } = range;
                let columns = (origin, low, high, digest);
                let full = match scan.direction {
                    Direction::Forward => self.authored(ORIGIN_FORWARD, scan, columns, &mut page),
                    Direction::Backward => self.authored(ORIGIN_BACKWARD, scan, columns, &mut page),
                }?;
                if full {
                    return Ok(page.unfinished());
                }
            }
            Ok(page.finished())
        })
    }

    /// Fills the page; whether it was full with more to come.
    fn authored(
        &self,
        statement: &str,
        scan: &OriginScan,
        columns: impl Params,
        page: &mut PageBuilder<Authorship, OriginCursor>,
    ) -> Result<bool, StoreError> {
        let failed = sql(self.place, "scanning what an origin authored");
        let mut statement = self.conn.prepare_cached(statement).map_err(&failed)?;
        let mut rows = statement.query(columns).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            if page.is_full() {
                return Ok(true);
            }
            let sequence: i64 = row.get(0).map_err(&failed)?;
            let digest = Digest::from_bytes(row.get(1).map_err(&failed)?);
            let position: i64 = row.get(2).map_err(&failed)?;
            let found: i64 = row.get(3).map_err(&failed)?;
            let origin = *scan.origin.as_bytes();
            if found != apply::checksum(origin, sequence.cast_unsigned(), &digest, position) {
                let what = format_args!("log entry {position}");
                return Err(damaged(self.place, what, "its checksum is wrong"));
            }
            let Some(sequence) = Sequence::new(sequence.cast_unsigned()) else {
                let what = format_args!("log entry {position}");
                return Err(damaged(self.place, what, "it has sequence number 0"));
            };
            let position = Position::new(position.cast_unsigned());
            page.push(Authorship { sequence, digest, position }, (sequence, digest), 64);
        }
        Ok(false)
    }

    pub(crate) fn find(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        head::pinned(self.conn, self.place, |at| {
            let found = digests.iter().map(|digest| {
                apply::find(self.conn, digest).map_err(sql(self.place, "looking for a changeset"))
            });
            Ok(Read { value: found.collect::<Result<_, _>>()?, at })
        })
    }
}

fn push(page: &mut PageBuilder<LogEntry, Position>, entry: LogEntry) {
    let (position, bytes) = (entry.position, entry.changeset.payload_bytes().len() + 256);
    page.push(entry, position, bytes);
}

/// Sequences as they are stored, both ends included; at the end that the scan begins at, only
/// what is beyond the digest.
struct Range {
    low: i64,
    high: i64,
    digest: Vec<u8>,
}

/// Sequences above `i64::MAX` are stored as negative numbers, so the order of `u64` is that of the
/// numbers from zero up, followed by that of the negative ones.
fn ranges(scan: &OriginScan) -> Vec<Range> {
    const LOW: (i64, i64) = (0, i64::MAX);
    const HIGH: (i64, i64) = (i64::MIN, -1);
    let forward = scan.direction == Direction::Forward;
    let after = scan
        .after
        .map(|(sequence, digest)| (sequence.get().cast_signed(), digest.as_bytes().to_vec()));
    let halves = match (forward, after.as_ref().map(|(sequence, _)| *sequence < 0)) {
        (true, None | Some(false)) => vec![LOW, HIGH],
        (true, Some(true)) => vec![HIGH],
        (false, None | Some(true)) => vec![HIGH, LOW],
        (false, Some(false)) => vec![LOW],
    };
    // Below and above every digest: an empty one sorts first, one of 33 bytes of ones last.
    let everything = || if forward { Vec::new() } else { vec![0xFF; 33] };
    let mut after = after;
    let range = |(low, high)| match (after.take(), forward) {
        (Some((sequence, digest)), true) => Range { low: sequence, high, digest },
        (Some((sequence, digest)), false) => Range { low, high: sequence, digest },
        (None, _) => Range { low, high, digest: everything() },
    };
    halves.into_iter().map(range).collect()
}

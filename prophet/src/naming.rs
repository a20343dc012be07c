//! What people call records, changesets and positions.

use futures_lite::StreamExt as _;
use prophet_store::{
    Digest, Direction, LogEntry, PageLimit, Position, RecordId, RecordKey, RecordScan, RecordState,
    RecordType, Replica, ReplicaStoreExt as _,
};
use uuid::Uuid;

use crate::failure::Failure;
use crate::{Result, context};

/// So many of the records that a prefix may mean are listed.
const CANDIDATES: usize = 10;

/// The record that a luid, an id, or the beginning of an id means, deleted ones too.
pub(crate) async fn record(replica: &Replica, text: &str) -> Result<RecordKey> {
    if let Some(luid) = luid(text)? {
        return Ok(replica.by_luid(luid).await?);
    }
    let (record_type, prefix) = match text.rsplit_once('/') {
        Some((record_type, prefix)) => (Some(RecordType::new(record_type)?), prefix),
        None => (None, text),
    };
    let Some((low, high)) = range(prefix) else {
        return Err(Failure::usage(format!(
            "{text:?} names no record; use its number (12 or '#12') or the beginning of its id \
             (018f2d or bug/018f2d)"
        )));
    };
    let mut found = Vec::new();
    match record_type {
        Some(record_type) => within(replica, &record_type, low, high, &mut found).await?,
        None => {
            let mut after = None;
            while let Some(record_type) = next_type(replica, after).await? {
                if !record_type.is_reserved() {
                    within(replica, &record_type, low, high, &mut found).await?;
                }
                after = Some(RecordKey::new(record_type, Uuid::max().into()));
            }
        }
    }
    match found.as_slice() {
        [] => Err(Failure::not_found(format!(
            "there is no record {text} in this replica; `prophet list` shows those there are, and \
             those of others come with `prophet pull`"
        ))),
        [only] => Ok(only.clone()),
        several => {
            let mut message = format!("{text} may be any of these records; add to it:");
            for key in several.iter().take(CANDIDATES) {
                let label = context::label(replica, key).await?;
                message.push_str(&format!("\n  {key}  ({label})"));
            }
            if several.len() > CANDIDATES {
                message.push_str("\n  and others");
            }
            Err(Failure::usage(message))
        }
    }
}

/// The luid that a text means, if it means one: digits that do not begin with 0, as ids often do.
fn luid(text: &str) -> Result<Option<u64>> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let meant = text.starts_with('#') || !digits.starts_with('0');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(luid) if meant && is_number => Ok(Some(luid)),
        _ if text.starts_with('#') => {
            Err(Failure::usage(format!("{text:?} is no number; write '#12' or 12")))
        }
        // As long as an id is, and of digits only.
        _ => Ok(None),
    }
}

/// The first and the last id that begins so.
fn range(prefix: &str) -> Option<(RecordId, RecordId)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    let fits = (1..=32).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let ends = |fill: &str| {
        let filled = format!("{digits}{}", fill.repeat(32 - digits.len()));
        u128::from_str_radix(&filled, 16).ok().map(|id| Uuid::from_u128(id).into())
    };
    if fits { Some((ends("0")?, ends("f")?)) } else { None }
}

/// Adds the records of a type whose ids are from `low` to `high`, up to one more than are listed.
async fn within(
    replica: &Replica,
    record_type: &RecordType,
    low: RecordId,
    high: RecordId,
    found: &mut Vec<RecordKey>,
) -> Result<()> {
    let before = low.uuid().as_u128().checked_sub(1);
    let scan = RecordScan {
        record_type: Some(record_type.clone()),
        after: before.map(|id| RecordKey::new(record_type.clone(), Uuid::from_u128(id).into())),
        limit: PageLimit::items(CANDIDATES + 1),
        ..RecordScan::default()
    };
    let mut states = replica.store().stream_records(scan);
    while let Some(state) = states.next().await {
        let key = RecordState::key(&state?).clone();
        if key.id() > high || found.len() > CANDIDATES {
            break;
        }
        found.push(key);
    }
    Ok(())
}

/// The type of the first record after this one.
async fn next_type(replica: &Replica, after: Option<RecordKey>) -> Result<Option<RecordType>> {
    let scan = RecordScan { after, limit: PageLimit::items(1), ..RecordScan::default() };
    let page = replica.store().scan_records(&scan).await?;
    Ok(page.items.first().map(|state| state.key().record_type().clone()))
}

/// A number of so many digits is a position and not the beginning of a digest.
const POSITION_DIGITS: usize = 10;

/// The log entry at a position, or of the changeset whose digest begins so.
pub(crate) async fn entry(replica: &Replica, text: &str) -> Result<LogEntry> {
    let last = replica.head().await?.position;
    if let Some(position) = as_position(text) {
        if position > last || position == Position::ZERO {
            return Err(Failure::not_found(format!(
                "there is no changeset at position {position}: the log goes from 1 to {last}; \
                 `prophet log` shows it"
            )));
        }
        let mut entries = replica.log(Some(Position::new(position.get() - 1)), Direction::Forward);
        if let Some(entry) = entries.next().await {
            return Ok(entry?);
        }
    }
    if let Ok(digest) = text.parse::<Digest>() {
        return Ok(replica.changeset(digest).await?);
    }
    if text.len() < 4 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "{text:?} names no changeset; use its position in the log, or at least 4 digits of its \
             digest, which `prophet log` shows"
        )));
    }
    let wanted = text.to_ascii_lowercase();
    let mut found: Option<LogEntry> = None;
    let mut entries = replica.log(None, Direction::Backward);
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if !entry.changeset.digest().to_string().starts_with(&wanted) {
            continue;
        }
        if let Some(found) = &found {
            return Err(Failure::usage(format!(
                "{text} may be changeset {} at position {} or {} at {}; add to it",
                found.changeset.digest(),
                found.position,
                entry.changeset.digest(),
                entry.position
            )));
        }
        found = Some(entry);
    }
    found.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no changeset {text} in this replica; `prophet log` shows those there are"
        ))
    })
}

/// A position of the log, by its number or by the changeset there; 0 is before the first.
pub(crate) async fn position(replica: &Replica, text: &str) -> Result<Position> {
    match as_position(text) {
        Some(position) => Ok(position),
        None => Ok(entry(replica, text).await?.position),
    }
}

fn as_position(text: &str) -> Option<Position> {
    let is_number = text.len() <= POSITION_DIGITS && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Position::new)
}

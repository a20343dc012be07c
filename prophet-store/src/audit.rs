//! The audit: the log replayed and compared with what the store holds.

use futures_lite::StreamExt as _;

use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::id::Position;
use crate::integrate::integrate_change;
use crate::log::{Adjustment, LogEntry};
use crate::record::RecordState;
use crate::store::{
    Direction, HistoryScan, LogScan, PageLimit, RecordScan, ReplicaStore, Verification,
};
use crate::vector::VersionVector;
use crate::visible::Visible;

/// What [`ReplicaStoreExt::audit`](crate::ReplicaStoreExt::audit) says.
pub(crate) async fn audit<S: ReplicaStore + ?Sized>(store: &S) -> Result<Verification, Error> {
    let mut report = Verification::default();
    let end = store.head().await?.position;
    let touches = audit_log(store, end, &mut report).await?;
    let folded = audit_records(store, end, &mut report).await?;
    if touches != folded {
        report.problems.push(format!(
            "the log touches records {touches} times, but the histories of the records hold \
             {folded} entries"
        ));
    }
    Ok(report)
}

/// Checks every entry by itself and its chain; counts how often entries touch records.
async fn audit_log<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<u64, Error> {
    let database = store.facts().identity.database;
    let mut seen = VersionVector::new();
    let mut touches = 0;
    let mut last = Position::ZERO;
    let mut entries = store.stream_log(LogScan::default());
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if entry.position > end {
            break;
        }
        let (position, header) = (entry.position, entry.changeset.header());
        let mut problem = |what: String| {
            report.problems.push(format!("log entry at position {position}: {what}"));
        };
        if position != last.next() {
            problem(format!("it follows position {last}"));
        }
        last = position;
        if header.database != database {
            problem(format!("it is of another database, {}", header.database));
        }
        let before: Vec<_> = header.previous.iter().chain(&header.parents).copied().collect();
        let found = store.find_changesets(&before).await?.value;
        for (digest, found) in before.iter().zip(&found) {
            if found.is_none_or(|found| found >= position) {
                problem(format!("it builds on changeset {digest}, which does not come before it"));
            }
        }
        let digest = entry.changeset.digest();
        if let Err(gap) = seen.advance(header, digest) {
            problem(gap.to_string());
        }
        touches += entry.records().len() as u64;
        report.entries += 1;
    }
    if last != end {
        report.problems.push(format!("the log ends at position {last}, not at {end}"));
    }
    Ok(touches)
}

/// Folds the history of every record and compares; counts the entries of all histories.
async fn audit_records<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<u64, Error> {
    let mut folded = 0;
    let mut records = store.stream_records(RecordScan::default());
    while let Some(state) = records.next().await {
        let state = state?;
        let key = state.key().clone();
        let mut problem = |what: String| report.problems.push(format!("record {key}: {what}"));
        let mut fold = RecordState::new(key.clone());
        let mut visible = Visible::NEVER;
        let scan = HistoryScan {
            record: key.clone(),
            after: None,
            direction: Direction::Forward,
            limit: PageLimit::default(),
        };
        let mut history = store.stream_history(scan);
        while let Some(entry) = history.next().await {
            let entry = entry?;
            // The record may have been read later than the end, and its history later still.
            if entry.position > state.changed().max(end) {
                break;
            }
            folded += u64::from(entry.position <= end);
            refold(&entry, &mut fold, &mut visible, &mut problem);
        }
        report.records += 1;
        if fold != state {
            problem("its state is not the fold of its history".to_owned());
        }
    }
    Ok(folded)
}

/// Integrates `entry` again, as far as it concerns the record of `state`, and compares.
fn refold(
    entry: &LogEntry,
    state: &mut RecordState,
    visible: &mut Visible,
    problem: &mut impl FnMut(String),
) {
    let position = entry.position;
    let key = &state.key().clone();
    let of_key = |adjustments: &[Adjustment]| -> Vec<_> {
        adjustments.iter().filter(|adjustment| adjustment.record == *key).cloned().collect()
    };
    let mut changes = entry.changeset.changes().iter();
    let again = changes
        .find(|change| change.record == *key)
        .map(|change| integrate_change(position, &entry.changeset, change, state))
        .unwrap_or_default();
    if again != (of_key(&entry.nullify), of_key(&entry.settle)) {
        problem(format!("what the entry at position {position} did to it is not what it does"));
    }
    let before = visible.clone();
    let mut back = visible.clone();
    let walked = visible.forward(entry, key).and_then(|()| {
        back.clone_from(visible);
        back.backward(entry, key)
    });
    match walked {
        Err(unclean) => problem(unclean.to_string()),
        Ok(()) if back != before => problem(format!("position {position} cannot be walked back")),
        Ok(()) => {}
    }
    if Visible::of(state) != *visible {
        problem(format!("after position {position} it is not what the log says"));
    }
}

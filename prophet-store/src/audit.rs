//! The audit: the log replayed and compared with what the store holds.

use std::collections::BTreeSet;

use futures_lite::StreamExt as _;

use crate::error::Error;
use crate::ext::{ReplicaStoreExt as _, entry_of};
use crate::id::Position;
use crate::integrate::integrate_record;
use crate::log::{Adjustment, LogEntry};
use crate::record::RecordState;
use crate::replica::{CONTESTED, contested_key, seen};
use crate::resolution::Resolution;
use crate::store::{
    Direction, HistoryScan, LogScan, MetadataKey, MetadataScan, PageLimit, RecordScan,
    ReplicaStore, ResolutionScan, Verification,
};
use crate::vector::VersionVector;
use crate::visible::Visible;

/// What [`ReplicaStoreExt::audit`](crate::ReplicaStoreExt::audit) says.
pub(crate) async fn audit<S: ReplicaStore + ?Sized>(store: &S) -> Result<Verification, Error> {
    let mut report = Verification::default();
    let noted = seen(store).await?;
    let end = noted.at.position;
    let audited = audit_log(store, end, &mut report).await?;
    if audited.seen != noted.vector {
        report.problems.push(
            "the version vector that is noted is not what the log holds: peers would be given too \
             much or too little"
                .to_owned(),
        );
    }
    let (folded, contested) = audit_records(store, end, &mut report).await?;
    let resolutions = audit_resolutions(store, &mut report).await?;
    let listed = store
        .stream_metadata(MetadataScan { prefix: CONTESTED.to_owned(), ..MetadataScan::default() });
    let listed: Vec<_> = listed.map(|listed| listed.map(|(key, _)| key)).try_collect().await?;
    // What others committed meanwhile may be in these.
    if store.head().await? == noted.at {
        if resolutions != audited.votes {
            report.problems.push(format!(
                "the log has {} votes, but the resolution database {resolutions}",
                audited.votes
            ));
        }
        if listed != contested.into_iter().collect::<Vec<_>>() {
            report
                .problems
                .push("the records listed as contested are not those that are".to_owned());
        }
    }
    let touches = audited.touches;
    if touches != folded {
        report.problems.push(format!(
            "the log touches records {touches} times, but the histories of the records hold \
             {folded} entries"
        ));
    }
    Ok(report)
}

/// What the log comes to.
struct Audited {
    seen: VersionVector,
    /// How often entries touch records.
    touches: u64,
    votes: u64,
}

/// Checks every entry by itself and its chain.
async fn audit_log<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<Audited, Error> {
    let database = store.facts().identity.database;
    let mut seen = VersionVector::new();
    let (mut touches, mut votes) = (0, 0);
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
        votes += entry.changeset.payload().votes().len() as u64;
        report.entries += 1;
    }
    if last != end {
        report.problems.push(format!("the log ends at position {last}, not at {end}"));
    }
    Ok(Audited { seen, touches, votes })
}

/// Checks that every resolution is what its changeset says; counts them.
async fn audit_resolutions<S: ReplicaStore + ?Sized>(
    store: &S,
    report: &mut Verification,
) -> Result<u64, Error> {
    let mut resolutions = store.stream_resolutions(ResolutionScan::default());
    while let Some(resolution) = resolutions.next().await {
        let resolution = resolution?;
        let digest = resolution.changeset;
        let entry = entry_of(store, digest).await?;
        let mut cast = entry.iter().flat_map(|entry| Resolution::of(&entry.changeset));
        if !cast.any(|cast| cast == resolution) {
            let conflict = resolution.conflict();
            report.problems.push(format!(
                "resolution of conflict {conflict}: changeset {digest} does not say so"
            ));
        }
        report.resolutions += 1;
    }
    Ok(report.resolutions)
}

/// Folds the history of every record and compares; counts the entries of all histories, and gives
/// the keys under which contested records are listed.
async fn audit_records<S: ReplicaStore + ?Sized>(
    store: &S,
    end: Position,
    report: &mut Verification,
) -> Result<(u64, BTreeSet<MetadataKey>), Error> {
    let (mut folded, mut contested) = (0, BTreeSet::new());
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
        if state.is_contested() {
            contested.insert(contested_key(&key)?);
        }
        if fold != state {
            problem("its state is not the fold of its history".to_owned());
        }
    }
    Ok((folded, contested))
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
    let again = integrate_record(position, &entry.changeset, state);
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

//! Time travel: the replica as it was at an earlier position of its log.

use futures_lite::{StreamExt as _, stream};

use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::id::Position;
use crate::name::RecordKey;
use crate::query::Query;
use crate::record::{Existence, RecordState};
use crate::replica::find::{count, select};
use crate::replica::{Record, Replica, Streamed};
use crate::store::{Direction, HistoryScan, PageLimit, RecordScan, ReplicaStore};
use crate::visible::Visible;

/// A replica as it was once the entry at a position of its log had been integrated; at
/// [`Position::ZERO`], as it was when it was created.
///
/// What is read is walked back from the present through the histories of the records, so it costs
/// as much as has happened to them since, and nothing for those that nothing happened to.
#[derive(Debug, Clone)]
pub struct AsOf {
    replica: Replica,
    position: Position,
}

impl Replica {
    /// The replica as it was at `position`.
    ///
    /// # Errors
    /// A position beyond the end of the log; what the store says.
    pub async fn as_of(&self, position: Position) -> Result<AsOf, Error> {
        let last = self.head().await?.position;
        if position > last {
            return Err(Error::NoSuchPosition { position, last });
        }
        Ok(AsOf::new(self, position))
    }
}

impl AsOf {
    pub(super) fn new(replica: &Replica, position: Position) -> Self {
        Self { replica: replica.clone(), position }
    }

    /// What was visible then of the record that `state` is now.
    pub(super) async fn visible(&self, state: &RecordState) -> Result<Visible, Error> {
        Ok(walk_back(&*self.replica.inner.store, state, self.position).await?.0)
    }

    /// The position.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The record as it was, unless there was none or it was deleted then.
    ///
    /// # Errors
    /// What the store says; a log that does not fit its records.
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Record>, Error> {
        let store = &*self.replica.inner.store;
        let read = store.get_records(std::slice::from_ref(key)).await?;
        match read.value.into_iter().next().flatten() {
            Some(state) => record_at(store, &state, self.position).await,
            None => Ok(None),
        }
    }

    /// The records that satisfied `query` then, in its order, as a stream. What was contested then
    /// cannot be asked for.
    pub fn find(&self, query: &Query) -> Streamed<'_, Record> {
        self.find_where(query, |_| true)
    }

    /// As [`find`](Self::find), of those of which `accept` is true too.
    pub fn find_where(
        &self,
        query: &Query,
        accept: impl Fn(&Record) -> bool + Send + Sync + 'static,
    ) -> Streamed<'_, Record> {
        if query.is_of_contested() {
            return Box::pin(stream::once(Err(Error::ContestedThen)));
        }
        let store = &*self.replica.inner.store;
        let scan =
            RecordScan { record_type: Some(query.record_type().clone()), ..RecordScan::default() };
        let records =
            stream::try_unfold(store.stream_records(scan), move |mut states| async move {
                while let Some(state) = states.next().await {
                    if let Some(record) = record_at(store, &state?, self.position).await? {
                        return Ok(Some((record, states)));
                    }
                }
                Ok(None)
            });
        select(query.clone(), Box::pin(records), accept)
    }

    /// How many records satisfied `query` then, whatever its limit and cursor.
    ///
    /// # Errors
    /// What the store says; a log that does not fit its records.
    pub async fn count(&self, query: &Query) -> Result<u64, Error> {
        count(self.find(&query.all())).await
    }
}

/// The record that `state` is now, as it was at `position`.
async fn record_at(
    store: &dyn ReplicaStore,
    state: &RecordState,
    position: Position,
) -> Result<Option<Record>, Error> {
    let (visible, changed) = walk_back(store, state, position).await?;
    Ok((visible.existence == Existence::Alive)
        .then(|| Record::new(state.key().clone(), changed, visible.properties)))
}

/// What was visible at `position` of the record that `state` is now, and since when.
async fn walk_back(
    store: &dyn ReplicaStore,
    state: &RecordState,
    position: Position,
) -> Result<(Visible, Position), Error> {
    let mut visible = Visible::of(state);
    let mut changed = state.changed();
    if changed > position {
        let scan = HistoryScan {
            record: state.key().clone(),
            // Entries that came after the state was read are not part of it.
            after: Some(changed.next()),
            direction: Direction::Backward,
            limit: PageLimit::default(),
        };
        let mut history = store.stream_history(scan);
        changed = Position::ZERO;
        while let Some(entry) = history.next().await {
            let entry = entry?;
            if entry.position <= position {
                changed = entry.position;
                break;
            }
            visible.backward(&entry, state.key())?;
        }
    }
    Ok((visible, changed))
}

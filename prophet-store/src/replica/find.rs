//! Finding records.

use std::collections::BinaryHeap;

use futures_lite::{StreamExt as _, stream};

use crate::error::Error;
use crate::ext::ReplicaStoreExt as _;
use crate::query::{Cursor, Predicate, Query};
use crate::replica::metadata::contested_prefix;
use crate::replica::{Record, Replica, Streamed};
use crate::store::{RecordCounts, RecordScan};

impl Replica {
    /// The records that satisfy `query`, in its order, as a stream. Those that are
    /// [contested](Query::contested) are found without looking at the others.
    ///
    /// Without an order they come by id, a page at a time, and memory stays flat however many
    /// there are. Ordered, as many are held as the limit says, or all if there is none. Pages of a
    /// long scan may be of different heads: each record is as it was when its page was read.
    ///
    /// ```
    /// use futures_lite::{StreamExt, future::block_on};
    /// use prophet_store::{Identity, MemoryStore, Properties, Query, Replica, Value, property};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
    ///     for age in [36, 41, 17] {
    ///         let person = Properties::try_from([("age", Value::from(age))])?;
    ///         replica.create("person", person).await?;
    ///     }
    ///     let adults = Query::of("person")?
    ///         .filter(property("age")?.ge(18))
    ///         .order_by("age", Default::default())?;
    ///     let ages: Vec<_> = replica
    ///         .find(&adults)
    ///         .map(|record| record.map(|record| record.get("age").and_then(Value::as_integer)))
    ///         .try_collect()
    ///         .await?;
    ///     assert_eq!(ages, [Some(36), Some(41)]);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn find(&self, query: &Query) -> Streamed<'_, Record> {
        self.find_where(query, |_| true)
    }

    /// As [`find`](Self::find), of those of which `accept` is true too. The limit counts what was
    /// accepted.
    pub fn find_where(
        &self,
        query: &Query,
        accept: impl Fn(&Record) -> bool + Send + Sync + 'static,
    ) -> Streamed<'_, Record> {
        let records = self.scan(query);
        select(query.clone(), records, accept)
    }

    /// The cursor of a record in the results of `query`: what [`Query::after`] goes on from.
    pub fn cursor(query: &Query, record: &Record) -> Cursor {
        query.cursor(record.key(), |name| record.properties().get(name))
    }

    /// How many records satisfy `query`, whatever its limit and cursor.
    ///
    /// # Errors
    /// What the store says.
    pub async fn count(&self, query: &Query) -> Result<u64, Error> {
        if query.predicate() == &Predicate::All && !query.is_of_contested() {
            let record_type = query.record_type();
            let counts = self.inner.store.count_records(Some(record_type)).await?.value;
            return Ok(counts.get(record_type).copied().unwrap_or(0));
        }
        count(self.find(&query.all())).await
    }

    /// The types of which there are records, and how many there are of each. Prophet's own are
    /// not among them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn record_types(&self) -> Result<RecordCounts, Error> {
        let mut counts = self.inner.store.count_records(None).await?.value;
        counts.retain(|record_type, _| !record_type.is_reserved());
        Ok(counts)
    }

    /// Existing records of the query's type that may satisfy it: the store may have left out
    /// some that do not.
    fn scan(&self, query: &Query) -> Streamed<'_, Record> {
        if query.is_of_contested() {
            // They are listed by id too, so a cursor is found by what the records say.
            let states = self.contested_states(contested_prefix(query.record_type()));
            return Box::pin(states.filter_map(|state| match state {
                Ok(state) => Record::of(&state).map(Ok),
                Err(error) => Some(Err(error)),
            }));
        }
        let hint = match query.predicate() {
            Predicate::All => None,
            predicate => Some(predicate.clone()),
        };
        let scan = RecordScan {
            record_type: Some(query.record_type().clone()),
            after: query.first_after(),
            hint,
            ..RecordScan::default()
        };
        let states = self.inner.store.stream_records(scan);
        Box::pin(states.filter_map(|state| match state {
            Ok(state) => Record::of(&state).map(Ok),
            Err(error) => Some(Err(error.into())),
        }))
    }
}

pub(super) async fn count(mut found: Streamed<'_, Record>) -> Result<u64, Error> {
    let mut count = 0;
    while let Some(record) = found.next().await {
        record?;
        count += 1;
    }
    Ok(count)
}

fn satisfies(record: &Record, predicate: &Predicate) -> bool {
    predicate.holds(&|name| record.properties().get(name))
}

/// What `query` selects of `records`, which come by id: filtered, ordered, limited.
pub(super) fn select<'a>(
    query: Query,
    records: Streamed<'a, Record>,
    accept: impl Fn(&Record) -> bool + Send + Sync + 'static,
) -> Streamed<'a, Record> {
    if !query.has_its_own_cursor() {
        return Box::pin(stream::once(Err(Error::CursorOfAnotherOrder)));
    }
    let most = query.most().map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let ordered = !query.order().is_empty();
    let chosen = {
        let query = query.clone();
        records.filter(move |record| {
            record.as_ref().map_or(true, |record| {
                satisfies(record, query.predicate())
                    && query.start().is_none_or(|start| {
                        query.compare(&Replica::cursor(&query, record), start).is_gt()
                    })
                    && accept(record)
            })
        })
    };
    if !ordered {
        return Box::pin(chosen.take(most));
    }
    let sorted = async move { sort(query, most, Box::pin(chosen)).await };
    Box::pin(stream::once_future(sorted).flat_map(|sorted| {
        let records: Vec<_> = match sorted {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(records)
    }))
}

/// A record at its place in the order of a query.
struct Placed<'a> {
    query: &'a Query,
    cursor: Cursor,
    record: Record,
}

impl Ord for Placed<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.query.compare(&self.cursor, &other.cursor)
    }
}

impl PartialOrd for Placed<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Placed<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Placed<'_> {}

/// The first `most` records in the order of the query; no more than that are ever held.
async fn sort(
    query: Query,
    most: usize,
    mut records: Streamed<'_, Record>,
) -> Result<Vec<Record>, Error> {
    let mut heap = BinaryHeap::new();
    while let Some(record) = records.next().await {
        let record = record?;
        let cursor = Replica::cursor(&query, &record);
        heap.push(Placed { query: &query, cursor, record });
        if heap.len() > most {
            heap.pop();
        }
    }
    Ok(heap.into_sorted_vec().into_iter().map(|placed| placed.record).collect())
}

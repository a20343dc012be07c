//! What is looked at: the replica as it is, or as it was.

use futures_lite::StreamExt as _;
use prophet_store::{AsOf, Predicate, Query, Record, RecordKey, Replica, Streamed};
use regex::Regex;

use crate::Result;

/// The replica as it is, or as it was at a position.
#[derive(Debug)]
pub(crate) enum View {
    Now(Replica),
    Then(AsOf),
}

/// What a record has to be beyond what a query says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beyond {
    /// One of these, if there are any.
    pub(crate) any: Vec<Predicate>,
    /// Some text in it matches.
    pub(crate) grep: Option<Regex>,
}

impl Beyond {
    fn accepts(&self, record: &Record) -> bool {
        self.grep.as_ref().is_none_or(|grep| {
            let mut texts = record.properties().values().filter_map(|value| value.as_text());
            texts.any(|text| grep.is_match(text))
        })
    }

    /// The query that says as much of this as a query can.
    pub(crate) fn within(&self, query: Query) -> Query {
        match self.any.iter().cloned().reduce(Predicate::or) {
            Some(any) => query.filter(any),
            None => query,
        }
    }
}

impl View {
    pub(crate) fn find(&self, query: &Query, beyond: Beyond) -> Streamed<'_, Record> {
        let query = beyond.within(query.clone());
        let accept = move |record: &Record| beyond.accepts(record);
        match self {
            Self::Now(replica) => replica.find_where(&query, accept),
            Self::Then(then) => then.find_where(&query, accept),
        }
    }

    /// How many there are, up to the limit of the query. Where every record of a type counts, none is
    /// decoded.
    pub(crate) async fn count(
        &self,
        query: &Query,
        limit: Option<u64>,
        beyond: Beyond,
    ) -> Result<u64> {
        if beyond.grep.is_none() {
            let query = beyond.within(query.clone());
            let count = match self {
                Self::Now(replica) => replica.count(&query).await?,
                Self::Then(then) => then.count(&query).await?,
            };
            return Ok(limit.map_or(count, |limit| count.min(limit)));
        }
        let (mut found, mut count) = (self.find(query, beyond), 0);
        while let Some(record) = found.next().await {
            record?;
            count += 1;
        }
        Ok(count)
    }

    pub(crate) async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(match self {
            Self::Now(replica) => replica.get(key).await?,
            Self::Then(then) => then.get(key).await?,
        })
    }
}

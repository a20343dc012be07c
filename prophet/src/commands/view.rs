//! What is looked at: the replica as it is, or as it was.

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

    pub(crate) async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(match self {
            Self::Now(replica) => replica.get(key).await?,
            Self::Then(then) => then.get(key).await?,
        })
    }
}

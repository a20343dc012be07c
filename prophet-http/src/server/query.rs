//! What a query string asks for.

use std::str::{FromStr, Utf8Error};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use percent_encoding::percent_decode_str;
use prophet_store::{Cursor, Direction, Position, Predicate, Query, RecordType};

use super::problem::Problem;

/// So many items are on a page unless the query says.
const USUAL: u64 = 100;
/// No page has more.
const MOST: u64 = 1_000;

/// No query has more conditions, nor more steps in its order: each record is held against them all.
const MOST_CONDITIONS: usize = 32;

/// The names and values of a form, or of a query string.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, Utf8Error> {
    // Else what is no text would be replaced by what is, without a word.
    percent_decode_str(text).decode_utf8()?;
    let pairs = form_urlencoded::parse(text.as_bytes());
    Ok(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

/// The parameters of a query string.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses a query string that may have these parameters. What is not known is refused, so that
    /// nobody takes a condition for heeded that is misspelt.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let params = pairs(query.unwrap_or_default()).map_err(|error| {
            Problem::malformed(format!("the parameters of the address, decoded, are {error}"))
        })?;
        match params.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) if known.is_empty() => Err(Problem::malformed(format!(
                "the address has the parameter {name:?}, but takes none"
            ))),
            Some((name, _)) => Err(Problem::malformed(format!(
                "the address has the parameter {name:?}, but takes {} only",
                known.join(", ")
            ))),
            None => Ok(Self(params)),
        }
    }

    /// All values of a parameter.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be given once.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::malformed(format!(
                "the address has the parameter {name:?} twice; leave one out"
            ))),
            (value, None) => Ok(value),
        }
    }

    /// A number, at most this.
    pub(super) fn number(&self, name: &str, most: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        // Digits and nothing else: not the sign that a number may have.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match u64::from_str(text).ok().filter(|number| digits && *number <= most) {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::malformed(format!(
                "the parameter {name} is {text:?}; it takes a whole number from 0 to {most}"
            ))),
        }
    }

    /// How many items are to be on a page.
    pub(super) fn limit(&self) -> Result<u64, Problem> {
        match self.number("limit", u64::MAX)?.unwrap_or(USUAL) {
            limit @ 1..=MOST => Ok(limit),
            limit => Err(Problem::malformed(format!(
                "the parameter limit is {limit}; it takes a whole number from 1 to {MOST}"
            ))),
        }
    }

    /// A position in the log.
    pub(super) fn position(&self, name: &str) -> Result<Option<Position>, Problem> {
        // Numbers of JSON are exact up to this, and no log is as long.
        Ok(self.number(name, (1 << 53) - 1)?.map(Position::new))
    }

    /// One of two words.
    fn either<T: Copy>(&self, name: &str, words: [(&str, T); 2]) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let [(one, _), (other, _)] = words;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meant)| Some(*meant)).ok_or_else(|| {
            Problem::malformed(format!(
                "the parameter {name} is {text:?}; it takes {one} or {other}"
            ))
        })
    }

    /// In which direction a log is to be read.
    pub(super) fn direction(&self) -> Result<Option<Direction>, Problem> {
        let words = [("oldest", Direction::Forward), ("newest", Direction::Backward)];
        self.either("first", words)
    }
}

/// What the parameters of a listing are called.
pub(super) const LISTING: &[&str] = &["where", "order", "contested", "limit", "cursor"];

/// The query that a query string stands for.
pub(super) fn query(record_type: RecordType, params: &Params) -> Result<Query, Problem> {
    let mut query = Query::of(record_type)?.limit(params.limit()?);
    for name in ["where", "order"] {
        if params.all(name).count() > MOST_CONDITIONS {
            return Err(Problem::malformed(format!(
                "the address has the parameter {name} more than {MOST_CONDITIONS} times; leave \
                 some out"
            )));
        }
    }
    for condition in params.all("where") {
        let predicate: Predicate =
            condition.parse().map_err(|error: <Predicate as FromStr>::Err| {
                Problem::malformed(format!("the parameter where: {error}"))
            })?;
        query = query.filter(predicate);
    }
    for order in params.all("order") {
        let (name, direction) = match order.rsplit_once(':') {
            Some((name, "asc")) => (name, Direction::Forward),
            Some((name, "desc")) => (name, Direction::Backward),
            Some((name, other)) => {
                return Err(Problem::malformed(format!(
                    "the parameter order is {order:?}, which ends with neither :asc nor :desc; if that \
                     is the name of a property, say {name}:{other}:asc"
                )));
            }
            None => (order, Direction::Forward),
        };
        query = query.order_by(name, direction)?;
    }
    if params.either("contested", [("true", true), ("false", false)])?.unwrap_or_default() {
        query = query.contested();
    }
    if let Some(text) = params.one("cursor")? {
        query = query.after(cursor(text)?);
    }
    Ok(query)
}

/// A cursor as text that needs no quoting in an address.
pub(super) fn cursor_text(cursor: &Cursor) -> String {
    // Values and names, which always are JSON.
    BASE64.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    BASE64.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(|| {
        Problem::malformed(
            "the parameter cursor is not one that this API gave; take \"next\" of the page before",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prophet_store::property;

    fn read(text: &str) -> Result<Query, Problem> {
        query("bug".parse().unwrap(), &Params::parse(Some(text), LISTING)?)
    }

    #[test]
    fn a_query_string_says_what_a_query_does() {
        let wanted = Query::of("bug")
            .unwrap()
            .limit(7)
            .filter(property("status").unwrap().eq("open"))
            .filter(property("rank").unwrap().ge(3))
            .order_by("rank", Direction::Backward)
            .unwrap()
            .order_by("a:b", Direction::Forward)
            .unwrap();
        let text = "where=status%3Dopen&where=rank>=3&order=rank:desc&order=a:b:asc&limit=7";
        assert_eq!(read(text), Ok(wanted));
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=+1",
            "limit=x",
            "limit=",
            "limit=1&limit=2",
            "wehre=a",
            "where=",
            "order=",
            "order=rank:down",
            "order=%ff",
            "where=title%3D%80",
            "contested=yes",
            "cursor=x",
            "cursor=e30",
            "where=a~(",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&["where=a"; 32].join("&")).is_ok());
        assert!(read(&["where=a"; 33].join("&")).is_err());
        assert!(read(&["order=a"; 33].join("&")).is_err());
    }
}

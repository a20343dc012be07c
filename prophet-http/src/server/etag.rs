//! Tags: what identifies the state of a record, and the conditions that requests put on it.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use prophet_store::{Digest, Record};

use super::problem::{Kind, Problem};

/// The tag of a record: the position of the last log entry that touched it, so that it never comes
/// back, and a digest of what it shows, so that a replica restored from a backup has other ones.
pub(super) fn of(record: &Record) -> String {
    // Properties always are JSON.
    let shown = serde_json::to_vec(record.properties()).unwrap_or_default();
    format!("\"{}-{:#}\"", record.changed(), Digest::of(&shown))
}

/// A tag as a header.
pub(super) fn header(tag: &str) -> HeaderValue {
    // Digits, quotation marks and hyphens, which always are a header.
    HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The conditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// Any state at all.
    Any,
    These(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotation marks.
    opaque: String,
}

impl Conditions {
    /// The conditions that the headers of a request put.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            matches: Tags::of(headers, &IF_MATCH)?,
            none_matches: Tags::of(headers, &IF_NONE_MATCH)?,
        })
    }

    /// Checks them for a write to a resource whose tag is this, `None` if it does not exist.
    pub(super) fn check(&self, what: &str, now: Option<&str>) -> Result<(), Problem> {
        if let Some(tags) = &self.matches
            && !now.is_some_and(|now| tags.strongly_match(now))
        {
            let state = now.map_or("it is not there".to_owned(), |now| format!("it is at {now}"));
            return Err(Problem::new(
                Kind::PreconditionFailed,
                format!(
                    "{what} is not in the state that If-Match names: {state}; nothing was written; \
                     read it again, and decide anew"
                ),
            ));
        }
        if let Some(tags) = &self.none_matches
            && now.is_some_and(|now| tags.weakly_match(now))
        {
            return Err(Problem::new(
                Kind::PreconditionFailed,
                format!(
                    "{what} is in a state that If-None-Match excludes; nothing was written; read \
                     it, or leave the condition out"
                ),
            ));
        }
        Ok(())
    }

    /// Checks them for a read: whether the client has this state already.
    pub(super) fn is_known(&self, what: &str, now: &str) -> Result<bool, Problem> {
        let only = Self { matches: self.matches.clone(), none_matches: None };
        only.check(what, Some(now))?;
        Ok(self.none_matches.as_ref().is_some_and(|tags| tags.weakly_match(now)))
    }
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let mut all = Vec::new();
        for value in headers.get_all(name) {
            let bad = || {
                Problem::malformed(format!(
                    "the header {name} is {value:?}; it takes an asterisk, or tags in quotation \
                     marks with commas between them"
                ))
            };
            let text = value.to_str().map_err(|_| bad())?;
            if text.trim() == "*" {
                return Ok(Some(Self::Any));
            }
            let mut rest = text.trim();
            if rest.is_empty() {
                return Err(bad());
            }
            while !rest.is_empty() {
                let (tag, after) = Tag::first(rest).ok_or_else(bad)?;
                all.push(tag);
                let after = after.trim_start();
                rest = match after.strip_prefix(',') {
                    Some(next) => next.trim_start(),
                    None if after.is_empty() => after,
                    None => return Err(bad()),
                };
            }
        }
        Ok((!all.is_empty()).then_some(Self::These(all)))
    }

    fn strongly_match(&self, now: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => {
                !now.starts_with("W/") && tags.iter().any(|tag| !tag.weak && tag.opaque == now)
            }
        }
    }

    fn weakly_match(&self, now: &str) -> bool {
        let now = now.strip_prefix("W/").unwrap_or(now);
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag.opaque == now),
        }
    }
}

impl Tag {
    /// The tag that a text begins with, and what comes after it.
    fn first(text: &str) -> Option<(Self, &str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        let (opaque, after) = quoted.split_at_checked(end)?;
        Some((Self { weak, opaque: opaque.to_owned() }, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: HeaderName, value: &str) -> Result<Conditions, Problem> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
        Conditions::of(&headers)
    }

    #[test]
    fn tags_are_compared_as_http_says() {
        let holds =
            |value| conditions(IF_MATCH, value).unwrap().check("it", Some("\"1-a\"")).is_ok();
        assert!(holds("\"1-a\"") && holds("\"x\" , \"1-a\"") && holds("*"));
        assert!(!holds("W/\"1-a\"") && !holds("\"1-b\""));
        let known =
            |value| conditions(IF_NONE_MATCH, value).unwrap().is_known("it", "\"1-a\"").unwrap();
        assert!(known("W/\"1-a\"") && known("\"1-a\"") && known("*"));
        assert!(!known("\"1-b\""));
    }

    #[test]
    fn what_does_not_exist_matches_nothing() {
        assert!(conditions(IF_MATCH, "*").unwrap().check("it", None).is_err());
        assert!(conditions(IF_NONE_MATCH, "*").unwrap().check("it", None).is_ok());
        assert!(conditions(IF_NONE_MATCH, "*").unwrap().check("it", Some("\"1-a\"")).is_err());
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for bad in ["", " ", "1-a", "\"1-a", "\"a\" \"b\"", "W/", "w/\"a\"", "\"a\",b", "*, \"a\""]
        {
            assert!(conditions(IF_MATCH, bad).is_err(), "{bad}");
        }
    }
}

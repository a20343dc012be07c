//! Conditions as people type them.

use std::str::FromStr;

use crate::name::{NameError, PropertyName};
use crate::query::{Comparison, InvalidPattern, Pattern, Predicate};
use crate::value::{Real, Value};

/// A text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCondition {
    /// A quotation that is not closed, or is followed by something.
    #[error(
        "the condition {given:?} has a \" that does not end it or the name; write \\\" for one that is meant, and put the operator after the closing one"
    )]
    #[non_exhaustive]
    Quotation {
        /// The condition as given.
        given: String,
    },
    /// No operator where one should be, or one after `!name`.
    #[error(
        "the condition {given:?} cannot be read; write name=value, or != < <= > >= ~ !~ in place of =, or the name alone, or !name"
    )]
    #[non_exhaustive]
    Operator {
        /// The condition as given.
        given: String,
    },
    /// More than one operator, or one that is none: `==`, `=>`, `:=`.
    #[error(
        "the condition {given:?} has more than an operator there: = takes numbers and texts alike; put a value that begins with = < > or ~, or a name that ends with :, into quotation marks"
    )]
    #[non_exhaustive]
    Operators {
        /// The condition as given.
        given: String,
    },
    /// What should be a property name is none.
    #[error("in the condition {given:?}: {why}")]
    #[non_exhaustive]
    Name {
        /// The condition as given.
        given: String,
        /// What is wrong with the name.
        why: NameError,
    },
    /// The pattern is not a regular expression.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
}

/// The comparisons, and the longer ones first.
const OPERATORS: [(&str, Operator); 8] = [
    ("!=", Operator::Compare(Comparison::Ne)),
    ("!~", Operator::Matches(false)),
    ("<=", Operator::Compare(Comparison::Le)),
    (">=", Operator::Compare(Comparison::Ge)),
    ("=", Operator::Compare(Comparison::Eq)),
    ("<", Operator::Compare(Comparison::Lt)),
    (">", Operator::Compare(Comparison::Gt)),
    ("~", Operator::Matches(true)),
];

#[derive(Clone, Copy)]
enum Operator {
    Compare(Comparison),
    /// Whether it is to match, or not to.
    Matches(bool),
}

/// Reads a condition on one property, as people type it at a prompt or in an address.
///
/// | | |
/// |---|---|
/// | `status=open` | equals |
/// | `status!=open` | is there, and does not equal |
/// | `priority<3`, `<=`, `>`, `>=` | compares so |
/// | `title~^CLI` | is a text in which the [`Pattern`] matches somewhere |
/// | `title!~^CLI` | is there, and no such text |
/// | `status` | is there |
/// | `!status` | is not there |
///
/// A value that reads as a whole number, a finite decimal one, `true` or `false` means that;
/// with `=` and `!=` the text of these letters too, so that nobody has to know which of the two
/// was stored. Everything else is text. Within quotation marks it is text whatever it is, as is a
/// name with an operator in it or a colon at its end; there `\"` and `\\` stand for `"` and `\`. Spaces around name,
/// operator and value do not count.
///
/// ```
/// use prophet_store::{Predicate, property};
///
/// assert_eq!("status = open".parse(), Ok(property("status")?.eq("open")));
/// assert_eq!("age >= 18".parse(), Ok(property("age")?.ge(18)));
/// assert_eq!(r#"zip = "01234""#.parse(), Ok(property("zip")?.eq("01234")));
/// assert_eq!("!owner".parse::<Predicate>(), Ok(!property("owner")?.exists()));
/// assert_eq!("zip = 10".parse(), Ok(property("zip")?.eq(10).or(property("zip")?.eq("10"))));
/// # Ok::<(), prophet_store::NameError>(())
/// ```
impl FromStr for Predicate {
    type Err = InvalidCondition;

    fn from_str(given: &str) -> Result<Self, InvalidCondition> {
        let text = given.trim();
        let (absent, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let (name, rest) = take_name(text, given)?;
        let property = PropertyName::new(name)
            .map_err(|why| InvalidCondition::Name { given: given.to_owned(), why })?;
        if rest.is_empty() {
            let exists = Self::Exists(property);
            return Ok(if absent { !exists } else { exists });
        }
        let found = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?.trim())));
        let (operator, value) = match found {
            Some(found) if !absent => found,
            _ => return Err(InvalidCondition::Operator { given: given.to_owned() }),
        };
        let quoted = text.starts_with('"');
        let is_assignment = rest.starts_with('=') && !quoted && property.as_str().ends_with(':');
        let is_doubled = value.starts_with(['=', '<', '>', '~']);
        if is_assignment || (is_doubled && matches!(operator, Operator::Compare(_))) {
            return Err(InvalidCondition::Operators { given: given.to_owned() });
        }
        match operator {
            Operator::Compare(is) => compare(property, is, value, given),
            Operator::Matches(wanted) => {
                let pattern = match take_quoted(value, given)? {
                    Some((pattern, "")) => Pattern::new(&pattern)?,
                    Some(_) => return Err(quotation(given)),
                    None => Pattern::new(value)?,
                };
                let matches = Self::Matches { property: property.clone(), pattern };
                Ok(if wanted { matches } else { Self::Exists(property).and(!matches) })
            }
        }
    }
}

/// The name that `text` begins with, and what comes after it.
fn take_name<'a>(text: &'a str, given: &str) -> Result<(String, &'a str), InvalidCondition> {
    if let Some((name, rest)) = take_quoted(text, given)? {
        return Ok((name, rest));
    }
    let end = text.find(['=', '<', '>', '~', '!']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    Ok((name.trim_end().to_owned(), rest))
}

/// What stands in quotation marks at the beginning of `text`, and what comes after it.
fn take_quoted<'a>(
    text: &'a str,
    given: &str,
) -> Result<Option<(String, &'a str)>, InvalidCondition> {
    let Some(quoted) = text.strip_prefix('"') else { return Ok(None) };
    let mut taken = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next() {
            Some('"') => return Ok(Some((taken, characters.as_str().trim_start()))),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => taken.push(escaped),
                _ => return Err(quotation(given)),
            },
            Some(other) => taken.push(other),
            None => return Err(quotation(given)),
        }
    }
}

fn quotation(given: &str) -> InvalidCondition {
    InvalidCondition::Quotation { given: given.to_owned() }
}

fn compare(
    property: PropertyName,
    is: Comparison,
    text: &str,
    given: &str,
) -> Result<Predicate, InvalidCondition> {
    let compare = |value| Predicate::Compare { property: property.clone(), is, value };
    let as_text = match take_quoted(text, given)? {
        Some((quoted, "")) => return Ok(compare(Value::Text(quoted))),
        Some(_) => return Err(quotation(given)),
        None => || Value::Text(text.to_owned()),
    };
    Ok(match (plain_value(text), is) {
        (None, _) => compare(as_text()),
        (Some(value), Comparison::Eq) => compare(value).or(compare(as_text())),
        (Some(value), Comparison::Ne) => compare(value).and(compare(as_text())),
        (Some(value), _) => compare(value),
    })
}

/// What `text` is if it is not merely text.
fn plain_value(text: &str) -> Option<Value> {
    if let Ok(truth) = text.parse() {
        return Some(Value::Boolean(truth));
    }
    if let Ok(integer) = text.parse() {
        return Some(Value::Integer(integer));
    }
    // Not what reads as infinite or not a number, nor words such as "inf".
    if !text.ends_with(|last: char| last.is_ascii_digit() || last == '.') {
        return None;
    }
    text.parse().ok().and_then(Real::new).map(Value::Real)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::query::property;

    fn parse(text: &str) -> Predicate {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_operator_means_what_it_says() {
        let status = || property("status").unwrap();
        for (text, expected) in [
            ("status=open", status().eq("open")),
            ("status!=open", status().ne("open")),
            ("status<open", status().lt("open")),
            ("status<=open", status().le("open")),
            ("status>open", status().gt("open")),
            ("status>=open", status().ge("open")),
            ("status~^o", status().matches("^o").unwrap()),
            ("status!~^o", status().exists().and(!status().matches("^o").unwrap())),
            ("status", status().exists()),
            ("!status", !status().exists()),
            ("  ! status ", !status().exists()),
            (" status  >=  open ", status().ge("open")),
            ("status=", status().eq("")),
            ("status=a=b<c", status().eq("a=b<c")),
            ("\"status\"=x", status().eq("x")),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("\"a=b\" = c"), property("a=b").unwrap().eq("c"));
    }

    #[test]
    fn numbers_and_truths_are_themselves_and_their_letters() {
        let size = || property("size").unwrap();
        let real = |number| Value::Real(Real::new(number).unwrap());
        for (text, expected) in [
            ("size=-3", size().eq(-3).or(size().eq("-3"))),
            ("size!=3", size().ne(3).and(size().ne("3"))),
            ("size<3", size().lt(3)),
            ("size>=2.5", size().ge(real(2.5))),
            ("size=1e3", size().eq(real(1000.0)).or(size().eq("1e3"))),
            ("size=true", size().eq(true).or(size().eq("true"))),
            ("size=\"3\"", size().eq("3")),
            ("size=1e999", size().eq("1e999")),
            ("size=inf", size().eq("inf")),
            ("size=NaN", size().eq("NaN")),
            ("size=2026-11-26", size().eq("2026-11-26")),
            (r#"size="a \"b\" \\""#, size().eq(r#"a "b" \"#)),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_and_named() {
        for (text, part) in [
            ("", "must not be empty"),
            ("=open", "must not be empty"),
            ("status!open", "cannot be read; write"),
            ("priority==3", "more than an operator"),
            ("priority=>3", "more than an operator"),
            ("priority<>3", "more than an operator"),
            ("done:=true", "more than an operator"),
            ("!status=open", "cannot be read; write"),
            ("status=\"open", "does not end it"),
            ("status=\"open\" now", "does not end it"),
            ("\"status=open", "does not end it"),
            ("\"status\" open", "cannot be read; write"),
            ("status~(", "not a usable regular expression"),
            ("status~\"a\"b", "does not end it"),
        ] {
            let error = text.parse::<Predicate>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

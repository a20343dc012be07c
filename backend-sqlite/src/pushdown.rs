//! Predicates as SQL over the JSON of the visible properties.
//!
//! SQLite leaves out records so that they need not be decoded. It must leave out none that
//! satisfies the predicate, and cannot judge all of them exactly: it rounds reals when it reads
//! them, it has no regular expressions, and values that JSON writes as objects look alike to it.
//! So every predicate is translated *upwards*, into a condition that is true wherever the
//! predicate is, or *downwards*, into one that is true nowhere else. A negation turns one into the
//! other, and what cannot be said is true upwards and false downwards.

use prophet_store::{Comparison, Predicate, PropertyName, Value};
use rusqlite::types::Value as Column;

/// More conditions than this are not worth handing over, and SQLite limits the depth of a
/// statement.
const MOST_LEAVES: usize = 100;
const MOST_NESTING: usize = 16;
/// Longer texts are not handed over either.
const MOST_BYTES: usize = 1 << 16;
/// How far off SQLite's reading of a real may be, as a fraction of it: generously.
const ROUNDING: f64 = 1e-12;

/// A condition on a row of `record`, and what is bound to its parameters.
pub(crate) struct Filter {
    /// `None` is true of every row.
    pub(crate) condition: Option<String>,
    /// There may be more than the condition came to need.
    pub(crate) parameters: Vec<Column>,
}

impl Filter {
    pub(crate) const ALL: Self = Self { condition: None, parameters: Vec::new() };
}

/// The filter for `hint`, whose parameters are numbered from `first`.
pub(crate) fn filter(hint: &Predicate, first: usize) -> Filter {
    let mut translation = Translation { first, parameters: Vec::new(), leaves: 0 };
    let condition = match translation.predicate(hint, Bound::Above, 0) {
        // The JSON of a record that is alive is left out where it would be too long.
        Sql::Condition(condition) => {
            Some(format!("(properties IS NULL AND existence = 1) OR {condition}"))
        }
        Sql::False => Some("properties IS NULL AND existence = 1".to_owned()),
        Sql::True => return Filter::ALL,
    };
    match translation.leaves > MOST_LEAVES {
        true => Filter::ALL,
        false => Filter { condition, parameters: translation.parameters },
    }
}

/// On which side of the predicate the condition has to be.
#[derive(Clone, Copy, PartialEq)]
enum Bound {
    /// True wherever the predicate is.
    Above,
    /// True only where the predicate is.
    Below,
}

impl Bound {
    const fn opposite(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// What stands for something that cannot be said.
    const fn unknown(self) -> Sql {
        match self {
            Self::Above => Sql::True,
            Self::Below => Sql::False,
        }
    }
}

enum Sql {
    True,
    False,
    /// In brackets, and never NULL.
    Condition(String),
}

impl Sql {
    fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Condition(condition) => Self::Condition(format!("(NOT {condition})")),
        }
    }
}

struct Translation {
    first: usize,
    parameters: Vec<Column>,
    leaves: usize,
}

/// A property in JSON: its type and its value, as SQL.
struct Property {
    kind: String,
    value: String,
    path: String,
}

impl Translation {
    fn bind(&mut self, column: Column) -> String {
        self.parameters.push(column);
        format!("?{}", self.first + self.parameters.len() - 1)
    }

    fn bind_text(&mut self, text: &str) -> String {
        self.bind(Column::Text(text.to_owned()))
    }

    fn predicate(&mut self, predicate: &Predicate, bound: Bound, depth: usize) -> Sql {
        if depth > MOST_NESTING || self.leaves > MOST_LEAVES {
            return bound.unknown();
        }
        let depth = depth + 1;
        match predicate {
            Predicate::All => Sql::True,
            Predicate::And(all) => self.joined(all, bound, depth, true),
            Predicate::Or(any) => self.joined(any, bound, depth, false),
            Predicate::Not(inner) => self.predicate(inner, bound.opposite(), depth).negated(),
            Predicate::Compare { property, is, value } => {
                self.leaf(property, bound, |this, found| this.compare(found, *is, value, bound))
            }
            Predicate::In { property, values } => self.leaf(property, bound, |this, found| {
                let mut any = Vec::new();
                for value in values {
                    this.leaves += 1;
                    if this.leaves > MOST_LEAVES {
                        return None;
                    }
                    let equal = this.compare(found, Comparison::Eq, value, bound);
                    any.push(equal.or((bound == Bound::Above).then(|| "1".to_owned()))?);
                }
                Some(if any.is_empty() { "0".to_owned() } else { any.join(" OR ") })
            }),
            Predicate::Exists(property) => {
                self.leaf(property, bound, |_, found| Some(format!("{} IS NOT NULL", found.kind)))
            }
            Predicate::Contains { property, value } => {
                self.leaf(property, bound, |this, found| this.contains(found, value, bound))
            }
            Predicate::StartsWith { property, prefix } => {
                self.leaf(property, bound, |this, found| this.starts_with(found, prefix))
            }
            Predicate::Matches { property, .. } => self.leaf(property, bound, |_, found| {
                (bound == Bound::Above).then(|| format!("{} = 'text'", found.kind))
            }),
            // What a later version of the query language adds.
            _ => bound.unknown(),
        }
    }

    fn joined(&mut self, parts: &[Predicate], bound: Bound, depth: usize, all: bool) -> Sql {
        let mut conditions = Vec::new();
        for part in parts {
            match (self.predicate(part, bound, depth), all) {
                (Sql::True, true) | (Sql::False, false) => {}
                (Sql::False, true) => return Sql::False,
                (Sql::True, false) => return Sql::True,
                (Sql::Condition(condition), _) => conditions.push(condition),
            }
        }
        match (conditions.is_empty(), all) {
            (true, true) => Sql::True,
            (true, false) => Sql::False,
            (false, true) => Sql::Condition(format!("({})", conditions.join(" AND "))),
            (false, false) => Sql::Condition(format!("({})", conditions.join(" OR "))),
        }
    }

    /// A condition on one property. It is NULL where there is no such property, and every
    /// condition is false there.
    fn leaf(
        &mut self,
        name: &PropertyName,
        bound: Bound,
        condition: impl FnOnce(&mut Self, &Property) -> Option<String>,
    ) -> Sql {
        self.leaves += 1;
        // How a path writes these is SQLite's secret.
        if name.as_str().contains(['"', '\\']) {
            return bound.unknown();
        }
        let path = self.bind_text(&format!("$.\"{name}\""));
        let found = Property {
            kind: format!("json_type(properties, {path})"),
            value: format!("json_extract(properties, {path})"),
            path,
        };
        match condition(self, &found) {
            Some(condition) => Sql::Condition(format!("coalesce({condition}, 0)")),
            None => bound.unknown(),
        }
    }

    fn compare(
        &mut self,
        found: &Property,
        is: Comparison,
        wanted: &Value,
        bound: Bound,
    ) -> Option<String> {
        let Property { kind, value, .. } = found;
        if is == Comparison::Ne {
            let equal = self.compare(found, Comparison::Eq, wanted, bound.opposite());
            let equal = equal.unwrap_or_else(|| match bound {
                Bound::Above => "0".to_owned(),
                Bound::Below => "1".to_owned(),
            });
            return Some(format!("{kind} IS NOT NULL AND NOT coalesce({equal}, 0)"));
        }
        match wanted {
            Value::Boolean(wanted) => {
                let holds = |found: bool| match is {
                    Comparison::Eq => found == *wanted,
                    Comparison::Ne => found != *wanted,
                    Comparison::Lt => !found & wanted,
                    Comparison::Le => found <= *wanted,
                    Comparison::Gt => found & !wanted,
                    Comparison::Ge => found >= *wanted,
                };
                Some(match (holds(false), holds(true)) {
                    (true, true) => format!("{kind} IN ('true', 'false')"),
                    (true, false) => format!("{kind} = 'false'"),
                    (false, true) => format!("{kind} = 'true'"),
                    (false, false) => "0".to_owned(),
                })
            }
            Value::Integer(wanted) => {
                Some(self.number(found, is, Column::Integer(*wanted), *wanted as f64, bound))
            }
            Value::Real(wanted) => {
                let wanted = wanted.get();
                Some(self.number(found, is, Column::Real(wanted), wanted, bound))
            }
            Value::Text(wanted) if wanted.len() <= MOST_BYTES => {
                let wanted = self.bind_text(wanted);
                Some(format!("({kind} = 'text' AND {value} {} {wanted})", operator(is)))
            }
            Value::Reference(wanted) if is == Comparison::Eq => {
                Some(self.tagged(found, "$reference", &wanted.to_string()))
            }
            // Bytes would have to be encoded as they are in JSON; and only equality could follow.
            Value::Bytes(_) | Value::Map(_) | Value::Reference(_) => {
                (bound == Bound::Above).then(|| format!("{kind} = 'object'"))
            }
            Value::List(_) => (bound == Bound::Above).then(|| format!("{kind} = 'array'")),
            Value::Text(_) => (bound == Bound::Above).then(|| format!("{kind} = 'text'")),
        }
    }

    /// Integers compare exactly, with reals too; reals that SQLite reads from text do not.
    fn number(
        &mut self,
        found: &Property,
        is: Comparison,
        exact: Column,
        about: f64,
        bound: Bound,
    ) -> String {
        let Property { kind, value, .. } = found;
        let exact = self.bind(exact);
        let integer = format!("({kind} = 'integer' AND {value} {} {exact})", operator(is));
        let slack = about.abs() * ROUNDING + f64::MIN_POSITIVE;
        let (low, high) = (about - slack, about + slack);
        let mut below = |limit| format!("{value} <= {}", self.bind(Column::Real(limit)));
        let real = match (is, bound) {
            (Comparison::Lt | Comparison::Le, Bound::Above) => below(high),
            (Comparison::Lt | Comparison::Le, Bound::Below) => below(low),
            (Comparison::Gt | Comparison::Ge, Bound::Above) => format!("NOT {}", below(low)),
            (Comparison::Gt | Comparison::Ge, Bound::Below) => format!("NOT {}", below(high)),
            (Comparison::Eq | Comparison::Ne, Bound::Above) => {
                format!("{} AND NOT {}", below(high), below(low))
            }
            (Comparison::Eq | Comparison::Ne, Bound::Below) => "0".to_owned(),
        };
        format!("({integer} OR ({kind} = 'real' AND {real}))")
    }

    /// Equality with what JSON writes as an object with one reserved key, which no map has.
    fn tagged(&mut self, found: &Property, tag: &str, text: &str) -> String {
        let text = self.bind_text(text);
        format!("json_extract(properties, {} || '.\"{tag}\"') = {text}", found.path)
    }

    fn contains(&mut self, found: &Property, wanted: &Value, bound: Bound) -> Option<String> {
        let Property { kind, value, .. } = found;
        match wanted {
            Value::Text(part) if part.len() <= MOST_BYTES => {
                // Functions on text stop at a zero character; those on blobs do not.
                let part = self.bind(Column::Blob(part.as_bytes().to_vec()));
                let text =
                    format!("({kind} = 'text' AND instr(CAST({value} AS BLOB), {part}) > 0)");
                Some(match bound {
                    Bound::Above => format!("({kind} IN ('array', 'object') OR {text})"),
                    Bound::Below => text,
                })
            }
            Value::Text(_) => {
                (bound == Bound::Above).then(|| format!("{kind} IN ('text', 'array', 'object')"))
            }
            _ => (bound == Bound::Above).then(|| format!("{kind} = 'array'")),
        }
    }

    fn starts_with(&mut self, found: &Property, prefix: &str) -> Option<String> {
        let Property { kind, value, .. } = found;
        if prefix.is_empty() {
            return Some(format!("{kind} = 'text'"));
        }
        if prefix.len() > MOST_BYTES {
            return None;
        }
        let bytes = self.bind(Column::Blob(prefix.as_bytes().to_vec()));
        let length = prefix.len();
        Some(format!("({kind} = 'text' AND substr(CAST({value} AS BLOB), 1, {length}) = {bytes})"))
    }
}

const fn operator(is: Comparison) -> &'static str {
    match is {
        Comparison::Eq => "=",
        Comparison::Ne => "<>",
        Comparison::Lt => "<",
        Comparison::Le => "<=",
        Comparison::Gt => ">",
        Comparison::Ge => ">=",
    }
}

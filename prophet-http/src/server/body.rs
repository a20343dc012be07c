//! Bodies of requests: JSON, forms, and text.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use prophet_files::exact_json;
use prophet_store::{Properties, PropertyName, Value};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use tokio::time::timeout;

use super::Shared;
use super::problem::{Kind, Problem};
use super::query::pairs;

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
pub(super) const TEXT: &str = "text/plain";

/// A body that has come as a whole, and what it is.
pub(super) struct Body {
    bytes: Bytes,
    media: Media,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Media {
    Json,
    Form,
    Text,
    Other(String),
    Unsaid,
}

impl Media {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Unsaid };
        let said = String::from_utf8_lossy(value.as_bytes());
        let media = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            JSON | MERGE_PATCH => Self::Json,
            FORM => Self::Form,
            TEXT => Self::Text,
            _ => Self::Other(said.into_owned()),
        }
    }
}

impl FromRequest<Shared> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let media = Media::of(request.headers());
        let (limit, time) = (app.options.body_limit, app.options.body_time);
        let too_large = || {
            let most =
                format!("the body has more than {limit} bytes, which are the most; split it");
            Problem::new(Kind::TooLarge, most)
        };
        if request.body().size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let bytes = timeout(time, Bytes::from_request(request, app)).await.map_err(|_| {
            Problem::new(
                Kind::TooSlow,
                format!("the body was not there after {} s; send it faster", time.as_secs()),
            )
        })?;
        let bytes = bytes.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                too_large()
            }
            broken => Problem::malformed(format!("the body cannot be read: {broken}")),
        })?;
        Ok(Self { bytes, media })
    }
}

impl Body {
    /// All properties of a record: there is nothing that could be *absent* from it.
    pub(super) fn whole(&self) -> Result<Properties, Problem> {
        let properties = self.changes()?;
        let absent = properties.iter().find(|(_, value)| value.is_none());
        if let Some((name, _)) = absent {
            return Err(Problem::malformed(format!(
                "the body has null for {name:?}; what a record is not to have, leave out"
            )));
        }
        Ok(properties)
    }

    /// What is to change of a record. `null` is *absent*; all of a form is text.
    pub(super) fn changes(&self) -> Result<Properties, Problem> {
        match &self.media {
            Media::Json | Media::Unsaid => {
                let Named(properties) = self.json()?;
                Ok(properties)
            }
            Media::Form => {
                let mut properties = Properties::new();
                for (name, value) in self.form()? {
                    if properties.names(&name) {
                        return Err(Problem::malformed(format!(
                            "the form has the field {name:?} twice; send JSON for a list"
                        )));
                    }
                    properties.set(name, Some(Value::Text(value)))?;
                }
                Ok(properties)
            }
            other => Err(unsupported(other, &[JSON, MERGE_PATCH, FORM])),
        }
    }

    /// The value that the body is: JSON, text, or the field `value` of a form.
    pub(super) fn value(&self) -> Result<Value, Problem> {
        match &self.media {
            Media::Json | Media::Unsaid => self.json(),
            Media::Text => Ok(Value::Text(self.text()?.to_owned())),
            Media::Form => {
                let mut fields = self.form()?;
                match (fields.next(), fields.next()) {
                    (Some((name, value)), None) if name == "value" => Ok(Value::Text(value)),
                    _ => Err(Problem::malformed("the form is to have one field, \"value\"")),
                }
            }
            other => Err(unsupported(other, &[JSON, TEXT, FORM])),
        }
    }

    /// What the body is as JSON, and nothing else.
    pub(super) fn only_json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match &self.media {
            Media::Json | Media::Unsaid => self.json(),
            other => Err(unsupported(other, &[JSON])),
        }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        exact_json(&self.bytes)
            .map_err(|error| Problem::malformed(format!("the body is not what is taken: {error}")))
    }

    fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes)
            .map_err(|error| Problem::malformed(format!("the body is not UTF-8: {error}")))
    }

    fn form(&self) -> Result<impl Iterator<Item = (String, String)>, Problem> {
        let text = self.text()?;
        // What a client sends that was not told otherwise, curl above all.
        if text.trim_start().starts_with(['{', '[']) && !text.contains('=') {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                format!("the body looks like JSON, but says that it is a form; say {JSON}"),
            ));
        }
        let pairs = pairs(text).map_err(|error| {
            Problem::malformed(format!("the form, decoded, is {error}; send bytes as JSON"))
        })?;
        Ok(pairs.into_iter())
    }
}

fn unsupported(given: &Media, taken: &[&str]) -> Problem {
    let given = match given {
        Media::Other(said) => said.as_str(),
        Media::Text => TEXT,
        Media::Form => FORM,
        Media::Json | Media::Unsaid => JSON,
    };
    Problem::new(
        Kind::UnsupportedMediaType,
        format!("a body of type {given:?} is not taken here; send {}", taken.join(" or ")),
    )
}

/// Properties as a JSON object, each name once.
struct Named(Properties);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a value for each property, or null for none")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        let mut properties = BTreeMap::new();
        while let Some(name) = map.next_key::<PropertyName>()? {
            let value: Option<Value> = map.next_value()?;
            if let Some(_twice) = properties.insert(name.clone(), value) {
                return Err(serde::de::Error::custom(format!("property {name:?} is there twice")));
            }
        }
        Ok(Named(properties.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(media: &str, text: &str) -> Body {
        let value = hyper::header::HeaderValue::from_str(media).unwrap();
        let media = Media::of(&HeaderMap::from_iter([(CONTENT_TYPE, value)]));
        Body { bytes: Bytes::copy_from_slice(text.as_bytes()), media }
    }

    #[test]
    fn json_and_forms_are_properties() {
        let json = body("application/json; charset=utf-8", r#"{"a": 1, "b": null}"#);
        let expected = Properties::new().with("a", 1).unwrap().absent("b").unwrap();
        assert_eq!(json.changes(), Ok(expected));
        let form = body(FORM, "a=1&b=x+y%C3%A9");
        let expected = Properties::new().with("a", "1").unwrap().with("b", "x yé").unwrap();
        assert_eq!(form.changes(), Ok(expected));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for bad in [
            r#"{"a": 1, "a": 2}"#,
            "[]",
            "null",
            "3",
            "",
            "{",
            r#"{"": 1}"#,
            r#"{"a": [null]}"#,
            r#"{"a": {"$bytes": "?"}}"#,
            r#"{"a": 9223372036854775808}"#,
            r#"{"a": [100000000000000000000]}"#,
            "{}{}",
        ] {
            assert!(body(JSON, bad).changes().is_err(), "{bad}");
        }
        for bad in ["a=1&a=2", "=x", "a=%ff", "%80=a", r#"{"a": 1}"#] {
            assert!(body(FORM, bad).changes().is_err(), "{bad}");
        }
        assert!(body("text/html", "{}").changes().is_err());
        assert!(body(TEXT, "{}").changes().is_err());
    }

    #[test]
    fn a_whole_record_has_no_absent_properties() {
        assert!(body(JSON, r#"{"a": 1}"#).whole().is_ok());
        assert!(body(JSON, r#"{"a": 1, "b": null}"#).whole().is_err());
    }

    #[test]
    fn a_value_is_json_or_text_or_a_field() {
        assert_eq!(body(JSON, "[1]").value(), Ok(Value::from(vec![Value::from(1)])));
        assert_eq!(body(TEXT, "1").value(), Ok(Value::from("1")));
        assert_eq!(body(FORM, "value=a%20b").value(), Ok(Value::from("a b")));
        for (media, bad) in [(JSON, "null"), (FORM, "a=b"), (FORM, "value=1&value=2"), ("a/b", "1")]
        {
            assert!(body(media, bad).value().is_err(), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_no_stack_overflows() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(body(JSON, &deep).changes().is_err());
    }
}

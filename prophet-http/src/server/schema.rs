//! What the values of the API look like, for its description.

use std::borrow::Cow;

use serde_json::{Value as Json, json};
use utoipa::openapi::schema::Object;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! schema {
    ($($(#[$doc:meta])* $name:ident => $json:expr;)*) => {
        $(
            $(#[$doc])*
            #[allow(dead_code, reason = "it names a schema, and there are no values of it")]
            pub(super) struct $name;

            /// What it stands for until [`all`] takes its place: the builder of descriptions cannot
            /// say all that a schema can.
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::T(Schema::Object(Object::new()))
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )*

        /// All of these, by name.
        pub(super) fn all() -> Vec<(&'static str, Json)> {
            vec![$((stringify!($name), $json)),*]
        }
    };
}

/// Names have no control characters.
const NAME: &str = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]+$";

schema! {
    /// A value of a property.
    Value => json!({
        "description": "A value: there is no null. Bytes and references to records are objects \
            with one key that begins with \"$\"; a map with such keys stands within \"$map\".",
        "example": "fixed",
        "anyOf": [
            { "type": "boolean" },
            { "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX },
            { "type": "number", "format": "double" },
            { "type": "string" },
            { "type": "array", "items": { "$ref": "#/components/schemas/Value" } },
            {
                "type": "object",
                "propertyNames": { "pattern": "^([^$]|$)" },
                "additionalProperties": { "$ref": "#/components/schemas/Value" }
            },
            {
                "type": "object",
                "description": "Bytes, in base64.",
                "properties": { "$bytes": {
                    "type": "string", "contentEncoding": "base64",
                    "pattern": "^([A-Za-z0-9+/]{4})*$"
                } },
                "required": ["$bytes"],
                "additionalProperties": false
            },
            {
                "type": "object",
                "description": "A record, as type/id.",
                "properties": { "$reference": {
                    "type": "string",
                    "pattern": "^[a-z]{1,32}/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
                } },
                "required": ["$reference"],
                "additionalProperties": false
            },
            {
                "type": "object",
                "description": "A map whose keys may begin with \"$\".",
                "properties": { "$map": {
                    "type": "object",
                    "additionalProperties": { "$ref": "#/components/schemas/Value" }
                } },
                "required": ["$map"],
                "additionalProperties": false
            }
        ]
    });

    /// What a record shows.
    Properties => json!({
        "description": "The properties of a record, by name; names have up to 255 bytes.",
        "type": "object",
        "propertyNames": { "pattern": NAME, "maxLength": 255 },
        "additionalProperties": { "$ref": "#/components/schemas/Value" },
        "example": { "title": "It fails", "priority": 3 }
    });

    /// What is to change of a record.
    Changes => json!({
        "description": "The properties to set, and null for those to remove; others stay.",
        "type": "object",
        "propertyNames": { "pattern": NAME, "maxLength": 255 },
        "additionalProperties": {
            "anyOf": [{ "$ref": "#/components/schemas/Value" }, { "type": "null" }]
        },
        "example": { "status": "fixed", "owner": null }
    });

    /// A form.
    Form => json!({
        "description": "The properties to set, all as text.",
        "type": "object",
        "propertyNames": { "pattern": NAME, "maxLength": 255 },
        "additionalProperties": { "type": "string" }
    });

    /// The form of one value.
    ValueForm => json!({
        "description": "The value, as text.",
        "type": "object",
        "properties": { "value": { "type": "string" } },
        "required": ["value"],
        "additionalProperties": false
    });

    /// A log entry.
    LogEntry => json!({
        "description": "A log entry, as a line of a log: docs/format.md says what is in it.",
        "type": "object",
        "properties": {
            "position": { "type": "integer", "format": "int64", "minimum": 1 },
            "time": {
                "description": "By the author's clock; a number of milliseconds since 1970 if it \
                    is no date.",
                "type": ["string", "integer"]
            },
            "creator": { "type": "string" },
            "kind": {
                "type": "string",
                "enum": ["edit", "undo", "merge", "resolution", "continuation"]
            },
            "changes": { "type": "array", "items": { "type": "object" } },
            "votes": { "type": "array", "items": { "type": "object" } },
            "origin": { "type": "string", "format": "uuid" },
            "sequence": { "type": "integer", "format": "int64", "minimum": 1 },
            "digest": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
            "nullify": { "type": "array", "items": { "type": "object" } },
            "settle": { "type": "array", "items": { "type": "object" } }
        },
        "required": ["position", "time", "creator", "kind", "origin", "sequence", "digest"]
    });

    /// A record type in an address.
    TypeName => json!({ "type": "string", "pattern": NAME, "maxLength": 255, "example": "bug" });

    /// A property in an address.
    PropertyName => json!({ "type": "string", "pattern": NAME, "maxLength": 255, "example": "status" });

    /// The id of a record, a replica or a database.
    Id => json!({
        "type": "string", "format": "uuid", "example": "018f2d6e-7b1c-7000-8000-000000000001"
    });

    /// Tags, as conditions name them.
    Tags => json!({
        "type": "string",
        "pattern": "^(\\*|(W/)?\"[!#-~]*\"(, (W/)?\"[!#-~]*\")*)$"
    });

    /// The order of a log.
    First => json!({ "type": "string", "enum": ["oldest", "newest"] });

    /// A digest.
    Digest => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
}

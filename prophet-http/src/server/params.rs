//! Parameters that several routes have, for the description of the API.

use utoipa::IntoParams;

use super::schema;

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes parameters, and there are no values of it")]
pub(super) struct OfRecord {
    /// The type of the record.
    #[param(rename = "type", value_type = schema::TypeName)]
    record_type: String,
    /// Its id.
    #[param(value_type = schema::Id)]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "it describes parameters, and there are no values of it")]
pub(super) struct OfProperty {
    /// The property.
    #[param(value_type = schema::PropertyName)]
    property: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes parameters, and there are no values of it")]
pub(super) struct IfKnown {
    /// The tag of a state that is known.
    #[param(rename = "If-None-Match", value_type = Option<schema::Tags>)]
    known: Option<String>,
    /// The tag of the state that is wanted.
    #[param(rename = "If-Match", value_type = Option<schema::Tags>)]
    wanted: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes parameters, and there are no values of it")]
pub(super) struct IfInState {
    /// Only if the record is in the state of this tag.
    #[param(rename = "If-Match", value_type = Option<schema::Tags>)]
    wanted: Option<String>,
    /// Only if it is not in that state; with an asterisk, only if it does not exist.
    #[param(rename = "If-None-Match", value_type = Option<schema::Tags>)]
    unwanted: Option<String>,
}

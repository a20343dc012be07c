//! Typed records: properties from an app's own types and back, by way of serde, without loss.

mod de;
mod error;
mod properties;
mod ser;

pub use de::{from_properties, from_value};
pub use error::TypedError;
pub use properties::Properties;
pub use ser::to_value;

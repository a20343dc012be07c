//! The operations that are measured.

pub(crate) mod open;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod sync;
pub(crate) mod write;

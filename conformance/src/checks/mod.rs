//! The checks, in modules by group. What runs them is in `list.rs`, one line each.

pub(crate) mod cancellation;
pub(crate) mod commit;
pub(crate) mod content;
pub(crate) mod crash;
pub(crate) mod damage;
pub(crate) mod durability;
pub(crate) mod faults;
pub(crate) mod formats;
pub(crate) mod handles;
pub(crate) mod hints;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod linear;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod metadata;
pub(crate) mod model;
pub(crate) mod origins;
pub(crate) mod paging;
pub(crate) mod power_loss;
pub(crate) mod processes;
pub(crate) mod records;
pub(crate) mod resolutions;

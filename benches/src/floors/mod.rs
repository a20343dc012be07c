//! The engines that figures are shown beside.

#[cfg(feature = "engines")]
mod bucket;
mod file;
mod map;
#[cfg(feature = "engines")]
mod maps;
#[cfg(feature = "engines")]
mod sqlite;

#[cfg(feature = "engines")]
pub use bucket::bucket;
pub use file::file;
pub use map::{OrderedMap, map_engine, memory};
#[cfg(feature = "engines")]
pub use maps::{fjall, redb, sled};
#[cfg(feature = "engines")]
pub use sqlite::sqlite;

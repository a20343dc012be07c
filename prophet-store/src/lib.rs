//! Prophet: a peer-to-peer replicated, disconnected, versioned property database.

mod changeset;
pub mod codec;
mod conflict;
mod environment;
mod error;
mod ext;
mod id;
mod integrate;
pub mod limits;
mod log;
mod memory;
mod name;
mod name_serde;
mod query;
mod record;
mod register;
mod replica;
mod resolution;
mod store;
mod time;
mod typed;
mod value;
mod value_serde;
mod vector;
mod visible;

pub use changeset::{
    Authored, Change, ChangeKind, Changeset, Header, InvalidChangeset, Kind, Payload,
    PropertyChange, Vote,
};
pub use environment::{Environment, SystemEnvironment};
pub use error::{Error, Obstacle, Problem};
pub use ext::{ReplicaStoreExt, Stored};
pub use id::{
    CommitId, ConflictId, DatabaseId, Digest, ParseIdError, Position, RecordId, ReplicaId,
    Sequence, Version,
};
pub use log::{Adjustment, LogEntry};
pub use memory::{MemoryStore, MemoryVolume};
pub use name::{Creator, NameError, PropertyName, RecordKey, RecordType};
pub use query::{
    Comparison, Cursor, InvalidPattern, Order, Pattern, Predicate, Property, Query, property,
};
pub use record::{Existence, RecordState};
pub use register::{Register, RegisterName, Write};
pub use replica::{
    AsOf, Counts, Edit, Edited, HistoryChange, HistoryEntry, Joined, Record, RecordDiff,
    RecordRules, RegisterDiff, Replica, ReplicaOptions, Settings, StepKind, Streamed,
};
pub use resolution::Resolution;
pub use store::{
    Access, Action, Authorship, Capabilities, Commit, Direction, Durability, Facts, Head,
    HistoryScan, Identity, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page,
    PageBuilder, PageLimit, Read, RecordScan, ReplicaStore, ResolutionCursor, ResolutionScan,
    Sharing, Source, StoreError, Verification,
};
pub use time::Timestamp;
pub use typed::{Properties, TypedError, from_properties, from_value, to_value};
pub use value::{NotFinite, Real, Value};
pub use vector::{Gap, Tip, VersionVector};
pub use visible::UncleanLog;

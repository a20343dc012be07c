//! Prophet: a grounded, semirelational, peer-to-peer replicated, disconnected, versioned property
//! database.
//!
//! People keep typed records with free properties in a replica of their own. Every update is a
//! changeset, nothing is lost, and all of history can be read and walked back.
//!
//! ```
//! use futures_lite::future::block_on;
//! use prophet_store::{Identity, MemoryStore, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! block_on(async {
//!     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
//!     let bug = replica.create("bug", Properties::try_from([("title", "It fails")])?).await?;
//!     let fixed = Properties::try_from([("status", "fixed")])?;
//!     let changeset = replica.update(&bug, fixed).await?.ok_or("nothing changed")?;
//!     replica.undo(changeset).await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Where to look
//!
//! - **An app** opens a [`Replica`] over a store and uses nothing else. The embedded default store
//!   is in the crate `backend-sqlite`; [`MemoryStore`] is here.
//! - **A backend** implements [`ReplicaStore`]: `docs/writing-a-backend.md` leads through it,
//!   `docs/contract.md` is what it promises, and the crate `conformance` checks it.
//! - **The model**: [`RecordState`] and its [`Register`]s, [`Changeset`], [`LogEntry`],
//!   [`Resolution`], [`VersionVector`]; [`codec`] and `docs/format.md` for their bytes, [`limits`]
//!   for how large they may be.
//!
//! # Runtimes, time and chance
//!
//! The engine belongs to no async runtime: it starts no threads or tasks, and any executor runs
//! it. Time and random numbers come through one seam, [`Environment`].

mod audit;
mod changeset;
pub mod codec;
mod conflict;
mod copy;
mod environment;
mod error;
mod ext;
mod file_name;
mod id;
mod integrate;
mod judgement;
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
mod source;
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
pub use error::{Error, MissingBasis, Obstacle, Problem, Unreadable};
pub use ext::{ReplicaStoreExt, Stored};
pub use id::{
    CommitId, ConflictId, DatabaseId, Digest, ParseIdError, Position, RecordId, ReplicaId,
    Sequence, Version,
};
pub use judgement::{Judgement, Rule};
pub use log::{Adjustment, LogEntry};
pub use memory::{MemoryStore, MemoryVolume};
pub use name::{Creator, NameError, PropertyName, RecordKey, RecordType};
pub use query::{
    Comparison, Cursor, InvalidCondition, InvalidPattern, Order, Pattern, Predicate, Property,
    Query, property,
};
pub use record::{Existence, RecordState};
pub use register::{Ballot, CastVote, Register, RegisterName, Write};
pub use replica::{
    AsOf, Attribution, Bundle, BundleSummary, Candidate, Choice, Conflict, ConflictCounts, Edit,
    Edited, Flip, Fork, HistoryChange, HistoryEntry, HistoryVote, Joined, Progress, PullOptions,
    PullReport, Record, RecordDiff, RecordRules, RecordedVote, RegisterDiff, Replica,
    ReplicaOptions, Resolver, Settings, Side, StepKind, Streamed, StreamedBundle, Why,
};
pub use resolution::Resolution;
pub use source::{ChangesetSource, Offer};
pub use store::{
    Access, Action, Authorship, Capabilities, Commit, Direction, Durability, Facts, Head,
    HistoryScan, Identity, LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page,
    PageBuilder, PageLimit, Read, RecordCounts, RecordScan, ReplicaStore, ResolutionCursor,
    ResolutionScan, Sharing, Source, StoreError, Verification,
};
pub use time::Timestamp;
pub use typed::{Properties, TypedError, from_properties, from_value, to_value};
pub use value::{NotFinite, Real, Value};
pub use vector::{Gap, Tip, VersionVector};
pub use visible::UncleanLog;

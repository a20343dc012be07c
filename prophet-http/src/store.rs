//! A store that a server serves.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prophet_store::{
    Access, Authorship, Capabilities, Commit, CommitId, Digest, Facts, Head, HistoryScan, LogEntry,
    LogScan, MetadataKey, MetadataScan, OriginCursor, OriginScan, Page, Position, Read,
    RecordCounts, RecordKey, RecordScan, RecordState, RecordType, ReplicaStore, Resolution,
    ResolutionCursor, ResolutionScan, Sharing, StoreError, Unreadable, Verification, limits,
};

use crate::connection::{Answered, Connection, Question, Trouble, What, named};
use crate::options::HttpOptions;
use crate::protocol::store::{PAGE_BYTES, Served, operation};
use crate::protocol::{STORE, Wire, decode, encode};
use crate::runtime::Work;

/// `verify` reads everything, which may take so long.
const VERIFY_WITHIN: Duration = Duration::from_secs(3_600);

/// How long honest answers get. Facts and a head are some dozens of bytes.
const SMALL_BYTES: u64 = 64 << 10;
/// What framing adds to what counts as the size of things, of as many as a page may hold.
const FRAMING_BYTES: u64 = 64 << 20;
/// What came by one commit: no record and no entry of a log is larger.
const ITEM_BYTES: u64 = limits::COMMIT_BYTES + FRAMING_BYTES;
/// The item that fills a page is still in it.
const PAGE_MOST: u64 = PAGE_BYTES as u64 + ITEM_BYTES;
/// The same of items of some dozens of bytes.
const SMALL_PAGE_MOST: u64 = PAGE_BYTES as u64 + FRAMING_BYTES;
const METADATA_PAGE_MOST: u64 = SMALL_PAGE_MOST + limits::METADATA_VALUE_BYTES;
/// Nobody holds more than this at once, however much is asked for by name.
const NAMED_MOST: u64 = 4 * ITEM_BYTES;
/// A quarter of a million types with the longest names.
const COUNTS_MOST: u64 = 64 << 20;
/// A million problems.
const VERIFICATION_MOST: u64 = 256 << 20;

/// How long the answer about so many named things may be, each of so many bytes.
const fn of_each(things: usize, bytes: u64) -> u64 {
    let all = (things as u64).saturating_mul(bytes.saturating_add(64)).saturating_add(SMALL_BYTES);
    if all < NAMED_MOST { all } else { NAMED_MOST }
}

/// A store on another machine, behind a server of Prophet: the engine runs here, and what it reads and
/// commits goes over HTTP.
///
/// Any number of programs may use it at once, the server's own engine among them. Each call is one
/// request. Reads are tried again where that may help; so is a commit, which is applied at most once
/// (rule C4). If no answer to a commit comes, its outcome is unknown.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use prophet_http::{HttpOptions, HttpStore};
/// use prophet_store::{Properties, Replica};
///
/// let options = HttpOptions::new().bearer("secret");
/// let replica = Replica::open(HttpStore::open("https://example.org/", options).await?).await?;
/// replica.create("bug", Properties::try_from([("title", "It fails")])?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpStore {
    connection: Arc<Connection>,
    facts: Facts,
    closed: AtomicBool,
}

impl HttpStore {
    /// Opens the store that is served at `url`, for reading and for what the server lets this token
    /// write.
    ///
    /// # Errors
    /// What is no URL of HTTP or HTTPS, and a server that cannot be reached or refuses;
    /// [`NotFound`](StoreError::NotFound) where nothing is served, and
    /// [`NotAReplica`](StoreError::NotAReplica) where something else is.
    pub async fn open(url: &str, options: HttpOptions) -> Result<Self, StoreError> {
        Self::open_for(url, options, Access::ReadWrite).await
    }

    /// Opens the store that is served at `url` for reading only.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_read_only(url: &str, options: HttpOptions) -> Result<Self, StoreError> {
        Self::open_for(url, options, Access::ReadOnly).await
    }

    async fn open_for(url: &str, options: HttpOptions, access: Access) -> Result<Self, StoreError> {
        let connection = Connection::new(url, options);
        let connection =
            connection.map_err(|error| StoreError::io(named(url), "opening", error))?;
        let connection = Arc::new(connection);
        let served =
            ask::<Served>(&connection, question(operation::FACTS, Vec::new(), SMALL_BYTES)).await?;
        let capabilities = Capabilities {
            access: access.min(served.access),
            sharing: Sharing::Processes,
            durability: served.durability,
        };
        let facts = Facts {
            identity: served.identity,
            place: connection.place.clone(),
            format: served.format,
            capabilities,
        };
        Ok(Self { connection, facts, closed: AtomicBool::new(false) })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::closed(&self.facts.place)),
            false => Ok(()),
        }
    }

    async fn read<T: Wire>(
        &self,
        operation: &'static str,
        body: Vec<u8>,
        most: u64,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        ask(&self.connection, question(operation, body, most)).await
    }
}

/// Runs this on the thread that has the connections.
async fn on_runtime<T: Send + 'static>(
    place: &str,
    operation: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |error| StoreError::io(place, operation, error);
    let failed = |error: std::io::Error| failed(error.to_string());
    Work::begin(work).map_err(failed)?.await.map_err(failed)
}

/// What a store is asked.
#[derive(Debug)]
struct StoreQuestion {
    operation: &'static str,
    question: Question,
}

/// A question whose answer has no more than so many bytes.
fn question(operation: &'static str, body: Vec<u8>, most: u64) -> StoreQuestion {
    let path = format!("store/{operation}");
    let question = Question { path, content: STORE, body: body.into(), patience: None, most };
    StoreQuestion { operation, question }
}

/// Asks a server's store, and again where that may help.
async fn ask<T: Wire>(
    connection: &Arc<Connection>,
    asking: StoreQuestion,
) -> Result<T, StoreError> {
    let StoreQuestion { operation, question } = asking;
    let (asked, place) = (Arc::clone(connection), &connection.place);
    let answered = on_runtime(place, operation, async move { asked.ask_and_read(&question).await });
    match answered.await? {
        Ok(answered) => said(place, operation, &answered),
        Err(trouble) => Err(troubled(place, operation, trouble)),
    }
}

/// What the store of the server said.
fn said<T: Wire>(place: &str, operation: &str, answered: &Answered) -> Result<T, StoreError> {
    let unreadable =
        |why: String| StoreError::io(place, operation, format!("its answer cannot be read: {why}"));
    match answered.content.as_str() {
        STORE => decode(&answered.body).map_err(|error| unreadable(error.to_string())),
        other => Err(unreadable(format!("{} and {other:?}", answered.status))),
    }
}

/// What a request came to that the store of the server did not answer.
fn troubled(place: &str, operation: &str, trouble: Trouble) -> StoreError {
    match trouble.what {
        What::Nothing => StoreError::not_found(place),
        What::Foreign => StoreError::not_a_replica(place, trouble.why),
        What::Store(failure) => failure.at(place),
        _ => {
            let kind = match trouble.cause() {
                Unreadable::Denied => ErrorKind::PermissionDenied,
                Unreadable::Temporary => ErrorKind::TimedOut,
                _ => ErrorKind::InvalidData,
            };
            StoreError::io(place, operation, io::Error::new(kind, trouble.why))
        }
    }
}

/// Sends a commit until its outcome is known, or nobody answers.
async fn send_commit(
    connection: &Connection,
    question: &Question,
    id: CommitId,
) -> Result<Head, StoreError> {
    let place = &connection.place;
    let unknown = |why: String| StoreError::outcome_unknown(id, place, Some(why.into()));
    let (mut tried, mut unsure) = (0, false);
    loop {
        let answered = match connection.ask(question).await {
            // It was applied, whatever becomes of the rest of the answer.
            Ok(response) => {
                unsure = true;
                connection.read(response, question.most).await
            }
            Err(trouble) => Err(trouble),
        };
        let trouble = match answered {
            // It was applied, also if the answer cannot be read.
            Ok(answered) => {
                let head = said(place, operation::COMMIT, &answered);
                return head.map_err(|error| unknown(error.to_string()));
            }
            Err(Trouble { what: What::Store(failure), .. }) => {
                return match failure.at(place) {
                    error @ StoreError::StaleBase { .. } => Err(error),
                    // What is said of this attempt is not said of those before it.
                    error if unsure => Err(unknown(error.to_string())),
                    error => Err(error),
                };
            }
            Err(trouble) => trouble,
        };
        unsure |= matches!(trouble.what, What::Lost(_));
        if let Err(trouble) = connection.wait(trouble, &mut tried).await {
            return Err(match unsure {
                true => unknown(trouble.why),
                false => troubled(place, operation::COMMIT, trouble),
            });
        }
    }
}

#[async_trait]
impl ReplicaStore for HttpStore {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(operation::HEAD, Vec::new(), SMALL_BYTES).await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        let most = of_each(keys.len(), ITEM_BYTES);
        self.read(operation::GET_RECORDS, encode(&keys.to_vec()), most).await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.read(operation::SCAN_RECORDS, encode(scan), PAGE_MOST).await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.read(operation::COUNT_RECORDS, encode(&record_type.cloned()), COUNTS_MOST).await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(operation::SCAN_LOG, encode(scan), PAGE_MOST).await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.read(operation::SCAN_HISTORY, encode(scan), PAGE_MOST).await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.read(operation::SCAN_ORIGIN, encode(scan), SMALL_PAGE_MOST).await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.read(operation::FIND_CHANGESETS, encode(&digests.to_vec()), of_each(digests.len(), 0))
            .await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.read(operation::SCAN_RESOLUTIONS, encode(scan), PAGE_MOST).await
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        let most = of_each(keys.len(), limits::METADATA_VALUE_BYTES);
        self.read(operation::GET_METADATA, encode(&keys.to_vec()), most).await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.read(operation::SCAN_METADATA, encode(scan), METADATA_PAGE_MOST).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Head, StoreError> {
        self.check_open()?;
        let place = &self.facts.place;
        if self.facts.capabilities.access < Access::ReadWrite {
            return Err(StoreError::read_only(place));
        }
        let StoreQuestion { question, .. } =
            question(operation::COMMIT, encode(commit), SMALL_BYTES);
        let (connection, id) = (Arc::clone(&self.connection), commit.id());
        let sending = async move { send_commit(&connection, &question, id).await };
        let unknown = |error: std::io::Error| {
            StoreError::outcome_unknown(id, place, Some(error.to_string().into()))
        };
        let begun = Work::begin(sending);
        let begun = begun.map_err(|error| StoreError::io(place, operation::COMMIT, error))?;
        begun.await.map_err(unknown)?
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.check_open()?;
        let mut asking = question(operation::VERIFY, Vec::new(), VERIFICATION_MOST);
        asking.question.patience = Some(VERIFY_WITHIN);
        ask(&self.connection, asking).await
    }

    /// Closes this handle. The store goes on being served.
    async fn close(&self) -> Result<(), StoreError> {
        match self.closed.swap(true, Ordering::AcqRel) {
            true => Err(StoreError::closed(&self.facts.place)),
            false => Ok(()),
        }
    }
}

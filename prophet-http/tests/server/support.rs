//! A server, and a client of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prophet_http::server::{ServerOptions, serve};
use prophet_store::*;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

pub(crate) const NOBODY: &str = "018f2d6e-7b1c-7000-8000-000000000001";

pub(crate) struct Server {
    pub(crate) replica: Replica,
    pub(crate) address: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) fn client() -> Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder().no_proxy().build().unwrap()
}

pub(crate) async fn replica() -> Replica {
    let store = MemoryStore::new(Identity::new_database().unwrap());
    Replica::options().creator("server@example.org").unwrap().open(store).await.unwrap()
}

impl Server {
    /// One that everybody may write to.
    pub(crate) async fn open() -> Self {
        Self::of(replica().await, ServerOptions::new().open()).await
    }

    pub(crate) async fn with(options: ServerOptions) -> Self {
        Self::of(replica().await, options).await
    }

    pub(crate) async fn of(replica: Replica, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, replica.clone(), options, shutdown));
        Self { replica, address, client: client(), stop: Some(stop), task }
    }

    /// Has the server end, without waiting for that.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(mut self) {
        if self.stop.is_some() {
            self.stop();
        }
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.ask("GET", path)).await
    }

    /// Sends JSON.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        send(json(self.ask(method, path), body)).await
    }

    /// Creates a bug, and gives its id.
    pub(crate) async fn bug(&self, body: &str) -> String {
        let answer = self.send("POST", "/records/bug.json", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Sends bytes, and reads what comes until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub(crate) fn json(request: RequestBuilder, body: &str) -> RequestBuilder {
    request.header("content-type", "application/json").body(body.to_owned())
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let answer = Answer { status, headers, text: response.text().await.unwrap() };
    answer.check();
    answer
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: impl Into<String>) -> &str {
        let name: HeaderName = name.into().parse().unwrap();
        self.headers.get(&name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn etag(&self) -> &str {
        let tag = self.header("etag");
        assert!(tag.contains('"'), "no tag: {self:?}");
        tag
    }

    /// What every answer has to be.
    fn check(&self) {
        assert!(!self.header("cache-control").is_empty(), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
        let status = StatusCode::from_u16(self.status).unwrap();
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
            let problem = self.json();
            assert_eq!(problem["status"], self.status, "{self:?}");
            let kind = problem["type"].as_str().unwrap();
            assert!(kind.starts_with("urn:prophet:problem:"), "{self:?}");
            assert!(!problem["title"].as_str().unwrap().is_empty(), "{self:?}");
            assert!(!problem["detail"].as_str().unwrap().is_empty(), "{self:?}");
        }
        if self.status == 405 {
            assert!(self.headers.contains_key("allow"), "{self:?}");
        }
    }

    /// Asserts that the answer is this problem.
    pub(crate) fn is(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["type"], format!("urn:prophet:problem:{kind}"), "{self:?}");
    }
}

/// A store whose log is read slowly, which counts how many read it at once.
#[derive(Debug)]
pub(crate) struct Slow {
    store: MemoryStore,
    pause: Duration,
    gate: Semaphore,
    pub(crate) reading: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

impl Slow {
    pub(crate) fn new(pause: Duration) -> Arc<Self> {
        Self::of(pause, Semaphore::MAX_PERMITS)
    }

    /// One that reads nothing of its log before it is [let go](Self::let_go).
    pub(crate) fn held() -> Arc<Self> {
        Self::of(Duration::ZERO, 0)
    }

    fn of(pause: Duration, permits: usize) -> Arc<Self> {
        let store = MemoryStore::new(Identity::new_database().unwrap());
        let (reading, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { store, pause, gate: Semaphore::new(permits), reading, most })
    }

    pub(crate) fn let_go(&self) {
        self.gate.add_permits(1 << 20);
    }
}

macro_rules! forward {
    ($($name:ident($($given:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl ReplicaStore for Slow {
            fn facts(&self) -> &Facts {
                self.store.facts()
            }

            async fn scan_log(
                &self,
                scan: &LogScan,
            ) -> Result<Page<LogEntry, Position>, StoreError> {
                let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(reading, Ordering::SeqCst);
                SystemEnvironment::default().sleep(self.pause).await;
                drop(self.gate.acquire().await.unwrap());
                self.reading.fetch_sub(1, Ordering::SeqCst);
                self.store.scan_log(scan).await
            }

            $(async fn $name(&self, $($given: $type),*) -> Result<$answer, StoreError> {
                self.store.$name($($given),*).await
            })*
        }
    };
}

forward! {
    head() -> Head;
    get_records(keys: &[RecordKey]) -> Read<Vec<Option<RecordState>>>;
    scan_records(scan: &RecordScan) -> Page<RecordState, RecordKey>;
    count_records(of: Option<&RecordType>) -> Read<RecordCounts>;
    scan_history(scan: &HistoryScan) -> Page<LogEntry, Position>;
    scan_origin(scan: &OriginScan) -> Page<Authorship, OriginCursor>;
    find_changesets(digests: &[Digest]) -> Read<Vec<Option<Position>>>;
    scan_resolutions(scan: &ResolutionScan) -> Page<Resolution, ResolutionCursor>;
    get_metadata(keys: &[MetadataKey]) -> Read<Vec<Option<Vec<u8>>>>;
    scan_metadata(scan: &MetadataScan) -> Page<(MetadataKey, Vec<u8>), MetadataKey>;
    commit(commit: &Commit) -> Head;
    verify() -> Verification;
    close() -> ();
}

//! A replica that a server serves, as a source to pull from.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_lite::{Stream, stream};
use prophet_store::{
    Changeset, ChangesetSource, DatabaseId, Error, Offer, Streamed, StreamedBundle, VersionVector,
    codec,
};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time::sleep;

use crate::connection::{Connection, Question, Trouble, named};
use crate::options::HttpOptions;
use crate::pipe::{Pieces, pieces};
use crate::protocol::{Answer, BUNDLE, SEEN, STANDING, Standing};
use crate::runtime::Work;

/// A vector of so many bytes goes along with the first question.
const SMALL_VECTOR_BYTES: usize = 600;
/// No more bundles than these wait for somebody who takes them.
const WAITING: usize = 4;
/// No description of where a replica is is longer, but for a vector.
const STANDING_BYTES: u64 = 64 << 10;

/// A replica that a server serves: a source to [pull](prophet_store::Replica::pull) from, and a target
/// to [push](Self::push) to.
///
/// To find that there is nothing new takes one small request, however much history there is. What is new
/// comes with the answer to the same request, as long as what was seen is of few replicas, and with that
/// to a second one otherwise; it is integrated as it comes. An answer that breaks off is asked for again
/// from where it did.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use prophet_http::{HttpOptions, HttpPeer};
/// use prophet_store::{Identity, MemoryStore, PullOptions, Replica};
///
/// let peer = HttpPeer::new("https://example.org/", HttpOptions::new().bearer("secret"))?;
/// let identity = Identity::new_replica(peer.database().await?)?;
/// let replica = Replica::clone_of(MemoryStore::new(identity), &peer).await?;
/// replica.pull(&peer, PullOptions::new()).await?;
/// peer.push(&replica).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpPeer {
    pub(crate) connection: Arc<Connection>,
    /// Bundles that came with an offer.
    waiting: Mutex<Vec<Incoming>>,
    requests: Arc<AtomicU64>,
}

/// A bundle on its way.
#[derive(Debug)]
struct Incoming {
    bundle: StreamedBundle<Body>,
    /// Whether all that comes has come, be it all there should be or not.
    ended: Arc<AtomicBool>,
}

/// What came instead of a bundle, or a bundle.
enum Came {
    Standing(Standing),
    Bundle(Box<Incoming>),
}

/// What a server may take for known to the puller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// Also all it has of an origin of which the puller has seen more.
    Assumed,
    /// What the puller says, and nothing else: an origin may have been forked.
    Exact,
}

/// The body of an answer, as it comes: to be read on any executor.
#[derive(Debug)]
struct Body {
    pieces: Pieces,
    ended: Arc<AtomicBool>,
    /// Reads the answer, until this is dropped.
    _reading: Work<()>,
}

impl Stream for Body {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let polled = std::pin::Pin::new(&mut self.pieces).poll_next(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.ended.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl HttpPeer {
    /// The replica that is served at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// What is no URL of HTTP or HTTPS; a token that no header may have; a system without certificates to
    /// trust.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, Error> {
        let connection = Connection::new(url, options);
        let connection = connection.map_err(|error| error.at(named(url)))?;
        let connection = Arc::new(connection);
        Ok(Self { connection, waiting: Mutex::default(), requests: Arc::default() })
    }

    /// Where it is, without what is secret in the URL.
    pub fn place(&self) -> &str {
        &self.connection.place
    }

    /// How many requests were sent so far, those that were tried again included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The database that its changesets are of: what a clone has to be made for.
    ///
    /// # Errors
    /// A server that cannot be reached, is none of Prophet's, or refuses.
    pub async fn database(&self) -> Result<DatabaseId, Error> {
        let nothing = VersionVector::new();
        // Of a vector that nobody has the server says only whose it is.
        match self.came(nothing.digest().as_bytes().to_vec(), Basis::Assumed).await? {
            Came::Standing(standing) => Ok(standing.database),
            Came::Bundle(incoming) => Ok(incoming.bundle.offer(&nothing).await?.database),
        }
    }

    pub(crate) fn failed(&self, why: impl Into<String>) -> Error {
        Error::bad_source(&self.connection.place, why)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Incoming>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for what there is for whoever has seen this, with the whole vector where that is needed.
    async fn news(&self, seen: &VersionVector, basis: Basis) -> Result<Came, Error> {
        let (digest, vector) = (seen.digest(), codec::encode_vector(seen));
        let mut body = digest.as_bytes().to_vec();
        let whole = vector.len() <= SMALL_VECTOR_BYTES;
        if whole {
            body.extend_from_slice(&vector);
        }
        match self.came(body, basis).await? {
            Came::Standing(standing) if standing.answer == Answer::SendVector && !whole => {
                let body = [digest.as_bytes().as_slice(), &vector].concat();
                self.came(body, basis).await
            }
            came => Ok(came),
        }
    }

    /// Sends a question until there is an answer, as far as trying again may help.
    async fn came(&self, body: Vec<u8>, basis: Basis) -> Result<Came, Error> {
        let path = match basis {
            Basis::Assumed => "sync/pull",
            Basis::Exact => "sync/pull?basis=exact",
        };
        let (path, body, most) = (path.to_owned(), body.into(), STANDING_BYTES);
        let question = Question { path, content: SEEN, body, patience: None, most };
        let mut tried = 0;
        loop {
            let trouble = match self.try_once(&question).await? {
                Ok(came) => return Ok(came),
                Err(trouble) => trouble,
            };
            let connection = Arc::clone(&self.connection);
            let waited = self.on_runtime(async move {
                let mut tried = tried;
                connection.wait(trouble, &mut tried).await.map(|()| tried)
            });
            tried = waited.await?.map_err(|trouble| trouble.at(&self.connection.place))?;
        }
    }

    async fn try_once(&self, question: &Question) -> Result<Result<Came, Trouble>, Error> {
        let (connection, question) = (Arc::clone(&self.connection), question.clone());
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answered = self.on_runtime(async move {
            let response = connection.ask(&question).await?;
            match content(&response) {
                BUNDLE => Ok(Err(response)),
                _ => Ok(Ok(connection.read(response, question.most).await?)),
            }
        });
        let response = match answered.await? {
            Err(trouble) => return Ok(Err(trouble)),
            Ok(Ok(answered)) => {
                return match answered.content.as_str() {
                    STANDING => match serde_json::from_slice(&answered.body) {
                        Ok(standing) => Ok(Ok(Came::Standing(standing))),
                        Err(error) => Err(self.failed(format!("of its answer, {error}"))),
                    },
                    other => Err(self.failed(format!(
                        "it answers with {other:?} where a bundle or where it stands should come"
                    ))),
                };
            }
            Ok(Err(response)) => response,
        };
        let (body, ended) = self.body(response)?;
        match StreamedBundle::begin(body, &self.connection.place).await {
            Ok(bundle) => Ok(Ok(Came::Bundle(Box::new(Incoming { bundle, ended })))),
            Err(error) if ended.load(Ordering::Relaxed) => Ok(Err(broken_off(error))),
            Err(error) => Err(error),
        }
    }

    /// Goes on to read an answer, as far ahead of whoever takes it as a few pieces.
    fn body(&self, mut response: Response) -> Result<(Body, Arc<AtomicBool>), Error> {
        let (connection, (sender, pieces)) = (Arc::clone(&self.connection), pieces());
        let reading = async move {
            loop {
                let piece = match connection.chunk(&mut response).await {
                    Ok(Some(piece)) => Ok(piece),
                    Ok(None) => return,
                    Err(trouble) => Err(io::Error::other(trouble.why)),
                };
                let last = piece.is_err();
                if sender.send(piece).await.is_err() || last {
                    return;
                }
            }
        };
        let reading = Work::begin(reading).map_err(|error| self.failed(error.to_string()))?;
        let ended = Arc::new(AtomicBool::new(false));
        Ok((Body { pieces, ended: Arc::clone(&ended), _reading: reading }, ended))
    }

    pub(crate) async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        let failed = |error: io::Error| self.failed(error.to_string());
        Work::begin(work).map_err(failed)?.await.map_err(failed)
    }
}

fn content(response: &Response) -> &'static str {
    match response.headers().get(CONTENT_TYPE).and_then(|content| content.to_str().ok()) {
        Some(BUNDLE) => BUNDLE,
        _ => "",
    }
}

/// What an answer that ended too early comes to. It will be said where that was.
fn broken_off(error: Error) -> Trouble {
    match error {
        Error::BadSource { why, .. } => Trouble::lost(why),
        other => Trouble::lost(other.to_string()),
    }
}

/// Whether whoever has seen `known` has all that a bundle on `basis` builds on.
fn covers(known: &VersionVector, basis: &VersionVector) -> bool {
    let mut tips = basis.tips();
    tips.all(|(origin, tips)| tips.iter().all(|tip| known.has_tip(origin, tip.digest)))
}

#[async_trait]
impl ChangesetSource for HttpPeer {
    async fn offer(&self, seen: &VersionVector) -> Result<Offer, Error> {
        match self.news(seen, Basis::Assumed).await? {
            Came::Bundle(incoming) => {
                // What of it the puller lacks is asked for when it is known.
                let offer =
                    Offer { basis: VersionVector::new(), ..incoming.bundle.offer(seen).await? };
                let mut waiting = self.waiting();
                if waiting.len() >= WAITING {
                    waiting.remove(0);
                }
                waiting.push(*incoming);
                Ok(offer)
            }
            Came::Standing(standing) if standing.answer == Answer::NothingNew => Ok(Offer {
                database: standing.database,
                replica: standing.replica,
                place: self.connection.place.clone(),
                seen: seen.clone(),
                basis: VersionVector::new(),
                head: Some(standing.head.into()),
            }),
            Came::Standing(_) => Err(self.failed("it asks for a vector that it was sent")),
        }
    }

    fn changesets(&self, offer: &Offer, known: &VersionVector) -> Streamed<'_, Changeset> {
        let incoming = {
            let mut waiting = self.waiting();
            let of_it = |incoming: &Incoming| *incoming.bundle.result() == offer.seen;
            let fits =
                |incoming: &Incoming| of_it(incoming) && covers(known, incoming.bundle.basis());
            let found = waiting.iter().position(fits);
            // Those of the same offer that do not fit are for nobody else either.
            let incoming = found.map(|at| waiting.remove(at));
            if incoming.is_none() {
                waiting.retain(|incoming| !of_it(incoming));
            }
            incoming
        };
        let taking = Taking { peer: self, known: known.clone(), incoming, tried: 0 };
        Box::pin(stream::try_unfold(taking, |mut taking| async move {
            Ok(taking.next().await?.map(|changeset| (changeset, taking)))
        }))
    }
}

/// Takes what a peer has, and asks again for the rest where an answer breaks off.
struct Taking<'a> {
    peer: &'a HttpPeer,
    known: VersionVector,
    incoming: Option<Incoming>,
    /// How often it broke off since something came.
    tried: u32,
}

impl Taking<'_> {
    async fn next(&mut self) -> Result<Option<Changeset>, Error> {
        loop {
            let incoming = match &mut self.incoming {
                Some(incoming) => incoming,
                None => match self.rest().await? {
                    Some(rest) => self.incoming.insert(rest),
                    None => return Ok(None),
                },
            };
            let error = match incoming.bundle.next().await {
                Ok(Some(changeset)) => {
                    self.known.note(changeset.header(), changeset.digest());
                    self.tried = 0;
                    return Ok(Some(changeset));
                }
                Ok(None) => return Ok(None),
                Err(error) => error,
            };
            let broke_off = incoming.ended.load(Ordering::Relaxed);
            self.incoming = None;
            if !broke_off {
                return Err(error);
            }
            if self.tried >= self.peer.connection.options.retries {
                return Err(broken_off(error).at(&self.peer.connection.place));
            }
            let pause = self.peer.connection.pause(self.tried, None);
            self.peer.on_runtime(async move { sleep(pause).await }).await?;
            self.tried += 1;
        }
    }

    /// A bundle of what is not known yet, and builds on nothing that is not.
    async fn rest(&self) -> Result<Option<Incoming>, Error> {
        for basis in [Basis::Assumed, Basis::Exact] {
            match self.peer.news(&self.known, basis).await? {
                Came::Bundle(incoming) if covers(&self.known, incoming.bundle.basis()) => {
                    return Ok(Some(*incoming));
                }
                Came::Bundle(_) => {}
                Came::Standing(standing) if standing.answer == Answer::NothingNew => {
                    return Ok(None);
                }
                Came::Standing(_) => {
                    return Err(self.peer.failed("it asks for a vector that it was sent"));
                }
            }
        }
        Err(self.peer.failed("it takes something for known that it was not told"))
    }
}

//! Pushing to a replica that a server serves.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prophet_store::{
    ChangesetSource as _, DatabaseId, Error, PullReport, Replica, Unreadable, VersionVector, codec,
};
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH};
use reqwest::{Body, Method, StatusCode};
use tokio::time::{sleep, timeout};

use crate::basis::known;
use crate::connection::{Connection, Trouble, What, not_sent};
use crate::peer::HttpPeer;
use crate::pipe::bundle;
use crate::protocol::{BASIS_MISSING, BUNDLE, REPORT, REQUEST_BYTES, Standing};

/// No server says more of what it has seen: a vector longer than a request may be nobody could pull with, and
/// here it is in Base64.
const VECTOR_BYTES: u64 = 2 * REQUEST_BYTES as u64;
/// No report is longer: it has numbers, and a line for each replica that was copied.
const REPORT_BYTES: u64 = 16 << 20;

/// A push did not come to its end. What the server took in by then it keeps, and the next push goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The replica that was to be pushed failed.
    #[error(transparent)]
    Replica(#[from] Error),
    /// The server's replica is of another database.
    #[error(
        "{place} belongs to database {theirs}, this replica to {ours}; push to a replica of the same \
         database"
    )]
    #[non_exhaustive]
    OtherDatabase {
        /// The database of the replica that was to be pushed.
        ours: DatabaseId,
        /// The database of the server.
        theirs: DatabaseId,
        /// Where the server is.
        place: String,
    },
    /// The server cannot be reached, is none of Prophet's, or refuses.
    #[error("{place} was not pushed to: {why}")]
    #[non_exhaustive]
    Server {
        /// Where the server is.
        place: String,
        /// What it says, or what is in the way.
        why: String,
        /// The same for programs.
        cause: Unreadable,
    },
}

/// Where the server is, and what it has seen, unless that is what was said.
struct There {
    database: DatabaseId,
    vector: VersionVector,
}

/// Why an attempt to push came to nothing.
enum Failed {
    /// By what is here.
    Here(PushError),
    /// By the server, or what is on the way to it.
    There(Trouble),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::There(trouble)
    }
}

impl HttpPeer {
    /// Gives the server all that `replica` has and it has not, and says what that did there. It leaves
    /// the conflicts that come of it open, but for those that votes decide.
    ///
    /// A push that breaks off is tried again for what the server still lacks.
    ///
    /// # Errors
    /// A server of another database; one that cannot be reached or refuses; what the replica's store
    /// says.
    pub async fn push(&self, replica: &Replica) -> Result<PullReport, PushError> {
        let (connection, replica) = (Arc::clone(&self.connection), replica.clone());
        let pushed = self.on_runtime(async move {
            let (mut tried, mut exact) = (0, false);
            loop {
                let trouble = match connection.push(&replica, exact).await {
                    Ok(report) => return Ok(report),
                    Err(Failed::Here(error)) => return Err(error),
                    Err(Failed::There(trouble)) => trouble,
                };
                // Of an origin that forked, the server may lack a branch that is older than the other.
                if !exact
                    && matches!(&trouble.what, What::Refused(Some(sort)) if sort == BASIS_MISSING)
                {
                    exact = true;
                    continue;
                }
                if let Err(trouble) = connection.wait(trouble, &mut tried).await {
                    let (place, cause) = (connection.place.clone(), trouble.cause());
                    return Err(PushError::Server { place, why: trouble.why, cause });
                }
            }
        });
        pushed.await?
    }
}

fn here(error: Error) -> Failed {
    Failed::Here(error.into())
}

impl Connection {
    async fn push(&self, replica: &Replica, exact: bool) -> Result<PullReport, Failed> {
        let offer = replica.offer(&VersionVector::new()).await.map_err(here)?;
        let Some(there) = self.there(&offer.seen).await? else { return Ok(PullReport::of(&offer)) };
        if there.database != offer.database {
            let (ours, theirs, place) = (offer.database, there.database, self.place.clone());
            return Err(Failed::Here(PushError::OtherDatabase { ours, theirs, place }));
        }
        let basis = match exact {
            false => there.vector,
            true => known(&**replica.store(), &there.vector).await.map_err(here)?,
        };
        self.send(replica, basis).await
    }

    /// What the server has seen; nothing if that is `seen`.
    async fn there(&self, seen: &VersionVector) -> Result<Option<There>, Trouble> {
        let tag = format!("\"{}\"", seen.digest());
        let asked = self.request(Method::GET, "sync/vector").header(IF_NONE_MATCH, tag);
        let patience = self.options.connect.saturating_add(self.options.first_byte);
        let response = match timeout(patience, asked.send()).await {
            Err(_) => return Err(Trouble::lost("the server does not answer")),
            Ok(sent) => self.judge(sent.map_err(not_sent)?).await?,
        };
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let answered = self.read(response, VECTOR_BYTES).await?;
        let unreadable =
            |why: String| Trouble::refused(format!("what it says of itself cannot be read: {why}"));
        let standing: Standing = serde_json::from_slice(&answered.body)
            .map_err(|error| unreadable(error.to_string()))?;
        let vector = STANDARD.decode(standing.vector.unwrap_or_default());
        let vector = vector.map_err(|error| unreadable(error.to_string()))?;
        let vector =
            codec::decode_vector(&vector).map_err(|error| unreadable(error.to_string()))?;
        Ok(Some(There { database: standing.database, vector }))
    }

    /// Sends a bundle, as fast as the server takes it in.
    async fn send(&self, replica: &Replica, basis: VersionVector) -> Result<PullReport, Failed> {
        let patience = self.options.connect.saturating_add(self.options.first_byte);
        let (pieces, writing) = bundle(replica.clone(), basis, patience, ());
        let asked = self.request(Method::POST, "sync/push").header(CONTENT_TYPE, BUNDLE);
        let mut writing = writing;
        let mut wrote = None;
        // Nothing is too slow of which the server still takes something; after the last of it, it has to
        // answer in time.
        let sent = futures_lite::future::or(
            async { Some(asked.body(Body::wrap_stream(pieces)).send().await) },
            async {
                wrote = Some((&mut writing).await);
                sleep(patience).await;
                None
            },
        );
        let answered = match sent.await {
            None => Err(Trouble::lost("the server does not answer")),
            Some(Ok(response)) => self.judge(response).await,
            Some(Err(error)) => Err(not_sent(error)),
        };
        if answered.is_err() {
            let wrote = match wrote {
                Some(wrote) => wrote,
                None => writing.await,
            };
            match wrote {
                // That the server takes no more is said better by what it answered.
                Ok(Err(error)) if !matches!(error, Error::CannotWrite { .. }) => {
                    return Err(here(error));
                }
                _ => {}
            }
        }
        let answered = match answered {
            Ok(response) => self.read(response, REPORT_BYTES).await?,
            Err(trouble) => return Err(Failed::There(trouble)),
        };
        if answered.content != REPORT {
            let why = format!("it answers a push with {:?}", answered.content);
            return Err(Failed::There(Trouble::refused(why)));
        }
        let report = serde_json::from_slice::<PullReport>(&answered.body);
        report
            .map_err(|error| Trouble::refused(format!("its report cannot be read: {error}")).into())
    }
}

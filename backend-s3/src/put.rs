//! Putting a commit object in its place: the one request that commits, and finding out what came of
//! it.

use std::sync::Arc;

use bytes::Bytes;
use prophet_store::{Commit, Identity, StoreError};

use crate::bucket::{Attempt, Bucket};
use crate::commit_object::{self, Decoded};
use crate::error::Failed;
use crate::layout;

/// Whose commit is in the place that a commit was meant for.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The commit's own, which is these bytes: it is applied.
    Ours(Arc<[u8]>),
    /// This one: the other never will be.
    Theirs(Box<Decoded>),
}

/// How the place is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// By the service, which lets one of several win.
    Service,
    /// By the app, which has one writer: the service has no conditions, or does not keep to them.
    OneWriter,
}

/// Puts `commit` into the place that its version has, along with some before it.
///
/// An attempt that may have succeeded is never taken for one that failed. Whatever is not plain is
/// settled by what is there: an object in that place is never replaced, so the commit whose id it
/// has is the one that was applied, and every other one is not and never will be. While nothing is
/// there, a request that was lost on the way may still arrive. Sending the same commit again does no
/// harm then, and saying anything but that its outcome is unknown would.
///
/// # Errors
/// `OutcomeUnknown` while the commit may still be applied. Any other error: it is not, and no
/// request is on its way that could.
pub(crate) async fn put(
    bucket: &Bucket,
    identity: Identity,
    guard: Guard,
    commit: &Commit,
    before: &[Arc<[u8]>],
) -> Result<Settled, StoreError> {
    const ACTION: &str = "committing";
    let version = commit.head().version;
    let name = layout::commit(version);
    let place = bucket.place_of(&name);
    let unknown = |failed: Failed| {
        StoreError::outcome_unknown(commit.id(), &*bucket.place, Some(failed.into()))
    };
    let content: Arc<[u8]> = commit_object::content(commit).into();
    let object = commit_object::encode(identity, &content, before);
    let object = Bytes::from(object.map_err(|error| StoreError::io(&*place, ACTION, error))?);
    let (mut tried, mut under_way) = (0, false);
    loop {
        let attempt = match guard {
            Guard::Service => bucket.create(&name, object.clone()).await,
            Guard::OneWriter => match bucket.create(&name, object.clone()).await {
                Attempt::Unsupported(_) => bucket.put_once(&name, object.clone()).await,
                attempt => attempt,
            },
        };
        let failed = match attempt {
            Attempt::Written(_) => return Ok(Settled::Ours(content)),
            Attempt::Refused(failed) | Attempt::Unsupported(failed) if !under_way => {
                return Err(failed.at(&place, ACTION));
            }
            Attempt::Refused(failed)
            | Attempt::Unsupported(failed)
            | Attempt::NotMet(failed)
            | Attempt::Unknown(failed) => failed,
        };
        under_way = true;
        match bucket.get(&name).await {
            Ok(Some(found)) => {
                match commit_object::decode(&place, identity, version, &found.bytes) {
                    Ok(found) if found.commit.id() == commit.id() => {
                        return Ok(Settled::Ours(content));
                    }
                    Ok(found) => return Ok(Settled::Theirs(Box::new(found))),
                    // Whose it is cannot be told: it may be damaged on the way here.
                    Err(error) if tried >= bucket.retries => {
                        let source = Some(error.into());
                        let place = &*bucket.place;
                        return Err(StoreError::outcome_unknown(commit.id(), place, source));
                    }
                    Err(_) => {}
                }
            }
            Ok(None) if tried >= bucket.retries => return Err(unknown(failed)),
            Ok(None) => {}
            // Reading was tried again and again already.
            Err(_) => return Err(unknown(failed)),
        }
        bucket.pause(tried).await;
        tried += 1;
    }
}

//! Finding out what a pull would bring, without integrating any of it.

use std::sync::{Arc, Mutex, PoisonError};

use super::Plan;
use super::incoming::Incoming;
use crate::error::Error;
use crate::replica::Replica;
use crate::replica::batch::Batch;
use crate::replica::conflicts::is_open;
use crate::replica::receive::receive;
use crate::source::{ChangesetSource, Offer};

impl Replica {
    /// Goes through what the source has without integrating it, and fails if that would bring a
    /// conflict that the votes do not decide.
    pub(super) async fn refuse_conflicts(
        &self,
        source: &dyn ChangesetSource,
        offer: &Offer,
        plan: &Plan,
        batch_size: usize,
    ) -> Result<(), Error> {
        'pass: loop {
            let dry: Arc<Mutex<Option<Batch>>> = Arc::default();
            let take = || dry.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut begun = false;
            let mut changesets = Incoming::of(source, offer, plan, batch_size);
            while let Some(incoming) = changesets.next().await {
                let (incoming, dry, first) = (&incoming, &dry, !begun);
                let edited = self
                    .edit(|edit| {
                        let batch = take();
                        async move {
                            let front = edit.front()?;
                            let mut batch = match batch {
                                Some(batch) if batch.is_on(&front) => batch,
                                None if first => Batch::new(front),
                                // Somebody has edited in between.
                                _ => return Ok(None),
                            };
                            let received = receive(&edit, &mut batch, incoming).await?;
                            batch.forget_entries();
                            *dry.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
                            Ok(Some(received))
                        }
                    })
                    .await?;
                begun = true;
                let Some(received) = edited.value else { continue 'pass };
                if let Some((changeset, why)) = received.refused {
                    return Err(Error::bad_changeset(&offer.place, changeset, why));
                }
            }
            changesets.failure.map_or(Ok(()), Err)?;
            let Some(batch) = take() else { return Ok(()) };
            let mut conflicts = Vec::new();
            for state in batch.touched() {
                for (name, register) in state.contested() {
                    let came = register.writes().iter().any(|write| batch.has(&write.changeset));
                    if came && is_open(state, &name, register) {
                        conflicts.push((state.key().clone(), name));
                    }
                }
            }
            return match conflicts.is_empty() {
                true => Ok(()),
                false => Err(Error::ConflictsFound { place: offer.place.clone(), conflicts }),
            };
        }
    }
}

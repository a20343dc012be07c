//! Taking away what nobody needs: derived objects that no root names.

use std::collections::BTreeSet;

use prophet_files::manifest::MANIFEST;
use prophet_store::StoreError;

use crate::layout::{INDEX, LOG, PROBE, is_derived};
use crate::root::{FoundRoot, Root};
use crate::shared::Shared;

/// In seconds; what is younger may be what somebody is about to name.
const AGE: i64 = 24 * 60 * 60;
/// So many objects of a directory are looked at.
const MOST: usize = 100_000;
/// And so many removed, so that whoever waits for it does not wait for long.
const REMOVED: usize = 1_000;
/// And so many that cannot be.
const FAILED: usize = 8;

impl Shared {
    /// Removes derived objects that no root names, a thousand at most, that are a day older than the root, by
    /// the clock of the service: checkpoints that lost wrote them, or the one that was to remove them could
    /// not. How many.
    ///
    /// # Errors
    /// The first that failed; others may be gone by then.
    pub(crate) async fn sweep(&self) -> Result<usize, StoreError> {
        if self.read_only {
            return Ok(0);
        }
        let mut objects = Vec::new();
        for directory in [INDEX, LOG, PROBE] {
            for found in self.bucket.list(directory, None, MOST).await? {
                objects.push((format!("{directory}/{}", found.name), found.modified));
            }
        }
        // Read after the listing, it names all that others have come to need meanwhile.
        let place = self.bucket.place_of(MANIFEST);
        let object = self.bucket.get(MANIFEST).await?;
        let object = object.ok_or_else(|| StoreError::corrupt(&*place, "it is not there"))?;
        let root = match Root::decode(&place, &object, &[]) {
            FoundRoot::Root(root) => root,
            FoundRoot::Damaged(error) => return Err(error),
            FoundRoot::Missing | FoundRoot::Tree => {
                return Err(StoreError::corrupt(place, "it is that of a published tree"));
            }
        };
        // This handle may have derived more than it could say so far.
        let own = self.state();
        let roots = [&*root, &*own.root];
        let retired = roots.iter().flat_map(|root| &root.retired).map(|it| it.name.as_str());
        let needed: BTreeSet<&str> =
            roots.iter().flat_map(|root| root.names()).chain(retired).collect();
        let before = object.modified.saturating_sub(AGE);
        objects.retain(|(name, modified)| {
            *modified < before && is_derived(name) && !needed.contains(name.as_str())
        });
        objects.truncate(REMOVED);
        // One that cannot be removed keeps no other from it, and a service that answers nothing is left alone.
        let (mut removed, mut failed) = (0, Vec::new());
        for (name, _) in &objects {
            match self.bucket.delete(name).await {
                Ok(()) => removed += 1,
                Err(error) => failed.push(error),
            }
            if failed.len() == FAILED {
                break;
            }
        }
        failed.into_iter().next().map_or(Ok(removed), Err)
    }
}

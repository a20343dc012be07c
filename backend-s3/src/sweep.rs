//! Taking away what nobody needs: derived objects that no root names.

use std::collections::BTreeSet;

use prophet_files::manifest::MANIFEST;
use prophet_store::StoreError;

use crate::layout::{INDEX, LOG, PROBE};
use crate::root::{FoundRoot, Root};
use crate::shared::Shared;

/// In seconds; what is younger may be what somebody is about to name.
const AGE: i64 = 24 * 60 * 60;
/// So many objects of a directory are looked at.
const MOST: usize = 100_000;

impl Shared {
    /// Removes derived objects that the root does not name and that are a day older than the youngest there
    /// is, by the clock of the service: checkpoints that lost wrote them, or the one that was to remove them
    /// could not. How many.
    ///
    /// # Errors
    /// What failed; some may be gone by then.
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
        let youngest = objects.iter().map(|(_, modified)| *modified).max();
        let Some(before) = youngest.map(|it| it.saturating_sub(AGE)) else { return Ok(0) };
        objects.retain(|(_, modified)| *modified < before);
        if objects.is_empty() {
            return Ok(0);
        }
        // After the listing: what is named by now is there to stay.
        let root = match Root::fetch(&self.bucket, &[]).await? {
            FoundRoot::Root(root) => root,
            FoundRoot::Damaged(error) => return Err(error),
            FoundRoot::Missing | FoundRoot::Tree => {
                let place = self.bucket.place_of(MANIFEST);
                return Err(StoreError::corrupt(place, "there is no root to say what is needed"));
            }
        };
        let retired = root.retired.iter().map(|retired| retired.name.as_str());
        let needed: BTreeSet<&str> = root.names().chain(retired).collect();
        objects.retain(|(name, _)| !needed.contains(name.as_str()));
        for (name, _) in &objects {
            self.bucket.delete(name).await?;
        }
        Ok(objects.len())
    }
}

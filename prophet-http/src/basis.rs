//! What a bundle may leave out.

use prophet_store::{Error, ReplicaStore, VersionVector};

/// The part of what was seen elsewhere that is in the log of `store`: a bundle built on it takes
/// nothing else for known.
pub(crate) async fn known(
    store: &dyn ReplicaStore,
    elsewhere: &VersionVector,
) -> Result<VersionVector, Error> {
    let tips = elsewhere.tips();
    let tips: Vec<_> =
        tips.flat_map(|(origin, tips)| tips.iter().map(move |tip| (origin, *tip))).collect();
    let digests: Vec<_> = tips.iter().map(|(_, tip)| tip.digest).collect();
    let found = store.find_changesets(&digests).await?.value;
    let mut known = VersionVector::new();
    for ((origin, tip), found) in tips.into_iter().zip(found) {
        if found.is_some() {
            known.put(origin, tip);
        }
    }
    Ok(known)
}

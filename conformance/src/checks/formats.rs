//! What was written by each version of the codec that was ever released.

use prophet_store::codec;

use crate::failure::{Failure, Outcome, ensure_eq};
use crate::fixtures::{VERSIONS, World, unhex};
use crate::suite::{Context, apply};

pub(crate) async fn changesets_of_every_version_come_back(context: &Context<'_>) -> Outcome {
    for (version, lines) in VERSIONS {
        let place = context.harness().place();
        let store = place.create(World::IDENTITY)?;
        let mut world = World::new();
        let mut written = Vec::new();
        for line in lines.lines() {
            let bytes = unhex(line);
            let changeset = codec::decode_changeset(&bytes)
                .map_err(|error| Failure::around(format!("version {version}: {error}")))?;
            written.push((changeset.digest(), bytes));
            apply(&store, &world.draft().append(changeset, Vec::new(), Vec::new()).finish())
                .await?;
        }
        ensure_eq!(V1, written.is_empty(), false, "whether version {version} has changesets");
        world.model.expect(&store).await?;
        drop(store);
        let store = place.open()?;
        world.model.expect(&store).await?;
        let digests: Vec<_> = written.iter().map(|(digest, _)| *digest).collect();
        let found = store.find_changesets(&digests).await?.value;
        let log = &world.model.log;
        let expected: Vec<_> = log.iter().map(|entry| Some(entry.position)).collect();
        ensure_eq!(L2, found, expected, "where the changesets of version {version} are");
    }
    Ok(())
}

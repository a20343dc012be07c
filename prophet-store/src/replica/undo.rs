//! Undo: taking back a changeset with another one.

use crate::changeset::{Change, ChangeKind, PropertyChange};
use crate::error::{Error, Obstacle};
use crate::id::Digest;
use crate::log::LogEntry;
use crate::record::{Existence, RecordState};
use crate::register::{Register, RegisterName};
use crate::replica::{Edit, Replica};
use crate::typed::Properties;

impl Replica {
    /// Takes back what a changeset did, as a new changeset; taking that back does it again. The
    /// rules of types have no say: what was there comes back as it was. The answer is `None` if
    /// that is how it is already.
    ///
    /// # Errors
    /// Where anything was written since to what it wrote, also the same value, undoing it would
    /// lose that: then nothing is written, and every such place is named. A changeset that is not
    /// in the log; what the store says.
    pub async fn undo(&self, changeset: Digest) -> Result<Option<Digest>, Error> {
        let entry = self.changeset(changeset).await?;
        let edited = self
            .edit(|edit| {
                let entry = entry.clone();
                async move {
                    let changes = entry.changeset.changes();
                    let votes = entry.changeset.payload().votes().iter();
                    let mut obstacles: Vec<_> = votes
                        .map(|vote| Obstacle {
                            record: vote.record.clone(),
                            register: vote.register.clone(),
                            why: "was voted on, and a vote is changed by voting again",
                        })
                        .collect();
                    for change in changes {
                        let state = edit.state(&change.record).await?;
                        obstacles.extend(obstacles_to(&state, change, changeset));
                    }
                    if !obstacles.is_empty() {
                        return Err(Error::CannotUndo { changeset, obstacles });
                    }
                    edit.mark_undo(changeset)?;
                    for change in changes {
                        take_back(&edit, change, &entry).await?;
                    }
                    Ok(())
                }
            })
            .await?;
        Ok(edited.changeset())
    }
}

/// Where taking back `change`, made by `changeset`, would lose something.
fn obstacles_to(state: &RecordState, change: &Change, changeset: Digest) -> Vec<Obstacle> {
    let obstacle = |register, why| Obstacle { record: change.record.clone(), register, why };
    let mut obstacles = Vec::new();
    match change.kind {
        // Its properties can be set back as long as the record is there.
        ChangeKind::Update => {
            if state.existence() != Existence::Alive {
                obstacles.push(obstacle(RegisterName::Existence, "was deleted since"));
                return obstacles;
            }
        }
        // What brings the record into being, or ends it, is taken back only if nobody has built on
        // it: every later update asserts that the record exists.
        _ => {
            if !is_only_write(state.existence_register(), changeset) {
                obstacles.push(obstacle(RegisterName::Existence, "was written since"));
            }
        }
    }
    if change.kind == ChangeKind::Delete {
        return obstacles;
    }
    for property in &change.properties {
        let register = state.properties().get(&property.name);
        if !register.is_some_and(|register| is_only_write(register, changeset)) {
            let register = RegisterName::Property(property.name.clone());
            obstacles.push(obstacle(register, "was written since"));
        }
    }
    obstacles
}

fn is_only_write(register: &Register, changeset: Digest) -> bool {
    matches!(register.writes(), [write] if write.changeset == changeset)
}

async fn take_back(edit: &Edit, change: &Change, entry: &LogEntry) -> Result<(), Error> {
    match change.kind {
        ChangeKind::Create | ChangeKind::Recreate | ChangeKind::Undelete => {
            edit.delete(&change.record).await
        }
        ChangeKind::Delete => edit.undelete(&change.record).await,
        ChangeKind::Update => {
            // What was visible here, which is not what its author saw where they had seen other votes.
            let old = |property: &PropertyChange| {
                let register = RegisterName::Property(property.name.clone());
                let mut nullified = entry.nullify.iter();
                let here =
                    nullified.find(|it| it.record == change.record && it.register == register);
                here.map_or_else(|| property.old.clone(), |here| here.old.clone())
            };
            let properties = change.properties.iter();
            let before: Properties =
                properties.map(|property| (property.name.clone(), old(property))).collect();
            edit.update(&change.record, before).await
        }
    }
}

//! Which commits the object of a later one brings along. Each request costs about as much as some
//! kilobytes do, so that whoever reads many commits is to need few of them.
//!
//! The object of a version that is a multiple of 64 has all since the multiple of 64 before; of another
//! multiple of 8 those since the last multiple of 64, and of any other version those since the last
//! multiple of 8. So 64 commits are two requests where they begin at a multiple of 64, as those after a
//! checkpoint do, as a rule, and three elsewhere; and a commit is written about nine times, compressed with
//! those around it. None of more than 16 KiB is brought along, so an object brings less than a megabyte.

use std::sync::Arc;

use prophet_store::Version;

use crate::state::State;

/// What is longer is not brought along, and not kept for it, before it is compressed.
pub(crate) const LONGEST: usize = 16 << 10;

/// The last version that the object of this one does not bring along.
fn beyond(version: u64) -> u64 {
    match version {
        _ if version.is_multiple_of(64) => version.saturating_sub(64),
        _ if version.is_multiple_of(8) => version - version % 64,
        _ => version - version % 8,
    }
}

/// The commits that the object of the next version is to bring along, as bytes, the latest first.
pub(crate) fn along(state: &State) -> Vec<Arc<[u8]>> {
    let head = state.head.version.get();
    let beyond = beyond(head.saturating_add(1));
    let recent = state.tail.iter().rev().zip((0..=head).rev());
    let near = recent.take_while(|(_, version)| *version > beyond);
    near.map_while(|(recent, _)| recent.content.clone()).collect()
}

/// The versions whose objects bring all commits after one version up to another, if each has as much as
/// it may; the latest first.
pub(crate) fn steps(after: Version, last: Version) -> impl Iterator<Item = Version> {
    let more = move |version: &u64| Some(beyond(*version)).filter(|next| *next > after.get());
    let first = Some(last.get()).filter(|last| *last > after.get());
    std::iter::successors(first, more).map(Version::new)
}

#[cfg(test)]
mod tests {
    use prophet_store::{Commit, CommitId, Identity};

    use super::*;
    use crate::options::Sharers;
    use crate::root::Root;
    use crate::state::Recent;

    #[test]
    fn sixty_four_commits_are_two_objects_and_each_other_such_number_one_more() {
        let steps = |after: u64, last: u64| {
            let steps = steps(Version::new(after), Version::new(last));
            steps.map(Version::get).collect::<Vec<_>>()
        };
        assert_eq!(steps(0, 0), [0; 0]);
        assert_eq!(steps(0, 7), [7]);
        assert_eq!(steps(0, 63), [63, 56]);
        assert_eq!(steps(0, 64), [64]);
        assert_eq!(steps(64, 64 + 60), [124, 120]);
        assert_eq!(steps(100, 300), [300, 296, 256, 192, 128]);
        for after in 0..200_u64 {
            for last in after + 1..after + 200 {
                let most = (last - after).div_ceil(64) + 2;
                assert!(steps(after, last).len() as u64 <= most, "{after} to {last}");
            }
        }
    }

    #[test]
    fn an_object_brings_what_it_may_and_no_more() {
        let identity = Identity::new_database().unwrap();
        let nothing = Arc::new(Root::nothing(identity, Sharers::Several));
        let commit = |state: &State, bytes: usize| {
            let commit = Commit::new(CommitId::from_bytes([7; 16]), state.head);
            state.apply(Recent::new(commit, vec![0; bytes].into()))
        };
        let mut state = State::of(Arc::clone(&nothing));
        for version in 1..=200 {
            let brought = along(&state).len() as u64;
            assert_eq!(brought, version - 1 - beyond(version), "version {version}");
            state = commit(&state, 10);
        }
        // The latest of them, and none beyond one that is too long.
        let of = |sizes: &[usize]| {
            let state = State::of(Arc::clone(&nothing));
            let state = sizes.iter().fold(state, |state, bytes| commit(&state, *bytes));
            along(&state).iter().map(|content| content.len()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[1, 2, 3]), [3, 2, 1]);
        assert_eq!(of(&[1, LONGEST, 3]), [3, LONGEST, 1]);
        assert_eq!(of(&[1, LONGEST + 1, 3]), [3]);
        assert_eq!(of(&[1, 2, LONGEST + 1]), [0; 0]);
        assert_eq!(of(&[LONGEST; 63]).len(), 63);
    }

    #[test]
    fn what_the_steps_bring_is_all_there_is() {
        for last in 1..300 {
            let mut brought: Vec<u64> = steps(Version::ZERO, Version::new(last))
                .flat_map(|step| beyond(step.get()) + 1..=step.get())
                .collect();
            brought.sort_unstable();
            assert_eq!(brought, (1..=last).collect::<Vec<_>>());
        }
    }
}

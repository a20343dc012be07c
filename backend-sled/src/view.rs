//! What is read: the tree, as it was before the commit that is under way.
//!
//! A batch is not applied to sled at one moment for those who read meanwhile, and what is not on the
//! device yet must not be seen. So for as long as a commit is under way, readers are shown the values
//! that its keys had before, whatever the tree has there by then.

use std::iter::Peekable;
use std::ops::Bound;
use std::slice::Iter;

use prophet_kv::{Found, Map, Scan};
use prophet_store::{Direction, StoreError};
use prophet_tables::KeyRange;
use sled::IVec;

use crate::engine::Engine;

/// What a key had before, if anything.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) key: IVec,
    pub(crate) value: Option<IVec>,
}

/// The tree, but for some keys, which rise.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    engine: &'a Engine,
    before: &'a [Before],
}

impl<'a> View<'a> {
    pub(crate) const fn new(engine: &'a Engine, before: &'a [Before]) -> Self {
        Self { engine, before }
    }

    fn look(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(before) = find(self.before, key) {
            return Ok(before.value.as_ref().map(|value| value.to_vec()));
        }
        Ok(self.engine.get(key)?.map(|value| value.to_vec()))
    }
}

fn find<'b>(before: &'b [Before], key: &[u8]) -> Option<&'b Before> {
    let place = before.binary_search_by(|one| (*one.key).cmp(key)).ok()?;
    before.get(place)
}

impl<'a> Map for View<'a> {
    type Scan = ViewScan<'a>;

    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.look(key)
    }

    fn scan(&self, range: KeyRange, direction: Direction) -> ViewScan<'a> {
        ViewScan { view: *self, direction, state: State::New(range) }
    }
}

/// Goes through a range of the tree, and of what was there before.
pub(crate) struct ViewScan<'a> {
    view: View<'a>,
    direction: Direction,
    state: State<'a>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time, and nearly always the large one"
)]
enum State<'a> {
    New(KeyRange),
    Running(Running<'a>),
    Done,
}

struct Running<'a> {
    pairs: sled::Iter,
    /// Of the tree, not yet handed out.
    next: Option<(IVec, IVec)>,
    before: Peekable<Directed<'a>>,
}

/// The keys that had something before, in the direction of the scan.
enum Directed<'a> {
    Forward(Iter<'a, Before>),
    Backward(std::iter::Rev<Iter<'a, Before>>),
}

impl<'a> Iterator for Directed<'a> {
    type Item = (&'a IVec, &'a IVec);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let one = match self {
                Self::Forward(before) => before.next()?,
                Self::Backward(before) => before.next()?,
            };
            if let Some(value) = &one.value {
                return Some((&one.key, value));
            }
        }
    }
}

impl<'a> ViewScan<'a> {
    fn start(&self, range: KeyRange) -> Result<Option<Running<'a>>, StoreError> {
        if range.is_empty() {
            return Ok(None);
        }
        let all = self.view.before;
        let from = all.partition_point(|one| match &range.start {
            Bound::Included(start) => *one.key < *start.as_slice(),
            Bound::Excluded(start) => *one.key <= *start.as_slice(),
            Bound::Unbounded => false,
        });
        let to = all.partition_point(|one| match &range.end {
            Bound::Included(end) => *one.key <= *end.as_slice(),
            Bound::Excluded(end) => *one.key < *end.as_slice(),
            Bound::Unbounded => true,
        });
        let before = all.get(from..to).unwrap_or_default().iter();
        let before = match self.direction {
            Direction::Forward => Directed::Forward(before),
            Direction::Backward => Directed::Backward(before.rev()),
        };
        // The key that follows another is that one with a zero byte.
        let following = |mut key: Vec<u8>| {
            key.push(0);
            key
        };
        let start = match range.start {
            Bound::Included(start) => start,
            Bound::Excluded(start) => following(start),
            Bound::Unbounded => Vec::new(),
        };
        let end = match range.end {
            Bound::Included(end) => Some(following(end)),
            Bound::Excluded(end) => Some(end),
            Bound::Unbounded => None,
        };
        let pairs = self.view.engine.range(start, end)?;
        Ok(Some(Running { pairs, next: None, before: before.peekable() }))
    }

    fn step(&mut self) -> Result<Option<Found>, StoreError> {
        if let State::New(range) = &mut self.state {
            let range = std::mem::replace(range, KeyRange::all());
            self.state = self.start(range)?.map_or(State::Done, State::Running);
        }
        let State::Running(running) = &mut self.state else { return Ok(None) };
        let forward = self.direction == Direction::Forward;
        while running.next.is_none() {
            let Some(pair) = self.view.engine.step(&mut running.pairs, forward)? else { break };
            if find(self.view.before, &pair.0).is_none() {
                running.next = Some(pair);
            }
        }
        let older_first = match (&running.next, running.before.peek()) {
            (Some((key, _)), Some((before, _))) if forward => *before < key,
            (Some((key, _)), Some((before, _))) => *before > key,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let found = match older_first {
            true => running.before.next().map(|(key, value)| (key.to_vec(), value.to_vec())),
            false => running.next.take().map(|(key, value)| (key.to_vec(), value.to_vec())),
        };
        if found.is_none() {
            self.state = State::Done;
        }
        Ok(found)
    }
}

impl Scan for ViewScan<'_> {
    async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        self.step()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_lite::future::block_on;
    use proptest::prelude::*;
    use sled::Batch;

    use super::*;
    use crate::layout::Layout;

    type Kept = BTreeMap<Vec<u8>, Vec<u8>>;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0), Just(1), Just(255), 97..100_u8], 1..4)
    }

    fn kept() -> impl Strategy<Value = Kept> {
        prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..3), 0..40)
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        let bound = || {
            prop_oneof![
                key().prop_map(Bound::Included),
                key().prop_map(Bound::Excluded),
                Just(Bound::Unbounded)
            ]
        };
        (bound(), bound()).prop_map(|(start, end)| KeyRange { start, end })
    }

    /// What a range of a map holds, in a direction.
    fn all(map: impl Map, range: &KeyRange, direction: Direction) -> Vec<Found> {
        let mut scan = map.scan(range.clone(), direction);
        std::iter::from_fn(|| block_on(scan.next()).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever of a commit the tree has by then, readers see what was there before.
        #[test]
        fn a_commit_under_way_is_not_seen(
            old in kept(),
            writes in prop::collection::btree_map(
                key(),
                prop::option::of(prop::collection::vec(any::<u8>(), 0..3)),
                0..20,
            ),
            applied in prop::collection::vec(any::<bool>(), 20),
            ranges in prop::collection::vec(range(), 1..8),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let layout = Layout::new(directory.path());
            let lock = layout.lock().unwrap();
            let engine = Engine::open("a test", &layout.tree(), 1 << 20, lock).unwrap();
            let mut batch = Batch::default();
            for (key, value) in &old {
                batch.insert(key.as_slice(), value.as_slice());
            }
            engine.apply(batch).unwrap();
            let before: Vec<_> = writes
                .keys()
                .map(|key| Before {
                    key: key.as_slice().into(),
                    value: old.get(key).map(|value| value.as_slice().into()),
                })
                .collect();
            let mut batch = Batch::default();
            for ((key, value), applied) in writes.iter().zip(applied) {
                match value {
                    _ if !applied => {}
                    Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                    None => batch.remove(key.as_slice()),
                }
            }
            engine.apply(batch).unwrap();
            let view = View::new(&engine, &before);
            for range in ranges.into_iter().chain([KeyRange::all()]) {
                for direction in [Direction::Forward, Direction::Backward] {
                    prop_assert_eq!(
                        all(view, &range, direction),
                        all(&old, &range, direction),
                        "{:?} {:?}", range, direction
                    );
                }
            }
            for key in old.keys().chain(writes.keys()) {
                prop_assert_eq!(view.look(key).unwrap(), old.get(key).cloned());
            }
        }
    }
}

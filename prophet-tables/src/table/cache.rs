//! Unpacked blocks that are kept for the next look-up.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// Which table, and which of its blocks.
type Name = (u64, usize);

/// Keeps unpacked blocks of any number of tables, up to a number of bytes.
///
/// What was not asked for a second time goes first, so that one long scan does not drive out what
/// is in use.
pub struct BlockCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    blocks: HashMap<Name, Slot>,
    /// All of them, the next to go in front.
    queue: VecDeque<Name>,
    bytes: usize,
}

struct Slot {
    block: Arc<Block>,
    asked_for: bool,
}

impl BlockCache {
    /// A cache that keeps about `limit` bytes; with 0 it keeps nothing.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// About how many bytes it keeps at present.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    pub(crate) fn get(&self, table: u64, block: usize) -> Option<Arc<Block>> {
        if self.limit == 0 {
            return None;
        }
        let mut state = self.state();
        let slot = state.blocks.get_mut(&(table, block))?;
        slot.asked_for = true;
        Some(Arc::clone(&slot.block))
    }

    pub(crate) fn put(&self, table: u64, number: usize, block: &Arc<Block>) {
        let cost = block.cost();
        // One that would drive out all the others is not worth it.
        if cost > self.limit / 2 {
            return;
        }
        let name = (table, number);
        let mut state = self.state();
        if state.blocks.contains_key(&name) {
            // Two were looking for the same block.
            return;
        }
        state.blocks.insert(name, Slot { block: Arc::clone(block), asked_for: false });
        state.queue.push_back(name);
        state.bytes += cost;
        while state.bytes > self.limit {
            let Some(name) = state.queue.pop_front() else { return };
            match state.blocks.get_mut(&name) {
                Some(slot) if slot.asked_for => {
                    slot.asked_for = false;
                    state.queue.push_back(name);
                }
                _ => {
                    let gone = state.blocks.remove(&name);
                    state.bytes -= gone.map_or(0, |slot| slot.block.cost());
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Arc<Block> {
        let mut raw = Vec::new();
        super::super::block::put(&mut raw, 0, b"key", Some(&[0; 800]));
        Arc::new(Block::decode(raw).unwrap())
    }

    #[test]
    fn it_keeps_what_is_asked_for_and_no_more_than_it_may() {
        let cache = BlockCache::new(10_000);
        for number in 0..100 {
            assert!(cache.get(1, number).is_none());
            cache.put(1, number, &block());
            cache.put(1, number, &block());
            assert!(cache.bytes() <= 10_000);
            assert!(cache.get(1, 0).is_some());
        }
        assert!(cache.get(1, 1).is_none());
        assert!(cache.get(2, 0).is_none());
        assert!(cache.bytes() > 5_000);
    }

    #[test]
    fn a_small_one_keeps_nothing() {
        for limit in [0, 1000] {
            let cache = BlockCache::new(limit);
            cache.put(1, 1, &block());
            assert!(cache.get(1, 1).is_none());
            assert_eq!(cache.bytes(), 0);
        }
    }
}

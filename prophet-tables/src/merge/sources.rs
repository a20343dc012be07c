//! The merge itself: walks over all layers at once.

use std::collections::btree_map;

use prophet_store::Direction;

use super::Layer;
use crate::range::KeyRange;
use crate::table::{BlockCache, Cursor, ReadAt, TableError};

/// What a layer has for a range.
enum Walk<'a, R> {
    Memory {
        rest: btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>,
        direction: Direction,
        current: Option<(&'a Vec<u8>, &'a Option<Vec<u8>>)>,
    },
    Table(Box<Cursor<'a, R>>),
}

struct Source<'a, R> {
    walk: Walk<'a, R>,
    /// It has to go on before it is looked at.
    behind: bool,
}

/// The entries of all layers, tombstones too, each key once.
pub(super) struct Merge<'a, R> {
    /// The newest first.
    sources: Vec<Source<'a, R>>,
    direction: Direction,
    /// The source whose entry is next.
    best: Option<usize>,
}

impl<'a, R: ReadAt> Merge<'a, R> {
    pub(super) fn new(
        layers: &[Layer<'a, R>],
        range: KeyRange,
        direction: Direction,
        cache: &'a BlockCache,
    ) -> Self {
        let walk = |layer: &Layer<'a, R>| match *layer {
            Layer::Memory(memory) => {
                let rest = memory.range::<[u8], _>(range.bounds());
                Walk::Memory { rest, direction, current: None }
            }
            Layer::Table(table) => {
                Walk::Table(Box::new(table.seek(range.clone(), direction, cache)))
            }
        };
        // A map does not bear being asked for a range that ends before it starts.
        let layers = if range.is_empty() { &[] } else { layers };
        let sources =
            layers.iter().map(|layer| Source { walk: walk(layer), behind: true }).collect();
        Self { sources, direction, best: None }
    }

    /// Goes to the next key, and answers whether there is one.
    pub(super) async fn advance(&mut self) -> Result<bool, TableError> {
        // Whatever was waited for in vain is still behind when this is called again.
        self.leave();
        for source in self.sources.iter_mut().filter(|source| source.behind) {
            source.advance().await?;
            source.behind = false;
        }
        self.best = self.find_best();
        Ok(self.best.is_some())
    }

    pub(super) fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        self.sources.get(self.best?)?.current()
    }

    /// Everything about the present key, here and in older layers, is done with.
    fn leave(&mut self) {
        let Some(best) = self.best.take() else { return };
        // Those before it are newer, and have other keys.
        let Some((best, older)) =
            self.sources.get_mut(best..).and_then(<[Source<'_, R>]>::split_first_mut)
        else {
            return;
        };
        best.behind = true;
        let Some((key, _)) = best.current() else { return };
        for source in older {
            let same = source.current().is_some_and(|(other, _)| other == key);
            source.behind |= same;
        }
    }

    fn find_best(&self) -> Option<usize> {
        let mut best: Option<(usize, &[u8])> = None;
        for (number, source) in self.sources.iter().enumerate() {
            let Some((key, _)) = source.current() else { continue };
            let better = best.is_none_or(|(_, best)| match self.direction {
                Direction::Forward => key < best,
                Direction::Backward => key > best,
            });
            if better {
                best = Some((number, key));
            }
        }
        best.map(|(number, _)| number)
    }
}

impl<R: ReadAt> Source<'_, R> {
    async fn advance(&mut self) -> Result<(), TableError> {
        match &mut self.walk {
            Walk::Memory { rest, direction, current } => {
                *current = match direction {
                    Direction::Forward => rest.next(),
                    Direction::Backward => rest.next_back(),
                };
            }
            Walk::Table(cursor) => {
                cursor.advance().await?;
            }
        }
        Ok(())
    }

    fn current(&self) -> Option<(&[u8], Option<&[u8]>)> {
        match &self.walk {
            Walk::Memory { current, .. } => {
                current.map(|(key, value)| (key.as_slice(), value.as_deref()))
            }
            Walk::Table(cursor) => cursor.current(),
        }
    }
}

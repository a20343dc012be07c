//! Engines that are ordered maps of bytes: the keys and values of a commit as `prophet-kv` writes them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use prophet_kv::writes;
use prophet_store::{Commit, RecordKey, RecordState, codec};
use prophet_tables::keys;

use crate::floor::{Engine, Floor};

/// An ordered map of bytes that an engine is.
pub trait OrderedMap: Send + 'static {
    /// Whether a write waits for a device.
    const BLOCKS: bool = true;

    /// Puts all of these at once, durably.
    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>);

    /// Shows the value of a key, if there is one.
    fn get(&mut self, key: &[u8], show: &mut dyn FnMut(&[u8]));

    /// Shows keys and values from one key to before another, in order.
    fn scan(&mut self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]));
}

/// An ordered map as a floor.
pub fn map_engine<M: OrderedMap>(name: &'static str, open: impl Fn(&Path) -> M + 'static) -> Floor {
    Floor::new(name, move |directory| Pairs(open(directory)))
}

/// A map of the standard library: what a store in memory stands on.
pub fn memory() -> Floor {
    map_engine("a BTreeMap", |_| BTreeMap::new()).opens_at_once()
}

struct Pairs<M>(M);

/// The last key that begins with the byte of this one: what each kind of key begins with is one byte.
fn after(first: u8) -> Vec<u8> {
    vec![first.saturating_add(1)]
}

fn first(key: &[u8]) -> u8 {
    key.first().copied().unwrap_or_default()
}

impl<M: OrderedMap> Engine for Pairs<M> {
    type Write = Vec<(Vec<u8>, Vec<u8>)>;

    const BLOCKS: bool = M::BLOCKS;

    fn prepare(&mut self, commit: &Commit) -> Self::Write {
        let mut list = Vec::new();
        writes::commit(&mut list, commit);
        list.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn write(&mut self, write: Self::Write) {
        self.0.put(write);
    }

    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>> {
        let found = records.iter().map(|record| {
            let mut state = None;
            self.0
                .get(&keys::record(record), &mut |bytes| state = codec::decode_record(bytes).ok());
            state
        });
        found.collect()
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let from = first(&keys::record(&a_record()));
        self.0.scan(&[from], &after(from), &mut |_, value| each(value));
        true
    }

    fn history(&mut self, record: &RecordKey, each: &mut dyn FnMut(&[u8])) -> bool {
        let from = keys::history(record, prophet_store::Position::ZERO);
        let to = keys::history(record, prophet_store::Position::new(u64::MAX));
        let mut positions = Vec::new();
        self.0.scan(&from, &to, &mut |key, _| {
            positions.extend(keys::to_history(key).map(|(_, position)| position));
        });
        for position in positions {
            self.0.get(&keys::entry(position), each);
        }
        true
    }
}

/// Any record: for what the keys of all begin with.
fn a_record() -> RecordKey {
    let record_type = prophet_store::RecordType::new("bug").expect("it is a name");
    RecordKey::new(record_type, prophet_store::RecordId::from_bytes([0; 16]))
}

impl OrderedMap for BTreeMap<Vec<u8>, Vec<u8>> {
    const BLOCKS: bool = false;

    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        self.extend(pairs);
    }

    fn get(&mut self, key: &[u8], show: &mut dyn FnMut(&[u8])) {
        if let Some(value) = Self::get(self, key) {
            show(value);
        }
    }

    fn scan(&mut self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        let range = (Bound::Included(from), Bound::Excluded(to));
        for (key, value) in self.range::<[u8], _>(range) {
            each(key, value);
        }
    }
}

//! The suite over a store that is nothing but this crate and a map.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::sync::{Arc, Mutex};

use conformance::{Harness, Place, Store};
use prophet_store::{Identity, StoreError};
use support::{MapStore, PLACE, Volume};

struct MapHarness;

struct MapPlace(Arc<Mutex<Volume>>);

impl Harness for MapHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(MapPlace(Arc::default()))
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }
}

impl Place for MapPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        let mut volume = self.0.lock().unwrap();
        if volume.identity.is_some() {
            return Err(StoreError::already_exists(PLACE));
        }
        volume.identity = Some(identity);
        volume.open = true;
        Ok(Arc::new(MapStore::new(&self.0, identity)))
    }

    fn open(&self) -> Result<Store, StoreError> {
        let mut volume = self.0.lock().unwrap();
        let identity = volume.identity.ok_or_else(|| StoreError::not_found(PLACE))?;
        if std::mem::replace(&mut volume.open, true) {
            return Err(StoreError::locked(PLACE, "another handle of it is open"));
        }
        Ok(Arc::new(MapStore::new(&self.0, identity)))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

conformance::suite!(
    map,
    MapHarness,
    without = [address, several_processes, read_only, faults, power_loss, damage]
);
conformance::invariants!(invariants, MapHarness);

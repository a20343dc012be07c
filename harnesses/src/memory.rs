//! The reference store, whose harness is also the example of one.

use std::sync::Arc;

use prophet_store::{Identity, MemoryStore, MemoryVolume, StoreError};

use crate::harness::{Harness, Place, Store};

/// Checks [`MemoryStore`], which has none of the powers but to have its memory measured.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct MemoryHarness;

impl MemoryHarness {
    /// The harness.
    pub const fn new() -> Self {
        Self
    }
}

impl Harness for MemoryHarness {
    fn place(&self) -> Box<dyn Place> {
        Box::new(MemoryPlace(MemoryVolume::new()))
    }

    fn open_address(&self, address: &str) -> Result<Store, StoreError> {
        Err(StoreError::not_found(address))
    }
}

#[derive(Debug)]
struct MemoryPlace(MemoryVolume);

impl Place for MemoryPlace {
    fn create(&self, identity: Identity) -> Result<Store, StoreError> {
        Ok(Arc::new(MemoryStore::create(&self.0, identity)?))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(MemoryStore::open(&self.0)?))
    }

    fn open_read_only(&self) -> Option<Result<Store, StoreError>> {
        None
    }

    fn address(&self) -> Option<String> {
        None
    }
}

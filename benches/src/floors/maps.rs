//! Maps on disk: sled, redb, fjall.

use std::fs::File;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase as _, TableDefinition};
use sled::Db;

use crate::floor::Floor;
use crate::floors::map::{OrderedMap, map_engine};

/// Bare sled: one batch, flushed, and synced to the device as a durable store has to.
pub fn sled() -> Floor {
    map_engine("sled", |directory: &Path| {
        let config = sled::Config::new().path(directory).cache_capacity(64 << 20);
        let db = config.flush_every_ms(None).open().expect("sled opens");
        let file = File::options().write(true).open(directory.join("db"));
        Sled { db, file: file.expect("sled has a file") }
    })
}

struct Sled {
    db: Db,
    /// The flush of sled does not reach the device.
    file: File,
}

impl OrderedMap for Sled {
    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let mut batch = sled::Batch::default();
        for (key, value) in pairs {
            batch.insert(key, value);
        }
        self.db.apply_batch(batch).expect("sled takes a batch");
        self.db.flush().expect("sled flushes");
        self.file.sync_data().expect("a file can be synced");
    }

    fn get(&mut self, key: &[u8], show: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.db.get(key).expect("sled reads") {
            show(&value);
        }
    }

    fn scan(&mut self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        for pair in self.db.range(from..to) {
            let (key, value) = pair.expect("sled reads");
            each(&key, &value);
        }
    }
}

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("all");

/// Bare redb: one transaction, durable when it is committed, as is its default.
pub fn redb() -> Floor {
    map_engine("redb", |directory: &Path| {
        let db = redb::Database::create(directory.join("bare.redb")).expect("redb opens");
        Redb(db)
    })
}

struct Redb(redb::Database);

impl OrderedMap for Redb {
    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let transaction = self.0.begin_write().expect("redb begins");
        {
            let mut table = transaction.open_table(TABLE).expect("redb has a table");
            for (key, value) in &pairs {
                table.insert(key.as_slice(), value.as_slice()).expect("redb takes a pair");
            }
        }
        transaction.commit().expect("redb commits");
    }

    fn get(&mut self, key: &[u8], show: &mut dyn FnMut(&[u8])) {
        let transaction = self.0.begin_read().expect("redb begins");
        let table = transaction.open_table(TABLE).expect("redb has a table");
        if let Some(value) = table.get(key).expect("redb reads") {
            show(value.value());
        }
    }

    fn scan(&mut self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        let transaction = self.0.begin_read().expect("redb begins");
        let table = transaction.open_table(TABLE).expect("redb has a table");
        for pair in table.range(from..to).expect("redb reads") {
            let (key, value) = pair.expect("redb reads");
            each(key.value(), value.value());
        }
    }
}

/// Bare fjall: one batch, its journal synced when it is committed.
pub fn fjall() -> Floor {
    map_engine("fjall", |directory: &Path| {
        let db = Database::builder(directory).open().expect("fjall opens");
        let all = db.keyspace("all", KeyspaceCreateOptions::default).expect("fjall has a keyspace");
        Fjall { db, all }
    })
}

struct Fjall {
    db: Database,
    all: Keyspace,
}

impl OrderedMap for Fjall {
    fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.all, key, value);
        }
        batch.commit().expect("fjall commits");
    }

    fn get(&mut self, key: &[u8], show: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.all.get(key).expect("fjall reads") {
            show(&value);
        }
    }

    fn scan(&mut self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) {
        for pair in self.all.range(from..to) {
            let (key, value) = pair.into_inner().expect("fjall reads");
            each(&key, &value);
        }
    }
}

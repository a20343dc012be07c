//! Looking for damage: everything against everything else, and all keys against what they come to.

use futures_lite::future::block_on;
use prophet_kv::{Map as _, Report, Scan as _, Tally, certified};
use prophet_store::{Direction, StoreError, Verification};
use prophet_tables::KeyRange;

use crate::options::lost;
use crate::shared::State;
use crate::top::TOP;

/// Reads all of the replica at one head.
pub(crate) fn verify(place: &str, state: &State) -> Result<Verification, StoreError> {
    let mut report = Report::after(block_on(prophet_kv::verify(&state.reads(place)))?);
    let mut tally = Tally::default();
    let mut pairs = state.view().scan(KeyRange::all(), Direction::Forward);
    loop {
        match block_on(pairs.next()) {
            Ok(Some((key, _))) if key == TOP => {}
            Ok(Some((key, stored))) => {
                if certified(&key, &stored).is_none() {
                    let key = key.escape_ascii();
                    report.problem(format!("{place}, key {key}: its checksum is wrong"));
                }
                tally.replace(None, Some(&stored));
            }
            Ok(None) => break,
            Err(error @ StoreError::Corrupt { .. }) => {
                report.problem(error.to_string());
                return Ok(report.finish());
            }
            Err(other) => return Err(other),
        }
    }
    if tally != state.top.tally {
        report.problem(lost(place, &tally, &state.top.tally).to_string());
    }
    if state.witness.read() != Some(state.top) {
        report.problem(format!("{place}/head: it is not what was written to it last"));
    }
    Ok(report.finish())
}

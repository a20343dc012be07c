//! Benches live in `benches/benches`; run them with `cargo bench -p benches`.
//!
//! Every figure is measured beside its floor: the bare engine underneath, writing the same bytes
//! with the same durability, in the same run and in turns, so that a noisy disk slows both. Only
//! ratios within one run mean anything.

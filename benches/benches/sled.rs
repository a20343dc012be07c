//! All benches over sled, beside bare sled with the same keys and values.

benches::suite!(
    sled,
    harnesses::SledHarness::new(),
    floors = [benches::floors::sled()],
    beside = [benches::floors::redb(), benches::floors::fjall()]
);

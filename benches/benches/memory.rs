//! All benches over memory, beside a map of the standard library with the same keys and values.

benches::suite!(memory, harnesses::MemoryHarness::new(), floors = [benches::floors::memory()]);

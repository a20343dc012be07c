//! All benches over directories of files, beside a bare file.

benches::suite!(
    fs,
    harnesses::FsHarness::new(),
    floors = [benches::floors::file()],
    beside = [benches::floors::redb(), benches::floors::fjall()]
);

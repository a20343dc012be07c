//! All benches over SQLite, beside bare rusqlite with the same tables and rows.

benches::suite!(
    sqlite,
    harnesses::SqliteHarness::new(),
    floors = [benches::floors::sqlite()],
    beside = [benches::floors::redb(), benches::floors::fjall()]
);

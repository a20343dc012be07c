//! What somebody with the `sqlite3` command sees; the queries are those of the documentation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use backend_sqlite::SqliteStore;
use common::{Author, apply, commit, identity, place, record};
use prophet_store::{Head, PropertyName, RecordKey, Timestamp, Value};
use rusqlite::{Connection, OpenFlags};

/// All rows of a query, as text.
fn rows(conn: &Connection, query: &str) -> Vec<Vec<String>> {
    let mut statement = conn.prepare(query).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get(column)? {
                    rusqlite::types::Value::Null => "NULL".to_owned(),
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    rusqlite::types::Value::Text(text) => text,
                    other => format!("{other:?}"),
                })
            })
            .collect()
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_views_show_records_and_history_as_text() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path, identity()).unwrap();
    let key: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000001".parse().unwrap();
    let gone: RecordKey = "bug/018f2d6e-7b1c-7000-8000-000000000002".parse().unwrap();
    let mut author = Author::new(0xAB);
    let first = author.update(&key, "title", "it crashes");
    author.time = Timestamp::new(u64::MAX, 0);
    let second = author.update(&gone, "title", "it hangs");
    let title = |text| [(PropertyName::new("title").unwrap(), Value::from(text))];
    let commit = commit(1, Head::EMPTY, &[first.clone(), second])
        .with_record(record(&key, true, title("it crashes")))
        .unwrap()
        .with_record(record(&gone, false, title("it hangs")))
        .unwrap();
    apply(&store, &commit).unwrap();

    let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let changesets = "SELECT position, time, creator, kind FROM changesets ORDER BY position DESC";
    assert_eq!(
        rows(&conn, changesets),
        [
            ["2", "18446744073709551615 ms after 1970", "ada@example.org", "edit"],
            ["1", "2023-11-14T22:13:20.000Z", "ada@example.org", "edit"],
        ]
    );
    let records = "SELECT id, properties ->> 'title' FROM records \
         WHERE type = 'bug' AND existence = 'alive'";
    assert_eq!(rows(&conn, records), [["018f2d6e-7b1c-7000-8000-000000000001", "it crashes"]]);
    let history = "SELECT c.position, c.digest, c.origin FROM changesets c \
         JOIN touches t USING (position) \
         WHERE t.type = 'bug' AND t.id = '018f2d6e-7b1c-7000-8000-000000000001'";
    let digest = first.digest().to_string();
    let origin = "abababab-abab-abab-abab-abababababab".to_owned();
    assert_eq!(rows(&conn, history), [["1".to_owned(), digest, origin]]);
    let hidden = "SELECT existence, properties FROM records WHERE existence <> 'alive'";
    assert_eq!(rows(&conn, hidden), [["deleted", "NULL"]]);
    assert!(rows(&conn, "SELECT * FROM resolutions").is_empty());
}

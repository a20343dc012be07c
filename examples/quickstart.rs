//! An address book in one SQLite file: create, update, find, history, as of, undo.
//!
//! `cargo run --release --example quickstart`, or with a file name to keep the address book.

use std::error::Error;
use std::path::PathBuf;

use backend_sqlite::SqliteStore;
use futures_lite::{StreamExt as _, future};
use prophet_store::{
    Direction, Identity, Position, Properties, Query, RecordKey, Replica, ReplicaStoreExt as _,
    property,
};
use serde::{Deserialize, Serialize};

/// Any serde type can be a record. `None` is an absent property.
#[derive(Debug, Serialize, Deserialize)]
struct Person {
    name: String,
    email: String,
    city: Option<String>,
}

impl Person {
    fn new(name: &str, email: &str, city: &str) -> Self {
        Self { name: name.into(), email: email.into(), city: Some(city.into()) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let kept = std::env::args_os().nth(1).map(PathBuf::from);
    let path = kept.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("prophet-quickstart-{}.db", std::process::id()))
    });
    let shown = future::block_on(address_book(&path));
    if kept.is_none() {
        // What was made for the show goes with it.
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
    }
    shown
}

async fn address_book(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    heading("A new database in one SQLite file");
    let store = SqliteStore::create(path, Identity::new_database()?)?;
    let replica = Replica::options().creator("me@example.org")?.open(store).await?;
    println!("{}", path.display());

    heading("create: three people, each a typed record");
    let ada = replica
        .create_from("person", &Person::new("Ada Lovelace", "ada@example.org", "London"))
        .await?;
    let grace = replica
        .create_from("person", &Person::new("Grace Hopper", "grace@example.org", "New York"))
        .await?;
    let alan = replica
        .create_from("person", &Person::new("Alan Turing", "alan@example.org", "London"))
        .await?;
    show(&replica, &[&ada, &grace, &alan]).await?;
    let three_people = replica.head().await?.position;

    heading("update: Grace moves, and has a phone that the others need not have");
    let moves = Properties::try_from([("city", "Arlington"), ("phone", "+1 555 0100")])?;
    let moved = replica.update(&grace, moves).await?.ok_or("nothing changed")?;
    show(&replica, &[&grace]).await?;

    heading("edit: two records in one changeset, all or nothing");
    replica
        .edit(|edit| {
            let (ada, alan) = (ada.clone(), alan.clone());
            async move {
                edit.update(&ada, Properties::try_from([("knows", &alan)])?).await?;
                edit.update(&alan, Properties::try_from([("knows", &ada)])?).await
            }
        })
        .await?;
    let record = replica.get(&ada).await?.ok_or("Ada is gone")?;
    let friend = replica.follow(&record, "knows").await?.ok_or("Ada knows nobody")?;
    println!("Ada knows {}", friend.to::<Person>()?.name);

    heading("find: who lives in London, by name");
    let londoners = Query::of("person")?
        .filter(property("city")?.eq("London"))
        .order_by("name", Direction::Forward)?;
    let mut found = replica.find(&londoners);
    while let Some(record) = found.next().await {
        let person: Person = record?.to()?;
        println!("{} <{}>", person.name, person.email);
    }

    heading("history: what happened to Grace's record");
    let mut history = replica.history(&grace, Direction::Forward);
    while let Some(entry) = history.next().await {
        println!("{}", entry?);
    }

    heading(&format!("as of: the same record at position {three_people} of the log"));
    let then = replica.as_of(three_people).await?;
    println!("{:?}", then.get(&grace).await?.ok_or("Grace was not there")?.to::<Person>()?);

    heading("undo: she did not move after all; a new changeset, nothing is lost");
    replica.undo(moved).await?;
    show(&replica, &[&grace]).await?;

    heading("delete: hidden, and still in history");
    replica.delete(&alan).await?;
    println!("{} people are left", replica.count(&Query::of("person")?).await?);
    let before = Position::new(replica.head().await?.position.get() - 1);
    println!(
        "{} were there just before",
        replica.as_of(before).await?.count(&Query::of("person")?).await?
    );

    heading("audit: the records are exactly what the log says");
    let report = replica.store().audit().await?;
    println!(
        "{} changesets and {} records checked, {} problems",
        report.entries,
        report.records,
        report.problems.len()
    );
    Ok(replica.close().await?)
}

fn heading(text: &str) {
    println!("\n== {text}");
}

async fn show(replica: &Replica, keys: &[&RecordKey]) -> Result<(), Box<dyn Error>> {
    for key in keys {
        let record = replica.get(key).await?.ok_or("no such record")?;
        let properties: Vec<_> =
            record.properties().iter().map(|(name, value)| format!("{name}={value}")).collect();
        println!("{}  {}", record.id(), properties.join("  "));
    }
    Ok(())
}

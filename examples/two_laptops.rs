//! Two laptops, both offline, edit the same bug; they meet, disagree and vote; a third replica
//! breaks the tie, and everybody heals.
//!
//! `cargo run --release --example two_laptops`

use std::error::Error;
use std::path::Path;

use backend_sqlite::SqliteStore;
use futures_lite::{StreamExt as _, future};
use prophet_store::{
    Bundle, Choice, Conflict, Direction, Identity, Properties, PropertyName, PullOptions,
    RecordKey, RegisterName, Replica, Value,
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let directory =
        std::env::temp_dir().join(format!("prophet-two-laptops-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let shown = future::block_on(story(&directory));
    std::fs::remove_dir_all(&directory)?;
    shown
}

async fn story(directory: &Path) -> Result<()> {
    heading("Ada has a database on her laptop; Bob clones it onto his, and Carol onto hers");
    let identity = Identity::new_database()?;
    let store = SqliteStore::create(directory.join("ada.db"), identity)?;
    let ada = Replica::options().creator("ada")?.open(store).await?;
    let bug = ada
        .create("bug", Properties::try_from([("title", "It crashes"), ("status", "new")])?)
        .await?;
    let bob = clone(&ada, directory, "bob", identity).await?;
    let carol = clone(&ada, directory, "carol", identity).await?;
    show(&[("ada", &ada), ("bob", &bob), ("carol", &carol)], &bug).await?;

    heading("Both are offline. Ada fixes the bug; Bob finds that it is none");
    ada.update(&bug, Properties::try_from([("status", "fixed")])?).await?;
    bob.update(&bug, Properties::try_from([("status", "invalid")])?).await?;
    show(&[("ada", &ada), ("bob", &bob)], &bug).await?;

    heading("They meet. Nobody's edit is lost, and nobody is stopped: the conflict is data");
    println!("bob pulls: {}", bob.pull(&ada, PullOptions::new()).await?);
    println!("ada pulls: {}", ada.pull(&bob, PullOptions::new()).await?);
    show(&[("ada", &ada), ("bob", &bob)], &bug).await?;
    println!("{}", ada.why(&bug, &status()?).await?);

    heading("Each votes for what they wrote, and they meet again: a tie");
    vote(&ada, "fixed").await?;
    vote(&bob, "invalid").await?;
    bob.pull(&ada, PullOptions::new()).await?;
    ada.pull(&bob, PullOptions::new()).await?;
    show(&[("ada", &ada), ("bob", &bob)], &bug).await?;

    heading("Carol meets nobody: Bob puts what she lacks on a stick. Pulling from it asks her");
    let stick = directory.join("for-carol.bundle");
    let bundle = bob.bundle_to(&carol.vector().await?, &stick).await?;
    println!("the bundle has {} changesets in {} bytes", bundle.changesets, bundle.bytes);
    let ask = PullOptions::new().ask(|conflict: &Conflict| {
        println!("carol is asked about the {}:", conflict.register);
        for vote in &conflict.votes {
            let choice = vote.choice.as_ref().map(ToString::to_string);
            println!("    {} voted for {}", vote.by, choice.unwrap_or_default());
        }
        Choice::Value(Some(Value::from("fixed")))
    });
    println!("carol pulls: {}", carol.pull(&Bundle::open(&stick)?, ask).await?);
    println!("{}", carol.why(&bug, &status()?).await?);

    heading("Her vote travels, and everybody heals");
    println!("bob pulls: {}", bob.pull(&carol, PullOptions::new()).await?);
    println!("ada pulls: {}", ada.pull(&bob, PullOptions::new()).await?);
    show(&[("ada", &ada), ("bob", &bob), ("carol", &carol)], &bug).await?;

    heading("What happened to the bug, as Bob's replica tells it");
    let mut history = bob.history(&bug, Direction::Forward);
    while let Some(entry) = history.next().await {
        println!("{}", entry?);
    }
    Ok(())
}

async fn clone(
    source: &Replica,
    directory: &Path,
    name: &str,
    identity: Identity,
) -> Result<Replica> {
    let identity = Identity::new_replica(identity.database)?;
    let store = SqliteStore::create(directory.join(format!("{name}.db")), identity)?;
    Ok(Replica::options().creator(name)?.clone_of(store, source).await?)
}

async fn vote(replica: &Replica, choice: &str) -> Result<()> {
    let conflicts: Vec<_> = replica.conflicts().try_collect().await?;
    for conflict in &conflicts {
        replica.resolve(conflict, Some(Value::from(choice))).await?;
    }
    Ok(())
}

fn status() -> Result<RegisterName> {
    Ok(RegisterName::Property(PropertyName::new("status")?))
}

async fn show(replicas: &[(&str, &Replica)], bug: &RecordKey) -> Result<()> {
    for (name, replica) in replicas {
        let record = replica.get(bug).await?.ok_or("the bug is there")?;
        let status = record.get("status").map(ToString::to_string).unwrap_or_default();
        let open = replica.conflict_counts().await?.open;
        println!("{name:>6} sees {status}; open conflicts: {open}");
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}");
}

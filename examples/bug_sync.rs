//! The history of a bug tracker, written by people on eight replicas that sync now and then.
//!
//! `cargo run --release --example bug_sync -- FILE [SEED]`
//!
//! FILE is as for `bug_history`. Each author keeps to one replica; who pulls from whom, and when,
//! is drawn from SEED. In the end all pull from all, and have to be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use futures_lite::{StreamExt as _, future};
use prophet_store::{
    Direction, Identity, LogScan, MemoryStore, PullOptions, RecordScan, RegisterName, Replica,
    ReplicaStoreExt as _,
};

mod tracker;

use tracker::{Line, What, bug_key, read, write};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const REPLICAS: usize = 8;
/// How often, in edits, somebody pulls from somebody.
const PULL_EVERY: u64 = 4;
const USAGE: &str = "usage: bug_sync FILE [SEED]";

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let ran = match arguments.as_slice() {
        [file] => future::block_on(run(file, 1)),
        [file, seed] => seed
            .parse()
            .map_err(|_| USAGE.into())
            .and_then(|seed| future::block_on(run(file, seed))),
        _ => Err(USAGE.into()),
    };
    if let Err(error) = ran {
        eprintln!("bug_sync: {error}");
        std::process::exit(1);
    }
}

/// Numbers that look random and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }
}

/// Where an author works: any number that follows from the name.
fn home(author: &str) -> usize {
    author.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % 8_191) % REPLICAS
}

async fn run(file: &str, seed: u64) -> Result<()> {
    let lines = read(file)?;
    let identity = Identity::new_database()?;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        let store = MemoryStore::new(Identity::new_replica(identity.database)?);
        replicas.push(Replica::open(store).await?);
    }
    work(&replicas, &lines, &mut Chance(seed)).await?;
    meet(&replicas).await?;
    compare(&replicas, &lines).await?;
    conflicts(replicas.first().ok_or("there are eight")?).await
}

/// Every author edits on a replica of their own; now and then somebody pulls from somebody.
async fn work(replicas: &[Replica], lines: &[Line], chance: &mut Chance) -> Result<()> {
    let at = |number: usize| replicas.get(number).ok_or("there are eight");
    let mut reported: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut pulls, mut fetched) = (0, 0);
    for line in lines {
        let here = home(&line.author);
        if line.ops.iter().any(|operation| matches!(operation.what, What::Create { .. })) {
            reported.insert(&line.bug, here);
        } else if at(here)?.get(&bug_key(&line.bug)?).await?.is_none() {
            // Nobody comments on a bug that they cannot see.
            let there = *reported.get(line.bug.as_str()).ok_or("a bug that nobody reported")?;
            at(here)?.pull(at(there)?, PullOptions::new()).await?;
            fetched += 1;
        }
        at(here)?.edit(|edit| async move { write(&edit, line).await }).await?;
        if chance.below(PULL_EVERY as usize) == 0 {
            let (target, source) = (chance.below(REPLICAS), chance.below(REPLICAS));
            if target != source {
                at(target)?.pull(at(source)?, PullOptions::new()).await?;
                pulls += 1;
            }
        }
    }
    println!(
        "{} edits by people on {REPLICAS} replicas; {pulls} pulls at random, {fetched} to see a bug",
        lines.len()
    );
    Ok(())
}

/// All pull from all, until nobody has anything new.
async fn meet(replicas: &[Replica]) -> Result<()> {
    let mut integrated = 0;
    loop {
        let mut new = 0;
        for (target_number, target) in replicas.iter().enumerate() {
            for (source_number, source) in replicas.iter().enumerate() {
                if target_number != source_number {
                    new += target.pull(source, PullOptions::new()).await?.integrated;
                }
            }
        }
        integrated += new;
        if new == 0 {
            println!("all pull from all: {integrated} changesets integrated in the end");
            return Ok(());
        }
    }
}

/// All replicas show the same, and have every edit in their history.
async fn compare(replicas: &[Replica], lines: &[Line]) -> Result<()> {
    let mut shown = Vec::new();
    for replica in replicas {
        shown.push(everything(replica).await?);
    }
    if shown.iter().any(|one| Some(one) != shown.first()) {
        return Err("the replicas differ".into());
    }
    let count = shown.first().map_or(0, BTreeMap::len);
    println!("{REPLICAS} replicas are equal: {count} records, their conflicts, votes and reasons");

    for replica in replicas {
        let log = replica.store().stream_log(LogScan::default());
        if log.count().await != lines.len() {
            return Err("not every edit became a changeset that everybody has".into());
        }
        let audit = replica.store().audit().await?;
        if let Some(problem) = audit.problems.into_iter().next() {
            return Err(problem.into());
        }
        for line in lines {
            let mut history = replica.history(&bug_key(&line.bug)?, Direction::Forward);
            let time = line.ops.first().map(|operation| operation.time * 1_000);
            let mut found = false;
            while let Some(entry) = history.next().await {
                let entry = entry?;
                found |= entry.creator.as_str() == line.author && Some(entry.time.millis()) == time;
            }
            if !found {
                return Err(format!("an edit of bug {} is in nobody's history", line.bug).into());
            }
        }
    }
    println!(
        "every one of the {} edits is in the history of its bug, on every replica",
        lines.len()
    );
    Ok(())
}

/// What a replica shows of each record, and why.
async fn everything(replica: &Replica) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut states = replica.store().stream_records(RecordScan::default());
    while let Some(state) = states.next().await {
        let state = state?;
        let mut said = format!("{:?}", state.visible());
        let names: BTreeSet<_> = state.properties().keys().cloned().collect();
        let properties = names.into_iter().map(RegisterName::Property);
        for register in std::iter::once(RegisterName::Existence).chain(properties) {
            said.push_str(&format!("\n{}", replica.why(state.key(), &register).await?));
        }
        all.insert(state.key().to_string(), said);
    }
    Ok(all)
}

/// The conflicts that are left, with what won and what lost.
async fn conflicts(replica: &Replica) -> Result<()> {
    let counts = replica.conflict_counts().await?;
    println!("{} conflicts are open; by register:", counts.open);
    let mut by_register: BTreeMap<String, u64> = BTreeMap::new();
    let mut shown = Vec::new();
    let mut conflicts = replica.conflicts();
    while let Some(conflict) = conflicts.next().await {
        let conflict = conflict?;
        *by_register.entry(conflict.register.to_string()).or_default() += 1;
        let value = |value: Option<&prophet_store::Value>| {
            value.map_or_else(|| "absent".to_owned(), ToString::to_string)
        };
        let losers = conflict.values().filter(|loser| *loser != conflict.visible.as_ref());
        let losers: Vec<_> = losers.map(value).collect();
        if conflict.register.to_string() != "property \"edits\"" {
            shown.push(format!(
                "  {} of {}: {} wins over {}",
                conflict.register,
                conflict.record,
                value(conflict.visible.as_ref()),
                losers.join(", ")
            ));
        }
    }
    by_register.iter().for_each(|(register, count)| println!("{count:>7}  {register}"));
    println!("those that are not about the count of edits:");
    shown.iter().for_each(|line| println!("{line}"));
    Ok(())
}

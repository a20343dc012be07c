//! Replays the history of a bug tracker, edit by edit, and looks around in it.
//!
//! `cargo run --release --example bug_history -- FILE [--store memory|sqlite:PATH|fs:PATH] [--batch N]`
//!
//! FILE holds one line of JSON an edit: `{"bug": id, "author": name, "ops": [...]}`. Each line
//! becomes one changeset, by its author at its time; comments become records that refer to their
//! bug. N lines, 100 unless given, share one commit.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use backend_fs::FsStore;
use backend_sqlite::SqliteStore;
use futures_lite::{StreamExt as _, future};
use indicatif::{ProgressBar, ProgressStyle};
use prophet_store::{
    Direction, Identity, MemoryStore, Position, Query, RecordKey, Replica, ReplicaStore,
    ReplicaStoreExt as _, Value, property,
};

mod tracker;

use tracker::{Line, write};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

struct Options {
    file: String,
    store: String,
    batch: usize,
}

const USAGE: &str = "usage: bug_history FILE [--store memory|sqlite:PATH|fs:PATH] [--batch N]";

fn main() {
    if let Err(error) = options().and_then(|options| future::block_on(run(&options))) {
        eprintln!("bug_history: {error}");
        std::process::exit(1);
    }
}

fn options() -> Result<Options> {
    let mut arguments = std::env::args().skip(1);
    let (mut file, mut store, mut batch) = (None, "memory".to_owned(), 100);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--store" => store = arguments.next().ok_or(USAGE)?,
            "--batch" => batch = arguments.next().ok_or(USAGE)?.parse()?,
            _ if argument.starts_with('-') || file.is_some() => return Err(USAGE.into()),
            _ => file = Some(argument),
        }
    }
    if batch == 0 {
        return Err("--batch needs at least 1".into());
    }
    Ok(Options { file: file.ok_or(USAGE)?, store, batch })
}

fn open(name: &str, identity: Identity) -> Result<Arc<dyn ReplicaStore>> {
    match name.split_once(':') {
        None if name == "memory" => Ok(Arc::new(MemoryStore::new(identity))),
        Some(("sqlite", path)) => Ok(Arc::new(SqliteStore::create(path, identity)?)),
        Some(("fs", path)) => Ok(Arc::new(FsStore::create(path, identity)?)),
        _ => Err(format!("{name:?} is not a store; {USAGE}").into()),
    }
}

async fn run(options: &Options) -> Result<()> {
    let lines = tracker::read(&options.file)?;
    let store = open(&options.store, Identity::new_database()?)?;
    let replica = Replica::options().open_shared(store).await?;

    replay(&replica, &lines, options.batch).await?;
    by_type(&replica).await?;
    let busiest = busiest(&replica).await?;
    one_history(&replica, &busiest).await?;
    in_the_middle(&replica).await?;
    check(&replica).await
}

/// Writes every line as a changeset, `batch` of them a commit.
#[allow(clippy::disallowed_methods, reason = "the rate is for a person to read")]
async fn replay(replica: &Replica, lines: &[Line], batch: usize) -> Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} edits, {per_sec}")?;
    let bar = ProgressBar::new(lines.len() as u64).with_style(style);
    let started = Instant::now();
    let mut changesets = 0;
    for lines in lines.chunks(batch) {
        let edited = replica
            .edit(|edit| async move {
                for line in lines {
                    write(&edit, line).await?;
                }
                Ok(())
            })
            .await?;
        changesets += edited.changesets.len();
        bar.inc(lines.len() as u64);
    }
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} edits in {changesets} changesets, {batch} edits a commit: {:.0} edits/s",
        lines.len(),
        lines.len() as f64 / seconds
    );
    Ok(())
}

async fn by_type(replica: &Replica) -> Result<()> {
    println!("\nRecords by type");
    for (record_type, count) in replica.record_types().await? {
        println!("{count:>7}  {record_type}");
    }
    Ok(())
}

/// Prints the ten bugs with the most comments and gives the first.
async fn busiest(replica: &Replica) -> Result<RecordKey> {
    let mut comments: HashMap<RecordKey, (u64, String)> = HashMap::new();
    let query = Query::of("comment")?;
    let mut joined = replica.join(&query, "bug")?;
    while let Some(pair) = joined.next().await {
        let (_, Some(bug)) = pair? else { continue };
        let title = || bug.get("title").map(ToString::to_string).unwrap_or_default();
        comments.entry(bug.key().clone()).or_insert_with(|| (0, title())).0 += 1;
    }
    let mut bugs: Vec<_> = comments.into_iter().collect();
    bugs.sort_by(|(one, (comments, _)), (other, (more, _))| {
        more.cmp(comments).then_with(|| one.cmp(other))
    });
    println!("\nThe ten busiest bugs, by comments");
    for (bug, (count, title)) in bugs.iter().take(10) {
        let [luid] = replica.luids(std::slice::from_ref(bug)).await?[..] else {
            return Err("a luid for one record".into());
        };
        println!("{count:>7}  #{luid:<3} {title}");
    }
    Ok(bugs.into_iter().next().ok_or("there are no comments")?.0)
}

async fn one_history(replica: &Replica, bug: &RecordKey) -> Result<()> {
    println!("\nThe history of the busiest, {bug}");
    let mut history = replica.history(bug, Direction::Forward);
    while let Some(entry) = history.next().await {
        println!("{}", entry?);
    }
    Ok(())
}

async fn in_the_middle(replica: &Replica) -> Result<()> {
    let last = replica.head().await?.position;
    let middle = Position::new(last.get() / 2);
    let then = replica.as_of(middle).await?;
    let open = Query::of("bug")?.filter(property("status")?.eq("open"));
    println!("\nOpen bugs as of position {middle} of {last}");
    let mut reporters: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    let mut found = then.find(&open);
    while let Some(record) = found.next().await {
        let record = record?;
        let text = |name| record.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
        println!("         {}", text("title"));
        *reporters.entry(text("reporter")).or_default() += 1;
        count += 1;
    }
    println!(
        "{count:>7}  by {} people then; {} are open now",
        reporters.len(),
        replica.count(&open).await?
    );
    Ok(())
}

async fn check(replica: &Replica) -> Result<()> {
    let audit = replica.store().audit().await?;
    let verify = replica.store().verify().await?;
    println!(
        "\naudit: {} changesets and {} records, {} problems\nverify: {} problems",
        audit.entries,
        audit.records,
        audit.problems.len(),
        verify.problems.len()
    );
    match audit.problems.iter().chain(&verify.problems).next() {
        None => Ok(()),
        Some(problem) => Err(problem.clone().into()),
    }
}

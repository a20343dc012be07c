//! Prophet, over SQLite and over files.

use std::path::Path;
use std::sync::Arc;

use backend_fs::FsStore;
use backend_sqlite::SqliteStore;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::{
    Identity, Properties, PullOptions, Query, RecordKey, Replica, ReplicaStore, property,
};

use crate::Result;
use crate::steps::{Steps, peak_of_this_process};
use crate::subject::{Task, Work};
use crate::tracker::{self, Line};
use crate::work::{Bug, CLOSED, Mode, SEVERE, check, listed, new_status};

/// What a replica is in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
    Files,
}

impl Engine {
    fn create(self, path: &Path, identity: Identity) -> Result<Arc<dyn ReplicaStore>> {
        Ok(match self {
            Self::Sqlite => Arc::new(SqliteStore::create(path, identity)?),
            Self::Files => Arc::new(FsStore::create(path, identity)?),
        })
    }

    fn open(self, path: &Path) -> Result<Arc<dyn ReplicaStore>> {
        Ok(match self {
            Self::Sqlite => Arc::new(SqliteStore::open(path)?),
            Self::Files => Arc::new(FsStore::open(path)?),
        })
    }
}

pub(crate) fn work(task: &Task, engine: Engine) -> Result<Steps> {
    let (here, there) = (task.directory.join("a"), task.directory.join("b"));
    let identity = Identity::new_database()?;
    let replica = block_on(Replica::options().open_shared(engine.create(&here, identity)?))?;
    let mut steps = Steps::default();
    let one = match &task.work {
        Work::Records(records) => records_of(&mut steps, &replica, task.mode, *records)?,
        Work::History(lines) => {
            steps.once("load", || block_on(replay(&replica, lines, task.mode)))?;
            tracker::bug_key(&lines.first().ok_or("the history is empty")?.bug)?
        }
    };
    let other = steps.once("replicate", || {
        let store = engine.create(&there, Identity::new_replica(identity.database)?)?;
        let other = block_on(Replica::options().open_shared(store))?;
        block_on(other.pull(&replica, PullOptions::new()))?;
        Ok(other)
    })?;
    match task.work {
        Work::Records(records) => check("listed at the other", list(&other)?, listed(records))?,
        Work::History(_) => {
            let same = block_on(other.vector())? == block_on(replica.vector())?;
            check("equal replicas", usize::from(same), 1)?;
        }
    }
    steps.often("nothing new", || {
        block_on(other.pull(&replica, PullOptions::new()))?;
        Ok(())
    })?;
    block_on(replica.close())?;
    block_on(other.close())?;
    steps.often("open", || {
        let replica = block_on(Replica::options().open_shared(engine.open(&here)?))?;
        block_on(replica.get(&one))?.ok_or("what was written is not there")?;
        Ok(())
    })?;
    steps.sizes(&here, &there)?;
    steps.peak(peak_of_this_process()?);
    Ok(steps)
}

/// Gives one of the records.
fn records_of(
    steps: &mut Steps,
    replica: &Replica,
    mode: Mode,
    records: usize,
) -> Result<RecordKey> {
    let numbers: Vec<usize> = (0..records).collect();
    let keys = steps.once("load", || block_on(create(replica, mode, &numbers)))?;
    steps.once("update", || block_on(update(replica, mode, &keys)))?;
    steps.often("list", || check("listed", list(replica)?, listed(records)))?;
    Ok(keys.into_iter().next_back().ok_or("no records")?)
}

fn properties(number: usize) -> Result<Properties, prophet_store::Error> {
    let bug = Bug::new(number);
    Ok(Properties::new()
        .with("title", bug.title)?
        .with("status", bug.status)?
        .with("owner", bug.owner)?
        .with("severity", bug.severity)?
        .with("component", bug.component)?)
}

async fn create(replica: &Replica, mode: Mode, numbers: &[usize]) -> Result<Vec<RecordKey>> {
    let mut keys = Vec::new();
    for numbers in numbers.chunks(mode.edits()) {
        let edited = replica
            .edit(|edit| async move {
                let mut keys = Vec::new();
                for number in numbers {
                    edit.begin_changeset("ada@example.org", None)?;
                    keys.push(edit.create("bug", properties(*number)?).await?);
                }
                Ok(keys)
            })
            .await?;
        keys.extend(edited.value);
    }
    Ok(keys)
}

async fn update(replica: &Replica, mode: Mode, keys: &[RecordKey]) -> Result<()> {
    let numbered: Vec<(usize, &RecordKey)> = keys.iter().enumerate().collect();
    for numbered in numbered.chunks(mode.edits()) {
        replica
            .edit(|edit| async move {
                for (number, key) in numbered {
                    edit.begin_changeset("ada@example.org", None)?;
                    let status = Properties::new().with("status", new_status(*number))?;
                    edit.update(key, status).await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// How many records are listed, each of them read whole.
fn list(replica: &Replica) -> Result<usize> {
    let severe = property("severity")?.ge(SEVERE);
    let query = Query::of("bug")?.filter(property("status")?.eq(CLOSED).and(severe));
    block_on(async {
        let mut found = replica.find(&query);
        let mut count = 0;
        while let Some(record) = found.next().await {
            count += usize::from(record?.get("title").is_some());
        }
        Ok(count)
    })
}

async fn replay(replica: &Replica, lines: &[Line], mode: Mode) -> Result<()> {
    for lines in lines.chunks(mode.edits()) {
        replica
            .edit(|edit| async move {
                for line in lines {
                    tracker::write(&edit, line).await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

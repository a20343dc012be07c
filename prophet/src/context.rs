//! What a command is run with: the options, the output, and the replica, once it is needed.

use prophet_store::{Error, RecordKey, Replica, StoreError};

use crate::Result;
use crate::args::Global;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::replica::{self, Located, open::Opened};

/// What a command is run with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    session: Option<Session>,
}

/// An open replica. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) located: Located,
    pub(crate) replica: Replica,
    /// Whether changes are to be refused, for there is no replica behind it that would keep them.
    passing: bool,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let output = Output::new(&global);
        Self { global, output, session: None }
    }

    /// One for another line at the same prompt: on the same open replica, unless the line names
    /// another one.
    pub(crate) fn for_line(&self, global: Global) -> Self {
        let same = self.global.replica == global.replica && self.global.creator == global.creator;
        let session = self.session.as_ref().filter(|_| same).cloned();
        let output = Output::new(&global);
        Self { global, output, session }
    }

    /// Where the replica is.
    pub(crate) fn located(&self) -> Result<Located> {
        match &self.session {
            Some(session) => Ok(session.located.clone()),
            None => replica::locate(self.global.replica.as_deref()),
        }
    }

    /// What is kept beside the replica, as it is now.
    pub(crate) fn config(&self) -> Result<Config> {
        self.located()?.config()
    }

    /// The replica, opened when it is first asked for.
    pub(crate) async fn session(&mut self) -> Result<Session> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let located = self.located()?;
        let creator = self.creator(&located.config()?);
        let Opened { replica, passing, warning } =
            replica::open::open(&located.place, &creator).await?;
        if let Some(warning) = warning {
            self.output.note(&warning);
        }
        let session = Session { located, replica, passing };
        self.session = Some(session.clone());
        Ok(session)
    }

    /// The replica, to be written to.
    pub(crate) async fn writer(&mut self) -> Result<Replica> {
        let session = self.session().await?;
        if session.passing {
            return Err(Failure::failed(format!(
                "{} can only be read; clone it, and write to the clone",
                session.located.place
            )));
        }
        Ok(session.replica)
    }

    /// Who makes the changes.
    pub(crate) fn creator(&self, config: &Config) -> String {
        let given = self.global.creator.clone().or_else(|| config.creator());
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        given
            .or_else(|| variable("EMAIL"))
            .or_else(|| variable("USER"))
            .or_else(|| variable("LOGNAME"))
            .unwrap_or_default()
    }
}

impl Session {
    /// The luids of records; `None` where there is none yet, and none can be given out.
    pub(crate) async fn luids(&self, records: &[RecordKey]) -> Result<Vec<Option<u64>>> {
        luids(&self.replica, records).await
    }

    /// What people call these records: `bug #12`.
    pub(crate) async fn labels(&self, records: &[RecordKey]) -> Result<Vec<String>> {
        labels(&self.replica, records).await
    }

    /// What people call this record.
    pub(crate) async fn label(&self, record: &RecordKey) -> Result<String> {
        label(&self.replica, record).await
    }
}

/// Whether a store refused a commit, for it may only be read, at least by whoever asks.
fn is_for_reading(error: &StoreError) -> bool {
    match error {
        StoreError::ReadOnly { .. } => true,
        StoreError::Io { source, .. } => replica::open::is_denied(source),
        _ => false,
    }
}

/// The luids of records; `None` where there is none yet, and none can be given out.
async fn luids(replica: &Replica, records: &[RecordKey]) -> Result<Vec<Option<u64>>> {
    match replica.luids(records).await {
        Ok(luids) => Ok(luids.into_iter().map(Some).collect()),
        // To give them out takes a commit, which not everybody who may read may do.
        Err(Error::Store(error)) if is_for_reading(&error) => Ok(vec![None; records.len()]),
        Err(error) => Err(error.into()),
    }
}

/// What people call these records.
async fn labels(replica: &Replica, records: &[RecordKey]) -> Result<Vec<String>> {
    let luids = luids(replica, records).await?;
    let labels = records.iter().zip(luids).map(|(record, luid)| match luid {
        Some(luid) => format!("{} #{luid}", record.record_type()),
        None => record.to_string(),
    });
    Ok(labels.collect())
}

/// What people call this record.
pub(crate) async fn label(replica: &Replica, record: &RecordKey) -> Result<String> {
    let labels = labels(replica, std::slice::from_ref(record)).await?;
    Ok(labels.into_iter().next().unwrap_or_else(|| record.to_string()))
}

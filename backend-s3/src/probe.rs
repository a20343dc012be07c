//! Finding out whether the service really lets one of several writers win.
//!
//! Some answer every conditional write as if there were no condition; some look whether the object is
//! there, and write it a little later, so that of writers that race several win. The first shows in
//! sequence, the second only in a race, and there not always: what this finds is no proof.

use bytes::Bytes;
use prophet_store::StoreError;

use crate::bucket::{Attempt, Bucket};
use crate::layout::PROBE;
use crate::together::together;

/// So many races are run, of so many writers each.
const ROUNDS: usize = 8;
const RACERS: usize = 6;

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service refused every write but one, in sequence and in races.
    Refuses,
    /// It did not; what it did instead.
    Fails {
        /// In words.
        why: String,
    },
}

impl Verdict {
    fn fails(why: impl Into<String>) -> Self {
        Self::Fails { why: why.into() }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Refuses => {
                format!("of several writers one won, in sequence and in {ROUNDS} races of {RACERS}")
            }
            Self::Fails { why } => why.clone(),
        }
    }
}

/// Probes the service with objects under a name of their own, and takes them away again.
pub(crate) async fn probe(bucket: &Bucket, nonce: &str) -> Result<Verdict, StoreError> {
    let names: Vec<_> = (0..=ROUNDS).map(|round| format!("{PROBE}/{nonce}-{round}")).collect();
    let found = run(bucket, nonce, &names).await;
    let removed = together(names.iter().map(|name| bucket.delete(name))).await;
    let found = found?;
    removed.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(found)
}

async fn run(bucket: &Bucket, nonce: &str, names: &[String]) -> Result<Verdict, StoreError> {
    let Some((sequence, races)) = names.split_first() else { return Ok(Verdict::Refuses) };
    for writer in 0..2 {
        let came = write(bucket, nonce, sequence, &[writer]).await?;
        if let Some(verdict) = came.verdict("in sequence", writer == 0) {
            return Ok(verdict);
        }
    }
    for name in races {
        let racers: Vec<_> = (0..RACERS).collect();
        let came = write(bucket, nonce, name, &racers).await?;
        if let Some(verdict) = came.verdict("in a race", true) {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Refuses)
}

/// What came of some writers that wrote one object at once.
struct Came {
    /// Who was told that it had written it.
    winners: usize,
    /// Whether one was told so whose object is not the one that is there.
    replaced: bool,
    unsupported: Option<String>,
}

impl Came {
    fn verdict(&self, when: &str, fresh: bool) -> Option<Verdict> {
        if let Some(why) = &self.unsupported {
            return Some(Verdict::fails(format!("it knows no conditional writes: {why}")));
        }
        let most = usize::from(fresh);
        match self.winners > most || self.replaced {
            true => Some(Verdict::fails(format!(
                "{when}, it let {} writers of one object win that should have let {most}",
                self.winners
            ))),
            false => None,
        }
    }
}

async fn write(
    bucket: &Bucket,
    nonce: &str,
    name: &str,
    writers: &[usize],
) -> Result<Came, StoreError> {
    let text = |writer: usize| Bytes::from(format!("{nonce} {writer}"));
    let attempts = writers.iter().map(|writer| bucket.create(name, text(*writer)));
    let attempts = together(attempts).await;
    let mut came = Came { winners: 0, replaced: false, unsupported: None };
    let there = bucket.get(name).await?.map(|object| object.bytes);
    for (writer, attempt) in writers.iter().zip(attempts) {
        match attempt {
            Attempt::Written(_) => {
                came.winners += 1;
                came.replaced |= there.as_deref() != Some(&*text(*writer));
            }
            Attempt::Refused(failed) => {
                return Err(failed.at(&bucket.place_of(name), "probing the service"));
            }
            Attempt::Unsupported(failed) => came.unsupported = Some(failed.to_string()),
            // One that may land yet would be one of several, and is not counted.
            Attempt::NotMet(_) | Attempt::Unknown(_) => {}
        }
    }
    Ok(came)
}

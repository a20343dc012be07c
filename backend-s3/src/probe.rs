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
/// A race shows something if at least so many were told that they lost it.
const LOSERS: usize = RACERS / 2;
/// So many rounds may come to nothing, for the service is slow or answers nothing.
const UNCLEAR: u32 = 16;

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
///
/// # Errors
/// What the service refuses; and [`StoreError::Io`] where too much is not answered to tell.
pub(crate) async fn probe(bucket: &Bucket, nonce: &str) -> Result<Verdict, StoreError> {
    let mut names = Vec::new();
    let found = run(bucket, nonce, &mut names).await;
    let removed = together(names.iter().map(|name| bucket.delete(name))).await;
    let found = found?;
    removed.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(found)
}

async fn run(bucket: &Bucket, nonce: &str, names: &mut Vec<String>) -> Result<Verdict, StoreError> {
    let (mut done, mut unclear) = (0, 0);
    // The first round is in sequence.
    while done <= ROUNDS {
        let name = format!("{PROBE}/{nonce}-{}", names.len());
        names.push(name.clone());
        let round = match done {
            0 => in_sequence(bucket, nonce, &name).await?,
            _ => in_a_race(bucket, nonce, &name).await?,
        };
        match round {
            Round::OneWon => done += 1,
            Round::Fails(why) => return Ok(Verdict::Fails { why }),
            Round::Unclear(why) if unclear == UNCLEAR => {
                let what = format!("too few conditional writes were answered to tell: {why}");
                let place = bucket.place_of(PROBE);
                return Err(StoreError::io(place, "probing the service", what));
            }
            Round::Unclear(_) => {
                bucket.pause(unclear).await;
                unclear += 1;
            }
        }
    }
    Ok(Verdict::Refuses)
}

/// What a round showed.
enum Round {
    /// One writer won, and others were told that they did not.
    OneWon,
    /// Several won, or the service knows no such condition.
    Fails(String),
    /// Nothing: too many answers were lost.
    Unclear(String),
}

async fn in_sequence(bucket: &Bucket, nonce: &str, name: &str) -> Result<Round, StoreError> {
    let first = write(bucket, nonce, name, &[0]).await?;
    if first.winners == 0 || !first.is_sound() {
        return Ok(first.round("in sequence", 1, 0));
    }
    Ok(write(bucket, nonce, name, &[1]).await?.round("in sequence", 0, 1))
}

async fn in_a_race(bucket: &Bucket, nonce: &str, name: &str) -> Result<Round, StoreError> {
    let racers: Vec<_> = (0..RACERS).collect();
    Ok(write(bucket, nonce, name, &racers).await?.round("in a race", 1, LOSERS))
}

/// What came of some writers that wrote one object at once.
struct Came {
    /// Who was told that it had written it.
    winners: usize,
    /// Who was told that another one had.
    losers: usize,
    /// Whether one was told that it had written it whose object is not the one that is there.
    replaced: bool,
    unsupported: Option<String>,
    /// Why one of them does not know.
    unknown: Option<String>,
}

impl Came {
    const fn is_sound(&self) -> bool {
        self.unsupported.is_none() && !self.replaced
    }

    /// What it shows where so many should win, and at least so many lose.
    fn round(&self, when: &str, winners: usize, losers: usize) -> Round {
        if let Some(why) = &self.unsupported {
            return Round::Fails(format!("it knows no conditional writes: {why}"));
        }
        if self.winners > winners || self.replaced {
            return Round::Fails(format!(
                "{when}, it let {} writers of one object win that should have let {winners}",
                self.winners
            ));
        }
        match self.winners == winners && self.losers >= losers {
            true => Round::OneWon,
            false => Round::Unclear(self.unknown.clone().unwrap_or_else(|| {
                format!("{when}, {} won and {} lost", self.winners, self.losers)
            })),
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
    let mut came =
        Came { winners: 0, losers: 0, replaced: false, unsupported: None, unknown: None };
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
            Attempt::NotMet(_) => came.losers += 1,
            // One that may land yet would be one of several, and is not counted.
            Attempt::Unknown(failed) => came.unknown = Some(failed.to_string()),
        }
    }
    Ok(came)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(winners: usize, losers: usize) -> Came {
        Came { winners, losers, replaced: false, unsupported: None, unknown: None }
    }

    #[test]
    fn a_round_shows_something_where_enough_was_answered() {
        let fails = |round| matches!(round, Round::Fails(_));
        let won = |round| matches!(round, Round::OneWon);
        let unclear = |round| matches!(round, Round::Unclear(_));
        let race = |came: &Came| came.round("in a race", 1, LOSERS);
        assert!(won(race(&came(1, LOSERS))) && won(race(&came(1, LOSERS + 1))));
        assert!(unclear(race(&came(1, LOSERS - 1))) && unclear(race(&came(0, RACERS))));
        assert!(fails(race(&came(2, RACERS - 2))));
        assert!(fails(race(&Came { replaced: true, ..came(1, LOSERS) })));
        assert!(fails(race(&Came { unsupported: Some("501".to_owned()), ..came(1, LOSERS) })));
        let alone = |came: Came| came.round("in sequence", 0, 1);
        assert!(won(alone(came(0, 1))) && unclear(alone(came(0, 0))) && fails(alone(came(1, 0))));
        assert!(came(1, 0).is_sound());
        assert!(!Came { replaced: true, ..came(1, 0) }.is_sound());
        assert!(!Came { unsupported: Some(String::new()), ..came(0, 0) }.is_sound());
    }

    #[test]
    fn a_verdict_says_what_was_seen() {
        assert!(Verdict::Refuses.words().contains("of several writers one won"));
        assert_eq!(Verdict::Fails { why: "both won".to_owned() }.words(), "both won");
    }
}

//! Why a register shows what it shows, and what would make it show something else.

use std::fmt;

use crate::error::Error;
use crate::id::ConflictId;
use crate::judgement::Rule;
use crate::name::RecordKey;
use crate::record::Existence;
use crate::register::{Register, RegisterName};
use crate::replica::Replica;
use crate::replica::conflicts::{Attribution, Candidate, Explained, RecordedVote};
use crate::value::Value;

/// Why a register of a record shows what it shows: see [`Replica::why`]. As text it says the same
/// in words.
///
/// All of it follows from what the replica has seen: replicas that have seen the same say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Why {
    /// The record.
    pub record: RecordKey,
    /// Which of its registers.
    pub register: RegisterName,
    /// Whether the record exists; the properties of one that does not are hidden.
    pub existence: Existence,
    /// What the register shows, or would if the record were not hidden.
    pub value: Option<Value>,
    /// The rule that decided; `None` if nobody ever wrote to it.
    pub rule: Option<Rule>,
    /// The conflict, if it is contested.
    pub conflict: Option<ConflictId>,
    /// The values that live writes gave it, in canonical order.
    pub candidates: Vec<Candidate>,
    /// All votes ever cast on the conflict, oldest first: also those that count no more.
    pub votes: Vec<RecordedVote>,
    /// What would decide the conflict, for each value that does not have the majority.
    pub flips: Vec<Flip>,
}

/// How many more votes a value needs for a majority, if nobody votes for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flip {
    /// The value; `None` is *absent*.
    pub value: Option<Value>,
    /// The votes, of replicas whose votes do not count yet.
    pub votes: usize,
}

impl Replica {
    /// Why a register of a record shows what it does: the values that were written and by whom, the
    /// votes, the rule that decided, and what would flip it.
    ///
    /// ```
    /// use futures_lite::future::block_on;
    /// use prophet_store::{Identity, MemoryStore, Properties, PropertyName, RegisterName, Replica, Rule};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// block_on(async {
    ///     let store = MemoryStore::new(Identity::new_database()?);
    ///     let replica = Replica::options().creator("ada")?.open(store).await?;
    ///     let bug = replica.create("bug", Properties::try_from([("status", "new")])?).await?;
    ///     let status = RegisterName::Property(PropertyName::new("status")?);
    ///     let why = replica.why(&bug, &status).await?;
    ///     assert_eq!(why.rule, Some(Rule::Agreed));
    ///     assert!(why.to_string().contains("written by ada"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the store says.
    pub async fn why(&self, record: &RecordKey, register: &RegisterName) -> Result<Why, Error> {
        let read = self.inner.store.get_records(std::slice::from_ref(record)).await?;
        let state = read.value.into_iter().next().flatten();
        let mut why = Why {
            record: record.clone(),
            register: register.clone(),
            existence: state.as_ref().map_or(Existence::Never, |state| state.existence()),
            value: None,
            rule: None,
            conflict: None,
            candidates: Vec::new(),
            votes: Vec::new(),
            flips: Vec::new(),
        };
        let Some(state) = state else { return Ok(why) };
        let (Some(found), Some(judged)) = (state.register(register), state.judge(register)) else {
            return Ok(why);
        };
        (why.value, why.rule) = (judged.value.cloned(), Some(judged.rule));
        why.conflict = Register::conflict(found, record, register);
        let Explained { candidates, votes } = self.explain(why.conflict, register, found).await?;
        if why.conflict.is_some() {
            why.flips = flips(&candidates);
        }
        (why.candidates, why.votes) = (candidates, votes);
        Ok(why)
    }
}

fn flips(candidates: &[Candidate]) -> Vec<Flip> {
    let cast: usize = candidates.iter().map(|candidate| candidate.votes.len()).sum();
    let flip = |candidate: &Candidate| {
        let votes = (cast + 1).saturating_sub(2 * candidate.votes.len());
        (votes > 0).then(|| Flip { value: candidate.value.clone(), votes })
    };
    candidates.iter().filter_map(flip).collect()
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, register, .. } = self;
        let Some(rule) = self.rule else {
            return write!(f, "{register} of {record} was never written here");
        };
        write!(f, "{register} of {record} is {}", self.shown(self.value.as_ref()))?;
        if self.existence == Existence::Deleted && *register != RegisterName::Existence {
            f.write_str(", but hidden, for the record is deleted")?;
        }
        let cast: usize = self.candidates.iter().map(|candidate| candidate.votes.len()).sum();
        let of_visible = self.candidates.iter().find(|candidate| candidate.value == self.value);
        let votes = of_visible.map_or(0, |candidate| candidate.votes.len());
        match rule {
            Rule::Agreed => f.write_str(": all that was written agrees")?,
            Rule::Majority => write!(f, ": decided, {votes} of {} for it", counted(cast, "vote"))?,
            Rule::MostVotes => write!(
                f,
                ": open, and no value has a majority; this one has most of the {}, {votes}",
                counted(cast, "vote")
            )?,
            Rule::MostRelatedVotes => f.write_str(
                ": open; votes are level, and this value has most of the votes cast on conflicts \
                 between some of these values",
            )?,
            Rule::LatestWrite if votes == 0 => {
                f.write_str(": open; no vote counts, and it was written last")?;
            }
            Rule::LatestWrite => {
                f.write_str(": open; of the values with the most votes it was written last")?;
            }
            Rule::Alive => f.write_str(": open, and alive until somebody decides")?,
        }
        for candidate in &self.candidates {
            write!(f, "\n  {}", self.shown(candidate.value.as_ref()))?;
            let said = [
                ("written by", &candidate.writes),
                ("voted for by", &candidate.votes),
                ("preferred to some of these by", &candidate.related),
            ];
            for (what, by) in said.iter().filter(|(_, by)| !by.is_empty()) {
                write!(f, "\n    {what} {}", list(by))?;
            }
        }
        let counting =
            |by: &Attribution| self.candidates.iter().any(|candidate| candidate.votes.contains(by));
        for vote in self.votes.iter().filter(|vote| !counting(&vote.by)) {
            let choice = self.shown(vote.choice.as_ref());
            write!(
                f,
                "\n  {} once voted for {choice}, which counts no more",
                list(std::slice::from_ref(&vote.by))
            )?;
        }
        for flip in &self.flips {
            let (value, votes) =
                (self.shown(flip.value.as_ref()), counted(flip.votes, "more vote"));
            write!(f, "\n  {votes} for {value} would decide for it")?;
        }
        let settles = match register {
            RegisterName::Existence => "deleting it",
            RegisterName::Property(_) => "a later edit",
        };
        if self.conflict.is_some() {
            write!(f, "\n  {settles}, by somebody who has seen all of this, would settle it")?;
        }
        Ok(())
    }
}

impl Why {
    fn shown(&self, value: Option<&Value>) -> String {
        shown(&self.register, value)
    }
}

/// A value of a register, in words.
pub(super) fn shown(register: &RegisterName, value: Option<&Value>) -> String {
    match (register, value) {
        (RegisterName::Existence, Some(Value::Boolean(true))) => "alive".to_owned(),
        (RegisterName::Existence, Some(Value::Boolean(false))) => "deleted".to_owned(),
        (_, Some(value)) => value.to_string(),
        (_, None) => "absent".to_owned(),
    }
}

fn list(by: &[Attribution]) -> String {
    let each = by.iter().map(|by| format!("{by} ({})", by.time));
    each.collect::<Vec<_>>().join(", ")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

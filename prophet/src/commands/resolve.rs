//! `prophet resolve`.

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::{
    Choice, Conflict, Digest, PropertyName, RecordKey, RegisterName, Replica, Value,
};
use serde_json::json;

use crate::Result;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::output::{Listing, Output, json, text};
use crate::prompt::Prompt;
use crate::properties::{self, Assignment};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
One of the values that were written is voted for; the vote travels to the others, and can be changed \
by voting again. Any other value is written as a merge, which ends the conflict.

Without a choice each conflict is asked about, on a terminal.

Examples:
  prophet resolve
  prophet resolve 12 status=fixed
  prophet resolve 12 --alive")]
pub(crate) struct ResolveArgs {
    /// The record: its number, or the beginning of its id; every open conflict, without it.
    record: Option<String>,
    /// What contested properties are to be, as for `prophet update`; a value that was written may be
    /// typed as it is shown.
    #[arg(value_name = "NAME=VALUE", requires = "record")]
    choices: Vec<Assignment>,
    /// A contested property that is not to be there; may be given several times.
    #[arg(long = "remove", value_name = "NAME", requires = "record")]
    removed: Vec<PropertyName>,
    /// The record is to be there, though somebody deleted it.
    #[arg(long, requires = "record", conflicts_with = "deleted")]
    alive: bool,
    /// The record is to be deleted, though somebody changed it.
    #[arg(long, requires = "record")]
    deleted: bool,
}

impl ResolveArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.writer().await?;
        let session = context.session().await?;
        let Some(record) = &self.record else {
            let open: Vec<_> = replica.conflicts().try_collect::<_, _, Vec<_>>().await?;
            return ask(context, &session, open).await;
        };
        let key = naming::record(&replica, record).await?;
        let contested = replica.conflicts_of(&key).await?;
        let named = self.named(&replica, &contested).await?;
        if named.is_empty() {
            let open = contested.into_iter().filter(|conflict| !conflict.rule.decides());
            return ask(context, &session, open.collect()).await;
        }
        let mut decisions = Vec::new();
        for (register, choice) in named {
            let conflict = contested.iter().find(|conflict| conflict.register == register);
            let Some(conflict) = conflict else {
                return Err(not_contested(&session, &key, &register).await?);
            };
            decisions.push((conflict.clone(), choice));
        }
        let mut decided = context.output.listing(&[]);
        decide(&session, &decisions, &mut decided).await?;
        decided.end()?;
        Ok(Exit::Done)
    }

    /// The registers that are named, and what they are to be.
    async fn named(
        &self,
        replica: &Replica,
        contested: &[Conflict],
    ) -> Result<Vec<(RegisterName, Option<Value>)>> {
        let properties = properties::collect(replica, &self.choices, &self.removed).await?;
        let mut named = Vec::new();
        for (name, typed) in properties {
            let assignment = self.choices.iter().find(|assignment| assignment.name == name);
            let as_text = assignment.and_then(Assignment::as_text);
            let register = RegisterName::Property(name);
            let conflict = contested.iter().find(|conflict| conflict.register == register);
            let choice = match (conflict, as_text) {
                (Some(conflict), Some(as_text)) => as_shown(conflict, as_text).or(typed),
                _ => typed,
            };
            named.push((register, choice));
        }
        if self.alive || self.deleted {
            named.push((RegisterName::Existence, Some(Value::Boolean(self.alive))));
        }
        Ok(named)
    }
}

/// The one candidate that is shown so, if it is no text: `priority=3` means the number that somebody
/// wrote. A text that was written is meant in any case.
fn as_shown(conflict: &Conflict, as_text: &str) -> Option<Value> {
    let values: Vec<_> = conflict.values().flatten().collect();
    if values.iter().any(|value| value.as_text() == Some(as_text)) {
        return None;
    }
    match values.iter().filter(|value| text::value(value) == as_text).collect::<Vec<_>>()[..] {
        [only] => Some((*only).clone()),
        _ => None,
    }
}

async fn not_contested(
    session: &Session,
    key: &RecordKey,
    register: &RegisterName,
) -> Result<Failure> {
    let label = session.label(key).await?;
    Ok(Failure::not_found(format!(
        "{} of {label} is not contested; `prophet conflicts` shows what is, and `prophet update` \
         changes it",
        text::register(register)
    )))
}

/// Asks about each conflict.
async fn ask(context: &mut Context, session: &Session, open: Vec<Conflict>) -> Result<Exit> {
    if open.is_empty() {
        context.output.note("no conflict is open");
        context.output.listing(&[]).end()?;
        return Ok(Exit::Done);
    }
    if !Output::can_ask() {
        return Err(Failure::new(
            Exit::Conflicts,
            format!(
                "{} open, and nobody is here to be asked; say what it is to be: `prophet resolve \
                 RECORD name=value`; `prophet conflicts` shows the choices",
                match open.len() {
                    1 => "a conflict is".to_owned(),
                    several => format!("{several} conflicts are"),
                }
            ),
        ));
    }
    let mut prompt = Prompt::new(context.output, session.replica.clone());
    let (mut left, mut decided) = (0, context.output.listing(&[]));
    for conflict in open {
        match prompt.decide(&conflict).await {
            Choice::Value(choice) => decide(session, &[(conflict, choice)], &mut decided).await?,
            Choice::LeaveOpen => left += 1,
        }
    }
    decided.end()?;
    match left {
        0 => Ok(Exit::Done),
        left => {
            context.output.note(&format!("{left} left open"));
            Ok(Exit::Conflicts)
        }
    }
}

/// Decides about all of them or none, and says what came of it.
async fn decide(
    session: &Session,
    decisions: &[(Conflict, Option<Value>)],
    listing: &mut Listing,
) -> Result<()> {
    let changesets = session.replica.resolve_all(decisions).await?;
    let changesets: Vec<_> = changesets.iter().map(Digest::to_string).collect();
    for (conflict, choice) in decisions {
        say(session, conflict, choice.as_ref(), &changesets, listing).await?;
    }
    Ok(())
}

async fn say(
    session: &Session,
    conflict: &Conflict,
    choice: Option<&Value>,
    changesets: &[String],
    listing: &mut Listing,
) -> Result<()> {
    let (replica, register) = (&session.replica, &conflict.register);
    let votes = conflict.values().any(|value| value == choice);
    let label = session.label(&conflict.record).await?;
    let why = replica.why(&conflict.record, register).await?;
    let decided = why.conflict.is_none() || why.rule.is_some_and(|rule| rule.decides());
    let done = match (changesets, votes) {
        ([], _) => "this replica voted so already",
        (_, true) => "voted",
        (_, false) => "merged",
    };
    let came_of_it = match decided {
        true => "decided".to_owned(),
        false => {
            let flip = why.flips.iter().find(|flip| flip.value.as_ref() == choice);
            let more = flip.map_or(0, |flip| flip.votes);
            let plural = if more == 1 { "" } else { "s" };
            format!("still open, and {more} more vote{plural} would decide for it")
        }
    };
    let luids = session.luids(std::slice::from_ref(&conflict.record)).await?;
    let json = json!({
        "record": conflict.record.to_string(),
        "luid": luids.into_iter().next().flatten(),
        "property": json::property(register),
        "choice": json::value(choice),
        "changesets": changesets,
        "open": !decided,
    });
    let (name, value) = (text::one_line(text::register(register)), text::quoted(register, choice));
    let said = format!("{done}: {name} of {label} is to be {value}; {came_of_it}");
    listing.thing(&json, &said)
}

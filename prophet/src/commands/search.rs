//! `prophet search`.

use clap::Args;
use futures_lite::StreamExt as _;
use prophet_store::{Direction, Predicate, Query, RecordType};
use regex::Regex;
use serde_json::json;

use crate::Result;
use crate::commands::records;
use crate::commands::view::{Beyond, View};
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Conditions, all of which are to hold (with --any, one of which):
  status=open      is that; a number means the number, or the text of these digits
  status!=open     is there, and not that
  priority>=3      < <= > >= compare numbers with numbers, and texts with texts: priority:=3
                   made a number, priority=3 a text
  title~^CLI       is text that the regular expression matches; !~ that it does not
  owner            is there
  '!owner'         is not there

Example:
  prophet search bug status=open 'priority>=3' --sort priority:down")]
pub(crate) struct SearchArgs {
    /// The type of the records.
    #[arg(value_name = "TYPE")]
    record_type: RecordType,
    /// What they satisfy; all of them, without it.
    #[arg(value_name = "CONDITION")]
    conditions: Vec<Predicate>,
    /// One of the conditions is enough.
    #[arg(long)]
    any: bool,
    /// Only those with text in them that this regular expression matches, wherever it is.
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// Only those that are contested.
    #[arg(long)]
    contested: bool,
    /// Sorted by these properties, separated by commas; from high to low with :down
    /// after one, from low to high with :up or nothing.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    sort: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Only how many there are.
    #[arg(long)]
    count: bool,
    /// The properties to show, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,
}

impl SearchArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let view = View::Now(context.session().await?.replica);
        self.run_on(&view, context).await
    }

    pub(crate) async fn run_on(self, view: &View, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let mut query = Query::of(&self.record_type)?;
        let mut beyond = Beyond { any: Vec::new(), grep: self.grep };
        match self.any {
            true => beyond.any = self.conditions,
            false => query = self.conditions.into_iter().fold(query, Query::filter),
        }
        if self.contested {
            query = query.contested();
        }
        for name in self.sort {
            let (name, direction) = match name.rsplit_once(':') {
                Some((name, "down")) => (name, Direction::Backward),
                Some((name, "up")) => (name, Direction::Forward),
                Some((_, end)) => {
                    return Err(Failure::usage(format!(
                        "--sort {name} ends with neither :up nor :down, but with :{end}; if that is the \
                         name of a property, write {name}:up"
                    )));
                }
                None => (name.as_str(), Direction::Forward),
            };
            query = query.order_by(name, direction)?;
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        if self.count {
            let count = view.count(&query, self.limit, beyond).await?;
            context.output.thing(&json!(count), &count.to_string())?;
            return Ok(Exit::Done);
        }
        let found = view.find(&query, beyond);
        let shown = records::show(context.output, &session, found, &self.columns).await?;
        if shown == 0 {
            let any = session.replica.find(&Query::of(&self.record_type)?.limit(1)).next().await;
            context.output.note(&match any.transpose()? {
                Some(_) => "nothing was found".to_owned(),
                None => format!("nothing was found: no record has the type {}", self.record_type),
            });
        }
        Ok(Exit::Done)
    }
}

//! `prophet why`.

use clap::Args;
use prophet_store::{PropertyName, RegisterName};

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::naming;
use crate::output::{json, text};

/// What it takes.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The record: its number, or the beginning of its id.
    record: String,
    /// The property; whether the record exists, without it.
    property: Option<PropertyName>,
}

impl WhyArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let key = naming::record(&session.replica, &self.record).await?;
        let register = self.property.map_or(RegisterName::Existence, RegisterName::Property);
        let why = session.replica.why(&key, &register).await?;
        if why.rule.is_none() {
            let label = session.label(&key).await?;
            return Err(Failure::not_found(format!(
                "{} of {label} was never written here; `prophet show {}` shows what was",
                text::register(&register),
                self.record
            )));
        }
        let luid = session.luids(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        let lines = why.to_string();
        let lines: Vec<_> = lines.split('\n').map(text::one_line).collect();
        context.output.thing(&json::why(&why, luid), &lines.join("\n"))?;
        Ok(Exit::Done)
    }
}

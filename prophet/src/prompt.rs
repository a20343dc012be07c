//! Asking somebody about a conflict.

use std::fmt::Write as _;
use std::io::BufRead as _;

use async_trait::async_trait;
use prophet_files::exact_json;
use prophet_store::{Attribution, Choice, Conflict, Error, RegisterName, Replica, Resolver, Value};

use crate::context;
use crate::output::{BOLD, CONTESTED, Output, text};

/// Asks at the terminal about each conflict.
#[derive(Debug)]
pub(crate) struct Prompt {
    output: Output,
    replica: Replica,
    /// Whether nothing is to be asked any more.
    over: bool,
}

impl Prompt {
    pub(crate) fn new(output: Output, replica: Replica) -> Self {
        Self { output, replica, over: false }
    }

    /// Shows the conflict, and asks until the answer can be understood.
    pub(crate) async fn decide(&mut self, conflict: &Conflict) -> Choice {
        if self.over {
            return Choice::LeaveOpen;
        }
        // Without its number a record can be told as well.
        let label = context::label(&self.replica, &conflict.record).await;
        let label = label.unwrap_or_else(|_| conflict.record.to_string());
        self.output.ask(&shown(&label, conflict));
        loop {
            self.output.ask(&question(conflict));
            let mut line = String::new();
            match std::io::stdin().lock().read_line(&mut line) {
                Ok(0) | Err(_) => {
                    self.over = true;
                    return Choice::LeaveOpen;
                }
                Ok(_) => {}
            }
            match answer(conflict, line.trim_end_matches(['\r', '\n'])) {
                Ok(Answer::Choice(choice)) => return choice,
                Ok(Answer::NoMoreQuestions) => {
                    self.over = true;
                    return Choice::LeaveOpen;
                }
                Err(why) => self.output.ask(&format!("{}\n", text::lines(&why, ""))),
            }
        }
    }
}

#[async_trait]
impl Resolver for Prompt {
    async fn resolve(&mut self, conflict: &Conflict) -> Result<Choice, Error> {
        Ok(self.decide(conflict).await)
    }
}

/// The conflict: its candidates, who wrote them, who voted for them, and what was decided earlier.
pub(crate) fn shown(label: &str, conflict: &Conflict) -> String {
    let Conflict { register, candidates, votes, visible, .. } = conflict;
    let (label, name) = (text::one_line(label), text::one_line(text::register(register)));
    let mut shown =
        format!("{CONTESTED}Conflict{CONTESTED:#} about {BOLD}{name}{BOLD:#} of {label}\n");
    for (number, candidate) in candidates.iter().enumerate() {
        let value = text::quoted(register, candidate.value.as_ref());
        let now = if candidate.value == *visible { "  (visible now)" } else { "" };
        let _ = writeln!(shown, "  {}  {value}{now}", number + 1);
        for (what, by) in [("written by", &candidate.writes), ("voted for by", &candidate.votes)] {
            if !by.is_empty() {
                let _ = writeln!(shown, "     {what} {}", people(by));
            }
        }
    }
    let counting =
        |by: &Attribution| candidates.iter().any(|candidate| candidate.votes.contains(by));
    for vote in votes.iter().filter(|vote| !counting(&vote.by)) {
        let value = text::quoted(register, vote.choice.as_ref());
        let by = people(std::slice::from_ref(&vote.by));
        let _ = writeln!(shown, "  earlier, {by} voted for {value}");
    }
    shown
}

fn people(by: &[Attribution]) -> String {
    let each = by.iter().map(|by| format!("{} ({})", text::one_line(&by.to_string()), by.time));
    each.collect::<Vec<_>>().join(", ")
}

fn question(conflict: &Conflict) -> String {
    let merge = match conflict.register {
        RegisterName::Existence => "",
        RegisterName::Property(_) => ", =TEXT or :=JSON for another value",
    };
    format!(
        "Which one? 1 to {}{merge}, Enter to leave it open, q to leave all open: ",
        conflict.candidates.len()
    )
}

#[derive(Debug, PartialEq)]
enum Answer {
    Choice(Choice),
    NoMoreQuestions,
}

fn answer(conflict: &Conflict, line: &str) -> Result<Answer, String> {
    let trimmed = line.trim();
    let value = |value: Value| Ok(Answer::Choice(Choice::Value(Some(value))));
    match trimmed {
        "" => return Ok(Answer::Choice(Choice::LeaveOpen)),
        "q" | "Q" => return Ok(Answer::NoMoreQuestions),
        _ => {}
    }
    let merges = conflict.register != RegisterName::Existence;
    if let Some(json) = trimmed.strip_prefix(":=").filter(|_| merges) {
        return match exact_json(json.as_bytes()) {
            Ok(parsed) => value(parsed),
            Err(error) => Err(format!("{json} is not taken as JSON: {error}")),
        };
    }
    if let Some(text) = line.trim_start().strip_prefix('=').filter(|_| merges) {
        return value(Value::from(text));
    }
    let number: Option<usize> = trimmed.parse().ok();
    let candidate = number.and_then(|number| conflict.candidates.get(number.checked_sub(1)?));
    match candidate {
        Some(candidate) => Ok(Answer::Choice(Choice::Value(candidate.value.clone()))),
        None => Err(format!("{trimmed:?} is none of the answers")),
    }
}

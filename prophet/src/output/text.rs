//! Values and records as text for people. What is in a database is not trusted with the terminal.

use std::fmt::Write as _;

use prophet_store::{Record, RegisterName, Value};

use crate::output::CONTESTED;

/// A value on one line.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Text(text) => one_line(text),
        other => one_line(&other.to_string()),
    }
}

/// A value of a register in a sentence: quoted if it is text.
pub(crate) fn quoted(register: &RegisterName, value: Option<&Value>) -> String {
    match (register, value) {
        (RegisterName::Existence, Some(Value::Boolean(true))) => "alive".to_owned(),
        (RegisterName::Existence, Some(Value::Boolean(false))) => "deleted".to_owned(),
        (_, Some(value)) => one_line(&value.to_string()),
        (_, None) => "absent".to_owned(),
    }
}

/// What a register is called.
pub(crate) fn register(register: &RegisterName) -> &str {
    match register {
        RegisterName::Existence => "existence",
        RegisterName::Property(name) => name.as_str(),
    }
}

/// Text on one line, without anything that a terminal would obey.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_unsafe(c) => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// Text on as many lines as it has, each after the first one behind `indent`.
pub(crate) fn lines(text: &str, indent: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(one_line).collect();
    lines.join(&format!("\n{indent}"))
}

/// Control characters, and those that turn the direction of the text around them.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A record and its properties, one below the other.
pub(crate) fn record(label: &str, record: &Record) -> String {
    let names = record.properties().keys().map(|name| name.as_str().chars().count());
    let width = names.max().unwrap_or(0).max(2);
    let indent = " ".repeat(width + 4);
    let mut text = format!("{}\n  {:width$}  {}", one_line(label), "id", record.id());
    let contested = |name: &RegisterName| record.contested().get(name);
    for (name, value) in record.properties() {
        let shown = match value {
            Value::Text(text) => lines(text, &indent),
            other => one_line(&other.to_string()),
        };
        let _ = write!(text, "\n  {:width$}  {shown}", one_line(name.as_str()));
        let name = RegisterName::Property(name.clone());
        if let Some(values) = contested(&name) {
            text.push_str(&disagreement(&name, values));
        }
    }
    // Contested, and absent for now; or whether there is to be a record at all.
    for (name, values) in record.contested() {
        let listed =
            matches!(name, RegisterName::Property(name) if record.get(name.as_str()).is_some());
        if !listed {
            let called = one_line(register(name));
            let _ = write!(text, "\n  {called:width$} {}", disagreement(name, values));
        }
    }
    text
}

fn disagreement(name: &RegisterName, values: &[Option<Value>]) -> String {
    let values: Vec<_> = values.iter().map(|value| quoted(name, value.as_ref())).collect();
    format!("  {CONTESTED}(contested: {}){CONTESTED:#}", values.join(", "))
}

/// So many things, in words.
pub(crate) fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let hostile = Value::from("a\u{1b}[31mb\r\nc\u{202e}d\u{9b}e");
        assert_eq!(value(&hostile), r"a\u{1b}[31mb\r\nc\u{202e}d\u{9b}e");
    }
}

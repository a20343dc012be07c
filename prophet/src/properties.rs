//! Properties as they are typed: `name=text`, `name:=JSON`, `name=@file`.

use std::io::Read as _;
use std::str::FromStr;

use prophet_files::exact_json;
use prophet_store::{NameError, Properties, PropertyName, Replica, Value};

use crate::failure::Failure;
use crate::{Result, naming};

/// How properties are typed, for `--help`.
pub(crate) const HELP: &str = "\
Properties are typed so:
  title='It crashes'      text
  votes:=3                JSON: a number, true, a list, an object
  blocks:=#12             a reference to the record #12
  log=@crash.log          what is in a file: text, or bytes if it is none; @- is standard input
  tags:=@tags.json        JSON in a file
A name with an = or a quotation mark in it is put into quotation marks: '\"a=b\"=c'.";

/// One property, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: PropertyName,
    given: Given,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Text(String),
    Json(String),
    File(String),
    JsonFile(String),
    Record(String),
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let (name, rest) = take_name(typed)?;
        let name = PropertyName::new(name).map_err(|error: NameError| error.to_string())?;
        let given = if let Some(json) = rest.strip_prefix(":=") {
            match (json.strip_prefix('@'), json.strip_prefix('#')) {
                (Some(file), _) => Given::JsonFile(file.to_owned()),
                (_, Some(_)) => Given::Record(json.to_owned()),
                _ => Given::Json(json.to_owned()),
            }
        } else if let Some(text) = rest.strip_prefix('=') {
            match text.strip_prefix('@') {
                Some(file) => Given::File(file.to_owned()),
                None => Given::Text(text.to_owned()),
            }
        } else {
            return Err("it has no =; write name=text, name:=JSON or name=@file".to_owned());
        };
        Ok(Self { name, given })
    }
}

/// The name that `typed` begins with, and what follows it.
fn take_name(typed: &str) -> Result<(String, &str), String> {
    let Some(quoted) = typed.strip_prefix('"') else {
        let end = typed.find('=').unwrap_or(typed.len());
        let (name, _) = typed.split_at(end);
        let name = name.strip_suffix(':').filter(|_| end < typed.len()).unwrap_or(name);
        return Ok((name.to_owned(), typed.split_at(name.len()).1));
    };
    let (mut name, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next() {
            Some('"') => return Ok((name, characters.as_str())),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => name.push(escaped),
                _ => return Err("after \\ in a name there is to be \" or \\".to_owned()),
            },
            Some(other) => name.push(other),
            None => return Err("the quotation mark at its beginning is never closed".to_owned()),
        }
    }
}

impl Assignment {
    /// The text that was typed, if it is no JSON and no file.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.given {
            Given::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value.
    pub(crate) async fn value(&self, replica: &Replica) -> Result<Value> {
        let name = &self.name;
        match &self.given {
            Given::Text(text) => Ok(Value::Text(text.clone())),
            Given::Json(json) => parse(name, json),
            Given::File(file) => Ok(match String::from_utf8(read(file)?) {
                Ok(text) => Value::Text(text),
                Err(bytes) => Value::Bytes(bytes.into_bytes()),
            }),
            Given::JsonFile(file) => {
                let json = String::from_utf8(read(file)?).map_err(|_| {
                    Failure::usage(format!(
                        "{file} is not JSON, for it is no text; use {name}=@{file}"
                    ))
                })?;
                parse(name, &json)
            }
            Given::Record(record) => Ok(Value::from(naming::record(replica, record).await?)),
        }
    }
}

fn parse(name: &PropertyName, json: &str) -> Result<Value> {
    exact_json(json.as_bytes()).map_err(|error| {
        Failure::usage(format!(
            "{name}:={json} is not taken as JSON: {error}; for text, write {name}={json}"
        ))
    })
}

/// What is in a file, or comes from standard input.
pub(crate) fn read(file: &str) -> Result<Vec<u8>> {
    if file == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|error| Failure::io("read", "standard input", &error));
    }
    std::fs::read(file).map_err(|error| Failure::io("read", file, &error))
}

/// The properties that were typed, and those that are to be removed.
pub(crate) async fn collect(
    replica: &Replica,
    assignments: &[Assignment],
    removed: &[PropertyName],
) -> Result<Properties> {
    let mut properties = Properties::new();
    let twice = |name: &PropertyName| {
        Failure::usage(format!("the property {name} is given twice; decide on one"))
    };
    for assignment in assignments {
        if properties.names(assignment.name.as_str()) {
            return Err(twice(&assignment.name));
        }
        properties.set(&assignment.name, Some(assignment.value(replica).await?))?;
    }
    for name in removed {
        if properties.names(name.as_str()) {
            return Err(twice(name));
        }
        properties.set(name, None)?;
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Result<(String, Given), String> {
        let assignment: Assignment = typed.parse()?;
        Ok((assignment.name.to_string(), assignment.given))
    }

    #[test]
    fn each_form_means_what_the_help_says() {
        let text = |text: &str| Given::Text(text.to_owned());
        for (typed, name, given) in [
            ("a=b", "a", text("b")),
            ("a=", "a", text("")),
            ("a=b=c", "a", text("b=c")),
            ("a=:=c", "a", text(":=c")),
            ("a:=1", "a", Given::Json("1".to_owned())),
            ("a b=c", "a b", text("c")),
            ("a=@f", "a", Given::File("f".to_owned())),
            ("a:=@f", "a", Given::JsonFile("f".to_owned())),
            ("a:=#12", "a", Given::Record("#12".to_owned())),
            (r#""a=b"=c"#, "a=b", text("c")),
            (r#""a:":=1"#, "a:", Given::Json("1".to_owned())),
            (r#""\"\\"=c"#, "\"\\", text("c")),
        ] {
            assert_eq!(parsed(typed), Ok((name.to_owned(), given)), "{typed}");
        }
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for typed in ["", "a", "=b", ":=1", "\"a=b", "\"a\"b=c", r#""\a"=b"#] {
            assert!(parsed(typed).is_err(), "{typed}");
        }
    }
}

//! The recorded history of a bug tracker: one line of JSON an edit.

use std::error::Error;

use prophet_store::{Edit, Properties, RecordId, RecordKey, RecordType, Value};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) bug: String,
    pub(crate) author: String,
    pub(crate) ops: Vec<Operation>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Operation {
    pub(crate) time: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum What {
    Create { title: String, bytes: u32 },
    Title { title: String },
    Comment { bytes: u32 },
    EditComment { bytes: u32 },
    Status { status: String },
    Label { added: Vec<String>, removed: Vec<String> },
}

/// The lines of a file, all of which have to be good.
pub(crate) fn read(file: &str) -> Result<Vec<Line>, Box<dyn Error>> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .map_err(|error| format!("{file} line {}: {error}", index + 1).into())
    });
    lines.collect()
}

/// The id of a bug follows from its id in the tracker, so that it is found again without an index.
pub(crate) fn bug_key(bug: &str) -> Result<RecordKey, prophet_store::Error> {
    let number = u64::from_str_radix(bug, 16)
        .map_err(|error| prophet_store::Error::app(format!("bug id {bug:?}: {error}")))?;
    let mut bytes = [0; 16];
    let (_, low) = bytes.split_at_mut(8);
    low.copy_from_slice(&number.to_be_bytes());
    Ok(RecordKey::new(RecordType::new("bug")?, RecordId::from_bytes(bytes)))
}

/// One line as one changeset.
pub(crate) async fn write(edit: &Edit, line: &Line) -> Result<(), prophet_store::Error> {
    let time = line.ops.first().map(|operation| operation.time * 1_000);
    edit.begin_changeset(line.author.as_str(), time)?;
    let bug = bug_key(&line.bug)?;
    for operation in &line.ops {
        match &operation.what {
            What::Create { title, bytes } => {
                let properties = Properties::new()
                    .with("title", title.as_str())?
                    .with("status", "open")?
                    .with("reporter", line.author.as_str())?
                    .with("bytes", *bytes)?;
                edit.create_at(&bug, properties).await?;
            }
            What::Title { title } => {
                edit.update(&bug, Properties::new().with("title", title.as_str())?).await?;
            }
            What::Status { status } => {
                edit.update(&bug, Properties::new().with("status", status.as_str())?).await?;
            }
            What::Label { added, removed } => {
                let record = edit.get(&bug).await?;
                let labels = record.as_ref().and_then(|record| record.get("labels")?.as_list());
                let mut labels = labels.unwrap_or_default().to_vec();
                labels.retain(|label| !removed.iter().any(|gone| label.as_text() == Some(gone)));
                labels.extend(added.iter().map(|label| Value::from(label.as_str())));
                edit.update(&bug, Properties::new().with("labels", labels)?).await?;
            }
            What::Comment { bytes } => {
                let properties = Properties::new()
                    .with("bug", &bug)?
                    .with("author", line.author.as_str())?
                    .with("bytes", *bytes)?;
                edit.create("comment", properties).await?;
            }
            // The history does not say which comment was edited.
            What::EditComment { bytes } => {
                edit.update(&bug, Properties::new().with("edited-bytes", *bytes)?).await?;
            }
        }
    }
    // Some lines set what is set already. The count makes each of them a change of the bug.
    let record = edit.get(&bug).await?.ok_or_else(|| {
        prophet_store::Error::app(format!("bug {} is edited before it is created", line.bug))
    })?;
    let edits = record.get("edits").and_then(Value::as_integer).unwrap_or_default();
    edit.update(&bug, Properties::new().with("edits", edits + 1)?).await
}

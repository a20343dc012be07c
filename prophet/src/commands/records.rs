//! Showing records, and what became of them.

use std::collections::BTreeMap;

use futures_lite::StreamExt as _;
use prophet_store::{Digest, Record, RecordKey, RegisterName, Streamed};
use serde_json::{Value as Json, json};

use crate::Result;
use crate::context::{Context, Session};
use crate::naming;
use crate::output::{Output, json, text};

/// So many properties are shown beside one another, unless others are asked for.
const COLUMNS: usize = 6;
/// So much of a value is shown in a table.
const CELL: usize = 60;
/// So many luids are asked for at once.
const AT_ONCE: usize = 1_024;

/// Adds a field to an object.
pub(crate) fn insert(object: &mut Json, name: &str, value: Json) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Says what an edit did to a record.
pub(crate) async fn tell_edit(
    context: &mut Context,
    what: &str,
    key: &RecordKey,
    changeset: Option<Digest>,
) -> Result<()> {
    let (json, text) = edited(&context.session().await?, what, key, changeset).await?;
    context.output.thing(&json, &text)
}

/// Deletes these records or brings them back, all of them or none, and says so of each.
pub(crate) async fn set_existence(
    context: &mut Context,
    records: &[String],
    alive: bool,
) -> Result<()> {
    let replica = context.writer().await?;
    let mut keys = Vec::new();
    for record in records {
        keys.push(naming::record(&replica, record).await?);
    }
    keys.sort_unstable();
    keys.dedup();
    let done = replica
        .edit(|edit| {
            let keys = keys.clone();
            async move {
                for key in &keys {
                    match alive {
                        true => edit.undelete(key).await?,
                        false => edit.delete(key).await?,
                    }
                }
                Ok(())
            }
        })
        .await?;
    let what = if alive { "brought back" } else { "deleted" };
    let session = context.session().await?;
    let mut listing = context.output.listing(&[]);
    for key in &keys {
        let (json, text) = edited(&session, what, key, done.changeset()).await?;
        listing.thing(&json, &text)?;
    }
    listing.end()?;
    Ok(())
}

async fn edited(
    session: &Session,
    what: &str,
    key: &RecordKey,
    changeset: Option<Digest>,
) -> Result<(Json, String)> {
    let label = session.label(key).await?;
    let luid = session.luids(std::slice::from_ref(key)).await?.into_iter().next().flatten();
    let mut json = json::key(key, luid);
    insert(&mut json, "changeset", changeset.map_or(Json::Null, |of| json!(of.to_string())));
    let text = match changeset {
        Some(_) => format!("{what} {label}"),
        None => format!("{label} is so already"),
    };
    Ok((json, text))
}

/// Shows records as they come; how many there were.
pub(crate) async fn show(
    output: Output,
    session: &Session,
    mut records: Streamed<'_, Record>,
    columns: &[String],
) -> Result<usize> {
    if output.is_for_people() {
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            all.push(record?);
        }
        return table(output, session, &all, columns).await;
    }
    let mut listing = output.listing(&[]);
    loop {
        let mut some = Vec::new();
        while some.len() < AT_ONCE
            && let Some(record) = records.next().await
        {
            some.push(record?);
        }
        if some.is_empty() {
            return listing.end();
        }
        for (record, luid) in some.iter().zip(luids(session, &some).await?) {
            listing.add(|| json::record(record, luid), Vec::new)?;
        }
    }
}

async fn luids(session: &Session, records: &[Record]) -> Result<Vec<Option<u64>>> {
    let keys: Vec<_> = records.iter().map(|record| record.key().clone()).collect();
    session.luids(&keys).await
}

async fn table(
    output: Output,
    session: &Session,
    records: &[Record],
    columns: &[String],
) -> Result<usize> {
    let (shown, left_out) = match columns {
        [] => commonest(records),
        columns => (columns.to_vec(), 0),
    };
    let several = records.windows(2).any(|pair| match pair {
        [one, other] => one.record_type() != other.record_type(),
        _ => false,
    });
    let mut headings = vec!["#"];
    if several {
        headings.push("type");
    }
    headings.extend(shown.iter().map(String::as_str));
    let mut listing = output.listing(&headings);
    for some in records.chunks(AT_ONCE) {
        for (record, luid) in some.iter().zip(luids(session, some).await?) {
            let named = luid.map_or_else(|| record.id().to_string(), |luid| luid.to_string());
            let mut cells = vec![named];
            if several {
                cells.push(text::one_line(record.record_type().as_str()));
            }
            cells.extend(shown.iter().map(|name| cell(record, name)));
            listing.add(|| Json::Null, || cells)?;
        }
    }
    if left_out > 0 {
        output.note(&format!(
            "{} not shown; --columns and --format json show others",
            match left_out {
                1 => "1 more property is".to_owned(),
                _ => format!("{left_out} more properties are"),
            }
        ));
    }
    listing.end()
}

/// The properties that most of the records have, and how many others there are.
fn commonest(records: &[Record]) -> (Vec<String>, usize) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in records.iter().flat_map(|record| record.properties().keys()) {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    let mut names: Vec<_> = counts.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let left_out = names.len().saturating_sub(COLUMNS);
    names.truncate(COLUMNS);
    names.sort_unstable();
    (names.into_iter().map(|(name, _)| name.to_owned()).collect(), left_out)
}

fn cell(record: &Record, name: &str) -> String {
    let mut cell = record.get(name).map(text::value).unwrap_or_default();
    if let Some((cut, _)) = cell.char_indices().nth(CELL) {
        cell.truncate(cut);
        cell.push('…');
    }
    let contested = record.contested().keys().any(|register| match register {
        RegisterName::Property(contested) => contested.as_str() == name,
        RegisterName::Existence => false,
    });
    match contested {
        // Without a colour, which a table would take for text.
        true => format!("{cell} (!)"),
        false => cell,
    }
}

//! The first page.

use std::collections::BTreeMap;

use futures_lite::StreamExt as _;
use maud::{Markup, html};
use prophet_store::{Conflict, Direction, RecordKey, RecordType, Replica};

use crate::changes;
use crate::layout::{FEED_FILE, page};
use crate::options::{SiteError, SiteOptions};
use crate::text;
use crate::types::Tally;
use crate::view::{View, register, time, type_file, who};

/// How many conflicts are listed, how many changesets, and how many records of each.
const CONFLICTS: usize = 20;
const RECENT: usize = 20;
const RECORDS: usize = 5;

pub(crate) async fn index_page(
    replica: &Replica,
    types: &BTreeMap<RecordType, Tally>,
    options: &SiteOptions,
) -> Result<Vec<u8>, SiteError> {
    let view = View::of_page(0);
    let recent = recent(replica, &view).await?;
    let open = replica.conflict_counts().await?.open;
    let mut listed = Vec::new();
    let mut conflicts = replica.conflicts().take(CONFLICTS);
    while let Some(conflict) = conflicts.next().await {
        listed.push(conflict?);
    }
    let (own, apps): (Vec<_>, Vec<_>) = types.iter().partition(|(name, _)| name.is_reserved());
    let body = html! {
        h1 { bdi { (text::plain(&options.title)) } }
        h2 { "Records" }
        @if apps.is_empty() { p { "There are none." } } @else { (table("Types of records", &apps)) }
        h2 { "Open conflicts" }
        (open_conflicts(open, &listed, &view))
        h2 { "Recent changes" }
        p { a href=(FEED_FILE) { "All the latest changes, as an Atom feed" } }
        (recent)
        @if !own.is_empty() {
            h2 { "Settings" }
            (table("Types of records that are Prophet's own", &own))
        }
    };
    Ok(page(options, &view, None, &body))
}

fn table(caption: &str, types: &[(&RecordType, &Tally)]) -> Markup {
    html! {
        table {
            caption { (caption) }
            thead {
                tr {
                    th scope="col" { "Type" }
                    th.number scope="col" { "Records" }
                    th.number scope="col" { "Deleted" }
                }
            }
            tbody {
                @for (record_type, tally) in types {
                    tr {
                        th scope="row" {
                            a href=(type_file(record_type, 1)) { bdi { (text::name(record_type.as_str())) } }
                        }
                        td.number { (tally.alive) }
                        td.number { (tally.deleted) }
                    }
                }
            }
        }
    }
}

fn open_conflicts(open: u64, listed: &[Conflict], view: &View) -> Markup {
    html! {
        p {
            @if open == 0 { "There are none." }
            @else { span.alert { (text::counted(open, "conflict is", "conflicts are")) " open." } }
        }
        @if !listed.is_empty() {
            ul {
                @for conflict in listed {
                    li {
                        (register(&conflict.register)) " of "
                        (view.record_link(&conflict.record, &text::key(&conflict.record)))
                    }
                }
                @if open > listed.len() as u64 { li.note { "…" } }
            }
        }
    }
}

async fn recent(replica: &Replica, view: &View) -> Result<Markup, SiteError> {
    let mut shown = Vec::new();
    let mut entries = replica.log(None, Direction::Backward).take(RECENT);
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        let payload = entry.changeset.payload();
        let mut keys: Vec<_> = payload.records().take(RECORDS).cloned().collect();
        keys.dedup();
        let all = payload.changes().len() + payload.votes().len();
        let links = links(replica, &keys, view).await?;
        let header = entry.changeset.header();
        shown.push(html! {
            p { (time(header.time)) " " (who(&header.creator, header.origin)) }
            p { bdi { (changes::title(&entry)) } }
            @if !links.is_empty() {
                ul {
                    @for link in &links { li { (link) } }
                    @if all > RECORDS { li.note { "…" } }
                }
            }
        });
    }
    Ok(html! { ol.history { @for entry in &shown { li { (entry) } } } })
}

async fn links(
    replica: &Replica,
    keys: &[RecordKey],
    view: &View,
) -> Result<Vec<Markup>, SiteError> {
    let records = replica.get_many(keys).await?;
    let links = keys.iter().zip(records).map(|(key, record)| {
        let label = record.and_then(|record| text::label(|name| record.get(name)));
        html! {
            (view.record_link(key, &label.unwrap_or_else(|| key.id().to_string())))
            " " span.note { bdi { (text::name(key.record_type().as_str())) } }
        }
    });
    Ok(links.collect())
}

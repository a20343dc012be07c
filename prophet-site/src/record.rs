//! The page of a record.

use maud::{Markup, html};
use prophet_store::{Existence, RecordKey, RecordState, Replica};

use crate::conflicts::conflicts;
use crate::history::history;
use crate::layout::page;
use crate::options::{SiteError, SiteOptions};
use crate::text;
use crate::view::{View, type_file};

/// How many directories down the pages of records are.
const DEPTH: usize = 2;

/// The page of a record, and the view that knows what it refers to.
pub(crate) async fn record_page(
    replica: &Replica,
    state: &RecordState,
    options: &SiteOptions,
) -> Result<(Vec<u8>, View), SiteError> {
    let mut view = View::of_page(DEPTH);
    let key = state.key();
    let contested = match state.is_contested() {
        true => replica.conflicts_of(key).await?,
        false => Vec::new(),
    };
    let history = history(replica, key, &mut view).await?;
    let existence = state.existence();
    let label = text::label(|name| state.visible_property(name));
    let title = label.unwrap_or_else(|| text::key(key));
    let body = html! {
        h1 { bdi { (title) } }
        (identity(key, &view, true))
        @match existence {
            Existence::Alive => (properties(state, &mut view)),
            Existence::Deleted => p.alert { "This record is deleted." },
            Existence::Never => p { "This record does not exist." },
        }
        (conflicts(&contested, existence != Existence::Alive, &mut view))
        (history)
    };
    Ok((page(options, &view, Some(&title), &body), view))
}

/// The page of a record that is referred to, and of which nothing is known.
pub(crate) fn missing_page(key: &RecordKey, options: &SiteOptions) -> Vec<u8> {
    let view = View::of_page(DEPTH);
    let title = text::key(key);
    let body = html! {
        h1 { bdi { (title) } }
        (identity(key, &view, false))
        p { "Something refers to this record, but it is not in this copy of the database." }
    };
    page(options, &view, Some(&title), &body)
}

/// Which record it is; there is a list of its type if there is any record of it.
fn identity(key: &RecordKey, view: &View, is_listed: bool) -> Markup {
    let named = html! { bdi { (text::name(key.record_type().as_str())) } };
    html! {
        p.id {
            @if is_listed {
                a href={ (view.root()) (type_file(key.record_type(), 1)) } { (named) }
            } @else {
                (named)
            }
            " " code { (key.id().to_string()) }
        }
    }
}

fn properties(state: &RecordState, view: &mut View) -> Markup {
    let visible = state.visible();
    html! {
        h2 { "Properties" }
        @if visible.is_empty() {
            p { "It has none." }
        } @else {
            table {
                thead {
                    tr {
                        th.name scope="col" { "Name" }
                        th scope="col" { "Value" }
                        th.narrow scope="col" { "Kind" }
                    }
                }
                tbody {
                    @for (name, value) in &visible {
                        tr {
                            th scope="row" { bdi { (text::name(name.as_str())) } }
                            td { (view.block(value)) }
                            td.note { (value.kind()) }
                        }
                    }
                }
            }
        }
    }
}

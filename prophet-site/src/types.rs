//! The pages that list the records of a type.

use maud::{Markup, html};
use prophet_store::{Existence, RecordState, RecordType};

use crate::layout::page;
use crate::options::SiteOptions;
use crate::text;
use crate::view::{View, type_file};

/// How many records a page lists.
pub(crate) const LISTED: usize = 500;

/// How many records there are of a type.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) alive: u64,
    pub(crate) deleted: u64,
}

/// A page of the list of a type, being filled.
pub(crate) struct TypePage {
    pub(crate) record_type: RecordType,
    pub(crate) tally: Tally,
    number: u64,
    view: View,
    rows: Vec<Markup>,
}

impl TypePage {
    pub(crate) fn new(record_type: RecordType) -> Self {
        let view = View::of_page(1);
        Self { record_type, tally: Tally::default(), number: 1, view, rows: Vec::new() }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.rows.len() >= LISTED
    }

    pub(crate) fn push(&mut self, state: &RecordState) {
        let existence = state.existence();
        match existence {
            Existence::Alive => self.tally.alive += 1,
            Existence::Deleted => self.tally.deleted += 1,
            Existence::Never => {}
        }
        let (key, id) = (state.key(), state.key().id().to_string());
        let label = text::label(|name| state.visible_property(name));
        self.rows.push(html! {
            tr {
                th scope="row" { (self.view.record_link(key, label.as_deref().unwrap_or(&id))) }
                td.id { code { (id) } }
                td.note {
                    @match existence {
                        Existence::Alive => {},
                        Existence::Deleted => "deleted",
                        Existence::Never => "not there",
                    }
                    @if existence == Existence::Alive && state.is_contested() { "contested" }
                }
            }
        });
    }

    /// The file and content of the page, which is empty again then, and the next one.
    pub(crate) fn take(&mut self, options: &SiteOptions, is_last: bool) -> (String, Vec<u8>) {
        let rows = std::mem::take(&mut self.rows);
        let (number, shown) = (self.number, text::name(self.record_type.as_str()));
        self.number += 1;
        let link = |number, what: &str, rel: &str| {
            let file = type_file(&self.record_type, number);
            html! { a rel=(rel) href={ (self.view.root()) (file) } { (what) } }
        };
        let body = html! {
            h1 { bdi { (shown) } }
            table {
                caption {
                    "Records of this type, by id"
                    @if number > 1 || !is_last { ", page " (number) }
                }
                thead {
                    tr {
                        th.wide scope="col" { "Record" }
                        th scope="col" { "Id" }
                        th.narrow scope="col" { "State" }
                    }
                }
                tbody { @for row in &rows { (row) } }
            }
            @if number > 1 || !is_last {
                nav aria-label="Pages" {
                    @if number > 1 { (link(number - 1, "Previous page", "prev")) }
                    @if !is_last { (link(number + 1, "Next page", "next")) }
                }
            }
        };
        let title = match number {
            1 => shown,
            number => format!("{shown}, page {number}"),
        };
        let content = page(options, &self.view, Some(&title), &body);
        (type_file(&self.record_type, number), content)
    }
}

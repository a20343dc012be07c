//! Values and links, and which records a page refers to.

use std::collections::BTreeSet;

use maud::{Markup, html};
use prophet_store::{Creator, RecordKey, RecordType, RegisterName, ReplicaId, Timestamp, Value};

use crate::text;

/// How much of a value the page of a record shows, in bytes.
pub(crate) const VALUE_BYTES: usize = 4 << 10;
/// How much of a value history shows.
pub(crate) const SHORT_BYTES: usize = 300;
/// What each part of a nested value counts for, however short it is.
const PART_BYTES: usize = 8;

/// Shows things on one page.
pub(crate) struct View {
    /// What leads to the root of the site: `../`, or its address.
    root: String,
    /// Whether references within values are links.
    follows: bool,
    /// The records that values link to: they need not exist, but a page of theirs must.
    pub(crate) referenced: BTreeSet<RecordKey>,
}

impl View {
    /// Of a page so many directories down.
    pub(crate) fn of_page(depth: usize) -> Self {
        Self { root: "../".repeat(depth), follows: true, referenced: BTreeSet::new() }
    }

    /// Of the feed of a site with this base. It is written without looking what values refer to.
    pub(crate) fn of_feed(base: &str) -> Self {
        Self { root: base.to_owned(), follows: false, referenced: BTreeSet::new() }
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    pub(crate) fn record_href(&self, key: &RecordKey) -> String {
        format!("{}{}", self.root, record_file(key))
    }

    /// A link to the page of a record that is known to have one.
    pub(crate) fn record_link(&self, key: &RecordKey, shown: &str) -> Markup {
        html! { a href=(self.record_href(key)) { bdi { (shown) } } }
    }

    /// A value, as far as it is no longer than `most`, on one line.
    pub(crate) fn value(&mut self, value: &Value, most: usize) -> Markup {
        self.part(value, &mut { most })
    }

    /// A value as the page of a record shows it: text without quotes, items each on a line.
    pub(crate) fn block(&mut self, value: &Value) -> Markup {
        let mut left = VALUE_BYTES;
        match value {
            Value::Text(text) => html! {
                span.text { (cut_text(text, &mut left)) }
            },
            Value::List(items) if !items.is_empty() => {
                let (shown, more) = self.items(items.iter(), &mut left);
                html! { ul { @for item in shown { li { (item) } } @if more > 0 { li { (cut_items(more)) } } } }
            }
            Value::Map(entries) if !entries.is_empty() => {
                let (shown, more) = self.entries(entries.iter(), &mut left);
                html! { ul { @for entry in shown { li { (entry) } } @if more > 0 { li { (cut_items(more)) } } } }
            }
            value => self.part(value, &mut left),
        }
    }

    /// A value of a register, in words where it is one of the existence.
    pub(crate) fn of_register(&mut self, register: &RegisterName, value: Option<&Value>) -> Markup {
        match (register, value) {
            (RegisterName::Existence, Some(Value::Boolean(true))) => html! { "alive" },
            (RegisterName::Existence, Some(Value::Boolean(false))) => html! { "deleted" },
            (_, Some(value)) => self.value(value, SHORT_BYTES),
            (_, None) => html! { i { "absent" } },
        }
    }

    fn part(&mut self, value: &Value, left: &mut usize) -> Markup {
        *left = left.saturating_sub(PART_BYTES);
        match value {
            Value::Boolean(truth) => html! { (truth) },
            Value::Integer(number) => html! { (number) },
            Value::Real(number) => html! { (format!("{number:?}")) },
            Value::Text(text) => html! { q { (cut_text(text, left)) } },
            Value::Bytes(bytes) => html! {
                (text::counted(bytes.len() as u64, "byte", "bytes"))
                @if !bytes.is_empty() { ": " code { (text::preview(bytes)) } }
            },
            Value::Reference(key) if !self.follows => html! { bdi { (text::key(key)) } },
            Value::Reference(key) => {
                self.referenced.insert(key.clone());
                self.record_link(key, &text::key(key))
            }
            Value::List(items) => {
                let (shown, more) = self.items(items.iter(), left);
                html! { "[" (joined(&shown, more)) "]" }
            }
            Value::Map(entries) => {
                let (shown, more) = self.entries(entries.iter(), left);
                html! { "{" (joined(&shown, more)) "}" }
            }
        }
    }

    fn items<'v>(
        &mut self,
        mut items: impl ExactSizeIterator<Item = &'v Value>,
        left: &mut usize,
    ) -> (Vec<Markup>, usize) {
        let mut shown = Vec::new();
        while *left > 0
            && let Some(item) = items.next()
        {
            shown.push(self.part(item, left));
        }
        (shown, items.len())
    }

    fn entries<'v>(
        &mut self,
        mut entries: impl ExactSizeIterator<Item = (&'v String, &'v Value)>,
        left: &mut usize,
    ) -> (Vec<Markup>, usize) {
        let mut shown = Vec::new();
        while *left > 0
            && let Some((name, value)) = entries.next()
        {
            let name = cut_text(name, left);
            shown.push(html! { (name) ": " (self.part(value, left)) });
        }
        (shown, entries.len())
    }
}

fn joined(shown: &[Markup], more: usize) -> Markup {
    html! {
        @for (index, item) in shown.iter().enumerate() { @if index > 0 { ", " } (item) }
        @if more > 0 { " " (cut_items(more)) }
    }
}

fn cut_items(more: usize) -> Markup {
    html! { span.note { "… (cut, " (more) " more)" } }
}

fn cut_text(text: &str, left: &mut usize) -> Markup {
    let shown = text::cut(text, *left);
    *left = left.saturating_sub(shown.len());
    html! {
        bdi { (text::isolated(shown)) }
        @if shown.len() < text.len() {
            " " span.note { "… (cut, " (text.len()) " bytes in all)" }
        }
    }
}

/// The file of the page of a record.
pub(crate) fn record_file(key: &RecordKey) -> String {
    format!("records/{}/{}.html", key.record_type().file_name(), key.id())
}

/// The file of a page of the list of a type, of which the first is number 1.
pub(crate) fn type_file(record_type: &RecordType, number: u64) -> String {
    match (record_type.file_name(), number) {
        (name, 1) => format!("types/{name}.html"),
        // Names have no dots, so this is not the first page of another type.
        (name, number) => format!("types/{name}.{number}.html"),
    }
}

pub(crate) fn register(register: &RegisterName) -> Markup {
    match register {
        RegisterName::Existence => html! { i { "existence" } },
        RegisterName::Property(name) => html! { bdi { (text::name(name.as_str())) } },
    }
}

pub(crate) fn who(creator: &Creator, origin: ReplicaId) -> Markup {
    html! { bdi { (text::who(creator, origin)) } }
}

pub(crate) fn time(time: Timestamp) -> Markup {
    html! { time datetime=(text::rfc3339(time)) { (time.to_string()) } }
}

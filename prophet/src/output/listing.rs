//! Things of one kind: a table, an array of JSON, or a line of JSON for each.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value as Json;

use crate::Result;
use crate::args::Format;
use crate::output::{BOLD, Output};

/// Things of one kind, being shown.
#[derive(Debug)]
pub(crate) struct Listing {
    output: Output,
    table: Table,
    shown: usize,
}

impl Listing {
    pub(super) fn new(output: Output, headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings);
        if let Some(width) = Output::width() {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        Self { output, table, shown: 0 }
    }

    /// Shows one more. The cells are of a line for people.
    pub(crate) fn add(
        &mut self,
        json: impl FnOnce() -> Json,
        cells: impl FnOnce() -> Vec<String>,
    ) -> Result<()> {
        let first = self.shown == 0;
        self.shown += 1;
        match self.output.format {
            Format::Table => {
                self.table.add_row(cells());
                Ok(())
            }
            Format::Json => {
                let json = format!("{:#}", json()).replace('\n', "\n  ");
                self.output.write(&format!("{}\n  {json}", if first { "[" } else { "," }))
            }
            Format::Jsonl => self.output.line(&json().to_string()),
        }
    }

    /// Shows one more, for people as text of its own.
    pub(crate) fn thing(&mut self, json: &Json, text: &str) -> Result<()> {
        match self.output.is_for_people() {
            true => self.output.line(text),
            false => self.add(|| json.clone(), Vec::new),
        }
    }

    /// Ends it; how many there were.
    pub(crate) fn end(self) -> Result<usize> {
        match self.output.format {
            Format::Table if self.shown > 0 => {
                // A table pads its last column, and begins each line with a space.
                let table = self.table.to_string();
                let mut lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
                if let Some(heading) = lines.next() {
                    self.output.line(&format!("{BOLD}{}{BOLD:#}", heading.trim_end()))?;
                }
                lines.try_for_each(|line| self.output.line(line.trim_end()))?;
            }
            Format::Table | Format::Jsonl => {}
            Format::Json if self.shown == 0 => self.output.line("[]")?,
            Format::Json => self.output.line("\n]")?,
        }
        Ok(self.shown)
    }
}

//! What was measured, as CSV.

use std::path::Path;

const HEAD: &str = "store,changesets,measure,unit,value";

/// One measure of one store at one size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) store: String,
    pub(crate) changesets: u64,
    pub(crate) measure: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
}

impl Row {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("this is no row of figures: {line}");
        let parts: Vec<_> = line.split(',').collect();
        let [store, changesets, measure, unit, value] = parts.try_into().map_err(|_| wrong())?;
        Ok(Self {
            store: store.to_owned(),
            changesets: changesets.parse().map_err(|_| wrong())?,
            measure: measure.to_owned(),
            unit: unit.to_owned(),
            value: value.parse().map_err(|_| wrong())?,
        })
    }

    pub(crate) fn to_csv(&self) -> String {
        let Self { store, changesets, measure, unit, value } = self;
        format!("{store},{changesets},{measure},{unit},{value:.3}")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
}

impl Results {
    /// What is there; nothing, if there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(Self::default()) };
        let rows = text.lines().skip(1).map(Row::parse).collect::<Result<_, _>>();
        Ok(Self { rows: rows.map_err(|why| format!("{}: {why}", path.display()))? })
    }

    /// Puts rows in the place of those of the same store and size.
    pub(crate) fn replace(&mut self, rows: Vec<Row>) {
        if let Some(Row { store, changesets, .. }) = rows.first() {
            self.rows.retain(|row| (&row.store, row.changesets) != (store, *changesets));
        }
        self.rows.extend(rows);
        // Stable: measures stay in the order in which they were taken.
        self.rows.sort_by(|a, b| (&a.store, a.changesets).cmp(&(&b.store, b.changesets)));
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let lines = self.rows.iter().map(Row::to_csv);
        let all: Vec<_> = std::iter::once(HEAD.to_owned()).chain(lines).collect();
        std::fs::write(path, all.join("\n") + "\n")
    }

    /// The measures, each with its unit, in the order in which they are taken.
    pub(crate) fn measures(&self) -> Vec<(&str, &str)> {
        let mut measures: Vec<(&str, &str)> = Vec::new();
        for row in &self.rows {
            let measure = (row.measure.as_str(), row.unit.as_str());
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
        measures
    }
}

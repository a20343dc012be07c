//! How far something has come.

use indicatif::{ProgressBar, ProgressStyle};
use prophet_store::Progress;

/// A bar on stderr; nothing where there is no terminal.
#[derive(Debug, Clone)]
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new(shown: bool) -> Self {
        Self(shown.then(|| {
            let bar = ProgressBar::no_length();
            // The template is one that indicatif knows; if it is not, its own will do.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} changesets") {
                bar.set_style(style);
            }
            bar
        }))
    }

    /// Shows how far a pull has come.
    pub(crate) fn show(&self, progress: Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        }
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

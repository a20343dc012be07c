//! Watching a replica: what was committed, as it is committed.

use std::time::Duration;

use event_listener::listener;
use futures_lite::stream;

use crate::error::Error;
use crate::id::Position;
use crate::log::LogEntry;
use crate::replica::{Replica, Streamed};
use crate::store::{Direction, LogScan, PageLimit};

impl Replica {
    /// The log entries after `after`, and then each new one as it is committed, for ever: by this
    /// process at once, by others within `interval`, at which the log is looked at; the shorter it
    /// is, the busier.
    ///
    /// A stream that is not polled does nothing and misses nothing: the log is what it reads.
    pub fn watch(&self, after: Position, interval: Duration) -> Streamed<'_, LogEntry> {
        let state = (Vec::new().into_iter(), after);
        Box::pin(stream::try_unfold(state, move |(mut entries, mut last)| async move {
            loop {
                if let Some(entry) = entries.next() {
                    let entry: LogEntry = entry;
                    last = entry.position;
                    return Ok(Some((entry, (entries, last))));
                }
                entries = self.entries_after(last, interval).await?.into_iter();
            }
        }))
    }

    /// Wakes whoever [watches](Self::watch), so that it looks at the log before the interval is over:
    /// for a program that commits to the store past this handle, as a server does for others.
    pub fn wake_watchers(&self) {
        self.inner.committer.committed().notify(usize::MAX);
    }

    /// The entries after `last`, once there are any.
    async fn entries_after(
        &self,
        last: Position,
        interval: Duration,
    ) -> Result<Vec<LogEntry>, Error> {
        let inner = &self.inner;
        let scan = LogScan {
            after: Some(last),
            direction: Direction::Forward,
            limit: PageLimit::default(),
        };
        loop {
            // Listening before looking, so that nothing falls in between.
            listener!(inner.committer.committed() => committed);
            let page = inner.store.scan_log(&scan).await?;
            if !page.items.is_empty() {
                return Ok(page.items);
            }
            futures_lite::future::or(committed, inner.environment.sleep(interval)).await;
        }
    }
}

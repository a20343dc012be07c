//! Writing it all.

use std::collections::BTreeMap;

use futures_lite::StreamExt as _;
use prophet_store::{
    Position, RecordKey, RecordScan, RecordState, RecordType, Replica, ReplicaStoreExt as _,
};

use crate::Sink;
use crate::feed::feed;
use crate::index::index_page;
use crate::layout::{FEED_FILE, INDEX_FILE, STYLE, STYLE_FILE};
use crate::options::{SiteError, SiteOptions, SiteSummary};
use crate::record::{missing_page, record_page};
use crate::types::{Tally, TypePage};
use crate::view::record_file;

/// How many records are looked up with one read.
const LOOKED_UP: usize = 64;

/// Writes what is in `replica` as a web site. Memory stays flat however many records there are, but
/// for what the first page says of each type. The same content gives the same bytes, so that who
/// keeps the files can tell which have changed.
///
/// The first page and the feed come last, when all they lead to is there. Where it fails, what was
/// put before stays, and doing it again puts it right.
///
/// # Errors
/// What the store says, and what the sink says.
pub async fn write_site(
    replica: &Replica,
    sink: &mut dyn Sink,
    options: &SiteOptions,
) -> Result<SiteSummary, SiteError> {
    // Before anything else is read: what comes later is newer, and the next time is not missed.
    let position = replica.head().await?.position;
    let since = options.since.filter(|since| *since <= position);
    let summary = SiteSummary { position, ..SiteSummary::default() };
    let mut writer = Writer { replica, sink, options, since, summary };
    writer.put(STYLE_FILE, STYLE.as_bytes().to_vec()).await?;
    let types = writer.records().await?;
    let index = index_page(replica, &types, options).await?;
    writer.put(INDEX_FILE, index).await?;
    let feed = feed(replica, options).await?;
    writer.put(FEED_FILE, feed).await?;
    Ok(writer.summary)
}

struct Writer<'a> {
    replica: &'a Replica,
    sink: &'a mut dyn Sink,
    options: &'a SiteOptions,
    since: Option<Position>,
    summary: SiteSummary,
}

impl Writer<'_> {
    async fn put(&mut self, name: &str, content: Vec<u8>) -> Result<(), SiteError> {
        let put = self.sink.put(name, content).await;
        put.map_err(|why| SiteError::Sink { name: name.to_owned(), why })?;
        self.summary.files += 1;
        Ok(())
    }

    /// The pages of records, and those that list them.
    async fn records(&mut self) -> Result<BTreeMap<RecordType, Tally>, SiteError> {
        let mut types = BTreeMap::new();
        let mut listing: Option<TypePage> = None;
        let mut states = self.replica.store().stream_records(RecordScan::default());
        while let Some(state) = states.next().await {
            let state = state?;
            let record_type = state.key().record_type();
            // They come by type, so that a page is full or its type is over.
            let mut page = match listing.take() {
                Some(mut page) if page.record_type == *record_type => {
                    if page.is_full() {
                        self.list(&mut page, false).await?;
                    }
                    page
                }
                other => {
                    self.finish(other, &mut types).await?;
                    TypePage::new(record_type.clone())
                }
            };
            page.push(&state);
            listing = Some(page);
            if self.since.is_none_or(|since| state.changed() > since) {
                self.record(&state).await?;
            }
        }
        self.finish(listing, &mut types).await?;
        Ok(types)
    }

    async fn finish(
        &mut self,
        page: Option<TypePage>,
        types: &mut BTreeMap<RecordType, Tally>,
    ) -> Result<(), SiteError> {
        if let Some(mut page) = page {
            self.list(&mut page, true).await?;
            types.insert(page.record_type, page.tally);
        }
        Ok(())
    }

    async fn list(&mut self, page: &mut TypePage, is_last: bool) -> Result<(), SiteError> {
        let (name, content) = page.take(self.options, is_last);
        self.put(&name, content).await
    }

    async fn record(&mut self, state: &RecordState) -> Result<(), SiteError> {
        let (content, view) = record_page(self.replica, state, self.options).await?;
        self.put(&record_file(state.key()), content).await?;
        self.summary.records += 1;
        let referenced: Vec<_> = view.referenced.into_iter().collect();
        for keys in referenced.chunks(LOOKED_UP) {
            self.missing(keys).await?;
        }
        Ok(())
    }

    /// Pages for those of these records that have none of their own.
    async fn missing(&mut self, keys: &[RecordKey]) -> Result<(), SiteError> {
        let found = self.replica.store().get_records(keys).await?.value;
        for (key, state) in keys.iter().zip(found) {
            if state.is_none() {
                let content = missing_page(key, self.options);
                self.put(&record_file(key), content).await?;
            }
        }
        Ok(())
    }
}

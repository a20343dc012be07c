//! A store that hands every call on to another, by way of the hooks.

use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use conformance::Store;
use futures_lite::future::yield_now;
use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, Position, Read, RecordCounts, RecordKey,
    RecordScan, RecordState, RecordType, ReplicaStore, Resolution, ResolutionCursor,
    ResolutionScan, StoreError, Verification,
};

use super::hooks::{Call, Hooks, Paged};

pub(super) struct Wrapped {
    inner: Store,
    facts: Facts,
    hooks: Hooks,
}

impl Debug for Wrapped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").field("inner", &self.inner).finish_non_exhaustive()
    }
}

macro_rules! hook {
    ($store:ident.$hook:ident($($arg:expr),*)) => {
        if let Some(hook) = &$store.hooks.$hook {
            hook($($arg),*);
        }
    };
}

impl Wrapped {
    pub(super) fn new(inner: Store, hooks: Hooks) -> Self {
        let mut facts = inner.facts().clone();
        if let Some(hook) = &hooks.facts {
            hook(&mut facts);
        }
        Self { inner, facts, hooks }
    }

    async fn pass<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if let Some(before) = &self.hooks.before {
            before(call)?;
            yield_now().await;
        }
        for _ in 0..self.hooks.yields {
            yield_now().await;
        }
        let answer = work.await;
        hook!(self.after(call));
        answer
    }

    fn paged<T, C: Clone + Debug>(
        &self,
        page: &mut Page<T, C>,
        after: Option<C>,
        cursor: fn(&T) -> C,
    ) {
        hook!(self.at(&mut page.at));
        hook!(self.page(&mut Paged { page, after, cursor }));
    }

    fn entries(&self, page: &mut Page<LogEntry, Position>) {
        if let Some(entry) = &self.hooks.entry {
            page.items = std::mem::take(&mut page.items).into_iter().map(entry).collect();
        }
    }

    async fn sent(&self, commit: &Commit) -> Result<Head, StoreError> {
        if let Some(begun) = &self.hooks.begun {
            begun(commit);
            yield_now().await;
        }
        match &self.hooks.send {
            Some(send) => send(commit),
            None => self.inner.commit(commit).await,
        }
    }
}

#[async_trait]
impl ReplicaStore for Wrapped {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.pass(Call::Head, async {
            let mut answer = self.inner.head().await;
            if let Ok(head) = &mut answer {
                hook!(self.at(head));
            }
            match &self.hooks.head {
                Some(hook) => hook(answer),
                None => answer,
            }
        })
        .await
    }

    async fn get_records(
        &self,
        keys: &[RecordKey],
    ) -> Result<Read<Vec<Option<RecordState>>>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = keys.to_vec();
            hook!(self.keys(&mut asked));
            let mut read = self.inner.get_records(&asked).await?;
            if let Some(state) = &self.hooks.state {
                read.value = read.value.into_iter().map(|it| it.and_then(state)).collect();
            }
            hook!(self.records(&asked, &mut read));
            hook!(self.at(&mut read.at));
            Ok(read)
        })
        .await
    }

    async fn scan_records(
        &self,
        scan: &RecordScan,
    ) -> Result<Page<RecordState, RecordKey>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = scan.clone();
            hook!(self.limit(&mut asked.limit));
            hook!(self.record_scan(&mut asked));
            let mut page = self.inner.scan_records(&asked).await?;
            if let Some(state) = &self.hooks.state {
                page.items = page.items.into_iter().filter_map(state).collect();
            }
            hook!(self.record_page(scan, &mut page));
            self.paged(&mut page, scan.after.clone(), |state| state.key().clone());
            Ok(page)
        })
        .await
    }

    async fn count_records(
        &self,
        record_type: Option<&RecordType>,
    ) -> Result<Read<RecordCounts>, StoreError> {
        self.pass(Call::Read, async {
            let mut read = self.inner.count_records(record_type).await?;
            hook!(self.counts(record_type, &mut read));
            hook!(self.at(&mut read.at));
            Ok(read)
        })
        .await
    }

    async fn scan_log(&self, scan: &LogScan) -> Result<Page<LogEntry, Position>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = *scan;
            hook!(self.limit(&mut asked.limit));
            hook!(self.log_scan(&mut asked));
            let mut page = self.inner.scan_log(&asked).await?;
            self.entries(&mut page);
            hook!(self.log_page(scan, &mut page));
            self.paged(&mut page, scan.after, |entry| entry.position);
            Ok(page)
        })
        .await
    }

    async fn scan_history(
        &self,
        scan: &HistoryScan,
    ) -> Result<Page<LogEntry, Position>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = scan.clone();
            hook!(self.limit(&mut asked.limit));
            hook!(self.history_scan(&mut asked));
            let mut page = self.inner.scan_history(&asked).await?;
            self.entries(&mut page);
            hook!(self.history_page(scan, &mut page));
            self.paged(&mut page, scan.after, |entry| entry.position);
            Ok(page)
        })
        .await
    }

    async fn scan_origin(
        &self,
        scan: &OriginScan,
    ) -> Result<Page<Authorship, OriginCursor>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = *scan;
            hook!(self.limit(&mut asked.limit));
            hook!(self.origin_scan(&mut asked));
            let mut page = self.inner.scan_origin(&asked).await?;
            hook!(self.origin_page(scan, &mut page));
            self.paged(&mut page, scan.after, |it| (it.sequence, it.digest));
            Ok(page)
        })
        .await
    }

    async fn find_changesets(
        &self,
        digests: &[Digest],
    ) -> Result<Read<Vec<Option<Position>>>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = digests.to_vec();
            hook!(self.digests(&mut asked));
            let mut read = self.inner.find_changesets(&asked).await?;
            hook!(self.found(digests, &mut read));
            hook!(self.at(&mut read.at));
            Ok(read)
        })
        .await
    }

    async fn scan_resolutions(
        &self,
        scan: &ResolutionScan,
    ) -> Result<Page<Resolution, ResolutionCursor>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = *scan;
            hook!(self.limit(&mut asked.limit));
            hook!(self.resolution_scan(&mut asked));
            let mut page = self.inner.scan_resolutions(&asked).await?;
            hook!(self.resolution_page(scan, &mut page));
            self.paged(&mut page, scan.after, |it| (it.conflict(), it.changeset));
            Ok(page)
        })
        .await
    }

    async fn get_metadata(
        &self,
        keys: &[MetadataKey],
    ) -> Result<Read<Vec<Option<Vec<u8>>>>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = keys.to_vec();
            hook!(self.names(&mut asked));
            let mut read = self.inner.get_metadata(&asked).await?;
            hook!(self.metadata(&mut read));
            hook!(self.at(&mut read.at));
            Ok(read)
        })
        .await
    }

    async fn scan_metadata(
        &self,
        scan: &MetadataScan,
    ) -> Result<Page<(MetadataKey, Vec<u8>), MetadataKey>, StoreError> {
        self.pass(Call::Read, async {
            let mut asked = scan.clone();
            hook!(self.limit(&mut asked.limit));
            hook!(self.metadata_scan(&mut asked));
            let mut page = self.inner.scan_metadata(&asked).await?;
            hook!(self.metadata_page(scan, &mut page));
            self.paged(&mut page, scan.after.clone(), |(key, _)| key.clone());
            Ok(page)
        })
        .await
    }

    // By hand, because something may happen before the first poll.
    fn commit<'a, 'b, 'c>(
        &'a self,
        commit: &'b Commit,
    ) -> Pin<Box<dyn Future<Output = Result<Head, StoreError>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        hook!(self.called(commit));
        Box::pin(self.pass(Call::Commit, self.sent(commit)))
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.pass(Call::Verify, async {
            let mut report = self.inner.verify().await?;
            hook!(self.verification(&mut report));
            Ok(report)
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.pass(Call::Close, async {
            match &self.hooks.close {
                Some(close) => close(),
                None => self.inner.close().await,
            }
        })
        .await
    }
}

//! What may be done to the calls of a store.

use std::fmt::Debug;

use prophet_store::{
    Authorship, Commit, Digest, Facts, Head, HistoryScan, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginCursor, OriginScan, Page, PageLimit, Position, Read, RecordCounts,
    RecordKey, RecordScan, RecordState, RecordType, Resolution, ResolutionCursor, ResolutionScan,
    StoreError, Verification,
};

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Head,
    Read,
    Commit,
    Verify,
    Close,
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident: ($($arg:ty),*) $(-> $answer:ty)?;)*) => {
        /// What is done to each call; nothing, where there is no hook.
        #[derive(Default)]
        pub(crate) struct Hooks {
            $(pub(super) $name: Option<Box<dyn Fn($($arg),*) $(-> $answer)? + Send + Sync>>,)*
            /// How often each call is pending before it begins.
            pub(super) yields: usize,
        }

        impl Hooks {
            pub(crate) fn yields(self, yields: usize) -> Self {
                Self { yields, ..self }
            }

            $(
                $(#[$doc])*
                pub(crate) fn $name(
                    self,
                    hook: impl Fn($($arg),*) $(-> $answer)? + Send + Sync + 'static,
                ) -> Self {
                    Self { $name: Some(Box::new(hook)), ..self }
                }
            )*
        }
    };
}

hooks! {
    /// What the store says of itself.
    facts: (&mut Facts);
    /// A commit is called, and not polled yet.
    called: (&Commit);
    /// A commit is polled for the first time, and is pending once.
    begun: (&Commit);
    /// Any other call is polled for the first time, and is pending once.
    before: (Call) -> Result<(), StoreError>;
    /// A call came to its end.
    after: (Call);
    /// Instead of handing a commit on.
    send: (&Commit) -> Result<Head, StoreError>;
    /// Instead of closing.
    close: () -> Result<(), StoreError>;
    /// The head in any answer.
    at: (&mut Head);
    /// The answer to `head`.
    head: (Result<Head, StoreError>) -> Result<Head, StoreError>;
    /// The limit of any scan.
    limit: (&mut PageLimit);
    /// The page of any scan.
    page: (&mut dyn AnyPage);
    /// Every record state that is read.
    state: (RecordState) -> Option<RecordState>;
    /// Every log entry that is read.
    entry: (LogEntry) -> LogEntry;
    keys: (&mut Vec<RecordKey>);
    records: (&[RecordKey], &mut Read<Vec<Option<RecordState>>>);
    digests: (&mut Vec<Digest>);
    found: (&[Digest], &mut Read<Vec<Option<Position>>>);
    names: (&mut Vec<MetadataKey>);
    metadata: (&mut Read<Vec<Option<Vec<u8>>>>);
    record_scan: (&mut RecordScan);
    counts: (Option<&RecordType>, &mut Read<RecordCounts>);
    record_page: (&RecordScan, &mut Page<RecordState, RecordKey>);
    log_scan: (&mut LogScan);
    log_page: (&LogScan, &mut Page<LogEntry, Position>);
    history_scan: (&mut HistoryScan);
    history_page: (&HistoryScan, &mut Page<LogEntry, Position>);
    origin_scan: (&mut OriginScan);
    origin_page: (&OriginScan, &mut Page<Authorship, OriginCursor>);
    resolution_scan: (&mut ResolutionScan);
    resolution_page: (&ResolutionScan, &mut Page<Resolution, ResolutionCursor>);
    metadata_scan: (&mut MetadataScan);
    metadata_page: (&MetadataScan, &mut Page<(MetadataKey, Vec<u8>), MetadataKey>);
    verification: (&mut Verification);
}

/// A page of whatever it may be.
pub(crate) trait AnyPage {
    fn len(&self) -> usize;
    /// The cursor that was asked from, as text.
    fn after(&self) -> Option<String>;
    /// The cursor that it goes on from, as text.
    fn more(&self) -> Option<String>;
    fn drop_first(&mut self);
    fn clear(&mut self);
    /// Nothing more.
    fn end(&mut self);
    /// Goes on from the last item, or where there is none, from where it began.
    fn go_on(&mut self);
    /// Goes on from where it began.
    fn stand_still(&mut self);
}

pub(super) struct Paged<'a, T, C> {
    pub(super) page: &'a mut Page<T, C>,
    pub(super) after: Option<C>,
    pub(super) cursor: fn(&T) -> C,
}

impl<T, C: Clone + Debug> AnyPage for Paged<'_, T, C> {
    fn len(&self) -> usize {
        self.page.items.len()
    }

    fn after(&self) -> Option<String> {
        self.after.as_ref().map(|after| format!("{after:?}"))
    }

    fn more(&self) -> Option<String> {
        self.page.more.as_ref().map(|more| format!("{more:?}"))
    }

    fn drop_first(&mut self) {
        if !self.page.items.is_empty() {
            self.page.items.remove(0);
        }
    }

    fn clear(&mut self) {
        self.page.items.clear();
    }

    fn end(&mut self) {
        self.page.more = None;
    }

    fn go_on(&mut self) {
        self.page.more = self.page.items.last().map(self.cursor).or(self.after.clone());
    }

    fn stand_still(&mut self) {
        self.page.more = self.after.clone();
    }
}

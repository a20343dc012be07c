//! The door for callers in process: what `object_store` makes of the answers of S3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_lite::stream::{self, StreamExt as _};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

use crate::bucket::Bucket;
use crate::fault::{Kind, Refusal};
use crate::state::{Condition, Found, Listing, Page, Reply, Request};

/// As the client's own.
const STORE: &str = "S3";

/// The most keys of one deletion.
const DELETED: usize = 1_000;

/// A seed that was not there before, or the one that `PROPHET_SEED` names.
///
/// # Errors
///
/// The system has no randomness to give, or `PROPHET_SEED` is no number.
#[allow(clippy::disallowed_methods, reason = "what tests begin with comes from outside")]
pub fn fresh_seed() -> std::io::Result<u64> {
    if let Ok(seed) = std::env::var("PROPHET_SEED") {
        return seed.parse().map_err(std::io::Error::other);
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A caller of a [`Bucket`], and what `object_store`'s client of S3 would tell it.
///
/// A PUT that was not to replace anything fails with [`Error::AlreadyExists`] when the bucket says
/// 412, and also when it says 409, although nothing was applied then. With
/// [`retries`](BucketStore::retries) it says so too when the object is there because the first of the
/// caller's own tries was applied and only its answer lost. What the bucket said is the source of the
/// error, a [`Refusal`].
#[derive(Debug, Clone)]
pub struct BucketStore {
    bucket: Bucket,
    retries: u32,
}

impl std::fmt::Display for BucketStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketStore(seed {})", self.bucket.seed())
    }
}

fn generic(refusal: Refusal) -> Error {
    Error::Generic { store: STORE, source: Box::new(refusal) }
}

fn unexpected() -> Error {
    Error::Generic { store: STORE, source: "the bucket answered another question".into() }
}

impl BucketStore {
    pub(crate) fn new(bucket: Bucket) -> Self {
        Self { bucket, retries: 0 }
    }

    /// Tries again, up to so many times, as the client does by default 10 times: after 5xx and broken
    /// connections always, after a timeout only where it does no harm. Here the default is never, so
    /// that the caller sees what happens.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    async fn send(&self, request: Request) -> Result<Reply> {
        let (kind, path) = (request.kind(), request.key().to_owned());
        let mut pause = Duration::from_millis(100);
        let mut left = self.retries;
        let refusal = loop {
            let refusal = match self.bucket.exchange(request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(refusal) => refusal,
            };
            if refusal == Refusal::TimedOut {
                self.bucket.wait(self.bucket.timeout()).await;
            }
            let again = match refusal {
                Refusal::InternalError
                | Refusal::SlowDown
                | Refusal::NotImplemented
                | Refusal::Dropped => true,
                Refusal::TimedOut => {
                    matches!(kind, Kind::Get | Kind::Head | Kind::List | Kind::Put | Kind::Copy)
                }
                Refusal::Conflict => kind == Kind::Update,
                _ => false,
            };
            if !again || left == 0 {
                break refusal;
            }
            left = left.saturating_sub(1);
            self.bucket.wait(pause).await;
            pause = pause.saturating_mul(2).min(Duration::from_secs(15));
        };
        Err(match refusal {
            Refusal::NoSuchKey if kind == Kind::Update => precondition(path, refusal),
            Refusal::NoSuchKey | Refusal::NoSuchBucket | Refusal::NoSuchUpload => {
                Error::NotFound { path, source: Box::new(refusal) }
            }
            Refusal::PreconditionFailed | Refusal::NotModified if kind == Kind::Create => {
                Error::AlreadyExists { path, source: Box::new(refusal) }
            }
            Refusal::PreconditionFailed if matches!(kind, Kind::Copy | Kind::Complete) => {
                Error::AlreadyExists { path, source: Box::new(refusal) }
            }
            Refusal::Conflict => Error::AlreadyExists { path, source: Box::new(refusal) },
            Refusal::PreconditionFailed => precondition(path, refusal),
            Refusal::NotModified => Error::NotModified { path, source: Box::new(refusal) },
            Refusal::AccessDenied | Refusal::TimeTooSkewed => {
                Error::PermissionDenied { path, source: Box::new(refusal) }
            }
            other => generic(other),
        })
    }

    async fn make(&self, request: Request) -> Result<PutResult> {
        match self.send(request).await? {
            Reply::Made(e_tag) => {
                Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: Default::default() })
            }
            _ => Err(unexpected()),
        }
    }

    async fn page(&self, listing: Listing) -> Result<Page> {
        match self.send(Request::List(listing)).await? {
            Reply::Page(page) => Ok(page),
            _ => Err(unexpected()),
        }
    }

    fn pages(&self, listing: Listing) -> stream::Boxed<Result<ObjectMeta>> {
        struct Pages {
            store: BucketStore,
            listing: Option<Listing>,
            ready: VecDeque<ObjectMeta>,
        }
        let pages = Pages { store: self.clone(), listing: Some(listing), ready: VecDeque::new() };
        stream::unfold(pages, |mut pages| async move {
            loop {
                if let Some(meta) = pages.ready.pop_front() {
                    return Some((Ok(meta), pages));
                }
                let mut listing = pages.listing.take()?;
                match pages.store.page(listing.clone()).await {
                    Ok(page) => {
                        pages.ready = page.objects.into();
                        if page.next.is_some() {
                            listing.token = page.next;
                            pages.listing = Some(listing);
                        }
                    }
                    // The listing ends with it.
                    Err(error) => return Some((Err(error), pages)),
                }
            }
        })
        // Some ask again after the end.
        .fuse()
        .boxed()
    }
}

fn precondition(path: String, refusal: Refusal) -> Error {
    Error::Precondition { path, source: Box::new(refusal) }
}

fn folder(prefix: Option<&Path>) -> String {
    match prefix {
        Some(prefix) if !prefix.as_ref().is_empty() => format!("{prefix}/"),
        _ => String::new(),
    }
}

fn result(found: Found) -> GetResult {
    let Found { meta, attributes, range, bytes, cut } = found;
    let pieces = match cut {
        None => vec![Ok(bytes)],
        Some(after) => {
            vec![Ok(bytes.slice(..after.min(bytes.len()))), Err(generic(Refusal::Dropped))]
        }
    };
    let payload = GetResultPayload::Stream(stream::iter(pieces).boxed());
    GetResult { payload, meta, range, attributes, extensions: Default::default() }
}

#[async_trait]
impl ObjectStore for BucketStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let condition = match opts.mode {
            PutMode::Overwrite => Condition::None,
            PutMode::Create => Condition::Absent,
            PutMode::Update(version) => Condition::Matches(version.e_tag.ok_or_else(|| {
                Error::Generic { store: STORE, source: "an update needs an ETag".into() }
            })?),
        };
        let (key, attributes) = (location.to_string(), opts.attributes);
        self.make(Request::Put { key, bytes: payload.into(), attributes, condition }).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.create_multipart_opts(location, opts).await?;
        let parts = Arc::new(Parts {
            store: self.clone(),
            path: location.clone(),
            upload,
            made: Mutex::default(),
        });
        Ok(Box::new(Uploading { parts, next: AtomicUsize::new(0) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(range) = &options.range {
            // The client does not ask at all.
            range
                .is_valid()
                .map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?;
        }
        match self.send(Request::Get { key: location.to_string(), options }).await? {
            Reply::Found(found) => Ok(result(*found)),
            _ => Err(unexpected()),
        }
    }

    fn delete_stream(&self, locations: stream::Boxed<Result<Path>>) -> stream::Boxed<Result<Path>> {
        let store = self.clone();
        let state = (locations, store, VecDeque::new());
        stream::unfold(state, |(mut locations, store, mut ready)| async move {
            if let Some(done) = ready.pop_front() {
                return Some((done, (locations, store, ready)));
            }
            let mut paths: Vec<Path> = Vec::new();
            while paths.len() < DELETED {
                match locations.next().await {
                    Some(Ok(path)) => paths.push(path),
                    // As the client does: what was collected before it is not sent.
                    Some(Err(error)) => return Some((Err(error), (locations, store, ready))),
                    None => break,
                }
            }
            if paths.is_empty() {
                return None;
            }
            let keys = paths.iter().map(ToString::to_string).collect();
            match store.send(Request::Delete { keys }).await {
                Ok(_) => {
                    ready.extend(paths.into_iter().map(Ok));
                    let first = ready.pop_front()?;
                    Some((first, (locations, store, ready)))
                }
                Err(error) => Some((Err(error), (locations, store, ready))),
            }
        })
        // Some ask again after the end.
        .fuse()
        .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> stream::Boxed<Result<ObjectMeta>> {
        self.pages(Listing { prefix: folder(prefix), ..Listing::default() })
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> stream::Boxed<Result<ObjectMeta>> {
        let after = Some(offset.to_string());
        self.pages(Listing { prefix: folder(prefix), after, ..Listing::default() })
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = folder(prefix);
        let mut listing = Listing { prefix, delimiter: true, ..Listing::default() };
        let (mut objects, mut folders) = (Vec::new(), BTreeSet::new());
        loop {
            let page = self.page(listing.clone()).await?;
            objects.extend(page.objects);
            for name in page.prefixes {
                folders.insert(Path::parse(name)?);
            }
            if page.next.is_none() {
                let common_prefixes = folders.into_iter().collect();
                return Ok(ListResult { common_prefixes, objects, extensions: Default::default() });
            }
            listing.token = page.next;
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let condition = match options.mode {
            CopyMode::Overwrite => Condition::None,
            CopyMode::Create => Condition::Absent,
        };
        let (from, to) = (from.to_string(), to.to_string());
        self.make(Request::Copy { from, to, condition }).await.map(|_| ())
    }
}

#[async_trait]
impl MultipartStore for BucketStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.create_multipart_opts(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        opts: PutMultipartOptions,
    ) -> Result<MultipartId> {
        let (key, attributes) = (path.to_string(), opts.attributes);
        match self.send(Request::Begin { key, attributes }).await? {
            Reply::Upload(id) => Ok(id),
            _ => Err(unexpected()),
        }
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let number = number(part_idx);
        let (key, upload, bytes) = (path.to_string(), id.clone(), data.into());
        let made = self.make(Request::Part { key, upload, number, bytes }).await?;
        Ok(PartId { content_id: made.e_tag.unwrap_or_default() })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        mut parts: Vec<PartId>,
    ) -> Result<PutResult> {
        if parts.is_empty() {
            // S3 wants one.
            parts.push(self.put_part(path, id, 0, PutPayload::default()).await?);
        }
        let parts = parts.into_iter().enumerate();
        let parts = parts.map(|(index, part)| (number(index), part.content_id)).collect();
        let (key, upload) = (path.to_string(), id.clone());
        self.make(Request::Complete { key, upload, parts, condition: Condition::None }).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let (key, upload) = (path.to_string(), id.clone());
        self.send(Request::Abort { key, upload }).await.map(|_| ())
    }
}

/// Parts are counted from 1 on the wire.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1)
}

#[derive(Debug)]
struct Parts {
    store: BucketStore,
    path: Path,
    upload: MultipartId,
    made: Mutex<BTreeMap<usize, PartId>>,
}

impl Parts {
    fn made(&self) -> MutexGuard<'_, BTreeMap<usize, PartId>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Uploading {
    parts: Arc<Parts>,
    next: AtomicUsize,
}

#[async_trait]
impl MultipartUpload for Uploading {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let parts = Arc::clone(&self.parts);
        Box::pin(async move {
            let part = parts.store.put_part(&parts.path, &parts.upload, index, data).await?;
            parts.made().insert(index, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let made: Vec<PartId> = self.parts.made().values().cloned().collect();
        if made.len() != self.next.load(Ordering::Relaxed) {
            return Err(Error::Generic { store: STORE, source: "a part is missing".into() });
        }
        let Parts { store, path, upload, .. } = &*self.parts;
        store.complete_multipart(path, upload, made).await
    }

    async fn abort(&mut self) -> Result<()> {
        let Parts { store, path, upload, .. } = &*self.parts;
        store.abort_multipart(path, upload).await
    }
}

#[async_trait]
impl PaginatedListStore for BucketStore {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        opts: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let delimiter = match opts.delimiter.as_deref() {
            None => false,
            Some("/") => true,
            Some(other) => {
                let operation = format!("listing with the delimiter {other}");
                let implementer = self.to_string();
                return Err(Error::NotImplemented { operation, implementer });
            }
        };
        let listing = Listing {
            prefix: prefix.unwrap_or_default().to_owned(),
            delimiter,
            after: opts.offset,
            token: opts.page_token,
            at_most: opts.max_keys,
        };
        let page = self.page(listing).await?;
        let common_prefixes =
            page.prefixes.into_iter().map(|name| Ok(Path::parse(name)?)).collect::<Result<_>>()?;
        let objects = page.objects;
        let result = ListResult { common_prefixes, objects, extensions: Default::default() };
        Ok(PaginatedListResult { result, page_token: page.next })
    }
}

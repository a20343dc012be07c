//! The door for clients over HTTP: the protocol of S3, spoken by `s3s`.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_lite::{StreamExt as _, future, stream};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object_store::{Attribute, Attributes, GetOptions, GetRange};
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use tokio::sync::Notify;

use crate::bucket::Bucket;
use crate::endpoint::Endpoint;
use crate::fault::Refusal;
use crate::state::{Condition, Found, Listing, Reply, Request};

/// After so long the beginning of a body is on its way.
const FLUSHED: Duration = Duration::from_millis(50);

/// Marks an answer that is not to be sent.
const DROPPED: &str = "x-prophet-dropped";

/// A bucket behind the protocol of S3, on a free port of the loopback address. Signatures are checked.
/// It stops when dropped, and whoever waits for an answer then loses the connection.
///
/// Faults are real here: [`Refusal::Dropped`] closes the connection, [`Refusal::TimedOut`] leaves it
/// open and says nothing until the client closes it, everything else is an answer with the status and
/// the XML of S3. [`Fault::Slow`](crate::Fault::Slow) and latency take time only if the bucket's
/// [`Time`](crate::Time) is real. Order is that of the network, so a seed decides which requests are
/// struck, but not which one of two that race comes first.
///
/// ```
/// use prophet_bucket::{Bucket, WireServer};
///
/// let server = WireServer::start(&Bucket::new(1))?;
/// assert!(server.endpoint().url.starts_with("http://127.0.0.1:"));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct WireServer {
    endpoint: Endpoint,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl WireServer {
    /// Starts one. The bucket stays the caller's too.
    ///
    /// # Errors
    ///
    /// No port is to be had, or no thread.
    pub fn start(bucket: &Bucket) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let endpoint = Endpoint::at(listener.local_addr()?.port());
        let mut builder =
            S3ServiceBuilder::new(Door { bucket: bucket.clone(), name: endpoint.bucket.clone() });
        let (name, key) = (endpoint.access_key.clone(), endpoint.secret_key.clone());
        builder.set_auth(SimpleAuth::from_single(name, key));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::Builder::new().name("prophet-bucket".into()).spawn(move || {
                let served = runtime.block_on(future::or(
                    async move {
                        stopped.notified().await;
                        Ok(())
                    },
                    serve(listener, service),
                ));
                if let Err(error) = served {
                    eprintln!("the server of a bucket ended: {error}");
                }
            })?;
        Ok(Self { endpoint, stop, thread: Some(thread) })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, service: S3Service) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| async {
                let answer = hyper::service::Service::call(&service, request).await;
                let answer = answer.map_err(io::Error::other)?;
                match answer.headers().contains_key(DROPPED) {
                    true => Err(io::Error::other("the plan says so")),
                    false => Ok(answer),
                }
            });
            // It ends with an error when the plan, or the client, breaks it off.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

struct Door {
    bucket: Bucket,
    name: String,
}

fn refused(refusal: Refusal) -> S3Error {
    let (code, status) = match refusal {
        Refusal::Dropped | Refusal::TimedOut => (S3ErrorCode::RequestTimeout, 400),
        Refusal::InternalError => (S3ErrorCode::InternalError, 500),
        Refusal::SlowDown => (S3ErrorCode::SlowDown, 503),
        Refusal::Conflict => (S3ErrorCode::ConditionalRequestConflict, 409),
        Refusal::PreconditionFailed => (S3ErrorCode::PreconditionFailed, 412),
        Refusal::NotModified => (S3ErrorCode::NotModified, 304),
        Refusal::NoSuchKey => (S3ErrorCode::NoSuchKey, 404),
        Refusal::NoSuchBucket => (S3ErrorCode::NoSuchBucket, 404),
        Refusal::NoSuchUpload => (S3ErrorCode::NoSuchUpload, 404),
        Refusal::InvalidPart => (S3ErrorCode::InvalidPart, 400),
        Refusal::AccessDenied => (S3ErrorCode::AccessDenied, 403),
        Refusal::TimeTooSkewed => (S3ErrorCode::RequestTimeTooSkewed, 403),
        Refusal::NotImplemented => (S3ErrorCode::NotImplemented, 501),
        Refusal::InvalidRange => (S3ErrorCode::InvalidRange, 416),
    };
    let mut error = S3Error::with_message(code, refusal.to_string());
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    if refusal == Refusal::Dropped {
        let marked = (
            hyper::header::HeaderName::from_static(DROPPED),
            hyper::header::HeaderValue::from_static("yes"),
        );
        error.set_headers([marked].into_iter().collect());
    }
    error
}

fn unexpected() -> S3Error {
    S3Error::with_message(S3ErrorCode::InternalError, "the bucket answered another question")
}

fn unknown(what: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, what)
}

impl Door {
    async fn ask(&self, bucket: &str, request: Request) -> S3Result<Reply> {
        if bucket != self.name {
            return Err(refused(Refusal::NoSuchBucket));
        }
        match self.bucket.exchange(request).await {
            Ok(reply) => Ok(reply),
            // The client decides how long that is.
            Err(Refusal::TimedOut) => std::future::pending().await,
            Err(refusal) => Err(refused(refusal)),
        }
    }

    async fn make(&self, bucket: &str, request: Request) -> S3Result<ETag> {
        match self.ask(bucket, request).await? {
            Reply::Made(e_tag) => Ok(strong(&e_tag)),
            _ => Err(unexpected()),
        }
    }

    async fn find(&self, bucket: &str, key: String, options: GetOptions) -> S3Result<Found> {
        match self.ask(bucket, Request::Get { key, options }).await? {
            Reply::Found(found) => Ok(*found),
            _ => Err(unexpected()),
        }
    }
}

fn strong(e_tag: &str) -> ETag {
    ETag::Strong(e_tag.trim_matches('"').to_owned())
}

fn header(condition: &ETagCondition) -> String {
    match condition {
        ETagCondition::Any => "*".to_owned(),
        ETagCondition::ETag(e_tag) => format!("\"{}\"", e_tag.value()),
    }
}

fn condition(matches: Option<ETagCondition>, unless: Option<ETagCondition>) -> S3Result<Condition> {
    match (matches, unless) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(known), None) => Ok(Condition::Matches(header(&known))),
        // Nor does S3.
        _ => Err(unknown("such conditions on writes")),
    }
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            let piece =
                piece.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes.freeze())
}

fn attributes(headers: [(Attribute, Option<String>); 5], metadata: Option<Metadata>) -> Attributes {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let metadata = metadata.into_iter().flatten();
    headers.chain(metadata.map(|(name, value)| (Attribute::Metadata(name.into()), value))).collect()
}

fn time(time: DateTime<Utc>) -> Timestamp {
    std::time::SystemTime::from(time).into()
}

fn date(time: Option<Timestamp>) -> Option<DateTime<Utc>> {
    let mut text = Vec::new();
    time?.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    DateTime::from_timestamp(text.split('.').next()?.parse().ok()?, 0)
}

fn length(length: u64) -> S3Result<i64> {
    i64::try_from(length).map_err(|_| unexpected())
}

fn range(range: Range) -> GetRange {
    match range {
        Range::Int { first, last: None } => GetRange::Offset(first),
        Range::Int { first, last: Some(last) } => GetRange::Bounded(first..last.saturating_add(1)),
        Range::Suffix { length } => GetRange::Suffix(length),
    }
}

/// The headers that attributes were, and the metadata.
fn headers(attributes: &Attributes) -> (impl Fn(&Attribute) -> Option<String>, Metadata) {
    let all: Vec<(Attribute, String)> =
        attributes.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let metadata = all.iter().filter_map(|(name, value)| match name {
        Attribute::Metadata(name) => Some((name.to_string(), value.clone())),
        _ => None,
    });
    let metadata = metadata.collect();
    let find = move |wanted: &Attribute| {
        all.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    (find, metadata)
}

#[async_trait::async_trait]
impl S3 for Door {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let attributes = attributes(
            [
                (Attribute::CacheControl, input.cache_control),
                (Attribute::ContentDisposition, input.content_disposition),
                (Attribute::ContentEncoding, input.content_encoding),
                (Attribute::ContentLanguage, input.content_language),
                (Attribute::ContentType, input.content_type),
            ],
            input.metadata,
        );
        let condition = condition(input.if_match, input.if_none_match)?;
        let bytes = read(input.body).await?;
        let put = Request::Put { key: input.key, bytes, attributes, condition };
        let e_tag = Some(self.make(&input.bucket, put).await?);
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let partial = input.range.is_some();
        let options = GetOptions {
            if_match: input.if_match.as_ref().map(header),
            if_none_match: input.if_none_match.as_ref().map(header),
            if_modified_since: date(input.if_modified_since),
            if_unmodified_since: date(input.if_unmodified_since),
            range: input.range.map(range),
            ..GetOptions::default()
        };
        let found = self.find(&input.bucket, input.key, options).await?;
        let (find, metadata) = headers(&found.attributes);
        let whole = found.meta.size;
        let last = found.range.end.saturating_sub(1);
        let content_length = length(found.range.end.saturating_sub(found.range.start))?;
        let body = match found.cut {
            None => StreamingBlob::wrap(stream::once(Ok::<_, io::Error>(found.bytes))),
            Some(after) => {
                let piece = found.bytes.slice(..after.min(found.bytes.len()));
                let end = stream::once_future(async {
                    // What is not sent yet when the end comes is thrown away.
                    tokio::time::sleep(FLUSHED).await;
                    Err(io::Error::other("the plan says so"))
                });
                StreamingBlob::wrap(stream::once(Ok(piece)).chain(end))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            body: Some(body),
            content_length: Some(content_length),
            content_range: partial.then(|| format!("bytes {}-{last}/{whole}", found.range.start)),
            e_tag: found.meta.e_tag.as_deref().map(strong),
            last_modified: Some(time(found.meta.last_modified)),
            cache_control: find(&Attribute::CacheControl),
            content_disposition: find(&Attribute::ContentDisposition),
            content_encoding: find(&Attribute::ContentEncoding),
            content_language: find(&Attribute::ContentLanguage),
            content_type: find(&Attribute::ContentType),
            metadata: Some(metadata),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let options = GetOptions {
            if_match: input.if_match.as_ref().map(header),
            if_none_match: input.if_none_match.as_ref().map(header),
            if_modified_since: date(input.if_modified_since),
            if_unmodified_since: date(input.if_unmodified_since),
            head: true,
            ..GetOptions::default()
        };
        let found = self.find(&input.bucket, input.key, options).await?;
        let (find, metadata) = headers(&found.attributes);
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(found.meta.size)?),
            e_tag: found.meta.e_tag.as_deref().map(strong),
            last_modified: Some(time(found.meta.last_modified)),
            cache_control: find(&Attribute::CacheControl),
            content_disposition: find(&Attribute::ContentDisposition),
            content_encoding: find(&Attribute::ContentEncoding),
            content_language: find(&Attribute::ContentLanguage),
            content_type: find(&Attribute::ContentType),
            metadata: Some(metadata),
            ..HeadObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let delimiter = match input.delimiter.as_deref() {
            None => false,
            Some("/") => true,
            Some(_) => return Err(unknown("such a delimiter")),
        };
        let most = input.max_keys.unwrap_or(1_000).clamp(0, 1_000);
        let listing = Listing {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter,
            after: input.start_after,
            token: input.continuation_token,
            at_most: usize::try_from(most).ok(),
        };
        let page = match self.ask(&input.bucket, Request::List(listing)).await? {
            Reply::Page(page) => page,
            _ => return Err(unexpected()),
        };
        let listed = page.objects.len().saturating_add(page.prefixes.len());
        let mut contents = Vec::new();
        for meta in page.objects {
            contents.push(Object {
                key: Some(meta.location.to_string()),
                size: Some(length(meta.size)?),
                e_tag: meta.e_tag.as_deref().map(strong),
                last_modified: Some(time(meta.last_modified)),
                ..Object::default()
            });
        }
        let prefixes = page.prefixes.into_iter().map(|name| CommonPrefix { prefix: Some(name) });
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            max_keys: Some(most),
            key_count: i32::try_from(listed).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(contents),
            common_prefixes: Some(prefixes.collect()),
            delimiter: input.delimiter,
            ..ListObjectsV2Output::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        self.ask(&input.bucket, Request::Delete { keys: vec![input.key] }).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        let keys: Vec<String> = input.delete.objects.into_iter().map(|object| object.key).collect();
        self.ask(&input.bucket, Request::Delete { keys: keys.clone() }).await?;
        let deleted = keys
            .into_iter()
            .map(|key| DeletedObject { key: Some(key), ..DeletedObject::default() });
        let deleted = Some(deleted.collect());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..DeleteObjectsOutput::default() }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { key, .. } = input.copy_source else {
            return Err(unknown("copies from elsewhere"));
        };
        let copy =
            Request::Copy { from: key.into_string(), to: input.key, condition: Condition::None };
        let e_tag = Some(self.make(&input.bucket, copy).await?);
        let last_modified = Some(time(crate::state::date(self.bucket.elapsed())));
        let result = CopyObjectResult { e_tag, last_modified, ..CopyObjectResult::default() };
        let copy_object_result = Some(result);
        Ok(S3Response::new(CopyObjectOutput { copy_object_result, ..CopyObjectOutput::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let attributes = attributes(
            [
                (Attribute::CacheControl, input.cache_control),
                (Attribute::ContentDisposition, input.content_disposition),
                (Attribute::ContentEncoding, input.content_encoding),
                (Attribute::ContentLanguage, input.content_language),
                (Attribute::ContentType, input.content_type),
            ],
            input.metadata,
        );
        let begin = Request::Begin { key: input.key.clone(), attributes };
        let upload = match self.ask(&input.bucket, begin).await? {
            Reply::Upload(id) => id,
            _ => return Err(unexpected()),
        };
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let number = u64::try_from(input.part_number).map_err(|_| refused(Refusal::InvalidPart))?;
        let bytes = read(input.body).await?;
        let part = Request::Part { key: input.key, upload: input.upload_id, number, bytes };
        let e_tag = Some(self.make(&input.bucket, part).await?);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let condition = condition(input.if_match, input.if_none_match)?;
        let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut parts = Vec::new();
        for part in listed {
            let number = part.part_number.and_then(|number| u64::try_from(number).ok());
            let (Some(number), Some(e_tag)) = (number, part.e_tag) else {
                return Err(refused(Refusal::InvalidPart));
            };
            parts.push((number, e_tag.value().to_owned()));
        }
        let (key, upload) = (input.key.clone(), input.upload_id);
        let complete = Request::Complete { key, upload, parts, condition };
        let e_tag = Some(self.make(&input.bucket, complete).await?);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        let abort = Request::Abort { key: input.key, upload: input.upload_id };
        self.ask(&input.bucket, abort).await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

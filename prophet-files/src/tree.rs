//! Writing the files of a tree.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::fetch::{DirectoryFetch, Fetch, FetchError, Request, Response};
use crate::manifest::MANIFEST;

/// What a cache may do with the manifest: keep it, and ask each time whether it changed.
pub const MANIFEST_CACHING: &str = "no-cache";
/// What a cache may do with all other files: a name never has two contents.
pub const SEGMENT_CACHING: &str = "public, max-age=31536000, immutable";

/// How a file of a tree may be cached, as HTTP's `Cache-Control` says it. The last segment of a
/// live replica, which is written to, is not to be cached either.
pub fn caching(name: &str) -> &'static str {
    match name != MANIFEST && name.ends_with(".zst") {
        true => SEGMENT_CACHING,
        false => MANIFEST_CACHING,
    }
}

/// What a file of a tree or of its site is, as HTTP's `Content-Type` says it.
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("xml") => "application/atom+xml; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("zst") => "application/zstd",
        _ => "application/octet-stream",
    }
}

/// A tree that can be written.
#[async_trait]
pub trait Tree: Fetch {
    /// Writes a file. Readers see what was there before or all of this, and when this returns it is
    /// durable.
    ///
    /// # Errors
    /// What keeps it from being written; then what was there before is there.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError>;

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What keeps it from being removed.
    async fn remove(&self, name: &str) -> Result<(), FetchError>;
}

/// A tree in a directory. Reading and writing block the calling thread.
#[derive(Debug, Clone)]
pub struct DirectoryTree {
    files: DirectoryFetch,
}

impl DirectoryTree {
    /// The tree in the directory `root`, which is made when something is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { files: DirectoryFetch::new(root) }
    }
}

#[async_trait]
impl Fetch for DirectoryTree {
    fn place(&self) -> &str {
        self.files.place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        self.files.fetch(request).await
    }
}

#[async_trait]
impl Tree for DirectoryTree {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        let path = self.files.path(name)?;
        put(&path, &bytes).map_err(|error| FetchError::of_io(&path, &error))
    }

    async fn remove(&self, name: &str) -> Result<(), FetchError> {
        let path = self.files.path(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(FetchError::of_io(&path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Tells the temporary files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    create_directory(directory)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.join(format!(".{}-{number}.tmp", std::process::id()));
    let written = write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing half-done is left; that failing too would change nothing about the error.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(directory)
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // One that a killed process with the same id left is written over.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory and those that it is in, each durably.
fn create_directory(directory: &Path) -> std::io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directory(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Other systems cannot sync a directory and do not need to.
fn sync_directory(directory: &Path) -> std::io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let here = directory.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { directory })?.sync_all()
}

//! A web server that serves the files below a directory, on the loopback address.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tempfile::TempDir;
use tiny_http::{Header, Request, Response};

/// So many requests are answered at once.
const THREADS: usize = 4;

/// Serves a published tree for as long as it is there.
#[allow(missing_debug_implementations, reason = "it is what it serves")]
pub struct Server {
    server: Arc<tiny_http::Server>,
    threads: Vec<JoinHandle<()>>,
    url: String,
    _tree: Arc<TempDir>,
}

impl Server {
    /// Serves this directory on a free port.
    pub fn of(tree: TempDir) -> Self {
        let server = tiny_http::Server::http("127.0.0.1:0").expect("there is a free port");
        let address = server.server_addr().to_ip().expect("it is an address of the network");
        let (server, tree) = (Arc::new(server), Arc::new(tree));
        let threads = (0..THREADS).map(|_| {
            let (server, tree) = (Arc::clone(&server), Arc::clone(&tree));
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    // Whoever asked may have gone.
                    let _ = answer(request, tree.path());
                }
            })
        });
        let threads = threads.collect();
        Self { server, threads, url: format!("http://{address}/"), _tree: tree }
    }

    /// Where the tree is.
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.server.unblock();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("headers are plain text")
}

/// The value of a header that a request has.
fn asked<'r>(request: &'r Request, name: &'static str) -> Option<&'r str> {
    let found = request.headers().iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.as_str())
}

/// From which byte to before which, as `bytes=from-to` names them.
fn range(asked: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let to = to.parse().map_or(length, |last: usize| length.min(last.saturating_add(1)));
    (from < to).then_some((from, to))
}

fn answer(request: Request, tree: &Path) -> std::io::Result<()> {
    let name = request.url().trim_start_matches('/');
    let name = name.split('?').next().unwrap_or_default();
    let outside = name.split('/').any(|part| part == "..");
    let Some(body) = fs::read(tree.join(name)).ok().filter(|_| !outside) else {
        return request.respond(Response::empty(404));
    };
    let modified = fs::metadata(tree.join(name))?.modified()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", body.len(), since.as_nanos());
    if asked(&request, "If-None-Match") == Some(tag.as_str()) {
        return request.respond(Response::empty(304).with_header(header("ETag", &tag)));
    }
    let current = asked(&request, "If-Range").is_none_or(|known| known == tag);
    let part = asked(&request, "Range").filter(|_| current);
    let part = part.and_then(|asked| range(asked, body.len()));
    let Some((from, to)) = part else {
        return request.respond(Response::from_data(body).with_header(header("ETag", &tag)));
    };
    let content = format!("bytes {from}-{}/{}", to - 1, body.len());
    let part = body.get(from..to).unwrap_or_default().to_vec();
    let response = Response::from_data(part).with_status_code(206);
    let response = response.with_header(header("Content-Range", &content));
    request.respond(response.with_header(header("ETag", &tag)))
}

//! A web server that serves the files below a directory, on the loopback address.

use axum::Router;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_http::services::ServeDir;

/// Serves a published tree for as long as it is there.
#[derive(Debug)]
pub struct Server {
    /// Ends, with all that runs on it, before the tree goes.
    _runtime: Runtime,
    _tree: TempDir,
    url: String,
}

impl Server {
    /// Serves this directory on a free port.
    pub fn of(tree: TempDir) -> Self {
        let runtime = Runtime::new().expect("the system gives threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let files = Router::new().fallback_service(ServeDir::new(tree.path()));
        runtime.spawn(async move { axum::serve(listener, files).await });
        Self { _runtime: runtime, _tree: tree, url: format!("http://{address}/") }
    }

    /// Where the tree is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

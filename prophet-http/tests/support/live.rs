//! Replicas that are served, on loopback and a free port.

use std::net::TcpListener;
use std::sync::LazyLock;

use axum::Router;
use prophet_http::server::{ServerOptions, router};
use prophet_store::Replica;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Everybody may write to what is served.
pub fn served(replica: &Replica) -> Router {
    router(replica.clone(), ServerOptions::new().open())
}

/// A server that ends with this.
pub struct Live {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Live {
    pub fn of(replica: &Replica) -> Self {
        Self::serving(served(replica))
    }

    pub fn serving(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let task = RUNTIME.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self { port, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

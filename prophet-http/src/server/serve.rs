//! Serving: connections, and an end to them.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use prophet_store::Replica;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tower::Service as _;

use super::auth::Listening;
use super::options::ServerOptions;
use super::{App, routes};

/// The longest head of a request.
const HEAD_BYTES: usize = 64 << 10;
/// How long to wait where the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the HTTP API of `replica` on `listener` until `shutdown` is ready. Then it accepts no more
/// connections, ends change feeds, and lets requests that are under way come to their end, for as
/// long as the [grace](ServerOptions::grace) lasts. The replica stays open.
///
/// It speaks HTTP/1.1; for TLS put a proxy before it.
///
/// # Errors
/// A listener that is none any more.
pub async fn serve(
    listener: TcpListener,
    replica: Replica,
    options: ServerOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let at = listener.local_addr()?;
    let app = Arc::new(App::new(replica, options));
    let (router, options) = (routes(app.clone()), &app.options);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.header_time).max_buf_size(HEAD_BYTES);
    let slots = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    tracing::info!(%at, "serving");

    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Too many files are open, most often: others will be closed.
                tracing::warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let service = {
            let router = router.clone();
            service_fn(move |request| answer(router.clone(), request, peer, at))
        };
        let connection = http.serve_connection(io(stream, options.send_time), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection broke");
            }
        });
    }

    tracing::info!("ending");
    drop(listener);
    app.end.send_replace(true);
    if timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests did not come to their end in time; they are broken off");
    }
    connections.shutdown().await;
    Ok(())
}

/// A stream on which nobody can keep the server waiting for ever to be rid of an answer.
fn io(
    stream: TcpStream,
    send_time: Duration,
) -> TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>> {
    // Answers are written at once; where that is not to be had, they are only slower.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(send_time));
    TokioIo::new(Box::pin(stream))
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    at: SocketAddr,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(Listening(at));
    router.call(request).await
}

fn is_of_one_connection(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
    )
}

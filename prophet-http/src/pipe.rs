//! A bundle as the body of a request or an answer: written by a thread that may block, as fast as the
//! other side takes it.

use std::io::{self, BufWriter, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::Stream;
use futures_lite::future::block_on;
use prophet_store::{BundleSummary, Error, Replica, VersionVector};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// So much is sent at once.
const PIECE_BYTES: usize = 64 << 10;
/// So many pieces may wait to be taken.
const PIECES: usize = 4;

/// Pieces of bytes, from wherever they come to whatever takes them.
#[derive(Debug)]
pub(crate) struct Pieces(pub(crate) Receiver<io::Result<Bytes>>);

pub(crate) type PieceSender = Sender<io::Result<Bytes>>;

pub(crate) fn pieces() -> (PieceSender, Pieces) {
    let (sender, receiver) = channel(PIECES);
    (sender, Pieces(receiver))
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

struct Pipe {
    pieces: PieceSender,
    runtime: Handle,
    patience: Duration,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        let piece = Ok(Bytes::copy_from_slice(bytes));
        match self.runtime.block_on(timeout(self.patience, self.pieces.send(piece))) {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the other side is gone")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes no more")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to write a bundle of what `replica` has and `basis` has not. The pieces end with an error if
/// that fails, so that nobody takes what there is for all. A reader that takes nothing for as long as
/// `patience` is given up. What is `held` is let go when the writing has ended. To be called on a runtime.
pub(crate) fn bundle(
    replica: Replica,
    basis: VersionVector,
    patience: Duration,
    held: impl Send + 'static,
) -> (Pieces, JoinHandle<Result<BundleSummary, Error>>) {
    let (sender, pieces) = pieces();
    let runtime = Handle::current();
    let writing = spawn_blocking(move || {
        let _held = held;
        let pipe = Pipe { pieces: sender.clone(), runtime, patience };
        let mut writer = BufWriter::with_capacity(PIECE_BYTES, pipe);
        let written = block_on(replica.bundle(&basis, &mut writer));
        if let Err(error) = &written {
            // What is still in the buffer is of no use, and writing it may have to wait again.
            let (_pipe, _rest) = writer.into_parts();
            // If the other side is gone it need not be told.
            let _ = sender.try_send(Err(io::Error::other(error.to_string())));
        }
        written
    });
    (pieces, writing)
}

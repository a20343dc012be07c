//! Where the bytes of a table come from.

use std::fs::File;
use std::future::Future;
use std::io;
use std::sync::Arc;

/// Bytes that can be read at any place: a file, an object that answers to ranged reads, memory.
pub trait ReadAt: Send + Sync {
    /// Exactly `len` bytes from `offset` on.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where there are not that many.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;
}

/// Blocks the thread while the disk is read, which is short for what a table asks for.
#[cfg(unix)]
impl ReadAt for File {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        std::os::unix::fs::FileExt::read_exact_at(self, &mut bytes, offset)?;
        Ok(bytes)
    }
}

/// Blocks the thread while the disk is read, which is short for what a table asks for.
#[cfg(windows)]
impl ReadAt for File {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let (mut rest, mut offset) = (bytes.as_mut_slice(), offset);
        while !rest.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    rest = rest.get_mut(read..).unwrap_or_default();
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

impl ReadAt for [u8] {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(len)?))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl ReadAt for Vec<u8> {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.as_slice().read_at(offset, len).await
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        (**self).read_at(offset, len).await
    }
}

impl<R: ReadAt + ?Sized> ReadAt for Arc<R> {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        (**self).read_at(offset, len).await
    }
}

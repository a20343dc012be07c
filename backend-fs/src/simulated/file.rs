//! The operations on an open file.

use std::io::{self, ErrorKind};
use std::sync::PoisonError;
use std::time::Duration;

use super::SimulatedDisk;
use super::fault::Kind;
use super::inode::{DataOp, Entry};
use super::machine::Machine;
use crate::disk::{DiskFile, FileId};

#[derive(Debug)]
pub(super) struct SimulatedFile {
    pub(super) disk: SimulatedDisk,
    pub(super) file: usize,
    /// What it was called when it was opened.
    pub(super) name: String,
    pub(super) handle: u64,
}

impl SimulatedFile {
    fn release(&self, machine: &mut Machine) {
        if machine.locks.get(&self.file) == Some(&self.handle) {
            machine.locks.remove(&self.file);
            self.disk.0.changed.notify_all();
        }
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.release(&mut self.disk.machine());
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.op(
            false,
            || format!("len {}", self.name),
            |_, _| (),
            |machine| Ok(machine.image.files[self.file].now.len() as u64),
        )
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.disk.op(
            false,
            || format!("id {}", self.name),
            |_, _| (),
            |_| Ok(SimulatedDisk::file_id(self.file)),
        )
    }

    fn is_named(&self) -> io::Result<bool> {
        self.disk.op(
            false,
            || format!("is_named {}", self.name),
            |_, _| (),
            |machine| {
                let ours = Entry::File(self.file);
                let mut directories = machine.image.directories.values();
                Ok(directories.any(|names| names.now.values().any(|entry| *entry == ours)))
            },
        )
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.op(
            false,
            || format!("read_at {}", self.name),
            |_, _| (),
            |machine| {
                let bytes = &machine.image.files[self.file].now;
                let from = usize::try_from(offset).unwrap();
                let to = from.checked_add(len).ok_or(ErrorKind::UnexpectedEof)?;
                let found = bytes.get(from..to).ok_or(ErrorKind::UnexpectedEof)?;
                Ok(found.to_vec())
            },
        )
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        {
            let mut machine = self.disk.machine();
            let ours = |id: &String| bytes.windows(id.len()).any(|found| found == id.as_bytes());
            machine.written |= machine.outstanding.as_ref().is_some_and(ours);
        }
        let part = |machine: &mut Machine, _| {
            let written = bytes[..bytes.len() / 2].to_vec();
            machine.image.file(self.file).apply(DataOp::Write(offset, written));
        };
        self.disk.op(
            true,
            || format!("write_at {} {offset}", self.name),
            part,
            |machine| {
                if let Some(capacity) = machine.capacity {
                    let len = machine.image.files[self.file].now.len();
                    let more = (offset + bytes.len()).saturating_sub(len);
                    let used: usize = machine.image.tree().values().map(Vec::len).sum();
                    if used + more > capacity {
                        return Err(ErrorKind::StorageFull.into());
                    }
                }
                machine.image.file(self.file).apply(DataOp::Write(offset, bytes.to_vec()));
                Ok(())
            },
        )
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.disk.op(
            true,
            || format!("truncate {} {len}", self.name),
            |_, _| (),
            |machine| {
                machine.image.file(self.file).apply(DataOp::Truncate(len));
                Ok(())
            },
        )
    }

    fn sync(&self) -> io::Result<()> {
        let part = |machine: &mut Machine, kind| {
            let file = machine.image.file(self.file);
            if kind == Kind::Dropped {
                return file.drop_written();
            }
            let done: Vec<_> = file.pending.drain(..file.pending.len().div_ceil(2)).collect();
            for op in done {
                op.apply(&mut file.durable, usize::MAX);
            }
        };
        self.disk.op(
            true,
            || format!("sync {}", self.name),
            part,
            |machine| {
                machine.image.file(self.file).sync();
                Ok(())
            },
        )
    }

    fn lock(&self) -> io::Result<()> {
        self.disk.op(false, || format!("lock {}", self.name), |_, _| (), |_| Ok(()))?;
        let mut machine = self.disk.machine();
        while machine.locks.get(&self.file).is_some_and(|holder| *holder != self.handle) {
            let waited = self.disk.0.changed.wait_timeout(machine, Duration::from_secs(30));
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "a lock is never given back");
            machine = woken;
        }
        machine.locks.insert(self.file, self.handle);
        Ok(())
    }

    fn unlock(&self) -> io::Result<()> {
        let unlocked = self.disk.op(
            false,
            || format!("unlock {}", self.name),
            |_, _| (),
            |machine| {
                self.release(machine);
                Ok(())
            },
        );
        // One that failed is tried again before the commit is answered.
        if unlocked.is_ok() {
            let mut machine = self.disk.machine();
            machine.gated = machine.written;
        }
        unlocked
    }
}

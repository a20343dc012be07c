//! Files and directories, with what was done to them since they were synced.

use std::collections::BTreeMap;

use super::random::Random;

/// What of that which is not durable survives, as it is drawn.
#[derive(Debug)]
pub(super) enum Losing {
    Least,
    Most,
    Some(Random),
}

/// What is lost or kept by itself.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What was done since it was synced.
    pub(super) pending: Vec<DataOp>,
}

#[derive(Debug, Clone)]
pub(super) enum DataOp {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl DataOp {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>, most: usize) -> usize {
        match self {
            Self::Write(offset, written) => {
                let written = &written[..written.len().min(most)];
                if bytes.len() < offset + written.len() {
                    bytes.resize(offset + written.len(), 0);
                }
                bytes[*offset..offset + written.len()].copy_from_slice(written);
                written.len()
            }
            Self::Truncate(len) => {
                bytes.resize(*len, 0);
                1
            }
        }
    }
}

impl Inode {
    pub(super) fn apply(&mut self, op: DataOp) {
        op.apply(&mut self.now, usize::MAX);
        self.pending.push(op);
    }

    pub(super) fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.apply(&mut self.durable, usize::MAX);
        }
    }

    /// What was written cannot be put on the disk, and the system forgets that it should: it is
    /// read until the power is lost, and no later sync has it.
    pub(super) fn drop_written(&mut self) {
        self.pending.retain(|op| matches!(op, DataOp::Truncate(_)));
    }

    /// What there may be of it after the power was lost.
    pub(super) fn after(&self, loss: &mut Losing) -> Vec<u8> {
        let Losing::Some(random) = loss else {
            return if matches!(loss, Losing::Least) { &self.durable } else { &self.now }.clone();
        };
        if self.pending.is_empty() {
            return self.durable.clone();
        }
        match random.below(5) {
            0 => self.durable.clone(),
            1 => self.now.clone(),
            2 => {
                // As it was done, up to some operation, or some byte.
                if random.below(2) == 0 {
                    let mut bytes = self.durable.clone();
                    for op in self.pending.iter().take(random.below(self.pending.len() + 1)) {
                        op.apply(&mut bytes, usize::MAX);
                    }
                    return bytes;
                }
                let size = |op: &DataOp| match op {
                    DataOp::Write(_, bytes) => bytes.len(),
                    DataOp::Truncate(_) => 1,
                };
                let mut left = random.below(self.pending.iter().map(size).sum::<usize>() + 1);
                let mut bytes = self.durable.clone();
                for op in &self.pending {
                    if left == 0 {
                        break;
                    }
                    left -= op.apply(&mut bytes, left);
                }
                bytes
            }
            way => {
                // Any sectors, and any length.
                let (old, new) = (self.durable.len(), self.now.len());
                let len = match random.below(3) {
                    0 => old,
                    1 => new,
                    _ => old.min(new) + random.below(old.abs_diff(new) + 1),
                };
                let mut bytes = vec![0; len];
                let lost = random.below(len / SECTOR + 1);
                for (sector, bytes) in bytes.chunks_mut(SECTOR).enumerate() {
                    // All but one, or each as it comes.
                    let keep = if way == 3 { sector != lost } else { random.below(2) == 0 };
                    let from = if keep { &self.now } else { &self.durable };
                    let from = from.get(sector * SECTOR..).unwrap_or_default();
                    let there = from.len().min(bytes.len());
                    bytes[..there].copy_from_slice(&from[..there]);
                }
                bytes
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(usize),
    Directory,
}

#[derive(Debug, Clone)]
pub(super) enum NameOp {
    Put(String, Entry),
    Rename(String, String),
    Remove(String),
}

pub(super) type Listed = BTreeMap<String, Entry>;

impl NameOp {
    pub(super) fn apply(&self, names: &mut Listed) {
        match self {
            Self::Put(name, entry) => {
                names.insert(name.clone(), *entry);
            }
            Self::Rename(from, to) => {
                if let Some(entry) = names.remove(from) {
                    names.insert(to.clone(), entry);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) now: Listed,
    pub(super) durable: Listed,
    pub(super) pending: Vec<NameOp>,
}

impl Names {
    pub(super) fn apply(&mut self, op: NameOp) {
        op.apply(&mut self.now);
        self.pending.push(op);
    }

    pub(super) fn after(&self, loss: &mut Losing) -> Listed {
        let Losing::Some(random) = loss else {
            return if matches!(loss, Losing::Least) { &self.durable } else { &self.now }.clone();
        };
        let mut names = self.durable.clone();
        let kept = random.below(self.pending.len() + 1);
        self.pending.iter().take(kept).for_each(|op| op.apply(&mut names));
        names
    }
}

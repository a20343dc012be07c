//! A few files in memory that know what of them is durable, and can fail at any operation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conformance::{Fault, FaultWay, Unsynced};

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, written) => {
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[*at..at + written.len()].copy_from_slice(written);
            }
            Self::Cut(len) => bytes.truncate(*len),
        }
    }
}

/// Its name is durable once it was synced.
#[derive(Debug, Clone, Default)]
struct File {
    now: Vec<u8>,
    durable: Option<Vec<u8>>,
    pending: Vec<Op>,
}

#[derive(Debug, Default)]
struct Machine {
    files: BTreeMap<String, File>,
    steps: u64,
    fault: Option<(u64, Fault)>,
    struck: Option<String>,
}

/// That something failed.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Machine>>);

impl Disk {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(files: BTreeMap<String, File>) -> Self {
        Self(Arc::new(Mutex::new(Machine { files, ..Machine::default() })))
    }

    /// Does `whole`, or what the fault leaves of it, which is `half` in the middle.
    fn step(
        &self,
        what: String,
        whole: impl FnOnce(&mut Machine),
        half: impl FnOnce(&mut Machine),
    ) -> Result<(), Failed> {
        let mut machine = self.machine();
        machine.steps += 1;
        match machine.fault {
            Some((at, fault)) if machine.steps == at => {
                machine.struck = Some(what.clone());
                match fault.way {
                    FaultWay::Undone => {}
                    FaultWay::Half => half(&mut machine),
                    FaultWay::Done => whole(&mut machine),
                }
                Err(Failed(what))
            }
            Some((at, fault)) if machine.steps > at && fault.lasting => Err(Failed(what)),
            _ => {
                whole(&mut machine);
                Ok(())
            }
        }
    }

    fn apply(machine: &mut Machine, name: &str, op: Op) {
        let file = machine.files.entry(name.to_owned()).or_default();
        op.apply(&mut file.now);
        file.pending.push(op);
    }

    pub(crate) fn write(&self, name: &str, at: usize, bytes: &[u8]) -> Result<(), Failed> {
        let half = bytes[..bytes.len() / 2].to_vec();
        self.step(
            format!("write {name} {at}"),
            |machine| Self::apply(machine, name, Op::Write(at, bytes.to_vec())),
            |machine| Self::apply(machine, name, Op::Write(at, half)),
        )
    }

    pub(crate) fn cut(&self, name: &str, len: usize) -> Result<(), Failed> {
        let whole = |machine: &mut Machine| Self::apply(machine, name, Op::Cut(len));
        self.step(format!("cut {name} {len}"), whole, |_| ())
    }

    pub(crate) fn sync(&self, name: &str) -> Result<(), Failed> {
        let whole = |machine: &mut Machine| {
            let file = machine.files.entry(name.to_owned()).or_default();
            let durable = file.durable.get_or_insert_default();
            file.pending.drain(..).for_each(|op| op.apply(durable));
        };
        let half = |machine: &mut Machine| {
            let file = machine.files.entry(name.to_owned()).or_default();
            file.pending.retain(|op| matches!(op, Op::Cut(_)));
        };
        self.step(format!("sync {name}"), whole, half)
    }

    /// The bytes of a file; nothing if it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failed> {
        let mut found = None;
        let whole = |machine: &mut Machine| {
            found = machine.files.get(name).map(|file| file.now.clone());
        };
        self.step(format!("read {name}"), whole, |_| ())?;
        Ok(found)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.machine().files.keys().cloned().collect()
    }

    /// Puts other bytes there behind everybody's back.
    pub(crate) fn put(&self, name: &str, bytes: Option<&[u8]>) {
        let files = &mut self.machine().files;
        match bytes {
            Some(bytes) => {
                let durable = Some(bytes.to_vec());
                let file = File { now: bytes.to_vec(), durable, pending: Vec::new() };
                files.insert(name.to_owned(), file);
            }
            None => drop(files.remove(name)),
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.machine().files[name].now.clone()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.machine().steps
    }

    pub(crate) fn fail(&self, fault: Option<Fault>) {
        let mut machine = self.machine();
        machine.fault = fault.map(|fault| (machine.steps + fault.after + 1, fault));
        machine.struck = None;
    }

    pub(crate) fn struck(&self) -> Option<String> {
        self.machine().struck.clone()
    }

    pub(crate) fn after_crash(&self) -> Self {
        Self::of(self.machine().files.clone())
    }

    pub(crate) fn after_power_loss(&self, unsynced: Unsynced) -> Self {
        let mut files = BTreeMap::new();
        for (number, (name, file)) in self.machine().files.iter().enumerate() {
            let some = |seed: u64| (seed as usize).wrapping_mul(31).wrapping_add(number * 7);
            let bytes = match unsynced {
                Unsynced::Lost => file.durable.clone(),
                Unsynced::Kept => Some(file.now.clone()),
                // What was done first is kept, and of the next thing half.
                Unsynced::Some(seed) => {
                    let mut bytes = file.durable.clone().unwrap_or_default();
                    let kept = some(seed) % (file.pending.len() + 1);
                    file.pending.iter().take(kept).for_each(|op| op.apply(&mut bytes));
                    if let Some(Op::Write(at, written)) = file.pending.get(kept) {
                        Op::Write(*at, written[..written.len() / 2].to_vec()).apply(&mut bytes);
                    }
                    Some(bytes)
                }
            };
            if let Some(bytes) = bytes {
                let durable = Some(bytes.clone());
                files.insert(name.clone(), File { now: bytes, durable, pending: Vec::new() });
            }
        }
        Self::of(files)
    }
}

//! The operations on names.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::SimulatedDisk;
use super::image::split;
use super::inode::{DataOp, Entry, NameOp, Names};
use super::machine::Machine;
use crate::disk::{Disk, DiskFile, FileId};

impl Disk for SimulatedDisk {
    fn make_root(&self) -> io::Result<()> {
        self.op(
            true,
            || "make_root".into(),
            |_, _| (),
            |machine| {
                machine.image.directories.entry(String::new()).or_default();
                Ok(())
            },
        )
    }

    fn make_directory(&self, name: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("make_directory {name}"),
            |_, _| (),
            |machine| {
                let root = machine.image.names("")?;
                if !root.now.contains_key(name) {
                    root.apply(NameOp::Put(name.to_owned(), Entry::Directory));
                    machine.image.directories.insert(name.to_owned(), Names::default());
                }
                Ok(())
            },
        )
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.op(
            false,
            || format!("list {directory}"),
            |_, _| (),
            |machine| Ok(machine.image.names(directory)?.now.keys().cloned().collect()),
        )
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.op(
            false,
            || format!("open {name}"),
            |_, _| (),
            |machine| match machine.image.find(name)? {
                Entry::File(file) => Ok(self.handle(machine, file, name)),
                Entry::Directory => Err(ErrorKind::IsADirectory.into()),
            },
        )
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.op(
            true,
            || format!("create {name}"),
            |_, _| (),
            |machine| {
                let (directory, file) = split(name);
                let number = machine.image.files.len();
                let number = match machine.image.find(name) {
                    Ok(Entry::Directory) => return Err(ErrorKind::IsADirectory.into()),
                    Ok(Entry::File(number)) => {
                        machine.image.file(number).apply(DataOp::Truncate(0));
                        number
                    }
                    Err(_) => {
                        let names = machine.image.names(directory)?;
                        names.apply(NameOp::Put(file.to_owned(), Entry::File(number)));
                        machine.image.files.push(Arc::default());
                        number
                    }
                };
                Ok(self.handle(machine, number, name))
            },
        )
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("rename {from} {to}"),
            |_, _| (),
            |machine| {
                machine.image.find(from)?;
                let ((directory, from), (other, to)) = (split(from), split(to));
                assert_eq!(directory, other, "files are renamed where they are");
                let op = NameOp::Rename(from.to_owned(), to.to_owned());
                machine.image.names(directory)?.apply(op);
                Ok(())
            },
        )
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.op(
            true,
            || format!("remove {name}"),
            |_, _| (),
            |machine| {
                machine.image.find(name)?;
                let (directory, file) = split(name);
                machine.image.names(directory)?.apply(NameOp::Remove(file.to_owned()));
                Ok(())
            },
        )
    }

    fn sync_names(&self, directory: &str) -> io::Result<()> {
        let part = |machine: &mut Machine, _| {
            if let Ok(names) = machine.image.names(directory) {
                let done: Vec<_> = names.pending.drain(..names.pending.len() / 2).collect();
                done.iter().for_each(|op| op.apply(&mut names.durable));
            }
        };
        self.op(
            true,
            || format!("sync_names {directory:?}"),
            part,
            |machine| {
                let names = machine.image.names(directory)?;
                names.durable.clone_from(&names.now);
                names.pending.clear();
                Ok(())
            },
        )
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        self.op(
            false,
            || format!("id_of {name}"),
            |_, _| (),
            |machine| match machine.image.find(name)? {
                Entry::File(file) => Ok(Self::file_id(file)),
                Entry::Directory => Err(ErrorKind::IsADirectory.into()),
            },
        )
    }
}

impl SimulatedDisk {
    pub(super) fn file_id(file: usize) -> Option<FileId> {
        Some(FileId { device: 1, number: file as u64 })
    }
}

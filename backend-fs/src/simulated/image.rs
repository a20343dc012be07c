//! All that is on a disk at one moment.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::inode::{Entry, Inode, Listed, Losing, NameOp, Names};
use super::random::Random;

/// What of that which is not durable survives the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are the extremes and what is between them")]
pub enum Loss {
    /// Nothing.
    Least,
    /// All of it.
    Most,
    /// Sectors of files and changes of names, as this seed has it.
    Some(u64),
}

impl Loss {
    fn draw(self) -> Losing {
        match self {
            Self::Least => Losing::Least,
            Self::Most => Losing::Most,
            Self::Some(seed) => Losing::Some(Random::new(seed)),
        }
    }
}

/// All that is on a disk, and what of it is durable.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub(super) files: Vec<Arc<Inode>>,
    pub(super) directories: BTreeMap<String, Names>,
}

pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

fn not_found<T>() -> io::Result<T> {
    Err(ErrorKind::NotFound.into())
}

impl Image {
    /// What may be found once the power is back.
    #[must_use]
    pub fn after_power_loss(&self, loss: Loss) -> Self {
        let mut losing = loss.draw();
        let files = self.files.iter().map(|file| {
            let bytes = file.after(&mut losing);
            Arc::new(Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() })
        });
        let files = files.collect();
        let mut directories = BTreeMap::new();
        for (name, names) in &self.directories {
            let names = names.after(&mut losing);
            let names = Names { now: names.clone(), durable: names, pending: Vec::new() };
            directories.insert(name.clone(), names);
        }
        let root: Listed = directories.get("").map(|root| root.now.clone()).unwrap_or_default();
        directories.retain(|name, _| name.is_empty() || root.contains_key(name));
        for name in root.iter().filter(|(_, entry)| **entry == Entry::Directory).map(|(n, _)| n) {
            directories.entry(name.clone()).or_default();
        }
        Self { files, directories }
    }

    /// The files, with their bytes.
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        for (directory, names) in &self.directories {
            for (name, entry) in &names.now {
                let name =
                    if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                if let Entry::File(file) = entry {
                    tree.insert(name, self.files[*file].now.clone());
                }
            }
        }
        tree
    }

    /// The same for images that nothing tells apart once the power was lost.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (directory, names) in &self.directories {
            directory.hash(&mut hasher);
            for (name, entry) in &names.now {
                name.hash(&mut hasher);
                if let Entry::File(file) = entry {
                    self.files[*file].now.hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }

    /// With other bytes in a file, or without it. All of it durable.
    #[must_use]
    pub fn with(&self, name: &str, bytes: Option<Vec<u8>>) -> Self {
        let mut image = self.clone();
        let (directory, file) = split(name);
        let number = image.files.len();
        let names = image.directories.entry(directory.to_owned()).or_default();
        match bytes {
            Some(now) => {
                names.apply(NameOp::Put(file.to_owned(), Entry::File(number)));
                image.files.push(Arc::new(Inode { now, ..Inode::default() }));
            }
            None => names.apply(NameOp::Remove(file.to_owned())),
        }
        image.after_power_loss(Loss::Most)
    }

    /// Without a directory and all in it.
    #[must_use]
    pub fn without_directory(&self, name: &str) -> Self {
        let mut image = self.clone();
        image.directories.get_mut("").unwrap().apply(NameOp::Remove(name.to_owned()));
        image.directories.remove(name);
        image.after_power_loss(Loss::Most)
    }

    pub(super) fn find(&self, name: &str) -> io::Result<Entry> {
        let (directory, file) = split(name);
        let found = self.directories.get(directory).and_then(|names| names.now.get(file));
        found.copied().map_or_else(not_found, Ok)
    }

    pub(super) fn names(&mut self, directory: &str) -> io::Result<&mut Names> {
        self.directories.get_mut(directory).map_or_else(not_found, Ok)
    }

    pub(super) fn file(&mut self, number: usize) -> &mut Inode {
        Arc::make_mut(&mut self.files[number])
    }
}

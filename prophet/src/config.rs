//! What is kept beside a replica, for this one only: how its user is called, peers, aliases.
//!
//! It is TOML, for people to write as well; their comments stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use crate::Result;
use crate::failure::Failure;

const PEERS: &str = "peers";
const ALIASES: &str = "aliases";
const CREATOR: &str = "creator";
const REPLICA: &str = "replica";

/// What is kept beside a replica.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    path: PathBuf,
    document: DocumentMut,
}

impl Config {
    /// What is at `path`; nothing, if there is no such file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            // Beside something that is no directory there is nothing either.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => String::new(),
            Err(error) => return Err(Failure::io("read", path.display(), &error)),
        };
        let document = text.parse().map_err(|error| {
            Failure::failed(format!("{} is not TOML; correct it: {error}", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), document })
    }

    /// Writes it in the place of what is there.
    pub(crate) fn save(&self) -> Result<()> {
        let failed = |error: io::Error| Failure::io("written", self.path.display(), &error);
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut unfinished = self.path.clone().into_os_string();
        unfinished.push(".unfinished");
        write(Path::new(&unfinished), &self.document.to_string(), &self.path).map_err(failed)?;
        fs::rename(&unfinished, &self.path).map_err(failed)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How the user of the replica is called.
    pub(crate) fn creator(&self) -> Option<String> {
        self.text(CREATOR)
    }

    pub(crate) fn set_creator(&mut self, creator: &str) {
        self.document.insert(CREATOR, value(creator));
    }

    /// Where the replica itself is, for a folder that does not hold it under the usual name.
    pub(crate) fn replica(&self) -> Option<String> {
        self.text(REPLICA)
    }

    pub(crate) fn set_replica(&mut self, replica: &str) {
        self.document.insert(REPLICA, value(replica));
    }

    /// The peers, by name.
    pub(crate) fn peers(&self) -> BTreeMap<String, String> {
        self.table(PEERS)
    }

    pub(crate) fn set_peer(&mut self, name: &str, place: &str) -> Result<()> {
        check_name("a peer", name)?;
        self.set(PEERS, name, place)
    }

    /// Whether there was one.
    pub(crate) fn remove_peer(&mut self, name: &str) -> bool {
        self.remove(PEERS, name)
    }

    /// The aliases, by name.
    pub(crate) fn aliases(&self) -> BTreeMap<String, String> {
        self.table(ALIASES)
    }

    pub(crate) fn set_alias(&mut self, name: &str, line: &str) -> Result<()> {
        check_name("an alias", name)?;
        self.set(ALIASES, name, line)
    }

    /// Whether there was one.
    pub(crate) fn remove_alias(&mut self, name: &str) -> bool {
        self.remove(ALIASES, name)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.document.get(key).and_then(Item::as_str).map(str::to_owned)
    }

    fn table(&self, table: &str) -> BTreeMap<String, String> {
        let entries = self.document.get(table).and_then(Item::as_table_like);
        let entries = entries.into_iter().flat_map(|table| table.iter());
        entries
            .filter_map(|(name, item)| Some((name.to_owned(), item.as_str()?.to_owned())))
            .collect()
    }

    fn set(&mut self, table: &str, name: &str, text: &str) -> Result<()> {
        let item = self.document.entry(table).or_insert_with(|| Item::Table(Table::new()));
        let entries = item.as_table_like_mut().ok_or_else(|| {
            Failure::failed(format!("{table} in {} is no table; correct it", self.path.display()))
        })?;
        entries.insert(name, value(text));
        Ok(())
    }

    fn remove(&mut self, table: &str, name: &str) -> bool {
        let entries = self.document.get_mut(table).and_then(Item::as_table_like_mut);
        entries.is_some_and(|entries| entries.remove(name).is_some())
    }
}

/// Writes a file that is to stand in the place of another: for whom that was, and if there is none, for its
/// owner alone, as a URL may have a password in it.
fn write(path: &Path, text: &str, instead_of: &Path) -> io::Result<()> {
    // One that was left behind may be for others as well.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    if let Ok(before) = fs::metadata(instead_of) {
        file.set_permissions(before.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = instead_of;
    Ok(())
}

/// A peer's name stands where a place may, and an alias's where a command does: it has to look like
/// neither a path, nor a URL, nor an option.
fn check_name(of: &str, name: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.starts_with(char::is_alphanumeric) && name.chars().all(fits) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{name:?} cannot be the name of {of}: use letters, digits, - _ and ., beginning with a \
             letter or a digit"
        ))),
    }
}

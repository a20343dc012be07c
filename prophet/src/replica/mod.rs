//! What replicas are called, where they are, and how they are opened.

pub(crate) mod local;
pub(crate) mod open;
mod place;
pub(crate) mod web;

use std::path::{Path, PathBuf};

pub(crate) use place::{FOLDER, Place, Store, without_secrets};

use crate::Result;
use crate::config::Config;
use crate::failure::Failure;

/// A replica that was found, and where what is kept beside it is.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) place: Place,
    config: PathBuf,
}

impl Located {
    /// What is kept beside it.
    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(&self.config)
    }

    pub(crate) fn at(place: Place) -> Result<Self> {
        let config = config_of(&place)?;
        Ok(Self { place, config })
    }

    /// The replica in a folder `.prophet`.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let config = Config::load(&path)?;
        let name = config.replica().unwrap_or_else(|| Store::Sqlite.in_folder().to_owned());
        Ok(Self { place: Place::parse(&name)?.beneath(folder), config: path })
    }
}

/// The file of what is kept beside the replica of a folder.
const CONFIG: &str = "config.toml";

/// The replica of this name, or else the one in the nearest folder.
pub(crate) fn locate(name: Option<&str>) -> Result<Located> {
    match name {
        Some(name) => find(&Place::parse(name)?),
        None => {
            let here = std::env::current_dir()
                .map_err(|error| Failure::io("read", "the current directory", &error))?;
            let folder = here.ancestors().map(|path| path.join(FOLDER)).find(|path| path.is_dir());
            let folder = folder.ok_or_else(|| {
                Failure::not_found(format!(
                    "there is no folder {FOLDER} here or upwards; make a replica with \
                     `prophet init` or `prophet clone`, or name one with -r"
                ))
            })?;
            Located::in_folder(&folder)
        }
    }
}

/// The replica at a place, whatever is there.
pub(crate) fn find(place: &Place) -> Result<Located> {
    match place {
        Place::Path(path) => {
            let found = place::look_at(path)?;
            match found {
                Place::Folder(folder) => Located::in_folder(&folder),
                found => Located::at(found),
            }
        }
        Place::Folder(folder) => Located::in_folder(folder),
        place => Located::at(place.clone()),
    }
}

fn config_of(place: &Place) -> Result<PathBuf> {
    if let Place::Folder(folder) = place {
        return Ok(folder.join(CONFIG));
    }
    if let Some(path) = place.path() {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".prophet.toml");
        return Ok(beside.into());
    }
    // Beside something far away there is no place for what is of this user only.
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let directory = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))
        .unwrap_or_else(|| PathBuf::from("."));
    let name: String = place
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' })
        .collect();
    Ok(directory.join("prophet").join(format!("{name}.toml")))
}

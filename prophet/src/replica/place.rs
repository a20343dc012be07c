//! What a replica is called.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use prophet_store::codec;

use crate::Result;
use crate::failure::Failure;

/// The folder in which a replica of a project is, and what belongs to it.
pub(crate) const FOLDER: &str = ".prophet";

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Fs(PathBuf),
    Sled(PathBuf),
    /// A bucket of S3 or the like.
    Bucket(String),
    /// HTTP or HTTPS: a published tree, or a served replica.
    Web(String),
    Bundle(PathBuf),
    /// A published tree in a directory.
    Tree(PathBuf),
    /// A folder `.prophet`.
    Folder(PathBuf),
    /// Whatever is there, if anything.
    Path(PathBuf),
}

/// The stores that a replica on this machine can be in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// One SQLite file.
    #[default]
    Sqlite,
    /// A directory of files that people can read.
    Fs,
    /// A sled database.
    Sled,
}

impl Store {
    /// What the replica of a folder is called in it.
    pub(crate) const fn in_folder(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite:replica.db",
            Self::Fs => "fs:replica",
            Self::Sled => "sled:replica",
        }
    }
}

impl Place {
    /// The place of this name. Nothing is looked at.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Failure::usage("the empty name is no replica; name a file or a URL"));
        }
        if let Some((scheme, _)) = name.split_once("://") {
            return match scheme {
                "http" | "https" => Ok(Self::Web(name.to_owned())),
                "s3" => Ok(Self::Bucket(name.to_owned())),
                _ => Err(Failure::usage(format!(
                    "{}: no replica is named by {scheme}://; use http://, https:// or s3://, or \
                     sqlite:, fs:, sled: or bundle: and a path",
                    without_secrets(name)
                ))),
            };
        }
        let Some((scheme, path)) = name.split_once(':') else { return Ok(Self::Path(name.into())) };
        let place = match scheme {
            "sqlite" => Self::Sqlite,
            "fs" => Self::Fs,
            "sled" => Self::Sled,
            "bundle" => Self::Bundle,
            "tree" => Self::Tree,
            // A path that begins so can be named otherwise; a misspelt word makes no folder.
            word if word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                return Err(Failure::usage(format!(
                    "{name}: no replica is named by {word}:; use sqlite:, fs:, sled:, tree: or bundle: \
                     and a path; if it is a path, write ./{name}"
                )));
            }
            _ => return Ok(Self::Path(name.into())),
        };
        match path {
            "" => Err(Failure::usage(format!("{name} names no file; add its path"))),
            path => Ok(place(path.into())),
        }
    }

    /// Its name, with what may be secret in it: for what finds it again, and not to be shown.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Bucket(url) | Self::Web(url) => url.clone(),
            near => near.to_string(),
        }
    }

    /// Where it is in the file system, if it is there.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path)
            | Self::Fs(path)
            | Self::Sled(path)
            | Self::Bundle(path)
            | Self::Tree(path)
            | Self::Folder(path)
            | Self::Path(path) => Some(path),
            Self::Bucket(_) | Self::Web(_) => None,
        }
    }

    /// The same place, if it was named from within `directory`.
    pub(crate) fn beneath(self, directory: &Path) -> Self {
        let join = |path: PathBuf| directory.join(path);
        match self {
            Self::Sqlite(path) => Self::Sqlite(join(path)),
            Self::Fs(path) => Self::Fs(join(path)),
            Self::Sled(path) => Self::Sled(join(path)),
            Self::Bundle(path) => Self::Bundle(join(path)),
            Self::Tree(path) => Self::Tree(join(path)),
            Self::Folder(path) => Self::Folder(join(path)),
            Self::Path(path) => Self::Path(join(path)),
            far => far,
        }
    }

    /// The same place, named so that it is found from everywhere.
    pub(crate) fn absolute(self) -> Result<Self> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::io("read", "the current directory", &error))?;
        Ok(self.beneath(&here))
    }
}

/// The name of a place without the user, the password and the parameters that a URL may have: what may be
/// shown, and be read by others. People do not always encode what is in their passwords.
pub(crate) fn without_secrets(name: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = name.split_once("://") else { return name.into() };
    let rest = rest.trim_start_matches('/');
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = host.rsplit(']').next().unwrap_or_default().split_once(':').map(|(_, port)| port);
    let is_host = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let rest = match host.rsplit_once('@') {
        Some((secret, _)) => rest.get(secret.len() + 1..).unwrap_or_default(),
        None if is_host => rest,
        // What looks like a host ends within a password.
        None => rest.rsplit_once('@').map_or(host, |(_, rest)| rest),
    };
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{shown}").into()
}

/// As it is named, without what is secret in it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Fs(path) => write!(f, "fs:{}", path.display()),
            Self::Sled(path) => write!(f, "sled:{}", path.display()),
            Self::Bundle(path) => write!(f, "bundle:{}", path.display()),
            Self::Tree(path) => write!(f, "tree:{}", path.display()),
            Self::Folder(path) | Self::Path(path) => path.display().fmt(f),
            Self::Bucket(url) | Self::Web(url) => f.write_str(&without_secrets(url)),
        }
    }
}

/// What is at a path that was named without saying what it is.
pub(super) fn look_at(path: &Path) -> Result<Place> {
    if path.is_dir() {
        let has = |name: &str| path.join(name).exists();
        return if has(FOLDER) {
            Ok(Place::Folder(path.join(FOLDER)))
        } else if has("config.toml") && path.ends_with(FOLDER) {
            Ok(Place::Folder(path.to_owned()))
        } else if has("prophet.json") {
            Ok(Place::Fs(path.to_owned()))
        } else if has("replica") && has("sled") {
            Ok(Place::Sled(path.to_owned()))
        } else if has("manifest.json") {
            Ok(Place::Tree(path.to_owned()))
        } else {
            Err(Failure::not_found(format!(
                "there is no replica in {}; make one with `prophet init {0}`, or name another",
                path.display()
            )))
        };
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    if let Err(error) = read {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_found(format!(
                "there is no replica at {}; make one with `prophet init {0}`, or check the name",
                path.display()
            )),
            _ => Failure::io("read", path.display(), &error),
        });
    }
    if start.starts_with(SQLITE_MAGIC) {
        Ok(Place::Sqlite(path.to_owned()))
    } else if start.starts_with(&codec::MAGIC) {
        Ok(Place::Bundle(path.to_owned()))
    } else {
        Err(Failure::failed(format!(
            "{} is no replica and no bundle; name another file",
            path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_a_url_is_kept_and_not_shown() {
        for (name, shown) in [
            ("https://ada:pa@ss@example.org:8/a?sig=x#y", "https://example.org:8/a"),
            ("https://ada:pa%40ss@example.org:8/a/b?sig=x@y/z", "https://example.org:8/a/b"),
            ("https://example.org/@b/", "https://example.org/@b/"),
            ("s3://key:secret@bugs/ours", "s3://bugs/ours"),
            ("https://token@example.org", "https://example.org"),
            ("https://ada:p/ss@example.org/a", "https://example.org/a"),
            ("https://ada:p?ss@example.org/a", "https://example.org/a"),
            ("https://ada:p#s@s@example.org/a", "https://example.org/a"),
            ("https:///ada:pass@example.org/a", "https://example.org/a"),
            ("https://example.org:8/@b/c@d", "https://example.org:8/@b/c@d"),
            ("https://[2001:db8::1]:8/a", "https://[2001:db8::1]:8/a"),
            ("sqlite:a@b/?c.db", "sqlite:a@b/?c.db"),
        ] {
            let place = Place::parse(name).unwrap();
            assert_eq!((place.name().as_str(), place.to_string().as_str()), (name, shown));
        }
        let refused = Place::parse("ftp://ada:secret@example.org/").unwrap_err().to_string();
        assert!(refused.starts_with("ftp://example.org/: no replica"), "{refused}");
    }
}

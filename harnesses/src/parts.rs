//! The files below a directory, as parts that can be damaged.

use std::fs;
use std::path::Path;

/// Their names relative to it.
pub(crate) fn parts(root: &Path) -> Vec<String> {
    let (mut parts, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let found = entry.expect("the directory can be read").path();
            if found.is_dir() {
                directories.push(found);
            } else {
                let name = found.strip_prefix(root).expect("it is below it");
                parts.push(name.to_str().expect("names are text").to_owned());
            }
        }
    }
    parts.sort_unstable();
    parts
}

pub(crate) fn read(root: &Path, part: &str) -> Vec<u8> {
    fs::read(root.join(part)).expect("the part is there")
}

pub(crate) fn write(root: &Path, part: &str, bytes: Option<&[u8]>) {
    let path = root.join(part);
    match bytes {
        Some(bytes) => {
            let directory = path.parent().expect("a file is in a directory");
            fs::create_dir_all(directory).expect("a directory can be made");
            fs::write(path, bytes).expect("a file can be written");
        }
        None => fs::remove_file(path).expect("a file can be removed"),
    }
}

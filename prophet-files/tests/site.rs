//! A site in a tree.

#![cfg(feature = "site")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;

use futures_lite::future::block_on;
use prophet_files::{DirectoryTree, PublishOptions, publish, publish_site};
use prophet_site::{SiteOptions, write_site};
use prophet_store::{Identity, MemoryStore, Properties, Replica};

fn properties(title: &str) -> Properties {
    Properties::try_from([("title", title)]).unwrap()
}

fn files(root: &Path, path: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for file in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        match file.file_type().unwrap().is_dir() {
            true => files(root, &file.path(), found),
            false => {
                let name = file.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(file.path()).unwrap());
            }
        }
    }
}

/// The site that is in a directory, beside a published log.
fn site(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(path, path, &mut found);
    found.retain(|name, _| {
        !name.starts_with("log/") && name != "manifest.json" && name != "site.json"
    });
    found
}

#[test]
fn a_site_is_written_beside_the_log_and_then_only_what_is_new() {
    block_on(async {
        let replica =
            Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await.unwrap();
        for number in 0..20 {
            replica.create("bug", properties(&format!("bug {number}"))).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let tree = DirectoryTree::new(directory.path());
        publish(&replica, &tree, PublishOptions::new()).await.unwrap();
        let options = || SiteOptions::new("Bugs");
        let whole = publish_site(&replica, &tree, options()).await.unwrap();
        assert_eq!(whole.records, 20);
        let key = replica.create("bug", properties("one more")).await.unwrap();
        replica.update(&key, properties("better")).await.unwrap();
        let more = publish_site(&replica, &tree, options()).await.unwrap();
        assert_eq!(more.records, 1, "only what is new");
        let mut expected = BTreeMap::new();
        write_site(&replica, &mut expected, &options()).await.unwrap();
        assert_eq!(site(directory.path()), expected);
        let none = publish_site(&replica, &tree, options()).await.unwrap();
        assert_eq!(none.records, 0);
        let other = publish_site(&replica, &tree, SiteOptions::new("Faults")).await.unwrap();
        assert_eq!(other.records, 21, "every page has the title");
    });
}

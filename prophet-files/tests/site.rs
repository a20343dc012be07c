//! A site in a tree.

#![cfg(feature = "site")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_lite::future::block_on;
use prophet_files::{
    DirectoryTree, Fetch, FetchError, PublishOptions, Request, Response, Tree, check_site,
    has_site, publish, publish_site,
};
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

#[test]
fn what_is_of_no_site_of_prophets_is_left_alone() {
    block_on(async {
        let replica =
            Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await.unwrap();
        replica.create("bug", properties("one")).await.unwrap();
        for name in ["index.html", "style.css", "feed.atom", "site.json"] {
            let directory = tempfile::tempdir().unwrap();
            let tree = DirectoryTree::new(directory.path());
            let file = directory.path().join(name);
            std::fs::write(&file, "mine".repeat(100_000)).unwrap();
            let options = SiteOptions::new("Bugs");
            assert!(check_site(&tree, &options).await.is_err());
            check_site(&tree, &options.replace()).await.unwrap();
            let refused = publish_site(&replica, &tree, SiteOptions::new("Bugs")).await;
            let said = refused.unwrap_err().to_string();
            assert!(said.contains(name) && said.contains("replaced"), "{said}");
            assert!(!has_site(&tree).await.unwrap());
            assert_eq!(site(directory.path()).len(), usize::from(name != "site.json"));
            assert!(std::fs::read_to_string(&file).unwrap().starts_with("mine"));
            publish_site(&replica, &tree, SiteOptions::new("Bugs").replace()).await.unwrap();
            assert!(has_site(&tree).await.unwrap());
            assert!(!std::fs::read_to_string(&file).unwrap().starts_with("mine"));
        }
    });
}

/// A tree in which writing fails once so many files are there.
#[derive(Debug)]
struct Full(DirectoryTree, AtomicUsize);

#[async_trait]
impl Fetch for Full {
    fn place(&self) -> &str {
        self.0.place()
    }

    async fn fetch(&self, request: &Request) -> Result<Response, FetchError> {
        self.0.fetch(request).await
    }
}

#[async_trait]
impl Tree for Full {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        match self.1.fetch_sub(1, Ordering::Relaxed) {
            1.. => self.0.put(name, bytes).await,
            0 => Err(FetchError::invalid(name, "there is no room")),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), FetchError> {
        self.0.remove(name).await
    }
}

#[test]
fn a_site_that_was_not_written_to_its_end_is_written_again() {
    block_on(async {
        let replica =
            Replica::open(MemoryStore::new(Identity::new_database().unwrap())).await.unwrap();
        for number in 0..5 {
            replica.create("bug", properties(&format!("bug {number}"))).await.unwrap();
        }
        let mut expected = BTreeMap::new();
        write_site(&replica, &mut expected, &SiteOptions::new("Bugs")).await.unwrap();
        for room in 0..=expected.len() {
            let directory = tempfile::tempdir().unwrap();
            let tree = Full(DirectoryTree::new(directory.path()), AtomicUsize::new(room));
            publish_site(&replica, &tree, SiteOptions::new("Bugs")).await.unwrap_err();
            tree.1.store(usize::MAX, Ordering::Relaxed);
            publish_site(&replica, &tree, SiteOptions::new("Bugs")).await.unwrap();
            assert_eq!(site(directory.path()), expected, "{room} files");
        }
    });
}

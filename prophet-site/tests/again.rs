//! Writing again: the same is written, and only what is new.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "what the tests share, not all of them use")]

mod support;

use std::collections::BTreeSet;
use std::error::Error;

use async_trait::async_trait;
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_site::{Sink, SiteError, SiteOptions, write_site};
use prophet_store::*;
use support::*;

/// Notes which files are put.
struct Noting<'a> {
    files: &'a mut Files,
    put: BTreeSet<String>,
}

#[async_trait]
impl Sink for Noting<'_> {
    async fn put(
        &mut self,
        name: &str,
        content: Vec<u8>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.put.insert(name.to_owned());
        self.files.put(name, content).await
    }
}

/// Writes what is new since `position`; which files that were, with those of every time left out.
async fn again(replica: &Replica, files: &mut Files, position: &mut Position) -> BTreeSet<String> {
    let options = SiteOptions::new("ours").since(*position);
    let mut sink = Noting { files, put: BTreeSet::new() };
    *position = write_site(replica, &mut sink, &options).await.unwrap().position;
    let mut put = sink.put;
    let lists = files.keys().filter(|name| name.starts_with("types/"));
    for every_time in lists.map(String::as_str).chain(["index.html", "feed.atom", "style.css"]) {
        assert!(put.remove(every_time), "{every_time}");
    }
    assert_eq!(*files, write(replica, &SiteOptions::new("ours")).await);
    put
}

fn of(keys: &[&RecordKey]) -> BTreeSet<String> {
    keys.iter().map(|key| record_file(key)).collect()
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    block_on(async {
        let (replica, _) = awkward().await;
        let options = SiteOptions::new("ours");
        assert_eq!(write(&replica, &options).await, write(&replica, &options).await);
    });
}

#[test]
fn only_what_is_new_is_written_and_it_is_all_there_then() {
    block_on(async {
        let ada = replica(1).await;
        let mut files = Files::new();
        let mut position = Position::ZERO;
        let [one, two, three] = ["one", "two", "three"];
        let one = ada.create("bug", title(one)).await.unwrap();
        let two = ada.create("bug", title(two)).await.unwrap();
        let three = ada.create("Bug", title(three)).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&one, &two, &three]));
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[]));

        ada.update(&one, title("1")).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&one]));
        ada.delete(&two).await.unwrap();
        let four = ada.create("person", title("four")).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&two, &four]));

        // What is referred to comes later, from elsewhere.
        let identity =
            Identity { replica: ReplicaId::from_bytes([2; 16]), ..ada.store().facts().identity };
        let bob = Replica::clone_of(MemoryStore::new(identity), &ada).await.unwrap();
        let late = bob.create("late", title("late")).await.unwrap();
        bob.update(&one, title("eins")).await.unwrap();
        bob.undelete(&two).await.unwrap();
        let refers = properties([("to", Value::from(vec![Value::from(&late), Value::from(&one)]))]);
        ada.update(&three, refers).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&three, &late]));
        assert!(Shown::parse(&files[&record_file(&late)]).text.contains("not in this copy"));
        ada.update(&one, title("uno")).await.unwrap();
        ada.pull(&bob, PullOptions::new()).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&one, &two, &late]));
        assert!(!Shown::parse(&files[&record_file(&late)]).text.contains("not in this copy"));

        let conflict = ada.conflicts().next().await.unwrap().unwrap();
        assert_eq!(conflict.record, one);
        ada.resolve(&conflict, Some(Value::from("uno"))).await.unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&one]));
        ada.update(&three, [(PropertyName::new("to").unwrap(), None)].into_iter().collect())
            .await
            .unwrap();
        assert_eq!(again(&ada, &mut files, &mut position).await, of(&[&three]));
    });
}

#[test]
fn a_position_of_another_log_leaves_nothing_out() {
    block_on(async {
        let replica = replica(1).await;
        replica.create("bug", title("one")).await.unwrap();
        let options = SiteOptions::new("ours");
        let all = write(&replica, &options).await;
        assert_eq!(write(&replica, &options.since(Position::new(2))).await, all);
    });
}

struct Full;

#[async_trait]
impl Sink for Full {
    async fn put(&mut self, name: &str, _: Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
        match name {
            "style.css" => Ok(()),
            _ => Err("the disk is full".into()),
        }
    }
}

#[test]
fn a_sink_that_fails_is_named_with_the_file() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    block_on(async {
        let replica = replica(1).await;
        let (mut sink, options) = (Full, SiteOptions::new("ours"));
        let error = sent(write_site(&replica, &mut sink, &options)).await.unwrap_err();
        assert!(matches!(&error, SiteError::Sink { name, .. } if name == "index.html"));
        assert_eq!(
            error.to_string(),
            "the site cannot be written beyond index.html: the disk is full"
        );
    });
}

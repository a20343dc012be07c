//! The feed: valid Atom, whatever is in the database.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "what the tests share, not all of them use")]

mod support;

use std::collections::HashSet;

use atom_syndication::{Entry, Feed};
use futures_lite::future::block_on;
use prophet_site::SiteOptions;
use prophet_store::*;
use support::*;

fn parse(files: &Files) -> Feed {
    let text = std::str::from_utf8(&files["feed.atom"]).unwrap();
    // It is strict, and knows which characters may be in XML.
    let document = roxmltree::Document::parse(text).unwrap();
    assert_eq!(document.root_element().tag_name().namespace(), Some("http://www.w3.org/2005/Atom"));
    let feed = Feed::read_from(text.as_bytes()).unwrap();
    let mut ids = HashSet::from([feed.id().to_owned()]);
    for entry in feed.entries() {
        assert!(ids.insert(entry.id().to_owned()), "ids are there once");
        assert!(entry.id().starts_with("urn:uuid:"));
        assert!(!entry.authors()[0].name().is_empty());
        assert!(!entry.title().as_str().contains(['\n', '\u{202e}']));
    }
    feed
}

fn content(entry: &Entry) -> Shown {
    let content = entry.content().unwrap();
    assert_eq!(content.content_type(), Some("html"));
    let page = format!("<!DOCTYPE html><title></title>{}", content.value().unwrap());
    Shown::parse(page.as_bytes())
}

#[test]
fn the_feed_is_what_is_expected() {
    block_on(async {
        let replica = replica(1).await.with_time(1_700_000_000_000);
        let key = replica.create("bug", title("It <fails>")).await.unwrap();
        let later = replica.with_time(1_700_000_060_000).with_creator("").unwrap();
        let fixed = properties([("status", Value::from("fixed"))]);
        later.update(&key, fixed).await.unwrap();
        let options = SiteOptions::new("Our <bugs>").base_url("https://example.org/bugs").unwrap();
        let feed = parse(&write(&replica, &options).await);
        assert_eq!(feed.id(), "urn:uuid:07070707-0707-0707-0707-070707070707");
        assert_eq!(feed.title().as_str(), "Our <bugs>");
        assert_eq!(feed.updated().to_rfc3339(), "2023-11-14T22:14:20+00:00");
        let links: Vec<_> = feed.links().iter().map(|link| (link.rel(), link.href())).collect();
        let at = "https://example.org/bugs";
        assert_eq!(
            links,
            [
                ("self", format!("{at}/feed.atom").as_str()),
                ("alternate", format!("{at}/index.html").as_str())
            ]
        );
        let [updated, created] = feed.entries() else { panic!("two entries") };
        assert_eq!(created.title().as_str(), "Created bug: It <fails>");
        assert_eq!(created.updated().to_rfc3339(), "2023-11-14T22:13:20+00:00");
        assert_eq!(created.authors()[0].name(), "ada");
        assert_eq!(created.links()[0].href(), format!("{at}/{}", record_file(&key)));
        let page = content(created);
        assert!(page.text.contains(&format!("Created bug/{}", key.id())));
        assert!(page.text.contains("title: It <fails>"));
        assert_eq!(page.hrefs().collect::<Vec<_>>(), [format!("{at}/{}", record_file(&key))]);
        assert_eq!(updated.title().as_str(), "Updated bug: status");
        assert_eq!(updated.authors()[0].name(), "replica 01010101-0101-0101-0101-010101010101");
    });
}

#[test]
fn the_feed_is_valid_whatever_is_in_the_database() {
    block_on(async {
        let (replica, _) = awkward().await;
        for base in [None, Some("https://example.org/")] {
            let mut options = SiteOptions::new(HOSTILE.concat());
            if let Some(base) = base {
                options = options.base_url(base).unwrap();
            }
            let files = write(&replica, &options).await;
            let feed = parse(&files);
            assert!(feed.entries().len() > 20);
            for entry in feed.entries() {
                let page = content(entry);
                let known = |element: &String| {
                    let shown =
                        ["html", "head", "title", "body", "p", "ul", "li", "a", "bdi", "q", "i"];
                    shown.contains(&element.as_str()) || element == "code" || element == "span"
                };
                assert!(page.elements.iter().all(known), "{:?}", page.elements);
                assert!(entry.content().unwrap().value().unwrap().len() < 100_000);
                for href in page.hrefs().chain(entry.links().iter().map(|link| link.href())) {
                    let target = href.strip_prefix(base.unwrap_or_default()).unwrap();
                    assert!(files.contains_key(target), "{href}");
                }
            }
        }
    });
}

#[test]
fn the_feed_has_the_latest_entries_and_is_valid_without_any() {
    block_on(async {
        let replica = replica(1).await;
        let options = SiteOptions::new("ours");
        let feed = parse(&write(&replica, &options).await);
        assert_eq!((feed.entries().len(), feed.updated().timestamp()), (0, 0));
        for number in 0..5 {
            replica.create("bug", title(&format!("no. {number}"))).await.unwrap();
        }
        let feed = parse(&write(&replica, &options.feed_entries(2)).await);
        let titles: Vec<_> = feed.entries().iter().map(|entry| entry.title().as_str()).collect();
        assert_eq!(titles, ["Created bug: no. 4", "Created bug: no. 3"]);
    });
}

#[test]
fn what_is_no_base_is_refused() {
    for url in [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "https:///x",
        "https://a b",
        "https://a/\"><script>",
        "javascript:alert(1)",
        "https://a/?q",
        "https://a/#f",
        "https://\u{e9}",
    ] {
        assert!(SiteOptions::new("x").base_url(url).is_err(), "{url}");
    }
}

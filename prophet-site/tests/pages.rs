//! Pages: nothing of the database becomes markup, nothing is lost, and every link leads somewhere.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "what the tests share, not all of them use")]

mod support;

use std::collections::BTreeSet;

use futures_lite::future::block_on;
use prophet_site::SiteOptions;
use prophet_store::*;
use support::*;

/// All that pages are made of.
const ELEMENTS: [&str; 31] = [
    "a", "bdi", "body", "caption", "code", "h1", "h2", "h3", "head", "header", "html", "i", "li",
    "link", "main", "meta", "nav", "ol", "p", "q", "span", "strong", "table", "tbody", "td", "th",
    "thead", "time", "title", "tr", "ul",
];
const ATTRIBUTES: [&str; 16] = [
    "aria-label",
    "charset",
    "class",
    "content",
    "datetime",
    "href",
    "http-equiv",
    "id",
    "lang",
    "name",
    "rel",
    "reversed",
    "scope",
    "tabindex",
    "title",
    "type",
];

fn options() -> SiteOptions {
    SiteOptions::new(HOSTILE.concat())
}

fn pages(files: &Files) -> impl Iterator<Item = (&str, Shown)> {
    let pages = files.iter().filter(|(name, _)| name.ends_with(".html"));
    pages.map(|(name, content)| (name.as_str(), Shown::parse(content)))
}

#[test]
fn nothing_of_the_database_becomes_markup() {
    block_on(async {
        let (replica, _) = awkward().await;
        for (name, page) in pages(&write(&replica, &options()).await) {
            for element in &page.elements {
                assert!(ELEMENTS.contains(&element.as_str()), "{name}: {element}");
            }
            for (_, attribute, value) in &page.attributes {
                assert!(ATTRIBUTES.contains(&attribute.as_str()), "{name}: {attribute}");
                assert!(!value.contains(['<', '>', '"', '(']), "{name}: {attribute}={value}");
            }
            assert_eq!(page.comments, 0, "{name}");
            let policy = page.attributes.iter().any(|(element, _, value)| {
                element == "meta" && value.starts_with("default-src 'none'; style-src 'self'")
            });
            assert!(policy, "{name}");
            let bad =
                |c: char| (c.is_control() && !"\t\n".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
            assert!(!page.text.contains(bad), "{name}");
            let directing =
                |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert!(!page.title.contains(directing), "{name}: {}", page.title);
        }
    });
}

#[test]
fn what_is_in_the_database_is_shown_as_it_is() {
    block_on(async {
        let (replica, keys) = awkward().await;
        let files = write(&replica, &options()).await;
        let index = Shown::parse(&files["index.html"]);
        for (key, hostile) in keys.iter().zip(HOSTILE) {
            // A name that could pass for another one is not shown as it is.
            let named = hostile.replace(['\u{202e}', '\u{2066}'], "\u{fffd}");
            assert!(index.text.contains(&named), "{hostile}");
            let page = Shown::parse(&files[&record_file(key)]);
            assert!(page.text.contains(hostile), "{hostile}");
            assert!(
                page.text.contains("a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}z")
            );
            assert!(page.text.contains("\none\ntwo\nthree"));
            assert!(page.text.contains("bytes in all)"), "long text is cut");
            assert!(files[&record_file(key)].len() < 300_000, "{}", files[&record_file(key)].len());
        }
    });
}

#[test]
fn every_link_leads_to_a_file_and_every_page_is_linked_to() {
    block_on(async {
        let (replica, keys) = awkward().await;
        replica.settings().set("title", Value::from("ours")).await.unwrap();
        let files = write(&replica, &options()).await;
        let mut reached = BTreeSet::from(["index.html".to_owned()]);
        for (name, page) in pages(&files) {
            for href in page.hrefs() {
                if href == "#main" {
                    continue;
                }
                let target = resolve(name, href);
                assert!(files.contains_key(&target), "{name}: {href}");
                reached.insert(target);
            }
        }
        assert_eq!(reached, files.keys().cloned().collect());
        for hostile in HOSTILE {
            let page = Shown::parse(&files[&record_file(&missing(hostile))]);
            assert!(page.text.contains("not in this copy"));
        }
        assert_eq!(keys.len(), HOSTILE.len());
    });
}

#[test]
fn names_of_files_are_fit_for_any_file_system() {
    block_on(async {
        let (replica, _) = awkward().await;
        let files = write(&replica, &options()).await;
        let safe = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '=' | '.' | '/');
        for name in files.keys() {
            assert!(name.chars().all(safe), "{name}");
            assert!(name.split('/').all(|part| !part.starts_with('.') && !part.ends_with('.')));
        }
    });
}

#[test]
fn a_deleted_record_keeps_its_page_and_its_history() {
    block_on(async {
        let replica = replica(1).await;
        let key = replica.create("bug", title("It fails")).await.unwrap();
        replica.update(&key, title("It works")).await.unwrap();
        replica.delete(&key).await.unwrap();
        let files = write(&replica, &options()).await;
        let page = Shown::parse(&files[&record_file(&key)]);
        assert!(page.text.contains("This record is deleted."));
        assert!(page.text.contains("title: It fails → It works"));
        assert!(!page.text.contains("Properties"));
        let list = Shown::parse(&files["types/bug.html"]);
        assert!(list.text.contains("deleted") && list.text.contains(&key.id().to_string()));
        assert!(Shown::parse(&files["index.html"]).text.contains("bug01"));
    });
}

#[test]
fn a_contested_record_shows_who_wrote_what() {
    block_on(async {
        let ada = replica(1).await;
        let key = ada.create("bug", title("It fails")).await.unwrap();
        let identity =
            Identity { replica: ReplicaId::from_bytes([2; 16]), ..ada.store().facts().identity };
        let bob = Replica::clone_of(MemoryStore::new(identity), &ada).await.unwrap();
        let bob = bob.with_creator("bob").unwrap();
        ada.update(&key, title("Ada's")).await.unwrap();
        bob.update(&key, title("Bob's")).await.unwrap();
        ada.pull(&bob, PullOptions::new()).await.unwrap();
        let files = write(&ada, &options()).await;
        let page = Shown::parse(&files[&record_file(&key)]);
        let contested =
            page.text.split("Contested").nth(1).unwrap().split("History").next().unwrap();
        assert!(contested.contains("Not decided"));
        for (value, creator) in [("Ada's", "ada, "), ("Bob's", "bob, ")] {
            assert!(contested.contains(value) && contested.contains(creator), "{contested}");
        }
        assert!(Shown::parse(&files["types/bug.html"]).text.contains("contested"));
        assert!(Shown::parse(&files["index.html"]).text.contains("1 conflict is open."));

        use futures_lite::StreamExt as _;
        let conflict = ada.conflicts().next().await.unwrap().unwrap();
        ada.resolve(&conflict, Some(Value::from("Bob's"))).await.unwrap();
        let files = write(&ada, &options()).await;
        let page = Shown::parse(&files[&record_file(&key)]);
        assert!(page.text.contains("Decided: by majority of votes."), "{}", page.text);
        assert!(page.text.contains("title: voted for Bob's over Ada's"), "{}", page.text);
        assert!(Shown::parse(&files["index.html"]).text.contains("There are none."));
    });
}

#[test]
fn many_records_are_listed_on_numbered_pages() {
    block_on(async {
        let replica = replica(1).await;
        for record_type in ["bug", "bug.2", "person"] {
            let count = if record_type == "bug" { 1_001 } else { 1 };
            replica
                .edit(|edit| async move {
                    for number in 0..count {
                        edit.create(record_type, title(&format!("no. {number}"))).await?;
                    }
                    Ok(())
                })
                .await
                .unwrap();
        }
        let files = write(&replica, &options()).await;
        let lists: Vec<_> = files.keys().filter(|name| name.starts_with("types/")).collect();
        assert_eq!(
            lists,
            [
                "types/bug.2.html",
                "types/bug.3.html",
                "types/bug.html",
                "types/bug=2e2.html",
                "types/person.html"
            ]
        );
        let links = |name: &str| {
            let page = Shown::parse(&files[name]);
            let links: Vec<_> =
                page.hrefs().filter(|href| href.contains("types/")).map(str::to_owned).collect();
            (page.elements.iter().filter(|element| *element == "tr").count() - 1, links)
        };
        assert_eq!(links("types/bug.html"), (500, vec!["../types/bug.2.html".to_owned()]));
        let both = vec!["../types/bug.html".to_owned(), "../types/bug.3.html".to_owned()];
        assert_eq!(links("types/bug.2.html"), (500, both));
        assert_eq!(links("types/bug.3.html"), (1, vec!["../types/bug.2.html".to_owned()]));
        assert_eq!(links("types/person.html"), (1, vec![]));
    });
}

#[test]
fn an_empty_database_is_a_site() {
    block_on(async {
        let files = write(&replica(1).await, &options()).await;
        assert_eq!(files.keys().collect::<Vec<_>>(), ["feed.atom", "index.html", "style.css"]);
        assert!(Shown::parse(&files["index.html"]).text.contains("There are none."));
    });
}

#[test]
fn a_long_history_is_cut_at_its_beginning() {
    block_on(async {
        let replica = replica(1).await;
        let key = replica.create("bug", title("the very first")).await.unwrap();
        for number in 0..600 {
            replica.update(&key, title(&format!("no. {number}"))).await.unwrap();
        }
        let files = write(&replica, &options()).await;
        let page = Shown::parse(&files[&record_file(&key)]);
        assert!(page.text.contains("title: no. 598 → no. 599"));
        assert!(!page.text.contains("the very first"));
        assert!(page.text.contains("What happened earlier is not shown here."));
    });
}

#[test]
fn no_value_turns_what_is_around_it() {
    block_on(async {
        let replica = replica(1).await;
        let text = "\u{2067}one\ntwo\u{2069}\u{2069}three\u{2066}";
        let key = replica.create("bug", properties([("text", Value::from(text))])).await.unwrap();
        let page = Shown::parse(&write(&replica, &options()).await[&record_file(&key)]);
        let balanced = "\u{2067}one\u{2069}\ntwo\u{fffd}\u{fffd}three\u{2066}\u{2069}";
        assert_eq!(page.text.matches(balanced).count(), 2, "as a property, and in history");
    });
}

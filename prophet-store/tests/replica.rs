//! What an app author relies on, each rule by its name.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, reason = "what the tests of the engine share, not all of them use")]

mod support {
    pub(crate) mod store;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_store::*;
use serde::{Deserialize, Serialize};
use support::store::{Still, identity, name, names, properties};

fn replica() -> Replica {
    let options = Replica::options().environment(Still::default());
    block_on(options.open(MemoryStore::new(identity()))).unwrap()
}

async fn history(replica: &Replica, key: &RecordKey) -> Vec<String> {
    replica
        .history(key, Direction::Forward)
        .map(|entry| {
            let changes = entry.unwrap().changes;
            changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        })
        .collect()
        .await
}

#[test]
fn a_record_is_created_read_updated_and_deleted() {
    block_on(async {
        let replica = replica();
        let key = replica.create("person", name("Ada")).await.unwrap();
        assert_eq!(replica.get(&key).await.unwrap().unwrap().get("name"), Some(&"Ada".into()));
        replica.update(&key, properties([("age", 36.into())])).await.unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        assert_eq!(record.properties().len(), 2);
        assert_eq!(record.changed(), Position::new(2));
        replica.delete(&key).await.unwrap();
        assert_eq!(replica.get(&key).await.unwrap(), None);
        assert_eq!(
            history(&replica, &key).await,
            [
                "created, name: \"Ada\"",
                "age: 36",
                "deleted, age: 36 removed, name: \"Ada\" removed"
            ]
        );
    });
}

#[test]
fn typed_records_go_there_and_back() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Person {
        name: String,
        age: Option<u32>,
        tags: Vec<String>,
    }
    block_on(async {
        let replica = replica();
        let mut ada = Person { name: "Ada".into(), age: Some(36), tags: vec!["maths".into()] };
        let key = replica.create_from("person", &ada).await.unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        assert_eq!(record.to::<Person>().unwrap(), ada);
        ada.age = None;
        replica.update_from(&key, &ada).await.unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        assert_eq!(record.get("age"), None, "a field that is None removes its property");
        assert_eq!(record.to::<Person>().unwrap(), ada);
    });
}

#[test]
fn an_update_that_changes_nothing_makes_no_changeset() {
    block_on(async {
        let replica = replica();
        let key = replica.create("person", name("Ada")).await.unwrap();
        let before = replica.head().await.unwrap();
        assert_eq!(replica.update(&key, name("Ada")).await.unwrap(), None);
        assert_eq!(replica.head().await.unwrap(), before);
    });
}

#[test]
fn json_with_a_misspelt_name_is_no_query() {
    for json in [
        r#"{"type": "bug", "filtr": "all"}"#,
        r#"{"type": "bug", "order": [{"property": "a", "directoin": "backward"}]}"#,
        r#"{"type": "bug", "filter": {"in": {"property": "a", "values": [1], "x": 2}}}"#,
        r#"{"type": "bug", "after": {"id": "018f2d6e-7b1c-7000-8000-000000000001", "order": [],
            "x": 1}}"#,
    ] {
        let error = serde_json::from_str::<Query>(json).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{json}: {error}");
    }
}

#[test]
fn what_is_not_there_is_named_in_the_error() {
    block_on(async {
        let replica = replica();
        let missing =
            RecordKey::new(RecordType::new("person").unwrap(), RecordId::from_bytes([9; 16]));
        let error = replica.update(&missing, name("x")).await.unwrap_err();
        assert!(error.to_string().contains(&missing.to_string()), "{error}");
        let key = replica.create("person", name("Ada")).await.unwrap();
        replica.delete(&key).await.unwrap();
        let error = replica.delete(&key).await.unwrap_err();
        assert!(error.to_string().contains("undelete"), "{error}");
        let error = replica.create("_setting", name("x")).await.unwrap_err();
        assert!(matches!(error, Error::ReservedType { .. }), "{error}");
        let error = replica.as_of(Position::new(99)).await.unwrap_err();
        assert!(error.to_string().contains("ends at 2"), "{error}");
        let misfit = replica.create("person", Properties::try_from([("name", 7)]).unwrap());
        let key = misfit.await.unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        let error = record.to::<BTreeMap<String, String>>().unwrap_err().to_string();
        assert!(error.contains(&key.to_string()) && error.contains("name: "), "{error}");
        let error = replica.by_luid(7).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchLuid { luid: 7, .. }), "{error}");
        let error = replica.undo(Digest::from_bytes([1; 32])).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchChangeset { .. }), "{error}");
    });
}

#[test]
fn several_records_change_in_one_changeset_or_not_at_all() {
    block_on(async {
        let replica = replica();
        let edited = replica
            .edit(|edit| async move {
                let one = edit.create("person", name("One")).await?;
                let two = edit.create("person", name("Two")).await?;
                edit.update(&one, properties([("friend", (&two).into())])).await?;
                Ok(one)
            })
            .await
            .unwrap();
        assert_eq!(edited.changesets.len(), 1);
        let entry = replica.changeset(edited.changeset().unwrap()).await.unwrap();
        assert_eq!(entry.changeset.changes().len(), 2, "one change for each record");

        let head = replica.head().await.unwrap();
        let failed = replica
            .edit(|edit| async move {
                edit.create("person", name("Three")).await?;
                Err::<(), _>(Error::app("changed my mind"))
            })
            .await;
        assert_eq!(failed.unwrap_err().to_string(), "changed my mind");
        assert_eq!(replica.head().await.unwrap(), head);
    });
}

#[test]
fn an_edit_sees_what_it_has_done_itself() {
    block_on(async {
        let replica = replica();
        let key = replica.create("person", name("Ada")).await.unwrap();
        let edited = replica
            .edit(|edit| {
                let key = key.clone();
                async move {
                    edit.update(&key, name("Grace")).await?;
                    let seen = edit.get(&key).await?.unwrap();
                    edit.delete(&key).await?;
                    let gone = edit.get(&key).await?;
                    edit.undelete(&key).await?;
                    Ok((seen.get("name").cloned(), gone))
                }
            })
            .await
            .unwrap();
        assert_eq!(edited.value, (Some("Grace".into()), None));
        assert_eq!(edited.changesets.len(), 1, "it comes to one update");
        assert_eq!(replica.get(&key).await.unwrap().unwrap().get("name"), Some(&"Grace".into()));
    });
}

#[test]
fn creating_and_deleting_within_one_edit_comes_to_nothing() {
    block_on(async {
        let replica = replica();
        let edited = replica
            .edit(|edit| async move {
                let key = edit.create("person", name("Ada")).await?;
                edit.delete(&key).await
            })
            .await
            .unwrap();
        assert_eq!(edited.changesets, []);
    });
}

#[test]
fn many_changesets_share_one_commit() {
    block_on(async {
        let replica = replica();
        let edited = replica
            .edit(|edit| async move {
                for (creator, time) in [("ada", 2_000), ("grace", 1_000)] {
                    edit.begin_changeset(creator, Some(time))?;
                    edit.create("note", name(creator)).await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(edited.changesets.len(), 2);
        assert_eq!(replica.head().await.unwrap().version, Version::new(1));
        let log: Vec<_> = replica.log(None, Direction::Forward).try_collect().await.unwrap();
        let headers: Vec<_> = log
            .iter()
            .map(|entry: &LogEntry| entry.changeset.header())
            .map(|header| (header.creator.as_str(), header.time.millis()))
            .collect();
        assert_eq!(headers, [("ada", 2_000), ("grace", 1_000)]);
    });
}

#[test]
fn an_edit_is_over_when_its_closure_is() {
    block_on(async {
        let replica = replica();
        let kept = replica.edit(|edit| async move { Ok(edit) }).await.unwrap().value;
        let late = kept.create("person", name("Late")).await;
        assert!(matches!(late, Err(Error::EditOver)));
    });
}

#[test]
fn a_deleted_record_comes_back_as_it_was_or_anew() {
    block_on(async {
        let replica = replica();
        let both = properties([("name", "Ada".into()), ("age", 36.into())]);
        let key = replica.create("person", both).await.unwrap();
        replica.delete(&key).await.unwrap();
        replica.undelete(&key).await.unwrap();
        assert_eq!(replica.get(&key).await.unwrap().unwrap().properties().len(), 2);
        assert_eq!(
            history(&replica, &key).await.last().unwrap(),
            "undeleted, (settled) age: 36, (settled) name: \"Ada\""
        );
        replica.delete(&key).await.unwrap();
        replica
            .edit(|edit| {
                let key = key.clone();
                async move { edit.create_at(&key, name("Grace")).await }
            })
            .await
            .unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        assert_eq!(record.get("age"), None, "created anew, it has what it was given");
    });
}

#[test]
fn undo_takes_back_and_undoing_that_does_it_again() {
    block_on(async {
        let replica = replica();
        let key = replica.create("person", name("Ada")).await.unwrap();
        let renamed = replica.update(&key, name("Grace")).await.unwrap().unwrap();
        let undone = replica.undo(renamed).await.unwrap().unwrap();
        assert_eq!(replica.get(&key).await.unwrap().unwrap().get("name"), Some(&"Ada".into()));
        let entry = replica.changeset(undone).await.unwrap();
        assert!(matches!(
            entry.changeset.payload(),
            Payload::Undo { undone, .. } if *undone == renamed
        ));
        replica.undo(undone).await.unwrap();
        assert_eq!(replica.get(&key).await.unwrap().unwrap().get("name"), Some(&"Grace".into()));

        let deleted = replica.delete(&key).await.unwrap().unwrap();
        replica.undo(deleted).await.unwrap();
        assert_eq!(replica.get(&key).await.unwrap().unwrap().get("name"), Some(&"Grace".into()));
    });
}

#[test]
fn undo_refuses_where_a_later_edit_would_be_lost() {
    block_on(async {
        let replica = replica();
        let key = replica.create("person", name("Ada")).await.unwrap();
        let created = replica.log(None, Direction::Forward).next().await.unwrap().unwrap();
        let renamed = replica.update(&key, name("Grace")).await.unwrap().unwrap();
        replica.update(&key, properties([("age", 36.into())])).await.unwrap();
        replica.undo(renamed).await.expect("nobody wrote the name since");
        let error = replica.undo(renamed).await.unwrap_err();
        assert!(error.to_string().contains("property \"name\""), "{error}");
        let error = replica.undo(created.changeset.digest()).await.unwrap_err();
        assert!(error.to_string().contains("existence"), "{error}");
        let head = replica.head().await.unwrap();
        assert_eq!(head.position, Position::new(4), "what was refused wrote nothing");
        let aged = replica.update(&key, properties([("age", 37.into())])).await.unwrap().unwrap();
        replica.delete(&key).await.unwrap();
        let error = replica.undo(aged).await.unwrap_err();
        assert!(error.to_string().contains("deleted since"), "{error}");
    });
}

#[test]
fn the_past_can_be_read_record_by_record_and_found() {
    block_on(async {
        let replica = replica();
        let ada = replica.create("person", name("Ada")).await.unwrap();
        let bob = replica.create("person", name("Bob")).await.unwrap();
        replica.update(&ada, name("Augusta")).await.unwrap();
        replica.delete(&bob).await.unwrap();
        let people = Query::of("person").unwrap().order_by("name", Direction::Forward).unwrap();
        let then = replica.as_of(Position::new(2)).await.unwrap();
        assert_eq!(names(then.find(&people)).await, ["Ada", "Bob"]);
        assert_eq!(then.count(&people).await.unwrap(), 2);
        assert_eq!(then.get(&ada).await.unwrap().unwrap().changed(), Position::new(1));
        let start = replica.as_of(Position::ZERO).await.unwrap();
        assert_eq!(start.get(&ada).await.unwrap(), None);
        assert_eq!(names(replica.find(&people)).await, ["Augusta"]);
    });
}

#[test]
fn diff_names_what_differs_in_either_direction() {
    block_on(async {
        let replica = replica();
        let ada = replica.create("person", name("Ada")).await.unwrap();
        replica.update(&ada, name("Grace")).await.unwrap();
        replica.update(&ada, name("Ada")).await.unwrap();
        replica.update(&ada, properties([("age", 36.into())])).await.unwrap();
        let (one, four) = (Position::new(1), Position::new(4));
        let diff = replica.diff(one, four).await.unwrap();
        assert_eq!(diff.len(), 1);
        assert_eq!(diff[0].registers.len(), 1, "the name came back to what it was: {diff:?}");
        assert_eq!(diff[0].registers[0].new, Some(36.into()));
        let back = replica.diff(four, one).await.unwrap();
        assert_eq!(back[0].registers[0].old, Some(36.into()));
        assert_eq!(replica.diff(four, four).await.unwrap(), []);
    });
}

#[test]
fn queries_filter_order_limit_and_go_on() {
    block_on(async {
        let replica = replica();
        for (text, age) in [("d", 3), ("a", 1), ("c", 1), ("b", 2)] {
            let person = properties([("name", text.into()), ("age", age.into())]);
            replica.create("person", person).await.unwrap();
        }
        replica.create("person", name("e")).await.unwrap();
        replica.create("animal", name("z")).await.unwrap();
        let by_age = Query::of("person")
            .unwrap()
            .order_by("age", Direction::Backward)
            .unwrap()
            .order_by("name", Direction::Forward)
            .unwrap();
        assert_eq!(names(replica.find(&by_age)).await, ["e", "d", "b", "a", "c"]);
        let first = by_age.clone().limit(2);
        let page: Vec<Record> = replica.find(&first).try_collect().await.unwrap();
        let rest = first.clone().limit(9).after(Replica::cursor(&first, &page[1]));
        assert_eq!(names(replica.find(&rest)).await, ["b", "a", "c"]);
        let young = Query::of("person").unwrap().filter(property("age").unwrap().lt(3));
        assert_eq!(replica.count(&young).await.unwrap(), 3);
        let odd = replica.find_where(&young, |record| record.get("name") != Some(&"a".into()));
        assert_eq!(odd.collect::<Vec<_>>().await.len(), 2);
        let counts = replica.record_types().await.unwrap();
        let counts: Vec<_> = counts.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(counts, [("animal", 1), ("person", 5)]);
    });
}

#[test]
fn a_cursor_is_for_the_order_it_comes_from() {
    block_on(async {
        let replica = replica();
        for text in ["a", "b", "c"] {
            replica.create("person", name(text)).await.unwrap();
        }
        let plain = Query::of("person").unwrap();
        let first: Record = replica.find(&plain).next().await.unwrap().unwrap();
        let rest = plain.clone().after(Replica::cursor(&plain, &first));
        assert_eq!(names(replica.find(&rest)).await, ["b", "c"]);
        assert_eq!(replica.count(&rest.limit(1)).await.unwrap(), 3, "all that satisfy it");
        let by_name = plain.clone().order_by("name", Direction::Backward).unwrap();
        let wrong = by_name.after(Replica::cursor(&plain, &first));
        let error = replica.find(&wrong).next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::CursorOfAnotherOrder), "{error}");
    });
}

#[test]
fn undo_goes_back_whatever_the_rules_say_now() {
    block_on(async {
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity()));
        let free = Replica::options().open_shared(store.clone()).await.unwrap();
        let key = free.create("person", name("ada")).await.unwrap();
        let rules = RecordRules::new()
            .canonicalize("name", |_| "ADA".into())
            .unwrap()
            .validate("name", |value| match value {
                Some(Value::Text(name)) if name == "ADA" => Ok(()),
                _ => Err("must be ADA".to_owned()),
            })
            .unwrap();
        let options = Replica::options().rules("person", rules).unwrap();
        let ruled = options.open_shared(store.clone()).await.unwrap();
        let changed = ruled.update(&key, name("any")).await.unwrap().unwrap();
        ruled.undo(changed).await.unwrap();
        assert_eq!(ruled.get(&key).await.unwrap().unwrap().get("name"), Some(&"ada".into()));
    });
}

#[test]
fn references_are_followed_one_by_one_backwards_and_joined() {
    block_on(async {
        let replica = replica();
        let bug = replica.create("bug", name("It fails")).await.unwrap();
        for text in ["first", "second"] {
            let comment = properties([("name", text.into()), ("bug", (&bug).into())]);
            replica.create("comment", comment).await.unwrap();
        }
        replica.create("comment", name("about nothing")).await.unwrap();
        let comments = replica.referring("comment", "bug", &bug).unwrap();
        assert_eq!(names(comments).await, ["first", "second"]);
        let query = Query::of("comment").unwrap();
        let joined: Vec<Joined> = replica.join(&query, "bug").unwrap().try_collect().await.unwrap();
        let bugs: Vec<_> = joined.iter().map(|(_, bug)| bug.is_some()).collect();
        assert_eq!(bugs, [true, true, false]);
        let followed = replica.follow(&joined[0].0, "bug").await.unwrap().unwrap();
        assert_eq!(followed.key(), &bug);
    });
}

#[test]
fn luids_are_short_stable_and_local() {
    block_on(async {
        let replica = replica();
        let one = replica.create("person", name("One")).await.unwrap();
        let two = replica.create("person", name("Two")).await.unwrap();
        let log = replica.head().await.unwrap().position;
        assert_eq!(replica.luids(std::slice::from_ref(&two)).await.unwrap(), [1]);
        assert_eq!(
            replica.luids(&[one.clone(), two.clone(), one.clone()]).await.unwrap(),
            [2, 1, 2]
        );
        assert_eq!(replica.by_luid(2).await.unwrap(), one);
        assert_eq!(replica.head().await.unwrap().position, log, "luids are not replicated");
    });
}

#[test]
fn settings_are_replicated_records_with_history() {
    block_on(async {
        let replica = replica();
        let settings = replica.settings();
        settings.set("title", "Bugs".into()).await.unwrap();
        settings.set("title", "Our bugs".into()).await.unwrap();
        settings.set("statuses", Value::List(vec!["new".into()])).await.unwrap();
        assert_eq!(settings.get("title").await.unwrap(), Some("Our bugs".into()));
        assert_eq!(settings.list().await.unwrap().len(), 2);
        assert!(settings.remove("title").await.unwrap().is_some());
        assert!(settings.remove("title").await.unwrap().is_none());
        settings.set("title", "Again".into()).await.unwrap();
        let key = settings.key("title").unwrap();
        assert_eq!(history(&replica, &key).await.len(), 4);
        assert_eq!(replica.record_types().await.unwrap().len(), 0, "they are Prophet's own");
    });
}

#[test]
fn rules_default_canonicalize_and_report_everything_at_once() {
    block_on(async {
        let needed =
            |value: Option<&Value>| value.map(|_| ()).ok_or_else(|| "is needed".to_owned());
        let rules = RecordRules::new()
            .default("status", || "new".into())
            .unwrap()
            .canonicalize("name", |value| match value {
                Value::Text(text) => text.trim().into(),
                other => other.clone(),
            })
            .unwrap()
            .validate("name", needed)
            .unwrap()
            .validate("age", needed)
            .unwrap()
            .validate_record(|record| match record.get("name") == record.get("nick") {
                true => vec!["name and nick are the same".to_owned()],
                false => Vec::new(),
            });
        let options = Replica::options().rules("person", rules).unwrap();
        let replica = options.open(MemoryStore::new(identity())).await.unwrap();
        let refused = replica
            .edit(|edit| async move {
                edit.create("person", Properties::new()).await?;
                edit.create("person", name("Ada")).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        let Error::Rejected(problems) = &refused else { panic!("{refused}") };
        assert_eq!(problems.len(), 4, "{refused}");
        assert_eq!(replica.head().await.unwrap(), Head::EMPTY);
        let person = properties([("name", "  Ada ".into()), ("age", 36.into())]);
        let key = replica.create("person", person).await.unwrap();
        let record = replica.get(&key).await.unwrap().unwrap();
        assert_eq!(record.get("name"), Some(&"Ada".into()));
        assert_eq!(record.get("status"), Some(&"new".into()));
        replica.update(&key, Properties::new().absent("age").unwrap()).await.unwrap_err();
    });
}

#[test]
fn what_is_too_large_is_refused_with_the_limit_and_the_size() {
    block_on(async {
        let replica = replica();
        let large = "x".repeat(limits::VALUE_BYTES as usize);
        let error = replica.create("note", name(&large)).await.unwrap_err();
        let expected = format!("at most {} are allowed", limits::VALUE_BYTES);
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(error.to_string().contains("property \"name\""), "{error}");
        let deep = (0..limits::VALUE_DEPTH).fold(Value::from(1), |deep, _| vec![deep].into());
        let error = replica.create("note", properties([("name", deep)])).await.unwrap_err();
        assert!(error.to_string().contains("65 levels of nesting"), "{error}");
        assert_eq!(replica.head().await.unwrap(), Head::EMPTY, "nothing was written");
    });
}

#[test]
fn watch_gives_what_is_committed_here_and_elsewhere() {
    block_on(async {
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity()));
        let open = |drawn: u64| {
            let environment = Still { drawn: drawn.into(), ..Still::default() };
            Replica::options().environment(environment).open_shared(store.clone())
        };
        let (here, elsewhere) = (open(0).await.unwrap(), open(1_000).await.unwrap());
        here.create("person", name("before")).await.unwrap();
        let mut watched = here.watch(Position::ZERO, Duration::from_millis(1));
        let mut next = async || watched.next().await.unwrap().unwrap().position.get();
        assert_eq!(next().await, 1);
        elsewhere.create("person", name("elsewhere")).await.unwrap();
        assert_eq!(next().await, 2);
        let waiting = async { next().await };
        let writing = async {
            here.create("person", name("here")).await.unwrap();
        };
        let (position, ()) = futures_lite::future::zip(waiting, writing).await;
        assert_eq!(position, 3);
    });
}

#[test]
fn two_handles_on_one_store_take_turns_and_lose_nothing() {
    block_on(async {
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity()));
        let open = || Replica::options().open_shared(store.clone());
        let (one, two) = (open().await.unwrap(), open().await.unwrap());
        let key = one.create("counter", properties([("n", 0.into())])).await.unwrap();
        let increment = async |replica: &Replica| {
            let key = &key;
            replica
                .edit(|edit| async move {
                    let n = edit.get(key).await?.unwrap().get("n").unwrap().as_integer().unwrap();
                    edit.update(key, properties([("n", (n + 1).into())])).await
                })
                .await
                .unwrap();
        };
        for _ in 0..20 {
            increment(&one).await;
            increment(&two).await;
        }
        let record = one.get(&key).await.unwrap().unwrap();
        assert_eq!(record.get("n"), Some(&40.into()));
        let report = store.audit().await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.entries, 41);
    });
}

#[test]
fn an_edit_that_changes_nothing_is_judged_by_what_others_have_committed() {
    block_on(async {
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity()));
        let open = || Replica::options().open_shared(store.clone());
        let (one, two) = (open().await.unwrap(), open().await.unwrap());
        let key = one.create("person", name("Ada")).await.unwrap();
        two.update(&key, name("Grace")).await.unwrap();
        assert!(one.update(&key, name("Ada")).await.unwrap().is_some(), "she was Grace by then");
        two.delete(&key).await.unwrap();
        let error = one.update(&key, name("Ada")).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchRecord { deleted: true, .. }), "{error}");
        one.undelete(&key).await.unwrap();
        assert!(two.delete(&key).await.unwrap().is_some(), "it was not deleted any more");
    });
}

#[test]
fn edits_from_many_threads_all_arrive() {
    let store = Arc::new(MemoryStore::new(identity()));
    let replica = block_on(Replica::options().open_shared(store.clone())).unwrap();
    let key = block_on(replica.create("counter", properties([("n", 0.into())]))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let increment = replica.edit(|edit| {
                        let key = key.clone();
                        async move {
                            let counter = edit.get(&key).await?.unwrap();
                            let n = counter.get("n").and_then(Value::as_integer).unwrap();
                            edit.update(&key, properties([("n", (n + 1).into())])).await
                        }
                    });
                    block_on(increment).unwrap();
                }
            });
        }
    });
    let counter = block_on(replica.get(&key)).unwrap().unwrap();
    assert_eq!(counter.get("n"), Some(&400.into()));
    assert!(block_on(store.audit()).unwrap().is_sound());
}

#[test]
fn a_copy_in_another_store_is_the_same_replica() {
    block_on(async {
        let store = Arc::new(MemoryStore::new(identity()));
        let replica = Replica::options().open_shared(store.clone()).await.unwrap();
        let key = replica.create("person", name("Ada")).await.unwrap();
        replica.update(&key, name("Grace")).await.unwrap();
        replica.delete(&key).await.unwrap();
        replica.luids(&[key]).await.unwrap();
        let copy = MemoryStore::new(identity());
        store.copy_to(&copy).await.unwrap();
        let all = async |store: &MemoryStore| {
            let records: Vec<_> = store.stream_records(RecordScan::default()).collect().await;
            let log: Vec<_> = store.stream_log(LogScan::default()).collect().await;
            let metadata: Vec<_> = store.stream_metadata(MetadataScan::default()).collect().await;
            format!("{records:?} {log:?} {metadata:?}")
        };
        assert_eq!(all(&store).await, all(&copy).await);
        assert!(copy.audit().await.unwrap().is_sound());
        let again = store.copy_to(&copy).await.unwrap_err();
        assert!(again.to_string().contains("empty store"), "{again}");
    });
}

#[test]
fn a_commit_is_built_again_when_somebody_else_was_first() {
    block_on(async {
        let store: Arc<dyn ReplicaStore> = Arc::new(MemoryStore::new(identity()));
        let commit = |id: u8, head: Head, value: u8| {
            let commit = Commit::new(CommitId::from_bytes([id; 16]), head);
            commit.with_metadata(MetadataKey::new("key").unwrap(), Some(vec![value])).unwrap()
        };
        let mut built = 0;
        let head = store.commit_with(|head| {
            built += 1;
            let (store, built) = (&store, built);
            async move {
                if built == 1 {
                    store.commit(&commit(9, head, 9)).await?;
                }
                Ok(Some(commit(built, head, built)))
            }
        });
        let head = head.await.unwrap().unwrap();
        assert_eq!((built, head.version), (2, Version::new(2)));
        let pairs: Vec<_> =
            store.stream_metadata(MetadataScan::default()).try_collect().await.unwrap();
        assert_eq!(pairs, [(MetadataKey::new("key").unwrap(), vec![2])]);
        let none = store.commit_with(|_| async { Ok(None) }).await.unwrap();
        assert_eq!(none, None, "it may find that there is nothing to do");
    });
}

#[test]
fn resolutions_are_streamed_page_after_page() {
    block_on(async {
        let store = MemoryStore::new(identity());
        let record = RecordKey::new(RecordType::new("bug").unwrap(), RecordId::from_bytes([1; 16]));
        let mut commit = Commit::new(CommitId::from_bytes([1; 16]), Head::EMPTY);
        for number in 0..7u8 {
            let register = RegisterName::Property(PropertyName::new("title").unwrap());
            let candidates = vec![None, Some(i64::from(number).into())];
            let vote = Vote::new(record.clone(), register, candidates, None, Vec::new()).unwrap();
            let changeset = Digest::from_bytes([number; 32]);
            let voter = identity().replica;
            let resolution = Resolution { changeset, voter, sequence: Sequence::FIRST, vote };
            commit = commit.with_resolution(resolution).unwrap();
        }
        store.commit(&commit).await.unwrap();
        let scan = ResolutionScan { limit: PageLimit::items(2), ..ResolutionScan::default() };
        let streamed: Vec<_> = store.stream_resolutions(scan).try_collect().await.unwrap();
        assert_eq!(streamed.len(), 7);
        let conflicts: Vec<_> = streamed.iter().map(Resolution::conflict).collect();
        assert!(conflicts.is_sorted_by(|one, other| one < other), "by conflict, each once");
    });
}

#[test]
fn edits_can_be_spawned_on_any_executor() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let replica = replica();
    let key = block_on(is_send(replica.create("person", name("Ada")))).unwrap();
    block_on(is_send(replica.update(&key, name("Grace")))).unwrap();
    block_on(is_send(replica.find(&Query::of("person").unwrap()).next())).unwrap().unwrap();
    block_on(is_send(replica.undo(Digest::from_bytes([0; 32])))).unwrap_err();
    let edited = replica.edit(|edit| {
        let key = &key;
        async move {
            let seen = edit.get(key).await?;
            edit.update(key, name("Ada")).await?;
            Ok(seen)
        }
    });
    assert!(block_on(is_send(edited)).unwrap().value.is_some());
    block_on(is_send(replica.watch(Position::ZERO, Duration::ZERO).next())).unwrap().unwrap();
    block_on(is_send(replica.store().audit())).unwrap();
}

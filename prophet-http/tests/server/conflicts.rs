//! Conflicts over HTTP: found, understood and decided.

use prophet_store::{Identity, MemoryStore, Properties, PullOptions, RecordKey, Replica, Value};
use serde_json::{Value as Json, json};

use crate::support::{NOBODY, Server, send};

/// A server with a bug on whose status two replicas disagree, and that bug.
async fn contested() -> (Server, Replica, RecordKey) {
    let server = Server::open().await;
    let id = server.bug(r#"{"status": "new", "title": "x"}"#).await;
    let key: RecordKey = format!("bug/{id}").parse().unwrap();
    let database = server.replica.store().facts().identity.database;
    let other = MemoryStore::new(Identity::new_replica(database).unwrap());
    let other = Replica::clone_of(other, &server.replica).await.unwrap();
    let status = |status| Properties::try_from([("status", status)]).unwrap();
    other.update(&key, status("fixed")).await.unwrap();
    server.replica.update(&key, status("invalid")).await.unwrap();
    server.replica.pull(&other, PullOptions::new()).await.unwrap();
    (server, other, key)
}

fn decision(conflict: &Json, choice: Json) -> String {
    json!({ "conflict": conflict["id"], "choice": choice }).to_string()
}

#[tokio::test]
async fn a_conflict_is_listed_explained_and_decided_by_a_vote() {
    let (server, other, key) = contested().await;
    let path = format!("/conflicts/{key}.json");
    let all = server.get("/conflicts.json").await.json();
    assert_eq!((&all["more"], all["conflicts"].as_array().unwrap().len()), (&json!(false), 1));
    let conflict = &all["conflicts"][0];
    assert_eq!(conflict["record"], key.to_string());
    assert_eq!((&conflict["property"], &conflict["open"]), (&json!("status"), &json!(true)));
    let values = conflict["candidates"].as_array().unwrap().iter().map(|it| it["value"].clone());
    assert_eq!(values.collect::<Vec<_>>(), [json!("fixed"), json!("invalid")]);
    assert_eq!(server.get(&path).await.json()["conflicts"][0], *conflict);
    let listed = server.get("/records/bug.json?contested=true").await.json();
    assert_eq!(listed["records"][0]["contested"], json!(["status"]));

    let why = server.get(&format!("/why/{key}/status.json")).await.json();
    assert_eq!((&why["conflict"], &why["rule"]), (&conflict["id"], &json!("latest write")));
    assert!(why["text"].as_str().unwrap().contains("would decide for it"), "{why}");
    assert_eq!(why["flips"][0], json!({ "value": "fixed", "votes": 1 }));

    let decided = server.send("POST", &path, &decision(conflict, json!("fixed"))).await;
    assert_eq!(decided.status, 200, "{decided:?}");
    assert!(decided.json()["changeset"].is_string());
    let left = &decided.json()["conflicts"][0];
    assert_eq!((&left["open"], &left["rule"]), (&json!(false), &json!("majority")));
    let again = server.send("POST", &path, &decision(conflict, json!("fixed"))).await;
    assert_eq!(again.json()["changeset"], json!(null), "it has voted so already");
    assert_eq!(server.get("/conflicts.json").await.json()["conflicts"], json!([]));
    assert_eq!(server.get(&format!("/records/{key}/status.json")).await.json(), json!("fixed"));

    other.pull(&server.replica, PullOptions::new()).await.unwrap();
    let bug = other.get(&key).await.unwrap().unwrap();
    assert_eq!(bug.get("status"), Some(&Value::from("fixed")), "the vote travels");
}

#[tokio::test]
async fn any_other_value_is_written_in_their_place() {
    let (server, _, key) = contested().await;
    let path = format!("/conflicts/{key}.json");
    let conflict = &server.get(&path).await.json()["conflicts"][0];
    let decided = server.send("POST", &path, &decision(conflict, json!(null))).await;
    assert_eq!((decided.status, &decided.json()["conflicts"]), (200, &json!([])));
    server.get(&format!("/records/{key}/status.json")).await.is(404, "not-found");
    server.send("POST", &path, &decision(conflict, json!("x"))).await.is(404, "not-found");
}

#[tokio::test]
async fn whether_a_record_exists_can_be_decided() {
    let (server, other, key) = contested().await;
    other.delete(&key).await.unwrap();
    server.replica.pull(&other, PullOptions::new()).await.unwrap();
    let path = format!("/conflicts/{key}.json");
    let conflicts = server.get(&path).await.json();
    let conflicts = conflicts["conflicts"].as_array().unwrap();
    let existence = conflicts.iter().find(|it| it["property"].is_null()).unwrap();
    let why = server.get(&format!("/why/{key}.json")).await.json();
    assert_eq!((&why["existence"], &why["rule"]), (&json!("alive"), &json!("alive")));
    server.send("POST", &path, &decision(existence, json!("x"))).await.is(422, "invalid");
    let decided = server.send("POST", &path, &decision(existence, json!(false))).await;
    assert_eq!(decided.status, 200, "{decided:?}");
    server.get(&format!("/records/{key}.json")).await.is(404, "not-found");
}

#[tokio::test]
async fn what_is_no_decision_is_refused() {
    let (server, _, key) = contested().await;
    let path = format!("/conflicts/{key}.json");
    let id = server.get(&path).await.json()["conflicts"][0]["id"].clone();
    for bad in [
        json!({ "conflict": id }),
        json!({ "choice": 1 }),
        json!({}),
        json!([]),
        json!(null),
        json!({ "conflict": "x", "choice": 1 }),
        json!({ "conflict": id, "choice": 1, "x": 1 }),
    ] {
        server.send("POST", &path, &bad.to_string()).await.is(400, "malformed");
    }
    let other = json!({ "conflict": "0".repeat(64), "choice": 1 }).to_string();
    server.send("POST", &path, &other).await.is(404, "not-found");
    server
        .send("POST", &format!("/conflicts/bug/{NOBODY}.json"), &other)
        .await
        .is(404, "not-found");
    let form =
        server.ask("POST", &path).header("content-type", "application/x-www-form-urlencoded");
    send(form.body("conflict=x&choice=y")).await.is(415, "unsupported-media-type");
}

#[tokio::test]
async fn what_nobody_wrote_has_no_reasons() {
    let server = Server::open().await;
    let why = server.get(&format!("/why/bug/{NOBODY}/status.json")).await.json();
    assert_eq!((&why["existence"], &why["rule"]), (&json!("never"), &json!(null)));
    let none = server.get(&format!("/conflicts/bug/{NOBODY}.json")).await.json();
    assert_eq!(none, json!({ "conflicts": [] }));
    server.get("/conflicts.json?limit=0").await.is(400, "malformed");
}

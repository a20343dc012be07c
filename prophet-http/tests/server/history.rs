//! What happened, told over HTTP.

use serde_json::{Value as Json, json};

use crate::support::{NOBODY, Server};

fn positions(items: &Json) -> Vec<u64> {
    items.as_array().unwrap().iter().map(|item| item["position"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_history_of_a_record_is_told_in_pages() {
    let server = Server::open().await;
    let id = server.bug(r#"{"status": "new"}"#).await;
    server.bug("{}").await;
    let record = format!("/records/bug/{id}.json");
    server.send("PATCH", &record, r#"{"status": "fixed"}"#).await;
    server.send("PATCH", &record, r#"{"status": null}"#).await;
    reqwest_delete(&server, &record).await;

    let path = format!("/history/bug/{id}.json");
    let page = server.get(&path).await.json();
    assert_eq!((positions(&page["history"]), &page["next"]), (vec![5, 4, 3, 1], &json!(null)));
    let fixed = &page["history"][2];
    assert_eq!(fixed["creator"], "server@example.org");
    assert_eq!((&fixed["kind"], &fixed["arrived"]), (&json!("edit"), &json!(false)));
    let change = json!({
        "step": "change", "property": "status", "old": "new", "new": "fixed", "rule": null
    });
    assert_eq!(fixed["changes"], json!([change]));

    let page = server.get(&format!("{path}?first=oldest&limit=2")).await.json();
    assert_eq!((positions(&page["history"]), &page["next"]), (vec![1, 3], &json!(3)));
    let page = server.get(&format!("{path}?first=oldest&limit=2&after=3")).await.json();
    assert_eq!(positions(&page["history"]), [4, 5]);
    let page = server.get(&format!("{path}?after=4")).await.json();
    assert_eq!(positions(&page["history"]), [3, 1]);

    server.get(&format!("/history/bug/{NOBODY}.json")).await.is(404, "not-found");
    server.get(&format!("{path}?first=last")).await.is(400, "malformed");
}

async fn reqwest_delete(server: &Server, path: &str) {
    assert_eq!(crate::support::send(server.ask("DELETE", path)).await.status, 204);
}

#[tokio::test]
async fn the_log_is_told_in_pages() {
    let server = Server::open().await;
    assert_eq!(server.get("/log.json").await.json(), json!({ "entries": [], "last": 0 }));
    for _ in 0..5 {
        server.bug(r#"{"status": "new"}"#).await;
    }
    let page = server.get("/log.json?limit=2").await.json();
    assert_eq!((positions(&page["entries"]), &page["last"]), (vec![5, 4], &json!(4)));
    let page = server.get("/log.json?limit=2&after=4").await.json();
    assert_eq!(positions(&page["entries"]), [3, 2]);
    let page = server.get("/log.json?first=oldest&after=3").await.json();
    assert_eq!(positions(&page["entries"]), [4, 5]);
    let entry = &page["entries"][0];
    assert_eq!(entry["changes"][0]["properties"]["status"]["new"], "new");
    assert_eq!(entry["digest"].as_str().unwrap().len(), 64);
    server.get("/log.json?after=x").await.is(400, "malformed");
}

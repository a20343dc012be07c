//! Records of a type, found by conditions, in an order, a page at a time.

use serde_json::{Value as Json, json};

use crate::support::Server;

fn ranks(page: &Json) -> Vec<i64> {
    let records = page["records"].as_array().unwrap();
    records.iter().map(|record| record["properties"]["rank"].as_i64().unwrap()).collect()
}

async fn filled(count: i64) -> Server {
    let server = Server::open().await;
    for rank in 0..count {
        let status = if rank % 2 == 0 { "open" } else { "fixed" };
        server.bug(&json!({ "rank": rank, "status": status, "title": "CLI" }).to_string()).await;
    }
    server
}

#[tokio::test]
async fn conditions_orders_and_limits() {
    let server = filled(10).await;
    for (query, expected) in [
        ("where=rank%3E%3D8&order=rank", vec![8, 9]),
        ("where=status%3Dopen&order=rank:desc&limit=2", vec![8, 6]),
        ("where=status%3Dopen&where=rank%3C3&order=rank", vec![0, 2]),
        ("order=status&order=rank:desc&limit=3", vec![9, 7, 5]),
        ("where=title~%5EC&where=!owner&order=rank:asc&limit=1", vec![0]),
        ("where=owner", vec![]),
        ("contested=true", vec![]),
        ("contested=false&order=rank&limit=1", vec![0]),
    ] {
        let page = server.get(&format!("/records/bug.json?{query}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(ranks(&page.json()), expected, "{query}");
    }
    let nothing = server.get("/records/nothing.json").await;
    assert_eq!(nothing.json(), json!({ "records": [], "next": null }));
}

#[tokio::test]
async fn pages_hold_every_record_once() {
    let server = filled(25).await;
    for order in ["", "&order=rank", "&order=status:desc&order=rank"] {
        let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page =
                server.get(&format!("/records/bug.json?limit=7{order}{cursor}")).await.json();
            all.extend(ranks(&page));
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages, 4, "{order}");
        if order == "&order=rank" {
            assert!(all.is_sorted());
        }
        all.sort_unstable();
        assert_eq!(all, (0..25).collect::<Vec<_>>(), "{order}");
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_records_unless_the_query_says() {
    let server = filled(101).await;
    let page = server.get("/records/bug.json").await.json();
    assert_eq!(page["records"].as_array().unwrap().len(), 100);
    let all = server.get("/records/bug.json?limit=1000").await.json();
    assert_eq!(all["records"].as_array().unwrap().len(), 101);
    assert_eq!(all["next"], json!(null));
}

#[tokio::test]
async fn a_page_ends_when_it_has_enough_bytes() {
    let server = Server::open().await;
    for _ in 0..6 {
        server.bug(&json!({ "text": "x".repeat(3 << 20) }).to_string()).await;
    }
    let page = server.get("/records/bug.json").await;
    assert!(page.text.len() < 10 << 20);
    let page = page.json();
    assert_eq!(page["records"].as_array().unwrap().len(), 3);
    let next = page["next"].as_str().unwrap();
    let rest = server.get(&format!("/records/bug.json?cursor={next}")).await.json();
    assert_eq!(rest["records"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = filled(2).await;
    let page = server.get("/records/bug.json?limit=1&order=rank").await.json();
    let of_another_order = format!("order=status&cursor={}", page["next"].as_str().unwrap());
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=1&limit=2",
        "wehre=a",
        "where=",
        "where=a~(",
        "order=",
        "cursor=x",
        "contested=maybe",
        "at=x",
        &of_another_order,
        "at=1&contested=true",
    ] {
        server.get(&format!("/records/bug.json?{query}")).await.is(400, "malformed");
    }
}

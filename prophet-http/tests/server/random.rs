//! Random requests: never an answer that blames the server, never a panic, always a problem that says
//! what is wrong.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt as _;
use prophet_http::server::{ServerOptions, router};
use proptest::prelude::*;
use proptest::sample::select;
use tower::ServiceExt as _;

use crate::support::{NOBODY, replica};

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec!["bug", "status", "a%2Fb", "_setting", "%00", "%ff", "%F0%9F%90%9B", "..", ""])
            .prop_map(str::to_owned),
        3 => Just(NOBODY.to_owned()),
        1 => "[a-z%/.~]{0,12}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let roots = vec![
        "/records",
        "/history",
        "/conflicts",
        "/why",
        "/log",
        "/changes",
        "/health",
        "/openapi",
        "/replica",
        "/sync/pull",
        "/store/commit",
        "",
    ];
    let end = select(vec![".json", "", ".JSON", "/", ".json.json"]);
    (select(roots), prop::collection::vec(part(), 0..4), end).prop_map(|(root, parts, end)| {
        let parts: String = parts.iter().map(|part| format!("/{part}")).collect();
        format!("{root}{parts}{end}")
    })
}

fn query() -> impl Strategy<Value = String> {
    let name = select(vec![
        "where",
        "order",
        "limit",
        "cursor",
        "contested",
        "at",
        "after",
        "first",
        "x",
        "",
    ]);
    let value = prop_oneof![
        select(vec![
            "1",
            "0",
            "-1",
            "true",
            "oldest",
            "status%3Dopen",
            "a~(",
            "a:desc",
            "e30",
            "%ff",
            "18446744073709551616",
            "9007199254740991",
            "a%3E%3D1e999",
            "!",
            "%22",
            "a~^(x%2B)%2B$",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,10}".prop_map(|text| text.bytes().map(|byte| format!("%{byte:02x}")).collect()),
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    })
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = select(vec![
        "content-type",
        "if-match",
        "if-none-match",
        "authorization",
        "accept",
        "last-event-id",
        "range",
        "if-range",
        "origin",
        "host",
        "content-length",
        "x-forwarded-for",
    ]);
    let value = prop_oneof![
        select(vec![
            &b"application/json"[..],
            b"application/x-www-form-urlencoded",
            b"text/plain",
            b"*",
            b"\"1-abc\"",
            b"W/\"\"",
            b"Bearer x",
            b"bytes=0-1",
            b"1",
            b"localhost",
            b"\xff",
            b"",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec((name, value), 0..4)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(vec![
            "{}",
            "{\"a\":1}",
            "{\"a\":null}",
            "null",
            "[1,{\"$bytes\":\"aGk=\"}]",
            "a=1&b=2",
            "{",
            "{\"conflict\":\"00\",\"choice\":1}",
            "{\"a\":{\"$map\":{\"$\":1}}}",
            "value=1",
            "\"x\"",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
        "[\\[{\\]}\"$a:,0-9.eE+-]{0,40}".prop_map(String::into_bytes),
    ]
}

fn requests() -> impl Strategy<Value = Vec<Request<Vec<u8>>>> {
    let method = prop_oneof![
        9 => select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]).prop_map(str::to_owned),
        1 => "[A-Z]{1,8}",
    ];
    let request = (method, path(), query(), headers(), body());
    let request = request.prop_filter_map("no request", |(method, path, query, headers, body)| {
        let mut request = Request::new(body);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::try_from(format!("{path}?{query}")).ok()?;
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(&value).ok()?;
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        Some(request)
    });
    prop::collection::vec(request, 1..12)
}

async fn check(app: &Router, request: Request<Vec<u8>>) -> Result<(), TestCaseError> {
    let told = format!("{request:?}");
    let is_head = request.method() == Method::HEAD;
    // Programs of Prophet have refusals of their own there.
    let is_program = ["/sync/", "/store/"].iter().any(|it| request.uri().path().starts_with(it));
    let response = app.clone().oneshot(request.map(Body::from)).await.unwrap();
    let status = response.status();
    prop_assert!(!status.is_server_error() && !status.is_informational(), "{status}: {told}");
    let is_stream =
        response.headers().get("content-type").is_some_and(|it| it == "text/event-stream");
    if status.is_client_error() && !is_program {
        let kind = response.headers().get("content-type").cloned();
        let kind = kind.unwrap_or(HeaderValue::from_static(""));
        prop_assert_eq!(kind, "application/problem+json", "{}", told);
        prop_assert!(status != 405 || response.headers().contains_key("allow"), "{told}");
    }
    if is_stream || is_head || is_program {
        return Ok(());
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if status.is_client_error() {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&problem["status"], status.as_u16());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_the_answer_never_blames_the_server(requests in requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let options = ServerOptions::new().open().tree(directory.path());
            let app = router(replica().await, options);
            for request in requests {
                check(&app, request).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

//! The page's doors and what it shows. No port is opened.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::cli::fake::{Fake, NOW};

const TOKEN: [u8; 32] = [0xab; 32];

struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

/// A site with a fixed clock, and whoever answers for it.
fn site() -> (Router, Arc<Fake>, String) {
    let fake = Arc::new(Fake::default());
    let mut site = Site::new(Desk::new(Arc::clone(&fake) as Arc<_>), TOKEN.into(), 7842);
    site.clock = || NOW;
    site.zone = TimeZone::UTC;
    let key = site.form_key.clone();
    (router(site), fake, key)
}

async fn send(router: &Router, request: Request<Body>) -> Shown {
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the body is in memory").to_bytes();
    Shown { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// A request as a browser sends it that has the cookie.
fn asking(path: &str) -> axum::http::request::Builder {
    let cookie = format!("other=1; hearth_page_7842={}", "ab".repeat(32));
    Request::get(path).header(header::HOST, "127.0.0.1:7842").header(header::COOKIE, cookie)
}

async fn get(path: &str) -> Shown {
    send(&site().0, asking(path).body(Body::empty()).expect("well formed")).await
}

#[tokio::test]
async fn without_the_token_nothing_is_shown() {
    let wrong = "ba".repeat(32);
    let right = "ab".repeat(32);
    for (case, path, name, value, status) in [
        ("no token", "/", "x-nothing", String::new(), 401),
        ("a wrong cookie", "/?q=tomatoes", "cookie", format!("hearth_page_7842={wrong}"), 401),
        ("the cookie of another port", "/", "cookie", format!("hearth_page_1={right}"), 401),
        ("half the token", "/", "cookie", format!("hearth_page_7842={}", &right[..32]), 401),
        ("an empty one", "/", "cookie", "hearth_page_7842=".into(), 401),
        ("a wrong one in the address", &format!("/?token={wrong}"), "x-nothing", String::new(), 401),
        ("the items", "/item/itm-1", "x-nothing", String::new(), 401),
        ("the sessions", "/sessions", "x-nothing", String::new(), 401),
        ("the JSON", "/v1/search?q=tomatoes", "x-nothing", String::new(), 401),
        ("the JSON status", "/v1/status", "authorization", format!("Bearer {wrong}"), 401),
        ("the cookie", "/", "cookie", format!("hearth_page_7842={right}"), 200),
        ("the header", "/v1/search?q=tomatoes", "authorization", format!("Bearer {right}"), 200),
        ("the style needs none", "/static/hearth.css", "x-nothing", String::new(), 200),
    ] {
        let (router, fake, _) = site();
        let request = Request::get(path).header(header::HOST, "127.0.0.1:7842").header(name, value);
        let shown = send(&router, request.body(Body::empty()).expect("well formed")).await;
        assert_eq!(shown.status.as_u16(), status, "{case}");
        if status == 401 {
            assert!(shown.body.contains("hearth status"), "{case}: {}", shown.body);
            assert!(fake.asked.lock().expect("no test panics with it").is_empty(), "{case}: nobody was asked");
        }
    }
}

#[tokio::test]
async fn the_token_in_the_address_becomes_a_cookie_and_leaves_the_address() {
    let token = "ab".repeat(32);
    let request = |method: &str| {
        let path = format!("/sessions?x=1&token={token}&y=2");
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:7842")
            .body(Body::empty())
            .expect("well formed")
    };
    let shown = send(&site().0, request("GET")).await;
    assert_eq!(shown.status, StatusCode::SEE_OTHER);
    assert_eq!(shown.headers[header::LOCATION], "/sessions?x=1&y=2");
    let cookie = shown.headers[header::SET_COOKIE].to_str().expect("letters");
    for part in [&format!("hearth_page_7842={token}"), "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert_eq!(shown.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(send(&site().0, request("POST")).await.status, StatusCode::UNAUTHORIZED, "only for looking");
}

#[tokio::test]
async fn only_an_address_of_this_machine_is_answered() {
    for (host, status) in [
        ("127.0.0.1:7842", 200),
        ("localhost:7842", 200),
        ("LocalHost:7842", 200),
        ("[::1]:7842", 200),
        ("127.1.2.3:7842", 200),
        ("evil.example:7842", 403),
        ("127.0.0.1.evil.example:7842", 403),
        ("localhost.evil.example:7842", 403),
        ("192.168.1.2:7842", 403),
        ("127.0.0.1:80", 403),
        ("127.0.0.1", 403),
        ("", 403),
    ] {
        let cookie = format!("hearth_page_7842={}", "ab".repeat(32));
        let request = Request::get("/").header(header::HOST, host).header(header::COOKIE, cookie);
        let shown = send(&site().0, request.body(Body::empty()).expect("well formed")).await;
        assert_eq!(shown.status.as_u16(), status, "{host}");
    }
    let two = asking("/").header(header::HOST, "evil.example:7842").body(Body::empty()).expect("well formed");
    assert_eq!(send(&site().0, two).await.status, StatusCode::FORBIDDEN, "two names are one too many");
}

#[tokio::test]
async fn an_order_must_come_from_our_own_page() {
    let (_, _, key) = site();
    let right = format!("key={key}&how=pause&for=30m");
    for (case, origin, body, status) in [
        ("from the page", Some("http://127.0.0.1:7842"), right.as_str(), 303),
        ("from a browser that does not say", None, &right, 303),
        ("from another site", Some("https://evil.example"), &right, 403),
        ("from another port", Some("http://127.0.0.1:1"), &right, 403),
        ("from nowhere", Some("null"), &right, 403),
        ("without the key", None, "how=pause", 400),
        ("with a wrong key", None, "key=00&how=pause", 403),
        ("with the token for a key", None, &format!("key={}&how=pause", "ab".repeat(32)), 403),
        ("an unknown order", None, &format!("key={key}&how=explode"), 400),
        ("a wrong span", None, &format!("key={key}&how=pause&for=30"), 400),
        ("a wrong session", None, &format!("key={key}&how=pause&session=x"), 400),
    ] {
        let (router, fake, _) = site();
        let mut request =
            asking("/hold").method("POST").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let shown = send(&router, request.body(Body::from(body.to_owned())).expect("well formed")).await;
        assert_eq!(shown.status.as_u16(), status, "{case}: {}", shown.body);
        let asked = fake.asked.lock().expect("no test panics with it").clone();
        let order = Ask::Hold { how: Hold::Pause, for_ms: Some(1_800_000), session: None };
        assert_eq!(asked, if status == 303 { vec![order] } else { vec![] }, "{case}");
    }
    assert_eq!(get("/hold").await.status, StatusCode::METHOD_NOT_ALLOWED, "an address changes nothing");
}

#[tokio::test]
async fn every_response_keeps_the_browser_in_its_place() {
    for path in [
        "/",
        "/?q=tomatoes",
        "/item/itm-1",
        "/item/gone",
        "/sessions",
        "/nowhere",
        "/static/hearth.css",
        "/v1/search?q=x",
    ] {
        let shown = get(path).await;
        let policy = shown.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("letters");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(shown.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(shown.headers[header::REFERRER_POLICY], "same-origin", "{path}");
        let kept = shown.headers[header::CACHE_CONTROL].to_str().expect("letters");
        assert_eq!(kept, if path.starts_with("/static") { "no-cache" } else { "no-store" }, "{path}");
        for active in ["style=", "onclick", "onload", "http://", "https://"] {
            let body = shown.body.replace("http://www.w3.org/2000/svg", "");
            assert!(path.starts_with("/static") || !body.contains(active), "{path} holds {active}");
        }
    }
}

#[tokio::test]
async fn what_was_captured_and_what_was_typed_is_shown_as_text() {
    let query = "%22%3E%3Cscript%3Ealert(2)%3C/script%3E";
    let page = get(&format!("/?q={query}&source=%27%22%3E%3Cb%3E&path=%3Ci%3E&after=1d")).await.body;
    let item = get("/item/itm-1").await.body;
    let wrong = get(&format!("/?q=x&after={query}")).await.body;
    for (case, body) in [("hits", &page), ("an item", &item), ("a mistake", &wrong)] {
        for markup in ["<script>", "</script>alert", "<b>", "<i>"] {
            let body = body.replace("<script src=\"/static/hearth.js\" defer></script>", "");
            assert!(!body.contains(markup), "{case}: {markup} in {body}");
        }
    }
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{page}");
    assert!(page.contains("<mark>script</mark>"), "what was found is marked within");
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "nothing turns the writing around");
}

#[tokio::test]
async fn the_page_asks_what_the_form_says() {
    let (router, fake, _) = site();
    let path = "/?q=+dry+tomatoes+&mode=vector&source=files&format=&path=%2Fnotes&after=7d&before=2026-03-24&session=";
    let shown = send(&router, asking(path).body(Body::empty()).expect("well formed")).await;
    assert_eq!(shown.status, StatusCode::OK);
    let Ask::Search(query) = fake.last() else { panic!("it was a search") };
    assert_eq!((query.text.as_str(), query.mode, query.limit), ("dry tomatoes", Mode::Vector, HITS));
    assert_eq!(query.filter.source.as_deref(), Some("files"));
    assert_eq!(query.filter.format, None, "an empty field is none");
    assert_eq!(query.filter.path, Some("/notes".into()));
    assert_eq!(query.filter.after.map(Moment::as_millis), Some(1_773_774_000_000));
    for (case, path) in [
        ("an unknown way", "/?q=x&mode=magic"),
        ("no time", "/?q=x&before=soon"),
        ("no session", "/?q=x&session=s"),
        ("too many", "/?q=x&n=100000"),
        ("too long", &format!("/?q={}", "x".repeat(5000))),
    ] {
        let shown = get(path).await;
        assert_eq!(shown.status, StatusCode::BAD_REQUEST, "{case}");
        assert!(shown.body.contains("role=\"alert\""), "{case}");
    }
}

#[tokio::test]
async fn every_page_has_a_json_twin() {
    for (path, key) in [
        ("/?q=tomatoes", "hits"),
        ("/v1/search?q=tomatoes", "hits"),
        ("/item/itm-1", "text"),
        ("/sessions", "sessions"),
        ("/v1/status", "items"),
    ] {
        let shown = send(
            &site().0,
            asking(path).header(header::ACCEPT, "application/json").body(Body::empty()).expect("well formed"),
        )
        .await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        assert_eq!(shown.headers[header::CONTENT_TYPE], "application/json", "{path}");
        let document: serde_json::Value = serde_json::from_str(&shown.body).expect(path);
        assert!(document.get(key).is_some(), "{path}: {}", shown.body);
        assert!(!shown.body.contains("secret-name"), "{path}: the true path stays inside");
    }
    let gone = send(
        &site().0,
        asking("/item/gone").header(header::ACCEPT, "application/json").body(Body::empty()).expect("well formed"),
    )
    .await;
    assert_eq!(
        (gone.status, gone.body.contains("\"kind\":\"not-found\"")),
        (StatusCode::NOT_FOUND, true),
        "{}",
        gone.body
    );
    assert!(!get("/item/itm-1").await.body.contains("secret-name"), "nor does the page show it");
}

#[tokio::test]
async fn a_posted_query_is_bounded_and_answered() {
    for (case, body, status) in [
        ("a query", "{\"text\":\"tomatoes\",\"limit\":3,\"mode\":\"keyword\"}".to_owned(), 200),
        ("no words", "{\"text\":\" \",\"limit\":3,\"mode\":\"keyword\"}".into(), 400),
        ("too many", "{\"text\":\"x\",\"limit\":100000,\"mode\":\"keyword\"}".into(), 400),
        ("no query", "tomatoes".into(), 400),
        ("a flood", format!("{{\"text\":\"{}\"}}", "x".repeat(BODY_MAX)), 400),
    ] {
        let request = asking("/v1/search").method("POST").header(header::CONTENT_TYPE, "application/json");
        let shown = send(&site().0, request.body(Body::from(body)).expect("well formed")).await;
        assert_eq!(shown.status.as_u16(), status, "{case}: {}", shown.body);
    }
}

#[tokio::test]
async fn each_state_of_the_page_says_what_to_do() {
    let (router, fake, _) = site();
    let home = send(&router, asking("/").body(Body::empty()).expect("well formed")).await.body;
    assert!(
        home.contains("Ask in your own words") && home.contains("1,204 items") && home.contains("scanned every hour"),
        "{home}"
    );
    let none = send(&router, asking("/?q=nothing&format=pdf").body(Body::empty()).expect("well formed")).await.body;
    assert!(none.contains("Nothing found") && none.contains("without the filters"), "{none}");
    let hits = send(&router, asking("/?q=tomatoes").body(Body::empty()).expect("well formed")).await.body;
    for part in [
        "3 items in 12 ms",
        "311 passages have no vector yet",
        "Why this?",
        "by meaning",
        "all-MiniLM-L6-v2",
        "2 email",
        "3 days ago",
    ] {
        assert!(hits.contains(part), "{part} in {hits}");
    }
    fake.answer_hold();
    let sessions = send(&router, asking("/sessions").body(Body::empty()).expect("well formed")).await.body;
    assert!(
        sessions.contains("private until 19:30") && sessions.contains("Nothing from this time is ever captured"),
        "{sessions}"
    );
    assert!(
        sessions.contains("value=\"resume\"") && !sessions.contains("Pause for"),
        "private is not softened by accident"
    );
    let broken = send(&router, asking("/?q=panic").body(Body::empty()).expect("well formed")).await;
    assert_eq!(broken.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(broken.body.contains("hearth doctor"), "{}", broken.body);
}

#[tokio::test]
async fn an_id_may_be_anything() {
    for id in ["itm-1", "a/b", "..", "?x=1#y", "ü ber", "%2F", "\"><b>"] {
        let (router, fake, _) = site();
        let link = view::item_link(id);
        let shown = send(&router, asking(&link).body(Body::empty()).expect("well formed")).await;
        assert_eq!(shown.status, StatusCode::OK, "{id}: {link}");
        assert_eq!(fake.last(), Ask::Show { id: id.to_owned() });
    }
}

impl Fake {
    fn answer_hold(&self) {
        use crate::ask::Answers;
        let held = self.answer(Ask::Hold { how: Hold::Private, for_ms: Some(1_800_000), session: None });
        assert!(held.is_ok());
    }
}

//! What the coordinator answers over HTTP: the fleet page, its JSON twin, and whether it is well.
//!
//! It only reads. There is no sign-in yet, so it is served on this machine alone, and a request must name this machine: a page from
//! elsewhere that points its own name here (DNS rebinding) is turned away.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, VARY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};

use tokio::task::spawn_blocking;

use hearth_link::Mqtt;

use crate::{
    fleet::Fleet,
    health,
    page::{ByBroker, View},
    relay::Relay,
    sessions::Clock,
    trust::TrustList,
};

/// What every answer is made from.
#[derive(Clone)]
pub struct Answers {
    /// The fleet.
    pub fleet: Arc<dyn Fleet>,
    /// Which devices belong to it.
    pub trust: Arc<TrustList>,
    /// The relay, when there is one.
    pub relay: Option<Arc<Relay>>,
    /// The broker, when devices may come through one.
    pub broker: Option<Arc<Mqtt>>,
    /// Tells the time.
    pub clock: Clock,
}

/// Every route, with what all of them share.
pub fn router(answers: Answers) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/v1/nodes", get(nodes))
        .route("/healthz", get(healthz))
        .route("/fleet.css", get(style))
        .route("/favicon.ico", get(icon))
        .fallback(nowhere)
        .method_not_allowed_fallback(read_only)
        .layer(middleware::from_fn(guard))
        .with_state(answers)
}

async fn page(State(answers): State<Answers>, headers: HeaderMap) -> Response {
    let view = answers.view().await;
    let mut response = if prefers_json(&headers) {
        json(view.to_json())
    } else {
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], view.to_html()).into_response()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

async fn nodes(State(answers): State<Answers>) -> Response {
    json(answers.view().await.to_json())
}

async fn healthz(State(answers): State<Answers>) -> (StatusCode, &'static str) {
    match answers.fleet.is_failing() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written to; is the disk full or read-only?\n"),
    }
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../static/fleet.css"))
}

/// Browsers ask for it unbidden, and complain about a page that has none.
async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml")], include_str!("../static/hearth.svg")).into_response()
}

async fn nowhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "there is no such page; the fleet is at / and as JSON at /v1/nodes\n")
}

async fn read_only() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n")
}

impl Answers {
    async fn view(&self) -> View {
        let (relayed, notices) = match self.relay.clone() {
            Some(relay) => {
                let asked = spawn_blocking(move || (relay.served(), relay.notices())).await;
                match asked {
                    Ok((Ok(served), notices)) => (served, notices),
                    Ok((Err(error), _)) => (Vec::new(), vec![error.to_string()]),
                    Err(_) => (Vec::new(), vec!["the relay failed; look at the coordinator's log".to_owned()]),
                }
            }
            None => (Vec::new(), Vec::new()),
        };
        let now = (self.clock)();
        let kept = self.fleet.nodes();
        let mut trusted = self.trust.devices();
        // A device of a fleet that is served may report and need not; one that the operator named is missed.
        trusted.retain(|device, _| self.trust.names(device) || kept.iter().any(|node| node.device == *device));
        let nodes = health::seen(now, &trusted, kept);
        let broker = self.broker.as_deref().map(ByBroker::of);
        let unusable = broker.as_ref().and_then(ByBroker::problem);
        let notices = [self.fleet.notices(), notices, unusable.into_iter().collect()].concat();
        View { now, problems: health::problems(now, &nodes, &notices), nodes, relayed, broker }
    }
}

fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// A browser asks for HTML, a program that wants the twin for JSON alone or for JSON before HTML.
fn prefers_json(headers: &HeaderMap) -> bool {
    let asked =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let first = asked
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .find(|range| matches!(range.as_str(), "application/json" | "text/html" | "application/xhtml+xml"));
    first.as_deref() == Some("application/json")
}

/// Checks whom a request means to talk to, and puts on each answer what a browser must not do with it.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let several = request.headers().get_all(HOST).iter().count() > 1;
    let mut response = match host {
        Some(host) if !several && is_this_machine(host) => next.run(request).await,
        _ => (
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers only as localhost; open it by that name, through a tunnel if it is on another machine\n",
        )
            .into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// Whether a `Host` header names this machine by a name or an address that only this machine has for itself; any port will do.
fn is_this_machine(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (name, port.strip_prefix(':').or(port.is_empty().then_some("0"))),
            None => return false,
        },
        None => host.split_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    let is_port = port.is_some_and(|port| port.parse::<u16>().is_ok());
    let is_bracketed = host.starts_with('[');
    let is_name = !is_bracketed && name.eq_ignore_ascii_case("localhost");
    let is_address =
        name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() && address.is_ipv6() == is_bracketed);
    is_port && (is_name || is_address)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        fleet::{CannotKeep, Node},
        health::tests::{at, node},
    };

    #[tokio::test]
    async fn only_requests_that_name_this_machine_are_answered() {
        for (host, expected) in [
            ("localhost", StatusCode::OK),
            ("LOCALHOST:7844", StatusCode::OK),
            ("127.0.0.1:7844", StatusCode::OK),
            ("127.8.9.1", StatusCode::OK),
            ("[::1]:7844", StatusCode::OK),
            ("[::1]", StatusCode::OK),
            ("evil.example", StatusCode::MISDIRECTED_REQUEST),
            ("evil.example:7844", StatusCode::MISDIRECTED_REQUEST),
            ("localhost.evil.example", StatusCode::MISDIRECTED_REQUEST),
            ("127.0.0.1.evil.example", StatusCode::MISDIRECTED_REQUEST),
            ("192.168.1.5:7844", StatusCode::MISDIRECTED_REQUEST),
            ("0.0.0.0", StatusCode::MISDIRECTED_REQUEST),
            ("localhost:evil", StatusCode::MISDIRECTED_REQUEST),
            ("localhost:80:80", StatusCode::MISDIRECTED_REQUEST),
            ("[localhost]", StatusCode::MISDIRECTED_REQUEST),
            ("[::1]x", StatusCode::MISDIRECTED_REQUEST),
            ("::1", StatusCode::MISDIRECTED_REQUEST),
            ("[::1", StatusCode::MISDIRECTED_REQUEST),
            ("", StatusCode::MISDIRECTED_REQUEST),
        ] {
            for path in ["/", "/v1/nodes", "/healthz", "/fleet.css"] {
                let request = Request::builder().uri(path).header(HOST, host).body(Body::empty()).expect("valid");
                assert_eq!(ask(request).await.status(), expected, "{host} {path}");
            }
        }
        let nameless = Request::builder().uri("/").body(Body::empty()).expect("valid");
        assert_eq!(ask(nameless).await.status(), StatusCode::MISDIRECTED_REQUEST);
        let twice = Request::builder().uri("/").header(HOST, "localhost").header(HOST, "evil.example");
        assert_eq!(ask(twice.body(Body::empty()).expect("valid")).await.status(), StatusCode::MISDIRECTED_REQUEST);
    }

    #[tokio::test]
    async fn the_page_has_a_json_twin_at_the_same_address() {
        for (case, accept, expected) in [
            (
                "a browser",
                Some("text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"),
                "text/html; charset=utf-8",
            ),
            ("a program", Some("application/json"), "application/json"),
            ("a program that could read both", Some("Application/JSON; q=1, text/html"), "application/json"),
            ("somebody who takes anything", Some("*/*"), "text/html; charset=utf-8"),
            ("somebody who does not say", None, "text/html; charset=utf-8"),
        ] {
            let mut request = Request::builder().uri("/").header(HOST, "localhost");
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            let response = ask(request.body(Body::empty()).expect("valid")).await;
            assert_eq!(response.headers()[CONTENT_TYPE], expected, "{case}");
            assert_eq!(response.headers()[VARY], "accept", "{case}");
        }
    }

    #[tokio::test]
    async fn nodes_are_json_with_what_they_reported() {
        let body = text(ask(to("/v1/nodes")).await).await;
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let node = &answer["nodes"][0];
        assert_eq!(node["name"], "attic");
        assert_eq!(node["state"], "fresh");
        assert_eq!(node["age_seconds"], 12);
        assert_eq!(node["report"]["memory"]["total_bytes"], 8_000_000_000_u64);
        assert_eq!(node["report"]["counters"]["jobs_pending"], 2);
        assert_eq!(answer["problems"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn a_device_that_the_operator_named_is_missed_and_one_of_a_served_fleet_is_not() {
        for (case, named, expected) in [("of a fleet", false, 1), ("named", true, 2)] {
            let (other, mut answers) = (hearth_link::Identity::from_seed(&[7; 32]), answers(false));
            if named {
                let keys = [1, 7].map(|seed| hearth_link::Identity::from_seed(&[seed; 32]).public());
                answers.trust = Arc::new(TrustList::new(keys.to_vec(), None).expect("no file"));
            }
            answers.trust.set_members([(other.device(), None)].into());
            assert!(answers.trust.knows(&other.device()), "{case}: it may report");
            assert_eq!(answers.view().await.nodes.len(), expected, "{case}");
        }
    }

    #[tokio::test]
    async fn every_answer_forbids_what_a_browser_need_not_do() {
        for path in ["/", "/v1/nodes", "/healthz", "/fleet.css", "/nowhere"] {
            let response = ask(to(path)).await;
            let headers = response.headers();
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
            assert_eq!(headers[REFERRER_POLICY], "no-referrer", "{path}");
        }
        let page = text(ask(to("/")).await).await;
        assert!(
            !page.contains("style=") && !page.contains("<script") && !page.contains("<style"),
            "the policy would stop it"
        );
    }

    #[tokio::test]
    async fn what_is_not_there_or_cannot_be_done_is_said() {
        assert_eq!(ask(to("/nowhere")).await.status(), StatusCode::NOT_FOUND);
        let post = Request::builder().method("POST").uri("/v1/nodes").header(HOST, "localhost");
        let refused = ask(post.body(Body::from("{}")).expect("valid")).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(text(refused).await, "this page can only be read\n");
    }

    #[tokio::test]
    async fn health_follows_the_store() {
        assert_eq!(text(ask(to("/healthz")).await).await, "ok\n");
        let request = to("/healthz");
        let failing = router(answers(true)).oneshot(request).await.expect("it never fails");
        assert_eq!(failing.status(), StatusCode::SERVICE_UNAVAILABLE);
        let page = text(router(answers(true)).oneshot(to("/")).await.expect("it never fails")).await;
        assert!(page.contains("One thing is wrong") && page.contains("it cannot write"), "{page}");
    }

    struct Fixed {
        failing: bool,
        node: Node,
    }

    impl Fleet for Fixed {
        fn keep(&self, _: Node) -> Result<(), CannotKeep> {
            Ok(())
        }
        fn nodes(&self) -> Vec<Node> {
            vec![self.node.clone()]
        }
        fn notices(&self) -> Vec<String> {
            if self.failing { vec!["it cannot write".into()] } else { vec![] }
        }
        fn is_failing(&self) -> bool {
            self.failing
        }
    }

    fn answers(failing: bool) -> Answers {
        let key = hearth_link::Identity::from_seed(&[1; 32]);
        let mut node = node(1, at(1000));
        node.device = key.device();
        let trust = Arc::new(TrustList::new(vec![key.public()], None).expect("no file"));
        Answers { fleet: Arc::new(Fixed { failing, node }), trust, relay: None, broker: None, clock: || at(1012) }
    }

    fn to(path: &str) -> Request {
        Request::builder().uri(path).header(HOST, "localhost:7844").body(Body::empty()).expect("valid")
    }

    async fn ask(request: Request) -> Response {
        router(answers(false)).oneshot(request).await.expect("it never fails")
    }

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

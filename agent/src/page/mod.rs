//! The search page on loopback: made on the server, readable without JavaScript, for whoever has the token.
//!
//! A handler translates a request into an [`Ask`] and the answer into a page, or into JSON for a program that asks for it. No
//! answer is thought up here, nothing is logged, and nothing is loaded from anywhere else.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use askama::Template;
use axum::{
    Form, Json, Router,
    extract::{DefaultBodyLimit, Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use hearth_core::Moment;
use jiff::tz::TimeZone;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    ask::{Ask, Failure, FailureKind, Filter, Found, Held, Hold, Mode, Query, Sessions, Shown, Status},
    cli::when::When,
    config::{Hex32, Span},
    serve::{Desk, failed, status_of},
};

mod view;

/// The largest form or question.
const BODY_MAX: usize = 1 << 20;

/// The longest text that is looked for.
const WORDS_MAX: usize = 4_096;

/// How many hits the page shows.
const HITS: usize = 20;

/// How many hits a program may ask for.
const HITS_MAX: usize = 1_000;

/// What every response allows a browser: our own style, our one small script, and forms that come back to us.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// What the page needs to know.
pub struct Site {
    desk: Arc<Desk>,
    token: String,
    form_key: String,
    cookie: String,
    port: u16,
    zone: TimeZone,
    clock: fn() -> Moment,
}

impl Site {
    /// A site that asks at this desk and answers whoever has this token, at this port.
    pub fn new(desk: Arc<Desk>, token: Hex32, port: u16) -> Self {
        // Cookies do not tell ports apart, so the name does: two agents of one person do not sign each other out.
        let form_key = Sha256::new().chain_update(b"hearth/page/form/1").chain_update(token.bytes()).finalize();
        Self {
            desk,
            token: token.to_string(),
            form_key: data_encoding::HEXLOWER.encode(&form_key),
            cookie: format!("hearth_page_{port}"),
            port,
            zone: TimeZone::system(),
            clock: || Moment::START + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        serde_json::from_value(self.desk.ask(ask).await?)
            .map_err(|_| Failure::new(FailureKind::Failed, "the answer was not understood; restart the daemon"))
    }
}

/// The page's router.
pub fn router(site: Site) -> Router {
    let site = Arc::new(site);
    let inside = Router::new()
        .route("/", get(search))
        .route("/item/{id}", get(item))
        .route("/sessions", get(sessions))
        .route("/hold", post(hold))
        .route("/v1/search", get(v1_search).post(v1_search_posted))
        .route("/v1/status", get(v1_status))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), token));
    let outside = Router::new()
        .route("/static/hearth.css", get(|| asset("text/css; charset=utf-8", include_str!("../../static/hearth.css"))))
        .route(
            "/static/hearth.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("../../static/hearth.js"))),
        )
        .route("/favicon.ico", get(|| asset("image/svg+xml", include_str!("../../static/hearth.svg"))))
        .route("/static/hearth.svg", get(|| asset("image/svg+xml", include_str!("../../static/hearth.svg"))));
    inside
        .merge(outside)
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), address))
        .layer(middleware::map_response(sealed))
        .with_state(site)
}

/// Lets in only what was sent to an address of this machine: a web page elsewhere can make a browser send requests here under a
/// name of its own, and then the name gives it away.
async fn address(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if headers.get_all(header::HOST).iter().count() != 1 || !site.is_here(host) {
        return refused(
            StatusCode::FORBIDDEN,
            "this page answers only at an address of this machine, such as 127.0.0.1",
        );
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("null").to_owned());
    if changes && origin.is_some_and(|origin| origin != format!("http://{host}")) {
        return refused(StatusCode::FORBIDDEN, "this order came from another site's page and is not carried out");
    }
    next.run(request).await
}

impl Site {
    /// Whether a `Host` names this machine and our port.
    fn is_here(&self, host: &str) -> bool {
        let Some((name, port)) = host.rsplit_once(':') else { return false };
        let name = name.to_ascii_lowercase();
        let local = name == "localhost"
            || name == "[::1]"
            || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        local && port.parse() == Ok(self.port)
    }

    /// Whether a text is our token. It takes as long for any text of its length.
    fn is_token(&self, given: &str) -> bool {
        given.as_bytes().ct_eq(self.token.as_bytes()).into()
    }
}

/// Lets in only whoever shows the token: in a cookie, in an `Authorization` header, or once in the address, which sets the cookie.
async fn token(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let cookie = cookies(headers).any(|(name, value)| name == site.cookie && site.is_token(value));
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .is_some_and(|given| site.is_token(given));
    let query = request.uri().query().unwrap_or_default();
    let (given, rest) = without_token(query);
    if let Some(given) = given
        && request.method() == Method::GET
    {
        if site.is_token(&given) {
            let path = request.uri().path();
            let to = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
            let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", site.cookie, site.token);
            return ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response();
        }
        if !cookie && !bearer {
            return unknown(headers);
        }
    }
    if cookie || bearer { next.run(request).await } else { unknown(headers) }
}

/// The token of a query string, and the query string without it.
fn without_token(query: &str) -> (Option<String>, String) {
    let (mut token, mut rest) = (None, Vec::new());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.strip_prefix("token=") {
            Some(value) => token = Some(value.to_owned()),
            None => rest.push(part),
        }
    }
    (token, rest.join("&"))
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

fn unknown(headers: &HeaderMap) -> Response {
    let said = "this page is for whoever started hearth on this machine; `hearth status` prints its address with the key in it";
    if wants_json(headers) {
        return (StatusCode::UNAUTHORIZED, Json(Failure::new(FailureKind::Denied, said))).into_response();
    }
    shown(StatusCode::UNAUTHORIZED, &view::Refused { title: "Who is there?", said })
}

fn refused(status: StatusCode, said: &'static str) -> Response {
    shown(status, &view::Refused { title: "Not from there", said })
}

async fn nowhere() -> Response {
    shown(
        StatusCode::NOT_FOUND,
        &view::Refused { title: "Nothing here", said: "there is no such page; the search page is at /" },
    )
}

/// Puts on every response what keeps it in its place.
async fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` a browser hides the origin of our own forms too, and then they look like another site's.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// What the search form holds. Empty fields are as good as absent ones.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    q: String,
    n: String,
    mode: String,
    source: String,
    format: String,
    path: String,
    session: String,
    after: String,
    before: String,
}

impl Asked {
    /// The query, or what is wrong with the form.
    fn query(&self, site: &Site, limit: usize) -> Result<Query, Failure> {
        let usage = |said: String| Failure::new(FailureKind::Usage, said);
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        if self.q.len() > WORDS_MAX {
            return Err(usage(format!("the question is longer than {WORDS_MAX} letters; ask for less")));
        }
        let when = |text: &str| match given(text) {
            None => Ok(None),
            Some(text) => text.parse::<When>().map(|when| Some(when.moment((site.clock)(), &site.zone))).map_err(usage),
        };
        let mode = match self.mode.as_str() {
            "" | "hybrid" => Mode::Hybrid,
            "vector" => Mode::Vector,
            "keyword" => Mode::Keyword,
            _ => return Err(usage("there are three ways to find: hybrid, vector and keyword".into())),
        };
        let limit = match given(&self.n) {
            None => limit,
            Some(n) => n
                .parse()
                .ok()
                .filter(|n| (1..=HITS_MAX).contains(n))
                .ok_or_else(|| usage(format!("n is how many hits to show, from 1 to {HITS_MAX}")))?,
        };
        let session = match given(&self.session) {
            None => None,
            Some(id) => Some(
                id.parse().map_err(|_| usage("that is not a session's id; `hearth session list` shows them".into()))?,
            ),
        };
        Ok(Query {
            text: self.q.trim().to_owned(),
            limit,
            mode,
            filter: Filter {
                source: given(&self.source),
                path: given(&self.path).map(Into::into),
                format: given(&self.format),
                session,
                after: when(&self.after)?,
                before: when(&self.before)?,
            },
            here: false,
        })
    }

    fn of(query: Option<String>) -> Result<Self, Failure> {
        let uri = format!("/?{}", query.unwrap_or_default());
        let uri = uri.parse().map_err(|_| Failure::new(FailureKind::Usage, "the address is not well formed"))?;
        let asked = axum::extract::Query::<Self>::try_from_uri(&uri);
        asked.map(|asked| asked.0).map_err(|_| Failure::new(FailureKind::Usage, "the address is not well formed"))
    }
}

async fn search(State(site): State<Arc<Site>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::of(query) {
        Ok(asked) => asked,
        Err(failure) => return fell(&headers, &failure),
    };
    if wants_json(&headers) {
        return v1(&site, &asked).await;
    }
    let status = site.ask::<Status>(Ask::Status).await;
    let (found, wrong) = match asked.query(&site, HITS) {
        Ok(query) if query.text.is_empty() => (None, None),
        Ok(query) => match site.ask::<Found>(Ask::Search(query)).await {
            Ok(found) => (Some(found), None),
            Err(failure) => (None, Some(failure)),
        },
        Err(failure) => (None, Some(failure)),
    };
    let code = wrong.as_ref().map_or(StatusCode::OK, |failure| status_of(failure.kind));
    let page = view::SearchPage::new(&site, &asked, status.ok(), found, wrong);
    shown(code, &page)
}

async fn v1_search(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    match Asked::of(query) {
        Ok(asked) => v1(&site, &asked).await,
        Err(failure) => failed(&failure),
    }
}

async fn v1(site: &Site, asked: &Asked) -> Response {
    let answer = async {
        let query = asked.query(site, 10)?;
        if query.text.is_empty() {
            return Err(Failure::new(FailureKind::Usage, "there is nothing to look for; give some words as q"));
        }
        site.ask::<Found>(Ask::Search(query)).await
    };
    answer.await.map_or_else(|failure| failed(&failure), |found| Json(found).into_response())
}

async fn v1_search_posted(
    State(site): State<Arc<Site>>,
    query: Result<Json<Query>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let usage = |said: &str| failed(&Failure::new(FailureKind::Usage, said));
    match query {
        Ok(Json(query)) if query.text.trim().is_empty() => {
            usage("there is nothing to look for; give some words as text")
        }
        Ok(Json(query)) if query.text.len() > WORDS_MAX => usage("the question is too long; ask for less"),
        Ok(Json(query)) if !(1..=HITS_MAX).contains(&query.limit) => {
            usage("limit is how many hits to give, from 1 to 1000")
        }
        Ok(Json(query)) => match site.ask::<Found>(Ask::Search(query)).await {
            Ok(found) => Json(found).into_response(),
            Err(failure) => failed(&failure),
        },
        Err(_) => usage("this is not a query; write {\"text\": …, \"limit\": …, \"mode\": \"hybrid\"}"),
    }
}

async fn v1_status(State(site): State<Arc<Site>>) -> Response {
    site.ask::<Status>(Ask::Status).await.map_or_else(|failure| failed(&failure), |status| Json(status).into_response())
}

async fn item(State(site): State<Arc<Site>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    match site.ask::<Shown>(Ask::Show { id }).await {
        // The true path may hold what the redacted one hides; a page is no place for it.
        Ok(shown) if wants_json(&headers) => Json(Shown { open: None, ..shown }).into_response(),
        Ok(item) => shown(StatusCode::OK, &view::ItemPage::new(&site, item)),
        Err(failure) => fell(&headers, &failure),
    }
}

async fn sessions(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let sessions = match site.ask::<Sessions>(Ask::Sessions).await {
        Ok(sessions) => sessions,
        Err(failure) => return fell(&headers, &failure),
    };
    if wants_json(&headers) {
        return Json(sessions).into_response();
    }
    let status = site.ask::<Status>(Ask::Status).await;
    shown(StatusCode::OK, &view::SessionsPage::new(&site, status.ok(), sessions))
}

/// The buttons of the sessions page.
#[derive(Debug, Deserialize)]
struct HoldForm {
    key: String,
    how: Hold,
    #[serde(default, rename = "for")]
    duration: String,
    #[serde(default)]
    session: String,
}

async fn hold(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    form: Result<Form<HoldForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    let usage = |said: String| fell(&headers, &Failure::new(FailureKind::Usage, said));
    let Ok(Form(form)) = form else {
        return usage("this is not an order of the sessions page".into());
    };
    if !bool::from(form.key.as_bytes().ct_eq(site.form_key.as_bytes())) {
        let failure =
            Failure::new(FailureKind::Denied, "this order did not come from the sessions page; load it again");
        return fell(&headers, &failure);
    }
    let for_ms = match form.duration.as_str() {
        "" => None,
        text => match text.parse::<Span>() {
            Ok(span) => Some(span.millis()),
            Err(error) => return usage(error.to_string()),
        },
    };
    let session = match form.session.as_str() {
        "" => None,
        id => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return usage("that is not a session's id".into()),
        },
    };
    match site.ask::<Held>(Ask::Hold { how: form.how, for_ms, session }).await {
        Ok(held) if wants_json(&headers) => Json(held).into_response(),
        Ok(_) => Redirect::to("/sessions").into_response(),
        Err(failure) => fell(&headers, &failure),
    }
}

/// Whether JSON is wanted rather than a page: it is named, and a page is not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

fn fell(headers: &HeaderMap, failure: &Failure) -> Response {
    if wants_json(headers) {
        return failed(failure);
    }
    let title = match failure.kind {
        FailureKind::NotFound => "Not found",
        FailureKind::Busy => "Busy",
        FailureKind::Denied => "Not allowed",
        _ => "That did not work",
    };
    shown(status_of(failure.kind), &view::Refused { title, said: &failure.message })
}

fn shown(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written").into_response(),
    }
}

#[cfg(test)]
mod tests;

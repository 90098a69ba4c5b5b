//! What the templates show: answers turned into words.
//!
//! Everything is text that the templates escape; no markup is made here.

use std::collections::BTreeMap;

use askama::Template;
use hearth_core::{
    Moment,
    session::{Name, State},
};

use super::{Asked, Site};
use crate::{
    ask::{Failure, Found, Hit, Sessions, Shown, Status},
    cli::{count, grouped, marks, when},
};

/// A page that says no.
#[derive(Template)]
#[template(path = "refused.html")]
pub(super) struct Refused<'a> {
    pub(super) title: &'a str,
    pub(super) said: &'a str,
}

/// The search page.
#[derive(Template)]
#[template(path = "search.html")]
pub(super) struct SearchPage {
    title: String,
    status: Option<StatusLine>,
    asked: Asked,
    filtered: bool,
    /// Whether to show the fields: not above hits, which they would push off a small screen.
    unfold: bool,
    /// The filters in words.
    filters: String,
    modes: Vec<Choice>,
    wrong: Option<String>,
    result: Option<ResultView>,
}

/// One of several ways.
pub(super) struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

/// What was found.
pub(super) struct ResultView {
    summary: String,
    missing: Vec<String>,
    hits: Vec<HitView>,
}

/// One hit.
pub(super) struct HitView {
    link: String,
    title: String,
    place: String,
    heading: String,
    when: String,
    when_exactly: String,
    snippet: Vec<(bool, String)>,
    /// Whether the snippet is lines of code or rows of a table.
    lines: bool,
    score: String,
    rows: Vec<(&'static str, String)>,
}

/// The line that says how the node is.
pub(super) struct StatusLine {
    /// `open`, `paused` or `private`.
    hold: &'static str,
    says: String,
    facts: Vec<String>,
    notices: Vec<String>,
    empty: bool,
    daemon: String,
}

impl StatusLine {
    fn new(site: &Site, status: &Status) -> Self {
        let now = (site.clock)();
        let mut facts = vec![count(status.items, "item", "items"), count(status.chunks, "passage", "passages")];
        if status.pending > 0 {
            facts.push(format!("{} waiting", grouped(status.pending)));
        }
        if status.activity != "idle" {
            facts.push(marks::plain(&status.activity));
        }
        Self {
            hold: status.hold.name(),
            says: held(status.hold, now, site),
            facts,
            notices: status.notices.iter().map(|notice| marks::plain(notice)).collect(),
            empty: status.items == 0,
            daemon: marks::plain(&status.version),
        }
    }
}

fn held(state: State, now: Moment, site: &Site) -> String {
    let until = |end: Option<Moment>| {
        end.map(|end| format!(" until {}", when::clock(end, now, &site.zone))).unwrap_or_default()
    };
    match state {
        State::Open => "capturing".into(),
        State::Paused { until: end } => format!("paused{}", until(end)),
        State::Private { until: end, .. } => format!("private{}", until(end)),
        State::Closed { .. } => "closed".into(),
        State::Expired { .. } => "expired".into(),
    }
}

impl SearchPage {
    pub(super) fn new(
        site: &Site,
        asked: &Asked,
        status: Option<Status>,
        found: Option<Found>,
        wrong: Option<Failure>,
    ) -> Self {
        let mode = if asked.mode.is_empty() { "hybrid" } else { &asked.mode };
        let modes = [("hybrid", "both"), ("vector", "by meaning"), ("keyword", "by word")]
            .map(|(value, label)| Choice { value, label, chosen: value == mode });
        let filters = [
            ("", &asked.source),
            ("", &asked.format),
            ("in ", &asked.path),
            ("", &asked.session),
            ("since ", &asked.after),
            ("before ", &asked.before),
        ];
        let set = filters.into_iter().filter(|(_, filter)| !filter.trim().is_empty());
        let set: Vec<String> =
            set.map(|(name, filter)| format!("{name}{}", marks::cut(&marks::plain(filter.trim()), 40))).collect();
        let words = marks::plain(asked.q.trim());
        Self {
            title: if words.is_empty() { "hearth".into() } else { format!("{} – hearth", marks::cut(&words, 60)) },
            status: status.map(|status| StatusLine::new(site, &status)),
            filtered: !set.is_empty(),
            unfold: !set.is_empty() && found.as_ref().is_none_or(|found| found.hits.is_empty()),
            filters: set.join(" · "),
            asked: asked.clone(),
            modes: modes.into(),
            wrong: wrong.map(|failure| failure.message),
            result: found.map(|found| ResultView::new(site, found)),
        }
    }
}

impl ResultView {
    fn new(site: &Site, found: Found) -> Self {
        let summary =
            format!("{} in {:.0} ms", count(found.hits.len() as u64, "item", "items"), found.took_ms.max(0.0));
        Self {
            summary,
            missing: found.missing.iter().map(|sentence| marks::plain(sentence)).collect(),
            hits: found.hits.into_iter().map(|hit| HitView::new(site, &hit)).collect(),
        }
    }
}

impl HitView {
    fn new(site: &Site, hit: &Hit) -> Self {
        let now = (site.clock)();
        let part = |value: Option<f32>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        let lineage = &hit.lineage;
        let title = marks::plain(&hit.title);
        let heading = marks::plain(&lineage.heading);
        let rows = vec![
            ("score", format!("{:.4}", hit.score)),
            ("by word", part(hit.parts.keyword)),
            ("by meaning", part(hit.parts.vector)),
            ("source", marks::plain(&lineage.source)),
            ("session", marks::plain(&lineage.purpose)),
            ("hidden", hidden(&lineage.redactions)),
            ("vector by", lineage.model.as_deref().map_or_else(|| "none asked".into(), marks::plain)),
            ("captured", when::minute(lineage.captured_at, &site.zone)),
            ("node", hit.node.to_string()),
            ("id", marks::plain(&hit.id)),
        ];
        Self {
            link: item_link(&hit.id),
            title: if title.trim().is_empty() { marks::plain(&hit.id) } else { title },
            place: {
                let place = hit.path.as_deref().unwrap_or(&hit.id);
                marks::plain(&match &hit.lineage.device {
                    Some(device) => format!("{device}: {place}"),
                    None => place.to_owned(),
                })
            },
            heading,
            when: when::ago(lineage.modified_at, now, &site.zone),
            when_exactly: when::minute(lineage.modified_at, &site.zone),
            snippet: marks::pieces(&hit.snippet, &hit.highlights)
                .into_iter()
                .map(|(marked, text)| (marked, marks::plain_lines(text)))
                .collect(),
            lines: hit.snippet.contains('\n'),
            score: format!("{:.3}", hit.score),
            rows,
        }
    }
}

/// `2 email, 1 password`.
fn hidden(redactions: &BTreeMap<String, u32>) -> String {
    if redactions.is_empty() {
        return "nothing".into();
    }
    let said: Vec<String> = redactions.iter().map(|(class, n)| format!("{n} {}", class.replace('_', " "))).collect();
    said.join(", ")
}

/// The address of an item's page. An id may be anything, so all but letters and digits is written as its number.
pub(super) fn item_link(id: &str) -> String {
    let mut out = String::from("/item/");
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            // A browser would take `.` and `..` for folders, even written as numbers.
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// One item with its text.
#[derive(Template)]
#[template(path = "item.html")]
pub(super) struct ItemPage {
    title: String,
    place: String,
    rows: Vec<(&'static str, String)>,
    text: String,
    /// Whether it is read rather than laid out in columns.
    prose: bool,
    headings: Vec<String>,
}

impl ItemPage {
    pub(super) fn new(site: &Site, shown: Shown) -> Self {
        let item = shown.item;
        let mut headings: Vec<String> = Vec::new();
        for chunk in &shown.chunks {
            let heading = marks::plain(&chunk.heading);
            if !heading.is_empty() && headings.last() != Some(&heading) {
                headings.push(heading);
            }
        }
        let name = item.external_id.clone().unwrap_or_else(|| item.id.to_string());
        let hidden = hidden(&item.redactions);
        Self {
            title: if item.title.trim().is_empty() { name.clone() } else { marks::plain(&item.title) },
            place: marks::plain(item.path.as_deref().unwrap_or(&name)),
            rows: vec![
                ("format", marks::plain(&item.format)),
                ("source", marks::plain(&item.source)),
                ("changed", when::minute(item.modified_at, &site.zone)),
                ("captured", when::minute(item.captured_at, &site.zone)),
                ("passages", grouped(item.chunks.into())),
                ("hidden", hidden),
                ("session", item.session.to_string()),
                ("id", item.id.to_string()),
            ],
            text: marks::plain_lines(&shown.text),
            prose: matches!(item.format.as_str(), "markdown" | "html" | "text" | "plain-text" | "mail"),
            headings,
        }
    }
}

fn names(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| marks::plain(&String::from_utf8_lossy(&name.0))).collect()
}

/// The sessions, and the buttons that hold them.
#[derive(Template)]
#[template(path = "sessions.html")]
pub(super) struct SessionsPage {
    status: Option<StatusLine>,
    key: String,
    sessions: Vec<SessionView>,
}

/// One session.
pub(super) struct SessionView {
    id: String,
    purpose: String,
    state: &'static str,
    says: String,
    lives: bool,
    covers: Vec<String>,
    /// What is left out of it.
    without: Vec<String>,
    sources: String,
    class: String,
    opened: String,
    ends: String,
    keeps: String,
}

impl SessionsPage {
    pub(super) fn new(site: &Site, status: Option<Status>, sessions: Sessions) -> Self {
        let now = (site.clock)();
        let mut sessions: Vec<SessionView> = sessions
            .sessions
            .into_iter()
            .rev()
            .map(|session| SessionView {
                id: session.id.to_string(),
                purpose: marks::plain(&session.purpose),
                state: session.state.name(),
                says: held(session.state, now, site),
                lives: !matches!(session.state, State::Closed { .. } | State::Expired { .. }),
                covers: names(&session.scope.include),
                without: names(&session.scope.exclude),
                sources: marks::plain(&session.scope.sources.join(", ")),
                class: format!("{:?}", session.class).to_lowercase(),
                opened: when::minute(session.opened_at, &site.zone),
                ends: session.expires_at.map_or_else(|| "when closed".into(), |at| when::minute(at, &site.zone)),
                keeps: session
                    .keep_days
                    .map_or_else(|| "until forgotten".into(), |days| count(days.into(), "day", "days")),
            })
            .collect();
        sessions.sort_by_key(|session| !session.lives);
        Self { status: status.map(|status| StatusLine::new(site, &status)), key: site.form_key.clone(), sessions }
    }
}

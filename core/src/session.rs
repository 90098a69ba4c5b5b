//! Capture sessions: what was allowed, for how long, for whom.
//!
//! Nothing is captured without a [`Permit`], and [`Gate::admit`] is its only maker: it asks the hold on the whole node, then the
//! session whose scope covers the thing. It reads no clock and stores nothing.
//!
//! ```text
//!            pause            private
//!   paused ◀──────── open ────────────▶ private      private beats pause; resume and
//!      │  resume/until ▲ resume/until      │          the end of the time lead back to open
//!      └───────────────┴───────────────────┘
//!   any of these ── close ──▶ closed      any of these ── past its end ──▶ expired
//! ```

use std::{collections::BTreeMap, fmt, time::Duration};

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeviceId, Moment, SessionId, SpaceId};

/// Whether a session lets anything in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, Encode, Decode)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Things in scope are captured.
    #[n(0)]
    Open,
    /// Nothing is captured now; what changes meanwhile is captured afterwards.
    #[n(1)]
    Paused {
        /// When it opens by itself; never, when absent.
        #[n(0)]
        until: Option<Moment>,
    },
    /// Nothing is captured, and what changes meanwhile never will be.
    #[n(2)]
    Private {
        /// When it began.
        #[n(0)]
        since: Moment,
        /// When it opens by itself; never, when absent.
        #[n(1)]
        until: Option<Moment>,
    },
    /// Ended by its owner.
    #[n(3)]
    Closed {
        /// When.
        #[n(0)]
        at: Moment,
    },
    /// Ended by its terms.
    #[n(4)]
    Expired {
        /// When.
        #[n(0)]
        at: Moment,
    },
}

/// What can happen to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Stop capturing; catch up later.
    Pause {
        /// When to go on by itself.
        until: Option<Moment>,
    },
    /// Stop capturing and leave no trace of this time.
    Private {
        /// When to go on by itself.
        until: Option<Moment>,
    },
    /// Go on.
    Resume,
    /// End it for good.
    Close,
    /// Time has passed.
    Tick,
}

impl State {
    /// The state after `event`; an event out of place changes nothing.
    #[must_use]
    pub fn next(self, now: Moment, event: Event) -> Self {
        match (self, event) {
            (Self::Closed { .. } | Self::Expired { .. }, _) => self,
            (_, Event::Close) => Self::Closed { at: now },
            (Self::Private { since, .. }, Event::Private { until }) => Self::Private { since, until },
            (Self::Open | Self::Paused { .. }, Event::Private { until }) => Self::Private { since: now, until },
            (Self::Open | Self::Paused { .. }, Event::Pause { until }) => Self::Paused { until },
            (Self::Paused { .. } | Self::Private { .. }, Event::Resume) => Self::Open,
            (Self::Paused { until: Some(until) } | Self::Private { until: Some(until), .. }, Event::Tick)
                if until <= now =>
            {
                Self::Open
            }
            (state, _) => state,
        }
    }

    /// When time alone will change it.
    pub const fn timeout(self) -> Option<Moment> {
        match self {
            Self::Paused { until } | Self::Private { until, .. } => until,
            Self::Open | Self::Closed { .. } | Self::Expired { .. } => None,
        }
    }

    /// The state's one-word name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused { .. } => "paused",
            Self::Private { .. } => "private",
            Self::Closed { .. } => "closed",
            Self::Expired { .. } => "expired",
        }
    }
}

/// How carefully a session's things are to be treated.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema, Encode, Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Could be published.
    #[n(0)]
    Public,
    /// For the people of the space.
    #[n(1)]
    Internal,
    /// For its owner.
    #[n(2)]
    #[default]
    Private,
    /// For its owner, on this node only.
    #[n(3)]
    Secret,
}

/// Which nodes: where a session's things may live, or who may find them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, Encode, Decode)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// On the node that captured them.
    #[n(0)]
    #[default]
    ThisNode,
    /// On these nodes.
    #[n(1)]
    Nodes(#[n(0)] Vec<DeviceId>),
    /// On every node of the space's fleet.
    #[n(2)]
    Fleet,
    /// On the nodes of a residency of the fleet, by its number; nowhere else while there is none of that number.
    #[n(3)]
    Within(#[n(0)] u16),
}

/// What a session covers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema, Encode, Decode)]
pub struct Scope {
    /// Ids of the sources it takes from, such as `files`; all when empty.
    #[n(0)]
    pub sources: Vec<String>,
    /// Folders or names it takes, everything below included; all when empty. On Unix a path's bytes, lossily shown in JSON.
    #[n(1)]
    pub include: Vec<Name>,
    /// Folders or names it leaves out, whatever `include` says.
    #[n(2)]
    pub exclude: Vec<Name>,
}

/// A name as its source has it: on Unix a path is bytes, not text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Name(#[cbor(n(0), with = "minicbor::bytes")] pub Vec<u8>);

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({} bytes)", self.0.len())
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(text.into_bytes()))
    }
}

impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl Name {
    /// Whether `name` is this or lies below it, by whole path components.
    pub fn covers(&self, name: &[u8]) -> bool {
        let folder = self.0.strip_suffix(b"/").unwrap_or(&self.0);
        name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl Scope {
    /// Whether anything of this source can be in it; where the source's things lie in no folder, nothing is in a scope of folders.
    pub fn takes(&self, source: &str, lies_in_folders: bool) -> bool {
        self.names(source) && (lies_in_folders || self.include.is_empty())
    }

    fn names(&self, source: &str) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|id| id == source)
    }

    /// How closely this scope covers the thing: the length of the closest folder, `None` when it does not.
    fn closeness(&self, source: &str, name: &[u8]) -> Option<usize> {
        if !self.names(source) || self.exclude.iter().any(|folder| folder.covers(name)) {
            return None;
        }
        if self.include.is_empty() {
            return Some(0);
        }
        self.include.iter().filter(|folder| folder.covers(name)).map(|folder| folder.0.len()).max()
    }
}

/// A capture session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, Encode, Decode)]
pub struct Session {
    /// Its id.
    #[n(0)]
    pub id: SessionId,
    /// Whose it is.
    #[n(1)]
    pub space: SpaceId,
    /// Why it captures, in its owner's words; shown with every hit.
    #[n(2)]
    pub purpose: String,
    /// What it covers.
    #[n(3)]
    pub scope: Scope,
    /// How carefully its things are to be treated.
    #[n(4)]
    pub class: Class,
    /// Its things are forgotten this many days after they were captured; kept, when absent.
    #[n(5)]
    pub keep_days: Option<u32>,
    /// Where its things may live.
    #[n(6)]
    pub visibility: Visibility,
    /// When it began.
    #[n(7)]
    pub opened_at: Moment,
    /// When it ends by itself.
    #[n(8)]
    pub expires_at: Option<Moment>,
    /// Whether it lets anything in.
    #[n(9)]
    pub state: State,
    /// Which other nodes of the fleet may find its things while this one is awake, without having them.
    #[cbor(n(10), default)]
    #[serde(default)]
    pub answers: Visibility,
}

impl Session {
    /// Whether a node of the fleet may be shown what is in it. A secret session shows nothing to anybody else.
    pub fn answers_to(&self, node: &DeviceId) -> bool {
        self.class != Class::Secret
            && match &self.answers {
                Visibility::ThisNode | Visibility::Within(_) => false,
                Visibility::Nodes(nodes) => nodes.contains(node),
                Visibility::Fleet => true,
            }
    }

    /// Applies an event; past its end the session expires, whatever happens. Says whether anything changed.
    pub fn handle(&mut self, now: Moment, event: Event) -> bool {
        let over = self.expires_at.is_some_and(|end| end <= now);
        let next = match self.state {
            State::Closed { .. } | State::Expired { .. } => self.state,
            _ if over && event != Event::Close => State::Expired { at: now },
            state => state.next(now, event),
        };
        std::mem::replace(&mut self.state, next) != next
    }
}

/// Why something is not captured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No session covers it.
    #[error("no session covers it; name its folder with `hearth up --folder` or `hearth session open`")]
    NoSession,
    /// The node is on hold.
    #[error("capture is paused on this node{}; `hearth resume` ends that", Until(.0))]
    Paused(Option<Moment>),
    /// Private mode.
    #[error("private mode is on{}; nothing from this time is ever captured, `hearth resume` ends it", Until(.0))]
    Private(Option<Moment>),
    /// It was changed while private mode was on.
    #[error("it last changed while private mode was on, so it stays out until it changes again")]
    ChangedInPrivate,
    /// The session has ended.
    #[error("its session has ended; open another with `hearth session open`")]
    Ended,
}

struct Until<'a>(&'a Option<Moment>);
impl fmt::Display for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { " for a limited time" } else { "" })
    }
}

/// Proof that the gate let one thing in. The store asks for it and uses it up.
///
/// ```compile_fail
/// use hearth_core::{SessionId, SpaceId, session::Permit};
/// let forged = Permit { session: SessionId::from_bytes([0; 16]), space: SpaceId::from_bytes([0; 16]) };
/// ```
/// ```
/// use hearth_core::session::Permit;
/// fn store(permit: Permit) -> hearth_core::SessionId { permit.session() }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    session: SessionId,
    space: SpaceId,
}

impl Permit {
    /// The session that let it in.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Whose it is.
    pub const fn space(&self) -> SpaceId {
        self.space
    }
}

/// A time during which nothing was to be captured, ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct PrivateTime {
    /// Its first moment.
    #[n(0)]
    pub from: Moment,
    /// Its last moment.
    #[n(1)]
    pub to: Moment,
}

/// File systems tell times coarsely (the kernel's tick, a whole second, FAT's two): what seems to have changed this shortly before a
/// private time may have changed in it, and stays out too.
pub const TIME_STAMP_SLACK: Duration = Duration::from_secs(2);
/// The most private times that are remembered apart; beyond, those with the shortest time between them are joined, which forgets
/// nothing.
const PRIVATE_TIMES_MAX: usize = 4096;

/// The one write gate of a node.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Gate {
    #[n(0)]
    hold: State,
    #[n(1)]
    sessions: BTreeMap<SessionId, Session>,
    #[n(2)]
    private: Vec<PrivateTime>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { hold: State::Open, sessions: BTreeMap::new(), private: Vec::new() }
    }
}

impl Gate {
    /// The hold on the whole node: open, paused or private.
    pub const fn hold(&self) -> State {
        self.hold
    }

    /// Every session, ended ones too.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// One session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Puts a session in, or its newer terms in place of the older.
    pub fn put(&mut self, session: Session) {
        self.sessions.insert(session.id, session);
    }

    /// Takes a session out; its things are the caller's to forget.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.sessions.remove(&id)
    }

    /// Applies an event to the hold on the whole node. The hold cannot be closed. Says whether anything changed.
    pub fn handle(&mut self, now: Moment, event: Event) -> bool {
        if event == Event::Close {
            return false;
        }
        // What time alone has ended is over before anything else happens.
        let ticked = event != Event::Tick && self.handle(now, Event::Tick);
        let before = self.hold;
        self.hold = before.next(now, event);
        if let State::Private { since, until } = before
            && !matches!(self.hold, State::Private { .. })
        {
            let ended = until.filter(|_| event == Event::Tick).unwrap_or(now);
            self.remember(PrivateTime { from: since, to: ended });
        }
        let mut changed = self.hold != before || ticked;
        if event == Event::Tick {
            let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
            for id in ids {
                changed |= self.handle_session(now, id, Event::Tick) == Some(true);
            }
        }
        changed
    }

    /// Applies an event to one session; `None` when there is none with this id.
    pub fn handle_session(&mut self, now: Moment, id: SessionId, event: Event) -> Option<bool> {
        let session = self.sessions.get_mut(&id)?;
        let mut changed = false;
        let mut ended = Vec::new();
        // What time alone has ended is over before anything else happens.
        for event in [Event::Tick, event] {
            let before = session.state;
            changed |= session.handle(now, event);
            if let (State::Private { since, .. }, false) = (before, matches!(session.state, State::Private { .. })) {
                ended.push(PrivateTime { from: since, to: now });
            }
        }
        ended.into_iter().for_each(|time| self.remember(time));
        Some(changed)
    }

    /// When time alone will change something.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let ends = self
            .sessions
            .values()
            .filter(|session| !matches!(session.state, State::Closed { .. } | State::Expired { .. }));
        ends.flat_map(|session| [session.state.timeout(), session.expires_at])
            .chain([self.hold.timeout()])
            .flatten()
            .min()
    }

    /// Tells whether a private time that is over held this moment, or may have: see [`TIME_STAMP_SLACK`].
    pub fn was_private(&self, moment: Moment) -> bool {
        self.private.iter().any(|time| time.from - TIME_STAMP_SLACK <= moment && moment <= time.to)
    }

    /// Asks whether a thing that last changed at `changed` may be captured now.
    ///
    /// Of several sessions that cover it, the one that names it most closely decides; among equals an open one.
    ///
    /// # Errors
    /// The reason, when it may not.
    pub fn admit(&self, now: Moment, source: &str, name: &[u8], changed: Moment) -> Result<Permit, Refusal> {
        match self.hold.next(now, Event::Tick) {
            State::Open => {}
            State::Paused { until } => return Err(Refusal::Paused(until)),
            State::Private { until, .. } => return Err(Refusal::Private(until)),
            State::Closed { .. } | State::Expired { .. } => return Err(Refusal::Ended),
        }
        let session = self
            .sessions
            .values()
            .filter_map(|session| Some((session.scope.closeness(source, name)?, session)))
            .map(|(closeness, session)| {
                let mut current = session.clone();
                current.handle(now, Event::Tick);
                (closeness, current.state == State::Open, current)
            })
            .max_by(|a, b| (a.0, a.1, a.2.opened_at).cmp(&(b.0, b.1, b.2.opened_at)))
            .map(|(_, _, session)| session)
            .ok_or(Refusal::NoSession)?;
        match session.state {
            State::Open => {}
            State::Paused { until } => return Err(Refusal::Paused(until)),
            State::Private { until, .. } => return Err(Refusal::Private(until)),
            State::Closed { .. } | State::Expired { .. } => return Err(Refusal::Ended),
        }
        if self.was_private(changed) {
            return Err(Refusal::ChangedInPrivate);
        }
        Ok(Permit { session: session.id, space: session.space })
    }

    fn remember(&mut self, time: PrivateTime) {
        // A clock set back must not turn the time inside out.
        let time = PrivateTime { from: time.from.min(time.to), to: time.from.max(time.to) };
        self.private.push(time);
        self.private.sort_by_key(|time| time.from);
        if self.private.len() > PRIVATE_TIMES_MAX {
            let between = |at: &usize| self.private[*at].from.since(self.private[*at - 1].to);
            let nearest = (1..self.private.len()).min_by_key(between).expect("there are thousands");
            let joined = self.private.remove(nearest);
            let before = &mut self.private[nearest - 1];
            before.to = before.to.max(joined.to);
        }
    }
}

/// The whole transition table as Markdown, made by asking [`State::next`]; `docs/sessions.md` holds a copy that a test compares.
pub fn table() -> String {
    let now = Moment::from_millis(1_000);
    let past = Some(Moment::from_millis(500));
    let states = [
        State::Open,
        State::Paused { until: past },
        State::Private { since: Moment::START, until: past },
        State::Closed { at: Moment::START },
        State::Expired { at: Moment::START },
    ];
    let mut out = String::from(
        "| state | pause | private | resume | its time is over | close | past the session's end |\n|---|---|---|---|---|---|---|\n",
    );
    for state in states {
        out += &format!("| {}", state.name());
        for event in
            [Event::Pause { until: None }, Event::Private { until: None }, Event::Resume, Event::Tick, Event::Close]
        {
            out += &format!(" | {}", state.next(now, event).name());
        }
        let mut session = Session {
            id: SessionId::from_bytes([0; 16]),
            space: SpaceId::from_bytes([0; 16]),
            purpose: String::new(),
            scope: Scope::default(),
            class: Class::default(),
            keep_days: None,
            visibility: Visibility::default(),
            opened_at: Moment::START,
            expires_at: Some(now),
            state,
            answers: Visibility::default(),
        };
        session.handle(now, Event::Tick);
        out += &format!(" | {} |\n", session.state.name());
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment::from_millis(1_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn session(n: u8, include: &str) -> Session {
        Session {
            id: SessionId::from_bytes([n; 16]),
            space: SpaceId::from_bytes([1; 16]),
            purpose: "notes".into(),
            scope: Scope { include: vec![Name(include.into())], ..Scope::default() },
            class: Class::Private,
            keep_days: None,
            visibility: Visibility::ThisNode,
            opened_at: Moment::START,
            expires_at: None,
            state: State::Open,
            answers: Visibility::ThisNode,
        }
    }

    fn gate(sessions: impl IntoIterator<Item = Session>) -> Gate {
        let mut gate = Gate::default();
        sessions.into_iter().for_each(|session| gate.put(session));
        gate
    }

    #[test]
    fn the_table_in_the_docs_is_what_the_machine_does() {
        let docs = include_str!("../../docs/sessions.md");
        assert!(docs.contains(&table()), "docs/sessions.md must hold this table:\n{}", table());
    }

    #[test]
    fn a_session_answers_whom_it_names_and_a_secret_one_nobody() {
        let (named, other) = (DeviceId::of_key_bytes(&[1; 32]), DeviceId::of_key_bytes(&[2; 32]));
        for (answers, class, to_named, to_other) in [
            (Visibility::ThisNode, Class::Public, false, false),
            (Visibility::Nodes(vec![named]), Class::Private, true, false),
            (Visibility::Nodes(Vec::new()), Class::Public, false, false),
            (Visibility::Fleet, Class::Private, true, true),
            (Visibility::Fleet, Class::Secret, false, false),
            (Visibility::Within(2), Class::Public, false, false),
            (Visibility::Nodes(vec![named]), Class::Secret, false, false),
        ] {
            let session = Session { class, answers: answers.clone(), ..session(1, "/notes") };
            assert_eq!((session.answers_to(&named), session.answers_to(&other)), (to_named, to_other), "{answers:?}");
        }
    }

    /// A gate from before sessions answered anybody: it ends with the state.
    #[test]
    fn a_session_from_before_answers_nobody() {
        let now = session(1, "/notes");
        let bytes = minicbor::to_vec(&now).expect("memory");
        let answers = minicbor::to_vec(&now.answers).expect("memory");
        let mut before = bytes[..bytes.len() - answers.len()].to_vec();
        assert_eq!(before[0], 0x80 | 11, "an array");
        before[0] = 0x80 | 10;
        assert_eq!(minicbor::decode::<Session>(&before).expect("it reads"), now);
        let json = serde_json::to_value(&now).expect("memory");
        let mut before = json.clone();
        before.as_object_mut().expect("an object").remove("answers").expect("it is said");
        assert_eq!(serde_json::from_value::<Session>(before).expect("it reads"), now);
    }

    #[test]
    fn every_arrow_of_the_drawing_and_no_other() {
        let until = Some(NOW + MINUTE);
        let paused = State::Paused { until };
        let private = State::Private { since: NOW, until };
        let closed = State::Closed { at: NOW };
        let expired = State::Expired { at: NOW };
        for (case, from, at, event, to) in [
            ("open pauses", State::Open, NOW, Event::Pause { until }, paused),
            ("open goes private", State::Open, NOW, Event::Private { until }, private),
            ("open resumes to itself", State::Open, NOW, Event::Resume, State::Open),
            ("open does not tick", State::Open, NOW, Event::Tick, State::Open),
            ("open closes", State::Open, NOW, Event::Close, closed),
            ("paused takes a new time", paused, NOW, Event::Pause { until: None }, State::Paused { until: None }),
            ("paused goes private", paused, NOW, Event::Private { until }, private),
            ("paused resumes", paused, NOW, Event::Resume, State::Open),
            ("paused waits for its time", paused, NOW, Event::Tick, paused),
            ("paused ends with its time", paused, NOW + MINUTE, Event::Tick, State::Open),
            (
                "paused without a time stays",
                State::Paused { until: None },
                NOW + MINUTE,
                Event::Tick,
                State::Paused { until: None },
            ),
            ("paused closes", paused, NOW, Event::Close, closed),
            ("private beats pause", private, NOW, Event::Pause { until: None }, private),
            (
                "private keeps its beginning",
                private,
                NOW + MINUTE,
                Event::Private { until: None },
                State::Private { since: NOW, until: None },
            ),
            ("private resumes", private, NOW, Event::Resume, State::Open),
            ("private waits for its time", private, NOW, Event::Tick, private),
            ("private ends with its time", private, NOW + MINUTE, Event::Tick, State::Open),
            ("private closes", private, NOW, Event::Close, closed),
            ("closed stays closed", closed, NOW + MINUTE, Event::Resume, closed),
            ("closed is not closed again", closed, NOW + MINUTE, Event::Close, closed),
            ("expired stays expired", expired, NOW + MINUTE, Event::Resume, expired),
            ("expired is not closed", expired, NOW + MINUTE, Event::Close, expired),
        ] {
            assert_eq!(from.next(at, event), to, "{case}");
        }
    }

    #[test]
    fn only_what_an_open_session_covers_is_admitted() {
        let mut closed = session(2, "/home/a/old");
        closed.state = State::Closed { at: NOW };
        let mut gate = gate([session(1, "/home/a"), closed]);
        for (case, name, expected) in [
            ("in scope", "/home/a/note.md", Ok(1)),
            ("the folder itself", "/home/a", Ok(1)),
            ("a name that merely begins alike", "/home/ab/note.md", Err(Refusal::NoSession)),
            ("elsewhere", "/etc/passwd", Err(Refusal::NoSession)),
            ("the closest session decides", "/home/a/old/note.md", Err(Refusal::Ended)),
        ] {
            let got = gate.admit(NOW, "files", name.as_bytes(), NOW).map(|permit| permit.session().as_bytes()[0]);
            assert_eq!(got, expected, "{case}");
        }
        let id = SessionId::from_bytes([1; 16]);
        gate.sessions.get_mut(&id).expect("put above").scope.exclude = vec![Name("/home/a/diary".into())];
        assert_eq!(gate.admit(NOW, "files", b"/home/a/diary/1", NOW), Err(Refusal::NoSession), "left out");
        gate.sessions.get_mut(&id).expect("put above").scope.sources = vec!["files".into()];
        assert_eq!(gate.admit(NOW, "shell-history", b"/home/a/x", NOW), Err(Refusal::NoSession), "another source");
    }

    #[test]
    fn a_hold_on_the_node_stops_every_session_and_ends_by_itself() {
        let mut gate = gate([session(1, "/a")]);
        gate.handle(NOW, Event::Pause { until: Some(NOW + MINUTE) });
        assert_eq!(gate.admit(NOW, "files", b"/a/x", NOW), Err(Refusal::Paused(Some(NOW + MINUTE))));
        assert_eq!(gate.poll_timeout(), Some(NOW + MINUTE));
        let later = NOW + MINUTE;
        assert!(gate.admit(later, "files", b"/a/x", NOW).is_ok(), "also before the tick that says so");
        assert!(gate.handle(later, Event::Tick));
        assert_eq!(gate.hold(), State::Open);
    }

    #[test]
    fn what_changed_in_private_stays_out_and_what_changed_while_paused_comes_in() {
        let mut gate = gate([session(1, "/a")]);
        gate.handle(NOW, Event::Private { until: None });
        gate.handle(NOW + MINUTE, Event::Resume);
        let later = NOW + 2 * MINUTE;
        assert_eq!(gate.admit(later, "files", b"/a/x", NOW + MINUTE / 2), Err(Refusal::ChangedInPrivate));
        assert!(gate.admit(later, "files", b"/a/x", later).is_ok());
        gate.handle(later, Event::Pause { until: None });
        gate.handle(later + MINUTE, Event::Resume);
        assert!(gate.admit(later + MINUTE, "files", b"/a/x", later + MINUTE / 2).is_ok());
    }

    #[test]
    fn private_times_are_never_forgotten_however_many_and_however_old() {
        let mut gate = gate([session(1, "/a")]);
        let spans: Vec<Moment> = (0..5_000_u32).map(|nth| NOW + MINUTE * (10 * nth)).collect();
        for from in &spans {
            gate.handle(*from, Event::Private { until: None });
            gate.handle(*from + MINUTE, Event::Resume);
        }
        let ages_later = NOW + MINUTE * 60 * 24 * 365 * 30;
        for from in &spans {
            let inside = *from + MINUTE / 2;
            assert_eq!(gate.admit(ages_later, "files", b"/a/x", inside), Err(Refusal::ChangedInPrivate));
        }
        assert!(gate.admit(ages_later, "files", b"/a/x", ages_later).is_ok());
        let last = *spans.last().expect("there are some");
        assert!(gate.admit(ages_later, "files", b"/a/x", last + MINUTE * 5).is_ok(), "and nothing else");
    }

    #[test]
    fn a_session_on_hold_or_over_lets_nothing_in_and_says_why() {
        let until = Some(NOW + MINUTE);
        for (event, refusal, says) in [
            (Event::Pause { until: None }, Refusal::Paused(None), "capture is paused on this node; "),
            (Event::Pause { until }, Refusal::Paused(until), "for a limited time; "),
            (Event::Private { until: None }, Refusal::Private(None), "private mode is on; "),
            (Event::Private { until }, Refusal::Private(until), "for a limited time; "),
            (Event::Close, Refusal::Ended, "open another"),
        ] {
            let (mut gate, id) = (gate([session(1, "/a")]), session(1, "/a").id);
            assert_eq!(gate.handle_session(NOW, id, event), Some(true), "{event:?}");
            let refused = gate.admit(NOW, "files", b"/a/x", NOW).expect_err("it is on hold or over");
            assert_eq!(refused, refusal, "{event:?}");
            assert!(refused.to_string().contains(says), "{refused}");
            if matches!(event, Event::Private { .. }) {
                let later = NOW + 2 * MINUTE;
                gate.handle_session(later, id, Event::Resume);
                assert!(gate.was_private(NOW + MINUTE / 2), "also of one session it is remembered");
            }
        }
        let mut gate = gate([session(1, "/a")]);
        assert!(!gate.handle(NOW, Event::Close), "the node's hold cannot be closed");
        assert_eq!(gate.handle_session(NOW, SessionId::from_bytes([9; 16]), Event::Close), None);
        assert!(gate.admit(NOW, "files", b"/a/x", NOW).is_ok_and(|permit| permit.space() == session(1, "").space));
        assert_eq!(gate.session(session(1, "").id), Some(&session(1, "/a")));
        assert_eq!(gate.remove(session(1, "").id), Some(session(1, "/a")));
        assert_eq!(gate.admit(NOW, "files", b"/a/x", NOW), Err(Refusal::NoSession));
    }

    #[test]
    fn a_scope_of_folders_takes_what_lies_in_folders_and_one_of_sources_those() {
        let (folders, sources) = (session(1, "/a").scope, |names: &[&str]| Scope {
            sources: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Scope::default()
        });
        for (case, scope, source, in_folders, takes) in [
            ("folders, files", folders.clone(), "files", true, true),
            ("folders, history", folders, "shell-history", false, false),
            ("everything, history", sources(&[]), "shell-history", false, true),
            ("history, history", sources(&["shell-history"]), "shell-history", false, true),
            ("history, files", sources(&["shell-history"]), "files", true, false),
        ] {
            assert_eq!(scope.takes(source, in_folders), takes, "{case}");
        }
        let history = Session { scope: sources(&["shell-history"]), ..session(1, "") };
        assert!(gate([history]).admit(NOW, "shell-history", b"zsh/x", NOW).is_ok(), "no folder is asked for");
    }

    #[test]
    fn a_session_is_shown_lossily_and_its_names_are_in_no_debug_output() {
        let odd = Session {
            scope: Scope { include: vec![Name(b"/caf\xe9".to_vec())], ..Scope::default() },
            ..session(1, "")
        };
        let shown = serde_json::to_value(&odd).expect("plain data");
        assert_eq!(shown["scope"]["include"][0], "/caf\u{fffd}");
        let read: Session =
            serde_json::from_value(serde_json::to_value(session(2, "/b")).expect("plain data")).expect("read");
        assert_eq!(read, session(2, "/b"));
        assert_eq!(format!("{:?}", odd.scope.include), "[Name(5 bytes)]");
        let schema = serde_json::to_value(schemars::schema_for!(Scope)).expect("plain data");
        assert_eq!(schema["$defs"]["Name"]["type"], "string", "{schema}");
    }

    #[test]
    fn a_session_past_its_end_expires_whatever_happens() {
        let mut ending = session(1, "/a");
        ending.expires_at = Some(NOW);
        let mut gate = gate([ending]);
        assert_eq!(gate.admit(NOW, "files", b"/a/x", NOW), Err(Refusal::Ended), "also before the tick");
        gate.handle(NOW, Event::Tick);
        assert_eq!(gate.sessions().next().map(|session| session.state), Some(State::Expired { at: NOW }));
    }

    #[test]
    fn a_gate_whose_hold_was_ended_lets_nothing_in() {
        for hold in [State::Closed { at: NOW }, State::Expired { at: NOW }] {
            let gate = Gate { hold, ..gate([session(1, "/a")]) };
            assert_eq!(gate.admit(NOW, "files", b"/a/x", NOW), Err(Refusal::Ended), "{}", hold.name());
        }
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for (refusal, says) in [
            (Refusal::NoSession, "name its folder with `hearth up --folder` or `hearth session open`"),
            (Refusal::Paused(None), "capture is paused on this node; `hearth resume` ends that"),
            (Refusal::Private(None), "nothing from this time is ever captured, `hearth resume` ends it"),
            (Refusal::ChangedInPrivate, "it stays out until it changes again"),
            (Refusal::Ended, "open another with `hearth session open`"),
        ] {
            assert!(refusal.to_string().ends_with(says), "{refusal}");
        }
    }

    fn events() -> impl Strategy<Value = Vec<(u64, u8, Option<u64>)>> {
        prop::collection::vec((0_u64..100, 0_u8..5, prop::option::of(0_u64..200)), 0..40)
    }

    proptest! {
        /// The model: a thing is admitted exactly when, by the plain reading of the words, capture is on.
        #[test]
        fn nothing_is_admitted_outside_an_open_session(steps in events()) {
            let mut gate = gate([session(1, "/a")]);
            let (mut now, mut model) = (NOW, (false, None, false));
            for (wait, what, until) in steps {
                now = now + Duration::from_millis(wait);
                if model.1.is_some_and(|end| end <= now) { model = (false, None, false); }
                let until = until.map(|ms| now + Duration::from_millis(ms));
                match what {
                    0 => {
                        if !model.2 { model = (true, until, false); }
                        gate.handle(now, Event::Pause { until });
                    }
                    1 => { model = (true, until, true); gate.handle(now, Event::Private { until }); }
                    2 => { model = (false, None, false); gate.handle(now, Event::Resume); }
                    _ => { gate.handle(now, Event::Tick); }
                }
                if model.1.is_some_and(|end| end <= now) { model = (false, None, false); }
                let admitted = gate.admit(now, "files", b"/a/x", NOW - MINUTE);
                prop_assert_eq!(admitted.is_ok(), !model.0, "{:?} {:?}", admitted, gate);
                prop_assert!(gate.admit(now, "files", b"/b/x", NOW).is_err());
            }
        }

        #[test]
        fn a_gate_reads_back_as_written(steps in events()) {
            let mut gate = gate([session(1, "/a")]);
            for (n, (_, what, _)) in steps.iter().enumerate() {
                let event = if what % 2 == 0 { Event::Private { until: None } } else { Event::Resume };
                gate.handle(NOW + Duration::from_secs(n as u64), event);
            }
            let bytes = minicbor::to_vec(&gate).expect("memory does not fail");
            prop_assert_eq!(minicbor::decode::<Gate>(&bytes).expect("what we wrote"), gate);
        }
    }
}

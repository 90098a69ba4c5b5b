//! An agent for tests: answers that are always the same, and a record of what was asked.

use std::{
    collections::BTreeMap,
    io::Cursor,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use hearth_core::{
    ChunkId, DeviceId, DocumentId, ItemId, Moment, SessionId, SpaceId, audit,
    schema::{Chunk, Item},
    session::{Class, Name, Scope, Session, State, Visibility},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Agent, Daemon, Feature, FormatLine, Identity, Proposed, Running, Sample, Shell, World};
use crate::{
    ask::{
        Answers, Ask, Audited, BatchFound, Check, Checked, Exported, Failure, FailureKind, Forgotten, Found, Held, Hit,
        Hold, Indexed, Lineage, Parts, Rebuilt, Sessions, Share, Shown, Skipped, SourceState, Sources, Status,
        Stopping, Why, fleet,
    },
    commands::bench::Bench,
    config::Config,
};

/// 2026-03-24T19:00:00Z.
pub(crate) const NOW: Moment = Moment::from_millis(1_774_378_800_000);

/// Answers out of thin air, and remembers what was asked.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) asked: Mutex<Vec<Ask>>,
    hold: Mutex<Option<State>>,
    stop: Option<tokio_util::sync::CancellationToken>,
}

impl Fake {
    /// One that stops a daemon when told to.
    pub(crate) fn daemon(stop: tokio_util::sync::CancellationToken) -> Self {
        Self { stop: Some(stop), ..Self::default() }
    }

    /// What was asked last.
    pub(crate) fn last(&self) -> Ask {
        self.asked.lock().expect("no test panics with it").last().expect("something was asked").clone()
    }
}

pub(crate) fn session() -> Session {
    Session {
        id: SessionId::from_bytes([7; 16]),
        space: SpaceId::from_bytes([2; 16]),
        purpose: "my notes".into(),
        scope: Scope { sources: vec![], include: vec![Name(b"/home/ada/notes".to_vec())], exclude: vec![] },
        class: Class::Private,
        keep_days: Some(365),
        visibility: Visibility::ThisNode,
        opened_at: NOW - std::time::Duration::from_secs(86_400),
        expires_at: None,
        state: State::Open,
        answers: Visibility::ThisNode,
    }
}

/// A fleet of four: this device, one that is linked, one that is not, one that was taken out.
fn fleet(order: &fleet::Order) -> Value {
    if matches!(order, fleet::Order::Wake) {
        return json!(fleet::Woken::default());
    }
    if matches!(order, fleet::Order::Invite { .. }) {
        return json!(fleet::Invited {
            code: "eagle-visit-peace-hope-final-regular-visit-pony".into(),
            until: NOW + std::time::Duration::from_secs(600),
            at: vec!["192.168.1.20:7845".into(), "10.0.0.2:7845".into()],
        });
    }
    let member = |n: u8, name: &str, standing: &str, link| fleet::Member {
        id: DeviceId::from_bytes([n; 16]),
        name: name.into(),
        spiffe: format!("spiffe://flt-{}/node/{}", "ab".repeat(16), DeviceId::from_bytes([n; 16])),
        here: n == 9,
        admin: n == 9,
        standing: standing.into(),
        link,
        items: u64::from(n) * 100,
        until: (n == 1).then_some(NOW - std::time::Duration::from_secs(3 * 3_600)),
        unconfirmed: u64::from(n == 1) * 3,
    };
    let (since, retry_at) = (NOW - std::time::Duration::from_secs(60), NOW + std::time::Duration::from_secs(90));
    let waiting = fleet::Link::Waiting {
        reason: "nothing answers at 192.168.1.30:7845; is the other side running there, and does the network let UDP through?"
            .into(),
        retry_at,
    };
    let devices = vec![
        member(9, "nas", "member", fleet::Link::None),
        member(1, "desktop", "member", waiting),
        member(2, "laptop", "member", fleet::Link::Linked { since, behind: Some(12), through_broker: false }),
        member(3, "old phone", "revoked", fleet::Link::None),
    ];
    let about = fleet::About {
        id: format!("flt-{}", "ab".repeat(16)),
        name: "home".into(),
        epoch: 2,
        forked: false,
        sides: Vec::new(),
        erased: 14,
        threshold: 2,
        waiting: vec![fleet::Waiting {
            id: "1a2b3c4d".into(),
            order: "revoke old phone".into(),
            signed: vec!["desktop".into()],
            lacks: 1,
            asked: true,
        }],
        devices,
        guests: vec![fleet::Guest { id: "flt-0c61f1f2a1d0c2b3a4958677e8d9caf0".into(), name: "anna".into() }],
        residencies: vec![fleet::Residency {
            number: 2,
            name: "study".into(),
            homes: vec!["nas".into(), "desktop".into()],
        }],
        sheet: Some(fleet::Sheet {
            id: DeviceId::from_bytes([5; 16]),
            made_at: NOW - std::time::Duration::from_secs(86_400),
        }),
        relays: vec![
            fleet::Relay {
                id: DeviceId::from_bytes([7; 16]),
                address: "relay.example.net:7843".into(),
                key: "5e".repeat(32),
                link: fleet::Link::Linked { since, behind: Some(0), through_broker: true },
                signed_at: Some(since),
                unsigned: 0,
            },
            fleet::Relay {
                id: DeviceId::from_bytes([8; 16]),
                address: "192.168.1.40:7843".into(),
                key: "5f".repeat(32),
                link: fleet::Link::None,
                signed_at: None,
                unsigned: 12,
            },
        ],
        broker: Some(fleet::Broker {
            address: "mqtt.example.net:8883".into(),
            connected: true,
            state: "connected to the broker".into(),
        }),
    };
    json!(fleet::Shown { fleet: Some(about) })
}

fn hit(n: u8, title: &str, path: Option<&str>, snippet: &str, word: &str) -> Hit {
    Hit {
        id: ItemId::from_bytes([n; 16]).to_string(),
        node: DeviceId::from_bytes([9; 16]),
        session: SessionId::from_bytes([7; 16]),
        source: "files".into(),
        path: path.map(Into::into),
        title: title.into(),
        snippet: snippet.into(),
        highlights: snippet.match_indices(word).map(|(at, word)| (at, at + word.len())).collect(),
        score: 0.0625 / f32::from(n),
        parts: Parts { keyword: Some(7.5), vector: (n != 2).then_some(0.625) },
        lineage: Lineage {
            source: "files".into(),
            purpose: "my notes".into(),
            modified_at: NOW - std::time::Duration::from_secs(3 * 86_400 * u64::from(n)),
            captured_at: NOW - std::time::Duration::from_secs(3_600),
            heading: if n == 1 { "Summer › Watering".into() } else { String::new() },
            redactions: BTreeMap::from([("email".into(), 2)]),
            model: (n != 2).then(|| "all-MiniLM-L6-v2".into()),
            device: None,
        },
    }
}

pub(crate) fn found() -> Found {
    Found {
        hits: vec![
            hit(
                1,
                "Growing tomatoes on the balcony",
                Some("/home/ada/notes/garden/tomatoes.md"),
                "Water in the morning, never on the leaves. Tomatoes that dry out and are then soaked will split, so a \
                 drip line or a saucer is worth the trouble.",
                "Tomatoes",
            ),
            hit(
                2,
                "<script>alert(1)</script> & \"quotes\"",
                Some("/home/ada/notes/<b>.html"),
                "a <script>alert('x')</script> in the snippet, and \u{1b}[31msteering\u{202e}",
                "script",
            ),
            hit(
                3,
                "Ein sehr langer Titel, der nicht auf eine einzige Zeile passen will, so breit sie auch ist",
                None,
                "日本語のテキスト",
                "語",
            ),
        ],
        took_ms: 12.25,
        missing: vec!["311 passages have no vector yet; they are found by word only".into()],
    }
}

fn item() -> Item {
    Item {
        id: ItemId::from_bytes([1; 16]),
        external_id: None,
        space: SpaceId::from_bytes([2; 16]),
        node: DeviceId::from_bytes([9; 16]),
        session: SessionId::from_bytes([7; 16]),
        source: "files".into(),
        path: Some("/home/ada/notes/garden/tomatoes.md".into()),
        title: "Growing <b>tomatoes</b>".into(),
        format: "markdown".into(),
        document: DocumentId::from_bytes([3; 16]),
        modified_at: NOW - std::time::Duration::from_secs(86_400 * 40),
        captured_at: NOW - std::time::Duration::from_secs(3_600),
        bytes: 900,
        chunks: 2,
        redactions: BTreeMap::from([("email".into(), 2)]),
    }
}

fn chunk(n: u8, heading: &str) -> Chunk {
    Chunk {
        id: ChunkId::from_bytes([n; 16]),
        item: ItemId::from_bytes([1; 16]),
        document: DocumentId::from_bytes([3; 16]),
        heading: heading.into(),
        start: 0,
        end: 5,
        text: "Water".into(),
    }
}

impl Answers for Fake {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        self.asked.lock().expect("no test panics with it").push(ask.clone());
        let hold = || self.hold.lock().expect("no test panics with it").unwrap_or(State::Open);
        Ok(match ask {
            Ask::Status => json!(Status {
                node: DeviceId::from_bytes([9; 16]),
                version: "0.1.0".into(),
                daemon: self.stop.is_some(),
                started_at: self.stop.is_some().then_some(NOW),
                hold: hold(),
                activity: "embedding".into(),
                items: 1_204,
                from_fleet: 0,
                chunks: 9_811,
                embedded: 9_500,
                pending: 311,
                dead: 0,
                redactions: BTreeMap::from([("api_key".into(), 4), ("email".into(), 120)]),
                skipped: BTreeMap::from([("too-large".into(), 3)]),
                disk: BTreeMap::from([("log".into(), 120_000_000)]),
                notices: vec!["1 folder could not be watched; it is scanned every hour instead".into()],
            }),
            Ask::Search(query) if query.text.contains("nothing") => json!(Found::default()),
            Ask::Search(query) if query.text.contains("panic") => panic!("as asked"),
            Ask::Search(_) => json!(found()),
            Ask::SearchBatch { queries, .. } => json!(BatchFound {
                runs: queries
                    .into_iter()
                    .map(|query| (query.id, vec![("d/1".into(), 0.5), ("d/2".into(), 0.25)]))
                    .collect(),
                took_ms: 2.0,
            }),
            Ask::Show { id } if id == "gone" => {
                return Err(Failure::new(FailureKind::NotFound, "there is no such item; `hearth search` shows ids"));
            }
            Ask::Show { id } if id.ends_with("elsewhere") && id != "/here/elsewhere" => {
                return Err(Failure::new(FailureKind::NotFound, "there is no such item; `hearth search` shows ids"));
            }
            Ask::Show { .. } => json!(Shown {
                item: item(),
                text: "# Growing tomatoes\n\nAsk [email] <script>alert(1)</script> & more.\n".into(),
                chunks: vec![chunk(1, "Growing tomatoes"), chunk(2, "Growing tomatoes › Watering")],
                open: Some("/home/ada/notes/garden/secret-name.md".into()),
            }),
            Ask::Import { .. } => json!(Indexed {
                items: 2,
                chunks: 2,
                skipped: vec![Skipped { path: "line 3".into(), reason: "it is not JSON (column 2)".into() }],
                ..Indexed::default()
            }),
            Ask::Index { .. } => json!(Indexed {
                items: 12,
                chunks: 80,
                skipped: vec![Skipped {
                    path: "/home/ada/notes/x.bin".into(),
                    reason: "it is binary, which holds no text that hearth reads; `hearth formats` lists what it reads"
                        .into()
                }],
                redactions: BTreeMap::from([("email".into(), 2)]),
                seconds: BTreeMap::from([("total".into(), 1.25)]),
            }),
            Ask::Export { .. } => json!(Exported { items: 12 }),
            Ask::Why { .. } => json!(Why {
                path: "/home/ada/notes/x.bin".into(),
                verdict: "skipped".into(),
                because: vec!["the session “my notes” covers it".into(), "it is binary, which holds no text".into()],
                item: None,
            }),
            Ask::Hold { how, for_ms, .. } => {
                let until = for_ms.map(|ms| NOW + std::time::Duration::from_millis(ms));
                let state = match how {
                    Hold::Pause => State::Paused { until },
                    Hold::Private => State::Private { since: NOW, until },
                    Hold::Resume => State::Open,
                };
                *self.hold.lock().expect("no test panics with it") = Some(state);
                json!(Held { hold: state })
            }
            Ask::Forget { dry_run, .. } => json!(Forgotten {
                items: 3,
                documents: 4,
                titles: vec!["Growing tomatoes".into(), "Shopping".into()],
                dry_run,
                others: 0,
            }),
            Ask::Sessions => {
                let other = Session {
                    id: SessionId::from_bytes([8; 16]),
                    purpose: "my shells".into(),
                    scope: Scope {
                        sources: vec!["shell-history".into()],
                        include: vec![],
                        exclude: vec![Name(
                            b"/home/ada/a rather long way down/to a folder/that nobody is to see".to_vec(),
                        )],
                    },
                    keep_days: None,
                    expires_at: Some(NOW + std::time::Duration::from_secs(3_600)),
                    state: State::Paused { until: None },
                    ..session()
                };
                json!(Sessions { sessions: vec![session(), other] })
            }
            Ask::OpenSession(new) => json!(Sessions { sessions: vec![Session { purpose: new.purpose, ..session() }] }),
            Ask::CloseSession { .. } => {
                json!(Sessions { sessions: vec![Session { state: State::Closed { at: NOW }, ..session() }] })
            }
            Ask::Share { how, .. } => {
                let (visibility, answers) = match how {
                    Share::Everything => (Visibility::Fleet, Visibility::ThisNode),
                    Share::Live { devices } if devices.is_empty() => (Visibility::ThisNode, Visibility::Fleet),
                    Share::Live { .. } => {
                        (Visibility::ThisNode, Visibility::Nodes(vec![DeviceId::from_bytes([9; 16])]))
                    }
                    Share::Within { .. } => (Visibility::Within(2), Visibility::ThisNode),
                    Share::Nothing => (Visibility::ThisNode, Visibility::ThisNode),
                };
                json!(Sessions { sessions: vec![Session { visibility, answers, ..session() }] })
            }
            Ask::Fleet(order) => fleet(&order),
            Ask::Sources => json!(Sources {
                sources: vec![SourceState {
                    id: "files".into(),
                    about: "files in folders".into(),
                    items: 1_204,
                    on: true,
                    scanned_at: Some(NOW)
                }],
            }),
            Ask::Rebuild => json!(Rebuilt { documents: 12, vectors: 80, seconds: 0.5 }),
            Ask::Audit { .. } => json!(Audited {
                entries: vec![audit::Entry {
                    seq: 4,
                    at: NOW,
                    space: SpaceId::from_bytes([2; 16]),
                    event: audit::Event::Forgot { by: "last".into(), items: 3, documents: 4 },
                    prev: audit::GENESIS,
                }],
                broken: None,
            }),
            Ask::Doctor => json!(Checked {
                checks: vec![
                    Check { name: "log".into(), ok: true, says: "12 segments, all signatures verify".into() },
                    Check {
                        name: "index".into(),
                        ok: false,
                        says: "a file is missing; `hearth state rebuild` makes it anew".into()
                    },
                ],
            }),
            Ask::Stop => {
                if let Some(stop) = &self.stop {
                    stop.cancel();
                }
                json!(Stopping {})
            }
        })
    }
}

/// The agent around the fake.
#[derive(Debug, Default)]
pub(crate) struct FakeAgent {
    /// Who answered for the folder.
    pub(crate) folder: Arc<Fake>,
    /// Whether another process has the folder.
    pub(crate) taken: bool,
}

struct Shared(Arc<Fake>);

impl Answers for Shared {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        self.0.answer(ask)
    }
}

impl Agent for FakeAgent {
    fn open(&self, _: &Path, _: &Config) -> Result<Box<dyn Answers>, Failure> {
        if self.taken {
            return Err(Failure::new(FailureKind::Busy, "another command works on this folder; try again in a moment"));
        }
        Ok(Box::new(Shared(Arc::clone(&self.folder))))
    }

    fn start(&self, _: Daemon) -> Result<Box<dyn Running>, Failure> {
        Err(Failure::new(FailureKind::Denied, "the fake starts nothing"))
    }

    fn identity(&self, _: &Path, _: bool) -> Result<Identity, Failure> {
        Ok(Identity { node: DeviceId::from_bytes([9; 16]), device_key: "ab".repeat(32) })
    }

    fn propose(&self, home: &Path) -> Vec<Proposed> {
        vec![Proposed { path: home.join("notes"), why: "Markdown notes".into(), files: 812, bytes: 2_400_000 }]
    }

    fn sample(&self, _: &[PathBuf], _: &Config) -> Sample {
        Sample {
            files: 200,
            hidden: vec![("email".into(), 31), ("api_key".into(), 2)],
            captured: vec!["/home/ada/notes/a.md".into()],
            left_alone: vec![("/home/ada/notes/.env".into(), "it is never captured: it holds secrets".into())],
        }
    }

    fn formats(&self) -> Vec<FormatLine> {
        let line = |format: &str, extensions: &[&str], support: &str, notes: &str| FormatLine {
            format: format.into(),
            extensions: extensions.iter().map(|&extension| extension.into()).collect(),
            support: support.into(),
            notes: notes.into(),
        };
        vec![
            line(
                "markdown",
                &["md"],
                "structure",
                "headings; the title is the first of them, else the name of the file",
            ),
            line("code/rust", &["rs"], "text", "as it stands"),
            line("a ZIP archive", &[], "not-read", "known by its first bytes"),
            line("a PNG image", &[], "not-read", "known by its first bytes"),
        ]
    }

    fn features(&self, _: &Config) -> Vec<Feature> {
        vec![Feature { name: "ort".into(), on: false, why: "no library is named; set embed.onnxruntime".into() }]
    }

    fn bench(&self, _: &Bench, _: &Config) -> Result<Value, Failure> {
        Ok(json!([]))
    }

    fn open_file(&self, _: &Path) -> std::io::Result<()> {
        Err(std::io::Error::other("there is no desktop"))
    }
}

/// Surroundings without a terminal, at a fixed time.
pub(crate) fn world() -> World {
    World {
        environment: BTreeMap::from([("HOME".into(), "/nonexistent/home".into())]),
        here: PathBuf::from("/here"),
        system: PathBuf::from("/nonexistent/etc"),
        now: NOW,
        zone: TimeZone::UTC,
        input_is_terminal: false,
        out_is_terminal: false,
        err_is_terminal: false,
        width: 80,
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command with these surroundings; `input` is what is typed.
pub(crate) fn run(agent: &FakeAgent, world: World, line: &[&str], input: &str) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut shell =
        Shell::new(agent, world, Box::new(&mut out), Box::new(&mut err), Box::new(Cursor::new(input.to_owned())));
    let line = std::iter::once("hearth").chain(line.iter().copied()).map(Into::into);
    let code = super::run(line, &mut shell);
    drop(shell);
    let text = |bytes| String::from_utf8(bytes).expect("what is written is text");
    Ran { code, out: text(out), err: text(err) }
}

//! The node's answers to what can be asked of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read as _, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_core::{Moment, SessionId, audit, session};
use hearth_text::Raw;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Node, NodeError,
    find::public_item,
    fleet,
    forget::ForgetError,
    intake::{Read, Ticket, Work, skip},
    lock, now,
};
use crate::{
    ask::{
        Answers, Ask, Audited, Check, Checked, Exported, Failure, FailureKind, Held, Hold, Indexed, NewSession,
        Sessions, Share, Shown, SourceState, Sources, Status, Why,
    },
    capture::{Captured, Fingerprint, Format, display_name, path_name},
    cli::{bytes, count},
};
use hearth_store::{Position, StoreError, disk_usage, entropy};

/// One line of an import.
const LINE_MAX: u64 = 32 << 20;
const ID_MAX: usize = 512;
const PURPOSE_MAX: usize = 500;

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let kind = match &error {
            NodeError::Store(StoreError::InUse(_)) => FailureKind::Busy,
            NodeError::Store(StoreError::Newer { .. } | StoreError::ReadOnly { .. } | StoreError::NoKeys(_)) => {
                FailureKind::Denied
            }
            _ => FailureKind::Failed,
        };
        Self::new(kind, with_causes(&error))
    }
}

/// An error and what is behind it, as one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Node(error) => error.into(),
            ForgetError::Refused(failure) => failure,
        }
    }
}

impl Answers for Node {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        match ask {
            Ask::Status => json(&self.status()?),
            Ask::Search(query) => {
                let mut found = self.shared.find(&query)?;
                if !query.here {
                    found.missing.extend(self.shared.unasked());
                }
                json(&found)
            }
            Ask::SearchBatch { queries, limit, mode } => json(&self.shared.find_batch(&queries, limit, mode)?),
            Ask::Show { id } => json(&self.show(&id)?),
            Ask::Index { paths, again } => json(&self.index(&paths, again)?),
            Ask::Import { file } => json(&self.import(&file)?),
            Ask::Export { file } => json(&self.export(&file)?),
            Ask::Why { path } => json(&self.why(&path)?),
            Ask::Hold { how, for_ms, session } => json(&self.hold(how, for_ms, session)?),
            Ask::Forget { what, dry_run } => json(&self.shared.forget(&what, dry_run)?),
            Ask::Sessions => json(&Sessions { sessions: self.shared.gate().sessions().cloned().collect() }),
            Ask::OpenSession(terms) => json(&Sessions { sessions: vec![self.open_session(&terms)?] }),
            Ask::CloseSession { session } => json(&self.close_session(session)?),
            Ask::Share { session, how } => json(&self.share(session, how)?),
            Ask::Fleet(order) => fleet::answer(&self.shared, order),
            Ask::Sources => json(&self.list_sources()?),
            Ask::Audit { last } => {
                let (mut entries, broken) = self.shared.read_audit()?;
                entries.drain(..entries.len().saturating_sub(last));
                json(&Audited { entries, broken })
            }
            Ask::Doctor => json(&self.doctor()?),
            Ask::Rebuild => Err(Failure::new(
                FailureKind::Denied,
                "the daemon is using the state and the index; stop it with `hearth stop`, then run `hearth state rebuild` again",
            )),
            Ask::Stop => Err(Failure::new(FailureKind::NotFound, "no daemon is running on this data folder")),
        }
    }
}

pub(super) fn json(answer: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer)
        .map_err(|error| Failure::new(FailureKind::Failed, format!("the answer could not be written: {error}")))
}

impl Node {
    /// Begins to scan and watch what open sessions name.
    pub fn start_watching(&self) {
        self.embedding.start();
        self.sources.start(&self.intake.queue());
    }

    /// How the node is.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn status(&self) -> Result<Status, NodeError> {
        let totals = self.shared.totals()?;
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        for (code, count) in lock(&self.shared.skipped).values().flatten() {
            *skipped.entry(code.clone()).or_default() += count;
        }
        let activity = if self.sources.is_scanning() {
            "scanning"
        } else if self.intake.is_busy() {
            "capturing"
        } else if totals.pending > 0 && self.shared.work.active.load(std::sync::atomic::Ordering::SeqCst) > 0 {
            "embedding"
        } else {
            "idle"
        };
        let parts = ["log", "keys", "state", "index", "audit"];
        Ok(Status {
            node: self.shared.identity.device,
            version: env!("CARGO_PKG_VERSION").into(),
            daemon: false,
            started_at: None,
            hold: self.shared.gate().hold(),
            activity: activity.into(),
            items: totals.items,
            from_fleet: totals.foreign,
            chunks: totals.chunks,
            embedded: totals.embedded,
            pending: totals.pending,
            dead: self.shared.dead_jobs()?,
            redactions: totals.redactions,
            skipped,
            disk: parts.iter().map(|part| ((*part).to_owned(), disk_usage(&self.shared.folder.part(part)))).collect(),
            notices: lock(&self.shared.notices).clone(),
        })
    }

    /// Whether the query model is in memory.
    pub fn is_model_loaded(&self) -> bool {
        self.shared.finder.is_loaded()
    }

    fn show(&self, id: &str) -> Result<Shown, Failure> {
        let item = self.shared.item_called(id)?.ok_or_else(no_such_item)?;
        self.shared.shown(&item)?.ok_or_else(no_such_item)
    }

    fn index(&self, paths: &[PathBuf], again: bool) -> Result<Indexed, Failure> {
        let begun = Instant::now();
        let mut roots = Vec::new();
        for path in paths {
            let found = std::fs::canonicalize(path);
            roots.push(found.map_err(|error| {
                let shown = self.redacted(&display_name(&path_name(path)));
                Failure::new(FailureKind::NotFound, format!("`{shown}` cannot be indexed: {error}"))
            })?);
        }
        self.require_open()?;
        let gate = self.shared.gate();
        let covered =
            |root: &PathBuf| gate.admit(now(), "files", &path_name(root), now()) != Err(session::Refusal::NoSession);
        let uncovered: Vec<PathBuf> = roots.iter().filter(|root| !covered(root)).cloned().collect();
        if !uncovered.is_empty() {
            self.open_session(&NewSession {
                purpose: "hearth index".into(),
                folders: uncovered,
                exclude: Vec::new(),
                sources: vec!["files".into()],
                class: session::Class::default(),
                keep_days: None,
                for_ms: None,
                here_only: false,
            })?;
        }
        let queue = self.intake.queue();
        let ticket = self.sources.index(&roots, again, &queue)?;
        self.finish(&ticket, begun)
    }

    /// Waits until what a ticket counts can be found by word and by meaning.
    fn finish(&self, ticket: &Arc<Ticket>, begun: Instant) -> Result<Indexed, Failure> {
        self.intake.settle();
        let embedding = Instant::now();
        let whole = self.embedding.settle()?;
        self.shared.save_vectors(&self.shared.writer())?;
        ticket.took("embed", embedding.elapsed());
        ticket.took("total", begun.elapsed());
        if whole {
            Ok(ticket.counted())
        } else {
            Err(Failure::new(
                FailureKind::Busy,
                "hearth is stopping; what was read is kept, and the rest is done at the next start",
            ))
        }
    }

    fn import(&self, path: &Path) -> Result<Indexed, Failure> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(alias = "_id")]
            id: String,
            #[serde(default)]
            title: Option<String>,
            text: String,
        }
        let unreadable = |error: std::io::Error| {
            Failure::new(FailureKind::Failed, format!("the import could not be read on: {error}"))
        };
        let begun = Instant::now();
        let file = File::open(path).map_err(|error| {
            Failure::new(FailureKind::NotFound, format!("the file to import cannot be opened: {error}"))
        })?;
        self.require_open()?;
        if !self.shared.is_on("import") {
            self.open_session(&NewSession {
                purpose: "hearth import".into(),
                folders: Vec::new(),
                exclude: Vec::new(),
                sources: vec!["import".into()],
                class: session::Class::default(),
                keep_days: None,
                for_ms: None,
                here_only: false,
            })?;
        }
        let ticket = Arc::new(Ticket::default());
        let (mut lines, mut number) = (BufReader::new(file), 0_u64);
        while !self.shared.is_stopping() {
            let mut bytes = Vec::new();
            let read = lines.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut bytes);
            if read.map_err(unreadable)? == 0 {
                break;
            }
            number += 1;
            let place = format!("line {number}");
            if bytes.len() as u64 > LINE_MAX {
                if !bytes.ends_with(b"\n") {
                    lines.skip_until(b'\n').map_err(unreadable)?;
                }
                let reason = format!("it is longer than {}; split it", crate::cli::bytes(LINE_MAX));
                skip(&ticket, &self.shared, place.as_bytes(), &reason);
                continue;
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = match serde_json::from_slice(&bytes) {
                Ok(line) => line,
                Err(error) => {
                    // The parser's own words may quote the text.
                    let what = match error.classify() {
                        serde_json::error::Category::Data => "it must be an object with strings `id` and `text`",
                        _ => "it is not JSON",
                    };
                    skip(&ticket, &self.shared, place.as_bytes(), &format!("{what} (column {})", error.column()));
                    continue;
                }
            };
            if line.id.is_empty() || line.id.len() > ID_MAX || line.id.chars().any(char::is_control) {
                skip(
                    &ticket,
                    &self.shared,
                    place.as_bytes(),
                    "its id must have 1 to 512 bytes and no control characters",
                );
                continue;
            }
            let title = line.title.filter(|title| !title.trim().is_empty());
            let (format, text) = match &title {
                Some(title) => (
                    Format::Markdown,
                    format!("# {}\n\n{}", title.split_whitespace().collect::<Vec<_>>().join(" "), line.text),
                ),
                None => (Format::Text, line.text),
            };
            let captured = Captured {
                format,
                title: Some(Raw::new(title.unwrap_or_default())),
                content_hash: Sha256::digest(text.as_bytes()).into(),
                text: Raw::new(text.replace("\r\n", "\n").replace('\0', " ")),
                modified: now(),
                fingerprint: Fingerprint::default(),
            };
            let read = Read {
                source: "import",
                name: line.id.clone().into_bytes(),
                captured,
                bytes: bytes.len() as u64,
                external: Some(line.id),
                ticket: Some(Arc::clone(&ticket)),
            };
            if self.intake.queue().send(Work::Captured(Box::new(read))).is_err() {
                break;
            }
        }
        ticket.took("read", begun.elapsed());
        self.finish(&ticket, begun)
    }

    fn export(&self, path: &Path) -> Result<Exported, Failure> {
        #[derive(Serialize)]
        struct Line<'l> {
            id: String,
            title: &'l str,
            text: &'l str,
            item: &'l hearth_core::schema::Item,
        }
        let failed = |error: std::io::Error| {
            Failure::new(FailureKind::Failed, format!("the export could not be written: {error}"))
        };
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let mut items = 0;
        self.shared.each_item(|item| {
            let Some(record) = self.shared.document(item.document)? else { return Ok(()) };
            let body = self.shared.body(item.document, &record)?;
            let public = public_item(&self.shared, &item);
            let id = item.meta.external.clone().unwrap_or_else(|| item.meta.item.to_string());
            // An import with a title put it above the text.
            let text = match item.meta.external {
                Some(_) if !public.title.is_empty() => body.text().split_once("\n\n").map_or("", |(_, text)| text),
                _ => body.text(),
            };
            let line =
                serde_json::to_string(&Line { id, title: &public.title, text, item: &public }).expect("plain data");
            writeln!(out, "{line}").map_err(StoreError::io("writing the export"))?;
            items += 1;
            Ok(())
        })?;
        out.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
        self.shared.audit(audit::Event::Exported { items })?;
        Ok(Exported { items })
    }

    fn why(&self, path: &Path) -> Result<Why, Failure> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let name = path_name(&path);
        if path.symlink_metadata().is_err() && self.shared.item_called(&path.to_string_lossy())?.is_none() {
            let shown = self.redacted(&display_name(&name));
            return Err(Failure::new(
                FailureKind::NotFound,
                format!("there is no {shown}, and nothing of that name is kept"),
            ));
        }
        let mut because = Vec::new();
        let folders = self.shared.folders();
        let explained = self.shared.files(&folders).why(&path, &self.shared.settings.limits);
        let changed =
            std::fs::metadata(&path).ok().and_then(|meta| meta.modified().ok()).map_or_else(now, |modified| {
                let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Moment::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
            });
        let canonical =
            path.parent().and_then(|parent| Some(std::fs::canonicalize(parent).ok()?.join(path.file_name()?)));
        let canonical = canonical.map_or(name.clone(), |path| path_name(&path));
        let admitted = self.shared.gate().admit(now(), "files", &canonical, changed);
        because.push(self.redacted(&explained.sentence));
        let refused = admitted.err();
        // A pause leaves nothing out: it is no reason against a thing, only one for later. And that no session covers what is
        // left alone anyway sends nobody to open one.
        let paused = matches!(refused, Some(session::Refusal::Paused(_)));
        let idle = paused || refused == Some(session::Refusal::NoSession);
        let told = refused.as_ref().filter(|_| !idle || explained.reason.is_none());
        because.extend(told.map(|refusal| self.said_of(refusal)));
        let item = self.shared.item_called(&String::from_utf8_lossy(&canonical))?;
        let verdict = match (&item, explained.reason.is_none() && (paused || refused.is_none())) {
            (Some(_), true) => "captured",
            (None, true) => "waiting",
            (_, false) => "skipped",
        };
        match verdict {
            "waiting" if !paused => {
                because.push("it may be captured, and will be with the next scan; `hearth index` does it now".into());
            }
            "skipped" if item.is_some() => {
                because.push("an earlier version is still kept; `hearth forget --item` erases it".into());
            }
            _ => {}
        }
        Ok(Why {
            path: self.redacted(&display_name(&name)),
            verdict: verdict.into(),
            because,
            item: item.map(|item| public_item(&self.shared, &item)),
        })
    }

    /// Why the gate lets a thing not in, as `hearth why` says it.
    fn said_of(&self, refusal: &session::Refusal) -> String {
        use session::{Refusal, State};
        let node = matches!(self.shared.gate().hold(), State::Paused { .. } | State::Private { .. });
        match refusal {
            Refusal::Paused(_) if node => {
                "capture is paused: what changes is captured when the pause ends, and `hearth resume` ends it".into()
            }
            Refusal::Paused(_) => {
                "its session is paused: what changes is captured when the pause ends; `hearth session list` shows it, and `hearth resume --session ID` ends it".into()
            }
            Refusal::Private(_) if node => {
                "private mode is on, and nothing from this time is ever captured; `hearth resume` ends it".into()
            }
            Refusal::Private(_) => {
                "its session is private, and nothing from this time is ever captured; `hearth session list` shows it, and `hearth resume --session ID` ends it".into()
            }
            other => format!("the gate says: {other}"),
        }
    }

    fn hold(&self, how: Hold, for_ms: Option<u64>, session: Option<SessionId>) -> Result<Held, Failure> {
        let at = now();
        let until = for_ms.map(|ms| at + Duration::from_millis(ms));
        let event = match how {
            Hold::Pause => session::Event::Pause { until },
            Hold::Private => session::Event::Private { until },
            Hold::Resume => session::Event::Resume,
        };
        if let Some(id) = session {
            let known = self.shared.change_gate(|gate| gate.handle_session(at, id, event))?;
            known.ok_or_else(no_such_session)?;
            let state = self.shared.gate().session(id).map_or("gone", |session| session.state.name());
            self.shared.audit(audit::Event::SessionState { session: id, state: state.into() })?;
        } else {
            self.shared.change_gate(|gate| gate.handle(at, event))?;
            let hold = self.shared.gate().hold();
            self.shared.audit(audit::Event::Hold { state: hold.name().into(), until: hold.timeout() })?;
        }
        self.sources.look_again();
        Ok(Held { hold: self.shared.gate().hold() })
    }

    fn open_session(&self, terms: &NewSession) -> Result<session::Session, Failure> {
        let at = now();
        if terms.purpose.len() > PURPOSE_MAX {
            return Err(Failure::new(FailureKind::Usage, format!("a purpose has at most {PURPOSE_MAX} bytes")));
        }
        let takes_files = terms.sources.is_empty() || terms.sources.iter().any(|source| source == "files");
        if takes_files && terms.folders.is_empty() {
            let message =
                "name the folders to capture with `--folder`; a session does not take every file of this machine";
            return Err(Failure::new(FailureKind::Usage, message));
        }
        for source in &terms.sources {
            if !super::sources::IDS.contains(&source.as_str()) {
                let message = format!("there is no source of that name; there are {}", super::sources::IDS.join(", "));
                return Err(Failure::new(FailureKind::Usage, message));
            }
        }
        let names = |paths: &[PathBuf]| -> Vec<session::Name> {
            paths
                .iter()
                .map(|path| session::Name(path_name(&std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()))))
                .collect()
        };
        let session = session::Session {
            id: SessionId::from_bytes(entropy()),
            space: self.shared.identity.space,
            purpose: self.redacted(&terms.purpose),
            scope: session::Scope {
                sources: terms.sources.clone(),
                include: names(&terms.folders),
                exclude: names(&terms.exclude),
            },
            class: terms.class,
            keep_days: terms.keep_days,
            visibility: if self.shared.membership().is_some()
                && !terms.here_only
                && terms.class != session::Class::Secret
            {
                session::Visibility::Fleet
            } else {
                session::Visibility::ThisNode
            },
            opened_at: at,
            expires_at: terms.for_ms.map(|ms| at + Duration::from_millis(ms)),
            state: session::State::Open,
            answers: session::Visibility::ThisNode,
        };
        self.shared.change_gate(|gate| gate.put(session.clone()))?;
        self.shared.audit(audit::Event::SessionOpened { session: session.id })?;
        self.sources.look_again();
        Ok(session)
    }

    /// Gives sessions to the fleet, lets its devices find what is in them, or neither; with all that they captured.
    fn share(&self, session: Option<SessionId>, how: Share) -> Result<Sessions, Failure> {
        let membership = self.shared.membership();
        if membership.is_none() && how != Share::Nothing {
            return Err(super::FleetError::None.into());
        }
        let (visibility, answers) = match how {
            Share::Everything => (session::Visibility::Fleet, session::Visibility::ThisNode),
            Share::Nothing => (session::Visibility::ThisNode, session::Visibility::ThisNode),
            Share::Within { residency } => {
                let number = self.residency_called(&residency)?;
                (session::Visibility::Within(number), session::Visibility::ThisNode)
            }
            Share::Live { devices } if devices.is_empty() => {
                (session::Visibility::ThisNode, session::Visibility::Fleet)
            }
            Share::Live { devices } => {
                let devices: Result<Vec<_>, _> =
                    devices.iter().map(|it| fleet::device_called(&self.shared, it)).collect();
                (session::Visibility::ThisNode, session::Visibility::Nodes(devices?))
            }
        };
        let shares = visibility != session::Visibility::ThisNode || answers != session::Visibility::ThisNode;
        let known: Vec<session::Session> = self.shared.gate().sessions().cloned().collect();
        let meant: Vec<session::Session> = match session {
            Some(id) => vec![known.into_iter().find(|session| session.id == id).ok_or_else(no_such_session)?],
            None => known.into_iter().filter(|session| session.class != session::Class::Secret).collect(),
        };
        if shares && meant.iter().any(|session| session.class == session::Class::Secret) {
            return Err(Failure::new(
                FailureKind::Denied,
                "a secret session stays on its node; open another one for what the fleet may have",
            ));
        }
        let (is_kept, is_all) = (visibility == session::Visibility::ThisNode, visibility == session::Visibility::Fleet);
        let taken_back: Vec<SessionId> =
            if !is_all { meant.iter().map(|session| session.id).collect() } else { Vec::new() };
        let changed: Vec<session::Session> = meant
            .into_iter()
            .filter(|session| (&session.visibility, &session.answers) != (&visibility, &answers))
            .map(|session| session::Session { visibility: visibility.clone(), answers: answers.clone(), ..session })
            .collect();
        for session in &changed {
            self.shared.change_gate(|gate| gate.put(session.clone()))?;
            let state = match (is_kept, &session.answers) {
                (false, _) if is_all => "shared with the fleet",
                (false, _) => "shared with a part of the fleet",
                (true, session::Visibility::ThisNode) => "kept on this node",
                (true, _) => "kept on this node, found by others while it is awake",
            };
            self.shared.audit(audit::Event::SessionState { session: session.id, state: state.into() })?;
        }
        self.shared.settle_homes(&taken_back)?;
        Ok(Sessions { sessions: changed })
    }

    /// The number of a residency of which this node is a home.
    fn residency_called(&self, name: &str) -> Result<u16, Failure> {
        let membership = self.shared.membership().ok_or(super::FleetError::None)?;
        let policy = membership.fleet.policy().1;
        let number = policy.called(name).ok_or_else(|| {
            Failure::new(
                FailureKind::NotFound,
                "the fleet has no residency of this name; `hearth fleet` shows them, and an admin makes one with `hearth fleet residency set`",
            )
        })?;
        let homes = policy.residency(number).map(|residency| &residency.homes);
        if homes.is_some_and(|homes| homes.contains(&self.shared.identity.device)) {
            return Ok(number);
        }
        let message = "this device is no home of that residency, and what it captures lives here first; an admin adds it with `hearth fleet residency set`";
        Err(Failure::new(FailureKind::Denied, message))
    }

    fn close_session(&self, id: SessionId) -> Result<Sessions, Failure> {
        self.shared
            .change_gate(|gate| gate.handle_session(now(), id, session::Event::Close))?
            .ok_or_else(no_such_session)?;
        self.shared.audit(audit::Event::SessionState { session: id, state: "closed".into() })?;
        self.sources.look_again();
        Ok(Sessions { sessions: self.shared.gate().session(id).cloned().into_iter().collect() })
    }

    fn list_sources(&self) -> Result<Sources, NodeError> {
        let totals = self.shared.totals()?;
        let about = [
            ("files", "files in the folders that sessions name"),
            ("shell-history", "commands typed in bash, zsh and fish, but for those with a leading space"),
            ("import", "documents taken in with `hearth import`"),
        ];
        let sources = about.map(|(id, about)| SourceState {
            id: id.into(),
            about: about.into(),
            items: totals.by_source.get(id).copied().unwrap_or_default(),
            on: self.shared.is_on(id),
            scanned_at: self.sources.scanned_at(id),
        });
        Ok(Sources { sources: sources.into() })
    }

    fn doctor(&self) -> Result<Checked, Failure> {
        let mut checks = Vec::new();
        let mut check = |name: &str, result: Result<String, String>| {
            let ok = result.is_ok();
            checks.push(Check { name: name.into(), ok, says: result.unwrap_or_else(|why| why) });
        };
        let (mut segments, mut changes, mut vectors) = (0_u64, 0_u64, 0_u64);
        let slots = self.shared.slots()?;
        let replayed = self.shared.log.replay(Position::BEGIN, |_, segment| {
            segments += 1;
            changes += segment.changes().count() as u64;
            for change in self.shared.open_changes(&segment, |document| slots.get(&document).copied()) {
                if let super::Change::Embedding { vectors: rows, .. } = change {
                    vectors += rows.rows.len() as u64;
                }
            }
            Ok(())
        });
        check(
            "log",
            match replayed {
                Ok(notices) if notices.is_empty() => {
                    Ok(format!("{segments} segments, {changes} changes, {vectors} vectors, every signature holds"))
                }
                Ok(notices) => Err(notices.join("; ")),
                Err(error) => Err(error.to_string()),
            },
        );
        let (mut readable, mut unreadable) = (0_u64, 0_u64);
        self.shared.each_item(|item| {
            let body = self.shared.document(item.document)?.map(|record| self.shared.body(item.document, &record));
            if matches!(body, Some(Ok(_))) {
                readable += 1;
            } else {
                unreadable += 1;
            }
            Ok(())
        })?;
        check(
            "documents",
            match unreadable {
                0 => Ok(format!("all {readable} open with their keys")),
                n => Err(format!("{n} of {} cannot be read; index their files again", readable + n)),
            },
        );
        let (entries, broken) = self.shared.read_audit()?;
        check(
            "audit",
            broken.map_or_else(|| Ok(format!("{} in one chain", count(entries.len() as u64, "entry", "entries"))), Err),
        );
        let totals = self.shared.totals()?;
        let dead = self.shared.dead_jobs()?;
        check(
            "embedding",
            match dead {
                0 => Ok(format!(
                    "{} of {} passages have a vector, {} documents wait",
                    totals.embedded, totals.chunks, totals.pending
                )),
                n => Err(format!(
                    "{n} documents failed too often; they are found by word only until `hearth state rebuild`"
                )),
            },
        );
        check("model", Ok(format!("{} is as it was shipped or pinned", self.shared.model.label())));
        let free = rustix::fs::statvfs(self.shared.folder.root()).map(|stat| stat.f_bavail * stat.f_frsize);
        check(
            "disk",
            match free {
                Ok(free) if free < 256 << 20 => {
                    Err(format!("{} are free; hearth stops storing when none is left", bytes(free)))
                }
                Ok(free) => Ok(format!("{} are free", bytes(free))),
                Err(error) => Err(format!("the free space is not known: {error}")),
            },
        );
        let mode = std::fs::metadata(self.shared.folder.root())
            .map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()));
        check(
            "permissions",
            match mode {
                Ok(mode) if mode & 0o077 == 0 => Ok("only its owner can enter the data folder".into()),
                _ => Err("others can enter the data folder; run `chmod 700` on it".into()),
            },
        );
        let year_2025 = Moment::from_millis(1_735_689_600_000);
        check(
            "clock",
            if now() > year_2025 {
                Ok("the clock is set".into())
            } else {
                Err("the clock is not set; set it, or times of items are wrong".into())
            },
        );
        Ok(Checked { checks })
    }

    /// Refuses when capture is on hold: an order to index is not an order to end private mode.
    fn require_open(&self) -> Result<(), Failure> {
        let refusal = match self.shared.gate().hold().next(now(), session::Event::Tick) {
            session::State::Paused { until } => session::Refusal::Paused(until),
            session::State::Private { until, .. } => session::Refusal::Private(until),
            _ => return Ok(()),
        };
        Err(Failure::new(FailureKind::Denied, refusal.to_string()))
    }

    fn redacted(&self, text: &str) -> String {
        self.shared.rules.redact(Raw::new(text)).as_str().to_owned()
    }
}

impl super::Shared {
    /// Jobs that were tried too often.
    pub(crate) fn dead_jobs(&self) -> Result<u64, StoreError> {
        let mut dead = 0;
        for job in self.state.iter::<super::record::JobRecord>(hearth_store::Tree::Job) {
            dead += u64::from(matches!(job?.1.state, hearth_core::job::State::Dead { .. }));
        }
        Ok(dead)
    }
}

pub(super) fn path_of(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}

fn no_such_item() -> Failure {
    Failure::new(FailureKind::NotFound, "no item has this id or path; `hearth search` shows ids")
}

fn no_such_session() -> Failure {
    Failure::new(FailureKind::NotFound, "no session has this id; `hearth session list` shows them")
}

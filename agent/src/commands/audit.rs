//! `hearth audit`.

use clap::Args;
use hearth_core::audit::Event;
use jiff::tz::TimeZone;

use super::items;
use crate::{
    ask::{Ask, Audited},
    cli::{Ended, Outcome, Shell, count, grouped, marks, when},
};

/// Show what was started, paused, forgotten, refused and sent
///
/// Each entry holds on to the one before it; ends with 1 when the chain is broken.
#[derive(Debug, Args)]
pub struct Audit {
    /// How many of the newest entries
    #[arg(long, short = 'n', default_value_t = 50, value_name = "COUNT")]
    last: u32,
}

impl Audit {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let audited: Audited = shell.ask(Ask::Audit { last: self.last as usize })?;
        if shell.json {
            shell.document(&audited)?;
        } else {
            let (paint, zone, width) = (shell.paint(), shell.world.zone.clone(), shell.width());
            for entry in &audited.entries {
                let when = when::minute(entry.at, &zone);
                let head = format!("{when}  {:>6}  ", entry.seq);
                let room = width.saturating_sub(marks::columns(&head));
                for (n, line) in marks::lines(&words(&entry.event, &zone), room, 8).into_iter().enumerate() {
                    let head = if n == 0 { paint.dim(&head) } else { " ".repeat(marks::columns(&head)) };
                    shell.line(format!("{head}{line}"))?;
                }
            }
        }
        match &audited.broken {
            Some(sentence) => {
                shell.notice(sentence);
                Ok(Outcome::Amiss)
            }
            None => Ok(Outcome::Done),
        }
    }
}

/// What happened, in words.
fn words(event: &Event, zone: &TimeZone) -> String {
    match event {
        Event::Started { version } => format!("started, hearth {}", marks::plain(version)),
        Event::Stopped => "stopped".into(),
        Event::SessionOpened { session } => format!("opened {session}"),
        Event::SessionState { session, state } => format!("{session} is {}", marks::plain(state)),
        Event::Hold { state, until } => {
            let state = if state == "open" { "on".into() } else { marks::plain(state) };
            let until = until.map(|until| format!(" until {}", when::minute(until, zone))).unwrap_or_default();
            format!("capture is {state}{until}")
        }
        Event::Forgot { by, items: n, documents } => {
            let chosen = match by.as_str() {
                "last" => "by time",
                "item" => "by name",
                "query" => "by word",
                "session" => "with its session",
                "retention" => "after the time to keep it",
                other => &format!("by {}", marks::plain(other)),
            };
            format!("forgot {}, {}, {chosen}", items(*n), count(*documents, "version", "versions"))
        }
        Event::Denied { reason, count } => format!("refused {}: {}", grouped(*count), marks::plain(reason)),
        Event::Egress { purpose, allowed, port } => {
            let verdict = if *allowed { "allowed" } else { "refused" };
            format!("{verdict} a connection to port {port} for the {}", marks::plain(purpose))
        }
        Event::Rebuilt { reason, documents } => {
            format!("rebuilt {}: {}", count(*documents, "document", "documents"), marks::plain(reason))
        }
        Event::Exported { items: n } => format!("exported {}", items(*n)),
    }
}

#[cfg(test)]
mod tests {
    use hearth_core::{Moment, SessionId};

    use super::*;

    #[test]
    fn every_event_is_said_in_words_and_in_local_time() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let session = SessionId::from_bytes([7; 16]);
        let until = Some(Moment::from_millis(1_774_378_800_000)); // 2026-03-24T19:00:00Z
        for (event, said) in [
            (Event::Started { version: "0.1.0".into() }, "started, hearth 0.1.0"),
            (Event::Stopped, "stopped"),
            (Event::SessionOpened { session }, "opened ses-07070707070707070707070707070707"),
            (Event::SessionState { session, state: "closed".into() }, "ses-07070707070707070707070707070707 is closed"),
            (Event::Hold { state: "paused".into(), until }, "capture is paused until 2026-03-24 20:00"),
            (Event::Hold { state: "open".into(), until: None }, "capture is on"),
            (Event::Forgot { by: "last".into(), items: 1, documents: 2 }, "forgot 1 item, 2 versions, by time"),
            (Event::Denied { reason: "private mode is on".into(), count: 1_200 }, "refused 1,200: private mode is on"),
            (
                Event::Egress { purpose: "coordinator".into(), allowed: true, port: 7843 },
                "allowed a connection to port 7843 for the coordinator",
            ),
            (Event::Rebuilt { reason: "asked for".into(), documents: 1 }, "rebuilt 1 document: asked for"),
            (Event::Exported { items: 12 }, "exported 12 items"),
        ] {
            assert_eq!(words(&event, &zone), said);
        }
    }
}

//! `hearth audit`.

use clap::Args;

use crate::{
    ask::{Ask, Audited},
    cli::{Ended, Outcome, Shell, marks, when},
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
            let (paint, zone) = (shell.paint(), shell.world.zone.clone());
            for entry in &audited.entries {
                let when = paint.dim(&when::minute(entry.at, &zone));
                let text = format!("{when}  {:>6}  {}", entry.seq, words(&entry.event));
                shell.line(text)?;
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

/// `session-opened session=ses-…`: the event's name and its fields, as its JSON has them.
fn words(event: &hearth_core::audit::Event) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(event) else {
        return String::new();
    };
    let name = fields.remove("event").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    let fields = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| match value.as_str() {
        Some(text) => format!(" {key}={}", marks::plain(text)),
        None => format!(" {key}={value}"),
    });
    std::iter::once(name).chain(fields).collect()
}

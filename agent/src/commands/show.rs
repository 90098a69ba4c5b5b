//! `hearth show` and `hearth open`: one item.

use clap::Args;

use super::by_class;
use crate::{
    ask::{Ask, Failure, FailureKind, Shown},
    cli::{Ended, Outcome, Shell, Trouble, marks, when},
};

/// Show one item with its text
///
/// What was hidden when it was captured stays hidden.
#[derive(Debug, Args)]
pub struct Show {
    /// An item's id, the id it was imported under, or its path
    id: String,
}

impl Show {
    /// Asks, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let shown: Shown = find(shell, &self.id)?;
        if shell.json {
            shell.document(&shown)?;
            return Ok(Outcome::Done);
        }
        let (paint, width) = (shell.paint(), shell.width());
        let (now, zone) = (shell.world.now, shell.world.zone.clone());
        let item = &shown.item;
        shell.line(paint.bold(&marks::cut(&marks::plain(&item.title), width)))?;
        let place = item.path.clone().or_else(|| item.external_id.clone()).unwrap_or_else(|| item.id.to_string());
        shell.line(paint.dim(&marks::plain(&place)))?;
        let mut facts =
            vec![marks::plain(&item.format), format!("changed {}", when::ago(item.modified_at, now, &zone))];
        facts.push(format!("captured {}", when::ago(item.captured_at, now, &zone)));
        if !item.redactions.is_empty() {
            facts.push(format!("hidden: {}", by_class(&item.redactions)));
        }
        shell.line(paint.dim(&facts.join(" · ")))?;
        shell.line("")?;
        shell.line(marks::plain_lines(&shown.text))?;
        Ok(Outcome::Done)
    }
}

/// Open an item in the program it belongs to
#[derive(Debug, Args)]
pub struct Open {
    /// An item's id, or its path
    id: String,
}

impl Open {
    /// Asks, and opens.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let shown: Shown = find(shell, &self.id)?;
        let Some(path) = shown.open else {
            let said = "there is no file to open: it came from elsewhere than a file, or its file is gone; `hearth show` shows its text";
            return Err(Failure::new(FailureKind::NotFound, said).into());
        };
        if shell.json {
            shell.document(&serde_json::json!({ "path": path }))?;
        }
        shell.agent.open_file(&path).map_err(|error| {
            let place = marks::plain(&path.display().to_string());
            Trouble::failed(format!("cannot open it here ({error}); it is {place}"))
        })?;
        Ok(Outcome::Done)
    }
}

/// By id, or by a path as it was typed here.
fn find(shell: &mut Shell<'_>, id: &str) -> Result<Shown, Trouble> {
    match shell.ask(Ask::Show { id: id.to_owned() }) {
        Err(Trouble::Asked(failure)) if failure.kind == FailureKind::NotFound => {
            let path = shell.absolute(std::path::Path::new(id));
            match path.to_str() {
                Some(path) if path != id => match shell.ask(Ask::Show { id: path.to_owned() }) {
                    // The first refusal names what was typed.
                    Err(Trouble::Asked(again)) if again.kind == FailureKind::NotFound => Err(failure.into()),
                    other => other,
                },
                _ => Err(failure.into()),
            }
        }
        other => other,
    }
}

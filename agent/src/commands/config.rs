//! `hearth config`: the settings in force, and what is wrong with them.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    cli::{Ended, Outcome, Shell},
    config,
};

/// Check and show the settings
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct ConfigCommand {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Read every configuration file and say what is wrong, where
    Check,
    /// Show the settings in force
    Show {
        /// Say of each where it comes from
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of a configuration file
    Schema,
}

/// One setting as a program reads it.
#[derive(Debug, Serialize)]
struct Row {
    setting: String,
    value: Option<serde_json::Value>,
    origin: String,
}

impl ConfigCommand {
    /// Reads, and shows.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        if let Order::Schema = self.order {
            shell.document(&config::schema())?;
            return Ok(Outcome::Done);
        }
        let loaded = config::load(&shell.places(Vec::new()))?;
        let rows = loaded.rows();
        match self.order {
            Order::Check if shell.json => shell.document(&serde_json::json!({ "ok": true, "files": loaded.files }))?,
            Order::Check => {
                let files: Vec<String> = loaded.files.iter().map(|path| format!("\n  {}", path.display())).collect();
                let read = if files.is_empty() { "; no file, only what is built in".into() } else { files.concat() };
                shell.line(format!("the configuration is in order{read}"))?;
            }
            _ if shell.json => {
                let rows: Vec<Row> = rows
                    .into_iter()
                    .map(|(setting, value, origin)| Row {
                        setting: setting.name(),
                        value: value
                            .map(|text| serde_json::from_str(&text).expect("a value is written as JSON writes it")),
                        origin: origin.to_string(),
                    })
                    .collect();
                shell.document(&rows)?;
            }
            Order::Show { origin: with_origin } => {
                let paint = shell.paint();
                let mut section = "";
                for (setting, value, origin) in rows {
                    if setting.section != section {
                        let gap = if section.is_empty() { "" } else { "\n" };
                        section = setting.section;
                        shell.line(format!("{gap}{}", paint.bold(&format!("[{section}]"))))?;
                    }
                    let key = &setting.key;
                    let text = value
                        .map_or_else(|| paint.dim(&format!("# {key} is not set")), |value| format!("{key} = {value}"));
                    let origin = if with_origin { paint.dim(&format!("  # {origin}")) } else { String::new() };
                    shell.line(format!("{text}{origin}"))?;
                }
            }
            Order::Schema => {}
        }
        Ok(Outcome::Done)
    }
}

//! `hearth schema`.

use clap::Args;
use hearth_core::schema::schemas;

use crate::cli::{Ended, Outcome, Shell};

/// Print the JSON Schemas of what hearth writes
#[derive(Debug, Args)]
pub struct SchemaCommand {
    /// Only this one
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(schemas().iter().map(|(name, _)| *name).collect::<Vec<_>>()))]
    name: Option<String>,
}

impl SchemaCommand {
    /// Prints them.
    pub fn run(self, shell: &mut Shell<'_>) -> Ended {
        let schemas = schemas();
        match self.name {
            Some(name) => {
                let schema =
                    schemas.iter().find(|(known, _)| *known == name).expect("the parser lets only known names in");
                shell.document(&schema.1)?;
            }
            None => shell.document(&schemas.into_iter().collect::<std::collections::BTreeMap<_, _>>())?,
        }
        Ok(Outcome::Done)
    }
}

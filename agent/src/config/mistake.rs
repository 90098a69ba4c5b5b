//! What is wrong with a configuration, shown where it stands.
//!
//! It renders for people; programs read the exit code.

use std::{fmt, ops::Range, path::Path};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// One mistake.
#[derive(Debug)]
pub struct Mistake {
    message: String,
    help: Option<String>,
    place: Option<(NamedSource<String>, Range<usize>)>,
}

impl Mistake {
    /// A mistake that stands in no file.
    pub(super) fn plain(message: String) -> Self {
        Self { message, help: None, place: None }
    }

    /// A mistake in a file.
    pub(super) fn at(path: &Path, text: &str, span: Range<usize>, message: String, help: Option<String>) -> Self {
        let source = NamedSource::new(path.display().to_string(), text.to_owned()).with_language("TOML");
        Self { message, help, place: Some((source, span)) }
    }

    pub(super) fn helped(mut self, help: String) -> Self {
        self.help = Some(help);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.place.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span.clone()))))
    }
}

/// Every mistake that was found; at least one.
#[derive(Debug)]
pub struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    /// As a person reads them, with lines of the files and carets below the places.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
        let mut out = String::new();
        for mistake in &self.0 {
            handler.render_report(&mut out, mistake).expect("writing to memory does not fail");
        }
        out
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&said.join("; "))
    }
}

impl std::error::Error for Mistakes {}

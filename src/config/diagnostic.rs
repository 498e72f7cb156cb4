//! What is wrong with a configuration, and where: collected, then shown with the line and a caret.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::SourceText;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but it probably does not do what was meant.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes of the text that it is about; absent when it is about something that is not there.
    pub span: Option<Range<usize>>,
    /// Stands beside the caret: what was expected. May be empty.
    pub label: String,
    /// A second place that has to do with it, and what it is.
    pub also: Option<(Range<usize>, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(message: impl Into<String>, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        let (message, label) = (message.into(), label.into());
        Self { severity: Severity::Error, message, span, label, also: None, help: None }
    }

    /// A warning at a place.
    pub fn warning(message: impl Into<String>, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, span, label) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place, if it is known.
    #[must_use]
    pub fn also(mut self, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        self.also = span.map(|span| (span, label.into()));
        self
    }
}

/// All that was found in one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The text that it is about.
    pub source: SourceText,
    /// What was found.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Takes what was found, and puts it in the order of the file.
    pub fn new(source: SourceText, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| diagnostic.span.as_ref().map_or(usize::MAX, |span| span.start));
        Self { source, list }
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The text for a person: each mistake with `file:line:column`, the line, and a caret. Ends with a line break
    /// unless it is empty.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.list {
            if !text.is_empty() {
                text.push('\n');
            }
            // Without trailing blanks, which the renderer leaves and a terminal's selection copies.
            for line in renderer.render(&[self.group(diagnostic)]).lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(&diagnostic.message));
        let group = match &diagnostic.span {
            Some(span) => {
                let primary = AnnotationKind::Primary.span(self.source.clamp(span));
                let primary =
                    if diagnostic.label.is_empty() { primary } else { primary.label(&diagnostic.label) };
                let second = diagnostic.also.as_ref().map(|(span, label)| {
                    AnnotationKind::Context.span(self.source.clamp(span)).label(label.as_str())
                });
                let snippet = Snippet::source(&self.source.text).path(&self.source.name);
                group.element(snippet.annotation(primary).annotations(second))
            }
            None if diagnostic.label.is_empty() => group,
            None => group.element(Level::NOTE.message(&diagnostic.label)),
        };
        match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

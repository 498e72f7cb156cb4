//! The text that an operator wrote, and what it is called.

use std::{fs, io, ops::Range, path::Path};

use super::diagnostic::{Diagnostic, Diagnostics};

/// A text with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The file's name, as it is shown.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl SourceText {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let failed = |message: String, help: &str| {
            let diagnostic = Diagnostic::error(message, None, "").help(help);
            Diagnostics::new(Self::new(&name, ""), vec![diagnostic])
        };
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed(
                format!("there is no file {name}"),
                "name another one with `--config FILE` or CLOAKROOM_CONFIG, or do without: \
                 `cloakroom run --listen 127.0.0.1:8080 --upstream http://127.0.0.1:3000`",
            ),
            io::ErrorKind::PermissionDenied => {
                failed(format!("{name} may not be read"), "let the user that cloakroom runs as read it")
            }
            _ => failed(format!("{name} cannot be read: {error}"), "name another one with `--config FILE`"),
        })?;
        String::from_utf8(bytes).map(|text| Self::new(&name, text)).map_err(|error| {
            let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            failed(
                format!("{name} is not UTF-8 in line {line}"),
                "TOML is UTF-8: save the file in that encoding",
            )
        })
    }

    /// A range that may be shown: within the text, and never in the middle of a character.
    pub(super) fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start);
        start..self.text.ceil_char_boundary(span.end.max(start))
    }
}

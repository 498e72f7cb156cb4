//! Mistakes: noted while a file is read, told at its end.

use std::{cell::RefCell, collections::BTreeSet};

use super::diagnostic::Diagnostic;

/// What was found and what was asked for, over all sections.
#[derive(Debug, Default)]
pub(super) struct DiagnosticSink {
    list: RefCell<Vec<Diagnostic>>,
    pub(super) known: RefCell<BTreeSet<String>>,
}

impl DiagnosticSink {
    /// Notes a mistake.
    pub(super) fn push(&self, diagnostic: Diagnostic) {
        self.list.borrow_mut().push(diagnostic);
    }

    /// What was noted, and every key that was asked for.
    pub(super) fn into_parts(self) -> (Vec<Diagnostic>, BTreeSet<String>) {
        (self.list.into_inner(), self.known.into_inner())
    }
}

/// Why a value was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValueProblem {
    /// A number where a text belongs, and so on.
    Type {
        /// What to do about it.
        help: Option<String>,
    },
    /// The right type, but not one of the values that make sense.
    Value {
        /// Stands at the caret; absent: what was expected.
        why: Option<String>,
        /// What to do about it.
        help: Option<String>,
    },
}

impl ValueProblem {
    /// The wrong type.
    pub(super) const TYPE: Self = Self::Type { help: None };
    /// Not what was expected; there is no more to say.
    pub(super) const VALUE: Self = Self::Value { why: None, help: None };

    /// A value with a reason of its own.
    pub(super) fn why(why: impl Into<String>) -> Self {
        Self::Value { why: Some(why.into()), help: None }
    }

    /// Adds what to do about it.
    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        let (Self::Type { help } | Self::Value { help, .. }) = &mut self;
        *help = Some(text.into());
        self
    }
}

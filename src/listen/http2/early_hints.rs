//! What is said of one stream beside its answer: hints before it, and the tunnel that follows it.

use std::cell::{Cell, RefCell};

use http::{StatusCode, header};

use super::super::upgrade::UpgradeCallback;
use crate::message::{Fields, Response};

/// What is held of interim answers until they leave, in bytes of names and values.
const MOST_HINTS: usize = 16 * 1024;

/// Shared between the stream and who answers it.
#[derive(Default)]
pub(in super::super) struct StreamHandoff {
    hints: RefCell<Vec<Response<()>>>,
    said: Cell<usize>,
    follows: Cell<Option<UpgradeCallback>>,
}

impl std::fmt::Debug for StreamHandoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aside")
    }
}

impl StreamHandoff {
    /// This is said before the answer. HEADERS are not subject to flow control, so for who reads nothing no more than so
    /// much of them is begun.
    pub(in super::super) fn hint(&self, status: StatusCode, fields: &Fields) {
        let length: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let said = self.said.get().saturating_add(length);
        if said > MOST_HINTS {
            return;
        }
        self.said.set(said);
        let mut hint = Response::new(());
        *hint.status_mut() = status;
        hint.fields_mut().clone_from(fields);
        // It would be taken for the length of the answer that follows.
        hint.fields_mut().remove(header::CONTENT_LENGTH);
        self.hints.borrow_mut().push(hint);
    }

    /// What is to be said before the answer.
    pub(super) fn hints(&self) -> Vec<Response<()>> {
        self.hints.take()
    }

    /// This follows if the answer agrees to it.
    pub(in super::super) fn follows(&self, begin: UpgradeCallback) {
        self.follows.set(Some(begin));
    }

    /// What follows.
    pub(super) fn switch(&self) -> Option<UpgradeCallback> {
        self.follows.take()
    }
}

//! How far a request's body is: what tells a slow visitor from a slow app.

use std::{cell::Cell, rc::Rc};

/// Shared between the body, which notes what happens to it, and [`send`](super::send()), which waits for the answer.
#[derive(Debug, Clone, Default)]
pub struct Upload(Rc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    waiting: Cell<bool>,
    moved: Cell<bool>,
}

impl Upload {
    /// The app would take more, and the visitor has sent no more yet; true if that was so already.
    pub fn waits(&self) -> bool {
        self.0.waiting.replace(true)
    }

    /// A piece went on, or the body is over.
    pub fn moved(&self) {
        self.0.waiting.set(false);
        self.0.moved.set(true);
    }

    /// True while the app cannot be expected to answer: the visitor is to send, or something moved since the last
    /// question. An app that neither reads nor answers is not excused.
    pub(super) fn excuses(&self) -> bool {
        self.0.waiting.get() || self.0.moved.take()
    }
}

//! How far a request's body is: what tells a slow visitor from a slow app.

use std::{cell::Cell, rc::Rc};

/// Shared between the body, which notes what happens to it, and [`send`](super::send()), which waits for the answer.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress(Rc<UploadState>);

#[derive(Debug, Default)]
struct UploadState {
    waiting: Cell<bool>,
    moved: Cell<bool>,
    answered: Cell<bool>,
    passed_on: Cell<bool>,
}

impl UploadProgress {
    /// The app would take more, and the visitor has sent no more yet; true if that was so already.
    pub fn waits(&self) -> bool {
        self.0.waiting.replace(true)
    }

    /// A piece went on, or the body is over; true if that was waited for.
    pub fn moved(&self) -> bool {
        self.0.moved.set(true);
        self.0.waiting.replace(false)
    }

    /// The app answers, and reads on: from now on the two speak as they like.
    pub(super) fn answered(&self) {
        self.0.answered.set(true);
    }

    /// There is no room to hold the body until it is whole: it goes to the app as it comes.
    pub(super) fn pass_on(&self) {
        self.0.passed_on.set(true);
    }

    /// Whether it goes to the app as it comes, though it is short.
    pub fn is_passed_on(&self) -> bool {
        self.0.passed_on.get()
    }

    /// Whether what the visitor sends is one side of a conversation: then its silence is no stall.
    pub fn is_conversation(&self) -> bool {
        self.0.answered.get()
    }

    /// True while the app cannot be expected to answer: the visitor is to send, or something moved since the last
    /// question. An app that neither reads nor answers is not excused.
    pub(super) fn excuses(&self) -> bool {
        // Taken, not read: progress excuses the app once, until the next look.
        self.0.waiting.get() || self.0.moved.take()
    }
}

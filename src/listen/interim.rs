//! Interim answers: what an app says before it answers, such as 103 Early Hints (RFC 8297).
//!
//! They go to visitors who speak HTTP/1.1. Over HTTP/2 they are dropped: h2 can send them
//! (`SendResponse::send_informational`), but hyper, which holds that handle, offers no way to it; to send them there, the
//! connection would have to be served by h2 itself.

use std::rc::Rc;

use http::{HeaderMap, StatusCode};

use super::http1::Line;

/// Sends interim answers to the visitor of one request.
#[derive(Debug)]
pub struct Interim(Rc<Line>);

impl Interim {
    pub(super) fn new(line: &Rc<Line>) -> Self {
        Self(Rc::clone(line))
    }

    /// Sends one, as soon as the visitor takes it. Fields that frame a message are left out. For whoever
    /// reads nothing no more than 16 KiB of them are held.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) {
        self.0.hint(status, fields);
    }
}

//! Interim answers: what an app says before it answers, such as 103 Early Hints (RFC 8297).
//!
//! HTTP/1.1 writes them before the head of the answer, HTTP/2 sends each as HEADERS of its own (RFC 9113 section 8.1).

use std::rc::Rc;

use http::StatusCode;

use super::{http1::SharedIo, http2::StreamHandoff};
use crate::message::Fields;

/// Sends interim answers to the visitor of one request.
#[derive(Debug)]
pub struct InterimSender(InterimVia);

#[derive(Debug)]
enum InterimVia {
    Http1(Rc<SharedIo>),
    Http2(Rc<StreamHandoff>),
}

impl InterimSender {
    pub(super) fn new(io: &Rc<SharedIo>) -> Self {
        Self(InterimVia::Http1(Rc::clone(io)))
    }

    pub(super) fn of_http2(handoff: &Rc<StreamHandoff>) -> Self {
        Self(InterimVia::Http2(Rc::clone(handoff)))
    }

    /// Sends one, as soon as the visitor takes it. Fields that frame a message are left out. For whoever
    /// reads nothing no more than 16 KiB of them are held.
    pub fn send(&self, status: StatusCode, fields: &Fields) {
        match &self.0 {
            InterimVia::Http1(io) => io.hint(status, fields),
            InterimVia::Http2(handoff) => handoff.hint(status, fields),
        }
    }
}

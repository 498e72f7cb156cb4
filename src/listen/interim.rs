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
    Line(Rc<SharedIo>),
    Stream(Rc<StreamHandoff>),
}

impl InterimSender {
    pub(super) fn new(line: &Rc<SharedIo>) -> Self {
        Self(InterimVia::Line(Rc::clone(line)))
    }

    pub(super) fn of_stream(aside: &Rc<StreamHandoff>) -> Self {
        Self(InterimVia::Stream(Rc::clone(aside)))
    }

    /// Sends one, as soon as the visitor takes it. Fields that frame a message are left out. For whoever
    /// reads nothing no more than 16 KiB of them are held.
    pub fn send(&self, status: StatusCode, fields: &Fields) {
        match &self.0 {
            InterimVia::Line(line) => line.hint(status, fields),
            InterimVia::Stream(aside) => aside.hint(status, fields),
        }
    }
}

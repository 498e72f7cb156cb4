//! The change of protocol on an HTTP/1 connection (RFC 9110 section 7.8): what follows once a 101 has left.

use std::{pin::Pin, rc::Rc};

use bytes::Bytes;

use super::watched::Activity;
use crate::net::Stream;

/// What is spoken afterwards, until its end.
pub type Tunnel = Pin<Box<dyn Future<Output = ()>>>;

/// Begins it: with the connection, and what was read of it after the request.
pub(super) type Begin = Box<dyn FnOnce(Stream, Bytes) -> Tunnel>;

/// Of a request that asks for another protocol: says what follows if the answer is a 101.
#[derive(Debug)]
pub struct Switch(Rc<Activity>);

impl Switch {
    pub(super) fn new(activity: &Rc<Activity>) -> Self {
        Self(Rc::clone(activity))
    }

    /// This follows.
    pub fn to(self, begin: impl FnOnce(Stream, Bytes) -> Tunnel + 'static) {
        self.0.switch.set(Some(Box::new(begin)));
    }
}

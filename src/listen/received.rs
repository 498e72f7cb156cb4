//! The body of a request as it arrives, by whichever protocol.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Interim, Switch, http1::Line, http2::Incoming};
use crate::net::VisitorConnection;

/// A request's body; by default, one that is over.
#[derive(Debug, Default)]
pub struct Received {
    by: By,
    switch: Option<Switch>,
    interim: Option<Interim>,
    connection: Option<VisitorConnection>,
}

#[derive(Debug, Default)]
enum By {
    /// HTTP/1: the line knows how far it is, whatever becomes of the request.
    Line(Rc<Line>),
    /// HTTP/2. Boxed: most requests have none, and are not to carry room for it.
    Stream(Box<Incoming>),
    /// All of it is here.
    #[default]
    Nothing,
}

impl Received {
    /// The body of a request on a line of its own, if it has one.
    pub(super) fn of_line(
        line: Option<Rc<Line>>,
        switch: Option<Switch>,
        interim: Option<Interim>,
        connection: VisitorConnection,
    ) -> Self {
        Self { by: line.map_or(By::Nothing, By::Line), switch, interim, connection: Some(connection) }
    }

    /// The body of a request in a stream among others, if it has one.
    pub(super) fn of_stream(incoming: Option<Incoming>, switch: Option<Switch>, interim: Interim) -> Self {
        let by = incoming.map_or(By::Nothing, |incoming| By::Stream(Box::new(incoming)));
        Self { by, switch, interim: Some(interim), connection: None }
    }

    /// What says what follows a change of protocol, if the request asks for one and can: without a body, in HTTP/1.1 or by an
    /// extended CONNECT.
    pub fn take_switch(&mut self) -> Option<Switch> {
        self.switch.take()
    }

    /// The connection, where it carries one request at a time.
    pub fn take_connection(&mut self) -> Option<VisitorConnection> {
        self.connection.take()
    }

    /// What sends interim answers, where the visitor takes them.
    pub fn take_interim(&mut self) -> Option<Interim> {
        self.interim.take()
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.by {
            By::Line(line) => line.poll_body(cx).map_err(Into::into),
            By::Stream(incoming) => incoming.poll_frame(cx).map_err(Into::into),
            By::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.by {
            By::Line(line) => line.is_over(),
            By::Stream(incoming) => incoming.is_end_stream(),
            By::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.by {
            By::Line(line) => line.size_hint(),
            By::Stream(incoming) => incoming.size_hint(),
            By::Nothing => SizeHint::with_exact(0),
        }
    }
}

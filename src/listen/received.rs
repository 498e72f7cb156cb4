//! The body of a request as it arrives, by whichever protocol.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{InterimSender, PendingUpgrade, http1::SharedIo, http2::StreamBody};
use crate::net::VisitorConnection;

/// A request's body; by default, one that is over.
#[derive(Debug, Default)]
pub struct ReceivedBody {
    by: BodySource,
    switch: Option<PendingUpgrade>,
    interim: Option<InterimSender>,
    connection: Option<VisitorConnection>,
}

#[derive(Debug, Default)]
enum BodySource {
    /// HTTP/1: the line knows how far it is, whatever becomes of the request.
    Http1(Rc<SharedIo>),
    /// HTTP/2. Boxed: most requests have none, and are not to carry room for it.
    Http2(Box<StreamBody>),
    /// All of it is here.
    #[default]
    Nothing,
}

impl ReceivedBody {
    /// The body of a request on a line of its own, if it has one.
    pub(super) fn of_http1(
        io: Option<Rc<SharedIo>>,
        switch: Option<PendingUpgrade>,
        interim: Option<InterimSender>,
        connection: VisitorConnection,
    ) -> Self {
        Self {
            by: io.map_or(BodySource::Nothing, BodySource::Http1),
            switch,
            interim,
            connection: Some(connection),
        }
    }

    /// The body of a request in a stream among others, if it has one.
    pub(super) fn of_http2(
        incoming: Option<StreamBody>,
        switch: Option<PendingUpgrade>,
        interim: InterimSender,
    ) -> Self {
        let by = incoming.map_or(BodySource::Nothing, |incoming| BodySource::Http2(Box::new(incoming)));
        Self { by, switch, interim: Some(interim), connection: None }
    }

    /// What says what follows a change of protocol, if the request asks for one and can: without a body, in HTTP/1.1 or by an
    /// extended CONNECT.
    pub fn take_switch(&mut self) -> Option<PendingUpgrade> {
        self.switch.take()
    }

    /// The connection, where it carries one request at a time.
    pub fn take_connection(&mut self) -> Option<VisitorConnection> {
        self.connection.take()
    }

    /// What sends interim answers, where the visitor takes them.
    pub fn take_interim(&mut self) -> Option<InterimSender> {
        self.interim.take()
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.by {
            BodySource::Http1(io) => io.poll_body(cx).map_err(Into::into),
            BodySource::Http2(incoming) => incoming.poll_frame(cx).map_err(Into::into),
            BodySource::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.by {
            BodySource::Http1(io) => io.is_over(),
            BodySource::Http2(incoming) => incoming.is_end_stream(),
            BodySource::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.by {
            BodySource::Http1(io) => io.size_hint(),
            BodySource::Http2(incoming) => incoming.size_hint(),
            BodySource::Nothing => SizeHint::with_exact(0),
        }
    }
}

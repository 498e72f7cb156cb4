//! The body of a request as it arrives, by whichever protocol.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Interim, Switch, http1::Line, streams::Streams};

/// A request's body; by default, one that is over.
#[derive(Debug, Default)]
pub struct Received {
    by: By,
    switch: Option<Switch>,
    interim: Option<Interim>,
}

#[derive(Debug, Default)]
enum By {
    /// HTTP/1: the line knows how far it is, whatever becomes of the request.
    Line(Rc<Line>),
    Stream(Incoming, Rc<Streams>),
    /// All of it is here.
    #[default]
    Nothing,
}

impl Received {
    /// The body of a request on a line of its own, if it has one.
    pub(super) fn of_line(line: Option<Rc<Line>>, switch: Option<Switch>, interim: Option<Interim>) -> Self {
        Self { by: line.map_or(By::Nothing, By::Line), switch, interim }
    }

    /// The body of a request in a stream among others.
    pub(super) fn of_stream(incoming: Incoming, streams: &Rc<Streams>, switch: Option<Switch>) -> Self {
        if incoming.is_end_stream() {
            return Self { switch, ..Self::default() };
        }
        Self { by: By::Stream(incoming, Rc::clone(streams)), switch, interim: None }
    }

    /// What says what follows a change of protocol, if the request asks for one and can: without a body, in HTTP/1.1 or by an
    /// extended CONNECT.
    pub fn take_switch(&mut self) -> Option<Switch> {
        self.switch.take()
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
        let polled = match &mut self.by {
            By::Line(line) => return line.poll_body(cx).map_err(Into::into),
            By::Stream(incoming, _) => ready!(Pin::new(incoming).poll_frame(cx)),
            By::Nothing => None,
        };
        if let By::Stream(incoming, streams) = &self.by {
            match &polled {
                // SECURITY: hyper tells of an end also after RST_STREAM with CANCEL or NO_ERROR. It is none: passed on as
                // an end, half a body would be a whole one for the app.
                None if !incoming.is_end_stream() => {
                    return Poll::Ready(Some(Err("the visitor went within the body".into())));
                }
                Some(Ok(frame)) if frame.data_ref().is_none_or(|data| !data.is_empty()) => streams.moved(),
                _ => {}
            }
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.by {
            By::Line(line) => line.is_over(),
            By::Stream(incoming, _) => incoming.is_end_stream(),
            By::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.by {
            By::Line(line) => line.size_hint(),
            By::Stream(incoming, _) => incoming.size_hint(),
            By::Nothing => SizeHint::with_exact(0),
        }
    }
}

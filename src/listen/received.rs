//! What hyper is given of a request and its answer: both bodies, with notes on how far they are.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header::UPGRADE};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Switch, streams::Streams, watched::Activity};

/// A request's body as it arrives; by default, one that is over.
#[derive(Debug, Default)]
pub struct Received {
    /// None if there is nothing to come.
    incoming: Option<Incoming>,
    of: Of,
    switch: Option<Switch>,
}

#[derive(Debug, Default)]
enum Of {
    /// HTTP/1: as long as the body has not been read to its end, its connection is in the middle of it, whatever became
    /// of the request: only hyper knows where the next one would begin.
    Connection(Rc<Activity>),
    Stream(Rc<Streams>),
    /// All of it is here.
    #[default]
    Nothing,
}

impl Received {
    /// The body of a request in a stream of its own.
    pub(super) fn of_stream(incoming: Incoming, streams: &Rc<Streams>, switch: Option<Switch>) -> Self {
        if incoming.is_end_stream() {
            return Self { switch, ..Self::default() };
        }
        Self { incoming: Some(incoming), of: Of::Stream(Rc::clone(streams)), switch }
    }

    /// What says what follows a change of protocol, if the request asks for one and can: without a body, in HTTP/1.1 or by an
    /// extended CONNECT.
    pub fn take_switch(&mut self) -> Option<Switch> {
        self.switch.take()
    }

    /// True if an end that hyper tells of is none.
    fn is_cut(&self) -> bool {
        match &self.of {
            // SECURITY: hyper's half of the body is dropped with its connection, and that reads as an end. It is none.
            Of::Connection(activity) => activity.gone.get(),
            // SECURITY: so does RST_STREAM with CANCEL or NO_ERROR. Passed on as an end, half a body would be a whole
            // one for the app.
            Of::Stream(_) => !self.is_end_stream(),
            Of::Nothing => false,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) && self.is_cut() {
            return Poll::Ready(Some(Err("the visitor went within the body".into())));
        }
        match &self.of {
            Of::Connection(activity) => {
                let over = match &polled {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(_))) => self.is_end_stream(),
                    _ => false,
                };
                if over {
                    activity.body_open.set(false);
                    self.of = Of::Nothing;
                }
            }
            Of::Stream(streams) => {
                if let Poll::Ready(Some(Ok(frame))) = &polled
                    && frame.data_ref().is_none_or(|data| !data.is_empty())
                {
                    streams.moved();
                }
            }
            Of::Nothing => {}
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl<F> Serving<F> {
    /// Hands a request on; `last`: its connection takes no other.
    pub(super) fn begin(
        request: Request<Incoming>,
        activity: &Rc<Activity>,
        last: bool,
        handler: impl FnOnce(Request<Received>) -> F,
    ) -> Self {
        activity.in_flight.set(activity.in_flight.get() + 1);
        activity.served.set(activity.served.get() + 1);
        activity.head_begun.set(false);
        let bodied = !request.body().is_end_stream();
        activity.body_open.set(bodied);
        activity.ends_by_close.set(request.version() == Version::HTTP_10);
        let of = if bodied { Of::Connection(Rc::clone(activity)) } else { Of::Nothing };
        let upgrade = request.headers().contains_key(UPGRADE);
        let can = upgrade && !bodied && request.version() == Version::HTTP_11;
        let switch = can.then(|| Switch::new(activity));
        let request = request.map(|incoming| Received { incoming: bodied.then_some(incoming), of, switch });
        Self { answer: handler(request), flight: Some(Flight(Rc::clone(activity))), last, upgrade }
    }
}

/// Holds a request in flight until its answer is through.
pub(super) struct Flight(Rc<Activity>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

/// An answer in the making. A struct and no async block, since hyper wants it `Unpin`.
pub(super) struct Serving<F> {
    answer: F,
    flight: Option<Flight>,
    last: bool,
    upgrade: bool,
}

impl<F, B> Future for Serving<F>
where
    F: Future<Output = Response<B>> + Unpin,
{
    type Output = Result<Response<Counted<B>>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(mut response) = Pin::new(&mut self.answer).poll(cx) else { return Poll::Pending };
        // SECURITY: what follows a refused change of protocol may have been meant for the tunnel: it is no request.
        let refused = self.upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        if self.last || refused {
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        let flight = self.flight.take();
        Poll::Ready(Ok(response.map(|body| Counted { body, flight })))
    }
}

/// A body that keeps its request in flight until it is through.
pub(super) struct Counted<B> {
    body: B,
    flight: Option<Flight>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let _ = &self.flight;
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

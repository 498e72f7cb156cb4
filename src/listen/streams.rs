//! The requests of one HTTP/2 connection: how many, how far, and how many were taken back.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    Received,
    switch::{self, Switch},
};
use crate::clock::{self, TICK};

/// The window of `http2_resets_per_10s`.
const WINDOW: u64 = Duration::from_secs(10).as_millis() as u64 / TICK.as_millis() as u64;

/// What is known of all of them.
#[derive(Debug)]
pub(super) struct Streams {
    /// Requests whose answer is not through.
    pub(super) in_flight: Cell<u32>,
    /// Requests so far.
    pub(super) served: Cell<u64>,
    /// Raised whenever a request began or a piece of a body moved.
    pub(super) progress: Cell<u64>,
    /// Answers of which a piece waits for the visitor.
    pub(super) unread: Cell<u32>,
    /// More requests were taken back than a visitor would.
    pub(super) takes_back: Cell<bool>,
    most_resets: Option<u64>,
    resets: Cell<(u64, u64)>,
    connection: RefCell<Option<Waker>>,
}

impl Streams {
    pub(super) fn new(most_resets: Option<u64>) -> Self {
        Self {
            in_flight: Cell::default(),
            served: Cell::default(),
            progress: Cell::default(),
            unread: Cell::default(),
            takes_back: Cell::default(),
            most_resets,
            resets: Cell::default(),
            connection: RefCell::default(),
        }
    }

    /// Whom to wake when there is something to decide.
    pub(super) fn listens(&self, cx: &Context<'_>) {
        let mut known = self.connection.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *known = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.connection.borrow() {
            waker.wake_by_ref();
        }
    }

    /// A piece of a body moved.
    pub(super) fn moved(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// A request was dropped before its answer.
    fn taken_back(&self) {
        let now = clock::tick();
        let (since, count) = self.resets.get();
        let (since, count) = if now.saturating_sub(since) > WINDOW { (now, 1) } else { (since, count + 1) };
        self.resets.set((since, count));
        if self.most_resets.is_some_and(|most| count > most) {
            self.takes_back.set(true);
            self.wake();
        }
    }
}

/// Holds a request in flight until its answer is through, or its tunnel.
pub(super) struct Flight(Rc<Streams>);

impl Flight {
    pub(super) fn new(streams: &Rc<Streams>) -> Self {
        streams.in_flight.set(streams.in_flight.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let left = self.0.in_flight.get() - 1;
        self.0.in_flight.set(left);
        if left == 0 {
            self.0.wake();
        }
    }
}

/// An answer in the making. A struct and no async block, so that it is `Unpin`, and so that its end is seen.
pub(super) struct Streaming<F> {
    answer: F,
    flight: Option<Flight>,
    /// It stands for an extended CONNECT.
    connect: bool,
}

impl<F> Streaming<F> {
    /// Hands a request on.
    pub(super) fn begin(
        mut request: Request<Incoming>,
        streams: &Rc<Streams>,
        handler: impl FnOnce(Request<Received>) -> F,
    ) -> Self {
        let flight = Some(Flight::new(streams));
        streams.served.set(streams.served.get() + 1);
        streams.moved();
        let switch = Switch::of_stream(&mut request, streams);
        let connect = switch.is_some();
        let request = request.map(|incoming| Received::of_stream(incoming, streams, switch));
        Self { answer: handler(request), flight, connect }
    }
}

impl<F, B> Future for Streaming<F>
where
    F: Future<Output = Response<B>> + Unpin,
{
    type Output = Result<Response<Outgoing<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(mut response) = Pin::new(&mut self.answer).poll(cx) else { return Poll::Pending };
        if self.connect {
            switch::answer(&mut response);
        }
        let flight = self.flight.take();
        Poll::Ready(Ok(response.map(|body| Outgoing { body, flight, waits: false })))
    }
}

impl<F> Drop for Streaming<F> {
    fn drop(&mut self) {
        if let Some(flight) = &self.flight {
            flight.0.taken_back();
        }
    }
}

/// An answer's body. hyper asks for the next piece once the visitor made room for it.
pub(super) struct Outgoing<B> {
    body: B,
    flight: Option<Flight>,
    waits: bool,
}

impl<B> Outgoing<B> {
    fn waits(&mut self, waits: bool) {
        if let Some(Flight(streams)) = &self.flight
            && waits != self.waits
        {
            let unread = streams.unread.get();
            streams.unread.set(if waits { unread + 1 } else { unread.saturating_sub(1) });
            self.waits = waits;
        }
    }
}

impl<B> Drop for Outgoing<B> {
    fn drop(&mut self) {
        self.waits(false);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.waits
            && let Some(Flight(streams)) = &this.flight
        {
            streams.moved();
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.waits(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

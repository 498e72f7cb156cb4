//! The conversation on an active line: one request after the other, each answered before the next is read
//! (RFC 9112 section 9.3).

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{StatusCode, header::CONNECTION};
use http_body::Body;

use super::{
    super::{
        InterimSender, PendingUpgrade, ReceivedBody, RequestHandler, acceptor::ConnectionInfo,
        rules::FIRST_REQUEST_GRACE, upgrade::UpgradeCallback,
    },
    answer,
    head::{self, AnswerTerms, HeadError, RequestHead},
    io::{ConnectionIo, IoWriter, SharedIo},
    stop::StopNotice,
};
use crate::{
    clock::{self, CoarseTimer},
    config::RequestLimits,
    message::{
        Fields, Response,
        outbound::{BodyEnding, MessageWriter, OutboundError},
    },
    net::VisitorConnection,
};

/// A connection that does nothing for this long is parked. One that has not shown yet that it comes back sooner is
/// parked at once: thousands that ask once and then rest must not hold buffers all at the same time.
const PARK_AFTER: Duration = Duration::from_millis(200);
pub(super) const PARK_AFTER_TICKS: u64 = PARK_AFTER.as_millis() as u64 / clock::TICK.as_millis() as u64;
/// So much of a body that nobody wants is read to reach the next request, in bytes.
const MOST_UNWANTED: usize = 256 * 1024;

/// What becomes of the line.
pub(super) enum NextState {
    Park,
    Close,
    /// No head came in time.
    TimedOut,
    Switch(UpgradeCallback),
    /// The visitor has gone, or is to see that what they got is not whole.
    Gone,
    /// The same, and only a reset shows it.
    Reset,
}

/// A line in use.
pub(super) struct Http1Conversation<'a, 't, H: RequestHandler> {
    pub(super) io: Rc<SharedIo>,
    info: &'a ConnectionInfo,
    connection: &'a VisitorConnection,
    limits: &'a RequestLimits,
    handler: &'a H,
    stop: StopNotice<'a, 't>,
    /// How many more requests it may bring.
    pub(super) left: u64,
    /// Requests so far.
    pub(super) served: u64,
    outbound: MessageWriter<H::Body>,
    /// The fields of the last answer, emptied: the next request's have room there.
    spare: Fields,
    watch: IdleWatch,
    /// Of one that has brought nothing yet, once the process is to end.
    first_request: Option<CoarseTimer>,
}

impl<'a, 't, H: RequestHandler> Http1Conversation<'a, 't, H> {
    /// Begins; `comes_back`: it was seen to come back soon after an answer; `fresh`: nothing has come from it before.
    pub(super) fn new(
        io: SharedIo,
        (info, connection): (&'a ConnectionInfo, &'a VisitorConnection),
        limits: &'a RequestLimits,
        handler: &'a H,
        stop: StopNotice<'a, 't>,
        (left, comes_back, fresh): (u64, bool, bool),
    ) -> Self {
        let watch = IdleWatch {
            pause: CoarseTimer::new(Some(PARK_AFTER)),
            head: None,
            idle_since: clock::tick(),
            comes_back,
        };
        Self {
            io: Rc::new(io),
            info,
            connection,
            limits,
            handler,
            stop,
            left,
            served: 0,
            outbound: MessageWriter::cut(),
            spare: Fields::new(),
            watch,
            first_request: fresh.then(|| CoarseTimer::new(Some(FIRST_REQUEST_GRACE))),
        }
    }

    /// Answers requests until there is none at hand.
    pub(super) async fn run(&mut self) -> NextState {
        loop {
            // One request at a time, also where several were pipelined: their answers must leave in
            // the order of their requests.
            let head = match poll_fn(|cx| self.poll_head(cx)).await {
                Ok(Some(head)) => head,
                Ok(None) => return NextState::Gone,
                Err(HeadOutcome::Then(then)) => return then,
                Err(HeadOutcome::Refuse(error)) => return self.refuse(&error).await,
            };
            if let Some(then) = self.exchange(head).await {
                return then;
            }
        }
    }

    /// The next head; none if the visitor has gone.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestHead>, HeadOutcome>> {
        self.stop.look(cx);
        let most = self.limits.head_bytes.unwrap_or(usize::MAX);
        let Self { io, spare, .. } = self;
        let polled = io.with(|io| {
            loop {
                // Parsing starts over for each look, so it only looks when a line end has come: a
                // head that drips in byte by byte would cost its square.
                if let Some(inbound) = io.lines()
                    && let Some(head) = head::read(inbound, most, spare)?
                {
                    return Ok(Poll::Ready(Some(head)));
                }
                // A head that does not end is refused as soon as it is too large, and not when its time is up.
                if io.unread() > most {
                    return Err(HeadError::TooLarge);
                }
                match io.poll_read(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Ok(Poll::Ready(None)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
        });
        let Some(polled) = polled else { return Poll::Ready(Ok(None)) };
        match polled {
            Ok(Poll::Ready(head)) => {
                self.watch.head = None;
                Poll::Ready(Ok(head))
            }
            Ok(Poll::Pending) => {
                let begun = self.io.with(|io| io.has_begun()).unwrap_or_default();
                // A request that has begun is answered even while the process stops.
                if self.stop.came && !begun && self.is_left(cx) {
                    return Poll::Ready(Err(HeadOutcome::Then(NextState::Close)));
                }
                let waited = self.watch.poll(begun, self.served, self.limits, cx);
                waited.map(|then| Err(HeadOutcome::Then(then)))
            }
            Err(error) => Poll::Ready(Err(HeadOutcome::Refuse(error))),
        }
    }

    /// The process is to end, and nothing has begun here.
    fn is_left(&mut self, cx: &mut Context<'_>) -> bool {
        self.first_request
            .as_mut()
            .filter(|_| self.served == 0)
            .is_none_or(|call| call.poll_elapsed(cx).is_ready())
    }

    /// Tells why, and no more is read.
    async fn refuse(&mut self, error: &HeadError) -> NextState {
        tracing::info!(%error, peer = ?self.info.arrival.peer, "request refused: malformed, or its head is too large");
        let Some(status) = error.status() else { return NextState::Gone };
        let mut response = Response::new(());
        *response.status_mut() = status;
        let terms = AnswerTerms::of_refusal();
        self.outbound.begin(BodyEnding::Length(0), None, |out| {
            answer::write(&response, BodyEnding::Length(0), None, terms, out);
        });
        // The connection closes after it: where a malformed message ends is anybody's guess.
        let sent = poll_fn(|cx| self.outbound.poll(&mut IoWriter(&self.io), cx)).await;
        if sent.is_ok() { NextState::Close } else { NextState::Gone }
    }

    /// One request and its answer; none if the next may follow.
    async fn exchange(&mut self, head: RequestHead) -> Option<NextState> {
        let RequestHead { request, body, mut terms } = head;
        // Counted before it is answered: a connection that breaks in the middle has brought a request all the same.
        self.served += 1;
        self.left -= 1;
        self.io.with(|io| io.begin(body, terms.waits));
        // A body before a change of protocol would leave two readers in doubt where it ends.
        let can_switch = terms.upgrade && body.is_over() && !terms.old;
        let switch = can_switch.then(|| PendingUpgrade::new(&self.io));
        // The body reads from the same connection later, when the app's side asks for it: nothing
        // is buffered ahead.
        let body = (!body.is_over()).then(|| Rc::clone(&self.io));
        let interim = (!terms.old).then(|| InterimSender::new(&self.io));
        let received = ReceivedBody::of_http1(body, switch, interim, self.connection.clone());
        let request = self.info.tell(request.map(|()| received));

        // Not a task of its own: handler, body and connection are polled together, without a
        // channel or a wake-up between them.
        let mut answer = self.handler.handle(request, self.info.arrival);
        let response = poll_fn(|cx| {
            if let Poll::Ready(response) = Pin::new(&mut answer).poll(cx) {
                return Poll::Ready(Some(response));
            }
            self.stop.look(cx);
            self.io.poll_interim(cx);
            // Last: an answer that is ready beats a visitor who has just gone, so that it is
            // counted as what it was.
            self.io.poll_gone(cx).map(|()| None)
        });
        let Some(response) = response.await else {
            // The stream goes first: a commit that goes on in the background must not wait for the
            // rest of a body that will never come.
            drop(self.io.take());
            return Some(NextState::Gone);
        };
        let status = response.status();
        // SECURITY: what follows a refused change of protocol may have been meant for the tunnel: it is no request.
        let refused = terms.upgrade && status != StatusCode::SWITCHING_PROTOCOLS;
        terms.keep &= self.left > 0 && !refused && !self.stop.came;
        if let Some(then) = self.answer(response, &mut terms).await {
            return Some(then);
        }
        // Taken even if the answer refuses: what was meant to follow a 101 must not linger for the
        // next request.
        let switch = self.io.switch();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Some(switch.map_or(NextState::Close, NextState::Switch));
        }
        // What is left of this body stands before the next request's head.
        if !terms.keep || !self.skip_body().await {
            return Some(NextState::Close);
        }
        self.outbound.rest();
        self.watch.idle_since = clock::tick();
        None
    }

    /// Sends an answer; none when all of it has left.
    async fn answer(&mut self, response: Response<H::Body>, terms: &mut AnswerTerms) -> Option<NextState> {
        let (mut head, body) = response.split();
        if head.status() != StatusCode::SWITCHING_PROTOCOLS
            && let Some(said) = head.fields_mut().remove(CONNECTION)
        {
            terms.keep &= !said.as_bytes().eq_ignore_ascii_case(b"close");
        }
        let length = body.size_hint().exact();
        let ending = answer::ending(head.status(), length, *terms);
        // Who waits to be asked for a body may send it all the same, or not: only they know where the next one begins.
        let (unsaid, waits) = self.io.with(ConnectionIo::answered).unwrap_or_default();
        terms.keep &= ending != BodyEnding::Close && !waits;
        if terms.keep && Rc::strong_count(&self.io) == 1 {
            // Nobody holds its body any more.
            // Before the head is written, since the head says whether the connection goes on.
            terms.keep = self.skip_body().await;
        }
        let body = (!matches!(ending, BodyEnding::Empty | BodyEnding::Length(0))).then_some(body);
        self.outbound.begin(ending, body, |out| {
            out.extend_from_slice(&unsaid);
            answer::write(&head, ending, length, *terms, out);
        });
        // Emptied and used for the next request: its allocation is kept.
        self.spare = std::mem::take(head.fields_mut());
        self.spare.clear();

        let sent = poll_fn(|cx| match self.outbound.poll(&mut IoWriter(&self.io), cx) {
            // A visitor who went while nothing can be written is noticed here, and not after
            // `write_stall_timeout`.
            Poll::Pending => self.io.poll_gone(cx).map(|()| Err(None)),
            Poll::Ready(sent) => Poll::Ready(sent.map_err(Some)),
        });
        let error = sent.await.err()?;
        // An answer that was cut must not look complete.
        let is_open = terms.old || ending == BodyEnding::Close;
        Some(match error {
            Some(OutboundError::Body(_)) if is_open => NextState::Reset,
            Some(error) => {
                tracing::debug!(%error, peer = ?self.info.arrival.peer, "connection ended");
                NextState::Gone
            }
            None => NextState::Gone,
        })
    }

    /// Passes over what is left of a body that nobody wants, as far as it is at hand: true once the next request is
    /// reached. Whoever is still sending is not listened to for its own sake.
    async fn skip_body(&self) -> bool {
        let mut budget = MOST_UNWANTED;
        poll_fn(|cx| {
            while !self.io.is_over() && budget > 0 {
                match self.io.poll_body(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        budget = budget.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                    }
                    Poll::Ready(None) => {}
                    Poll::Ready(Some(Err(_))) | Poll::Pending => return Poll::Ready(false),
                }
            }
            Poll::Ready(self.io.is_over())
        })
        .await
    }
}

/// What there is instead of a head.
enum HeadOutcome {
    Then(NextState),
    Refuse(HeadError),
}

/// Tells when a line is to be parked, or its head took too long.
struct IdleWatch {
    pause: CoarseTimer,
    head: Option<CoarseTimer>,
    /// When the last answer was through, in ticks.
    idle_since: u64,
    comes_back: bool,
}

impl IdleWatch {
    fn poll(
        &mut self,
        begun: bool,
        served: u64,
        limits: &RequestLimits,
        cx: &mut Context<'_>,
    ) -> Poll<NextState> {
        if begun {
            // Set once, at the first byte: a visitor who sends a byte now and then gets no more
            // time for it.
            let head = self.head.get_or_insert_with(|| CoarseTimer::new(limits.request_head_timeout));
            return head.poll_elapsed(cx).map(|()| NextState::TimedOut);
        }
        let idle = clock::tick().saturating_sub(self.idle_since);
        if served > 0 && (!self.comes_back || idle > PARK_AFTER_TICKS) {
            return Poll::Ready(NextState::Park);
        }
        self.pause.reset(Some(PARK_AFTER));
        self.pause.poll_elapsed(cx).map(|()| NextState::Park)
    }
}

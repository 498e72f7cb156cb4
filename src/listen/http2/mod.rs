//! The life of an HTTP/2 connection (RFC 9113): many requests at a time, each in a task of its own.
//!
//! h2 reads the frames and holds what it can count; what only we know ends a connection here: that it is idle, that it
//! asks and takes back, that it sends without getting anywhere, that it does not read.

mod early_hints;
mod incoming;
mod stall_guard;
mod stream;
mod streams;
mod tunnel;

pub(super) use early_hints::StreamHandoff;
pub(super) use incoming::StreamBody;

use std::{
    cell::Cell,
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use tokio_util::sync::CancellationToken;

use super::{ConnectionRules, RequestHandler, acceptor::ConnectionInfo};
use crate::{
    clock::CoarseTimer,
    config::RequestLimits,
    message::Request,
    net::{MeteredStream, NetStream},
    tasks,
};
use stall_guard::StalledWriteGuard;
use streams::{RequestInFlight, StreamCounts};

/// How long a connection that was told to end may take to say good-bye.
const GOAWAY_GRACE: Duration = Duration::from_secs(2);
/// What `"off"` means for a window (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// Frames that lead nowhere (PING, SETTINGS, PRIORITY, empty DATA) may come to so many bytes in ten seconds, beyond
/// what flow control allows to lie about.
const MAX_CONTROL_BYTES: u64 = 256 * 1024;
const TALK_WINDOW: Duration = Duration::from_secs(10);
/// And to so many from who does not even read what they are answered, while nothing is asked.
const UNHEARD_TALK: u64 = 64 * 1024;

fn builder(limits: &RequestLimits) -> Builder {
    let mut builder = Builder::new();
    let window = |limit: Option<usize>| limit.and_then(|w| u32::try_from(w).ok()).unwrap_or(LARGEST_WINDOW);
    builder
        .enable_connect_protocol()
        .initial_window_size(window(limits.http2_stream_window))
        .initial_connection_window_size(window(limits.http2_connection_window))
        .max_send_buffer_size(limits.http2_send_buffer.unwrap_or(LARGEST_WINDOW as usize))
        .max_pending_accept_reset_streams(limits.http2_pending_resets.unwrap_or(usize::MAX))
        .max_local_error_reset_streams(limits.http2_local_resets)
        .max_header_list_size(limits.head_bytes.and_then(|b| u32::try_from(b).ok()).unwrap_or(u32::MAX));
    if let Some(most) = limits.http2_streams {
        builder.max_concurrent_streams(most);
    }
    builder
}

/// A connection, from its preface on.
enum Http2Conversation {
    Beginning {
        handshake: Handshake<StalledWriteGuard, Bytes>,
        /// It was told to end before it had begun.
        is_ending: bool,
    },
    Begun(Connection<StalledWriteGuard, Bytes>),
}

impl Http2Conversation {
    /// Hands on what comes; ready at its end.
    fn poll(
        &mut self,
        begin: &mut impl FnMut(Request<h2::RecvStream>, SendResponse<Bytes>),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            match self {
                Self::Beginning { handshake, is_ending } => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    // A stop that came within the handshake: the requests that came with it are
                    // answered, and no more taken.
                    if *is_ending {
                        connection.graceful_shutdown();
                    }
                    *self = Self::Begun(connection);
                }
                Self::Begun(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(accepted) => {
                        let (request, reply) = accepted?;
                        begin(request.into(), reply);
                    }
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }

    /// Takes no more requests; those under way are finished (RFC 9113 section 6.8).
    fn end(&mut self) {
        match self {
            Self::Beginning { is_ending, .. } => *is_ending = true,
            Self::Begun(connection) => connection.graceful_shutdown(),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<H: RequestHandler>(
    stream: NetStream,
    prefix: Bytes,
    info: ConnectionInfo,
    rules: Rc<ConnectionRules>,
    handler: Rc<H>,
    stop: CancellationToken,
) {
    let limits = &rules.limits;
    let streams = Rc::new(StreamCounts::new(limits.http2_resets_per_10s));
    let came = Rc::default();
    let unflushed = Rc::new(Cell::new(false));
    let metered = MeteredStream::new(stream, &came);
    let io = StalledWriteGuard::new(metered, prefix, Rc::clone(&unflushed), limits.write_stall_timeout);
    let arrival = info.arrival;
    let noted = Rc::clone(&streams);
    let mut begin = move |request, reply| {
        // Counted from now on, and not only once its task has its turn.
        let flight = RequestInFlight::new(&noted);
        // Boxed: a task's future is moved several times, and this one is large.
        tasks::spawn(Box::pin(stream::serve(request, reply, flight, info.clone(), Rc::clone(&handler))));
    };
    let mut connection =
        Http2Conversation::Beginning { handshake: builder(limits).handshake(io), is_ending: false };
    let mut watch = EndWatch::new(limits);
    let mut stopping = pin!(stop.cancelled());
    let over = poll_fn(|cx| {
        // Streams run in tasks of their own and wake this one when there is something to decide.
        streams.listens(cx);
        loop {
            if let Poll::Ready(result) = connection.poll(&mut begin, cx) {
                return Poll::Ready(result.err().map(|error| error.to_string()));
            }
            // Who asks for nothing and does not read our answers to their PINGs gets less patience.
            let unheard = unflushed.get() && streams.in_flight.get() == 0;
            if let Poll::Ready(why) = watch.poll(&streams, came.get(), unheard, limits, cx) {
                // Said, where the other side still listens, and then it is cut.
                connection.end();
                let _ = connection.poll(&mut begin, cx);
                return Poll::Ready(why.map(str::to_owned));
            }
            let full = streams.served.get() >= limits.requests_per_connection_http2.unwrap_or(u64::MAX);
            if watch.is_ending || !(full || watch.is_idle || stopping.as_mut().poll(cx).is_ready()) {
                return Poll::Pending;
            }
            watch.is_ending = true;
            watch.rest = None;
            connection.end();
        }
    })
    .await;
    if let Some(error) = over {
        tracing::debug!(error, peer = ?arrival.peer, "HTTP/2 connection ended");
    }
}

/// Tells when a connection is to end.
struct EndWatch {
    /// It was told that it is to end.
    is_ending: bool,
    /// Nothing was asked for too long.
    is_idle: bool,
    rest: Option<CoarseTimer>,
    stall: CoarseTimer,
    seen: u64,
    talk: CoarseTimer,
    talk_from: (u64, u64),
    most_talk: u64,
}

impl EndWatch {
    fn new(limits: &RequestLimits) -> Self {
        Self {
            is_ending: false,
            is_idle: false,
            rest: None,
            stall: CoarseTimer::new(limits.write_stall_timeout),
            seen: 0,
            talk: CoarseTimer::new(Some(TALK_WINDOW)),
            talk_from: (0, 0),
            most_talk: limits
                .http2_connection_window
                .map_or(u64::MAX, |window| (window as u64).saturating_add(MAX_CONTROL_BYTES)),
        }
    }

    /// Ready when it is to be cut, with why that is worth a word.
    fn poll(
        &mut self,
        streams: &StreamCounts,
        came: u64,
        unheard: bool,
        limits: &RequestLimits,
        cx: &mut Context<'_>,
    ) -> Poll<Option<&'static str>> {
        if streams.takes_back.get() {
            return Poll::Ready(Some("too many requests were taken back: http2_resets_per_10s"));
        }
        if streams.in_flight.get() > 0 {
            // While a request is under way the connection is not idle, however long that takes.
            self.rest = None;
        } else {
            let limit = match (self.is_ending, streams.served.get()) {
                (true, _) => Some(GOAWAY_GRACE),
                // The first request has the time of a head.
                (false, 0) => limits.request_head_timeout,
                (false, _) => limits.idle_timeout_http2,
            };
            self.is_idle =
                self.rest.get_or_insert_with(|| CoarseTimer::new(limit)).poll_elapsed(cx).is_ready();
            if self.is_ending && self.is_idle {
                return Poll::Ready(None);
            }
        }
        let progress = streams.progress.get();
        // SECURITY: one byte that moves on any stream resets it. Only a visitor who takes nothing
        // at all, with answers waiting, is cut.
        if progress != self.seen || streams.unread.get() == 0 {
            self.seen = progress;
            self.stall.reset(limits.write_stall_timeout);
        }
        if streams.unread.get() > 0 && self.stall.poll_elapsed(cx).is_ready() {
            return Poll::Ready(Some("the visitor does not read: write_stall_timeout"));
        }
        if self.talk_from.1 != progress || self.talk.poll_elapsed(cx).is_ready() {
            self.talk_from = (came, progress);
            self.talk.reset(Some(TALK_WINDOW));
        // SECURITY: floods of PING, SETTINGS and empty DATA (CVE-2019-9512, -9515, -9518) move no
        // request on, however many bytes they bring.
        } else if came - self.talk_from.0 > if unheard { UNHEARD_TALK } else { self.most_talk } {
            return Poll::Ready(Some("frames without end that lead nowhere"));
        }
        Poll::Pending
    }
}

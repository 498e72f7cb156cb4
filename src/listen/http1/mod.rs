//! The life of an HTTP/1 connection: parked, serving, parked again, closed.
//!
//! An idle connection is kept outside hyper: its buffers are given back, and one byte is peeked for. That is what
//! tells "ten seconds for a head" from "75 seconds idle", and it costs a kilobyte where hyper's state costs nineteen.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{
    Handler, Rules, Tunnel,
    entrance::Entered,
    service::Serving,
    watched::{Activity, Watched},
};
use crate::{
    clock::{self, Timer},
    config::Limits,
    net::Stream,
};

/// A connection that does nothing for this long is parked. One that has not shown yet that it comes back sooner is
/// parked at once: thousands that ask once and then rest must not hold buffers all at the same time.
const PARK_AFTER: Duration = Duration::from_millis(200);
const PARK_AFTER_TICKS: u64 = PARK_AFTER.as_millis() as u64 / clock::TICK.as_millis() as u64;
/// How long a closing connection is read on, so that the answer is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

enum Then {
    Park(Stream, Bytes),
    Close(Stream),
    Switch(Tunnel),
    Gone,
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    mut stream: Stream,
    mut prefix: Bytes,
    entered: Entered,
    rules: Rc<Rules>,
    handler: Rc<H>,
    stop: CancellationToken,
) {
    let mut wait = rules.limits.request_head_timeout;
    let mut left = rules.limits.requests_per_connection_http1.unwrap_or(u64::MAX);
    let mut parked: Option<u64> = None;
    while left > 0 {
        if prefix.is_empty() {
            let readable = tokio::select! {
                readable = clock::timeout(wait, stream.peek()) => readable,
                () = stop.cancelled() => return,
            };
            if !matches!(readable, Ok(Ok(true))) {
                return;
            }
        }
        let comes_back = parked.is_some_and(|since| clock::tick().saturating_sub(since) <= PARK_AFTER_TICKS);
        let activity = Rc::new(Activity::new(comes_back, parked.is_some()));
        // Boxed, as is all that is not there while it is parked: a task is as large as the largest thing it ever holds.
        let then = Box::pin(active(stream, prefix, &entered, &rules, &handler, &activity, &stop, left)).await;
        left = left.saturating_sub(activity.served.get());
        match then {
            Then::Park(back, unread) => (stream, prefix) = (back, unread),
            Then::Close(back) => return Box::pin(linger(back)).await,
            Then::Switch(tunnel) => return tunnel.await,
            Then::Gone => return,
        }
        parked = Some(clock::tick());
        wait = rules.limits.idle_timeout_http1;
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one connection, named once")]
async fn active<H: Handler>(
    stream: Stream,
    prefix: Bytes,
    entered: &Entered,
    rules: &Rc<Rules>,
    handler: &Rc<H>,
    activity: &Rc<Activity>,
    stop: &CancellationToken,
    left: u64,
) -> Then {
    let limits = &rules.limits;
    let arrival = entered.arrival;
    let io = Watched::new(stream, prefix, Rc::clone(activity), limits.write_stall_timeout);
    let service = service_fn(|request: Request<Incoming>| {
        let last = activity.served.get() + 1 >= left;
        Serving::begin(entered.tell(request), activity, last, |request| handler.handle(request, arrival))
    });
    let mut builder = http1::Builder::new();
    if let Some(bytes) = limits.head_bytes {
        builder.max_header_size(bytes);
    }
    let mut connection = builder.serve_connection(io, service);
    let mut watch = Watch { timer: Timer::new(Some(PARK_AFTER)), head: None, rest: None };
    let mut stopping = pin!(stop.cancelled());
    let mut notice: Option<Arc<Notice>> = None;
    let mut told = false;
    let over = poll_fn(|cx| {
        let news = notice.as_ref().is_none_or(|notice| notice.came.load(Ordering::Acquire));
        if news && !told {
            let waker = Waker::from(Arc::clone(notice.get_or_insert_with(|| Notice::to(cx.waker()))));
            if stopping.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        watch.poll(activity, limits, cx).map(|()| None)
    })
    .await;
    // Later ones are left without a word: a client that keeps connections could take it for the next answer.
    let timed_out = over.is_none() && activity.head_begun.get();
    let first = activity.served.get() == 0 && !activity.resumed;
    match over {
        Some(Err(e)) if !e.is_parse() && !e.is_parse_too_large() => {
            tracing::debug!(error = %e, peer = ?arrival.peer, "connection ended");
            activity.gone.set(true);
            if activity.ends_by_close.get() {
                // An answer that was cut must not look complete.
                connection.into_parts().io.io.into_inner().reset();
            }
            return Then::Gone;
        }
        Some(Err(ref e)) => {
            tracing::info!(error = %e, peer = ?arrival.peer, "request refused: malformed, or its head is too large");
        }
        _ => {}
    }
    activity.gone.set(true);
    let done = over.is_some() || told || activity.body_open.get();
    let parts = connection.into_parts();
    let stream = parts.io.io.into_inner();
    if timed_out {
        return if first { answer_timeout(stream).await } else { Then::Close(stream) };
    }
    // An empty one would still hold its buffer.
    let unread = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
    if let Some(begin) = activity.switch.take() {
        // Where the 101 has not left, nothing may follow it.
        return if activity.unflushed.get() {
            Then::Gone
        } else {
            Then::Switch(begin(Box::new(stream), unread))
        };
    }
    if done { Then::Close(stream) } else { Then::Park(stream, unread) }
}

/// Wakes a connection's task, and leaves word of it: whether the process is to end is asked only then, since asking takes
/// a lock that all connections share.
struct Notice {
    came: AtomicBool,
    task: Waker,
}

impl Notice {
    fn to(task: &Waker) -> Arc<Self> {
        Arc::new(Self { came: AtomicBool::new(false), task: task.clone() })
    }
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

/// A head that did not arrive in time (RFC 9110 §15.5.9).
async fn answer_timeout(mut stream: Stream) -> Then {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let _ = clock::timeout(Some(LINGER), stream.write_all(answer)).await;
    Then::Close(stream)
}

/// Tells when a connection is to be parked, or its head took too long.
struct Watch {
    timer: Timer,
    head: Option<Timer>,
    rest: Option<Timer>,
}

impl Watch {
    fn poll(&mut self, activity: &Activity, limits: &Limits, cx: &mut Context<'_>) -> Poll<()> {
        if activity.in_flight.get() > 0 || activity.unflushed.get() {
            self.head = None;
            return Poll::Pending;
        }
        if activity.head_begun.get() {
            return self.head.get_or_insert_with(|| Timer::new(limits.request_head_timeout)).poll_elapsed(cx);
        }
        self.head = None;
        if activity.body_open.get() {
            // It was answered before its body was through, and hyper reads the rest.
            return self.rest.get_or_insert_with(|| Timer::new(limits.body_idle_timeout)).poll_elapsed(cx);
        }
        self.rest = None;
        if !activity.reading.get() {
            return Poll::Pending;
        }
        let idle = clock::tick().saturating_sub(activity.idle_since.get());
        if activity.served.get() > 0 && (!activity.comes_back || idle > PARK_AFTER_TICKS) {
            return Poll::Ready(());
        }
        self.timer.reset(Some(PARK_AFTER));
        self.timer.poll_elapsed(cx)
    }
}

async fn linger(mut stream: Stream) {
    let _ = stream.shutdown().await;
    let mut sink = [0; 4096];
    let mut budget = 256 * 1024_usize;
    let drain = async {
        while let Ok(n) = stream.read(&mut sink).await {
            budget = budget.saturating_sub(n);
            if n == 0 || budget == 0 {
                return;
            }
        }
    };
    let _ = clock::timeout(Some(LINGER), drain).await;
}

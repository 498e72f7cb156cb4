//! One connection to one server, shared by the requests of one worker. A task of its own moves its frames.

use std::{
    cell::{Cell, RefCell},
    future::{Future as _, poll_fn},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;

use super::{super::endpoint::RequestUnderWay, Http2Error};
use crate::{
    clock,
    net::{MeteredStream, NetStream},
    tasks,
};

/// Requests at a time; another connection takes those beyond, and the app may allow fewer (RFC 9113 section 5.1.2).
const MOST_STREAMS: usize = 100;
/// What the app may send of one answer before it is taken from us (RFC 9113 section 5.2), in bytes.
const STREAM_WINDOW: u32 = 65_535;
/// The same of all: as much as its streams come to, or visitors who do not read would hold up those who do.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// What of one request's body waits to be sent, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// What is left to be written when a connection is not used any more has so long to leave.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);
/// An answer's head may be this long, as RFC 9113 section 6.5.2 counts it.
const LARGEST_HEAD: u32 = 64 * 1024;

/// A connection. When nobody holds it any more, it says good-bye and is closed.
#[derive(Debug)]
pub(in super::super) struct Http2Connection {
    send: RefCell<SendRequest<Bytes>>,
    /// Bytes that came so far.
    came: Rc<Cell<u64>>,
    /// It is not to be used for new requests.
    given_up: Cell<bool>,
    /// It has answered before.
    answered: Cell<bool>,
    /// The tick in which it was last in use.
    since: Cell<u64>,
    /// Ticks that it may be unused.
    idle_ticks: u64,
}

impl Http2Connection {
    /// Begins to speak HTTP/2. The app's settings are waited for (RFC 9113 section 3.4): they say how many requests it
    /// takes at a time, and that it speaks HTTP/2 at all, before any of it is sent.
    ///
    /// # Errors
    /// The stream broke, or what came is no HTTP/2.
    pub(in super::super) async fn open(stream: NetStream, idle_ticks: u64) -> Result<Rc<Self>, Http2Error> {
        let came = Rc::default();
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Until it says how many.
            .initial_max_send_streams(0)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(LARGEST_HEAD);
        let (send, mut connection) = builder.handshake(MeteredStream::new(stream, &came)).await?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Http2Error::Broken(io::ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            // A request that is sent before the app's SETTINGS might exceed its limit, and be
            // refused.
            Poll::Pending if connection.max_concurrent_send_streams() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let this = Rc::new(Self {
            send: RefCell::new(send),
            came,
            given_up: Cell::default(),
            answered: Cell::default(),
            since: Cell::new(clock::tick()),
            idle_ticks,
        });
        // Weak: the task must not keep alive what it waits to see dropped.
        let held = Rc::downgrade(&this);
        tasks::spawn(async move {
            tokio::select! {
                over = connection => {
                    // Its requests hear of it as well, and say so in the log.
                    if let Err(error) = over {
                        tracing::debug!(%error, "an HTTP/2 connection to an app ended");
                    }
                }
                () = left(&held) => tracing::debug!("an HTTP/2 connection is cut: its app does not read"),
            }
        });
        Ok(this)
    }

    /// New requests are taken: neither side has said otherwise.
    pub(in super::super) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !self.given_up.get() && !matches!(self.send.borrow_mut().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// There is room for one request more. The pool holds it once, each request once more.
    pub(in super::super) fn has_room(self: &Rc<Self>) -> bool {
        // The reference count is the count of requests, so that no second one can differ from it.
        let most = self.send.borrow().current_max_send_streams().min(MOST_STREAMS);
        Rc::strong_count(self) <= most
    }

    /// Nobody has used it for as long as it may be unused.
    pub(in super::super) fn is_unused(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1 && clock::tick().saturating_sub(self.since.get()) >= self.idle_ticks
    }
}

/// Ready once a connection that nobody holds has had its time to say good-bye: an app that does not read would keep it,
/// and all that is still to be written, for ever.
async fn left(connection: &Weak<Http2Connection>) {
    while connection.strong_count() > 0 {
        clock::pause(GOAWAY_GRACE).await;
    }
    clock::pause(GOAWAY_GRACE).await;
}

/// One request's part in a connection.
#[derive(Debug)]
pub(in super::super) struct ConnectionShare {
    connection: Rc<Http2Connection>,
    /// The server has one request more for as long.
    pub(in super::super) busy: Option<RequestUnderWay>,
    /// It had answered before this one was begun.
    pub(super) reused: bool,
}

impl ConnectionShare {
    pub(in super::super) fn of(connection: &Rc<Http2Connection>) -> Self {
        let reused = connection.answered.get();
        Self { connection: Rc::clone(connection), busy: None, reused }
    }

    /// A handle that begins one stream.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.connection.send.borrow().clone()
    }

    /// The app has answered on it.
    pub(super) fn answered(&self) {
        self.connection.answered.set(true);
    }

    /// How much has come so far, on all of its streams.
    pub(super) fn came(&self) -> u64 {
        self.connection.came.get()
    }

    /// In vain something was waited for. If nothing came on the whole connection since `came`, it is taken for dead:
    /// what drops packets on the way tells nobody, and each further request would wait as long.
    pub(super) fn waited_in_vain(&self, came: u64) {
        if self.came() == came {
            self.connection.given_up.set(true);
        }
    }
}

impl Drop for ConnectionShare {
    fn drop(&mut self) {
        self.connection.since.set(clock::tick());
    }
}

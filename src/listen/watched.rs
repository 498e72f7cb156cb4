//! The stream of a connection, with notes on what it does: what tells an idle connection from a slow one.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::switch::Begin;
use crate::{
    clock::{self, Timer},
    net::Stream,
};

/// What a connection did lately.
pub(super) struct Activity {
    /// It was seen to come back soon after an answer.
    pub(super) comes_back: bool,
    /// It was parked before.
    pub(super) resumed: bool,
    /// The last read found nothing.
    pub(super) reading: Cell<bool>,
    /// Something was written, or could not be, and is not flushed yet.
    pub(super) unflushed: Cell<bool>,
    /// Requests whose answer is not through.
    pub(super) in_flight: Cell<u32>,
    /// Requests since the connection was last parked.
    pub(super) served: Cell<u64>,
    /// When it last finished an answer, in ticks.
    pub(super) idle_since: Cell<u64>,
    /// The body of the last request has not been read to its end.
    pub(super) body_open: Cell<bool>,
    /// The last request was HTTP/1.0: the end of the stream is the end of its answer.
    pub(super) ends_by_close: Cell<bool>,
    /// hyper is done with it, however it ended.
    pub(super) gone: Cell<bool>,
    /// What follows a 101.
    pub(super) switch: Cell<Option<Begin>>,
    /// A head has begun to arrive.
    pub(super) head_begun: Cell<bool>,
}

impl std::fmt::Debug for Activity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Activity")
    }
}

impl Activity {
    /// Of a connection that begins to be active now.
    pub(super) fn new(comes_back: bool, resumed: bool) -> Self {
        Self {
            comes_back,
            resumed,
            reading: Cell::new(false),
            unflushed: Cell::new(false),
            in_flight: Cell::new(0),
            served: Cell::new(0),
            idle_since: Cell::new(clock::tick()),
            body_open: Cell::new(false),
            switch: Cell::new(None),
            head_begun: Cell::new(false),
            ends_by_close: Cell::new(false),
            gone: Cell::new(false),
        }
    }
}

/// What lies under a watched stream.
pub(super) trait Underlying {
    fn stream(&self) -> &Stream;
}

impl Underlying for Stream {
    fn stream(&self) -> &Stream {
        self
    }
}

pub(super) struct Watched<S = Stream> {
    pub(super) io: TokioIo<S>,
    /// Read already, by the hyper connection before this one.
    prefix: Bytes,
    activity: Rc<Activity>,
    stall: Option<Duration>,
    stalled: RefCell<Option<Timer>>,
}

impl<S> Watched<S> {
    pub(super) fn new(io: S, prefix: Bytes, activity: Rc<Activity>, stall: Option<Duration>) -> Self {
        Self { io: TokioIo::new(io), prefix, activity, stall, stalled: RefCell::new(None) }
    }
}

impl<S: Underlying> Watched<S> {
    fn wrote<T>(&self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending => {
                // The visitor does not read just now: what hyper holds for them must not be parked away.
                self.activity.unflushed.set(true);
                let mut stalled = self.stalled.borrow_mut();
                let timer = stalled.get_or_insert_with(|| Timer::new(self.stall));
                timer.poll_elapsed(cx).map(|()| {
                    self.io.inner().stream().closes_by_reset();
                    Err(io::ErrorKind::TimedOut.into())
                })
            }
            ready @ Poll::Ready(_) => {
                if self.stalled.borrow().is_some() {
                    self.stalled.replace(None);
                }
                ready
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            buf.put_slice(self.prefix.get(..n).unwrap_or_default());
            self.prefix.advance(n);
            self.activity.head_begun.set(true);
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.activity.reading.set(polled.is_pending());
        if polled.is_ready() && self.activity.in_flight.get() == 0 {
            self.activity.head_begun.set(true);
        }
        polled
    }
}

impl<S: AsyncWrite + Underlying + Unpin> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.activity.unflushed.set(true);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.activity.unflushed.set(true);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only TLS has anything to flush, and may have to wait with that.
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        let polled = self.wrote(polled, cx);
        // hyper flushes also where there is nothing to flush: that is no sign of life.
        if polled.is_ready() && self.activity.unflushed.replace(false) {
            self.activity.idle_since.set(clock::tick());
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

//! The stream under an HTTP/2 connection: what was read of it before, and whether its visitor takes what is written.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::write_stall::WriteStall;
use crate::net::MeteredStream;

pub(super) struct StalledWriteGuard {
    io: MeteredStream,
    /// Read already, to tell which protocol it is.
    prefix: Bytes,
    /// Something was written, or could not be, and is not flushed yet.
    unflushed: Rc<Cell<bool>>,
    stall: WriteStall,
}

impl StalledWriteGuard {
    pub(super) fn new(
        io: MeteredStream,
        prefix: Bytes,
        unflushed: Rc<Cell<bool>>,
        stall: Option<Duration>,
    ) -> Self {
        Self { io, prefix, unflushed, stall: WriteStall::new(stall) }
    }

    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            self.unflushed.set(true);
        }
        self.stall.wrote(self.io.stream(), polled, cx)
    }
}

impl AsyncRead for StalledWriteGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix.split_to(n));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for StalledWriteGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.unflushed.set(true);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.unflushed.set(true);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only TLS has anything to flush, and may have to wait with that.
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        let polled = self.wrote(polled, cx);
        if polled.is_ready() {
            self.unflushed.set(false);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

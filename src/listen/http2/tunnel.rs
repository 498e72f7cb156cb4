//! A tunnel in a stream (RFC 8441), read and written like a connection.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::StreamCounts;

/// What is written at once, at most: a frame that every visitor takes (RFC 9113 section 4.2).
const LARGEST_WRITE: usize = 16 * 1024;

pub(super) struct StreamTunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Came, and was not read.
    left: Bytes,
    ended: bool,
    streams: Rc<StreamCounts>,
}

impl StreamTunnel {
    pub(super) fn new(send: SendStream<Bytes>, receive: RecvStream, streams: &Rc<StreamCounts>) -> Self {
        Self { send, receive, left: Bytes::new(), ended: false, streams: Rc::clone(streams) }
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.send.send_data(Bytes::new(), true).map_err(io::Error::other)
    }
}

impl Drop for StreamTunnel {
    fn drop(&mut self) {
        // As a connection that is closed: an end, and no fault. Where the stream is gone there is nobody to tell.
        let _ = self.end();
    }
}

impl AsyncRead for StreamTunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(data) => self.left = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left.split_to(length));
        // The visitor may send as much again. Where the stream is over that says nothing.
        let _ = self.receive.flow_control().release_capacity(length);
        self.streams.moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamTunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // No more than a frame is copied at once, however much the other side has at hand.
        let length = buf.len().min(LARGEST_WRITE);
        self.send.reserve_capacity(length);
        while self.send.capacity() == 0 {
            let grown = ready!(self.send.poll_capacity(cx));
            grown.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        }
        let piece = buf.get(..length.min(self.send.capacity())).unwrap_or_default();
        self.send.send_data(Bytes::copy_from_slice(piece), false).map_err(io::Error::other)?;
        self.streams.moved();
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection writes it on.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end())
    }
}

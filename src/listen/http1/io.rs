//! The line to a visitor: the stream, and what was read of it. Shared for as long as it is active between the
//! conversation and the body of the request that is being answered; both live in one task, so nothing goes by channels.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::{
    super::{upgrade::UpgradeCallback, write_stall::WriteStall},
    answer,
    head::BodyRemaining,
};
use crate::{
    message::{
        Fields,
        chunked::{ChunkError, ChunkGrammar, ChunkedPiece},
    },
    net::NetStream,
};

/// What a read asks for at first, in bytes; it doubles up to [`LARGEST_READ`] while a body fills it.
const SMALLEST_READ: usize = 4 * 1024;
/// The largest piece of a request's body that is held at once.
const LARGEST_READ: usize = 64 * 1024;
/// Room is made for two heads at a time.
const ROOM: usize = 2 * SMALLEST_READ;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// So much waits to be said before an answer, in bytes; what would be more is not said.
const LARGEST_INTERIM: usize = 16 * 1024;

/// Why no more of a body comes.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum BodyEnd {
    #[error("the visitor went away within the body")]
    Gone,
    #[error("the visitor's connection broke within the body: {0}")]
    Broken(#[from] io::Error),
    #[error("of the request, {0}")]
    Chunk(#[from] ChunkError),
}

/// A line.
pub(in super::super) struct SharedIo {
    /// None once the conversation is over, or another protocol is spoken: whoever still holds the line has lost it.
    io: RefCell<Option<ConnectionIo>>,
    /// What follows a 101.
    switch: Cell<Option<UpgradeCallback>>,
}

pub(super) struct ConnectionIo {
    stream: NetStream,
    inbound: BytesMut,
    /// An end of a line came since a head was last looked for: one that drips is not read anew for each drop.
    lines_came: bool,
    read_size: usize,
    rest: BodyRemaining,
    /// The visitor waits to be asked for the body (RFC 9110 section 10.1.1).
    waits: bool,
    /// What is still to be said before the answer.
    interim: Vec<u8>,
    /// What was said of that may be held back by the stream: TLS does.
    unflushed: bool,
    stall: WriteStall,
}

impl std::fmt::Debug for SharedIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl SharedIo {
    /// A line by which `prefix` came already.
    pub(super) fn new(stream: NetStream, prefix: Bytes, stall: Option<Duration>) -> Self {
        let io = ConnectionIo {
            stream,
            lines_came: !prefix.is_empty(),
            inbound: prefix.into(),
            read_size: SMALLEST_READ,
            rest: BodyRemaining::Over,
            waits: false,
            interim: Vec::new(),
            unflushed: false,
            stall: WriteStall::new(stall),
        };
        Self { io: RefCell::new(Some(io)), switch: Cell::default() }
    }

    /// With the wire, where it is still there.
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut ConnectionIo) -> T) -> Option<T> {
        self.io.borrow_mut().as_mut().map(read)
    }

    /// Takes the stream away, and what was read of it and used by nobody. Bodies that were not read to their end break
    /// off.
    pub(super) fn take(&self) -> Option<(NetStream, Bytes)> {
        let io = self.io.take()?;
        // An empty one would still hold its buffer.
        let unread = if io.inbound.is_empty() { Bytes::new() } else { io.inbound.freeze() };
        Some((io.stream, unread))
    }

    /// This follows if the answer agrees to it.
    pub(in super::super) fn follows(&self, begin: UpgradeCallback) {
        self.switch.set(Some(begin));
    }

    /// What follows.
    pub(super) fn switch(&self) -> Option<UpgradeCallback> {
        self.switch.take()
    }

    /// This is said before the answer.
    pub(in super::super) fn hint(&self, status: StatusCode, fields: &Fields) {
        self.with(|io| {
            let before = io.interim.len();
            answer::write_interim(status, fields, &mut io.interim);
            // Hints are a courtesy: what an app floods us with is dropped rather than held for a
            // visitor who does not read.
            if io.interim.len() > LARGEST_INTERIM {
                io.interim.truncate(before);
            }
        });
    }

    /// Says what is to be said before the answer; an error shows when that is sent.
    pub(super) fn poll_interim(&self, cx: &mut Context<'_>) {
        self.with(|io| io.poll_interim(cx).is_ready());
    }

    /// Ready when the visitor is seen to be gone while they are answered. Who closes the one half of a connection has
    /// gone as well. Nothing is read beyond what is sent next: more of it can wait.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let gone = self.with(|io| {
            // While a body is being sent, its reader sees the end; what is pipelined proves that
            // the visitor is still there.
            if !io.rest.is_over() || !io.inbound.is_empty() {
                return Poll::Pending;
            }
            ready!(io.stream.poll_read_ready(cx)).ok();
            match ready!(io.poll_read(cx)) {
                Ok(0) | Err(_) => Poll::Ready(()),
                Ok(_) => Poll::Pending,
            }
        });
        gone.unwrap_or(Poll::Ready(()))
    }

    /// The next piece of the body.
    pub(in super::super) fn poll_body(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        self.with(|io| io.poll_body(cx)).unwrap_or(Poll::Ready(Some(Err(BodyEnd::Gone))))
    }

    /// Whether the body has been read to its end.
    pub(in super::super) fn is_over(&self) -> bool {
        self.io.borrow().as_ref().is_some_and(|io| io.rest.is_over())
    }

    /// What is left of the body.
    pub(in super::super) fn size_hint(&self) -> SizeHint {
        match self.io.borrow().as_ref().map(|io| io.rest) {
            Some(BodyRemaining::Over) => SizeHint::with_exact(0),
            Some(BodyRemaining::Length(left)) => SizeHint::with_exact(left),
            Some(BodyRemaining::Chunks(_)) | None => SizeHint::default(),
        }
    }
}

impl ConnectionIo {
    /// The bytes that came, if there may be a head among them.
    pub(super) fn lines(&mut self) -> Option<&mut BytesMut> {
        std::mem::take(&mut self.lines_came).then_some(&mut self.inbound)
    }

    /// Something of the next request has come.
    pub(super) fn has_begun(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// So many bytes have come that nobody has used.
    pub(super) fn unread(&self) -> usize {
        self.inbound.len()
    }

    /// Begins a request: what of it is still to come, and whether it waits to be asked for that.
    pub(super) fn begin(&mut self, rest: BodyRemaining, waits: bool) {
        self.rest = rest;
        self.waits = waits;
        self.read_size = SMALLEST_READ;
        // Another one may stand there already.
        self.lines_came = !self.inbound.is_empty();
    }

    /// The answer begins: what is still to be said before it, and whether a body was waited for that nobody asked for.
    pub(super) fn answered(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.interim), std::mem::take(&mut self.waits))
    }

    /// Says what is to be said before the answer.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let interim = std::mem::take(&mut self.interim);
            let polled = self.poll_write(cx, &[IoSlice::new(&interim)]);
            self.interim = interim;
            drop(self.interim.drain(..ready!(polled)?));
            self.unflushed = true;
        }
        if self.unflushed {
            let polled = Pin::new(&mut self.stream).poll_flush(cx);
            ready!(self.stall.wrote(&self.stream, polled, cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads some bytes.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.inbound.capacity() - self.inbound.len() < self.read_size / 2 {
            self.inbound.reserve(self.read_size.max(ROOM));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.inbound))?;
        let came = self.inbound.get(self.inbound.len() - read..).unwrap_or_default();
        self.lines_came |= memchr::memchr(b'\n', came).is_some();
        Poll::Ready(Ok(read))
    }

    /// The next piece of the body; the visitor is asked for it first, where they wait for that.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        // "100 Continue" only when the app's side really asks for the body: a request that is
        // refused before that is never sent.
        if std::mem::take(&mut self.waits) {
            self.interim.extend_from_slice(CONTINUE);
            // What cannot be said at once is said while the answer is waited for.
            if let Poll::Ready(Err(error)) = self.poll_interim(cx) {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        loop {
            match self.decode() {
                Ok(ChunkedPiece::More) => {}
                Ok(ChunkedPiece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(ChunkedPiece::Trailers(fields)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields.into()))));
                }
                Ok(ChunkedPiece::End) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Some(Err(BodyEnd::Gone))),
                // Grown by what it proves to need: an upload gets large reads, and an idle
                // connection never holds a large buffer.
                Ok(read) if read >= self.read_size => self.read_size = LARGEST_READ.min(2 * self.read_size),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    fn decode(&mut self) -> Result<ChunkedPiece, ChunkError> {
        let piece = match &mut self.rest {
            BodyRemaining::Over => ChunkedPiece::End,
            BodyRemaining::Length(_) if self.inbound.is_empty() => ChunkedPiece::More,
            BodyRemaining::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.inbound.len());
                *left -= take as u64;
                if *left == 0 {
                    self.rest = BodyRemaining::Over;
                }
                ChunkedPiece::Data(self.inbound.split_to(take).freeze())
            }
            BodyRemaining::Chunks(chunks) => {
                let piece = chunks.read(&mut self.inbound, ChunkGrammar::Strict)?;
                if chunks.are_over() {
                    self.rest = BodyRemaining::Over;
                }
                piece
            }
        };
        if self.rest.is_over() {
            // The next head may have been read together with the end of this body.
            self.lines_came = !self.inbound.is_empty();
        }
        Ok(piece)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let polled = match pieces {
            [one] => stream.poll_write(cx, one),
            several => stream.poll_write_vectored(cx, several),
        };
        self.stall.wrote(&self.stream, polled, cx)
    }
}

/// Writing to the visitor. A borrow for each write and no longer: between two of them a body may be read from the line.
pub(super) struct IoWriter<'a>(pub(super) &'a SharedIo);

impl IoWriter<'_> {
    fn with<T>(&self, write: impl FnOnce(&mut ConnectionIo) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.0.with(write).unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::NotConnected.into())))
    }
}

impl AsyncWrite for IoWriter<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, &[IoSlice::new(buf)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| {
            let polled = Pin::new(&mut io.stream).poll_flush(cx);
            io.stall.wrote(&io.stream, polled, cx)
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| Pin::new(&mut io.stream).poll_shutdown(cx))
    }
}

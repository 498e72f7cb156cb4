//! One connection to one server: a request on its way out, bytes on their way in.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, request};
use http_body::Body;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::{
    super::BodyError,
    Head, Http1Error, LARGEST_READ, SMALLEST_READ,
    head::{self, Framing},
};
use crate::{message::lines::Lines, net::Stream};

/// Interim answers before the answer itself (RFC 9110 section 15.2); more of them are no HTTP but a stall.
const MOST_INTERIM: u8 = 32;

/// A connection. Dropped, it is closed.
pub(in super::super) struct Connection<B> {
    stream: Stream,
    pub(super) inbound: BytesMut,
    outbound: Outbound<B>,
    asked: Method,
    interim: u8,
    read_size: usize,
    /// The last answer leaves it usable.
    pub(super) keep_alive: bool,
    /// It has answered before.
    pub(in super::super) reused: bool,
    /// Ticks that it may be unused: shorter than configured if the app said so.
    pub(in super::super) idle_ticks: u64,
    /// The tick since when it is unused.
    pub(in super::super) since: u64,
}

/// What is still to be written.
struct Outbound<B> {
    /// The head, and after it the sizes of chunks.
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    body: Option<B>,
    framing: Framing,
    /// Bytes that the declared length still promises.
    promised: u64,
    /// Something of this request has left.
    begun: bool,
    /// The app takes no more; what it has to say of that may still be read.
    refused: Option<io::Error>,
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// A connection that was just opened.
    pub(in super::super) fn new(stream: Stream, idle_ticks: u64) -> Self {
        Self {
            stream,
            inbound: BytesMut::new(),
            outbound: Outbound {
                text: Vec::with_capacity(1024),
                written: 0,
                piece: Bytes::new(),
                after: b"",
                body: None,
                framing: Framing::Empty,
                promised: 0,
                begun: false,
                refused: None,
            },
            asked: Method::GET,
            interim: 0,
            read_size: SMALLEST_READ,
            keep_alive: false,
            reused: false,
            idle_ticks,
            since: 0,
        }
    }

    /// Begins a request. Nothing is sent before it is polled.
    pub(in super::super) fn begin(&mut self, parts: &request::Parts, added: &Lines, body: Option<B>) {
        let out = &mut self.outbound;
        (out.framing, out.promised) = match body.as_ref().map(|body| body.size_hint().exact()) {
            None => (Framing::Empty, 0),
            Some(Some(length)) => (Framing::Length(length), length),
            Some(None) => (Framing::Chunked, 0),
        };
        head::write(parts, added, out.framing, &mut out.text);
        (out.written, out.begun, out.refused) = (0, false, None);
        out.body = body;
        self.asked = parts.method.clone();
        self.interim = 0;
        self.keep_alive = false;
    }

    /// True once something of the request has left.
    pub(in super::super) fn has_begun(&self) -> bool {
        self.outbound.begun
    }

    /// Sends what can be sent and reads until the answer's head is there.
    ///
    /// # Errors
    /// See [`Http1Error`]; the connection is then to be dropped.
    pub(in super::super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Http1Error>> {
        self.poll_send(cx)?;
        loop {
            if !self.inbound.is_empty()
                && let Some(head) = head::read(&mut self.inbound, &self.asked)?
            {
                let status = head.response.status();
                if status.is_informational() && status != http::StatusCode::SWITCHING_PROTOCOLS {
                    self.interim += 1;
                    if self.interim > MOST_INTERIM {
                        return Poll::Ready(Err(Http1Error::Framing("interim answers without end")));
                    }
                    continue;
                }
                self.keep_alive = head.keep_alive;
                return Poll::Ready(Ok(head));
            }
            match ready!(self.poll_read(cx, SMALLEST_READ / 2)) {
                Ok(0) if self.inbound.is_empty() => {
                    let refused = self.outbound.refused.take();
                    return Poll::Ready(Err(refused.map_or(Http1Error::Closed, Http1Error::Broken)));
                }
                Ok(0) => return Poll::Ready(Err(Http1Error::Incomplete)),
                Ok(_) => {}
                Err(e) => return Poll::Ready(Err(self.outbound.refused.take().unwrap_or(e).into())),
            }
        }
    }

    /// Sends on: the app may answer before it has read the whole request.
    ///
    /// # Errors
    /// [`Http1Error::Body`]: the request breaks off, and so must the connection.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Http1Error> {
        if self.outbound.is_done() {
            return Ok(());
        }
        match self.outbound.poll(&mut self.stream, cx) {
            Poll::Ready(Err(Http1Error::Broken(error))) => {
                self.outbound.refused = Some(error);
                Ok(())
            }
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads some bytes, at most `most` at once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let room = self.read_size.min(most);
        // Small answers follow each other through one buffer.
        if self.inbound.capacity() - self.inbound.len() < room {
            self.inbound.reserve(room.max(2 * SMALLEST_READ));
        }
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.inbound))?;
        if read >= room {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// True if the last exchange is over and another can follow: bytes that nobody asked for are never the beginning
    /// of the next answer.
    pub(super) fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.inbound.is_empty()
            && self.outbound.is_done()
            && self.outbound.refused.is_none()
    }

    /// True if the other side has neither closed nor said anything since. Asks the runtime, which knows of what came
    /// before the loop last looked; `surely` asks the system, which knows more and costs a call.
    pub(in super::super) fn is_quiet(&self, surely: bool) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if surely || self.stream.poll_read_ready(&mut cx).is_ready() {
            return self.stream.is_quiet();
        }
        true
    }

    /// Gives memory back before it is put aside.
    pub(super) fn rest(&mut self) {
        self.read_size = SMALLEST_READ;
        if self.outbound.text.capacity() > 8 * 1024 {
            self.outbound.text = Vec::with_capacity(1024);
        }
    }
}

impl<B> Outbound<B> {
    fn is_done(&self) -> bool {
        self.refused.is_some() || (self.body.is_none() && self.is_flushed())
    }

    fn is_flushed(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.after.is_empty()
    }
}

impl<B> Outbound<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        loop {
            // A body that is at hand goes out with the head.
            let waits = if self.piece.is_empty() && self.after.is_empty() {
                self.poll_body(cx)?
            } else {
                Poll::Ready(())
            };
            while !self.is_flushed() {
                ready!(self.poll_write(stream, cx))?;
            }
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            ready!(waits);
        }
    }

    /// The next piece of the body, made ready to be written after what is there.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Http1Error> {
        let Some(body) = &mut self.body else { return Ok(Poll::Ready(())) };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => return Err(Http1Error::Body(error)),
            Poll::Ready(Some(Ok(frame))) => Some(frame),
        };
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(data)) if self.framing == Framing::Chunked => {
                // An empty chunk would be the last.
                if !data.is_empty() {
                    put_hex(data.len(), &mut self.text);
                    (self.piece, self.after) = (data, b"\r\n");
                }
            }
            Some(Ok(data)) => {
                let Some(left) = self.promised.checked_sub(data.len() as u64) else {
                    return Err(Http1Error::Body("the body is longer than its Content-Length".into()));
                };
                self.promised = left;
                self.piece = data;
                if left == 0 {
                    self.body = None;
                }
            }
            Some(Err(frame)) => {
                if let (Framing::Chunked, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.text.extend_from_slice(b"0\r\n");
                    head::write_fields(&trailers, &mut self.text);
                    self.text.extend_from_slice(b"\r\n");
                }
                self.body = None;
            }
            None => {
                match self.framing {
                    Framing::Chunked => self.text.extend_from_slice(b"0\r\n\r\n"),
                    _ if self.promised > 0 => {
                        return Err(Http1Error::Body("the body is shorter than its Content-Length".into()));
                    }
                    _ => {}
                }
                self.body = None;
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let written = if self.piece.is_empty() && self.after.is_empty() {
            ready!(stream.poll_write(cx, text))?
        } else {
            let slices = [text, &self.piece, self.after].map(IoSlice::new);
            ready!(stream.poll_write_vectored(cx, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
        }
        self.begun = true;
        let of_text = written.min(text.len());
        let of_piece = (written - of_text).min(self.piece.len());
        self.written += of_text;
        self.piece.advance(of_piece);
        self.after = self.after.get(written - of_text - of_piece..).unwrap_or_default();
        Poll::Ready(Ok(()))
    }
}

/// A chunk's size line.
fn put_hex(size: usize, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{size:x}\r\n");
}

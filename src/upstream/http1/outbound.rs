//! A request on its way out: its head, and its body as it comes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::Request;
use http_body::Body;
use tokio::io::AsyncWrite;

use super::{
    super::BodyError,
    Http1Error,
    head::{self, Framing},
};
use crate::{message::lines::Lines, net::Stream};

/// A pooled connection keeps a buffer of this size at most.
const LARGEST_RESTING: usize = 8 * 1024;

/// What is still to be written.
pub(super) struct Outbound<B> {
    /// The head, and after it the sizes of chunks.
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    body: Option<B>,
    framing: Framing,
    /// Bytes that the declared length still promises.
    promised: u64,
    /// The stream may hold back what it was given: TLS does.
    unflushed: bool,
    /// Something of this request has left.
    pub(super) begun: bool,
    /// The app takes no more; what it has to say of that may still be read.
    pub(super) refused: Option<io::Error>,
}

impl<B> Outbound<B> {
    pub(super) fn new() -> Self {
        Self {
            text: Vec::with_capacity(1024),
            written: 0,
            piece: Bytes::new(),
            after: b"",
            body: None,
            framing: Framing::Empty,
            promised: 0,
            unflushed: false,
            begun: false,
            refused: None,
        }
    }

    /// Gives memory back.
    pub(super) fn rest(&mut self) {
        if self.text.capacity() > LARGEST_RESTING {
            self.text = Vec::with_capacity(1024);
        }
    }

    /// Nothing is left to send, or nobody takes it.
    pub(super) fn is_done(&self) -> bool {
        self.refused.is_some() || (self.body.is_none() && self.is_written() && !self.unflushed)
    }

    fn is_written(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.after.is_empty()
    }
}

impl<B> Outbound<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Begins a request. Nothing is sent before it is polled.
    pub(super) fn begin<R>(&mut self, head: &Request<R>, added: &Lines, body: Option<B>) {
        (self.framing, self.promised) = match body.as_ref().map(|body| body.size_hint().exact()) {
            None => (Framing::Empty, 0),
            Some(Some(length)) => (Framing::Length(length), length),
            Some(None) => (Framing::Chunked, 0),
        };
        head::write(head, added, self.framing, &mut self.text);
        (self.written, self.unflushed, self.begun, self.refused) = (0, false, false, None);
        self.body = body;
    }

    /// Sends what can be sent; ready when all of it has left.
    pub(super) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        loop {
            // A body that is at hand goes out with the head.
            let waits = if self.piece.is_empty() && self.after.is_empty() {
                self.poll_body(cx)?
            } else {
                Poll::Ready(())
            };
            while !self.is_written() {
                ready!(self.poll_write(stream, cx))?;
            }
            if self.unflushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.unflushed = false;
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
        self.unflushed = true;
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

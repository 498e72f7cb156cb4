//! A message on its way out: its head, and its body as it comes (RFC 9112 sections 6 and 7).

use std::{
    error::Error,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, header};
use http_body::Body;
use tokio::io::AsyncWrite;

/// What is kept of the buffer from one message to the next, in bytes.
const LARGEST_RESTING: usize = 8 * 1024;
/// A piece of a body up to this size is written in one buffer with what stands before it, in bytes: copying it costs
/// less than a second buffer does.
const SMALL_PIECE: usize = 4 * 1024;

/// How the end of a message is told to who reads it (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// There is no body.
    #[default]
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks; with trailers where there are some and the other side takes them.
    Chunked {
        /// It takes them.
        trailers: bool,
    },
    /// The connection is closed.
    Close,
}

/// Why a message did not go out whole.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Its body broke off.
    #[error("the body broke off: {0}")]
    Body(Box<dyn Error + Send + Sync>),
    /// The stream takes no more.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// What is still to be written.
#[derive(Debug)]
pub struct Outbound<B> {
    /// The head, small pieces, and the sizes of chunks.
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    body: Option<B>,
    ending: Ending,
    /// The stream may hold back what it was given: TLS does.
    unflushed: bool,
    begun: bool,
}

impl<B> Default for Outbound<B> {
    fn default() -> Self {
        Self {
            text: Vec::with_capacity(1024),
            written: 0,
            piece: Bytes::new(),
            after: b"",
            body: None,
            ending: Ending::Empty,
            unflushed: false,
            begun: false,
        }
    }
}

impl<B> Outbound<B> {
    /// Gives memory back.
    pub fn rest(&mut self) {
        if self.text.capacity() > LARGEST_RESTING {
            self.text = Vec::with_capacity(1024);
        }
    }

    /// Something of this message has left.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Nothing is left to send.
    pub fn is_done(&self) -> bool {
        self.body.is_none() && self.is_written() && !self.unflushed
    }

    /// What is at hand has been written; more of the body may follow.
    fn is_written(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.after.is_empty()
    }
}

impl<B> Outbound<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Begins a message whose head is what `head` writes. Nothing is sent before it is polled.
    pub fn begin(&mut self, ending: Ending, body: Option<B>, head: impl FnOnce(&mut Vec<u8>)) {
        self.text.clear();
        head(&mut self.text);
        (self.written, self.unflushed, self.begun) = (0, false, false);
        (self.piece, self.after) = (Bytes::new(), b"");
        (self.ending, self.body) = (ending, body);
    }

    /// Sends what can be sent; ready when all of it has left.
    ///
    /// # Errors
    /// See [`OutboundError`]; what was begun is then never to be taken for whole.
    pub fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), OutboundError>> {
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
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, OutboundError> {
        let Some(body) = &mut self.body else { return Ok(Poll::Ready(())) };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => return Err(OutboundError::Body(error.into())),
            Poll::Ready(Some(Ok(frame))) => Some(frame),
        };
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        match frame.map(http_body::Frame::into_data) {
            // An empty chunk would be the last.
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => self.data(data)?,
            Some(Err(frame)) => {
                if let (Ending::Chunked { trailers }, Ok(fields)) = (self.ending, frame.into_trailers()) {
                    self.text.extend_from_slice(b"0\r\n");
                    if trailers {
                        write_fields(&fields, &mut self.text);
                    }
                    self.text.extend_from_slice(b"\r\n");
                }
                self.body = None;
            }
            None => {
                match self.ending {
                    Ending::Chunked { .. } => self.text.extend_from_slice(b"0\r\n\r\n"),
                    Ending::Length(left) if left > 0 => {
                        return Err(OutboundError::Body("shorter than its Content-Length".into()));
                    }
                    _ => {}
                }
                self.body = None;
            }
        }
        Ok(Poll::Ready(()))
    }

    fn data(&mut self, data: Bytes) -> Result<(), OutboundError> {
        match &mut self.ending {
            Ending::Chunked { .. } => {
                // Writing to a vector cannot fail.
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.after = b"\r\n";
            }
            Ending::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Err(OutboundError::Body("longer than its Content-Length".into()));
                };
                *left = rest;
                if rest == 0 {
                    self.body = None;
                }
            }
            Ending::Close => {}
            Ending::Empty => return Ok(()),
        }
        if data.len() <= SMALL_PIECE {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(std::mem::take(&mut self.after));
        } else {
            self.piece = data;
        }
        Ok(())
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let text = self.text.get(self.written..).unwrap_or_default();
        let stream = Pin::new(stream);
        let written = if self.piece.is_empty() && self.after.is_empty() {
            ready!(stream.poll_write(cx, text))?
        } else {
            let slices = [text, &self.piece, self.after].map(IoSlice::new);
            ready!(stream.poll_write_vectored(cx, &slices))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
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

/// Writes fields in their order, but for those that frame.
pub fn write_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes `Content-Length`.
pub fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

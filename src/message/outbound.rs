//! A message on its way out: its head, and its body as it comes (RFC 9112 sections 6 and 7).

use std::{
    error::Error,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::message::Fields;
use bytes::{Buf, Bytes};
use http::header;
use http_body::Body;
use tokio::io::AsyncWrite;

/// What is kept of the buffer from one message to the next, in bytes.
const LARGEST_RESTING: usize = 8 * 1024;
/// A piece of a body up to this size is written in one buffer with what stands before it, in bytes: copying it costs
/// less than a second buffer does.
const SMALL_PIECE: usize = 4 * 1024;

/// How the end of a message is told to who reads it (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnding {
    /// There is no body.
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
pub struct MessageWriter<B> {
    /// The head, small pieces, and the sizes of chunks.
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    after: &'static [u8],
    body: Option<B>,
    ending: BodyEnding,
    /// The stream may hold back what it was given: TLS does.
    unflushed: bool,
    begun: bool,
    /// Nothing of the body has been put to the head yet.
    bare: bool,
    /// What is at hand when the body breaks off is written first: whoever reads it is to know what it was that broke.
    tells: bool,
    /// It has broken off, and that is to be told once the rest is written.
    broken: Option<OutboundError>,
}

impl<B> Default for MessageWriter<B> {
    fn default() -> Self {
        Self {
            text: Vec::with_capacity(1024),
            written: 0,
            piece: Bytes::new(),
            after: b"",
            body: None,
            ending: BodyEnding::Empty,
            unflushed: false,
            begun: false,
            bare: false,
            tells: false,
            broken: None,
        }
    }
}

impl<B> MessageWriter<B> {
    /// For messages that are cut where they break off, after what was there of them. A request is not begun for that.
    pub fn cut() -> Self {
        Self { tells: true, ..Self::default() }
    }

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

impl<B> MessageWriter<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Begins a message whose head is what `head` writes. Nothing is sent before it is polled.
    pub fn begin(&mut self, ending: BodyEnding, body: Option<B>, head: impl FnOnce(&mut Vec<u8>)) {
        self.text.clear();
        head(&mut self.text);
        (self.written, self.unflushed, self.begun, self.bare) = (0, false, false, true);
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
            // A body that is at hand goes out with the head. Beyond that nothing is taken of it before what was taken is
            // written: whoever does not read is not to make us hold more and more.
            let waits = if self.bare || self.is_written() { self.poll_body(cx) } else { Ok(Poll::Ready(())) };
            let waits = match waits {
                Err(error) if self.tells && !self.is_written() => {
                    (self.broken, self.body) = (Some(error), None);
                    Poll::Ready(())
                }
                waits => waits?,
            };
            while !self.is_written() {
                ready!(self.poll_write(stream, cx))?;
            }
            if self.unflushed {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Err(error));
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
        // The first piece joins the head in one write: most answers leave with one system call.
        self.bare = false;
        // All of it has left: the buffer begins anew, and does not grow with the length of the
        // answer.
        if self.written == self.text.len() {
            self.text.clear();
            self.written = 0;
        }
        match frame.map(http_body::Frame::into_data) {
            // An empty chunk would be the last.
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => self.data(data)?,
            Some(Err(frame)) => self.end(frame.into_trailers().ok().map(Fields::from).as_ref())?,
            None => self.end(None)?,
        }
        Ok(Poll::Ready(()))
    }

    /// The body is over, with these trailers.
    fn end(&mut self, fields: Option<&Fields>) -> Result<(), OutboundError> {
        match self.ending {
            BodyEnding::Chunked { trailers } => {
                self.text.extend_from_slice(b"0\r\n");
                if let Some(fields) = fields.filter(|_| trailers) {
                    write_fields(fields, &mut self.text);
                }
                self.text.extend_from_slice(b"\r\n");
            }
            BodyEnding::Length(left) if left > 0 => {
                // SECURITY: the reader waits for the missing bytes, and would take the next answer
                // for them.
                return Err(OutboundError::Body("shorter than its Content-Length".into()));
            }
            BodyEnding::Length(_) | BodyEnding::Close | BodyEnding::Empty => {}
        }
        self.body = None;
        Ok(())
    }

    fn data(&mut self, data: Bytes) -> Result<(), OutboundError> {
        match &mut self.ending {
            BodyEnding::Chunked { .. } => {
                // Writing to a vector cannot fail.
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.after = b"\r\n";
            }
            BodyEnding::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Err(OutboundError::Body("longer than its Content-Length".into()));
                };
                *left = rest;
                if rest == 0 {
                    self.body = None;
                }
            }
            BodyEnding::Close => {}
            BodyEnding::Empty => return Ok(()),
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
        // From here on the message cannot be taken back, nor sent to another server.
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
pub fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, task::Waker};

    use http_body::Frame;

    use super::*;

    /// A body of these pieces.
    struct Pieces(VecDeque<Frame<Bytes>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    /// Takes so many bytes, so many at once, and then no more.
    struct Narrow {
        room: usize,
        step: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.step).min(self.room);
            if n == 0 {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(bytes.get(..n).unwrap());
            self.room -= n;
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn pieces(sizes: impl IntoIterator<Item = usize>) -> Pieces {
        Pieces(sizes.into_iter().map(|size| Frame::data(Bytes::from(vec![b'x'; size]))).collect())
    }

    #[test]
    fn who_does_not_read_makes_us_hold_no_more_than_a_piece() {
        let mut cx = Context::from_waker(Waker::noop());
        for ending in
            [BodyEnding::Chunked { trailers: false }, BodyEnding::Length(100_000), BodyEnding::Close]
        {
            let mut outbound = MessageWriter::default();
            outbound.begin(ending, Some(pieces([1000; 100])), |out| out.extend_from_slice(b"head"));
            let mut stream = Narrow { room: 0, step: 99, taken: Vec::new() };
            for _ in 0..50 {
                assert!(outbound.poll(&mut stream, &mut cx).is_pending());
            }
            let left = outbound.body.as_ref().map_or(0, |body| body.0.len());
            assert_eq!(left, 99, "{ending:?}: the head takes one with it");
        }
    }

    #[test]
    fn what_is_written_is_the_same_in_whichever_steps_it_goes() {
        let mut cx = Context::from_waker(Waker::noop());
        for step in [1, 7, 5000, 100_000] {
            let mut outbound = MessageWriter::default();
            let body = pieces([3, 0, 5000, 4096, 1]);
            outbound.begin(BodyEnding::Chunked { trailers: true }, Some(body), |out| {
                out.extend_from_slice(b"head");
            });
            let mut stream = Narrow { room: usize::MAX, step, taken: Vec::new() };
            assert!(matches!(outbound.poll(&mut stream, &mut cx), Poll::Ready(Ok(()))), "{step}");
            assert!(outbound.is_done());
            let x = |size| "x".repeat(size);
            let wanted =
                format!("head3\r\nxxx\r\n1388\r\n{}\r\n1000\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", x(5000), x(4096));
            assert_eq!(String::from_utf8(stream.taken).unwrap(), wanted, "{step}");
        }
    }

    #[test]
    fn trailers_go_to_who_takes_them() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut written = |ending| {
            let mut outbound = MessageWriter::default();
            let mut body = pieces([3]);
            let fields = http::HeaderMap::from_iter([(header::ETAG, http::HeaderValue::from_static("a"))]);
            body.0.push_back(Frame::trailers(fields));
            outbound.begin(ending, Some(body), |_| {});
            let mut stream = Narrow { room: usize::MAX, step: 99, taken: Vec::new() };
            let whole = matches!(outbound.poll(&mut stream, &mut cx), Poll::Ready(Ok(())));
            whole.then(|| String::from_utf8(stream.taken).unwrap())
        };
        let with = written(BodyEnding::Chunked { trailers: true });
        assert_eq!(with.as_deref(), Some("3\r\nxxx\r\n0\r\netag: a\r\n\r\n"));
        let without = written(BodyEnding::Chunked { trailers: false });
        assert_eq!(without.as_deref(), Some("3\r\nxxx\r\n0\r\n\r\n"));
        assert_eq!(written(BodyEnding::Length(3)).as_deref(), Some("xxx"));
        assert_eq!(written(BodyEnding::Length(4)), None, "half a body");
    }

    #[test]
    fn a_body_of_another_length_than_was_said_is_an_error() {
        let mut cx = Context::from_waker(Waker::noop());
        for sizes in [vec![3, 3], vec![3], vec![], vec![5000]] {
            let mut outbound = MessageWriter::default();
            outbound.begin(BodyEnding::Length(5), Some(pieces(sizes.clone())), |_| {});
            let mut stream = Narrow { room: usize::MAX, step: 9, taken: Vec::new() };
            let polled = outbound.poll(&mut stream, &mut cx);
            assert!(matches!(polled, Poll::Ready(Err(OutboundError::Body(_)))), "{sizes:?}");
            assert!(stream.taken.len() <= 3, "{sizes:?}");
        }
    }
}

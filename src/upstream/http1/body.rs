//! The body of an answer, as it comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    super::{ConnectionLease, RequestBodyError},
    AnswerHead, Http1Error, LARGEST_READ, LARGEST_STREAMED_READ,
    head::AnswerFraming,
};
use crate::{
    clock::CoarseTimer,
    message::chunked::{ChunkGrammar, ChunkReader, ChunkedPiece},
    net::NetStream,
};

/// An answer's body. Read to its end, its connection goes back to the pool; dropped before, the connection is closed.
pub struct Http1Body<B>(BodyState<B>);

enum BodyState<B> {
    /// All of it is here, and the connection is free.
    Here(Bytes),
    Coming(Box<IncomingBody<B>>),
    /// Another protocol follows.
    Switched(ConnectionLease<B>),
    Over,
}

struct IncomingBody<B> {
    lease: ConnectionLease<B>,
    rest: BodyRest,
    /// What was read of the chunks with the head.
    first: Option<ChunkedPiece>,
    /// The largest piece that is held at once.
    piece: usize,
    idle: Option<Duration>,
    timer: CoarseTimer,
}

/// What is still to come.
enum BodyRest {
    Length(u64),
    Chunks(ChunkReader),
    UntilClose,
}

impl<B> std::fmt::Debug for Http1Body<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerBody")
    }
}

impl<B> Http1Body<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    /// The body that follows this head; `idle` is how long the app may stall within it. `streamed`: it is one of many
    /// on the visitor's connection.
    ///
    /// # Errors
    /// What came of it with the head is malformed already, which can still be told.
    pub(super) fn new(
        mut lease: ConnectionLease<B>,
        head: &AnswerHead,
        idle: Option<Duration>,
        streamed: bool,
    ) -> Result<Self, Http1Error> {
        let mut first = None;
        let rest = match head.framing {
            AnswerFraming::Nothing | AnswerFraming::Empty => {
                keep(lease);
                return Ok(Self(BodyState::Over));
            }
            AnswerFraming::Length(length) => {
                let inbound = &mut lease.connection.inbound;
                if let Ok(length) = usize::try_from(length)
                    // The usual small answer came whole with its head: its connection is free
                    // before the visitor has the first byte.
                    && inbound.len() >= length
                {
                    let all = inbound.split_to(length).freeze();
                    keep(lease);
                    return Ok(Self(BodyState::Here(all)));
                }
                BodyRest::Length(length)
            }
            AnswerFraming::Chunked => {
                let mut chunks = ChunkReader::default();
                // Read now: a malformed first chunk can still become a 502, and later it could only
                // break the page off.
                first = Some(chunks.read(&mut lease.connection.inbound, ChunkGrammar::Lenient)?);
                BodyRest::Chunks(chunks)
            }
            AnswerFraming::UntilClose => BodyRest::UntilClose,
            AnswerFraming::Switched => return Ok(Self(BodyState::Switched(lease))),
        };
        let piece = if streamed { LARGEST_STREAMED_READ } else { LARGEST_READ };
        let timer = CoarseTimer::new(idle);
        Ok(Self(BodyState::Coming(Box::new(IncomingBody { lease, rest, first, piece, idle, timer }))))
    }
}

impl<B> Http1Body<B> {
    /// All of it has come already.
    pub(in super::super) fn is_here(&self) -> bool {
        matches!(self.0, BodyState::Here(_) | BodyState::Over)
    }

    /// The connection after a 101, what came on it already, and what counts it among its server's requests.
    pub(in super::super) fn into_stream(self) -> Option<(NetStream, Bytes, impl Sized + use<B>)> {
        match self.0 {
            BodyState::Switched(lease) => {
                let (stream, early) = lease.connection.into_parts();
                Some((stream, early, lease.busy))
            }
            _ => None,
        }
    }
}

/// Back to the pool, if it can take another request.
fn keep<B>(mut lease: ConnectionLease<B>)
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    if lease.connection.is_reusable() {
        lease.connection.rest();
        lease.keep();
    } else if lease.connection.holds_more() {
        lease.note_leftovers();
    }
}

enum NextFrame {
    Frame(Frame<Bytes>),
    /// The last one.
    Last(Option<Frame<Bytes>>),
}

impl<B> IncomingBody<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<NextFrame, Http1Error>> {
        // The app may answer while it still reads the request: both directions go on.
        self.lease.connection.poll_send(cx)?;
        loop {
            if let Some(next) = self.decode()? {
                self.timer.reset(self.idle);
                return Poll::Ready(Ok(next));
            }
            let most = match &self.rest {
                BodyRest::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(self.piece),
                _ => self.piece,
            };
            match self.lease.connection.poll_read(cx, most) {
                Poll::Pending => return self.timer.poll_elapsed(cx).map(|()| Err(Http1Error::Stalled)),
                Poll::Ready(Ok(0)) if matches!(self.rest, BodyRest::UntilClose) => {
                    return Poll::Ready(Ok(NextFrame::Last(None)));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Http1Error::Incomplete)),
                Poll::Ready(result) => drop(result?),
            }
        }
    }

    /// What the bytes at hand give; `None`: more are needed.
    fn decode(&mut self) -> Result<Option<NextFrame>, Http1Error> {
        let first = self.first.take().filter(|piece| *piece != ChunkedPiece::More);
        let inbound = &mut self.lease.connection.inbound;
        Ok(match &mut self.rest {
            BodyRest::Chunks(chunks) => {
                match first.map_or_else(|| chunks.read(inbound, ChunkGrammar::Lenient), Ok)? {
                    ChunkedPiece::More => None,
                    ChunkedPiece::Data(data) => Some(NextFrame::Frame(Frame::data(data))),
                    ChunkedPiece::Trailers(trailers) => {
                        Some(NextFrame::Last(Some(Frame::trailers(trailers.into()))))
                    }
                    ChunkedPiece::End => Some(NextFrame::Last(None)),
                }
            }
            _ if inbound.is_empty() => None,
            BodyRest::UntilClose => Some(NextFrame::Frame(Frame::data(inbound.split().freeze()))),
            BodyRest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(inbound.len());
                *left -= take as u64;
                let frame = Frame::data(inbound.split_to(take).freeze());
                Some(if *left == 0 { NextFrame::Last(Some(frame)) } else { NextFrame::Frame(frame) })
            }
        })
    }
}

impl<B> Body for Http1Body<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let state = &mut self.get_mut().0;
        let polled = match state {
            BodyState::Here(bytes) => {
                Poll::Ready(Ok(NextFrame::Last(Some(Frame::data(std::mem::take(bytes))))))
            }
            BodyState::Coming(coming) => coming.poll(cx),
            BodyState::Switched(_) | BodyState::Over => return Poll::Ready(None),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(NextFrame::Frame(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Ok(NextFrame::Last(frame))) => {
                if let BodyState::Coming(coming) = std::mem::replace(state, BodyState::Over) {
                    // Freed with the last frame, and not when the body is dropped: the visitor may
                    // be slow to take it.
                    keep(coming.lease);
                }
                Poll::Ready(frame.map(Ok))
            }
            Poll::Ready(Err(error)) => {
                *state = BodyState::Over;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, BodyState::Over | BodyState::Switched(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyState::Here(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyState::Coming(coming) => match coming.rest {
                BodyRest::Length(left) => SizeHint::with_exact(left),
                _ => SizeHint::default(),
            },
            BodyState::Switched(_) | BodyState::Over => SizeHint::with_exact(0),
        }
    }
}

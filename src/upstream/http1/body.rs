//! The body of an answer, as it comes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    super::{BodyError, Lease},
    Head, Http1Error, LARGEST_READ, LARGEST_STREAMED_READ,
    head::Framing,
};
use crate::{
    clock::Timer,
    message::chunked::{ChunkGrammar, Chunks, Piece},
    net::Stream,
};

/// An answer's body. Read to its end, its connection goes back to the pool; dropped before, the connection is closed.
pub struct AnswerBody<B>(State<B>);

enum State<B> {
    /// All of it is here, and the connection is free.
    Here(Bytes),
    Coming(Box<Coming<B>>),
    /// Another protocol follows.
    Switched(Lease<B>),
    Over,
}

struct Coming<B> {
    lease: Lease<B>,
    rest: Rest,
    /// What was read of the chunks with the head.
    first: Option<Piece>,
    /// The largest piece that is held at once.
    piece: usize,
    idle: Option<Duration>,
    timer: Timer,
}

/// What is still to come.
enum Rest {
    Length(u64),
    Chunks(Chunks),
    UntilClose,
}

impl<B> std::fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerBody")
    }
}

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// The body that follows this head; `idle` is how long the app may stall within it. `streamed`: it is one of many
    /// on the visitor's connection.
    ///
    /// # Errors
    /// What came of it with the head is malformed already, which can still be told.
    pub(super) fn new(
        mut lease: Lease<B>,
        head: &Head,
        idle: Option<Duration>,
        streamed: bool,
    ) -> Result<Self, Http1Error> {
        let mut first = None;
        let rest = match head.framing {
            Framing::Nothing | Framing::Empty => {
                keep(lease);
                return Ok(Self(State::Over));
            }
            Framing::Length(length) => {
                let inbound = &mut lease.connection.inbound;
                if let Ok(length) = usize::try_from(length)
                    && inbound.len() >= length
                {
                    let all = inbound.split_to(length).freeze();
                    keep(lease);
                    return Ok(Self(State::Here(all)));
                }
                Rest::Length(length)
            }
            Framing::Chunked => {
                let mut chunks = Chunks::default();
                first = Some(chunks.read(&mut lease.connection.inbound, ChunkGrammar::Lenient)?);
                Rest::Chunks(chunks)
            }
            Framing::UntilClose => Rest::UntilClose,
            Framing::Switched => return Ok(Self(State::Switched(lease))),
        };
        let piece = if streamed { LARGEST_STREAMED_READ } else { LARGEST_READ };
        let timer = Timer::new(idle);
        Ok(Self(State::Coming(Box::new(Coming { lease, rest, first, piece, idle, timer }))))
    }
}

impl<B> AnswerBody<B> {
    /// All of it has come already.
    pub(in super::super) fn is_here(&self) -> bool {
        matches!(self.0, State::Here(_) | State::Over)
    }

    /// The connection after a 101, what came on it already, and what counts it among its server's requests.
    pub(in super::super) fn into_stream(self) -> Option<(Stream, Bytes, impl Sized + use<B>)> {
        match self.0 {
            State::Switched(lease) => {
                let (stream, early) = lease.connection.into_parts();
                Some((stream, early, lease.busy))
            }
            _ => None,
        }
    }
}

/// Back to the pool, if it can take another request.
fn keep<B>(mut lease: Lease<B>)
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    if lease.connection.is_reusable() {
        lease.connection.rest();
        lease.keep();
    } else if lease.connection.holds_more() {
        lease.said_more();
    }
}

enum Next {
    Frame(Frame<Bytes>),
    /// The last one.
    Last(Option<Frame<Bytes>>),
}

impl<B> Coming<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Http1Error>> {
        self.lease.connection.poll_send(cx)?;
        loop {
            if let Some(next) = self.decode()? {
                self.timer.reset(self.idle);
                return Poll::Ready(Ok(next));
            }
            let most = match &self.rest {
                Rest::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(self.piece),
                _ => self.piece,
            };
            match self.lease.connection.poll_read(cx, most) {
                Poll::Pending => return self.timer.poll_elapsed(cx).map(|()| Err(Http1Error::Stalled)),
                Poll::Ready(Ok(0)) if matches!(self.rest, Rest::UntilClose) => {
                    return Poll::Ready(Ok(Next::Last(None)));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Http1Error::Incomplete)),
                Poll::Ready(result) => drop(result?),
            }
        }
    }

    /// What the bytes at hand give; `None`: more are needed.
    fn decode(&mut self) -> Result<Option<Next>, Http1Error> {
        let first = self.first.take().filter(|piece| *piece != Piece::More);
        let inbound = &mut self.lease.connection.inbound;
        Ok(match &mut self.rest {
            Rest::Chunks(chunks) => {
                match first.map_or_else(|| chunks.read(inbound, ChunkGrammar::Lenient), Ok)? {
                    Piece::More => None,
                    Piece::Data(data) => Some(Next::Frame(Frame::data(data))),
                    Piece::Trailers(trailers) => Some(Next::Last(Some(Frame::trailers(trailers)))),
                    Piece::End => Some(Next::Last(None)),
                }
            }
            _ if inbound.is_empty() => None,
            Rest::UntilClose => Some(Next::Frame(Frame::data(inbound.split().freeze()))),
            Rest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(inbound.len());
                *left -= take as u64;
                let frame = Frame::data(inbound.split_to(take).freeze());
                Some(if *left == 0 { Next::Last(Some(frame)) } else { Next::Frame(frame) })
            }
        })
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let state = &mut self.get_mut().0;
        let polled = match state {
            State::Here(bytes) => Poll::Ready(Ok(Next::Last(Some(Frame::data(std::mem::take(bytes)))))),
            State::Coming(coming) => coming.poll(cx),
            State::Switched(_) | State::Over => return Poll::Ready(None),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Next::Frame(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Ok(Next::Last(frame))) => {
                if let State::Coming(coming) = std::mem::replace(state, State::Over) {
                    keep(coming.lease);
                }
                Poll::Ready(frame.map(Ok))
            }
            Poll::Ready(Err(error)) => {
                *state = State::Over;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Over | State::Switched(_))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Here(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Coming(coming) => match coming.rest {
                Rest::Length(left) => SizeHint::with_exact(left),
                _ => SizeHint::default(),
            },
            State::Switched(_) | State::Over => SizeHint::with_exact(0),
        }
    }
}

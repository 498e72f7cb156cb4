//! A request's body on its way into its stream, as much of it as the app takes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::SendStream;
use http_body::Body;

use super::super::{RequestBodyError, replay::ReplayBody};

/// What is still to be sent. Dropped before its end, the app is told that the rest will not come.
pub(super) struct RequestBodySender<B> {
    stream: SendStream<Bytes>,
    body: Option<Box<ReplayBody<B>>>,
    /// Taken of the body, and not sent.
    piece: Bytes,
    /// All was sent, or no more is taken.
    over: bool,
}

impl<B> RequestBodySender<B> {
    pub(super) fn new(stream: SendStream<Bytes>, body: Option<Box<ReplayBody<B>>>) -> Self {
        Self { stream, over: body.is_none(), body, piece: Bytes::new() }
    }

    /// The body from its beginning, if there was one and it can be had; an error if it is gone.
    pub(super) fn into_body(self) -> Result<Option<Box<ReplayBody<B>>>, ()> {
        match self.body {
            Some(body) => body.rewound().map(|body| Some(Box::new(body))).ok_or(()),
            None => Ok(None),
        }
    }

    /// It will not be sent anew: the app has answered.
    pub(super) fn forget(&mut self) {
        match &mut self.body {
            Some(body) if !self.over => body.forget(),
            body => *body = None,
        }
    }
}

impl<B> RequestBodySender<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    /// Sends what can be sent. That the app takes no more is no error here: what it has to say of that is its answer.
    ///
    /// # Errors
    /// The body broke off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), RequestBodyError> {
        while !self.over {
            let Some(body) = &mut self.body else { break };
            if self.piece.is_empty() {
                match Pin::new(&mut **body).poll_frame(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Some(Err(error))) => return Err(error),
                    Poll::Ready(None) => self.end(None),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => self.piece = data,
                        Err(frame) => self.end(frame.into_trailers().ok()),
                    },
                }
                continue;
            }
            // Nothing more is taken of the body before this has left: whoever does not read is not to make us hold more.
            self.stream.reserve_capacity(self.piece.len());
            // It is asked first: what is waited for is that it grows.
            let room = match self.stream.capacity() {
                0 => self.stream.poll_capacity(cx),
                room => Poll::Ready(Some(Ok(room))),
            };
            match room {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(room))) => {
                    let piece = self.piece.split_to(room.min(self.piece.len()));
                    let last = self.piece.is_empty() && body.is_end_stream();
                    self.over = last;
                    if !piece.is_empty() && self.stream.send_data(piece, last).is_err() {
                        self.over = true;
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => self.over = true,
            }
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) {
        // Where the stream is gone, the answer tells.
        let _ = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        self.over = true;
    }
}

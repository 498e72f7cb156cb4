//! The body of an answer, as it comes in its stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::{super::RequestBodyError, ConnectionShare, Http2Error, sending::RequestBodySender};
use crate::{
    clock::CoarseTimer,
    message::{Response, framing::content_length},
};

/// An answer's body, and what is still to be sent of its request: both go on at a time. Dropped before its end, the app
/// is told that nobody reads on.
pub struct Http2Body<B>(Option<ReceivingStream<B>>);

struct ReceivingStream<B> {
    stream: RecvStream,
    sending: RequestBodySender<B>,
    share: ConnectionShare,
    /// What is still to come, where the head says it.
    left: Option<u64>,
    idle: Option<Duration>,
    timer: CoarseTimer,
    /// What had come on the whole connection when something of this last came.
    came: u64,
}

impl<B> std::fmt::Debug for Http2Body<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerBody")
    }
}

impl<B> Http2Body<B> {
    /// The body that follows this head; `idle` is how long the app may stall within it.
    pub(super) fn of(
        answer: Response<RecvStream>,
        sending: RequestBodySender<B>,
        share: ConnectionShare,
        idle: Option<Duration>,
    ) -> Response<Self> {
        let said = answer.fields().get(CONTENT_LENGTH);
        let left = said.and_then(|length| content_length(length.as_bytes()));
        answer.map(|stream| {
            if stream.is_end_stream() {
                return Self(None);
            }
            let (came, timer) = (share.came(), CoarseTimer::new(idle));
            Self(Some(ReceivingStream { stream, sending, share, left, idle, timer, came }))
        })
    }
}

impl<B> ReceivingStream<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Err(error) = self.sending.poll(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = self.poll_stream(cx).map_err(RequestBodyError::from);
        if polled.is_pending() {
            return self.timer.poll_elapsed(cx).map(|()| {
                self.share.waited_in_vain(self.came);
                Some(Err(Http2Error::Stalled.into()))
            });
        }
        // Kept for the case that it stalls: if nothing at all came on the connection since, the
        // connection is dead and not the app slow.
        self.came = self.share.came();
        self.timer.reset(self.idle);
        polled
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        loop {
            match self.stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    // It goes on from here: the app may send as much again. Where the stream is over that says nothing.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if data.is_empty() {
                        continue;
                    }
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.over(error)),
                Poll::Ready(None) => break,
            }
        }
        self.stream.poll_trailers(cx).map(|trailers| match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => self.over(error),
        })
    }

    /// What an error means: an app that has answered whole may reset the stream, so that the rest of the request is not
    /// sent (RFC 9113 section 8.1).
    fn over(&self, error: h2::Error) -> Option<Result<Frame<Bytes>, Http2Error>> {
        match Http2Error::from(error) {
            Http2Error::Reset(Reason::NO_ERROR) if self.left.is_none_or(|left| left == 0) => None,
            Http2Error::Reset(Reason::NO_ERROR) => Some(Err(Http2Error::Incomplete)),
            error => Some(Err(error)),
        }
    }
}

impl<B> Body for Http2Body<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.get_mut();
        let Some(coming) = &mut this.0 else { return Poll::Ready(None) };
        let polled = coming.poll(cx);
        let over = match &polled {
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || coming.stream.is_end_stream(),
            Poll::Pending => false,
        };
        if over {
            this.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(ReceivingStream { left: Some(left), .. }) => SizeHint::with_exact(*left),
            Some(_) => SizeHint::default(),
        }
    }
}

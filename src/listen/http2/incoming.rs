//! The body of a request as it comes in its stream.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::StreamCounts;
use crate::message::{Fields, framing::content_length};

/// What is still to come. h2 holds it against what the head says of its length.
#[derive(Debug)]
pub(in super::super) struct StreamBody {
    stream: RecvStream,
    streams: Rc<StreamCounts>,
    left: Option<u64>,
}

impl StreamBody {
    pub(super) fn new(stream: RecvStream, head: &Fields, streams: &Rc<StreamCounts>) -> Self {
        let left = head.get(CONTENT_LENGTH).and_then(|length| content_length(length.as_bytes()));
        Self { stream, streams: Rc::clone(streams), left }
    }

    /// SECURITY: a reset is an error, whatever its code. Passed on as an end, half a body would be a whole one for the
    /// app.
    pub(in super::super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while let Some(data) = ready!(self.stream.poll_data(cx)?) {
            // It goes on from here, and the visitor may send as much again. Where the stream is over that says nothing.
            let _ = self.stream.flow_control().release_capacity(data.len());
            if data.is_empty() && !self.stream.is_end_stream() {
                continue;
            }
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(data.len() as u64);
            }
            if !data.is_empty() {
                self.streams.moved();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| {
            self.streams.moved();
            Ok(Frame::trailers(trailers))
        }))
    }

    pub(in super::super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(in super::super) fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

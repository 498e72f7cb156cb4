//! The life of one stream: a request, its answer, or the tunnel that it asks for.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, DATE},
};
use http_body::Body;

use super::{
    super::{InterimSender, PendingUpgrade, ReceivedBody, RequestHandler, acceptor::ConnectionInfo, upgrade},
    StreamCounts,
    early_hints::StreamHandoff,
    incoming::StreamBody,
    streams::RequestInFlight,
    tunnel::StreamTunnel,
};
use crate::{
    clock,
    message::{Request, Response, framing::ends_with_head},
};

/// Answers a request, in a task of its own. That its visitor goes, ends it wherever it is.
pub(super) async fn serve<H: RequestHandler>(
    request: Request<RecvStream>,
    mut reply: SendResponse<Bytes>,
    mut flight: RequestInFlight,
    info: ConnectionInfo,
    handler: Rc<H>,
) {
    // Malformed, and that is the matter of this one stream (RFC 9113 section 8.1.1).
    if request.fields().values().any(has_blanks_around) {
        tracing::debug!(peer = ?info.arrival.peer, "a request was refused: blanks around a value");
        return reply.send_reset(Reason::PROTOCOL_ERROR);
    }
    let streams = Rc::clone(flight.streams());
    let handoff = Rc::default();
    let (mut request, incoming) = request.split();
    let head_only = *request.method() == Method::HEAD;
    let switch = PendingUpgrade::of_http2(&mut request, &handoff);
    // What follows an extended CONNECT is the tunnel, and no body.
    let (incoming, mut tunnel) = if switch.is_some() {
        (None, Some(incoming))
    } else {
        let incoming = StreamBody::new(incoming, request.fields(), &streams);
        ((!incoming.is_end_stream()).then_some(incoming), None)
    };
    let request =
        request.map(|()| ReceivedBody::of_http2(incoming, switch, InterimSender::of_http2(&handoff)));
    let answer = handler.handle(info.tell(request), info.arrival);
    // The visitor took the request back: what the handler must finish (a commit) it hands to a task
    // when it is dropped here.
    let Some(answer) = answered::<H>(answer, &mut reply, &handoff).await else { return };
    // From here on a reset is no longer counted among requests that were taken back
    // (CVE-2023-44487).
    flight.is_answered();
    let (mut head, body) = answer.split();
    if tunnel.is_some() {
        upgrade::answer(&mut head);
    }
    let follows = handoff.switch().filter(|_| head.status() == StatusCode::OK);
    let ends = follows.is_none() && (body.is_end_stream() || ends_with_head(head.status(), head_only));
    complete_head(&mut head, &body, follows.is_some());
    let stream = match reply.send_response(head.into(), ends) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a response could not be sent");
            reply.send_reset(Reason::INTERNAL_ERROR);
            return;
        }
    };
    if let (Some(begin), Some(receive)) = (follows, tunnel.take()) {
        drop(body);
        begin(Box::new(StreamTunnel::new(stream, receive, &streams)), Bytes::new()).await;
    } else if !ends {
        BodyWriter::new(body, stream, &streams).send().await;
    }
    drop(flight);
}

/// What an answer's head says besides: its length and a date where they are missing, and nothing of a connection.
fn complete_head<B: Body>(head: &mut Response<()>, body: &B, is_tunnel: bool) {
    // What our own answers say to visitors who speak HTTP/1 (RFC 9113 section 8.2.2).
    let status = head.status();
    let fields = head.fields_mut();
    fields.remove(CONNECTION);
    if !is_tunnel
        && !body.is_end_stream()
        && status != StatusCode::NO_CONTENT
        && let Some(length) = body.size_hint().exact()
    {
        fields.insert_if_absent(CONTENT_LENGTH, length.into());
    }
    if !fields.contains(DATE) {
        clock::with_http_date(|now| {
            if let Ok(date) = HeaderValue::from_str(now) {
                fields.insert(DATE, date);
            }
        });
    }
}

/// A field value MUST NOT begin or end with one (RFC 9113 section 8.2.1).
///
/// What else is malformed h2 refuses (capitals in names, fields of connections, control characters, pseudo-fields,
/// lengths), mostly with the connection; `tests/it/http2/over_http2.rs` notices should it no longer.
fn has_blanks_around(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// The answer; `None` if the visitor takes the request back, or goes. What is said beforehand is passed on meanwhile.
async fn answered<H: RequestHandler>(
    mut answer: H::Answer,
    reply: &mut SendResponse<Bytes>,
    handoff: &StreamHandoff,
) -> Option<Response<H::Body>> {
    poll_fn(|cx| {
        // The answer first: polling it is what makes hints appear.
        let polled = Pin::new(&mut answer).poll(cx);
        for hint in handoff.hints() {
            if let Err(error) = reply.send_informational(hint.into()) {
                tracing::debug!(%error, "an interim response could not be sent");
            }
        }
        if let Poll::Ready(response) = polled {
            return Poll::Ready(Some(response));
        }
        reply.poll_reset(cx).map(|_| None)
    })
    .await
}

/// Counts an answer among those of which a piece waits for the visitor.
struct UnreadCount<'a> {
    streams: &'a StreamCounts,
    waits: bool,
}

impl UnreadCount<'_> {
    fn set(&mut self, waits: bool) {
        if waits != self.waits {
            let unread = self.streams.unread.get();
            self.streams.unread.set(if waits { unread + 1 } else { unread.saturating_sub(1) });
            self.waits = waits;
        }
    }
}

impl Drop for UnreadCount<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// An answer's body on its way out, a piece at a time.
struct BodyWriter<'a, B> {
    body: B,
    stream: SendStream<Bytes>,
    /// Waits for room; and whether it is the last.
    piece: Option<(Bytes, bool)>,
    unread: UnreadCount<'a>,
    /// The body broke off.
    broken: bool,
}

impl<'a, B> BodyWriter<'a, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    fn new(body: B, stream: SendStream<Bytes>, streams: &'a StreamCounts) -> Self {
        Self { body, stream, piece: None, unread: UnreadCount { streams, waits: false }, broken: false }
    }

    async fn send(mut self) {
        if let Err(error) = poll_fn(|cx| self.poll(cx)).await {
            tracing::debug!(%error, "a response was not sent completely");
        }
        if self.broken {
            // What the visitor was told so far leaves first: a reset takes back what has not.
            tokio::task::yield_now().await;
            // SECURITY: a reset and no end, so that nobody takes what came for the whole.
            self.stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            // Asked at each turn, so that an answer to nobody does not go on being produced.
            if let Poll::Ready(reason) = self.stream.poll_reset(cx)? {
                return Poll::Ready(Err(reason.into()));
            }
            if self.piece.as_ref().is_some_and(|(piece, _)| !piece.is_empty()) {
                let room = self.poll_room(cx);
                self.unread.set(room.is_pending());
                ready!(room)?;
            }
            if let Some((piece, last)) = self.piece.take() {
                self.unread.streams.moved();
                self.stream.send_data(piece, last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        // Reserved is no more than one byte, and only now: what waits for its visitor is not to hold the
                        // room that others could use. h2 takes the whole piece for it, and one piece is held at most.
                        if !data.is_empty() {
                            self.stream.reserve_capacity(1);
                        }
                        self.piece = Some((data, self.body.is_end_stream()));
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(self.stream.send_trailers(trailers));
                    }
                },
                Some(Err(_)) => {
                    self.broken = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Ready when a piece can be sent.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.stream.capacity() == 0 {
            if ready!(self.stream.poll_capacity(cx)?).is_none() {
                return Poll::Ready(Err(Reason::STREAM_CLOSED.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

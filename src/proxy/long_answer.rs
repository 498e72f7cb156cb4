//! Answers that go on: what began under a session ends with it, as a tunnel does. Whoever was logged out reads no further,
//! be it a list that follows what happens, a download, or gRPC.
//!
//! Event streams (HTML, section 9.2) go on for as long as there is something to tell: they end as soon as the ticket is
//! another, in order, since browsers come back; and hold up no stop of the process while they are silent.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::header;
use http_body::{Body as _, Frame, SizeHint};

use super::{
    RequestBody,
    upgrade::{LOOK, TunnelLimits},
};
use crate::{
    clock::{CoarseTimer, Timestamp},
    message::Fields,
    plan::Plan,
    session::{SessionTunnel, StreamActivity},
    upstream::{AnswerBody, RequestBodyError},
};

type LongRequest = Pin<Box<dyn Future<Output = (SessionTunnel, bool)>>>;

/// An answer that is no event stream is looked after once it has gone on for so long.
const LONG: Duration = Duration::from_secs(2);

/// What an answer breaks off with whose session has ended.
#[derive(Debug, thiserror::Error)]
#[error("its session has ended")]
pub struct SessionEnded;

/// An answer that may go on for long.
pub struct LongAnswer {
    body: Option<AnswerBody<RequestBody>>,
    is_events: bool,
    limits: TunnelLimits,
    look: CoarseTimer,
    /// Something came since the last look.
    moved: bool,
    /// Whether its session still holds, while the store is asked.
    asked: Option<LongRequest>,
}

impl std::fmt::Debug for LongAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LongAnswer")
    }
}

/// Whether an answer is an event stream: of no known length, and said to be one.
pub fn is_event_stream<B: http_body::Body>(body: &B, headers: &Fields) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    body.size_hint().exact().is_none()
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let (kind, rest) = kind.as_bytes().split_at_checked(TYPE.len()).unwrap_or_default();
            kind.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
        })
}

impl LongAnswer {
    /// An event stream.
    pub fn events(body: AnswerBody<RequestBody>, limits: TunnelLimits) -> Self {
        Self { is_events: true, look: CoarseTimer::new(Some(LOOK)), ..Self::new(body, limits) }
    }

    /// Any other answer; under terms of a [patient](crate::session::SessionTunnel::outlives_renewals) session.
    pub fn new(body: AnswerBody<RequestBody>, limits: TunnelLimits) -> Self {
        let look = CoarseTimer::new(Some(LONG));
        Self { body: Some(body), is_events: false, limits, look, moved: false, asked: None }
    }

    /// The plan that it began with.
    pub fn plan(&self) -> &Plan {
        &self.limits.plan
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    /// How long it is, where that is known.
    pub fn size_hint(&self) -> SizeHint {
        self.body.as_ref().filter(|_| !self.is_events).map(http_body::Body::size_hint).unwrap_or_default()
    }

    /// The next piece. Where it ends before the app is done, an event stream ends in order: there is no whole that this
    /// would be a part of. Of any other answer the visitor sees that it is not whole.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        // Before the body: what the app has ready is not given to whoever was logged out meanwhile.
        if self.body.is_some() && self.poll_end(cx).is_ready() {
            // The app is left.
            self.body = None;
            if !self.is_events {
                return Poll::Ready(Some(Err(SessionEnded.into())));
            }
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        self.moved |= polled.is_ready();
        polled
    }

    /// Ready once something else than the app ends it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(asked) = &mut self.asked {
                let Poll::Ready((session, holds)) = asked.as_mut().poll(cx) else { return Poll::Pending };
                self.asked = None;
                if !holds {
                    // Of any other answer whoever sends it says so.
                    if self.is_events {
                        tracing::info!("an event stream was ended: its session has ended");
                    }
                    return Poll::Ready(());
                }
                self.limits.session = Some(session);
                self.look.reset(Some(LOOK));
            }
            if self.look.poll_elapsed(cx).is_pending() {
                return Poll::Pending;
            }
            // A piece is asked for once the one before was taken.
            let came =
                StreamActivity { from_app: std::mem::take(&mut self.moved), ..StreamActivity::default() };
            // What is being said when the process is to end is said to its end.
            if self.is_events && !came.from_app && self.limits.stop.is_cancelled() {
                return Poll::Ready(());
            }
            match self.limits.session {
                None => self.look.reset(Some(LOOK)),
                Some(mut session) => {
                    let plan = Arc::clone(&self.limits.plan);
                    // The store may have to read its disk; meanwhile the body is not polled, so
                    // that nothing slips out before the answer.
                    self.asked = Some(Box::pin(async move {
                        let holds = plan.sessions.holds(&mut session, came, Timestamp::now()).await;
                        (session, holds)
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::Empty;

    use super::*;

    /// A body without a known length.
    struct Open;

    impl http_body::Body for Open {
        type Data = Bytes;
        type Error = RequestBodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
            Poll::Pending
        }
    }

    #[test]
    fn what_is_one() {
        for (kind, wanted) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-streams", false),
            ("text/html", false),
            ("", false),
        ] {
            let headers = Fields::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_event_stream(&Open, &headers), wanted, "{kind}");
            assert!(!is_event_stream(&Empty::<Bytes>::new(), &headers), "{kind}: all of it is known");
        }
        assert!(!is_event_stream(&Open, &Fields::new()));
    }
}

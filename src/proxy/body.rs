//! Bodies on their way: the visitor's to the app under its limits, the app's to the visitor as it comes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Frame, SizeHint};

use super::{events::EventStream, exchange::Exchange, upgrade};
use crate::{
    clock::Timer,
    listen::Received,
    plan::Plan,
    upstream::{AnswerBody, BodyError, Upload},
};

/// Why a request's body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// `body_idle_timeout`
    #[error("no byte of the body within body_idle_timeout")]
    Stalled,
    /// `body_bytes`
    #[error("the body is larger than body_bytes")]
    TooLarge,
}

/// The visitor's body. Boxed: most requests have none, and are not to carry room for it.
#[derive(Debug, Default)]
pub struct RequestBody(Option<Box<Inner>>);

#[derive(Debug)]
struct Inner {
    incoming: Received,
    left: u64,
    idle: Option<Duration>,
    timer: Timer,
    upload: Upload,
    plan: Arc<Plan>,
    nominated: Vec<HeaderName>,
}

impl RequestBody {
    /// A body under its limits; `most` in bytes. The head's `Connection` nominated these of its trailers.
    pub fn new(incoming: Received, most: Option<u64>, plan: &Arc<Plan>, nominated: Vec<HeaderName>) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            return Self(None);
        }
        let idle = plan.limits.body_idle_timeout;
        Self(Some(Box::new(Inner {
            incoming,
            left: most.unwrap_or(u64::MAX),
            idle,
            timer: Timer::new(idle),
            upload: Upload::default(),
            plan: Arc::clone(plan),
            nominated,
        })))
    }
}

impl RequestBody {
    /// What tells how far it is; `None` without a body.
    pub fn upload(&self) -> Option<Upload> {
        self.0.as_ref().map(|inner| inner.upload.clone())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(inner) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut inner.incoming).poll_frame(cx);
        if polled.is_pending() {
            // Until now others were waited for: a server, or an app that did not read.
            if !inner.upload.waits() {
                inner.timer.reset(inner.idle);
            }
        } else {
            inner.upload.moved();
        }
        match polled {
            Poll::Pending if inner.upload.is_conversation() => Poll::Pending,
            Poll::Pending => inner.timer.poll_elapsed(cx).map(|()| Some(Err(BodyFault::Stalled.into()))),
            Poll::Ready(Some(Ok(mut frame))) => {
                inner.timer.reset(inner.idle);
                if let Some(data) = frame.data_ref() {
                    match inner.left.checked_sub(data.len() as u64) {
                        Some(left) => inner.left = left,
                        None => return Poll::Ready(Some(Err(BodyFault::TooLarge.into()))),
                    }
                }
                if let Some(trailers) = frame.trailers_mut() {
                    inner.plan.guard.strip_trailers(trailers);
                    crate::headers::strip_trailers(trailers, &inner.nominated);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(e))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|i| i.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |i| i.incoming.size_hint())
    }
}

/// What the visitor gets.
#[derive(Debug)]
pub struct Body {
    content: Content,
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum Content {
    Full(Option<Bytes>),
    Answer(Box<AnswerBody<RequestBody>>, Arc<Plan>, Vec<HeaderName>),
    Events(Box<EventStream>, Vec<HeaderName>),
}

impl Body {
    /// Our own words.
    pub fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full((!bytes.is_empty()).then_some(bytes)), exchange: None }
    }

    /// The app's. The head's `Connection` nominated these of its trailers.
    pub fn answer(body: AnswerBody<RequestBody>, plan: Arc<Plan>, nominated: Vec<HeaderName>) -> Self {
        Self { content: Content::Answer(Box::new(body), plan, nominated), exchange: None }
    }

    /// The app's, where it is an event stream.
    pub fn events(body: AnswerBody<RequestBody>, terms: upgrade::Terms, nominated: Vec<HeaderName>) -> Self {
        let events = Box::new(EventStream::new(body, terms));
        Self { content: Content::Events(events, nominated), exchange: None }
    }

    /// The exchange ends with this body.
    #[must_use]
    pub fn ends(mut self, mut exchange: Box<Exchange>) -> Self {
        // To HEAD nothing of it is sent, and nobody asks for it.
        exchange.cut = !self.is_over() && !exchange.head_only;
        self.exchange = Some(exchange);
        self
    }

    fn is_over(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Answer(body, ..) => http_body::Body::is_end_stream(&**body),
            Content::Events(events, _) => events.is_over(),
        }
    }
}

/// What is no trailer of the app's for the visitor, if these are trailers.
fn strip_trailers(
    polled: &mut Poll<Option<Result<Frame<Bytes>, BodyError>>>,
    plan: &Plan,
    nominated: &[HeaderName],
) {
    if let Poll::Ready(Some(Ok(frame))) = polled
        && let Some(trailers) = frame.trailers_mut()
    {
        plan.guard.strip_trailers(trailers);
        crate::headers::strip_trailers(trailers, nominated);
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Content::Answer(body, plan, nominated) => {
                let mut polled = Pin::new(&mut **body).poll_frame(cx);
                strip_trailers(&mut polled, plan, nominated);
                polled
            }
            Content::Events(events, nominated) => {
                let mut polled = events.poll_frame(cx);
                strip_trailers(&mut polled, events.plan(), nominated);
                polled
            }
        };
        let over = this.is_over();
        if let Some(exchange) = &mut this.exchange {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    exchange.sent += frame.data_ref().map_or(0, |d| d.len() as u64);
                    exchange.cut = !over;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, request = %exchange.id(), "the app's answer broke off: the visitor's is cut as well");
                }
                Poll::Ready(None) => exchange.cut = false,
                Poll::Pending => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Content::Answer(body, ..) => body.size_hint(),
            Content::Events(..) => SizeHint::default(),
        }
    }
}

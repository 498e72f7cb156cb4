//! The visitor's body on its way to the app, under its limits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{
    clock::{self, CoarseTimer, TICK},
    config::{RequestLimits, UpstreamConfig},
    headers::{self, NominatedNames},
    listen::ReceivedBody,
    message::fields::edit_trailers,
    plan::{Plan, RoutePlan},
    upstream::{RequestBodyError, UploadProgress},
};

/// Why a request's body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// `body_idle_timeout`
    #[error("no byte of the body within body_idle_timeout")]
    Stalled,
    /// `body_bytes_per_second`
    #[error("the body comes slower than body_bytes_per_second")]
    TooSlow,
    /// `body_bytes`
    #[error("the body is larger than body_bytes")]
    TooLarge,
}

/// The visitor's body. Boxed: most requests have none, and are not to carry room for it.
#[derive(Debug, Default)]
pub struct RequestBody(Option<Box<BodyInner>>);

#[derive(Debug)]
struct BodyInner {
    incoming: ReceivedBody,
    left: u64,
    pace: BodyPace,
    upload: UploadProgress,
    plan: Arc<Plan>,
    nominated: NominatedNames,
}

impl RequestBody {
    /// A body under the limits of its route. The head's `Connection` nominated these of its trailers.
    pub fn new(
        incoming: ReceivedBody,
        route: &RoutePlan,
        plan: &Arc<Plan>,
        nominated: NominatedNames,
    ) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            return Self(None);
        }
        Self(Some(Box::new(BodyInner {
            incoming,
            left: route.body_bytes.unwrap_or(u64::MAX),
            pace: BodyPace::new(&plan.limits, unhurried(&route.upstream.rules)),
            upload: UploadProgress::default(),
            plan: Arc::clone(plan),
            nominated,
        })))
    }
}

impl RequestBody {
    /// What tells how far it is; `None` without a body.
    pub fn upload(&self) -> Option<UploadProgress> {
        self.0.as_ref().map(|inner| inner.upload.clone())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(inner) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut inner.incoming).poll_frame(cx);
        if polled.is_pending() {
            if inner.upload.is_passed_on() {
                inner.pace.unhurried = 0;
            }
            // Until now others were waited for: a server, or an app that did not read.
            if !inner.upload.waits() {
                inner.pace.waits();
            }
        } else if inner.upload.moved() {
            inner.pace.waited();
        }
        match polled {
            Poll::Pending if inner.upload.is_conversation() => Poll::Pending,
            Poll::Pending => inner.pace.poll_late(cx).map(|fault| Some(Err(fault.into()))),
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(data) = frame.data_ref() {
                    inner.pace.came += data.len() as u64;
                    match inner.left.checked_sub(data.len() as u64) {
                        Some(left) => inner.left = left,
                        // Counted as it comes: a chunked body says nothing about its length
                        // beforehand.
                        None => return Poll::Ready(Some(Err(BodyFault::TooLarge.into()))),
                    }
                }
                edit_trailers(&mut frame, |trailers| {
                    inner.plan.guard.strip_trailers(trailers);
                    headers::strip_trailers(trailers, &inner.nominated);
                });
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

/// So many bytes of a body may come slowly: they are held here, or share a connection to the app with others.
fn unhurried(upstream: &UpstreamConfig) -> u64 {
    match upstream.request_buffer {
        _ if upstream.http2 => u64::MAX,
        Some(held) => held as u64,
        None => 0,
    }
}

/// Whether a visitor sends as fast as they must: something now and then, not by drops for ever, and what holds a worker of
/// the app at a pace.
#[derive(Debug)]
struct BodyPace {
    idle: Option<Duration>,
    /// Bytes in a second of waiting, on average.
    least: Option<u64>,
    /// So many bytes may come slower than that.
    unhurried: u64,
    came: u64,
    /// Ticks in which the visitor was waited for, and nobody else.
    waited: u64,
    since: u64,
    /// What of the two there was when the pace was last found good.
    measured: Option<(u64, u64)>,
    timer: CoarseTimer,
}

/// What a body has by drops where no other time is configured.
const GRACE: Duration = Duration::from_secs(30);

/// The pace is an average over so much time of waiting.
const MEASURED_OVER: Duration = Duration::from_secs(10);

/// What may come slowly comes no slower than this part of the pace.
const SLOWEST: u64 = 10;

impl BodyPace {
    fn new(limits: &RequestLimits, unhurried: u64) -> Self {
        let mut pace = Self {
            idle: limits.body_idle_timeout,
            least: limits.body_bytes_per_second,
            unhurried,
            came: 0,
            waited: 0,
            since: 0,
            measured: None,
            timer: CoarseTimer::new(None),
        };
        pace.waits();
        pace
    }

    /// Now the visitor is waited for.
    fn waits(&mut self) {
        self.since = clock::tick();
        let limit = [self.idle, self.left()].into_iter().flatten().min();
        self.timer.reset(limit);
    }

    /// Now something came.
    fn waited(&mut self) {
        self.waited += clock::tick().saturating_sub(self.since);
    }

    /// What is left of the time that so many bytes may take.
    fn left(&mut self) -> Option<Duration> {
        let least = self.least?.max(1);
        let ticks = |ticks: u64| TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(self.came / (least / SLOWEST).max(1));
        let by_drops = (self.idle.unwrap_or(GRACE) + earned).saturating_sub(ticks(self.waited));
        if self.came < self.unhurried {
            return Some(by_drops);
        }
        let (came, waited) = *self.measured.get_or_insert((self.came, self.waited));
        if self.came - came >= least * MEASURED_OVER.as_secs() {
            // Fast enough, in whatever time: from here on it is measured anew.
            self.measured = Some((self.came, self.waited));
            return Some(MEASURED_OVER);
        }
        Some(MEASURED_OVER.saturating_sub(ticks(self.waited - waited)))
    }

    /// Ready once it takes too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        let slow = self.left().is_some_and(|left| self.idle.is_none_or(|idle| left < idle));
        let fault = if slow { BodyFault::TooSlow } else { BodyFault::Stalled };
        self.timer.poll_elapsed(cx).map(|()| fault)
    }
}

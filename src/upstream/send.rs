//! One request to one upstream, and its answer.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{BodyError, Connections, Endpoints, Lease, UpstreamError};
use crate::clock::{Timer, Timestamp};

/// An answer's head and its body, and who gave it.
#[derive(Debug)]
pub struct Answer<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    /// Head and body.
    pub response: Response<AnswerBody<B>>,
    /// Which server: index into [`Endpoints::all`].
    pub endpoint: usize,
}

/// An answer's body. Read to its end, its connection goes back to the pool; dropped before, the connection is closed.
pub struct AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    body: Incoming,
    lease: Option<Lease<B>>,
    idle: Option<Duration>,
    timer: Timer,
}

impl<B> std::fmt::Debug for AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerBody")
    }
}

/// Sends a request; `answer_idle` is how long the app may stall within its answer.
///
/// A request is sent again, once, only if nothing of it was sent, or if its method is idempotent, it has no body, and
/// the connection had been used before (RFC 9110 §9.2.2).
///
/// # Errors
/// See [`UpstreamError`].
pub async fn send<B>(
    upstream: &Endpoints,
    pools: &Connections<B>,
    request: Request<B>,
    first_byte: Option<Duration>,
    answer_idle: Option<Duration>,
    now: Timestamp,
) -> Result<Answer<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + Default + 'static,
{
    let repeatable = request.body().is_end_stream() && is_idempotent(request.method());
    let mut request = request;
    let mut left = upstream.rules.retries;
    let mut tried = None;
    loop {
        let index = upstream.next(now, tried);
        let Some(endpoint) = upstream.all.get(index) else { unreachable!("next() is within all") };
        let lease = match pools.take(endpoint, upstream, tried.is_some()).await {
            Ok(lease) => lease,
            Err(_) if left > 0 && upstream.all.len() > 1 => {
                left -= 1;
                tried = Some(index);
                continue;
            }
            Err(e) => return Err(e),
        };
        let again = (repeatable && left > 0 && lease.connection.reused).then(|| copy(&request));
        match exchange(lease, request, first_byte, answer_idle).await {
            Ok(response) => {
                if response.headers().contains_key(header::TRANSFER_ENCODING)
                    && response.headers().contains_key(header::CONTENT_LENGTH)
                {
                    return Err(UpstreamError::Ambiguous { endpoint: endpoint.name.clone() });
                }
                endpoint.succeeded();
                return Ok(Answer { response, endpoint: index });
            }
            Err(Fault { unsent: Some(back), .. }) if left > 0 => request = *back,
            Err(Fault { error: Some(_), .. }) if again.is_some() && left > 0 => {
                request = again.unwrap_or_default();
            }
            Err(Fault { error, .. }) => {
                let name = endpoint.name.clone();
                return Err(match error {
                    Some(e) if e.is_user() => UpstreamError::Body(e),
                    Some(source) => {
                        endpoint.failed(now);
                        UpstreamError::Exchange { endpoint: name, source }
                    }
                    None => {
                        endpoint.failed(now);
                        UpstreamError::FirstByteTimeout { endpoint: name }
                    }
                });
            }
        }
        left -= 1;
        tried = Some(index);
    }
}

fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

fn copy<B: Default>(request: &Request<B>) -> Request<B> {
    let mut again = Request::new(B::default());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    again
}

struct Fault<B> {
    /// The request, if nothing of it was sent.
    unsent: Option<Box<Request<B>>>,
    /// `None`: the time was up.
    error: Option<hyper::Error>,
}

/// Polls the request and its connection together, in this task.
async fn exchange<B>(
    mut lease: Lease<B>,
    request: Request<B>,
    first_byte: Option<Duration>,
    answer_idle: Option<Duration>,
) -> Result<Response<AnswerBody<B>>, Fault<B>>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let mut timer = Timer::new(first_byte);
    let mut answer = pin!(lease.connection.sender.try_send_request(request));
    let driver = &mut lease.connection.driver;
    let mut over = false;
    let result = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if over || Pin::new(&mut *driver).poll(cx).is_pending() {
                break;
            }
            // It ended: what it has to say of that is with the answer.
            over = true;
        }
        if let Poll::Ready(result) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        timer.poll_elapsed(cx).map(|()| None)
    })
    .await;
    match result {
        None => Err(Fault { unsent: None, error: None }),
        Some(Err(mut e)) => {
            Err(Fault { unsent: e.take_message().map(Box::new), error: Some(e.into_error()) })
        }
        Some(Ok(response)) => {
            let (parts, body) = response.into_parts();
            if let Some(ticks) = said_idle(&parts.headers) {
                lease.connection.idle_ticks = lease.connection.idle_ticks.min(ticks);
            }
            let lease = (!over).then_some(lease);
            let mut body = AnswerBody { body, lease, idle: answer_idle, timer: Timer::new(answer_idle) };
            if body.body.is_end_stream() {
                body.release();
            }
            Ok(Response::from_parts(parts, body))
        }
    }
}

/// `Keep-Alive: timeout=N`, less a second, in ticks.
fn said_idle(headers: &http::HeaderMap) -> Option<u64> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let seconds: u64 = text.split(',').find_map(|p| p.trim().strip_prefix("timeout="))?.parse().ok()?;
    Some(seconds.saturating_sub(1) * 10)
}

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.keep();
        }
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            if let Some(lease) = &mut this.lease
                && lease.connection.drive(cx).is_ready()
            {
                this.lease = None;
            }
            polled = Pin::new(&mut this.body).poll_frame(cx);
        }
        match polled {
            Poll::Pending => match this.timer.poll_elapsed(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the app stalled within its answer".into()))),
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => {
                if this.body.is_end_stream() {
                    this.release();
                } else {
                    this.timer.reset(this.idle);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.release();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => {
                this.lease = None;
                Poll::Ready(Some(Err(e.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

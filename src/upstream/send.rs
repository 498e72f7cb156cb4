//! One request to one upstream, and its answer.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    BodyError, Connections, Endpoints, Lease, Upload, UpstreamError, balance::Tried, connections::Patience,
};
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

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Within the answer.
    pub answer_idle: Option<Duration>,
}

/// Sends a request, whose body tells by `upload` how far it is.
///
/// A server that cannot be reached costs nothing: all are tried. Beyond that a request is sent again, `retries` times,
/// only if nothing of it was sent, or if its method is idempotent, it has no body, and the connection had been used
/// before (RFC 9110 §9.2.2).
///
/// # Errors
/// See [`UpstreamError`].
pub async fn send<B>(
    upstream: &Endpoints,
    pools: &Connections<B>,
    request: Request<B>,
    upload: Option<&Upload>,
    waits: Waits,
    now: Timestamp,
) -> Result<Answer<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + Default + 'static,
{
    let repeatable = request.body().is_end_stream() && request.method().is_idempotent();
    let mut request = request;
    let mut left = upstream.rules.retries;
    let mut tried = Tried::default();
    loop {
        let index = upstream.next(now, &tried);
        let Some(endpoint) = upstream.all.get(index) else { unreachable!("next() is within all") };
        // An app that restarts refuses for a moment: the last server there is to try is given until the time is up.
        let patience = if tried.len() + 1 < upstream.all.len() { Patience::None } else { Patience::Restart };
        let lease = match pools.take(endpoint, upstream, tried.contains(index), patience).await {
            Ok(lease) => lease,
            // Nothing was sent: any other server may be asked.
            Err(_) if tried.len() + 1 < upstream.all.len() => {
                tried.add(index);
                continue;
            }
            Err(e) => return Err(e),
        };
        let again = (repeatable && left > 0 && lease.connection.reused).then(|| copy(&request));
        match exchange(lease, request, upload, waits.first_byte).await {
            Ok((response, lease)) => {
                if let Some(why) = misframed(&response) {
                    endpoint.failed(now);
                    return Err(UpstreamError::Framing { endpoint: endpoint.name.clone(), why });
                }
                endpoint.succeeded();
                let response = response.map(|body| AnswerBody::new(body, lease, waits.answer_idle));
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
        tried.add(index);
    }
}

/// What makes the end of an answer a matter of opinion (RFC 9112 section 6.3): such a connection is thrown away.
fn misframed<B>(response: &Response<B>) -> Option<&'static str> {
    let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    if response.headers().contains_key(header::CONTENT_LENGTH) {
        return Some("Content-Length beside Transfer-Encoding");
    }
    if response.version() < Version::HTTP_11 {
        return Some("Transfer-Encoding in HTTP/1.0");
    }
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    (!chunked).then_some("a Transfer-Encoding other than chunked")
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
    upload: Option<&Upload>,
    first_byte: Option<Duration>,
) -> Result<(Response<Incoming>, Option<Lease<B>>), Fault<B>>
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
        if upload.is_some_and(Upload::excuses) {
            timer.reset(first_byte);
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
            if let Some(ticks) = said_idle(response.headers()) {
                lease.connection.idle_ticks = lease.connection.idle_ticks.min(ticks);
            }
            Ok((response, (!over).then_some(lease)))
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
    fn new(body: Incoming, lease: Option<Lease<B>>, idle: Option<Duration>) -> Self {
        let mut this = Self { body, lease, idle, timer: Timer::new(idle) };
        if this.body.is_end_stream() {
            this.release();
        }
        this
    }

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

//! One request to one upstream, and its answer.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;

use super::{
    BodyError, Connections, Endpoints, Lease, Upload, UpstreamError,
    balance::Tried,
    connections::{Patience, Wanted},
    http1::{AnswerBody, Head, Http1Error},
};
use crate::{
    clock::{TICK, Timer, Timestamp},
    config::Balance,
    message::lines::Lines,
};

/// An answer's head and its body, and who gave it.
#[derive(Debug)]
pub struct Answer<B> {
    /// Head and body.
    pub response: Response<AnswerBody<B>>,
    /// Which server: index into [`Endpoints::all`].
    pub endpoint: usize,
}

/// Is told the heads of interim answers (RFC 9110 section 15.2), but for 100 Continue: that is between us and the app.
#[derive(Clone, Copy)]
pub struct Interim<'a>(pub &'a dyn Fn(Response<()>));

impl std::fmt::Debug for Interim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interim")
    }
}

/// What holds for one request.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Within the answer.
    pub answer_idle: Option<Duration>,
    /// What the requests of its session have in common (`balance = "session"`).
    pub session: Option<u64>,
    /// How far its body is; `None` without one.
    pub upload: Option<&'a Upload>,
    /// Who hears what the app says before it answers.
    pub interim: Option<Interim<'a>>,
    /// When it came.
    pub now: Timestamp,
}

/// Sends a request, with the lines `added` to its `head` (whose own body is not looked at).
///
/// A server that cannot be reached costs nothing: all are tried. Beyond that a request is sent again, `retries` times,
/// only if nothing of it was sent, or if its method is idempotent, it has no body, and the connection had been used
/// before (RFC 9110 §9.2.2).
///
/// # Errors
/// See [`UpstreamError`].
pub async fn send<B, R>(
    upstream: &Endpoints,
    pools: &Connections<B>,
    head: &Request<R>,
    added: &Lines,
    body: B,
    terms: Terms<'_>,
) -> Result<Answer<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut body = (!body.is_end_stream()).then_some(body);
    let bodied = body.is_some();
    let repeatable = !bodied && head.method().is_idempotent();
    let mut left = upstream.rules.retries;
    let mut tried = Tried::default();
    loop {
        let index = upstream.next(terms.now, &tried, terms.session);
        let Some(endpoint) = upstream.all.get(index) else { unreachable!("next() is within all") };
        let wanted = match (tried.contains(index), repeatable && left > 0) {
            (true, _) => Wanted::New,
            (false, true) => Wanted::Any,
            (false, false) => Wanted::Sure,
        };
        // An app that restarts refuses for a moment: the last server there is to try is given until the time is up.
        let patience = if tried.len() + 1 < upstream.all.len() { Patience::None } else { Patience::Restart };
        let mut lease = match pools.take(endpoint, upstream, wanted, patience).await {
            Ok(lease) => lease,
            // Nothing was sent: any other server may be asked.
            Err(_) if tried.len() + 1 < upstream.all.len() => {
                tried.add(index);
                continue;
            }
            Err(e) => return Err(e),
        };
        if upstream.rules.balance == Balance::LeastRequests {
            lease.busy = Some(endpoint.begin());
        }
        lease.connection.begin(head, added, body.take());
        let failed = match exchange(&mut lease, terms).await {
            Some(Ok(answered)) => {
                endpoint.succeeded();
                let streamed = head.version() == Version::HTTP_2;
                let response = answer(lease, answered, terms.answer_idle, streamed);
                return Ok(Answer { response, endpoint: index });
            }
            Some(Err(Http1Error::Body(source))) => return Err(UpstreamError::Body(source)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        // A body that was begun is gone; what has none can be sent again if the app has seen nothing of it, or may see
        // it twice.
        let again = !bodied && (!lease.connection.has_begun() || (repeatable && lease.connection.reused));
        if left > 0 && again && failed.as_ref().is_some_and(Http1Error::may_be_stale) {
            left -= 1;
            tried.add(index);
            continue;
        }
        endpoint.failed(Timestamp::now());
        let endpoint = endpoint.name.clone();
        return Err(match failed {
            Some(source) => UpstreamError::Exchange { endpoint, source },
            None => UpstreamError::FirstByteTimeout { endpoint },
        });
    }
}

/// Polls request and answer together; `None`: the time was up.
async fn exchange<B>(lease: &mut Lease<B>, terms: Terms<'_>) -> Option<Result<Head, Http1Error>>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut timer = Timer::new(terms.first_byte);
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = lease.connection.poll_head(cx, terms.interim) {
            return Poll::Ready(Some(result));
        }
        if terms.upload.is_some_and(Upload::excuses) {
            timer.reset(terms.first_byte);
        }
        timer.poll_elapsed(cx).map(|()| None)
    })
    .await
}

fn answer<B>(
    mut lease: Lease<B>,
    mut head: Head,
    idle: Option<Duration>,
    streamed: bool,
) -> Response<AnswerBody<B>>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    if let Some(seconds) = head.idle {
        // Less a second, since its clock began earlier than ours.
        let ticks = seconds.saturating_sub(1).saturating_mul(1000 / TICK.as_millis() as u64);
        lease.connection.idle_ticks = lease.connection.idle_ticks.min(ticks);
    }
    let response = std::mem::take(&mut head.response);
    response.map(|()| AnswerBody::new(lease, &head, idle, streamed))
}

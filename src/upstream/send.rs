//! One request to one upstream, and its answer.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http_body::Body;

use super::{
    ConnectionLease, Endpoint, Endpoints, InterimHandler, RequestBodyError, UploadProgress, UpstreamAnswer,
    UpstreamConnections, UpstreamError,
    balance::TriedServers,
    connect::ConnectRetry,
    endpoint::EndpointFailure,
    error::FailureReason,
    http1, http2,
    pool::ReusePolicy,
    replay::{ReplayBody, SentBody},
};
use crate::{
    clock::Timestamp,
    message::{Request, lines::HeaderLines},
    net::VisitorConnection,
};

/// What holds for one request.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions<'a> {
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Within the answer.
    pub answer_idle: Option<Duration>,
    /// What the requests of its session have in common (`balance = "session"`).
    pub session: Option<u64>,
    /// How far its body is; `None` without one.
    pub upload: Option<&'a UploadProgress>,
    /// Who hears what the app says before it answers.
    pub interim: Option<InterimHandler<'a>>,
    /// The connection that it came on, where that carries one request at a time: a connection that the app logs in is for
    /// it alone.
    pub visitor: Option<&'a VisitorConnection>,
    /// It has an `Authorization`.
    pub has_credentials: bool,
    /// Where it came from, if that tells visitors apart.
    pub address: Option<IpAddr>,
    /// When it came.
    pub now: Timestamp,
}

impl SendOptions<'_> {
    /// Those of a request without a visitor that waits as long as it is let.
    pub fn without_visitor(now: Timestamp) -> Self {
        Self {
            first_byte: None,
            answer_idle: None,
            session: None,
            upload: None,
            interim: None,
            visitor: None,
            has_credentials: false,
            address: None,
            now,
        }
    }
}

/// Sends a request, with the lines `added` to its `head` (whose own body is not looked at).
///
/// A server that cannot be reached costs nothing: all are tried. Beyond that a request is sent again, `retries` times,
/// only if nothing of it was sent, if the app says that it did nothing with it (RFC 9113 §8.7), or if its method is
/// idempotent, it has no body, and the connection had been used before (RFC 9110 §9.2.2).
///
/// # Errors
/// See [`UpstreamError`].
pub async fn send<B, R>(
    upstream: &Endpoints,
    pools: &UpstreamConnections<B>,
    head: &Request<R>,
    added: &HeaderLines,
    body: B,
    options: SendOptions<'_>,
) -> Result<UpstreamAnswer<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    let mut body =
        if body.is_end_stream() { None } else { Some(held(upstream, body, options.upload).await?) };
    let repeatable = body.is_none() && head.method().is_idempotent();
    let (mut left, mut tried) = (upstream.rules.retries, TriedServers::default());
    loop {
        let index = select_server(upstream, pools, &options, &tried);
        let Some(endpoint) = upstream.all.get(index) else { unreachable!("next() is within all") };
        let reuse = ReusePolicy::of(tried.contains(index), repeatable && left > 0);
        let is_last = tried.len() + 1 >= upstream.all.len();
        let retry = ConnectRetry::for_server(is_last);
        // What is awaited for HTTP/1.1 is awaited here: a function between would move it, and most requests go this way.
        let connected = if upstream.rules.http2 {
            connect_http2(upstream, pools, endpoint, retry).await
        } else {
            pools.take(endpoint, upstream, reuse, retry, options.visitor).await.map(ServerConnection::Http1)
        };
        let connected = match connected {
            // Nothing was sent: another server is asked, at no cost to `retries`.
            Err(_) if !is_last => {
                tried.add(index);
                continue;
            }
            connected => connected?,
        };
        let busy = endpoint.begin_under(upstream.rules.balance);
        let asked = match connected {
            ServerConnection::Http1(mut lease) => {
                lease.busy = busy;
                http1::ask(lease, head, added, body.take(), &options).await
            }
            ServerConnection::Http2(mut share) => {
                share.busy = busy;
                Box::pin(http2::ask(share, endpoint, head, added, body.take(), options)).await
            }
        };
        match asked {
            Ok(response) => {
                endpoint.succeeded();
                return Ok(UpstreamAnswer { response, endpoint: index });
            }
            Err(failed) if failed.may_be_repeated(repeatable) && left > 0 => {
                left -= 1;
                tried.add(index);
                body = failed.into_unsent();
            }
            Err(failed) => return Err(final_error(endpoint, failed.why, options.address)),
        }
    }
}

/// Where the visitor has a connection of their own, and else what the balance says.
fn select_server<B>(
    upstream: &Endpoints,
    pools: &UpstreamConnections<B>,
    options: &SendOptions<'_>,
    tried: &TriedServers,
) -> usize
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    // SECURITY: what the app has logged in (NTLM) is at one server, and only the visitor's own
    // connection leads there.
    let own = options.visitor.filter(|visitor| tried.is_empty() && visitor.owns_anything());
    let own = own.and_then(|visitor| pools.server_of(visitor, upstream));
    own.unwrap_or_else(|| upstream.next(options.now, tried, options.session))
}

/// What whoever asked is told, once nobody else is to be asked; the server's health hears of it.
fn final_error(endpoint: &Endpoint, why: FailureReason, visitor: Option<IpAddr>) -> UpstreamError {
    let name = endpoint.name.clone();
    let error = match why {
        FailureReason::Body(source) => return UpstreamError::Body(source),
        // Visitors who ask for what it refuses are not to put a server out of use.
        FailureReason::Exchange(source) if source.is_refusal() => {
            return UpstreamError::Exchange { endpoint: name, source };
        }
        FailureReason::Exchange(source) => UpstreamError::Exchange { endpoint: name, source },
        FailureReason::Late => UpstreamError::FirstByteTimeout { endpoint: name },
    };
    // Only now: a request that another server answered says little about this one.
    endpoint.failed(EndpointFailure::Request(visitor), Timestamp::now());
    error
}

/// A part in a connection that requests share.
async fn connect_http2<B>(
    upstream: &Endpoints,
    pools: &UpstreamConnections<B>,
    endpoint: &Endpoint,
    retry: ConnectRetry,
) -> Result<ServerConnection<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    match pools.shared(endpoint) {
        Some(share) => Ok(ServerConnection::Http2(share)),
        // Boxed: most apps speak HTTP/1.1, and their requests are not to carry room for it.
        None => Box::pin(pools.share(endpoint, upstream, retry)).await.map(ServerConnection::Http2),
    }
}

/// The body, held until it is whole where the upstream wants that: who sends slowly holds no worker of the app.
async fn held<B>(
    upstream: &Endpoints,
    body: B,
    upload: Option<&UploadProgress>,
) -> Result<SentBody<B>, UpstreamError>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    match upstream.rules.request_buffer.filter(|_| !upstream.rules.http2) {
        // Boxed: most requests have no body.
        Some(most) => {
            Box::pin(ReplayBody::hold(body, most, upload)).await.map(Box::new).map_err(UpstreamError::Body)
        }
        None => Ok(Box::new(ReplayBody::new(body))),
    }
}

/// A way to one server.
enum ServerConnection<B> {
    Http1(ConnectionLease<B>),
    Http2(http2::ConnectionShare),
}

//! One check: a request on a connection of its own, and what its answer says.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use super::{
    super::{
        Endpoint, Endpoints, ExchangeError, RequestBodyError, SendOptions, UpstreamError,
        connect::{ConnectRetry, connect, connect_http2},
        error::{FailedRequest, FailureReason},
        http1, http2,
        replay::ReplayBody,
    },
    grpc,
};
use crate::{
    clock::Timestamp,
    config::{HealthConfig, UpstreamHost},
    message::{Request, lines::HeaderLines},
};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckFailure {
    #[error("no answer within health.timeout")]
    Late,
    #[error(transparent)]
    Unreachable(#[from] UpstreamError),
    #[error(transparent)]
    Broken(#[from] ExchangeError),
    #[error("its answer broke off: {0}")]
    BrokeOff(RequestBodyError),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Grpc(#[from] grpc::GrpcFailure),
}

/// What a server is asked.
pub(super) fn request(
    upstream: &Endpoints,
    endpoint: &Endpoint,
    rules: &HealthConfig,
) -> Option<Request<()>> {
    let host = match &upstream.rules.host {
        UpstreamHost::Name(name) => name.as_str(),
        _ if endpoint.name.starts_with("unix:") => "localhost",
        _ => endpoint.name.as_str(),
    };
    let mut request = Request::new(());
    // The configuration was checked: it is a request.
    *request.uri_mut() = rules.path.parse().ok()?;
    let fields = request.fields_mut();
    fields.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    fields.insert(header::USER_AGENT, HeaderValue::from_static("cloakroom (health check)"));
    // Of HTTP/2 a connection is never a header's matter (RFC 9113 section 8.2.2).
    if !upstream.rules.http2 {
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if upstream.rules.http2 && rules.path == grpc::CHECK {
        *request.method_mut() = Method::POST;
        for (name, value) in grpc::HEADERS {
            request.fields_mut().insert(name, value);
        }
    }
    Some(request)
}

/// Asks; an error: the server is not well, or not to be had.
pub(super) async fn check(
    upstream: &Endpoints,
    endpoint: &Endpoint,
    head: &Request<()>,
    added: &HeaderLines,
) -> Result<(), CheckFailure> {
    let status = if upstream.rules.http2 {
        // No limit of its own: the whole check runs under `health.timeout`.
        let connection = connect_http2(endpoint, None, ConnectRetry::None, 0).await?;
        let now = Timestamp::now();
        let options = SendOptions::without_visitor(now);
        let share = http2::ConnectionShare::of(&connection);
        let is_grpc = *head.method() == Method::POST;
        let body =
            is_grpc.then(|| Box::new(ReplayBody::new(CheckBody(Some(Bytes::from_static(grpc::REQUEST))))));
        let answer = match http2::ask(share, endpoint, head, added, body, options).await {
            Ok(answer) => answer,
            Err(FailedRequest { why: FailureReason::Exchange(error), .. }) => return Err(error.into()),
            Err(_) => return Err(CheckFailure::Late),
        };
        if is_grpc && answer.status().is_success() {
            let (head, body) = answer.split();
            return Ok(grpc::read(head.fields(), body).await.map_err(CheckFailure::BrokeOff)??);
        }
        answer.status()
    } else {
        let stream = connect(endpoint, None, ConnectRetry::None).await?;
        let mut connection = http1::Http1Connection::<CheckBody>::new(stream, 0);
        connection.begin(head, added, None);
        let answered = poll_fn(|cx| connection.poll_head(cx, None)).await;
        answered.map_err(ExchangeError::from)?.response.status()
    };
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(CheckFailure::Status(status)) }
}

/// The body of a check.
#[derive(Debug)]
struct CheckBody(Option<Bytes>);

impl Body for CheckBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

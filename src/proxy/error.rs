//! Faults, and the one place that turns them into answers. The visitor learns the status and nothing of what is
//! behind; the log says it all.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{body::ResponseBody, request_body::BodyFault};
use crate::{config::ErrorPages, store::StoreError, upstream::UpstreamError};

/// Why a request got no answer of the app's.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The visitor's request cannot be taken.
    #[error("{1}")]
    Client(StatusCode, &'static str),
    /// An OPTIONS that goes no further (`Max-Forwards: 0`): answered here.
    #[error("Max-Forwards: 0")]
    LastHop,
    /// The route requires somebody to be logged in, or a session (RFC 9110 section 15.5.2).
    #[error("the route requires a session or a principal")]
    Unauthorized,
    /// The same, and this is where it can be had.
    #[error("the route requires a session or a principal: sent to where it can be had")]
    LoginRedirect(HeaderValue),
    /// The visitor went, and the app did not answer within `finish_after_abort`.
    #[error("the visitor went, and the app did not answer within finish_after_abort")]
    GivenUp,
    /// The visitor went, and the app was told so.
    #[error("the visitor went")]
    Gone,
    /// It came by http, and is to come by https: sent there (RFC 9110 section 15.4.9).
    #[error("sent to https")]
    ToHttps(HeaderValue),
    /// The app failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The session store failed when an answer was to be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session store failed when a session was looked up: the app was not asked.
    #[error(transparent)]
    StoreRead(StoreError),
}

impl ProxyError {
    /// What the visitor gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Client(status, _) => *status,
            Self::LastHop => StatusCode::NO_CONTENT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::LoginRedirect(_) => StatusCode::SEE_OTHER,
            Self::ToHttps(_) => StatusCode::PERMANENT_REDIRECT,
            Self::Store(StoreError::TooManySessions) => StatusCode::FORBIDDEN,
            Self::Store(_) | Self::StoreRead(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(UpstreamError::Body(e)) => match e.downcast_ref() {
                Some(BodyFault::Stalled | BodyFault::TooSlow) => StatusCode::REQUEST_TIMEOUT,
                Some(BodyFault::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            },
            Self::GivenUp => StatusCode::GATEWAY_TIMEOUT,
            // Nobody reads it; in access logs it is known by this number.
            Self::Gone => StatusCode::from_u16(499).unwrap_or(StatusCode::GATEWAY_TIMEOUT),
            Self::Upstream(e) if e.is_shortage() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(e) if e.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// Logs it for the operator and answers the visitor, in JSON if `accept` would rather have that; else by the
    /// operator's own page for the status, where there is one.
    pub fn answer(
        &self,
        accept: Option<&HeaderValue>,
        request: &str,
        pages: &ErrorPages,
    ) -> Response<ResponseBody> {
        let status = self.status();
        match self {
            // As usual as a page: the access log has it.
            Self::LastHop | Self::Unauthorized | Self::LoginRedirect(_) | Self::ToHttps(_) | Self::Gone => {}
            Self::Client(..)
            | Self::GivenUp
            | Self::Upstream(UpstreamError::Body(_))
            | Self::Store(StoreError::TooManySessions) => {
                tracing::info!(%request, status = status.as_u16(), reason = %self, "request refused");
            }
            Self::Upstream(_) => {
                tracing::error!(%request, status = status.as_u16(), reason = %self, "the app failed");
            }
            Self::Store(_) | Self::StoreRead(_) => {
                tracing::error!(%request, status = status.as_u16(), reason = %self, "the session store failed");
            }
        }
        let mut response = page(status, accept.is_some_and(wants_json), pages);
        match self {
            Self::LastHop => {
                *response.body_mut() = ResponseBody::full(Bytes::new());
                response.headers_mut().remove(header::CONTENT_TYPE);
            }
            Self::Unauthorized => {
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"session\""));
            }
            Self::LoginRedirect(target) | Self::ToHttps(target) => {
                response.headers_mut().insert(header::LOCATION, target.clone());
            }
            // Nothing was done: it may be asked again (RFC 9110 section 15.6.4).
            Self::StoreRead(_)
            | Self::Upstream(UpstreamError::Full { .. } | UpstreamError::Descriptors { .. }) => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// True if the visitor would rather have JSON (`Accept`).
fn wants_json(accept: &HeaderValue) -> bool {
    let accept = accept.as_bytes();
    memchr::memmem::find(accept, b"json").is_some() && memchr::memmem::find(accept, b"text/html").is_none()
}

/// The operator's page, a short one, or problem+json (RFC 9457).
fn page(status: StatusCode, json: bool, pages: &ErrorPages) -> Response<ResponseBody> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let (kind, text) = if json {
        let text = format!("{{\"title\":\"{reason}\",\"status\":{code}}}\n");
        ("application/problem+json", Bytes::from(text))
    } else if let Some(own) = pages.page(code) {
        (HTML, own)
    } else {
        let text = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{code} {reason}</title>\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}}</style>\
             <h1>{code} {reason}</h1>\n"
        );
        (HTML, Bytes::from(text))
    };
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NO_CONTENT) {
        headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    // Where the request ends is in doubt, or nobody will read it to there.
    if matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::NOT_IMPLEMENTED
    ) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

//! What cloakroom says itself where nothing has failed; and the page on which it says anything.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::{
    ProxyError,
    body::ResponseBody,
    request_id::{RequestId, X_REQUEST_ID},
};
use crate::{config::ErrorPages, message::Response};

/// An answer of our own.
#[derive(Debug)]
pub enum OwnAnswer {
    /// An OPTIONS that goes no further (`Max-Forwards: 0`; RFC 9110 section 7.6.2).
    LastHop,
    /// The route requires somebody to be logged in, or a session (RFC 9110 section 15.5.2).
    Unauthorized,
    /// The same, and this is where it can be had.
    LoginRedirect(HeaderValue),
    /// It came by http, and is to come by https: sent there (RFC 9110 section 15.4.9).
    HttpsRedirect(HeaderValue),
}

impl OwnAnswer {
    fn status(&self) -> StatusCode {
        match self {
            Self::LastHop => StatusCode::NO_CONTENT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::LoginRedirect(_) => StatusCode::SEE_OTHER,
            Self::HttpsRedirect(_) => StatusCode::PERMANENT_REDIRECT,
        }
    }

    fn response(
        self,
        accept: Option<&HeaderValue>,
        pages: &ErrorPages,
        id: &RequestId,
    ) -> Response<ResponseBody> {
        let mut response = page(self.status(), accept, pages, id);
        let headers = response.fields_mut();
        match self {
            Self::LastHop => {
                headers.remove(header::CONTENT_TYPE);
                *response.body_mut() = ResponseBody::full(Bytes::new());
            }
            Self::Unauthorized => {
                headers
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Cookie realm=\"session\""));
            }
            Self::LoginRedirect(target) | Self::HttpsRedirect(target) => {
                headers.insert(header::LOCATION, target);
            }
        }
        response
    }
}

/// Why a request ends before the app has answered it.
#[derive(Debug)]
pub enum StageEnd {
    /// There is nothing to ask the app.
    Own(OwnAnswer),
    /// It cannot be asked, or did not answer.
    Failed(ProxyError),
}

impl<E: Into<ProxyError>> From<E> for StageEnd {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<OwnAnswer> for StageEnd {
    fn from(answer: OwnAnswer) -> Self {
        Self::Own(answer)
    }
}

/// As `cloakroom explain` says it.
impl fmt::Display for StageEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(OwnAnswer::LastHop) => f.write_str("Max-Forwards: 0"),
            Self::Own(OwnAnswer::Unauthorized) => f.write_str("the route requires a session or a principal"),
            Self::Own(OwnAnswer::LoginRedirect(_)) => {
                f.write_str("the route requires a session or a principal: sent to where it can be had")
            }
            Self::Own(OwnAnswer::HttpsRedirect(_)) => f.write_str("sent to https"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl StageEnd {
    /// What the visitor gets, in short.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Own(answer) => answer.status(),
            Self::Failed(error) => error.status(),
        }
    }

    /// What the visitor gets: with the request's id, by which an operator finds it in the logs.
    pub(super) fn answer(
        self,
        accept: Option<&HeaderValue>,
        pages: &ErrorPages,
        id: &RequestId,
    ) -> Response<ResponseBody> {
        match self {
            Self::Own(answer) => answer.response(accept, pages, id),
            Self::Failed(error) => error.answer(accept, pages, id),
        }
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// True if the visitor would rather have JSON (`Accept`).
fn wants_json(accept: &HeaderValue) -> bool {
    let accept = accept.as_bytes();
    memchr::memmem::find(accept, b"json").is_some() && memchr::memmem::find(accept, b"text/html").is_none()
}

/// The operator's page, a short one, or problem+json (RFC 9457).
pub(super) fn page(
    status: StatusCode,
    accept: Option<&HeaderValue>,
    pages: &ErrorPages,
    id: &RequestId,
) -> Response<ResponseBody> {
    let json = accept.is_some_and(wants_json);
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let (kind, text) = if json {
        let text = format!("{{\"title\":\"{reason}\",\"status\":{code},\"request_id\":\"{id}\"}}\n");
        ("application/problem+json", Bytes::from(text))
    } else if let Some(own) = pages.page(code) {
        (HTML, own)
    } else {
        let text = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{code} {reason}</title>\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}}</style>\
             <h1>{code} {reason}</h1><p>Request <code>{id}</code>\n"
        );
        (HTML, Bytes::from(text))
    };
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    let headers = response.fields_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_REQUEST_ID, id.value());
    // A cached 503 would outlive what caused it.
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

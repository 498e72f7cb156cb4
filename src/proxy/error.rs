//! Faults, and the one place that turns them into answers. The visitor learns the status and nothing of what is
//! behind; the log says it all.

use http::{HeaderValue, StatusCode, header};

use super::{body::ResponseBody, own_answer::page, request_body::BodyFault, request_id::RequestId};
use crate::{config::ErrorPages, message::Response, store::StoreError, upstream::UpstreamError};

/// Why a request got no answer of the app's.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The visitor's request cannot be taken.
    #[error("{1}")]
    Client(StatusCode, &'static str),
    /// The visitor went, and the app did not answer within `finish_after_abort`.
    #[error("the visitor went away, and the app did not answer within finish_after_abort")]
    GivenUp,
    /// The visitor went, and the app was told so.
    #[error("the visitor went away")]
    Gone,
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
            // No 503: asked again, it would be refused again.
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
        pages: &ErrorPages,
        id: &RequestId,
    ) -> Response<ResponseBody> {
        let status = self.status();
        match self {
            // As usual as a page: the access log has it.
            Self::Gone => {}
            Self::Client(..)
            | Self::GivenUp
            | Self::Upstream(UpstreamError::Body(_))
            | Self::Store(StoreError::TooManySessions) => {
                tracing::info!(status = status.as_u16(), reason = %self, "request refused");
            }
            Self::Upstream(_) => {
                tracing::error!(status = status.as_u16(), reason = %self, "the app failed");
            }
            Self::Store(_) | Self::StoreRead(_) => {
                tracing::error!(status = status.as_u16(), reason = %self, "the session store failed");
            }
        }
        let mut response = page(status, accept, pages, id);
        match self {
            // Nothing was done: it may be asked again (RFC 9110 section 15.6.4).
            Self::StoreRead(_)
            | Self::Upstream(UpstreamError::Full { .. } | UpstreamError::Descriptors { .. }) => {
                response.fields_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

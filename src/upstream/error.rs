//! What can go wrong with an app, for the log and for the choice between 502 and 504.

use std::io;

use super::{RequestBodyError, http1::Http1Error, http2::Http2Error, replay::ReplayBody};

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// Which server.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// `max_connections`
    #[error(
        "{endpoint} has as many connections as it may (max_connections), and none was free within queue_timeout: the app \
         is too slow for what it is asked, or the limit is too low"
    )]
    Full {
        /// Which server.
        endpoint: String,
    },
    /// No descriptor is left for an app.
    #[error(
        "no connection to {endpoint}: the process has as many open files as it may but for those that are kept back; raise \
         LimitNOFILE, or lower max_connections"
    )]
    Descriptors {
        /// Which server.
        endpoint: String,
    },
    /// The TLS handshake failed.
    #[error("no TLS with {endpoint}: {}", super::tls::told(source))]
    Handshake {
        /// Which server.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// `http2 = true`, and the server did not agree to it.
    #[error("{endpoint} speaks TLS, but did not agree to HTTP/2 (ALPN): leave out `http2 = true`")]
    NoHttp2 {
        /// Which server.
        endpoint: String,
    },
    /// No connection in time.
    #[error("cannot connect to {endpoint}: no answer within connect_timeout")]
    ConnectTimeout {
        /// Which server.
        endpoint: String,
    },
    /// No answer in time.
    #[error("{endpoint} did not begin to answer within first_byte_timeout")]
    FirstByteTimeout {
        /// Which server.
        endpoint: String,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("{endpoint} gave no valid answer: {source}")]
    Exchange {
        /// Which server.
        endpoint: String,
        /// Why.
        source: ExchangeError,
    },
    /// The request's own body broke off.
    #[error("the request's body broke off: {0}")]
    Body(RequestBodyError),
}

impl UpstreamError {
    /// 503 rather than 502: nothing was sent, and a moment later there may be room.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Descriptors { .. })
    }

    /// 504 rather than 502.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout { .. } | Self::FirstByteTimeout { .. })
    }
}

/// What went wrong on a connection, in the words of its protocol.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// HTTP/1.1
    #[error(transparent)]
    Http1(#[from] Http1Error),
    /// HTTP/2
    #[error(transparent)]
    Http2(#[from] Http2Error),
}

impl ExchangeError {
    /// It is what the app says to this one request, and no fault of the server.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Http2(Http2Error::Reset(_)))
    }

    /// The app says that it did nothing with the request.
    pub(super) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Http2(error) if error.is_unprocessed())
    }

    /// It may be a connection that the app closed just now, and not what the app says to this request.
    pub(super) fn may_be_stale(&self) -> bool {
        match self {
            Self::Http1(error) => error.may_be_stale(),
            Self::Http2(error) => error.may_be_stale(),
        }
    }
}

/// A request that one server did not answer.
#[derive(Debug)]
pub(super) struct FailedRequest<B> {
    pub(super) why: FailureReason,
    pub(super) seen: DeliveryState<B>,
}

impl<B> FailedRequest<B> {
    /// Whether it can be sent again: the connection failed, and the app has seen nothing of the request; or it may have seen
    /// it, and that does no harm since the request is `repeatable`.
    pub(super) fn may_be_repeated(&self, repeatable: bool) -> bool {
        let is_unseen = match self.seen {
            DeliveryState::Nothing(_) => true,
            DeliveryState::Maybe => repeatable,
            DeliveryState::Some => false,
        };
        is_unseen && matches!(self.why, FailureReason::Exchange(_))
    }

    /// The body that the app has seen nothing of.
    pub(super) fn into_unsent(self) -> Option<Box<ReplayBody<B>>> {
        match self.seen {
            DeliveryState::Nothing(unsent) => unsent,
            DeliveryState::Maybe | DeliveryState::Some => None,
        }
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum FailureReason {
    /// `first_byte_timeout`
    Late,
    /// It was the visitor's doing: the request's body broke off.
    Body(RequestBodyError),
    /// The connection, or what came on it.
    Exchange(ExchangeError),
}

/// What the app may have seen of a request that failed: whether it can be sent again.
#[derive(Debug)]
pub(super) enum DeliveryState<B> {
    /// Nothing, and this is its body still.
    Nothing(Option<Box<ReplayBody<B>>>),
    /// All of it, perhaps; or the connection, which had been used before, was being closed just then.
    Maybe,
    /// Some of it.
    Some,
}

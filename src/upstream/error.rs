//! What can go wrong with an app, for the log and for the choice between 502 and 504.

use std::io;

use super::http1::Http1Error;

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
    /// The TLS handshake failed.
    #[error("no TLS with {endpoint}: {}", super::tls::told(source))]
    Handshake {
        /// Which server.
        endpoint: String,
        /// Why.
        source: io::Error,
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
        source: Http1Error,
    },
    /// The request's own body broke off.
    #[error("the request's body broke off: {0}")]
    Body(super::BodyError),
}

impl UpstreamError {
    /// 504 rather than 502.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout { .. } | Self::FirstByteTimeout { .. })
    }
}

//! What can go wrong on a connection to an app.

use std::io;

use crate::message::{chunked::ChunkError, outbound::OutboundError};

/// The conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// End of the stream before the first byte of an answer.
    #[error("the connection was closed before an answer came")]
    Closed,
    /// The same on a connection that had been used before.
    #[error(
        "it closed a connection that had been unused for a while just when it was used again: have [upstreams] \
         idle_timeout shorter than the time after which the app closes"
    )]
    Stale,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The head cannot be read.
    #[error("the head of the answer is no HTTP/1: {0}")]
    Head(#[from] httparse::Error),
    /// HTTP/2 came.
    #[error("it speaks HTTP/2: set `http2 = true` for this upstream")]
    Http2,
    /// The head is too long.
    #[error("the head of the answer is larger than {} KiB", super::head::LARGEST / 1024)]
    HeadTooLarge,
    /// Where the answer ends can be read in two ways (RFC 9112 section 6.3).
    #[error("the end of the answer is ambiguous: {0}")]
    Framing(&'static str),
    /// End of the stream within an answer.
    #[error("the connection was closed within the answer")]
    Incomplete,
    /// No chunk (RFC 9112 section 7.1).
    #[error("of the answer, {0}")]
    Chunk(#[from] ChunkError),
    /// `response_idle_timeout`
    #[error("nothing more of the answer came within response_idle_timeout")]
    Stalled,
    /// The request's own body broke off.
    #[error("the body of the request broke off: {0}")]
    Body(super::super::RequestBodyError),
}

impl Http1Error {
    /// It may be a pooled connection that the app closed just now, and not what the app says to this request.
    pub fn may_be_stale(&self) -> bool {
        matches!(self, Self::Closed | Self::Stale | Self::Broken(_))
    }
}

impl From<OutboundError> for Http1Error {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Body(error) => Self::Body(error),
            OutboundError::Broken(error) => Self::Broken(error),
        }
    }
}

//! What can go wrong in a stream to an app.

use std::io;

use h2::Reason;

/// The conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum Http2Error {
    /// The connection broke, or was closed.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// The app takes no more requests on this connection, this one included (RFC 9113 section 6.8).
    #[error("it takes no more requests on this connection ({0})")]
    GoingAway(Reason),
    /// The app gave the request up (RFC 9113 section 6.4).
    #[error("it reset the stream ({0})")]
    Reset(Reason),
    /// What came is no HTTP/2.
    #[error(
        "what it sent breaks the rules of HTTP/2 ({0}); if it speaks HTTP/1.1 only, leave out `http2 = true`"
    )]
    Protocol(Reason),
    /// The request cannot be put in HTTP/2.
    #[error("the request cannot be expressed in HTTP/2: {0}")]
    Unsayable(String),
    /// Interim answers, and no answer.
    #[error("too many interim responses")]
    Interim,
    /// The answer is shorter than it said.
    #[error("the answer ended before its Content-Length")]
    Incomplete,
    /// `response_idle_timeout`
    #[error("nothing more of the answer came within response_idle_timeout")]
    Stalled,
}

impl Http2Error {
    /// The app says that it did nothing with the request (RFC 9113 section 8.7).
    pub(in super::super) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::GoingAway(_) | Self::Reset(Reason::REFUSED_STREAM))
    }

    /// It may be a connection that the app closed just now, and not what the app says to this request.
    pub(in super::super) fn may_be_stale(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

impl From<h2::Error> for Http2Error {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            // Streams that the app will still answer are not failed by its GOAWAY.
            Some(reason) if error.is_remote() && error.is_go_away() => Self::GoingAway(reason),
            Some(reason) if error.is_remote() => Self::Reset(reason),
            Some(reason) => Self::Protocol(reason),
            None => {
                let told = error.to_string();
                error.into_io().map_or(Self::Unsayable(told), Self::Broken)
            }
        }
    }
}

//! What an app answers, by whichever protocol.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{RequestBodyError, http1, http2};
use crate::{message::Response, net::NetStream};

/// Interim answers before the answer itself (RFC 9110 section 15.2); more of them are no HTTP but a stall.
pub(super) const MOST_INTERIM: u8 = 32;

/// An answer's head and its body, and who gave it.
#[derive(Debug)]
pub struct UpstreamAnswer<B> {
    /// Head and body.
    pub response: Response<AnswerBody<B>>,
    /// Which server: index into [`Endpoints::all`](super::Endpoints::all).
    pub endpoint: usize,
}

/// Is told the heads of interim answers (RFC 9110 section 15.2), but for 100 Continue: that is between us and the app.
#[derive(Clone, Copy)]
pub struct InterimHandler<'a>(pub &'a dyn Fn(Response<()>));

impl std::fmt::Debug for InterimHandler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interim")
    }
}

/// An answer's body. Read to its end, it leaves its connection to others; dropped before, it tells the app that nobody
/// reads on.
#[derive(Debug)]
pub enum AnswerBody<B> {
    /// It has a connection of its own.
    Http1(http1::Http1Body<B>),
    /// It is one of many on its connection. Boxed: most apps speak HTTP/1.1.
    Http2(Box<http2::Http2Body<B>>),
}

impl<B> AnswerBody<B> {
    /// All of it has come already.
    pub fn is_here(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_here(),
            Self::Http2(_) => false,
        }
    }

    /// The connection after a 101, and what came on it already; and what counts it among its server's requests for as
    /// long as it is held.
    pub fn into_stream(self) -> Option<(NetStream, Bytes, impl Sized + use<B>)> {
        match self {
            Self::Http1(body) => body.into_stream(),
            Self::Http2(_) => None,
        }
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

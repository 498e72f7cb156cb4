//! The change of protocol: what follows the answer that agrees to it. On an HTTP/1 connection that is a 101
//! (RFC 9110 section 7.8); in a stream of HTTP/2 the request is an extended CONNECT (RFC 8441), which is shown as the
//! HTTP/1 request that it stands for, and answered as what it is.

use std::{pin::Pin, rc::Rc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{http1::SharedIo, http2::StreamHandoff};
use crate::{
    crypto,
    message::{Request, Response},
};

/// What is spoken afterwards, until its end.
pub type UpgradedTunnel = Pin<Box<dyn Future<Output = ()>>>;

/// A stream of bytes either way.
pub trait DuplexStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> DuplexStream for T {}

/// Begins it: with the visitor's side, and what was read of it after the request.
pub(super) type UpgradeCallback = Box<dyn FnOnce(Box<dyn DuplexStream>, Bytes) -> UpgradedTunnel>;

/// Of a request that asks for another protocol: says what follows if the answer agrees.
#[derive(Debug)]
pub struct PendingUpgrade(UpgradeSlot);

#[derive(Debug)]
enum UpgradeSlot {
    Http1(Rc<SharedIo>),
    Http2(Rc<StreamHandoff>),
}

impl PendingUpgrade {
    /// Of a whole connection.
    pub(super) fn new(io: &Rc<SharedIo>) -> Self {
        Self(UpgradeSlot::Http1(Rc::clone(io)))
    }

    /// Of a stream, if this is an extended CONNECT: it becomes what an app that speaks HTTP/1 understands.
    pub(super) fn of_http2<B>(request: &mut Request<B>, handoff: &Rc<StreamHandoff>) -> Option<Self> {
        if *request.method() != Method::CONNECT {
            return None;
        }
        // A CONNECT without a protocol asks for a forward proxy, which this is not; it is refused
        // later, by its method.
        let protocol = request.extensions_mut().remove::<Protocol>()?;
        let protocol = HeaderValue::from_str(protocol.as_str()).ok()?;
        *request.method_mut() = Method::GET;
        let headers = request.fields_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
        // HTTP/2 has none, and HTTP/1 asks for one (RFC 8441 section 5).
        let key = HeaderValue::try_from(STANDARD.encode(crypto::random::<16>()));
        if let Ok(key) = key {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        Some(Self(UpgradeSlot::Http2(Rc::clone(handoff))))
    }

    /// This follows.
    pub fn to(self, begin: impl FnOnce(Box<dyn DuplexStream>, Bytes) -> UpgradedTunnel + 'static) {
        match self.0 {
            UpgradeSlot::Http1(io) => io.follows(Box::new(begin)),
            UpgradeSlot::Http2(handoff) => handoff.follows(Box::new(begin)),
        }
    }
}

/// Turns the answer to what stood for an extended CONNECT into the answer to that.
pub(super) fn answer(head: &mut Response<()>) {
    const OF_HTTP1: [HeaderName; 3] = [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT];
    *head.status_mut() = match head.status() {
        StatusCode::SWITCHING_PROTOCOLS => StatusCode::OK,
        // An ordinary answer is a refusal, and would here be taken for the beginning of a tunnel.
        status if status.is_success() => StatusCode::BAD_GATEWAY,
        status => status,
    };
    for name in OF_HTTP1 {
        head.fields_mut().remove(name);
    }
}

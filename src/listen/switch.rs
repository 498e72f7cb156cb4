//! The change of protocol: what follows the answer that agrees to it. On an HTTP/1 connection that is a 101
//! (RFC 9110 section 7.8); in a stream of HTTP/2 the request is an extended CONNECT (RFC 8441), which is shown as the
//! HTTP/1 request that it stands for, and answered as what it is.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    http1::Line,
    streams::{Flight, Streams},
};
use crate::{crypto, tasks};

/// What is spoken afterwards, until its end.
pub type Tunnel = Pin<Box<dyn Future<Output = ()>>>;

/// A stream of bytes either way.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Begins it: with the visitor's side, and what was read of it after the request.
pub(super) type Begin = Box<dyn FnOnce(Box<dyn Duplex>, Bytes) -> Tunnel>;

/// Of a request that asks for another protocol: says what follows if the answer agrees.
#[derive(Debug)]
pub struct Switch(Place);

#[derive(Debug)]
enum Place {
    Line(Rc<Line>),
    Stream(OnUpgrade, Rc<Streams>),
}

impl Switch {
    /// Of a whole connection.
    pub(super) fn new(line: &Rc<Line>) -> Self {
        Self(Place::Line(Rc::clone(line)))
    }

    /// Of a stream, if this is an extended CONNECT: it becomes what an app that speaks HTTP/1 understands.
    pub(super) fn of_stream<B>(request: &mut Request<B>, streams: &Rc<Streams>) -> Option<Self> {
        if *request.method() != Method::CONNECT {
            return None;
        }
        let protocol = request.extensions_mut().remove::<Protocol>()?;
        let protocol = HeaderValue::from_str(protocol.as_str()).ok()?;
        let ready = hyper::upgrade::on(&mut *request);
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
        // HTTP/2 has none, and HTTP/1 asks for one (RFC 8441 section 5).
        let key = HeaderValue::try_from(STANDARD.encode(crypto::random::<16>()));
        headers.extend(key.ok().map(|key| (header::SEC_WEBSOCKET_KEY, key)));
        Some(Self(Place::Stream(ready, Rc::clone(streams))))
    }

    /// This follows.
    pub fn to(self, begin: impl FnOnce(Box<dyn Duplex>, Bytes) -> Tunnel + 'static) {
        match self.0 {
            Place::Line(line) => line.follows(Box::new(begin)),
            Place::Stream(ready, streams) => {
                let flight = Flight::new(&streams);
                tasks::spawn(async move {
                    if let Ok(upgraded) = ready.await {
                        let visitor = Moving { io: TokioIo::new(upgraded), streams };
                        begin(Box::new(visitor), Bytes::new()).await;
                    }
                    drop(flight);
                });
            }
        }
    }
}

/// Turns the answer to what stood for an extended CONNECT into the answer to that.
pub(super) fn answer<B>(response: &mut Response<B>) {
    const OF_HTTP1: [HeaderName; 3] = [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT];
    let status = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => StatusCode::OK,
        // An ordinary answer is a refusal, and would here be taken for the beginning of a tunnel.
        status if status.is_success() => StatusCode::BAD_GATEWAY,
        status => status,
    };
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    for name in OF_HTTP1 {
        headers.remove(name);
    }
}

/// A tunnel in a stream; what comes by it is progress.
struct Moving {
    io: TokioIo<Upgraded>,
    streams: Rc<Streams>,
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.streams.moved();
        }
        polled
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if polled.is_ready() {
            self.streams.moved();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

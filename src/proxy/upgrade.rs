//! Tunnels: what follows once the app has agreed to another protocol, such as a websocket (RFC 9110 section 7.8).
//!
//! SECURITY: nothing of a tunnel goes to the app before it has said 101. Until then what follows the request is a tunnel
//! or the next request, and only the app's answer tells which.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::{io::poll_read_buf, sync::CancellationToken};

use super::{
    ProxyError,
    websocket::{FrameBoundaries, TunnelEnd},
};
use crate::{
    clock::{self, Timestamp},
    listen::DuplexStream,
    message::Response,
    net::NetStream,
    plan::Plan,
    session::{SessionTunnel, StreamActivity},
};

/// How often a tunnel, or an event stream, looks after itself.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// So many looks a tunnel in which something is always being said goes on once the process is to end.
const LOOKS_AT_A_STOP: u32 = 5;
/// What is carried at once.
const PIECE: usize = 16 * 1024;

/// Whether a request to change to this is passed on: not what would change how *this* connection is spoken.
pub fn is_passed(wanted: &HeaderValue) -> bool {
    let own = |token: &[u8]| {
        [&b"h2c"[..], b"http", b"tls"]
            .iter()
            .any(|own| token.get(..own.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(own)))
    };
    !tokens(wanted).any(own)
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Agrees to what the app agreed to by a 101, if that was asked for; whether it is one.
///
/// # Errors
/// It was not asked for.
pub fn agree<B>(
    asked: Option<&HeaderValue>,
    said: Option<HeaderValue>,
    response: &mut Response<B>,
) -> Result<bool, ProxyError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(false);
    }
    let named = |said: &HeaderValue| {
        asked.is_some_and(|asked| tokens(asked).any(|token| token.eq_ignore_ascii_case(said.as_bytes())))
    };
    let Some(said) = said.filter(named) else {
        return Err(ProxyError::Client(
            StatusCode::BAD_GATEWAY,
            "the app changed to a protocol that was not asked for",
        ));
    };
    let headers = response.fields_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, said);
    Ok(true)
}

/// What ends a tunnel, or an event stream, beside its two ends.
#[derive(Debug)]
pub struct TunnelLimits {
    /// The plan that it began with.
    pub plan: Arc<Plan>,
    /// The session that it began under.
    pub session: Option<SessionTunnel>,
    /// The process is to end.
    pub stop: CancellationToken,
}

/// How long both ends have to take note of the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whether an answer agrees to a websocket (RFC 6455 section 4.2.2), and not to something else under its name.
pub fn is_websocket<B>(response: &Response<B>) -> bool {
    let fields = response.fields();
    fields.contains(header::SEC_WEBSOCKET_ACCEPT)
        && fields.get(header::UPGRADE).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Carries bytes either way until both have ended, or something else ends it: of a websocket both ends are told why.
pub async fn tunnel(
    visitor: (Box<dyn DuplexStream>, Bytes),
    app: (NetStream, Bytes),
    is_websocket: bool,
    mut limits: TunnelLimits,
) {
    let (visitor, unread) = visitor;
    let (app, early) = app;
    let up = TunnelDirection::new(&unread, is_websocket);
    let down = TunnelDirection::new(&early, is_websocket);
    let mut ends = TunnelEnds { visitor, app, up, down };
    drop((unread, early));
    let Some(end) = ends.carry(&mut limits).await else { return };
    // A stop is told of once, and not for each of thousands.
    if end == TunnelEnd::Stop {
        tracing::debug!(why = end.reason(), "a tunnel was closed");
    } else {
        tracing::info!(why = end.reason(), "a tunnel was closed");
    }
    // Boxed: a tunnel takes no room for its end while it goes on.
    Box::pin(ends.say_farewell(end)).await;
}

struct TunnelEnds {
    visitor: Box<dyn DuplexStream>,
    app: NetStream,
    up: TunnelDirection,
    down: TunnelDirection,
}

impl TunnelEnds {
    /// Until both have ended, or something else is to end it: then that.
    async fn carry(&mut self, limits: &mut TunnelLimits) -> Option<TunnelEnd> {
        let idle = limits.plan.limits.tunnel_idle_timeout;
        let (mut quiet, mut looks_since_stop) = (Duration::ZERO, 0);
        loop {
            tokio::select! {
                over = poll_fn(|cx| self.poll(cx)) => {
                    if let Err(error) = over {
                        tracing::debug!(%error, "a tunnel broke");
                    }
                    return None;
                }
                () = clock::pause(LOOK) => {}
            }
            let came = StreamActivity {
                from_visitor: std::mem::take(&mut self.up.moved),
                from_app: std::mem::take(&mut self.down.moved),
            };
            quiet = if came.is_any() { Duration::ZERO } else { quiet + LOOK };
            if idle.is_some_and(|idle| quiet >= idle) {
                return Some(TunnelEnd::Idle);
            }
            // What is being said when the process is to end is said to its end, and answered. Who never stops talking is
            // told in the end, between two messages.
            looks_since_stop += u32::from(limits.stop.is_cancelled());
            let is_long = looks_since_stop > LOOKS_AT_A_STOP && self.is_between_messages();
            if limits.stop.is_cancelled() && (!quiet.is_zero() || is_long) {
                return Some(TunnelEnd::Stop);
            }
            if let Some(session) = &mut limits.session
                && !limits.plan.sessions.holds(session, came, Timestamp::now()).await
            {
                return Some(TunnelEnd::Session);
            }
        }
    }

    fn is_between_messages(&self) -> bool {
        self.up.is_between_messages() && self.down.is_between_messages()
    }

    /// Tells both ends why, where they are ready to hear it, and leaves them a moment to answer.
    async fn say_farewell(mut self, end: TunnelEnd) {
        let to_visitor = self.down.farewell(end, false);
        let to_app = self.up.farewell(end, true);
        if to_visitor.is_none() && to_app.is_none() {
            return;
        }
        let both = async {
            tokio::join!(close(&mut self.visitor, to_visitor), close(&mut self.app, to_app));
        };
        // Whoever takes longer is left all the same.
        let _ = clock::timeout(Some(FAREWELL), both).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll(&mut self.visitor, &mut self.app, cx)?;
        let down = self.down.poll(&mut self.app, &mut self.visitor, cx)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

/// Sends the last words, and reads on until the other side has closed: what it sent meanwhile would otherwise reset the
/// connection, and the words with it.
async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), words: Option<Vec<u8>>) {
    let Some(words) = words else { return };
    if stream.write_all(&words).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut unread = [0; 1024];
        while matches!(stream.read(&mut unread).await, Ok(1..)) {}
    }
}

/// One way through a tunnel. While nothing comes it holds no buffer.
struct TunnelDirection {
    held: BytesMut,
    ended: bool,
    has_shut_down: bool,
    unflushed: bool,
    /// Something came since the last look.
    moved: bool,
    /// Of a websocket.
    frames: Option<FrameBoundaries>,
}

impl TunnelDirection {
    fn new(first: &[u8], is_websocket: bool) -> Self {
        let frames = is_websocket.then(FrameBoundaries::default);
        Self {
            held: first.into(),
            ended: false,
            has_shut_down: false,
            unflushed: false,
            moved: false,
            frames,
        }
    }

    /// Of a websocket: no message is under way. Of anything else nobody knows.
    fn is_between_messages(&self) -> bool {
        self.held.is_empty() && self.frames.as_ref().is_some_and(FrameBoundaries::is_between_messages)
    }

    /// What is said this way before it closes: nothing in the middle of a frame, or after an end.
    fn farewell(&self, end: TunnelEnd, masked: bool) -> Option<Vec<u8>> {
        let is_ready = self.held.is_empty()
            && !self.ended
            && self.frames.as_ref().is_some_and(FrameBoundaries::is_between_frames);
        is_ready.then(|| end.close_frame(masked))
    }

    /// Ready once this way has ended, and the other side was told.
    fn poll<R, W>(&mut self, from: &mut R, to: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                if let Some(frames) = &mut self.frames {
                    frames.pass(self.held.get(..written).unwrap_or_default());
                }
                self.held.advance(written);
                self.unflushed = true;
                self.moved = true;
            }
            // A half-closed side is passed on as such: the other may still have something to say.
            if self.ended {
                if !self.has_shut_down {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.has_shut_down = true;
                }
                return Poll::Ready(Ok(()));
            }
            self.held.reserve(PIECE);
            match poll_read_buf(Pin::new(&mut *from), cx, &mut self.held) {
                Poll::Ready(read) => self.ended = read? == 0,
                Poll::Pending => {
                    // Thousands of silent WebSockets hold no buffer.
                    self.held = BytesMut::new();
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_and_what_is_agreed_to() {
        let value = HeaderValue::from_static;
        for (wanted, passed) in [
            ("websocket", true),
            ("WebSocket", true),
            ("h2c", false),
            ("H2C, websocket", false),
            ("HTTP/2.0", false),
            ("TLS/1.0", false),
            ("foo/2, websocket", true),
        ] {
            assert_eq!(is_passed(&value(wanted)), passed, "{wanted}");
        }
        for (asked, said, fine) in [
            (Some("websocket"), Some("WebSocket"), true),
            (Some("foo, websocket"), Some("websocket"), true),
            (Some("websocket"), Some("foo"), false),
            (Some("websocket"), None, false),
            (None, Some("websocket"), false),
        ] {
            let mut response = Response::new(());
            let agreed = agree(asked.map(value).as_ref(), said.map(value), &mut response);
            assert!(matches!(agreed, Ok(false)), "without a 101 there is nothing to agree to");
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let agreed = agree(asked.map(value).as_ref(), said.map(value), &mut response);
            assert_eq!(agreed.is_ok(), fine, "{asked:?} {said:?}");
            assert_eq!(response.fields().contains("upgrade"), fine);
        }
    }
}

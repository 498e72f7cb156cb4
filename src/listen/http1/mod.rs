//! The life of an HTTP/1 connection: parked, serving, parked again, closed (RFC 9112).
//!
//! Written here and not taken from a library's server because this is the path that every request takes: the head, the
//! body and the answer are polled in one task, without channels between them; an idle connection gives its buffers back
//! and one byte is peeked for, which tells "ten seconds for a head" from "75 seconds idle" and costs two and a half kilobytes;
//! and interim answers can be sent.

mod answer;
mod conversation;
mod head;
mod io;
mod stop;

pub(super) use io::SharedIo;

use std::{pin::pin, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionRules, RequestHandler, UpgradedTunnel, acceptor::ConnectionInfo, rules::first_request_overdue,
};
use crate::{
    clock,
    net::{NetStream, VisitorConnection},
};
use conversation::{Http1Conversation, NextState, PARK_AFTER_TICKS};
use stop::StopNotice;

/// How long a closing connection is read on, so that the answer is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What is left of a connection that was active.
enum AfterActive {
    Parked(NetStream, Bytes),
    Closing(NetStream),
    Tunnel(UpgradedTunnel),
    Nothing,
}

/// Serves one connection to its end.
pub(super) async fn serve<H: RequestHandler>(
    mut stream: NetStream,
    mut prefix: Bytes,
    info: ConnectionInfo,
    rules: Rc<ConnectionRules>,
    handler: Rc<H>,
    stop: CancellationToken,
) {
    let mut wait = rules.limits.request_head_timeout;
    let mut left = rules.limits.requests_per_connection_http1.unwrap_or(u64::MAX);
    let mut parked: Option<u64> = None;
    let connection = VisitorConnection::default();
    while left > 0 {
        if prefix.is_empty() {
            let readable = tokio::select! {
                // One byte is peeked at: the read buffer is made only when there is something to
                // read.
                readable = clock::timeout(wait, stream.peek()) => readable,
                () = first_request_overdue(&stop), if parked.is_none() => return,
                // Between two requests nothing is lost by closing, and a client repeats on a new
                // connection.
                () = stop.cancelled(), if parked.is_some() => return,
            };
            if !matches!(readable, Ok(Ok(true))) {
                return;
            }
        }
        // Boxed, as is all that is not there while it is parked: a task is as large as the largest thing it ever holds.
        match Box::pin(active(
            (stream, prefix),
            (&info, &connection),
            &rules,
            &*handler,
            &stop,
            parked,
            &mut left,
        ))
        .await
        {
            AfterActive::Parked(back, unread) => (stream, prefix) = (back, unread),
            AfterActive::Closing(back) => return Box::pin(linger(back)).await,
            AfterActive::Tunnel(tunnel) => return tunnel.await,
            AfterActive::Nothing => return,
        }
        parked = Some(clock::tick());
        wait = rules.limits.idle_timeout_http1;
    }
}

/// From the first byte until nothing is at hand; `parked`: since when it had been.
async fn active<H: RequestHandler>(
    (stream, prefix): (NetStream, Bytes),
    info: (&ConnectionInfo, &VisitorConnection),
    rules: &ConnectionRules,
    handler: &H,
    stop: &CancellationToken,
    parked: Option<u64>,
    left: &mut u64,
) -> AfterActive {
    let limits = &rules.limits;
    let comes_back = parked.is_some_and(|since| clock::tick().saturating_sub(since) <= PARK_AFTER_TICKS);
    let io = SharedIo::new(stream, prefix, limits.write_stall_timeout);
    let stopping = pin!(stop.cancelled());
    let stop = StopNotice::new(stopping);
    let fresh = parked.is_none();
    let mut conversation =
        Http1Conversation::new(io, info, limits, handler, stop, (*left, comes_back, fresh));
    let then = conversation.run().await;
    *left = conversation.left;
    let first = conversation.served == 0 && parked.is_none();
    // Whoever still holds the body finds nothing there from now on.
    let Some((stream, unread)) = conversation.io.take() else { return AfterActive::Nothing };
    match then {
        NextState::Park => AfterActive::Parked(stream, unread),
        // Later ones are left without a word: a client that keeps connections could take it for the next answer.
        NextState::TimedOut if first => answer_timeout(stream).await,
        NextState::TimedOut | NextState::Close => AfterActive::Closing(stream),
        NextState::Switch(begin) => AfterActive::Tunnel(begin(Box::new(stream), unread)),
        NextState::Gone => AfterActive::Nothing,
        NextState::Reset => {
            stream.reset();
            AfterActive::Nothing
        }
    }
}

/// A head that did not arrive in time (RFC 9110 §15.5.9).
async fn answer_timeout(mut stream: NetStream) -> AfterActive {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let _ = clock::timeout(Some(LINGER), stream.write_all(answer)).await;
    AfterActive::Closing(stream)
}

async fn linger(mut stream: NetStream) {
    let _ = stream.shutdown().await;
    let mut sink = [0; 4096];
    // Bounded: a visitor who keeps sending would hold this connection for nothing.
    let mut budget = 256 * 1024_usize;
    let drain = async {
        while let Ok(n) = stream.read(&mut sink).await {
            budget = budget.saturating_sub(n);
            if n == 0 || budget == 0 {
                return;
            }
        }
    };
    let _ = clock::timeout(Some(LINGER), drain).await;
}

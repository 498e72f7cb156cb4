//! The life of an HTTP/1 connection: parked, serving, parked again, closed (RFC 9112).
//!
//! Written here and not taken from a library's server because this is the path that every request takes: the head, the
//! body and the answer are polled in one task, without channels between them; an idle connection gives its buffers back
//! and one byte is peeked for, which tells "ten seconds for a head" from "75 seconds idle" and costs two and a half kilobytes;
//! and interim answers can be sent.

mod answer;
mod conversation;
mod head;
mod line;
mod stop;

pub(super) use line::Line;

use std::{pin::pin, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{Handler, Rules, Tunnel, connection::last_call, entrance::Entered};
use crate::{
    clock,
    net::{Stream, VisitorConnection},
};
use conversation::{Conversation, PARK_AFTER_TICKS, Then};
use stop::Stop;

/// How long a closing connection is read on, so that the answer is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What is left of a connection that was active.
enum Left {
    Parked(Stream, Bytes),
    Closing(Stream),
    Tunnel(Tunnel),
    Nothing,
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    mut stream: Stream,
    mut prefix: Bytes,
    entered: Entered,
    rules: Rc<Rules>,
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
                readable = clock::timeout(wait, stream.peek()) => readable,
                () = last_call(&stop), if parked.is_none() => return,
                () = stop.cancelled(), if parked.is_some() => return,
            };
            if !matches!(readable, Ok(Ok(true))) {
                return;
            }
        }
        // Boxed, as is all that is not there while it is parked: a task is as large as the largest thing it ever holds.
        match Box::pin(active(
            (stream, prefix),
            (&entered, &connection),
            &rules,
            &*handler,
            &stop,
            parked,
            &mut left,
        ))
        .await
        {
            Left::Parked(back, unread) => (stream, prefix) = (back, unread),
            Left::Closing(back) => return Box::pin(linger(back)).await,
            Left::Tunnel(tunnel) => return tunnel.await,
            Left::Nothing => return,
        }
        parked = Some(clock::tick());
        wait = rules.limits.idle_timeout_http1;
    }
}

/// From the first byte until nothing is at hand; `parked`: since when it had been.
async fn active<H: Handler>(
    (stream, prefix): (Stream, Bytes),
    entered: (&Entered, &VisitorConnection),
    rules: &Rules,
    handler: &H,
    stop: &CancellationToken,
    parked: Option<u64>,
    left: &mut u64,
) -> Left {
    let limits = &rules.limits;
    let comes_back = parked.is_some_and(|since| clock::tick().saturating_sub(since) <= PARK_AFTER_TICKS);
    let line = Line::new(stream, prefix, limits.write_stall_timeout);
    let stopping = pin!(stop.cancelled());
    let stop = Stop::new(stopping);
    let fresh = parked.is_none();
    let mut conversation =
        Conversation::new(line, entered, limits, handler, stop, (*left, comes_back, fresh));
    let then = conversation.run().await;
    *left = conversation.left;
    let first = conversation.served == 0 && parked.is_none();
    let Some((stream, unread)) = conversation.line.take() else { return Left::Nothing };
    match then {
        Then::Park => Left::Parked(stream, unread),
        // Later ones are left without a word: a client that keeps connections could take it for the next answer.
        Then::TimedOut if first => answer_timeout(stream).await,
        Then::TimedOut | Then::Close => Left::Closing(stream),
        Then::Switch(begin) => Left::Tunnel(begin(Box::new(stream), unread)),
        Then::Gone => Left::Nothing,
        Then::Reset => {
            stream.reset();
            Left::Nothing
        }
    }
}

/// A head that did not arrive in time (RFC 9110 §15.5.9).
async fn answer_timeout(mut stream: Stream) -> Left {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let _ = clock::timeout(Some(LINGER), stream.write_all(answer)).await;
    Left::Closing(stream)
}

async fn linger(mut stream: Stream) {
    let _ = stream.shutdown().await;
    let mut sink = [0; 4096];
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

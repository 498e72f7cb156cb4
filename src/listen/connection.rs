//! Connections: accepted here, each in a task of its own.

use std::{io, rc::Rc, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Acceptor, BoundListener, ConnectionLimits, PeerName, RequestHandler,
    acceptor::{AcceptedConnection, WireProtocol},
    bind::AcceptSocket,
    http1, http2,
    limits::ConnectionPermit,
    rules::{ConnectionRules, first_request_overdue},
};
use crate::{
    clock,
    net::{NetStream, descriptors::are_too_few_for_visitors},
};

/// Accepts until `stop`, and serves each connection in a task of its own that `tasks` keeps track of, under the `rules`
/// that hold when it comes.
///
/// # Errors
/// The socket cannot join this loop.
pub async fn serve<H: RequestHandler>(
    listener: BoundListener,
    acceptor: Acceptor,
    rules: impl Fn() -> Rc<ConnectionRules>,
    counts: Arc<ConnectionLimits>,
    handler: H,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = AcceptSocket::new(listener)?;
    let acceptor = Rc::new(acceptor);
    let handler = Rc::new(handler);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) if are_too_few_for_visitors(&stream) => {
                tracing::warn!(
                    "a connection was closed: too many open files; raise LimitNOFILE, or lower [limits] connections"
                );
                drop(stream);
                clock::pause(clock::TICK).await;
            }
            Ok((stream, peer)) => {
                let current = rules();
                let Some(place) = counts.enter(peer, &current) else {
                    counts.refused(peer);
                    continue;
                };
                let one = one(
                    stream,
                    (peer, place, Arc::clone(&counts)),
                    Rc::clone(&acceptor),
                    current,
                    Rc::clone(&handler),
                    stop.clone(),
                );
                // The handshake runs in the task too: a slow one must not keep others from being
                // accepted.
                crate::tasks::spawn(tasks.track_future(one));
                // Full: the kernel's backlog holds the next visitors, which is kinder than closing
                // their connections.
                while counts.is_full(&rules()) && !stop.is_cancelled() {
                    clock::pause(clock::TICK).await;
                }
            }
            // Out of descriptors, or the connection went before it was taken. The pause keeps the
            // loop from spinning while the first lasts.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                clock::pause(clock::TICK).await;
            }
        }
    }
}

/// One connection, from its acceptor to its end; it holds its place among the counts for as long.
async fn one<H: RequestHandler>(
    mut stream: NetStream,
    (peer, mut place, counts): (PeerName, ConnectionPermit, Arc<ConnectionLimits>),
    acceptor: Rc<Acceptor>,
    rules: Rc<ConnectionRules>,
    handler: Rc<H>,
    stop: CancellationToken,
) {
    let admitted = tokio::select! {
        admitted = async {
            // The PROXY header stands before the TLS handshake.
            let visitor = acceptor.visitor(&mut stream, peer, &rules).await?;
            if visitor != peer {
                // It is the visitor's line that counts, and no longer the balancer's.
                let Some(theirs) = counts.enter(visitor, &rules) else {
                    counts.refused(visitor);
                    return None;
                };
                place = theirs;
            }
            acceptor.shake_hands(stream, visitor, &rules).await
        } => admitted,
        () = first_request_overdue(&stop) => None,
    };
    drop(counts);
    let Some(AcceptedConnection { stream, prefix, info, protocol }) = admitted else { return };
    match protocol {
        WireProtocol::Http1 => http1::serve(stream, prefix, info, rules, handler, stop).await,
        // Boxed: a task is as large as the largest thing it ever holds.
        WireProtocol::Http2 => Box::pin(http2::serve(stream, prefix, info, rules, handler, stop)).await,
    }
    drop(place);
}

//! Connections: accepted here, each in a task of its own.

use std::{io, rc::Rc, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Counts, Entrance, Handler, Listener, Peer,
    bind::Accepting,
    entrance::{Admitted, Protocol},
    http1, http2,
};
use crate::{clock, config::Limits, net::Stream};

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `[limits]`
    pub limits: Limits,
    /// Whose connections are not counted by address.
    pub exempt: Vec<ipnet::IpNet>,
}

/// Accepts until `stop`, and serves each connection in a task of its own that `tasks` keeps track of.
///
/// # Errors
/// The socket cannot join this loop.
pub async fn serve<H: Handler>(
    listener: Listener,
    entrance: Entrance,
    rules: Rc<Rules>,
    counts: Arc<Counts>,
    handler: H,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = Accepting::new(listener)?;
    let entrance = Rc::new(entrance);
    let handler = Rc::new(handler);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = counts.enter(peer, &rules) else {
                    counts.refused(peer);
                    continue;
                };
                let one = one(
                    stream,
                    peer,
                    Rc::clone(&entrance),
                    Rc::clone(&rules),
                    Rc::clone(&handler),
                    stop.clone(),
                );
                let tracked = tasks.track_future(async move {
                    one.await;
                    drop(place);
                });
                crate::tasks::spawn(tracked);
                while counts.is_full(&rules) && !stop.is_cancelled() {
                    clock::pause(clock::TICK).await;
                }
            }
            // Out of descriptors, or a connection that went before it was taken.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                clock::pause(clock::TICK).await;
            }
        }
    }
}

/// One connection, from its entrance to its end.
async fn one<H: Handler>(
    stream: Stream,
    peer: Peer,
    entrance: Rc<Entrance>,
    rules: Rc<Rules>,
    handler: Rc<H>,
    stop: CancellationToken,
) {
    let admitted = tokio::select! {
        admitted = entrance.admit(stream, peer, &rules) => admitted,
        () = stop.cancelled() => None,
    };
    let Some(Admitted { stream, prefix, arrival, protocol }) = admitted else { return };
    match protocol {
        Protocol::Http1 => http1::serve(stream, prefix, arrival, rules, handler, stop).await,
        // Boxed: a task is as large as the largest thing it ever holds.
        Protocol::Http2 => Box::pin(http2::serve(stream, prefix, arrival, rules, handler, stop)).await,
    }
}

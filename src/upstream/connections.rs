//! Connections to one server, kept by one worker.
//!
//! A connection is polled by whoever uses it, in the task of the request: no task of its own, no wake-up from one to
//! the other. A pooled one is polled by nobody; whether it is still good is asked when it is taken out.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::net::{TcpStream, UnixStream};

use super::{
    BodyError, Endpoint, UpstreamError,
    endpoint::{Busy, Endpoints},
    http1::Connection,
    tls::Tls,
};
use crate::{
    clock::{self, TICK, Timestamp},
    config::ServerAddress,
    net::Stream,
};

/// Unused connections kept for each server.
const MOST_IDLE: usize = 256;

/// Boxed: a connection is large, and goes through many hands.
type Idle<B> = Rc<RefCell<VecDeque<Box<Connection<B>>>>>;

/// A connection is for one server, and by TLS also for what was verified.
struct Pool<B> {
    address: ServerAddress,
    /// Weak: when the plan that it belongs to is gone, nobody can ask for this pool any more.
    tls: Option<Weak<Tls>>,
    idle: Idle<B>,
}

impl<B> Pool<B> {
    fn is_for(&self, endpoint: &Endpoint) -> bool {
        self.address == endpoint.address
            && self.tls.as_ref().map(Weak::as_ptr) == endpoint.tls.as_ref().map(Arc::as_ptr)
    }

    /// Nobody asks for it any more: what it was verified by was replaced.
    fn is_forsaken(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.strong_count() == 0)
    }
}

/// The pools of one worker, by server.
pub struct Connections<B> {
    pools: RefCell<Vec<Pool<B>>>,
}

impl<B> std::fmt::Debug for Connections<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl<B> Default for Connections<B> {
    fn default() -> Self {
        Self { pools: RefCell::default() }
    }
}

/// A connection that is in use. Goes back to its pool by [`keep`](Lease::keep); dropped, it is closed.
pub struct Lease<B> {
    pub(super) connection: Box<Connection<B>>,
    pool: Idle<B>,
    /// The server has one request more for as long.
    pub(super) busy: Option<Busy>,
}

impl<B> Lease<B> {
    /// Puts it back.
    pub(super) fn keep(mut self) {
        if self.connection.idle_ticks > 0 {
            self.connection.since = clock::tick();
            self.connection.reused = true;
            let mut pool = self.pool.borrow_mut();
            if pool.len() >= MOST_IDLE {
                pool.pop_front();
            }
            pool.push_back(self.connection);
        }
    }
}

impl<B> Connections<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// A list and no map: there are few servers, and comparing is cheaper than hashing.
    fn pool(&self, endpoint: &Endpoint) -> Idle<B> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.is_for(endpoint)) {
            return Rc::clone(&pool.idle);
        }
        let idle = Idle::default();
        let (address, tls) = (endpoint.address.clone(), endpoint.tls.as_ref().map(Arc::downgrade));
        pools.push(Pool { address, tls, idle: Rc::clone(&idle) });
        idle
    }

    /// Closes what has been unused for too long. Called now and then.
    pub fn sweep(&self) {
        let now = clock::tick();
        self.pools.borrow_mut().retain(|pool| !pool.is_forsaken());
        for pool in self.pools.borrow().iter() {
            pool.idle.borrow_mut().retain(|c| now.saturating_sub(c.since) < c.idle_ticks && c.is_quiet(true));
        }
    }

    /// A pooled connection, the most recently used first, or a new one.
    ///
    /// # Errors
    /// The server cannot be reached within `connect_timeout`.
    pub(super) async fn take(
        &self,
        endpoint: &Endpoint,
        upstream: &Endpoints,
        wanted: Wanted,
        patience: Patience,
    ) -> Result<Lease<B>, UpstreamError> {
        let pool = self.pool(endpoint);
        let now = clock::tick();
        while wanted != Wanted::New
            && let Some(connection) = { pool.borrow_mut().pop_back() }
        {
            let surely = wanted == Wanted::Sure;
            if now.saturating_sub(connection.since) < connection.idle_ticks && connection.is_quiet(surely) {
                return Ok(Lease { connection, pool, busy: None });
            }
        }
        let limit = Some(upstream.rules.connect_timeout);
        // Boxed: it is rare, and the task of every request would have to carry room for it.
        let stream = Box::pin(connect(endpoint, limit, patience)).await;
        let stream = stream.inspect_err(|_| endpoint.failed(Timestamp::now()))?;
        let idle_ticks = (upstream.rules.idle_timeout.as_millis() / TICK.as_millis()) as u64;
        Ok(Lease { connection: Box::new(Connection::new(stream, idle_ticks)), pool, busy: None })
    }
}

/// What connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any: the request can be sent again.
    Any,
    /// One that is known to be open: the request cannot be sent again.
    Sure,
    /// None from the pool: one from there has just failed.
    New,
}

/// What a refused connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// That this server is not to be had.
    None,
    /// That its app may be restarting: it is tried again until the time is up.
    Restart,
}

pub(super) async fn connect(
    endpoint: &Endpoint,
    limit: Option<Duration>,
    patience: Patience,
) -> Result<Stream, UpstreamError> {
    let name = || endpoint.name.clone();
    let refused = RefCell::new(None);
    let attempts = async {
        loop {
            match open(&endpoint.address).await {
                Err(e) if patience == Patience::Restart && is_refusal(&e) => drop(refused.replace(Some(e))),
                Err(source) => return Err(UpstreamError::Connect { endpoint: name(), source }),
                Ok(stream) => return secure(endpoint, stream).await,
            }
            clock::pause(TICK).await;
        }
    };
    match clock::timeout(limit, attempts).await {
        Ok(result) => result,
        Err(_) => Err(match refused.take() {
            Some(source) => UpstreamError::Connect { endpoint: name(), source },
            None => UpstreamError::ConnectTimeout { endpoint: name() },
        }),
    }
}

async fn open(address: &ServerAddress) -> io::Result<Stream> {
    match address {
        ServerAddress::Tcp { host, port, .. } => TcpStream::connect((host.as_str(), *port)).await.map(|s| {
            // Without it the last piece of a request waits for an acknowledgement.
            let _ = s.set_nodelay(true);
            Stream::Tcp(s)
        }),
        ServerAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

/// The TLS handshake, where there is one.
async fn secure(endpoint: &Endpoint, stream: Stream) -> Result<Stream, UpstreamError> {
    let Some(tls) = &endpoint.tls else { return Ok(stream) };
    // Boxed: every request would be as large as a handshake.
    Box::pin(tls.connect(stream))
        .await
        .map_err(|source| UpstreamError::Handshake { endpoint: endpoint.name.clone(), source })
}

/// Nobody listens there just now.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

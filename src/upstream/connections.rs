//! Connections to one server, kept by one worker.
//!
//! A hyper connection is a future that somebody must poll. Here it is polled by whoever uses it, in the task of the
//! request: no task of its own, no wake-up from one to the other. A pooled one is polled by nobody; whether it is
//! still good is asked when it is taken out.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::{BodyError, Endpoint, UpstreamError, endpoint::Endpoints};
use crate::{
    clock::{self, TICK, Timestamp},
    config::ServerAddress,
    net::Stream,
};

/// Unused connections kept for each server.
const MOST_IDLE: usize = 256;

/// The largest piece of an answer that is read at once.
const READ_BUFFER: usize = 128 * 1024;

pub(super) struct Connection<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    pub(super) sender: http1::SendRequest<B>,
    pub(super) driver: http1::Connection<TokioIo<Stream>, B>,
    /// It has answered before.
    pub(super) reused: bool,
    /// Shorter than the configured one if the app said so.
    pub(super) idle_ticks: u64,
    since: u64,
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    /// Lets the connection work. Ready: it is over.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Pin::new(&mut self.driver).poll(cx)
    }

    /// Alive and ready for a request, as far as anyone can know.
    fn is_good(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // The runtime may not have told the end of the stream yet, or bytes that nobody asked for: that is read here.
        self.drive(&mut cx).is_pending() && self.sender.is_ready() && !self.sender.is_closed()
    }
}

/// Boxed: a connection is large, and goes through many hands.
type Idle<B> = Rc<RefCell<VecDeque<Box<Connection<B>>>>>;

/// The pools of one worker, by server.
pub struct Connections<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    pools: RefCell<HashMap<ServerAddress, Idle<B>>>,
}

impl<B> std::fmt::Debug for Connections<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl<B> Default for Connections<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    fn default() -> Self {
        Self { pools: RefCell::default() }
    }
}

/// A connection that is in use. Goes back to its pool by [`keep`](Lease::keep); dropped, it is closed.
pub struct Lease<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    pub(super) connection: Box<Connection<B>>,
    pool: Idle<B>,
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    /// Puts it back if it can take another request.
    pub(super) fn keep(mut self) {
        if self.connection.idle_ticks > 0 && self.connection.is_good() {
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
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    fn pool(&self, address: &ServerAddress) -> Idle<B> {
        if let Some(pool) = self.pools.borrow().get(address) {
            return Rc::clone(pool);
        }
        Rc::clone(self.pools.borrow_mut().entry(address.clone()).or_default())
    }

    /// Closes what has been unused for too long. Called now and then.
    pub fn sweep(&self) {
        let now = clock::tick();
        for pool in self.pools.borrow().values() {
            pool.borrow_mut().retain_mut(|c| now.saturating_sub(c.since) < c.idle_ticks && c.is_good());
        }
    }

    /// A pooled connection, the most recently used first, or a new one; `new`: not a pooled one.
    ///
    /// # Errors
    /// The server cannot be reached within `connect_timeout`.
    pub(super) async fn take(
        &self,
        endpoint: &Endpoint,
        upstream: &Endpoints,
        new: bool,
        patience: Patience,
    ) -> Result<Lease<B>, UpstreamError> {
        let pool = self.pool(&endpoint.address);
        let now = clock::tick();
        while !new && let Some(mut connection) = { pool.borrow_mut().pop_back() } {
            if now.saturating_sub(connection.since) < connection.idle_ticks && connection.is_good() {
                return Ok(Lease { connection, pool });
            }
        }
        let limit = Some(upstream.rules.connect_timeout);
        let stream =
            connect(endpoint, limit, patience).await.inspect_err(|_| endpoint.failed(Timestamp::now()))?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| UpstreamError::Exchange { endpoint: endpoint.name.clone(), source })?;
        let idle_ticks = (upstream.rules.idle_timeout.as_millis() / TICK.as_millis()) as u64;
        Ok(Lease {
            connection: Box::new(Connection { sender, driver, reused: false, idle_ticks, since: now }),
            pool,
        })
    }
}

/// What a refused connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// That this server is not to be had.
    None,
    /// That its app may be restarting: it is tried again until the time is up.
    Restart,
}

async fn connect(
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
                other => return other,
            }
            clock::pause(TICK).await;
        }
    };
    match clock::timeout(limit, attempts).await {
        Ok(result) => result.map_err(|source| UpstreamError::Connect { endpoint: name(), source }),
        Err(_) => Err(match refused.take() {
            Some(source) => UpstreamError::Connect { endpoint: name(), source },
            None => UpstreamError::ConnectTimeout { endpoint: name() },
        }),
    }
}

async fn open(address: &ServerAddress) -> io::Result<Stream> {
    match address {
        ServerAddress::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await.map(|s| {
            // Without it the last piece of a request waits for an acknowledgement.
            let _ = s.set_nodelay(true);
            Stream::Tcp(s)
        }),
        ServerAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

/// Nobody listens there just now.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

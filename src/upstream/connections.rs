//! Connections to one server, kept by one worker.
//!
//! A connection is polled by whoever uses it, in the task of the request: no task of its own, no wake-up from one to
//! the other. A pooled one is polled by nobody; whether it is still good is asked when it is taken out.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::Mutex;

use super::{
    BodyError, Endpoint, UpstreamError,
    connect::{Patience, connect, connect_http2},
    endpoint::{Busy, Endpoints},
    http1, http2,
    tls::Tls,
};
use crate::{
    clock::{self, TICK, Timestamp},
    config::ServerAddress,
};

/// Unused connections kept for each server.
const MOST_IDLE: usize = 256;

/// A connection is for one server, and by TLS also for what was verified.
struct Pool<B> {
    address: ServerAddress,
    /// Weak: when the plan that it belongs to is gone, nobody can ask for this pool any more.
    tls: Option<Weak<Tls>>,
    kept: Rc<Kept<B>>,
}

/// What is kept for one server.
struct Kept<B> {
    /// HTTP/1.1: those that nobody uses. Boxed: a connection is large, and goes through many hands.
    idle: RefCell<VecDeque<Box<http1::Connection<B>>>>,
    /// HTTP/2: all that take requests, used or not.
    shared: RefCell<Vec<Rc<http2::Connection>>>,
    /// Held by who opens one of these: the others wait for it.
    opening: Mutex<()>,
}

impl<B> Default for Kept<B> {
    fn default() -> Self {
        Self { idle: RefCell::default(), shared: RefCell::default(), opening: Mutex::default() }
    }
}

impl<B> Kept<B> {
    /// A part in a connection that takes requests, and has room for one more.
    fn share(&self) -> Option<http2::Share> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| connection.is_open());
        shared.iter().find(|connection| connection.has_room()).map(http2::Share::of)
    }
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
    pub(super) connection: Box<http1::Connection<B>>,
    kept: Rc<Kept<B>>,
    /// The server has one request more for as long.
    pub(super) busy: Option<Busy>,
}

impl<B> Lease<B> {
    /// Puts it back.
    pub(super) fn keep(mut self) {
        if self.connection.idle_ticks > 0 {
            self.connection.since = clock::tick();
            self.connection.reused = true;
            let mut pool = self.kept.idle.borrow_mut();
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
    fn kept(&self, endpoint: &Endpoint) -> Rc<Kept<B>> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.is_for(endpoint)) {
            return Rc::clone(&pool.kept);
        }
        let kept = Rc::default();
        let (address, tls) = (endpoint.address.clone(), endpoint.tls.as_ref().map(Arc::downgrade));
        pools.push(Pool { address, tls, kept: Rc::clone(&kept) });
        kept
    }

    /// Closes what has been unused for too long. Called now and then.
    pub fn sweep(&self) {
        let now = clock::tick();
        self.pools.borrow_mut().retain(|pool| !pool.is_forsaken());
        for pool in self.pools.borrow().iter() {
            let Kept { idle, shared, .. } = &*pool.kept;
            idle.borrow_mut().retain(|c| now.saturating_sub(c.since) < c.idle_ticks && c.is_quiet(true));
            shared.borrow_mut().retain(|c| c.is_open() && !c.is_unused());
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
        let kept = self.kept(endpoint);
        let now = clock::tick();
        while wanted != Wanted::New
            && let Some(connection) = { kept.idle.borrow_mut().pop_back() }
        {
            let surely = wanted == Wanted::Sure;
            if now.saturating_sub(connection.since) < connection.idle_ticks && connection.is_quiet(surely) {
                return Ok(Lease { connection, kept, busy: None });
            }
        }
        let limit = Some(upstream.rules.connect_timeout);
        // Boxed: it is rare, and the task of every request would have to carry room for it.
        let stream = Box::pin(connect(endpoint, limit, patience)).await;
        let stream = stream.inspect_err(|_| endpoint.failed(Timestamp::now()))?;
        let connection = Box::new(http1::Connection::new(stream, idle_ticks(upstream)));
        Ok(Lease { connection, kept, busy: None })
    }

    /// A part in an HTTP/2 connection, if there is one that has room.
    pub(super) fn shared(&self, endpoint: &Endpoint) -> Option<http2::Share> {
        self.kept(endpoint).share()
    }

    /// A part in a new HTTP/2 connection, or in one that somebody else opened meanwhile.
    ///
    /// # Errors
    /// The server cannot be reached within `connect_timeout`, or does not speak HTTP/2.
    pub(super) async fn share(
        &self,
        endpoint: &Endpoint,
        upstream: &Endpoints,
        patience: Patience,
    ) -> Result<http2::Share, UpstreamError> {
        let kept = self.kept(endpoint);
        let limit = Some(upstream.rules.connect_timeout);
        let late = |_| UpstreamError::ConnectTimeout { endpoint: endpoint.name.clone() };
        let _opening = clock::timeout(limit, kept.opening.lock()).await.map_err(late)?;
        if let Some(share) = kept.share() {
            return Ok(share);
        }
        let opened = connect_http2(endpoint, limit, patience, idle_ticks(upstream)).await;
        let connection = opened.inspect_err(|_| endpoint.failed(Timestamp::now()))?;
        let share = http2::Share::of(&connection);
        kept.shared.borrow_mut().push(connection);
        Ok(share)
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

fn idle_ticks(upstream: &Endpoints) -> u64 {
    (upstream.rules.idle_timeout.as_millis() / TICK.as_millis()) as u64
}

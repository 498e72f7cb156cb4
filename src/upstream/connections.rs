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

use super::{
    Endpoint, RequestBodyError, UpstreamError,
    connect::{ConnectRetry, connect, connect_http2},
    endpoint::{EndpointFailure, Endpoints, RequestUnderWay},
    habits::AnswerEnd,
    http1, http2,
    pool::{HeldConnection, PooledConnections, ReusePolicy, WaitOutcome},
    tls::UpstreamTls,
};
use crate::{
    clock::{self, TICK, Timestamp},
    config::ServerAddress,
    net::{UnreadInput, VisitorConnection, VisitorOwnership},
};

/// A connection that the app has logged in is kept unused for so many ticks: as long as a visitor's own.
const OWNED_FOR: u64 = 750;

/// A connection is for one server, and by TLS also for what was verified.
struct ServerPool<B> {
    address: ServerAddress,
    /// Weak: when the plan that it belongs to is gone, nobody can ask for this pool any more.
    tls: Option<Weak<UpstreamTls>>,
    kept: Rc<PooledConnections<B>>,
}

impl<B> ServerPool<B> {
    fn is_for(&self, endpoint: &Endpoint) -> bool {
        self.address == endpoint.address
            && self.tls.as_ref().map(Weak::as_ptr) == endpoint.tls.as_ref().map(Arc::as_ptr)
    }

    /// Nobody asks for it any more: what it was verified by was replaced.
    fn is_orphaned(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.strong_count() == 0)
    }
}

/// The pools of one worker, by server.
pub struct UpstreamConnections<B> {
    pools: RefCell<Vec<ServerPool<B>>>,
}

impl<B> std::fmt::Debug for UpstreamConnections<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl<B> Default for UpstreamConnections<B> {
    fn default() -> Self {
        Self { pools: RefCell::default() }
    }
}

/// A connection that is in use. Goes back to its pool by [`keep`](ConnectionLease::keep); dropped, it is closed.
pub struct ConnectionLease<B> {
    pub(super) connection: HeldConnection<B>,
    kept: Rc<PooledConnections<B>>,
    /// The server has one request more for as long.
    pub(super) busy: Option<RequestUnderWay>,
    owner: ConnectionOwner,
}

/// Whose a connection to an app is.
#[derive(Debug)]
enum ConnectionOwner {
    /// Anybody's.
    All,
    /// The app has logged it in for this visitor's connection.
    One(VisitorOwnership),
    /// The same, and the visitor's carries many requests at a time: nobody's after this one.
    Nobody,
}

impl<B> ConnectionLease<B> {
    /// Puts it back.
    pub(super) fn keep(mut self) {
        let PooledConnections { idle, resting, owned, habits, waiting, .. } = &*self.kept;
        let ended = self.connection.ended;
        if self.connection.idle_ticks == 0 || !habits.allow_reuse(ended) {
            return;
        }
        let reuse = self.connection.waiters();
        // `max_connections` is for all workers together: one that pools its connection keeps others
        // from opening theirs.
        if reuse > 0 && self.kept.gives_way(reuse) {
            return;
        }
        self.connection.since = clock::tick();
        self.connection.reused = true;
        let most = self.kept.most_idle.get();
        match (self.owner, ended) {
            (ConnectionOwner::One(owner), _) if owner.has_owner() => {
                owned.borrow_mut().push((owner, self.connection));
                // Whoever waits can use none of these, but the place of one.
                if reuse > 0 {
                    self.kept.close_one();
                }
            }
            (ConnectionOwner::One(_) | ConnectionOwner::Nobody, _) => {}
            // Whoever waits gets its place, and no connection that is to rest.
            (ConnectionOwner::All, AnswerEnd::Head) if waiting.get() > 0 => {}
            (ConnectionOwner::All, AnswerEnd::Head) => {
                push(&mut resting.borrow_mut(), (clock::instant(), self.connection), most);
            }
            (ConnectionOwner::All, AnswerEnd::Body) => {
                push(&mut idle.borrow_mut(), self.connection, most);
                if waiting.get() > 0 {
                    self.kept.freed.notify_one();
                }
            }
        }
    }

    /// SECURITY: the app has logged in this connection, or is about to. From now on it is for this visitor's connection alone:
    /// whoever else got it would be logged in as them.
    ///
    /// Only who was `offered` that by the app has one kept: anybody can say that they would be logged in.
    pub(super) fn belongs_to(&mut self, visitor: Option<&VisitorConnection>, offered: bool) {
        self.owner = match (std::mem::replace(&mut self.owner, ConnectionOwner::Nobody), visitor) {
            (ConnectionOwner::One(owner), _) => ConnectionOwner::One(owner),
            (_, Some(visitor)) if offered => ConnectionOwner::One(visitor.ownership()),
            _ => ConnectionOwner::Nobody,
        };
    }

    /// Its server, for the log.
    pub(super) fn server(&self) -> &str {
        &self.kept.server
    }

    /// Bytes came after its last answer.
    pub(super) fn note_leftovers(&self) {
        self.kept.habits.note_leftovers(&self.kept.server, self.connection.ended, 0);
    }

    /// It was closed just when it was used again.
    pub(super) fn closed(&self) {
        self.kept.habits.closed(&self.kept.server, clock::tick().saturating_sub(self.connection.since));
    }
}

/// Puts one more to those that are unused; of too many the oldest goes.
fn push<T>(pool: &mut VecDeque<T>, one: T, most: usize) {
    pool.push_back(one);
    if pool.len() > most {
        pool.pop_front();
    }
}

impl<B> UpstreamConnections<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    /// A list and no map: there are few servers, and comparing is cheaper than hashing.
    fn kept(&self, endpoint: &Endpoint) -> Rc<PooledConnections<B>> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.is_for(endpoint)) {
            return Rc::clone(&pool.kept);
        }
        let kept = Rc::new(PooledConnections::of(endpoint));
        let (address, tls) = (endpoint.address.clone(), endpoint.tls.as_ref().map(Arc::downgrade));
        pools.push(ServerPool { address, tls, kept: Rc::clone(&kept) });
        kept
    }

    /// Closes what has been unused for too long. Called now and then.
    pub fn sweep(&self) {
        let now = clock::tick();
        self.pools.borrow_mut().retain(|pool| !pool.is_orphaned());
        for pool in self.pools.borrow().iter() {
            let kept = &*pool.kept;
            let PooledConnections { idle, shared, .. } = kept;
            kept.wake();
            kept.owned.borrow_mut().retain(|(owner, connection)| {
                let unused = now.saturating_sub(connection.since);
                owner.has_owner() && unused < OWNED_FOR && connection.unread() == UnreadInput::Nothing
            });
            // What is unused here may be what another worker waits for.
            for _ in 0..kept.waiters() {
                kept.close_one();
            }
            idle.borrow_mut().retain(|connection| kept.is_good(connection, now));
            shared.borrow_mut().retain(|c| c.is_open() && !c.is_unused());
        }
    }

    /// The server that a visitor's connection has one of its own to.
    pub(super) fn server_of(&self, visitor: &VisitorConnection, upstream: &Endpoints) -> Option<usize> {
        let has_own = |endpoint: &Endpoint| {
            let kept = self.kept(endpoint);
            let owned = kept.owned.borrow();
            owned.iter().any(|(owner, _)| owner.is_of(visitor))
        };
        upstream.all.iter().position(has_own)
    }

    /// The visitor's own connection; a pooled one, the most recently used first; or a new one.
    ///
    /// # Errors
    /// The server cannot be reached within `connect_timeout`.
    pub(super) async fn take(
        &self,
        endpoint: &Endpoint,
        upstream: &Endpoints,
        reuse: ReusePolicy,
        retry: ConnectRetry,
        visitor: Option<&VisitorConnection>,
    ) -> Result<ConnectionLease<B>, UpstreamError> {
        let kept = self.kept(endpoint);
        kept.most_idle.set(upstream.rules.idle_connections);
        // SECURITY: a connection that the app has logged in (NTLM, Negotiate) is found only through
        // its visitor's own connection.
        if let Some(visitor) = visitor.filter(|visitor| reuse != ReusePolicy::New && visitor.owns_anything())
            && let Some((owner, connection)) = kept.take_own(visitor)
            && connection.unread() == UnreadInput::Nothing
        {
            return Ok(ConnectionLease { connection, kept, busy: None, owner: ConnectionOwner::One(owner) });
        }
        if reuse != ReusePolicy::New
            && let Some(connection) = kept.take_idle(reuse)
        {
            return Ok(ConnectionLease { connection, kept, busy: None, owner: ConnectionOwner::All });
        }
        let slots = endpoint.slots();
        // One that is unused makes room: a request that cannot be repeated takes none of those, and some have to rest.
        let free = slots.try_take().or_else(|| if kept.close_one() { slots.try_take() } else { None });
        let slot = match free {
            Some(slot) => slot,
            // Another server is asked first.
            None if retry == ConnectRetry::None => {
                return Err(UpstreamError::Full { endpoint: endpoint.name.clone() });
            }
            // Boxed, as below.
            None => match Box::pin(kept.wait(&slots, upstream.rules.queue_timeout)).await {
                Some(WaitOutcome::Slot(slot)) => slot,
                Some(WaitOutcome::Connection(connection)) => {
                    return Ok(ConnectionLease { connection, kept, busy: None, owner: ConnectionOwner::All });
                }
                None => return Err(UpstreamError::Full { endpoint: endpoint.name.clone() }),
            },
        };
        let limit = Some(upstream.rules.connect_timeout);
        // Boxed: it is rare, and the task of every request would have to carry room for it.
        let stream = Box::pin(connect(endpoint, limit, retry)).await;
        let stream = stream.inspect_err(|error| {
            if !error.is_shortage() {
                // A shortage of our own descriptors says nothing about the server.
                endpoint.failed(EndpointFailure::Connection, Timestamp::now());
            }
        })?;
        let connection = Box::new(http1::Http1Connection::new(stream, idle_ticks(upstream)).within(slot));
        Ok(ConnectionLease { connection, kept, busy: None, owner: ConnectionOwner::All })
    }

    /// A part in an HTTP/2 connection, if there is one that has room.
    pub(super) fn shared(&self, endpoint: &Endpoint) -> Option<http2::ConnectionShare> {
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
        retry: ConnectRetry,
    ) -> Result<http2::ConnectionShare, UpstreamError> {
        let kept = self.kept(endpoint);
        let limit = Some(upstream.rules.connect_timeout);
        let late = |_| UpstreamError::ConnectTimeout { endpoint: endpoint.name.clone() };
        // One opens, the others wait and share: a burst on a cold start makes one connection, and
        // not a hundred.
        let _opening = clock::timeout(limit, kept.opening.lock()).await.map_err(late)?;
        // Asked again: while this one waited, another has opened it.
        if let Some(share) = kept.share() {
            return Ok(share);
        }
        let opened = connect_http2(endpoint, limit, retry, idle_ticks(upstream)).await;
        let connection = opened.inspect_err(|error| {
            if !error.is_shortage() {
                endpoint.failed(EndpointFailure::Connection, Timestamp::now());
            }
        })?;
        let share = http2::ConnectionShare::of(&connection);
        kept.shared.borrow_mut().push(connection);
        Ok(share)
    }
}

fn idle_ticks(upstream: &Endpoints) -> u64 {
    (upstream.rules.idle_timeout.as_millis() / TICK.as_millis()) as u64
}

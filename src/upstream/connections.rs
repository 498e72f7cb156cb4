//! Connections to one server, kept by one worker.
//!
//! A connection is polled by whoever uses it, in the task of the request: no task of its own, no wake-up from one to
//! the other. A pooled one is polled by nobody; whether it is still good is asked when it is taken out.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::pin,
    rc::Rc,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::{Mutex, Notify};

use super::{
    BodyError, Endpoint, UpstreamError,
    connect::{Patience, connect, connect_http2},
    endpoint::{Busy, Endpoints, Fault},
    habits::{AnswerEnd, ConnectionHabits},
    http1, http2,
    replay::SentBody,
    slots::{ConnectionSlots, Slot},
    tls::Tls,
};
use crate::{
    clock::{self, TICK, Timestamp},
    config::ServerAddress,
    net::{Belonging, Unread, VisitorConnection},
};

/// One in so many connections that are free goes to those who wait on other workers, where some wait here as well.
const GIVES_WAY: u32 = 4;

/// A connection that the app has logged in is kept unused for so many ticks: as long as a visitor's own.
const OWNED_FOR: u64 = 750;

/// After an answer that ends with its head by rule a connection is not used for so long: the body that a faulty app sends
/// all the same would be read as the answer to the next visitor's request.
const REST: Duration = Duration::from_millis(100);

/// A connection that was used so many ticks ago is open: no server closes one so early.
const FRESH: u64 = 5;

/// A connection is for one server, and by TLS also for what was verified.
struct Pool<B> {
    address: ServerAddress,
    /// Weak: when the plan that it belongs to is gone, nobody can ask for this pool any more.
    tls: Option<Weak<Tls>>,
    kept: Rc<Kept<B>>,
}

/// Boxed: a connection is large, and goes through many hands.
type HeldConnection<B> = Box<http1::Connection<SentBody<B>>>;

/// What is kept for one server.
struct Kept<B> {
    /// HTTP/1.1: those that nobody uses.
    idle: RefCell<VecDeque<HeldConnection<B>>>,
    /// Those of them that are not to be used for a moment, since when: see [`REST`].
    resting: RefCell<VecDeque<(Instant, HeldConnection<B>)>>,
    /// Those that the app has logged in: each belongs to a visitor's connection, and dies with it.
    owned: RefCell<Vec<(Belonging, HeldConnection<B>)>>,
    /// HTTP/2: all that take requests, used or not.
    shared: RefCell<Vec<Rc<http2::Connection>>>,
    /// Held by who opens one of these: the others wait for it.
    opening: Mutex<()>,
    /// What the server was seen to do with them.
    habits: Arc<ConnectionHabits>,
    /// Its name, for the log.
    server: String,
    /// So many unused ones are kept.
    most_idle: Cell<usize>,
    /// Requests of this worker that wait for one, and are told when one is free.
    waiting: Cell<usize>,
    freed: Notify,
    /// Connections that were free while somebody waited.
    turn: Cell<u32>,
}

/// A request that waits.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn of(waiting: &'a Cell<usize>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<B> Kept<B> {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            idle: RefCell::default(),
            resting: RefCell::default(),
            owned: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::default(),
            habits: Arc::clone(&endpoint.habits),
            server: endpoint.name.clone(),
            most_idle: Cell::default(),
            waiting: Cell::default(),
            freed: Notify::new(),
            turn: Cell::default(),
        }
    }

    /// Whether a connection that is free now is closed: so many wait for its place, on all workers. Of the requests of this worker that
    /// wait for it as well one in a few gives way, so that no worker keeps them all.
    fn gives_way(&self, everywhere: usize) -> bool {
        let here = self.waiting.get();
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        everywhere > here && (here == 0 || turn.is_multiple_of(GIVES_WAY))
    }

    /// A part in a connection that takes requests, and has room for one more.
    fn share(&self) -> Option<http2::Share> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| connection.is_open());
        shared.iter().find(|connection| connection.has_room()).map(http2::Share::of)
    }
}

impl<B> Kept<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// What the app has logged in for this visitor's connection.
    fn take_own(&self, visitor: &VisitorConnection) -> Option<(Belonging, HeldConnection<B>)> {
        let mut owned = self.owned.borrow_mut();
        let place = owned.iter().position(|(owner, _)| owner.is_of(visitor))?;
        Some(owned.swap_remove(place))
    }

    /// Those that have rested can be used.
    fn wake(&self) {
        let mut resting = self.resting.borrow_mut();
        while let Some((since, _)) = resting.front()
            && since.elapsed() >= REST
            && let Some((_, connection)) = resting.pop_front()
        {
            self.idle.borrow_mut().push_front(connection);
        }
    }

    /// One that can be used, the most recently used first.
    fn take_idle(&self, wanted: Wanted) -> Option<HeldConnection<B>> {
        let now = clock::tick();
        self.wake();
        loop {
            let connection = self.idle.borrow_mut().pop_back()?;
            if wanted == Wanted::Fresh && now.saturating_sub(connection.since) > FRESH {
                // Those before it are older still.
                self.idle.borrow_mut().push_back(connection);
                return None;
            }
            if self.is_good(&connection, now) {
                return Some(connection);
            }
        }
    }

    /// Waits for room for a new connection, or for one that is free.
    async fn wait(&self, slots: &Arc<ConnectionSlots>, limit: Duration) -> Option<Free<B>> {
        let _waiting = Waiting::of(&self.waiting);
        let free = clock::timeout(Some(limit), async {
            let mut slot = pin!(slots.take());
            loop {
                tokio::select! {
                    biased;
                    slot = &mut slot => return slot.map(Free::Slot),
                    () = self.freed.notified() => {}
                }
                if let Some(connection) = self.take_idle(Wanted::Any) {
                    return Some(Free::Connection(connection));
                }
            }
        });
        free.await.ok().flatten()
    }

    /// Closes the one that was unused for longest, for who needs its place; false if there is none.
    fn close_one(&self) -> bool {
        let idle = self.idle.borrow_mut().pop_front().is_some();
        idle || self.resting.borrow_mut().pop_front().is_some() || {
            let mut owned = self.owned.borrow_mut();
            let oldest = owned.iter().enumerate().min_by_key(|(_, (_, connection))| connection.since);
            let oldest = oldest.map(|(at, _)| at);
            oldest.map(|at| owned.swap_remove(at)).is_some()
        }
    }

    /// Whether it can be used: within its time, and neither closed nor with anything to read.
    fn is_good(&self, connection: &http1::Connection<SentBody<B>>, now: u64) -> bool {
        let unused = now.saturating_sub(connection.since);
        if unused >= connection.idle_ticks.min(self.habits.most_ticks()) {
            return false;
        }
        match connection.unread() {
            Unread::Nothing => return true,
            Unread::Bytes => self.habits.said_more(&self.server, connection.ended, unused),
            Unread::End => self.habits.closed(&self.server, unused),
        }
        false
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

/// What a request waited for.
enum Free<B> {
    /// Room for a new connection.
    Slot(Slot),
    /// One that another request has left.
    Connection(HeldConnection<B>),
}

/// A connection that is in use. Goes back to its pool by [`keep`](Lease::keep); dropped, it is closed.
pub struct Lease<B> {
    pub(super) connection: HeldConnection<B>,
    kept: Rc<Kept<B>>,
    /// The server has one request more for as long.
    pub(super) busy: Option<Busy>,
    owner: Owner,
}

/// Whose a connection to an app is.
#[derive(Debug)]
enum Owner {
    /// Anybody's.
    All,
    /// The app has logged it in for this visitor's connection.
    One(Belonging),
    /// The same, and the visitor's carries many requests at a time: nobody's after this one.
    Nobody,
}

impl<B> Lease<B> {
    /// Puts it back.
    pub(super) fn keep(mut self) {
        let Kept { idle, resting, owned, habits, waiting, .. } = &*self.kept;
        let ended = self.connection.ended;
        if self.connection.idle_ticks == 0 || !habits.allow_reuse(ended) {
            return;
        }
        if self.connection.wanted_by() > 0 && self.kept.gives_way(self.connection.wanted_by()) {
            return;
        }
        self.connection.since = clock::tick();
        self.connection.reused = true;
        let most = self.kept.most_idle.get();
        match (self.owner, ended) {
            (Owner::One(owner), _) if owner.has_owner() => owned.borrow_mut().push((owner, self.connection)),
            (Owner::One(_) | Owner::Nobody, _) => {}
            // Whoever waits gets its place, and no connection that is to rest.
            (Owner::All, AnswerEnd::Head) if waiting.get() > 0 => {}
            (Owner::All, AnswerEnd::Head) => {
                push(&mut resting.borrow_mut(), (clock::instant(), self.connection), most);
            }
            (Owner::All, AnswerEnd::Body) => {
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
        self.owner = match (std::mem::replace(&mut self.owner, Owner::Nobody), visitor) {
            (Owner::One(owner), _) => Owner::One(owner),
            (_, Some(visitor)) if offered => Owner::One(visitor.belonging()),
            _ => Owner::Nobody,
        };
    }

    /// Its server, for the log.
    pub(super) fn server(&self) -> &str {
        &self.kept.server
    }

    /// Bytes came after its last answer.
    pub(super) fn said_more(&self) {
        self.kept.habits.said_more(&self.kept.server, self.connection.ended, 0);
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
        let kept = Rc::new(Kept::of(endpoint));
        let (address, tls) = (endpoint.address.clone(), endpoint.tls.as_ref().map(Arc::downgrade));
        pools.push(Pool { address, tls, kept: Rc::clone(&kept) });
        kept
    }

    /// Closes what has been unused for too long. Called now and then.
    pub fn sweep(&self) {
        let now = clock::tick();
        self.pools.borrow_mut().retain(|pool| !pool.is_forsaken());
        for pool in self.pools.borrow().iter() {
            let kept = &*pool.kept;
            let Kept { idle, shared, .. } = kept;
            kept.wake();
            kept.owned.borrow_mut().retain(|(owner, connection)| {
                let unused = now.saturating_sub(connection.since);
                owner.has_owner() && unused < OWNED_FOR && connection.unread() == Unread::Nothing
            });
            // What is unused here may be what another worker waits for.
            let wanted = idle.borrow().front().map_or(0, |connection| connection.wanted_by());
            for _ in 0..wanted {
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
        wanted: Wanted,
        patience: Patience,
        visitor: Option<&VisitorConnection>,
    ) -> Result<Lease<B>, UpstreamError> {
        let kept = self.kept(endpoint);
        kept.most_idle.set(upstream.rules.idle_connections);
        if let Some(visitor) = visitor.filter(|visitor| wanted != Wanted::New && visitor.has_belongings())
            && let Some((owner, connection)) = kept.take_own(visitor)
            && connection.unread() == Unread::Nothing
        {
            return Ok(Lease { connection, kept, busy: None, owner: Owner::One(owner) });
        }
        if wanted != Wanted::New
            && let Some(connection) = kept.take_idle(wanted)
        {
            return Ok(Lease { connection, kept, busy: None, owner: Owner::All });
        }
        let slots = endpoint.slots();
        // One that is unused makes room: a request that cannot be repeated takes none of those, and some have to rest.
        let free = slots.try_take().or_else(|| if kept.close_one() { slots.try_take() } else { None });
        let slot = match free {
            Some(slot) => slot,
            // Another server is asked first.
            None if patience == Patience::None => {
                return Err(UpstreamError::Full { endpoint: endpoint.name.clone() });
            }
            // Boxed, as below.
            None => match Box::pin(kept.wait(&slots, upstream.rules.queue_timeout)).await {
                Some(Free::Slot(slot)) => slot,
                Some(Free::Connection(connection)) => {
                    return Ok(Lease { connection, kept, busy: None, owner: Owner::All });
                }
                None => return Err(UpstreamError::Full { endpoint: endpoint.name.clone() }),
            },
        };
        let limit = Some(upstream.rules.connect_timeout);
        // Boxed: it is rare, and the task of every request would have to carry room for it.
        let stream = Box::pin(connect(endpoint, limit, patience)).await;
        let stream = stream.inspect_err(|error| {
            if !error.is_shortage() {
                endpoint.failed(Fault::Connection, Timestamp::now());
            }
        })?;
        let connection = Box::new(http1::Connection::new(stream, idle_ticks(upstream)).within(slot));
        Ok(Lease { connection, kept, busy: None, owner: Owner::All })
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
        let connection = opened.inspect_err(|error| {
            if !error.is_shortage() {
                endpoint.failed(Fault::Connection, Timestamp::now());
            }
        })?;
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
    /// One that was used a moment ago, which no server closes just now: the request cannot be sent again.
    Fresh,
    /// None from the pool: one from there has just failed.
    New,
}

fn idle_ticks(upstream: &Endpoints) -> u64 {
    (upstream.rules.idle_timeout.as_millis() / TICK.as_millis()) as u64
}

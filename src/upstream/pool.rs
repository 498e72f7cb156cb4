//! What one worker keeps for one server: connections that nobody uses, those that rest, those that belong to a visitor;
//! and the requests that wait for one.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::{Mutex, Notify};

use super::{
    Endpoint, RequestBodyError,
    habits::{AnswerEnd, ConnectionHabits},
    http1, http2,
    replay::SentBody,
    slots::{ConnectionSlot, ConnectionSlots},
};
use crate::{
    clock::{self, TICK},
    net::{UnreadInput, VisitorConnection, VisitorOwnership},
};

/// One in so many connections that are free goes to those who wait on other workers, where some wait here as well.
const GIVES_WAY: u32 = 4;

/// After an answer that ends with its head by rule a connection is not used for so long: the body that a faulty app
/// sends all the same would be read as the answer to the next visitor's request.
const REST: Duration = Duration::from_secs(1);

/// A connection that was used so many ticks ago is open: no server closes one so early.
const FRESH: u64 = 5;

/// Boxed: a connection is large, and goes through many hands.
pub(super) type HeldConnection<B> = Box<http1::Http1Connection<SentBody<B>>>;

/// What is kept for one server.
pub(super) struct PooledConnections<B> {
    /// HTTP/1.1: those that nobody uses.
    pub(super) idle: RefCell<VecDeque<HeldConnection<B>>>,
    /// Those of them that are not to be used for a moment, since when: see [`REST`].
    pub(super) resting: RefCell<VecDeque<(Instant, HeldConnection<B>)>>,
    /// Those that the app has logged in: each belongs to a visitor's connection, and dies with it.
    pub(super) owned: RefCell<Vec<(VisitorOwnership, HeldConnection<B>)>>,
    /// HTTP/2: all that take requests, used or not.
    pub(super) shared: RefCell<Vec<Rc<http2::Http2Connection>>>,
    /// Held by who opens one of these: the others wait for it.
    pub(super) opening: Mutex<()>,
    /// What the server was seen to do with them.
    pub(super) habits: Arc<ConnectionHabits>,
    /// Its name, for the log.
    pub(super) server: String,
    /// So many unused ones are kept.
    pub(super) most_idle: Cell<usize>,
    /// Requests of this worker that wait for one, and are told when one is free.
    pub(super) waiting: Cell<usize>,
    pub(super) freed: Notify,
    /// Connections that were free while somebody waited.
    pub(super) turn: Cell<u32>,
}

/// A request that waits.
struct ConnectionWaiter<'a>(&'a Cell<usize>);

impl<'a> ConnectionWaiter<'a> {
    fn of(waiting: &'a Cell<usize>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for ConnectionWaiter<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<B> PooledConnections<B> {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
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

    /// Whether a connection that is free now is closed: so many wait for its place, on all workers. Of the requests of
    /// this worker that wait for it as well one in a few gives way, so that no worker keeps them all.
    pub(super) fn gives_way(&self, everywhere: usize) -> bool {
        let here = self.waiting.get();
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        // Closed rather than handed over: a connection belongs to its worker's loop, but its place
        // counts for all.
        everywhere > here && (here == 0 || turn.is_multiple_of(GIVES_WAY))
    }

    /// So many requests wait for the place of one of those that are unused here, on all workers.
    pub(super) fn waiters(&self) -> usize {
        let reuse = |connection: &HeldConnection<B>| connection.waiters();
        let idle = self.idle.borrow().front().map(reuse);
        let resting = || self.resting.borrow().front().map(|(_, connection)| reuse(connection));
        let owned = || self.owned.borrow().first().map(|(_, connection)| reuse(connection));
        idle.or_else(resting).or_else(owned).unwrap_or(0)
    }

    /// Closes the one that was unused for longest, for who needs its place; false if there is none.
    pub(super) fn close_one(&self) -> bool {
        let idle = self.idle.borrow_mut().pop_front().is_some();
        idle || self.resting.borrow_mut().pop_front().is_some() || {
            let mut owned = self.owned.borrow_mut();
            let oldest = owned.iter().enumerate().min_by_key(|(_, (_, connection))| connection.since);
            let oldest = oldest.map(|(at, _)| at);
            oldest.map(|at| owned.swap_remove(at)).is_some()
        }
    }

    /// A part in a connection that takes requests, and has room for one more.
    pub(super) fn share(&self) -> Option<http2::ConnectionShare> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| connection.is_open());
        shared.iter().find(|connection| connection.has_room()).map(http2::ConnectionShare::of)
    }
}

impl<B> PooledConnections<B>
where
    B: Body<Data = Bytes, Error = RequestBodyError> + Unpin,
{
    /// What the app has logged in for this visitor's connection.
    pub(super) fn take_own(
        &self,
        visitor: &VisitorConnection,
    ) -> Option<(VisitorOwnership, HeldConnection<B>)> {
        let mut owned = self.owned.borrow_mut();
        let place = owned.iter().position(|(owner, _)| owner.is_of(visitor))?;
        Some(owned.swap_remove(place))
    }

    /// Those that have rested can be used. Of the others the oldest and the newest are looked at: what a faulty app says on one
    /// of them is told before any of them is used.
    pub(super) fn wake(&self) {
        let mut resting = self.resting.borrow_mut();
        for (since, connection) in resting.front().into_iter().chain(resting.back()) {
            if connection.unread() == UnreadInput::Bytes {
                let ticks = (since.elapsed().as_millis() / TICK.as_millis()) as u64;
                self.habits.note_leftovers(&self.server, connection.ended, ticks);
            }
        }
        if !self.habits.allow_reuse(AnswerEnd::Head) {
            resting.clear();
        }
        while let Some((since, _)) = resting.front()
            && since.elapsed() >= REST
            && let Some((_, connection)) = resting.pop_front()
        {
            self.idle.borrow_mut().push_front(connection);
        }
    }

    /// One that can be used, the most recently used first.
    pub(super) fn take_idle(&self, reuse: ReusePolicy) -> Option<HeldConnection<B>> {
        let now = clock::tick();
        self.wake();
        loop {
            let connection = self.idle.borrow_mut().pop_back()?;
            // A POST must not meet a connection that the app is closing: it cannot be sent twice.
            if reuse == ReusePolicy::Fresh && now.saturating_sub(connection.since) > FRESH {
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
    pub(super) async fn wait(&self, slots: &Arc<ConnectionSlots>, limit: Duration) -> Option<WaitOutcome<B>> {
        let _waiting = ConnectionWaiter::of(&self.waiting);
        let free = clock::timeout(Some(limit), async {
            let mut slot = pin!(slots.take());
            loop {
                tokio::select! {
                    // A place for a new connection first: it was waited for in turn, and must not
                    // be lost to a wake-up.
                    biased;
                    slot = &mut slot => return slot.map(WaitOutcome::Slot),
                    () = self.freed.notified() => {}
                }
                if let Some(connection) = self.take_idle(ReusePolicy::Any) {
                    return Some(WaitOutcome::Connection(connection));
                }
            }
        });
        free.await.ok().flatten()
    }

    /// Whether it can be used: within its time, and neither closed nor with anything to read.
    pub(super) fn is_good(&self, connection: &http1::Http1Connection<SentBody<B>>, now: u64) -> bool {
        let unused = now.saturating_sub(connection.since);
        let is_over = unused >= connection.idle_ticks.min(self.habits.most_ticks());
        if is_over || !self.habits.allow_reuse(connection.ended) {
            return false;
        }
        match connection.unread() {
            UnreadInput::Nothing => return true,
            UnreadInput::Bytes => self.habits.note_leftovers(&self.server, connection.ended, unused),
            UnreadInput::End => self.habits.closed(&self.server, unused),
        }
        false
    }
}

/// What a request waited for.
pub(super) enum WaitOutcome<B> {
    /// Room for a new connection.
    Slot(ConnectionSlot),
    /// One that another request has left.
    Connection(HeldConnection<B>),
}

/// What connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReusePolicy {
    /// Any: the request can be sent again.
    Any,
    /// One that was used a moment ago, which no server closes just now: the request cannot be sent again.
    Fresh,
    /// None from the pool: one from there has just failed.
    New,
}

impl ReusePolicy {
    /// What connection will do for a request to a server that was `tried` already, or that may be sent again.
    pub(super) fn of(tried: bool, repeatable: bool) -> Self {
        match (tried, repeatable) {
            (true, _) => Self::New,
            (false, true) => Self::Any,
            (false, false) => Self::Fresh,
        }
    }
}

//! The requests of one HTTP/2 connection: how many, how far, and how many were taken back.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use crate::clock::{self, TICK};

/// The window of `http2_resets_per_10s`.
const WINDOW: u64 = Duration::from_secs(10).as_millis() as u64 / TICK.as_millis() as u64;

/// What is known of all of them.
#[derive(Debug)]
pub(in super::super) struct StreamCounts {
    /// Requests whose answer is not through.
    pub(super) in_flight: Cell<u32>,
    /// Requests so far.
    pub(super) served: Cell<u64>,
    /// Raised whenever a request began or a piece of a body moved.
    pub(super) progress: Cell<u64>,
    /// Answers of which a piece waits for the visitor.
    pub(super) unread: Cell<u32>,
    /// More requests were taken back than a visitor would.
    pub(super) takes_back: Cell<bool>,
    most_resets: Option<u64>,
    resets: Cell<(u64, u64)>,
    connection: RefCell<Option<Waker>>,
}

impl StreamCounts {
    pub(super) fn new(most_resets: Option<u64>) -> Self {
        Self {
            in_flight: Cell::default(),
            served: Cell::default(),
            progress: Cell::default(),
            unread: Cell::default(),
            takes_back: Cell::default(),
            most_resets,
            resets: Cell::default(),
            connection: RefCell::default(),
        }
    }

    /// Whom to wake when there is something to decide.
    pub(super) fn listens(&self, cx: &Context<'_>) {
        let mut known = self.connection.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *known = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.connection.borrow() {
            waker.wake_by_ref();
        }
    }

    /// A piece of a body moved.
    pub(super) fn moved(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// A request was dropped before its answer.
    fn taken_back(&self) {
        let now = clock::tick();
        let (since, count) = self.resets.get();
        let (since, count) = if now.saturating_sub(since) > WINDOW { (now, 1) } else { (since, count + 1) };
        self.resets.set((since, count));
        if self.most_resets.is_some_and(|most| count > most) {
            self.takes_back.set(true);
            self.wake();
        }
    }
}

/// Holds a request in flight until its answer is through, or its tunnel.
pub(super) struct RequestInFlight {
    streams: Rc<StreamCounts>,
    answered: bool,
}

impl RequestInFlight {
    /// One begins.
    pub(super) fn new(streams: &Rc<StreamCounts>) -> Self {
        streams.in_flight.set(streams.in_flight.get() + 1);
        streams.served.set(streams.served.get() + 1);
        streams.moved();
        Self { streams: Rc::clone(streams), answered: false }
    }

    /// Among which it is.
    pub(super) fn streams(&self) -> &Rc<StreamCounts> {
        &self.streams
    }

    /// Whatever becomes of it, it was not taken back before its answer.
    pub(super) fn is_answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        if !self.answered {
            self.streams.taken_back();
        }
        let left = self.streams.in_flight.get() - 1;
        self.streams.in_flight.set(left);
        if left == 0 {
            self.streams.wake();
        }
    }
}

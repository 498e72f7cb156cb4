//! How many connections one server has: of all workers together, used or not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room for connections to one server (`max_connections`).
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    most: Option<usize>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place among them, for as long as it is held.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    _permit: OwnedSemaphorePermit,
}

/// Somebody waits for one.
struct SlotWaiter<'a>(&'a AtomicUsize);

impl ConnectionSlots {
    /// So many; `None`: as many as the system has.
    pub(super) fn new(most: Option<usize>) -> Arc<Self> {
        let free = most.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Arc::new(Self { most, free: Arc::new(Semaphore::new(free)), waiting: AtomicUsize::new(0) })
    }

    /// How many.
    pub(super) fn most(&self) -> Option<usize> {
        self.most
    }

    /// Whether there is as much room as that.
    pub(super) fn has(&self, most: Option<usize>) -> bool {
        self.most == most
    }

    /// One, if there is one.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(ConnectionSlot { slots: Arc::clone(self), _permit: permit })
    }

    /// One, once there is one; who waited longest is first.
    pub(super) async fn take(self: &Arc<Self>) -> Option<ConnectionSlot> {
        // Counted, so that workers which hold unused connections know that somebody waits for a
        // place.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = SlotWaiter(&self.waiting);
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(ConnectionSlot { slots: Arc::clone(self), _permit: permit })
    }
}

impl Drop for SlotWaiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ConnectionSlot {
    /// How many wait for one: what nobody uses is to be closed.
    pub(super) fn waiters(&self) -> usize {
        self.slots.waiting.load(Ordering::Relaxed)
    }
}

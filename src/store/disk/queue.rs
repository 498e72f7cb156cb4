//! What waits for the writer, in the order in which it was decided.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use tokio::sync::oneshot;

use super::reconcile::DiskRead;
use crate::{
    clock::{self, Timestamp},
    record::{Record, SessionEnd},
    store::StoreError,
};

/// A change of one session.
#[derive(Debug)]
pub(super) struct RecordWrite {
    pub id: u128,
    /// Its place among all writes.
    pub number: u64,
    pub what: WriteEffect,
    /// Who is logged in, or was.
    pub who: Option<u128>,
    /// Told when it is on disk, or that it will not be.
    pub answer: oneshot::Sender<Result<(), StoreError>>,
}

/// What a change leaves.
#[derive(Debug)]
pub(super) enum WriteEffect {
    /// This record.
    Put(Arc<Record>),
    /// A tombstone.
    End(SessionEnd),
}

/// What a cold record's reader is told.
pub(super) type ColdAnswer = Result<DiskRead, StoreError>;

/// Something for the writer to do.
pub(super) enum WriterOrder {
    Write(RecordWrite),
    /// A record that is on disk and not in memory.
    Read(u128, oneshot::Sender<ColdAnswer>),
    /// All writes that were given before.
    Serve(oneshot::Sender<()>),
    /// What is written behind, now.
    Flush(oneshot::Sender<()>),
    /// A bite of the sweep, as of then.
    Sweep(Timestamp, oneshot::Sender<()>),
}

/// Orders, and whether there will be more.
#[derive(Default)]
pub(super) struct WriteQueue {
    orders: Mutex<(Vec<WriterOrder>, bool)>,
    bell: Condvar,
    numbers: AtomicU64,
}

impl std::fmt::Debug for WriteQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl WriteQueue {
    /// The next write's place. Taken under the lock of its id, and before the order is given.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds an order. After the end it is dropped, and whoever waits for it learns that.
    pub(super) fn push(&self, order: WriterOrder) {
        let mut orders = self.orders.lock();
        let (waiting, closed) = &mut *orders;
        if !*closed {
            waiting.push(order);
            // The writer sleeps only on an empty queue: one wake-up for a batch, not one for each
            // order.
            if waiting.len() == 1 {
                self.bell.notify_one();
            }
        }
    }

    /// All that has gathered, and whether that was the last; waits for `patience` at most.
    pub(super) fn take(&self, timeout: Duration) -> (Vec<WriterOrder>, bool) {
        let mut orders = self.orders.lock();
        self.bell.wait_while_for(&mut orders, |(orders, closed)| orders.is_empty() && !*closed, timeout);
        (std::mem::take(&mut orders.0), orders.1)
    }

    /// Takes out the writes that `derived` is true for; the others keep their order.
    pub(super) fn take_out(&self, derived: impl Fn(&RecordWrite) -> bool) -> Vec<RecordWrite> {
        let mut orders = self.orders.lock();
        let taken =
            orders.0.extract_if(.., |order| matches!(order, WriterOrder::Write(write) if derived(write)));
        taken
            .filter_map(|order| if let WriterOrder::Write(write) = order { Some(write) } else { None })
            .collect()
    }

    /// No more orders: what was given is done, then the writer ends.
    pub(super) fn close(&self) {
        self.orders.lock().1 = true;
        self.bell.notify_one();
    }
}

/// What becomes of a write.
#[derive(Debug)]
pub(super) struct WriteReceipt(pub(super) oneshot::Receiver<Result<(), StoreError>>);

impl WriteReceipt {
    /// Until it is on disk, for `patience` at most. What is given up before the writer came to it is not done; a commit that
    /// has begun is not taken back: others may rest on it already.
    pub(super) async fn wait(self, timeout: Option<Duration>) -> Result<(), StoreError> {
        match clock::timeout(timeout, self.0).await {
            Ok(Ok(outcome)) => outcome,
            // The writer is gone.
            Ok(Err(_)) => Err(StoreError::Unavailable),
            // It may be at it just now.
            Err(_) => Err(StoreError::Late),
        }
    }
}

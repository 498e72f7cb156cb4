//! What is decided and not yet on disk, and what has changed there. Under locks that are held for a look.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::record::Record;

pub(super) const SHARDS: usize = 64;

/// Ids of version 4 are random in all their low bits.
pub(super) fn place(id: u128) -> usize {
    id as usize % SHARDS
}

fn lock<T>(shards: &[Mutex<T>], id: u128) -> Option<MutexGuard<'_, T>> {
    shards.get(place(id)).map(|shard| shard.lock())
}

/// How often what is on disk was changed, by id: who reads there tells by it whether what was read is out of date. Ids
/// share places, so it may count a change of another.
#[derive(Debug)]
pub(super) struct ChangeMarks(Vec<AtomicU32>);

impl ChangeMarks {
    const PLACES: usize = 4096;

    pub(super) fn new() -> Self {
        Self((0..Self::PLACES).map(|_| AtomicU32::new(0)).collect())
    }

    fn place(&self, id: u128) -> Option<&AtomicU32> {
        self.0.get(id as usize % Self::PLACES)
    }

    /// A change of it is on disk; said before it is no longer pending.
    pub(super) fn raise(&self, id: u128) {
        if let Some(mark) = self.place(id) {
            mark.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn of(&self, id: u128) -> u32 {
        self.place(id).map_or(0, |mark| mark.load(Ordering::Acquire))
    }
}

/// What a session will be once the queue is worked off; `None`: it ended.
pub(super) type PendingState = Option<Arc<Record>>;

/// What is decided of one session.
#[derive(Debug)]
struct PendingDecision {
    /// The last write of it.
    number: u64,
    next: PendingState,
    /// Who rests on which write.
    waiting: WaitingState,
    /// It failed: it no longer counts, and is here until what was before is back.
    void: bool,
}

type WaitingState = Vec<(u64, oneshot::Sender<()>)>;

/// Decisions that are not on disk yet. Memory may let a record go at any time; until it is on disk it is found here.
#[derive(Debug)]
pub(super) struct PendingWrites {
    shards: Vec<Mutex<HashMap<u128, PendingDecision>>>,
    count: AtomicUsize,
}

impl PendingWrites {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0) }
    }

    /// Decided, as write `number`.
    pub(super) fn add(&self, id: u128, number: u64, next: PendingState) {
        let Some(mut shard) = lock(&self.shards, id) else { return };
        if let Some(decided) = shard.get_mut(&id) {
            // Those who wait stay in the list: each waits for the write that it saw, by its number.
            (decided.number, decided.next, decided.void) = (number, next, false);
        } else {
            shard.insert(id, PendingDecision { number, next, waiting: Vec::new(), void: false });
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// Write `number` is on disk: unless there is a later one, so is all.
    pub(super) fn settle(&self, id: u128, number: u64) {
        let Some(mut shard) = lock(&self.shards, id) else { return };
        let Some(decided) = shard.get_mut(&id) else { return };
        for (_, waits) in decided.waiting.extract_if(.., |(rests_on, _)| *rests_on <= number) {
            let _ = waits.send(());
        }
        if decided.number == number {
            // Only if no later write was queued: that one still needs the entry.
            shard.remove(&id);
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// Nothing of it will ever be on disk. Whoever rests on it learns that when what is returned is dropped: once what was
    /// before is back.
    pub(super) fn void(&self, id: u128) -> Option<FailedDecision<'_>> {
        let mut shard = lock(&self.shards, id)?;
        let decided = shard.get_mut(&id)?;
        (decided.next, decided.void) = (None, true);
        Some(FailedDecision { pending: self, id, _waiting: std::mem::take(&mut decided.waiting) })
    }

    pub(super) fn get(&self, id: u128) -> Option<PendingState> {
        // One atomic load for nearly every request, instead of a lock: an idle store has nothing
        // pending.
        if self.is_empty() {
            return None;
        }
        let shard = lock(&self.shards, id)?;
        shard.get(&id).filter(|decided| !decided.void).map(|decided| decided.next.clone())
    }

    /// Nothing of it is on its way, and nothing that failed is being taken back.
    pub(super) fn is_settled(&self, id: u128) -> bool {
        self.is_empty() || lock(&self.shards, id).is_none_or(|shard| !shard.contains_key(&id))
    }

    /// Told when what is decided of it now is on disk; closed if it never will be. `None`: all is on disk.
    pub(super) fn rest_on(&self, id: u128) -> Option<oneshot::Receiver<()>> {
        if self.is_empty() {
            return None;
        }
        let (waits, told) = oneshot::channel();
        let mut shard = lock(&self.shards, id)?;
        let decided = shard.get_mut(&id)?;
        decided.waiting.push((decided.number, waits));
        Some(told)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }
}

/// A decision that failed, while what was before is put back.
#[derive(Debug)]
pub(super) struct FailedDecision<'a> {
    pending: &'a PendingWrites,
    id: u128,
    _waiting: WaitingState,
}

impl Drop for FailedDecision<'_> {
    fn drop(&mut self) {
        if let Some(mut shard) = lock(&self.pending.shards, self.id)
            // Something may have been decided since.
            && shard.get(&self.id).is_some_and(|decided| decided.void)
        {
            shard.remove(&self.id);
            self.pending.count.fetch_sub(1, Ordering::Release);
        }
    }
}

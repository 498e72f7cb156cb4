//! What the memory knows beside the records: which ids are on disk at all, and what is decided and not yet there. Under
//! locks that are held for a look.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::session::record::Record;

const SHARDS: usize = 64;

/// Ids of version 4 are random in all their low bits.
fn place(id: u128) -> usize {
    id as usize % SHARDS
}

fn lock<T>(shards: &[Mutex<T>], id: u128) -> Option<MutexGuard<'_, T>> {
    shards.get(place(id)).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The ids that are on disk, or on their way there: all others need no look.
#[derive(Debug)]
pub(super) struct Known(Vec<Mutex<HashSet<u128>>>);

impl Known {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    pub(super) fn add(&self, id: u128) {
        if let Some(mut shard) = lock(&self.0, id) {
            shard.insert(id);
        }
    }

    /// Many at once.
    pub(super) fn fill(&self, ids: impl ExactSizeIterator<Item = u128>) {
        let each = ids.len() / SHARDS;
        for shard in &self.0 {
            shard.lock().unwrap_or_else(PoisonError::into_inner).reserve(each + each / 8);
        }
        ids.for_each(|id| self.add(id));
    }

    pub(super) fn remove(&self, id: u128) {
        if let Some(mut shard) = lock(&self.0, id) {
            shard.remove(&id);
        }
    }

    pub(super) fn has(&self, id: u128) -> bool {
        lock(&self.0, id).is_some_and(|shard| shard.contains(&id))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len() as u64).sum()
    }
}

/// What a session will be once the queue is worked off; `None`: it ended.
pub(super) type Next = Option<Arc<Record>>;

/// What is decided of one session.
#[derive(Debug)]
struct Decided {
    /// The last write of it.
    number: u64,
    next: Next,
    /// Who rests on which write.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

/// Decisions that are not on disk yet. Memory may let a record go at any time; until it is on disk it is found here.
#[derive(Debug)]
pub(super) struct Pending {
    shards: Vec<Mutex<HashMap<u128, Decided>>>,
    count: AtomicUsize,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0) }
    }

    /// Decided, as write `number`.
    pub(super) fn add(&self, id: u128, number: u64, next: Next) {
        let Some(mut shard) = lock(&self.shards, id) else { return };
        if let Some(decided) = shard.get_mut(&id) {
            (decided.number, decided.next) = (number, next);
        } else {
            shard.insert(id, Decided { number, next, waiting: Vec::new() });
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
            shard.remove(&id);
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// Nothing of it will ever be on disk; whoever rests on it learns that.
    pub(super) fn drop(&self, id: u128) {
        if let Some(mut shard) = lock(&self.shards, id)
            && shard.remove(&id).is_some()
        {
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    pub(super) fn get(&self, id: u128) -> Option<Next> {
        if self.is_empty() {
            return None;
        }
        lock(&self.shards, id)?.get(&id).map(|decided| decided.next.clone())
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

//! The ids that are on disk, or on their way there: all others need no look. With them lie, as long as there is room, records
//! that nobody has at hand: packed, in a third of the memory that one in use takes, and found without reading the disk.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};

use super::pending::{SHARDS, place};

/// A packed record.
pub(super) type PackedRecord = Box<[u8]>;

/// Bytes of memory beside a packed: its place, and what the allocator keeps.
const BESIDE: u64 = 64;

/// As bytes, so that no room is lost between an id and what lies under it.
type IndexShard = HashMap<[u8; 16], Option<PackedRecord>>;

/// Parcels by id.
#[derive(Debug)]
pub(super) struct PackedIndex {
    shards: Vec<Mutex<IndexShard>>,
    bytes: AtomicU64,
    most: u64,
}

impl PackedIndex {
    /// `most` bytes of memory for parcels.
    pub(super) fn new(most: u64) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), bytes: AtomicU64::new(0), most }
    }

    fn lock(&self, id: u128) -> Option<MutexGuard<'_, IndexShard>> {
        self.shards.get(place(id)).map(|shard| shard.lock())
    }

    fn gone(&self, packed: &[u8]) {
        self.bytes.fetch_sub(packed.len() as u64 + BESIDE, Ordering::Relaxed);
    }

    /// It is known from now on, and what lay here of it is out of date.
    pub(super) fn add(&self, id: u128) {
        if let Some(mut shard) = self.lock(id)
            && let Some(Some(packed)) = shard.insert(id.to_ne_bytes(), None)
        {
            self.gone(&packed);
        }
    }

    /// Many at once.
    pub(super) fn fill(&self, ids: impl ExactSizeIterator<Item = u128>) {
        let each = ids.len() / SHARDS;
        for shard in &self.shards {
            // Reserved once: growing a map of a million entries step by step would stop a start for
            // seconds, and leave garbage.
            shard.lock().reserve(each + each / 32);
        }
        ids.for_each(|id| self.add(id));
    }

    /// It is known no more.
    pub(super) fn remove(&self, id: u128) {
        if let Some(mut shard) = self.lock(id)
            && let Some(Some(packed)) = shard.remove(&id.to_ne_bytes())
        {
            self.gone(&packed);
        }
    }

    /// Tells each id, a shard at a time.
    pub(super) fn each(&self, mut tell: impl FnMut(u128)) {
        for shard in &self.shards {
            let shard = shard.lock();
            shard.keys().for_each(|id| tell(u128::from_ne_bytes(*id)));
        }
    }

    pub(super) fn has(&self, id: u128) -> bool {
        self.lock(id).is_some_and(|shard| shard.contains_key(&id.to_ne_bytes()))
    }

    /// Puts a packed here, if its id is known.
    pub(super) fn put(&self, id: u128, packed: PackedRecord) {
        if let Some(mut shard) = self.lock(id)
            && let Some(place) = shard.get_mut(&id.to_ne_bytes())
        {
            self.bytes.fetch_add(packed.len() as u64 + BESIDE, Ordering::Relaxed);
            if let Some(before) = place.replace(packed) {
                self.gone(&before);
            }
        }
    }

    pub(super) fn holds(&self, id: u128) -> bool {
        self.lock(id).is_some_and(|shard| matches!(shard.get(&id.to_ne_bytes()), Some(Some(_))))
    }

    /// Takes the packed; the id is still known.
    pub(super) fn take(&self, id: u128) -> Option<PackedRecord> {
        let packed = self.lock(id)?.get_mut(&id.to_ne_bytes())?.take()?;
        self.gone(&packed);
        Some(packed)
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < self.most
    }

    pub(super) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_here_is_weighed_and_only_under_known_ids() {
        let index = PackedIndex::new(100);
        index.put(1, Box::new([1; 50]));
        assert!(!index.has(1) && !index.holds(1) && index.has_room());
        for id in 1..=3 {
            index.add(id);
            index.put(id, Box::new([1; 50]));
        }
        assert!(!index.has_room());
        index.put(2, Box::new([2; 40]));
        assert_eq!(index.take(2).as_deref(), Some(&[2; 40][..]));
        index.add(1);
        index.remove(3);
        assert_eq!((index.take(1), index.has(1), index.has(3), index.len()), (None, true, false, 2));
        assert_eq!(index.bytes.load(Ordering::Relaxed), 0);
    }
}

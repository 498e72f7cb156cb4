//! Between the disk and the live view: what was read from disk, and records that are packed. Under the lock of an id only
//! one of them counts.

use std::sync::Arc;

use moka::ops::compute::Op;

use super::{live_view::LiveView, packed_index::PackedRecord, packed_record};
use crate::record::Record;

/// What was on disk when the mark of its id was this.
#[derive(Debug)]
pub(super) struct DiskRead {
    pub mark: u32,
    pub record: Option<Arc<Record>>,
}

/// What was read from disk is out of date.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutdatedRead;

/// What counts, of what was read from disk and what is in memory.
pub(super) type WarmedRecord = Result<Option<Arc<Record>>, OutdatedRead>;

impl LiveView {
    /// Somebody asks for a record that is packed: takes it into use. `None`: it must be read from disk.
    pub(super) fn unpack(&self, id: u128) -> Option<DiskRead> {
        if !self.known.holds(id) {
            return None;
        }
        let mark = self.marks.of(id);
        let mut record = None;
        self.live.entry(id).and_compute_with(|entry| {
            // Another was quicker, or something newer is decided.
            record = match entry {
                Some(entry) => Some(entry.into_value()),
                None => self.pending.get(id).flatten(),
            };
            if record.is_some() {
                return Op::Nop;
            }
            // Taken out of the index and put into use under one lock: there is never a moment with
            // two copies.
            let packed = self.known.take(id);
            record = packed.and_then(|packed| packed_record::unpack(id, &packed)).map(Arc::new);
            record.clone().map_or(Op::Nop, Op::Put)
        });
        record.map(|record| DiskRead { mark, record: Some(record) })
    }

    /// Packs a record away that is on disk like this, and that nobody has at hand.
    pub(super) fn keep_packed(&self, id: u128, packed: PackedRecord) {
        let mut packed = Some(packed);
        self.live.entry(id).and_compute_with(|entry| {
            if entry.is_none()
                && self.pending.get(id).is_none()
                && let Some(packed) = packed.take()
            {
                self.known.put(id, packed);
            }
            Op::Nop
        });
    }

    /// Some that there was no room for in memory.
    pub(super) fn take_left(&self, most: usize) -> Vec<u128> {
        let mut left = self.left.lock();
        let rest = left.len().saturating_sub(most);
        left.split_off(rest)
    }

    /// What was read from disk; what is decided already beats it. Returns what counts.
    ///
    /// # Errors
    /// It may have been overwritten since: it must be read again.
    pub(super) fn warm(&self, id: u128, read: &DiskRead) -> WarmedRecord {
        let mut result = Ok(None);
        self.live.entry(id).and_compute_with(|entry| {
            if let Some(entry) = entry {
                result = Ok(Some(entry.into_value()));
                return Op::Nop;
            }
            result = self.counts(id, read);
            match &result {
                Ok(Some(record)) => {
                    self.known.take(id);
                    Op::Put(Arc::clone(record))
                }
                _ => Op::Nop,
            }
        });
        result
    }

    /// Under the lock of an id that is not in memory.
    pub(super) fn counts(&self, id: u128, read: &DiskRead) -> WarmedRecord {
        match self.pending.get(id) {
            Some(next) => Ok(next),
            None if !self.known.has(id) => Ok(None),
            // What is no longer pending has raised its mark before.
            None if self.marks.of(id) != read.mark => Err(OutdatedRead),
            None => Ok(read.record.clone()),
        }
    }

    /// It can be served without the disk.
    #[cfg(test)]
    pub(super) fn is_at_hand(&self, id: u128) -> bool {
        self.live.contains_key(&id) || self.known.holds(id)
    }

    /// As if there were no room for it.
    #[cfg(test)]
    pub(super) fn let_go(&self, id: u128) {
        self.live.invalidate(&id);
    }
}

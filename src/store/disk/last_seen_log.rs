//! What requests left on records without changing them, on its way to disk: written behind, and until that is done left
//! on whatever is read from there.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use crate::record::{Record, RecordActivity};

type ActivityBatch = HashMap<u128, RecordActivity>;

#[derive(Debug, Default)]
struct ActivityBatches {
    waiting: ActivityBatch,
    /// What the writer is at.
    flushing: Arc<ActivityBatch>,
}

/// Traces by id.
#[derive(Debug, Default)]
pub(super) struct LastSeenLog(Mutex<ActivityBatches>);

impl LastSeenLog {
    fn lock(&self) -> MutexGuard<'_, ActivityBatches> {
        self.0.lock()
    }

    /// A request came under this record.
    pub(super) fn add(&self, id: u128, record: &Record) {
        let traces = record.traces();
        self.lock().waiting.entry(id).and_modify(|before| before.merge(&traces)).or_insert(traces);
    }

    /// A record that was read from disk lacks what is not there yet.
    pub(super) fn leave_on(&self, id: u128, record: &Record) {
        let batches = self.lock();
        // Oldest first, so that the later of the two has the last word.
        for traces in [batches.flushing.get(&id), batches.waiting.get(&id)].into_iter().flatten() {
            record.leave(traces);
        }
    }

    /// What is to be written now: until [`done`](Self::done) or [`put_back`](Self::put_back).
    pub(super) fn take(&self) -> Arc<ActivityBatch> {
        let mut batches = self.lock();
        batches.flushing = Arc::new(std::mem::take(&mut batches.waiting));
        Arc::clone(&batches.flushing)
    }

    /// It is on disk.
    pub(super) fn done(&self) {
        self.lock().flushing = Arc::default();
    }

    /// It could not be written: another time.
    pub(super) fn put_back(&self) {
        let batches = &mut *self.lock();
        for (id, before) in batches.flushing.iter() {
            batches.waiting.entry(*id).and_modify(|later| later.merge(before)).or_insert(*before);
        }
        batches.flushing = Arc::default();
    }
}

//! What stays of sessions that ended: their ids for an idle time, within a budget. Past it one time stands for all that
//! were pushed out, and no ticket without a record that was stamped before is taken.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::{notification::RemovalCause, policy::EvictionPolicy, sync::Cache};

use super::FoundRecord;
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    record::{EndReason, SessionEnd},
};

const BYTES: u64 = 160;

/// Ids of sessions that ended, when, and by what.
#[derive(Debug, Clone)]
pub(super) struct TombstoneSet {
    ended: Cache<u128, SessionEnd>,
    /// Seconds.
    floor: Arc<AtomicU64>,
}

impl TombstoneSet {
    /// Within so many bytes; with a floor from before.
    pub(super) fn new(bytes: u64, rules: &SessionConfig, floor: Timestamp) -> Self {
        let floor = Arc::new(AtomicU64::new(u64::from(floor.seconds())));
        let raised = Arc::clone(&floor);
        let ended = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(bytes / BYTES)
            .time_to_live(rules.plain.idle_timeout)
            .eviction_listener(move |_, stone: SessionEnd, cause| {
                // SECURITY: a tombstone that is pushed out must not let its ticket live again, so
                // all tickets of its age are refused.
                if cause == RemovalCause::Size {
                    raised.fetch_max(u64::from(stone.at.seconds()) + 1, Ordering::Relaxed);
                }
            })
            .build();
        Self { ended, floor }
    }

    /// It ended so.
    pub(super) fn add(&self, id: u128, end: SessionEnd) {
        self.ended.insert(id, end);
    }

    /// There was no room for it any more; it was last seen then.
    pub(super) fn push_out(&self, id: u128, last_seen: Timestamp) {
        self.ended.insert(id, SessionEnd { at: last_seen, by: EndReason::NoRoom });
    }

    /// What a session ended by, where it is ended once more: what ended it first, if that is known here or by its record.
    pub(super) fn first(&self, id: u128, by_itself: Option<SessionEnd>, again: SessionEnd) -> SessionEnd {
        by_itself.or_else(|| self.ended.get(&id)).unwrap_or(again)
    }

    /// It did not end after all.
    pub(super) fn remove(&self, id: u128) {
        self.ended.invalidate(&id);
    }

    /// What an id without a record is.
    pub(super) fn find(&self, id: u128) -> FoundRecord {
        match self.ended.get(&id) {
            None => FoundRecord::Nothing,
            // Nobody ended it.
            Some(end) if end.by == EndReason::NoRoom => FoundRecord::Over(end),
            Some(end) => FoundRecord::Ended(end),
        }
    }

    /// No ticket without a record that was stamped before is taken.
    pub(super) fn floor(&self) -> Timestamp {
        Timestamp(self.floor.load(Ordering::Relaxed) * 1000)
    }

    /// Work that moka leaves to others.
    pub(super) fn sweep(&self) {
        self.ended.run_pending_tasks();
    }
}

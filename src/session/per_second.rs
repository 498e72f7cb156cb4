//! How often something happens: counts by the second, and lines of the log that are written now and then.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Timestamp;

const COUNT_BITS: u32 = 24;

/// A second, and how many there were in it.
#[derive(Debug, Default)]
pub(super) struct PerSecond(AtomicU64);

impl PerSecond {
    /// With one more.
    pub(super) fn count(&self, now: Timestamp) -> u64 {
        let second = u64::from(now.seconds()) << COUNT_BITS;
        // Second and count in one word, so that a new second resets the count without a lock.
        let next = |old: u64| if old >> COUNT_BITS << COUNT_BITS == second { old + 1 } else { second + 1 };
        let old = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(next(old)));
        next(old.unwrap_or_else(|old| old)) & ((1 << COUNT_BITS) - 1)
    }
}

/// Whether a line that is written so often is due; then it was written now.
pub(super) fn is_due(logged: &AtomicU64, every: Duration, now: Timestamp) -> bool {
    let last = logged.load(Ordering::Relaxed);
    now.since(Timestamp(last)) >= every
        // Of all workers that see it at once, the one that moves the time writes the line.
        && logged.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

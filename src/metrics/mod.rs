//! Counters: plain numbers that any room may raise and that the operator's view sums up.

mod requests;

pub use requests::{Histogram, RequestMetrics, RouteMetrics, method};

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more; how many that makes.
    pub fn raise(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

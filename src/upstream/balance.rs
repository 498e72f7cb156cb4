//! Round robin by weight: which server is next. Pure but for the counter.

use std::sync::atomic::Ordering;

use super::endpoint::Endpoints;
use crate::clock::Timestamp;

/// The servers that one request has tried.
#[derive(Debug, Default)]
pub(super) struct Tried(Vec<usize>);

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        if !self.contains(index) {
            self.0.push(index);
        }
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Endpoints {
    /// The index of the next server that is up and was not tried; if there is none, of one that was not tried; if
    /// there is none, of the next one all the same.
    pub(super) fn next(&self, now: Timestamp, tried: &Tried) -> usize {
        if self.all.len() < 2 {
            return 0;
        }
        let mut fallback = None;
        let mut last = 0;
        for _ in 0..self.weights.max(1) {
            last = self.at(self.turn.fetch_add(1, Ordering::Relaxed));
            if tried.contains(last) {
                continue;
            }
            if self.all.get(last).is_some_and(|e| e.is_up(now)) {
                return last;
            }
            fallback.get_or_insert(last);
        }
        fallback.unwrap_or(last)
    }

    fn at(&self, turn: u64) -> usize {
        let mut place = turn % self.weights.max(1);
        for (index, endpoint) in self.all.iter().enumerate() {
            let weight = u64::from(endpoint.weight);
            if place < weight {
                return index;
            }
            place -= weight;
        }
        0
    }
}

//! Round robin by weight: which server is next. Pure but for the counter.

use std::sync::atomic::Ordering;

use super::endpoint::Endpoints;
use crate::clock::Timestamp;

impl Endpoints {
    /// The index of the next server that is up; if none is, of the next one all the same. `not` is left out if there
    /// is another.
    pub fn next(&self, now: Timestamp, not: Option<usize>) -> usize {
        if self.all.len() < 2 {
            return 0;
        }
        let mut last = 0;
        for _ in 0..self.weights.max(1) {
            let index = self.at(self.turn.fetch_add(1, Ordering::Relaxed));
            if Some(index) == not {
                continue;
            }
            last = index;
            if self.all.get(index).is_some_and(|e| e.is_up(now)) {
                return index;
            }
        }
        last
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

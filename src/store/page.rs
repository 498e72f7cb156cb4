//! A page of ids: the lowest above a place, of however many there are. What is looked through is looked through once, and
//! no more is held than the page.

use std::collections::BinaryHeap;

/// A page in the making.
#[derive(Debug)]
pub(super) struct RecordPage {
    after: Option<u128>,
    most: usize,
    /// The highest on top: it goes when a lower one comes.
    lowest: BinaryHeap<u128>,
}

impl RecordPage {
    /// At most so many, above this one.
    pub(super) fn new(after: Option<u128>, most: usize) -> Self {
        Self { after, most, lowest: BinaryHeap::with_capacity(most + 1) }
    }

    /// There is this one.
    pub(super) fn see(&mut self, id: u128) {
        // A heap of one page's size: the lowest are kept however many there are, without sorting or
        // copying them all.
        let is_above = self.after.is_none_or(|after| id > after);
        if !is_above
            || (self.lowest.len() == self.most && self.lowest.peek().is_none_or(|highest| id >= *highest))
        {
            return;
        }
        self.lowest.push(id);
        if self.lowest.len() > self.most {
            self.lowest.pop();
        }
    }

    /// In their order, each once.
    pub(super) fn ids(self) -> Vec<u128> {
        let mut ids = self.lowest.into_sorted_vec();
        ids.dedup();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_by_page_every_id_comes_once_and_in_order() {
        let all: Vec<u128> =
            (0..100).map(|n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let mut page = RecordPage::new(after, 7);
            for id in &all {
                page.see(*id);
            }
            let ids = page.ids();
            after = ids.last().copied();
            if ids.is_empty() {
                break;
            }
            seen.extend(ids);
        }
        let mut wanted = all;
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
        assert_eq!(RecordPage::new(None, 0).ids(), []);
    }
}

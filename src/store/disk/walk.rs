//! Through every row, past what cannot be read: pages that are damaged, and keys that are no ids any more, behind which a
//! search by id goes astray.

use std::collections::HashSet;

use super::{file::DatabaseFile, rows::StoredRow};

/// Rows that are read at once beyond a page that cannot be read.
const LOT: usize = 1000;

/// What there was to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WalkedRows {
    /// Rows that were visited.
    pub rows: u64,
    /// Rows whose key is no id.
    pub nameless: u64,
    /// Why not all could be read.
    pub trouble: Option<String>,
}

impl WalkedRows {
    /// Rows that are not there any more, of so many.
    pub(super) fn missing(&self, expected: u64) -> u64 {
        // Where none is known to be missing, a page that could not be read held some.
        expected.saturating_sub(self.rows).max(self.nameless).max(u64::from(self.trouble.is_some()))
    }
}

impl DatabaseFile {
    /// Every row that can be read, once; in the order of ids as far as nothing is damaged.
    pub(super) fn walk<E>(&self, mut visit: impl FnMut(StoredRow) -> Result<(), E>) -> Result<WalkedRows, E> {
        let mut walked = WalkedRows::default();
        let (mut visited, mut last) = (HashSet::new(), None);
        let mut once = |stored: StoredRow| {
            // Walked forward and backward, most rows are met twice.
            if stored.id == 0 || !visited.insert(stored.id) {
                return Ok(stored.id == 0);
            }
            walked.rows += 1;
            visit(stored).map(|()| false)
        };
        let mut nameless = 0;
        let read = self.each(|stored| {
            last = Some(stored.id).filter(|id| *id > 0).or(last);
            nameless += u64::from(once(stored)?);
            Ok(())
        })?;
        if read.is_err() {
            // From both ends towards the damage: what lies behind a page that cannot be read is
            // reached from the other side.
            for (after, backwards) in [(last, false), (None, true)] {
                let mut steps = IdSteps { file: self, after, backwards, ended: false };
                while let Some(rows) = steps.next() {
                    for stored in rows {
                        once(stored)?;
                    }
                }
            }
        }
        walked.nameless = nameless;
        walked.trouble = read.err().map(|error| error.to_string());
        Ok(walked)
    }
}

/// Walks through the ids, up or down; where a page cannot be read it steps over it, further each time.
struct IdSteps<'a> {
    file: &'a DatabaseFile,
    after: Option<u128>,
    backwards: bool,
    ended: bool,
}

impl IdSteps<'_> {
    fn next(&mut self) -> Option<Vec<StoredRow>> {
        if self.ended {
            return None;
        }
        for lot in [LOT, 1] {
            if let Ok(rows) = self.read(lot) {
                return self.step(rows);
            }
        }
        // Ids are spread evenly: with 2^24 rows a page holds some 2^107 of them.
        for bits in 100..128 {
            let from = self.after.unwrap_or(if self.backwards { u128::MAX } else { 0 });
            let step = 1_u128 << bits;
            self.after = Some(if self.backwards { from.checked_sub(step)? } else { from.checked_add(step)? });
            if let Ok(rows) = self.read(1) {
                return self.step(rows);
            }
        }
        None
    }

    fn read(&self, lot: usize) -> rusqlite::Result<Vec<StoredRow>> {
        if self.backwards { self.file.before(self.after, lot) } else { self.file.after(self.after, lot) }
    }

    /// Onward it goes, or ends: an id out of its place must not lead in a circle.
    fn step(&mut self, rows: Vec<StoredRow>) -> Option<Vec<StoredRow>> {
        let beyond = |id: &u128| {
            self.after.is_none_or(|after| if self.backwards { *id < after } else { *id > after }) && *id > 0
        };
        let next = rows.iter().rev().map(|stored| stored.id).find(beyond);
        self.ended = next.is_none();
        self.after = next.or(self.after);
        (!rows.is_empty()).then_some(rows)
    }
}

//! How many sessions the database holds, and the sum of their ids: kept there too, so that a start finds whether one is
//! missing, or is not the one that was written.

use super::{file::DatabaseFile, row::RowColumns};

const ROWS: &str = "rows";
const SUM: &str = "ids";

/// The sum is taken modulo 2^128.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowChecksum {
    pub rows: u64,
    sum: u128,
}

impl RowChecksum {
    /// What is there.
    pub(super) fn of(ids: &[(u128, RowColumns)]) -> Self {
        let mut checksum = Self::default();
        for (id, _) in ids {
            checksum.add(*id);
        }
        checksum
    }

    pub(super) fn add(&mut self, id: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(id);
    }

    pub(super) fn remove(&mut self, id: u128) {
        self.rows = self.rows.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(id);
    }

    /// How many there should be.
    pub(super) fn rows_said(file: &DatabaseFile) -> rusqlite::Result<u64> {
        file.meta_number(ROWS)
    }

    /// True if an id is not what was written; `None`: a store of an earlier version has no sum.
    pub(super) fn differs(self, file: &DatabaseFile) -> rusqlite::Result<Option<bool>> {
        let said = file.meta(SUM)?.and_then(|sum| sum.as_slice().try_into().ok());
        Ok(said.map(|sum| u128::from_be_bytes(sum) != self.sum))
    }

    /// Keeps it there.
    pub(super) fn keep(self, file: &DatabaseFile) -> rusqlite::Result<()> {
        file.set_meta(ROWS, &self.rows.to_be_bytes())?;
        file.set_meta(SUM, &self.sum.to_be_bytes())
    }
}

//! Under which keys rows may be sealed. All of them are sealed anew after a start under another key; until that is done it
//! is known which keys are still needed, so that a row whose key was dropped too early is told from a damaged one, and
//! kept.

use super::file::DatabaseFile;
use crate::crypto::Sealer;

const NAME: &str = "keys";

/// Keys by their number in a row.
#[derive(Debug)]
pub(super) struct RowKeys {
    /// What the database says; `None`: it is of an earlier version.
    needed: Option<Vec<u8>>,
    /// Those of `[keys]`, the current one first.
    held: Vec<u8>,
}

impl RowKeys {
    /// As the database says.
    pub(super) fn read(file: &DatabaseFile, sealer: &Sealer) -> rusqlite::Result<Self> {
        Ok(Self { needed: file.meta(NAME)?, held: sealer.numbers().collect() })
    }

    /// The same for whoever writes rows: before any is sealed under the current key, that is said.
    pub(super) fn open(file: &DatabaseFile, sealer: &Sealer) -> rusqlite::Result<Self> {
        let mut keys = Self::read(file, sealer)?;
        if let (Some(needed), Some(current)) = (&mut keys.needed, keys.held.first())
            && !needed.contains(current)
        {
            // Said before the first row is sealed under it: after a crash in between, no row has a
            // key that nobody knows of.
            needed.push(*current);
            file.set_meta(NAME, needed)?;
        }
        Ok(keys)
    }

    /// Whether a row that does not open is sealed under a key that is not among `[keys]`.
    pub(super) fn are_missing_for(&self, row: &[u8]) -> bool {
        row.get(1).is_some_and(|number| {
            !self.held.contains(number) && self.needed.as_ref().is_none_or(|needed| needed.contains(number))
        })
    }

    /// Every row is sealed under the current key: no other is needed.
    pub(super) fn settle(&mut self, file: &DatabaseFile) -> rusqlite::Result<()> {
        let current: Vec<u8> = self.held.first().copied().into_iter().collect();
        if self.needed.as_ref() != Some(&current) {
            file.set_meta(NAME, &current)?;
            self.needed = Some(current);
        }
        Ok(())
    }
}

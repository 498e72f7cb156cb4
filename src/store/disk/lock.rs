//! Who may change a store: one process at a time, which holds a lock on its folder for as long as it may. Others may read
//! beside it.

use std::{
    fs::{self, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

use super::file::{NAME, OpenError};

/// How long a predecessor that is about to end may still hold it.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one try to the next.
const PACE: Duration = Duration::from_millis(20);

/// The lock. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) enum FolderLock {
    /// Of the folder, as long as this is open.
    Folder(#[expect(dead_code, reason = "held, never used")] fs::File),
    /// This filesystem has no such locks: SQLite's own is held instead, which leaves one connection.
    Database,
}

impl FolderLock {
    /// Takes it; waits a moment for whoever holds it.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let mut left = PATIENCE;
        loop {
            match Self::attempt(folder) {
                // A restart overlaps with its predecessor for a moment: systemd starts the new one
                // as soon as the old one has said that it ends.
                Err(OpenError::Held(_)) if left > Duration::ZERO => {
                    thread::sleep(PACE);
                    left = left.saturating_sub(PACE);
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes it, if nobody holds it.
    pub(super) fn attempt(folder: &Path) -> Result<Self, OpenError> {
        let no = |why| OpenError::Folder { folder: folder.to_owned(), why };
        let handle = fs::File::open(folder).map_err(no)?;
        match handle.try_lock() {
            Ok(()) => Ok(Self::Folder(handle)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Held(folder.join(NAME))),
            // Some network filesystems have no such locks at all.
            Err(TryLockError::Error(_)) => Ok(Self::Database),
        }
    }

    /// Whether others may read beside the connection that writes.
    pub(super) fn leaves_readers(&self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Durability, store::disk::file::DatabaseFile};

    #[test]
    fn where_folders_have_no_locks_the_database_itself_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let first = DatabaseFile::open(folder.path(), Durability::Group, &FolderLock::Database).unwrap();
        for second in [
            DatabaseFile::beside(folder.path()),
            DatabaseFile::open(folder.path(), Durability::Group, &FolderLock::Database),
        ] {
            assert!(matches!(second, Err(OpenError::Held(_))), "{second:?}");
        }
        drop(first);
        assert!(DatabaseFile::open(folder.path(), Durability::Group, &FolderLock::Database).is_ok());
    }

    #[test]
    fn one_at_a_time_holds_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        assert!(first.leaves_readers());
        assert!(matches!(FolderLock::attempt(folder.path()), Err(OpenError::Held(_))));
        drop(first);
        assert!(FolderLock::attempt(folder.path()).is_ok());
    }
}

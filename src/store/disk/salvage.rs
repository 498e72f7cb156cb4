//! When the database itself is damaged, and not only a row in it: what can still be read is copied into a new one, and the
//! old one is kept beside it.
//!
//! The first page is put right. Any other that cannot be read is stepped over.

use std::{
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    file::{DatabaseFile, DiskFault, NAME, OpenError},
    first_page::{self, FirstPageDamage},
    lock::FolderLock,
    row::RowColumns,
    row_checksum::RowChecksum,
    start::{IDLE, after},
};
use crate::{clock::Timestamp, config::Durability};

const ENDINGS: [&str; 2] = ["", "-wal"];
/// So much of a database is read ahead, in bytes: more may not stay in memory until it is needed.
const MOST_AHEAD: u64 = 4 << 30;
/// In pieces of this many bytes.
const AT_ONCE: usize = 1 << 20;
/// What is copied lies under this name until it is all there.
const NEW: &str = "sessions.db.new";

/// The ids in it, and what stands beside each row.
pub(super) type RowIds = Vec<(u128, RowColumns)>;

/// What was saved of a damaged database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageResult {
    /// Sessions that were copied into a new one.
    pub copied: u64,
    /// Sessions that are missing there, at least.
    pub missing: u64,
    /// Where the damaged one lies.
    pub kept: PathBuf,
}

/// An open database, for whoever holds its lock.
pub(super) struct OpenedDatabase {
    pub file: DatabaseFile,
    pub lock: FolderLock,
    pub ids: RowIds,
    /// It is a new one.
    pub salvaged: Option<SalvageResult>,
}

enum OpenAttempt {
    Whole(DatabaseFile, RowIds),
    /// Ours, and damaged: what is wrong, and whether it opens all the same.
    Damaged(String, bool),
}

/// Opens the database, and reads the ids; one that is ours and damaged is replaced by what can be read of it. Where that
/// breaks off, the damaged one is still in its place.
pub(super) fn open(
    folder: &Path,
    durability: Durability,
    now: Timestamp,
) -> Result<OpenedDatabase, OpenError> {
    let no = |why| OpenError::Folder { folder: folder.to_owned(), why };
    let database = |error| OpenError::Database { path: folder.join(NAME), error };
    // Two that start at once must not both salvage.
    let lock = FolderLock::take(folder)?;
    // A salvage that a crash cut short is finished or undone before anything is opened.
    resume(folder).map_err(no)?;
    read_ahead(folder);
    let (why, opens) = match attempt(folder, durability, &lock)? {
        OpenAttempt::Whole(file, ids) => return Ok(OpenedDatabase { file, lock, ids, salvaged: None }),
        OpenAttempt::Damaged(why, opens) => (why, opens),
    };
    tracing::error!(error = why, "the database is damaged: what can be read of it is copied into a new one");
    let old = mended(folder, durability, &lock, opens)?;
    // Beside the old one, which is not touched: if this is cut short, nothing is lost.
    let new = DatabaseFile::open_as(NEW, folder, durability, &lock)?;
    let (copied, missing) = match &old {
        Some(old) => copy(old, &new, now).map_err(database)?,
        // The store is born again: no ticket without a record is taken from before.
        None => (0, 0),
    };
    new.finish().map_err(database)?;
    drop(old);
    let kept = swap(folder).map_err(no)?;
    tracing::error!(copied, missing, kept = %kept.display(), "the damaged database was set aside");
    let file = DatabaseFile::open(folder, durability, &lock)?;
    let ids = file.scan().map_err(database)?;
    Ok(OpenedDatabase { file, lock, ids, salvaged: Some(SalvageResult { copied, missing, kept }) })
}

/// From the first byte to the last: in the order of ids a disk is read from all over, and takes ten times as long. Before
/// the database is open (see [`first_page`]).
fn read_ahead(folder: &Path) {
    let read = |file: fs::File| {
        io::copy(&mut BufReader::with_capacity(AT_ONCE, file.take(MOST_AHEAD)), &mut io::sink())
    };
    // Whoever needs it reads it, and tells what is wrong.
    let _ = fs::File::open(folder.join(NAME)).and_then(read);
}

fn attempt(folder: &Path, durability: Durability, lock: &FolderLock) -> Result<OpenAttempt, OpenError> {
    match DatabaseFile::open(folder, durability, lock) {
        // A bit of its format says that: the disk itself can be written.
        Ok(file) if file.is_read_only() => {
            Ok(OpenAttempt::Damaged("it says that it is read-only".to_owned(), true))
        }
        Ok(file) => match whole(&file) {
            Ok(Some(ids)) => Ok(OpenAttempt::Whole(file, ids)),
            Ok(None) => Ok(OpenAttempt::Damaged("rows are missing, or out of their place".to_owned(), true)),
            Err(error) if is_damage(&error) => Ok(OpenAttempt::Damaged(error.to_string(), true)),
            Err(error) => Err(OpenError::Database { path: folder.join(NAME), error }),
        },
        Err(error)
            if is_damaged(&error)
                && first_page::look(folder).is_ok_and(|v| v != FirstPageDamage::Strange) =>
        {
            Ok(OpenAttempt::Damaged(error.to_string(), false))
        }
        Err(error) => Err(error),
    }
}

/// With its first page put right where it is damaged; `None`: it does not open all the same.
fn mended(
    folder: &Path,
    durability: Durability,
    lock: &FolderLock,
    opens: bool,
) -> Result<Option<DatabaseFile>, OpenError> {
    let no = |why| OpenError::Folder { folder: folder.to_owned(), why };
    // Where it does not open, a number that changes may be wrong.
    if !opens || first_page::look(folder).map_err(no)? == FirstPageDamage::Damaged {
        first_page::mend(folder).map_err(no)?;
    }
    match DatabaseFile::open(folder, durability, lock) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_damaged(&error) => {
            tracing::error!(%error, "nothing of the damaged database could be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What an earlier start left: a copy that was complete takes its place, any other is begun again.
fn resume(folder: &Path) -> io::Result<()> {
    let (there, log) = (folder.join(NAME).exists(), folder.join(format!("{NEW}-wal")));
    let new = folder.join(NEW);
    if !there && new.exists() && !log.exists() {
        // The old one has been moved already; its log must not be taken for that of the new one.
        if folder.join(format!("{NAME}-wal")).exists() {
            set_aside(folder)?;
        }
        fs::rename(&new, folder.join(NAME))?;
        return sync(folder);
    }
    for path in [new, log] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The new one, all on disk, in the place of the old one; says where that is.
fn swap(folder: &Path) -> io::Result<PathBuf> {
    let new = folder.join(NEW);
    // The order is the whole point: content, then the old one out of the way, then the rename, each
    // on disk before the next. Wherever the power fails, `resume` finds a state that it knows.
    sync(&new)?;
    let aside = set_aside(folder)?;
    sync(&aside)?;
    sync(folder)?;
    fs::rename(&new, folder.join(NAME))?;
    sync(folder)?;
    Ok(aside)
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Whether it is the content that is wrong, and not the disk or the rights.
fn is_damage(error: &rusqlite::Error) -> bool {
    // A schema that cannot be read or a format that is not known is a plain error.
    DiskFault::of(error) == DiskFault::Corrupt
        || matches!(error, rusqlite::Error::SqlInputError { .. })
        || error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown)
}

pub(super) fn is_damaged(error: &OpenError) -> bool {
    match error {
        OpenError::Database { error, .. } => is_damage(error),
        OpenError::Foreign { .. } => true,
        _ => false,
    }
}

/// The ids, if every row is there that was, and each in its place: behind one that is not, a search goes astray.
fn whole(file: &DatabaseFile) -> rusqlite::Result<Option<RowIds>> {
    let ids = file.scan()?;
    file.tombstones(|_, _| ())?;
    let in_order =
        ids.is_sorted_by(|(one, _), (next, _)| one < next) && ids.first().is_none_or(|(id, _)| *id > 0);
    Ok((in_order && ids.len() as u64 == RowChecksum::rows_said(file)?).then_some(ids))
}

/// Moves it into a folder of its own, under a name that is free.
fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let mut names = (1..1000).map(|number| folder.join(format!("damaged-{number}")));
    let aside = names.find(|path| !path.exists()).unwrap_or_else(|| folder.join("damaged"));
    fs::create_dir(&aside)?;
    for ending in ENDINGS {
        let name = format!("{NAME}{ending}");
        match fs::rename(folder.join(&name), aside.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// How many rows were copied, and how many are missing.
fn copy(old: &DatabaseFile, new: &DatabaseFile, now: Timestamp) -> rusqlite::Result<(u64, u64)> {
    let expected = RowChecksum::rows_said(old).unwrap_or(0);
    let mut checksum = RowChecksum::default();
    new.run("BEGIN IMMEDIATE")?;
    for name in ["who", "who copy", "floor", "commits", "keys", IDLE] {
        if let Ok(Some(value)) = old.meta(name) {
            new.set_meta(name, &value)?;
        }
    }
    let mut tombstones = Vec::new();
    // Damaged tombstones are no reason to stop: the floor below stands for those that are lost.
    let all_ended = old.tombstones(|id, end| tombstones.push((id, end)));
    for (id, end) in tombstones {
        new.add_tombstone(id, end)?;
    }
    let walked = old.walk(|stored| {
        checksum.add(stored.id);
        new.put(&stored).map(drop)
    })?;
    let missing = walked.missing(expected);
    if missing > 0 || all_ended.is_err() || expected == 0 {
        // Nobody knows which: one time stands for the tickets that those had spent.
        let floor = after(now);
        new.set_meta("floor", &new.meta_number("floor")?.max(floor.0).to_be_bytes())?;
    }
    checksum.keep(new)?;
    new.run("COMMIT")?;
    Ok((walked.rows, missing))
}

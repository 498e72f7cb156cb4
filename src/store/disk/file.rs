//! The database: how it is opened, what its tables are, and every statement.
//!
//! One connection changes it: that of the writer's thread, or of a verb of `cloakroom store`, whoever holds the [`FolderLock`] of
//! the folder. Others read beside it, and neither waits for the other (WAL).

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::lock::FolderLock;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, types::ValueRef};

use crate::config::Durability;

/// The name of the database in the state directory.
pub(in crate::store) const NAME: &str = "sessions.db";
/// "Clkr": what `PRAGMA application_id` says of our files.
const APPLICATION: i32 = 0x436c_6b72;
/// Of the tables and of what is in them: a number, and its complement, so that another format can be told from a bit that
/// flipped.
const FORMAT: i32 = with_complement(1);
/// Bytes.
pub(super) const PAGE: u64 = 4096;
/// How long another connection may have the database to itself: to recover it, or to end.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);
/// What the write-ahead log is cut down to, in bytes, once it was worked in: whoever reads for long makes it grow.
const LOG_BYTES: &str = "67108864";

const fn with_complement(number: u16) -> i32 {
    (((number as u32) << 16) | !number as u32).cast_signed()
}

fn number_of(format: i32) -> u16 {
    (format.cast_unsigned() >> 16) as u16
}

const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (id BLOB PRIMARY KEY, until INTEGER NOT NULL, since INTEGER NOT NULL, who BLOB,
        row BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE ended (id BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE damaged (id BLOB PRIMARY KEY, found INTEGER NOT NULL, row BLOB) WITHOUT ROWID;
";

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, or not written.
    #[error("the state directory {} cannot be used: {why}; set [store] path to a folder that this user may \
             write, or kind = \"memory\"", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process: one cloakroom at a time holds a store", .0.display())]
    Held(PathBuf),
    /// It is somebody else's.
    #[error("{} is not cloakroom's: its application_id is {application:#x}; move it away, or set another [store] path", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it says.
        application: i32,
    },
    /// It was written by another version.
    #[error("{} has format {format}; this version of cloakroom knows format 1: run the version that wrote it, \
             or export it there and import it here", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What it says.
        format: u16,
    },
    /// Its rows are sealed under another key.
    #[error("{} was written under a key that [keys] does not have; give it as current, or among previous: \
             without it nothing in there can be read", .0.display())]
    Key(PathBuf),
    /// The database says no.
    #[error("{}: {error}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// No thread.
    #[error("the store's thread cannot be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// True if it will be the same at the next start.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Held(_) | Self::Database { .. } | Self::Thread(_))
    }
}

/// The database.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    pub(super) connection: Connection,
}

impl DatabaseFile {
    /// Opens it to be changed, or makes it.
    pub(super) fn open(folder: &Path, durability: Durability, lock: &FolderLock) -> Result<Self, OpenError> {
        Self::open_as(NAME, folder, durability, lock)
    }

    /// What it is opened for, by itself.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// The same under another name.
    pub(crate) fn open_as(
        name: &str,
        folder: &Path,
        durability: Durability,
        lock: &FolderLock,
    ) -> Result<Self, OpenError> {
        let path = folder.join(name);
        let no = |error| refusal(&path, error);
        // SQLite would make it readable for all; an empty file is a new database.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        made.map_err(|why| OpenError::Folder { folder: folder.to_owned(), why })?;
        let file = Self::connect(&path, OpenFlags::default())?;
        // Without a lock on the folder, SQLite's own exclusive one is all that keeps a second
        // process out.
        if !lock.leaves_readers() {
            // Taken at once, and kept until the process ends.
            file.pragma("locking_mode", "EXCLUSIVE").map_err(no)?;
        }
        file.identify(&path)?;
        file.prepare(durability).map_err(no)?;
        Ok(file)
    }

    /// Beside whoever changes it: it reads, and changes nothing.
    pub(in crate::store) fn beside(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let no = |error| refusal(&path, error);
        // Not SQLITE_OPEN_READ_ONLY: the log of a crash must be recovered before anything can be read.
        let file = Self::connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        file.identify(&path)?;
        file.pragma("query_only", "ON").map_err(no)?;
        file.pragma("temp_store", "MEMORY").map_err(no)?;
        file.pragma("cell_size_check", "ON").map_err(no)?;
        file.pragma("mmap_size", "0").map_err(no)?;
        Ok(file)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, OpenError> {
        let no = |error| refusal(path, error);
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_EXRESCODE).map_err(no)?;
        connection.busy_timeout(BUSY_PATIENCE).map_err(no)?;
        Ok(Self { connection })
    }

    /// Whose it is, before anything is written to it.
    fn identify(&self, path: &Path) -> Result<(), OpenError> {
        let no = |error| refusal(path, error);
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (application, format) =
            (number("application_id").map_err(no)?, number("user_version").map_err(no)?);
        let tables: u32 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(no)?;
        match (application, format) {
            (APPLICATION, FORMAT) => Ok(()),
            // An empty file: a new database, or one whose creation was cut short.
            (0, 0) if tables == 0 => Ok(()),
            (APPLICATION, other) if other == with_complement(number_of(other)) => {
                Err(OpenError::Format { path: path.to_owned(), format: number_of(other) })
            }
            (application, _) => Err(OpenError::Foreign { path: path.to_owned(), application }),
        }
    }

    /// The pragmas, in the order in which they were measured, and the tables of a new file.
    fn prepare(&self, durability: Durability) -> rusqlite::Result<()> {
        // Some filesystems refuse WAL and SQLite goes on without it: a different durability than
        // the one that was promised.
        let mode = self.pragma("journal_mode", "WAL")?;
        if mode.as_deref() != Some("wal") {
            return Err(rusqlite::Error::InvalidParameterName("journal_mode = WAL was refused".to_owned()));
        }
        self.pragma("synchronous", if durability == Durability::Os { "NORMAL" } else { "FULL" })?;
        self.pragma("temp_store", "MEMORY")?;
        self.pragma("cache_size", "-65536")?;
        // Finds a damaged page when it is read, before its garbage is taken for rows.
        self.pragma("cell_size_check", "ON")?;
        // A failing disk is an error of a read then, and no SIGBUS that ends the process.
        self.pragma("mmap_size", "0")?;
        self.pragma("journal_size_limit", LOG_BYTES)?;
        // The writer does it, so that a sync that fails there is seen.
        self.pragma("wal_autocheckpoint", "0")?;
        // Tables and version in one transaction: there is never a database with one of them alone.
        let format: i32 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if format == 0 {
            let new = format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; \
                 PRAGMA user_version = {FORMAT}; COMMIT"
            );
            self.connection.execute_batch(&new)?;
        }
        Ok(())
    }

    /// Sets it, and says what it is then, where that is said.
    pub(super) fn pragma(&self, name: &str, value: &str) -> rusqlite::Result<Option<String>> {
        let text = |row: &rusqlite::Row<'_>| {
            Ok(match row.get_ref(0)? {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Integer(number) => number.to_string(),
                _ => String::new(),
            })
        };
        self.connection.query_row(&format!("PRAGMA {name} = {value}"), [], text).optional()
    }

    /// Frames of the write-ahead log that are not worked into the database yet.
    pub(super) fn frames(&self) -> rusqlite::Result<i64> {
        let mut statement = self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        statement.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?.max(0)))
    }

    /// It can be read and not written.
    pub(super) fn is_read_only(&self) -> bool {
        self.connection.is_readonly(rusqlite::MAIN_DB).unwrap_or(false)
    }

    /// One that does something.
    pub(super) fn pragma_alone(&self, what: &str) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA {what}"), [], |_| Ok(()))
    }

    /// All of it is in the database itself, and that is on disk: no log stays beside it.
    pub(super) fn finish(self) -> rusqlite::Result<()> {
        self.pragma_alone("wal_checkpoint(TRUNCATE)")?;
        self.connection.close().map_err(|(_, error)| error)
    }

    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskFault {
    /// No room.
    Full,
    /// A sync failed: nobody knows what is on disk.
    Sync,
    /// What is on disk is not what was written.
    Corrupt,
    /// Anything else.
    Other,
}

/// Extended codes that SQLite gives where a sync failed (sqlite.org/rescode.html).
const SYNCS: [i32; 2] = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];

impl DiskFault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(error, _) = error else { return Self::Other };
        match error.code {
            rusqlite::ErrorCode::DiskFull => Self::Full,
            rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase => Self::Corrupt,
            _ if SYNCS.contains(&error.extended_code) => Self::Sync,
            _ => Self::Other,
        }
    }
}

fn refusal(path: &Path, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            OpenError::Held(path.to_owned())
        }
        _ => OpenError::Database { path: path.to_owned(), error },
    }
}

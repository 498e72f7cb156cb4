//! The database: how it is opened, what its tables are, and every statement.
//!
//! One connection, on the writer's thread alone. `locking_mode = EXCLUSIVE` takes the lock when it is opened and keeps it
//! until the process ends, so that a second one is refused at once.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, params, types::ValueRef};

use super::row::Columns;
use crate::{clock::Timestamp, config::Durability};

/// The name of the database in the state directory.
pub(in crate::session::store) const NAME: &str = "sessions.db";
/// "Clkr": what `PRAGMA application_id` says of our files.
const APPLICATION: i32 = 0x436c_6b72;
/// Of the tables and of what is in them.
const FORMAT: i32 = 1;
/// Bytes.
pub(super) const PAGE: u64 = 4096;
/// How long a predecessor that is about to end may still hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

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
    #[error("{} has format {format}; this version of cloakroom knows format {FORMAT}: run the version that wrote it, \
             or export it there and import it here", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What it says.
        format: i32,
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
pub(in crate::session::store) struct File {
    pub(super) connection: Connection,
}

/// A row and what stands beside it.
pub(in crate::session::store) struct Stored {
    pub id: u128,
    pub beside: Columns,
    pub row: Vec<u8>,
}

impl File {
    /// Opens it, or makes it.
    pub(in crate::session::store) fn open(folder: &Path, durability: Durability) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let no = |error| refusal(&path, error);
        let connection =
            Connection::open_with_flags(&path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_EXRESCODE)
                .map_err(no)?;
        connection.busy_timeout(LOCK_PATIENCE).map_err(no)?;
        let file = Self { connection };
        file.pragma("locking_mode", "EXCLUSIVE").map_err(no)?;
        file.identify(&path)?;
        file.prepare(durability).map_err(no)?;
        Ok(file)
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
            (0, 0) if tables == 0 => Ok(()),
            (APPLICATION, format) => Err(OpenError::Format { path: path.to_owned(), format }),
            (application, _) => Err(OpenError::Foreign { path: path.to_owned(), application }),
        }
    }

    /// The pragmas, in the order in which they were measured, and the tables of a new file.
    fn prepare(&self, durability: Durability) -> rusqlite::Result<()> {
        let mode = self.pragma("journal_mode", "WAL")?;
        if mode.as_deref() != Some("wal") {
            return Err(rusqlite::Error::InvalidParameterName("journal_mode = WAL was refused".to_owned()));
        }
        self.pragma("synchronous", if durability == Durability::Os { "NORMAL" } else { "FULL" })?;
        self.pragma("temp_store", "MEMORY")?;
        self.pragma("cache_size", "-65536")?;
        self.pragma("cell_size_check", "ON")?;
        self.pragma("mmap_size", "0")?;
        // The writer does it, so that a sync that fails there is seen.
        self.pragma("wal_autocheckpoint", "0")?;
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

    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    pub(in crate::session::store) fn put(&self, stored: &Stored) -> rusqlite::Result<()> {
        const SQL: &str =
            "INSERT OR REPLACE INTO sessions (id, until, since, who, row) VALUES (?, ?, ?, ?, ?)";
        let Columns { until, since, who } = stored.beside;
        let who = who.map(u128::to_be_bytes);
        self.connection
            .prepare_cached(SQL)?
            .execute(params![blob(stored.id), until.cast_signed(), since.cast_signed(), who, stored.row])
            .map(drop)
    }

    /// Whether there was one.
    pub(super) fn remove(&self, id: u128) -> rusqlite::Result<bool> {
        let rows =
            self.connection.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([blob(id)])?;
        Ok(rows > 0)
    }

    pub(in crate::session::store) fn get(&self, id: u128) -> rusqlite::Result<Option<Stored>> {
        const SQL: &str = "SELECT until, since, who, row FROM sessions WHERE id = ?";
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Stored { id, beside: columns(row, [0, 1, 2])?, row: bytes(row.get_ref(3)?) })
        };
        self.connection.prepare_cached(SQL)?.query_row([blob(id)], row).optional()
    }

    /// At most so many rows after this id, in the order of ids.
    pub(in crate::session::store) fn after(
        &self,
        id: Option<u128>,
        most: usize,
    ) -> rusqlite::Result<Vec<Stored>> {
        const SQL: &str = "SELECT id, until, since, who, row FROM sessions WHERE id > ? ORDER BY id LIMIT ?";
        let mut statement = self.connection.prepare_cached(SQL)?;
        let from = id.map_or_else(Vec::new, |id| blob(id).to_vec());
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Stored {
                id: number(row.get_ref(0)?),
                beside: columns(row, [1, 2, 3])?,
                row: bytes(row.get_ref(4)?),
            })
        };
        statement.query_map(params![from, i64::try_from(most).unwrap_or(i64::MAX)], row)?.collect()
    }

    /// Each id and what stands beside it.
    pub(super) fn scan(&self, mut each: impl FnMut(u128, Columns)) -> rusqlite::Result<()> {
        let mut statement =
            self.connection.prepare("SELECT id, until, since, who FROM sessions ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(number(row.get_ref(0)?), columns(row, [1, 2, 3])?);
        }
        Ok(())
    }

    pub(in crate::session::store) fn bury(&self, id: u128, at: Timestamp) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO ended (id, at) VALUES (?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![blob(id), at.0.cast_signed()]).map(drop)
    }

    pub(super) fn ended(&self, id: u128) -> rusqlite::Result<Option<Timestamp>> {
        let mut statement = self.connection.prepare_cached("SELECT at FROM ended WHERE id = ?")?;
        statement.query_row([blob(id)], time).optional()
    }

    /// Each tombstone.
    pub(in crate::session::store) fn graves(
        &self,
        mut each: impl FnMut(u128, Timestamp),
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT at, id FROM ended")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(number(row.get_ref(1)?), time(row)?);
        }
        Ok(())
    }

    /// Whether there are tombstones that are older than this.
    pub(super) fn has_graves_before(&self, before: Timestamp) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM ended WHERE at < ? LIMIT 1")?;
        statement.exists([before.0.cast_signed()])
    }

    /// Takes out tombstones that are older than this.
    pub(super) fn unbury(&self, before: Timestamp) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("DELETE FROM ended WHERE at < ?")?.execute([before.0.cast_signed()])
    }

    /// A row that cannot be opened is set aside, and never looked at again.
    pub(super) fn set_aside(&self, stored: &Stored, now: Timestamp) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO damaged (id, found, row) VALUES (?, ?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![
            blob(stored.id),
            now.0.cast_signed(),
            stored.row
        ])?;
        self.remove(stored.id).map(drop)
    }

    pub(in crate::session::store) fn meta(&self, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
        statement.query_row([name], |row| row.get(0)).optional()
    }

    pub(in crate::session::store) fn set_meta(&self, name: &str, value: &[u8]) -> rusqlite::Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
        self.connection.prepare_cached(SQL)?.execute(params![name, value]).map(drop)
    }

    /// A number that was kept as eight bytes; 0 if there is none.
    pub(super) fn meta_number(&self, name: &str) -> rusqlite::Result<u64> {
        let value = self.meta(name)?;
        Ok(value.and_then(|value| value.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Pages that hold something.
    pub(super) fn pages(&self) -> rusqlite::Result<u64> {
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(number("page_count")?.saturating_sub(number("freelist_count")?))
    }
}

fn blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

/// A bit that flipped may have made another type of it, and that must not end a whole scan: the row does not open.
fn bytes(value: ValueRef<'_>) -> Vec<u8> {
    if let ValueRef::Blob(bytes) = value { bytes.to_vec() } else { Vec::new() }
}

/// What is no id leads nowhere: no row opens under it.
fn number(value: ValueRef<'_>) -> u128 {
    let bytes = value.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u128::from_be_bytes)
}

fn integer(value: ValueRef<'_>) -> u64 {
    if let ValueRef::Integer(number) = value { number.cast_unsigned() } else { 0 }
}

fn time(row: &rusqlite::Row<'_>) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp(integer(row.get_ref(0)?)))
}

fn columns(row: &rusqlite::Row<'_>, [until, since, who]: [usize; 3]) -> rusqlite::Result<Columns> {
    let who = match row.get_ref(who)? {
        ValueRef::Null => None,
        other => Some(number(other)),
    };
    Ok(Columns { until: integer(row.get_ref(until)?), since: integer(row.get_ref(since)?), who })
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
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

impl Fault {
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

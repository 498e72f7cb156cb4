//! What has ended, on disk: a table in a database of its own, written by a thread of its own. What came while a sync ran
//! is kept by the next one, together.

use std::{path::Path, sync::mpsc, thread::JoinHandle, time::Duration};

use parking_lot::Mutex;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::RevokedSession;
use crate::{
    clock::{self, Timestamp},
    config::Durability,
    store::{
        StoreError,
        disk::{DatabaseFile, FolderLock, OpenError},
    },
    tasks,
};

/// The name of the database in the state directory.
const NAME: &str = "ended.db";
/// So many are written in one transaction at most.
const MOST: usize = 1024;
/// How often what is over is taken out.
const PRUNED_EACH: Duration = Duration::from_mins(10);

// Tables and columns have the names of 0.1: files that were written then still open.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS carried (id BLOB PRIMARY KEY, below BLOB NOT NULL, at INTEGER NOT NULL,
    until INTEGER NOT NULL, by_clock INTEGER NOT NULL) WITHOUT ROWID";

/// An entry to be kept.
struct RevocationEntry {
    id: u128,
    entry: RevokedSession,
    kept: oneshot::Sender<()>,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) struct LogReceipt {
    kept: oneshot::Receiver<()>,
    timeout: Duration,
}

impl LogReceipt {
    /// Until it is on disk.
    ///
    /// # Errors
    /// It is not, or that is not known.
    pub(super) async fn wait(self) -> Result<(), StoreError> {
        match clock::timeout(Some(self.timeout), self.kept).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(StoreError::Unavailable),
            Err(_) => Err(StoreError::Late),
        }
    }
}

/// The log.
#[derive(Debug)]
pub(super) struct RevocationLog {
    lines: Mutex<Option<mpsc::Sender<RevocationEntry>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    timeout: Duration,
}

impl RevocationLog {
    /// Opens it; with what is in it. `died` is called if its thread ends by itself.
    pub(super) fn open(
        folder: &Path,
        timeout: Duration,
        died: impl FnOnce() + Send + 'static,
    ) -> Result<(Self, Vec<(u128, RevokedSession)>), OpenError> {
        std::fs::create_dir_all(folder)
            .map_err(|why| OpenError::Folder { folder: folder.to_owned(), why })?;
        // Two processes on one folder would each know half of what has ended.
        let lock = FolderLock::take(folder)?;
        let connection = DatabaseFile::open_as(NAME, folder, Durability::Group, &lock)?.into_connection();
        let no = |error| OpenError::Database { path: folder.join(NAME), error };
        connection.pragma_update(None, "wal_autocheckpoint", 1000).map_err(no)?;
        connection.execute_batch(TABLE).map_err(no)?;
        // What is over by now need not be read into memory.
        prune(&connection, Timestamp::now()).map_err(no)?;
        let all = read(&connection).map_err(no)?;
        let (lines, orders) = mpsc::channel();
        let writer = tasks::thread("ended", move || {
            // Held for as long as anything is written.
            let _lock = lock;
            run(connection, &orders);
            died();
        })
        .map_err(OpenError::Thread)?;
        let (lines, writer) = (Mutex::new(Some(lines)), Mutex::new(Some(writer)));
        Ok((Self { lines, writer, timeout }, all))
    }

    /// Hands in an entry.
    pub(super) fn write(&self, id: u128, entry: RevokedSession) -> LogReceipt {
        let (kept, receipt) = oneshot::channel();
        if let Some(lines) = &*self.lines.lock() {
            // A writer that has gone drops it, and whoever waits learns that.
            let _ = lines.send(RevocationEntry { id, entry, kept });
        }
        LogReceipt { kept: receipt, timeout: self.timeout }
    }

    /// What was handed in is written, and the thread ends.
    pub(super) fn close(&self) {
        // Without its sender the thread writes what is left and ends; joining it makes that certain
        // before the process exits.
        self.lines.lock().take();
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

fn run(mut connection: Connection, orders: &mpsc::Receiver<RevocationEntry>) {
    let mut pruned = Timestamp::now();
    while let Ok(first) = orders.recv() {
        let lines: Vec<RevocationEntry> =
            // One sync for all that came while the last one ran: a flood of logouts costs as many
            // syncs as the disk can do, not one each.
            std::iter::once(first).chain(orders.try_iter().take(MOST)).collect();
        match keep(&mut connection, &lines) {
            Ok(()) => lines.into_iter().for_each(|line| {
                // Who has given up waiting is told nothing.
                let _ = line.kept.send(());
            }),
            Err(error) => {
                // Their receipts are dropped with them, so each waiting answer is a 503: nobody is
                // told of a logout that a restart would undo.
                tracing::error!(%error, lines = lines.len(), "revocations could not be written to disk ([store] revocations = \"disk\")");
            }
        }
        let now = Timestamp::now();
        if now.since(pruned) >= PRUNED_EACH {
            pruned = now;
            if let Err(error) = prune(&connection, now) {
                tracing::warn!(%error, "expired revocations could not be removed");
            }
        }
    }
}

fn keep(connection: &mut Connection, lines: &[RevocationEntry]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO carried VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET
             below = excluded.below, at = excluded.at, until = excluded.until, by_clock = excluded.by_clock",
        )?;
        let mut find =
            transaction.prepare_cached("SELECT id, below, at, until, by_clock FROM carried WHERE id = ?1")?;
        for RevocationEntry { id, entry, .. } in lines {
            let known = find.query_map([id.to_be_bytes()], row)?.next().transpose()?.flatten();
            // Merged and not replaced: the entries of one session may reach the thread in another
            // order than they were decided.
            let entry = known.map_or(*entry, |(_, known)| known.merge(*entry));
            insert.execute(params![
                id.to_be_bytes(),
                entry.below.to_be_bytes(),
                entry.at.cast_signed(),
                entry.until.cast_signed(),
                entry.by_rotation
            ])?;
        }
    }
    transaction.commit()
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<(u128, RevokedSession)>> {
    // Oldest first: those go first where there is no room for all.
    let mut all = connection.prepare("SELECT id, below, at, until, by_clock FROM carried ORDER BY at")?;
    let rows = all.query_map([], row)?;
    rows.filter_map(Result::transpose).collect()
}

/// `None`: no row of ours.
fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(u128, RevokedSession)>> {
    let (id, below): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let (Ok(id), Ok(below)) = (id.try_into(), below.try_into()) else { return Ok(None) };
    let entry = RevokedSession {
        below: u64::from_be_bytes(below),
        at: row.get::<_, i64>(2)?.cast_unsigned(),
        until: row.get::<_, i64>(3)?.cast_unsigned(),
        by_rotation: row.get(4)?,
        came_back: false,
        changed: 0,
        new_login: 0,
    };
    Ok(Some((u128::from_be_bytes(id), entry)))
}

fn prune(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM carried WHERE until < ?1", [now.0.cast_signed()])
}

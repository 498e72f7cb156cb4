//! The writer: one thread that holds the database. It takes all that gathered while the last sync ran, commits it as one,
//! and tells each who waits. In between it flushes touches, reads what is cold, sweeps and warms.
//!
//! A change that fails takes with it what was derived from it, and the disk's truth counts again. After a sync that
//! failed nothing more is acknowledged: the kernel may have dropped what it could not write, and a later sync that
//! succeeds would say nothing of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    background::DiskWorker,
    counter::RollbackCounter,
    file::{DatabaseFile, DiskFault, PAGE},
    keys::RowKeys,
    live_view::{DiskCapacity, LiveView},
    lock::FolderLock,
    queue::{ColdAnswer, RecordWrite, WriteEffect, WriterOrder},
    reconcile::DiskRead,
    row,
    row_checksum::RowChecksum,
    rows::StoredRow,
};
use crate::{
    clock::Timestamp,
    config::Durability,
    crypto::Sealer,
    record::{EndReason, Record, SessionEnd},
    store::StoreError,
};

/// How long it waits for orders before it looks after other things.
const PATIENCE: Duration = Duration::from_millis(50);
/// Frames of the write-ahead log after which it is worked into the database: fewer or more were slower at the far end.
pub(super) const CHECKPOINT: i64 = 4000;

/// The writer.
pub(super) struct DiskWriter {
    pub(super) file: DatabaseFile,
    pub(super) sealer: Arc<Sealer>,
    pub(super) keys: RowKeys,
    pub(super) live_view: Arc<LiveView>,
    pub(super) durability: Durability,
    pub(super) max_bytes: Option<u64>,
    pub(super) counter: RollbackCounter,
    pub(super) commits: u64,
    /// What is in the database.
    pub(super) checksum: RowChecksum,
    pub(super) floor: Timestamp,
    pub(super) background: DiskWorker,
    /// Why changes fail at present.
    pub(super) failing: Option<DiskFault>,
    /// What the transaction that is under way changes.
    pub(super) changed: Vec<u128>,
    /// With how many frames the write-ahead log is worked in.
    pub(super) checkpoint_at: i64,
    /// Let go last, when the database is closed.
    pub(super) _lock: FolderLock,
}

impl DiskWriter {
    /// Until the queue is closed and worked off.
    pub(super) fn run(mut self) {
        loop {
            // While it warms there is always something to do, and orders are taken between two
            // bites.
            let timeout = if self.background.is_warming() { Duration::ZERO } else { PATIENCE };
            let (orders, last) = self.live_view.queue.take(timeout);
            self.serve(orders);
            if last {
                break;
            }
            self.look_after(Timestamp::now());
        }
        self.flush(Timestamp::now());
        self.checkpoint();
    }

    fn serve(&mut self, orders: Vec<WriterOrder>) {
        let mut writes = Vec::new();
        let (mut flushed, mut served) = (Vec::new(), Vec::new());
        for order in orders {
            match order {
                WriterOrder::Write(write) => writes.push(write),
                // What is decided already is found beside the database, so a read need not wait for the writes before it.
                WriterOrder::Read(id, answer) => drop(answer.send(self.read(id))),
                WriterOrder::Serve(done) => served.push(done),
                WriterOrder::Flush(done) => flushed.push(done),
                WriterOrder::Sweep(now, done) => {
                    self.sweep(now);
                    let _ = done.send(());
                }
            }
        }
        if self.durability == Durability::Sync {
            for write in writes {
                self.commit(vec![write]);
            }
        } else if !writes.is_empty() {
            self.commit(writes);
        }
        for done in served {
            let _ = done.send(());
        }
        if !flushed.is_empty() {
            self.flush(Timestamp::now());
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    /// What the reader could not, or came too late for.
    fn read(&mut self, id: u128) -> ColdAnswer {
        let mark = self.live_view.marks.of(id);
        let mut stored = match self.file.get(id) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(%error, "a session could not be read from disk");
                return Err(StoreError::Unavailable);
            }
        };
        let opened = stored.as_ref().and_then(|s| row::open(id, s.beside, &s.row, &self.sealer));
        if let Some(record) = &opened {
            self.live_view.touches.leave_on(id, record);
        } else {
            match stored.take() {
                // It is left as it is, for whoever brings the key.
                Some(locked) if self.keys.are_missing_for(&locked.row) => {}
                Some(damaged) => self.set_aside(&damaged),
                None => self.miss(id),
            }
        }
        // What was just read cannot be out of date: this thread is the only one that writes.
        let read = DiskRead { mark, record: opened.map(Arc::new) };
        let record = self.live_view.warm(id, &read).map_err(|_| StoreError::Unavailable)?;
        Ok(DiskRead { mark, record })
    }

    /// What should be there and is not: a page was damaged, or the id in it.
    fn miss(&mut self, id: u128) {
        let live_view = Arc::clone(&self.live_view);
        let end = SessionEnd { at: Timestamp::now(), by: EndReason::Damaged };
        let mut missed = false;
        live_view.forget(id, None, || {
            // Another may have been asked for, and have ended since.
            missed = live_view.known.has(id);
            if missed {
                live_view.ended.add(id, end);
                let _ = self.transact(|writer| writer.file.add_tombstone(id, end));
            }
            missed
        });
        if missed {
            let count = self.live_view.damaged.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let id = uuid::Uuid::from_u128(id);
            tracing::error!(session = %id, count, "a session that was on disk is not there any more: the disk is damaged");
        }
    }

    /// A row that does not open is lost, and no other. It knew which tickets were spent, so its session has ended.
    pub(super) fn set_aside(&mut self, damaged: &StoredRow) {
        let live_view = Arc::clone(&self.live_view);
        let now = Timestamp::now();
        let end = SessionEnd { at: now, by: EndReason::Damaged };
        live_view.forget(damaged.id, damaged.beside.who, || {
            live_view.ended.add(damaged.id, end);
            // Where this fails, it stays unreadable where it is.
            let _ = self.transact(|writer| {
                if writer.file.set_aside(damaged, now)? {
                    writer.checksum.remove(damaged.id);
                }
                writer.file.add_tombstone(damaged.id, end)
            });
            true
        });
        let count = self.live_view.damaged.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let id = uuid::Uuid::from_u128(damaged.id);
        tracing::error!(session = %id, count, "a session on disk is damaged, and lost: it was set aside");
    }

    /// Commits them as one, and tells each what became of it.
    fn commit(&mut self, writes: Vec<RecordWrite>) {
        let mut failed: Vec<RecordWrite> = Vec::new();
        let mut writes_left = Vec::with_capacity(writes.len());
        for write in writes {
            // Nobody waits for it any more: it counts as failed already.
            // A later write of the same session was derived from the one that was given up, and
            // cannot be kept without it.
            let given_up = write.answer.is_closed() || failed.iter().any(|other| other.id == write.id);
            if given_up { failed.push(write) } else { writes_left.push(write) }
        }
        match self.transaction(&writes_left) {
            Ok(()) => self.settle(writes_left),
            // One that cannot be written must not take others with it.
            Err(DiskFault::Sync) => failed.extend(writes_left),
            Err(_) if writes_left.len() == 1 => failed.extend(writes_left),
            Err(_) => {
                for write in writes_left {
                    if failed.iter().any(|other| other.id == write.id) {
                        failed.push(write);
                        continue;
                    }
                    match self.transaction(std::slice::from_ref(&write)) {
                        Ok(()) => self.settle(vec![write]),
                        Err(_) => failed.push(write),
                    }
                }
            }
        }
        if !failed.is_empty() {
            self.fail(failed);
        }
    }

    fn settle(&mut self, writes: Vec<RecordWrite>) {
        if self.failing.take().is_some() {
            tracing::info!("the disk accepts changes again");
        }
        let mut late = 0;
        for write in writes {
            // Settled before it is told: whoever is told and asks at once finds no pending write of
            // it.
            self.live_view.pending.settle(write.id, write.number);
            late += u64::from(write.answer.send(Ok(())).is_err());
        }
        if late > 0 {
            tracing::warn!(
                changes = late,
                "the disk took longer than [store] commit_timeout: changes were stored although a failure was reported for them"
            );
        }
    }

    fn transaction(&mut self, writes: &[RecordWrite]) -> Result<(), DiskFault> {
        if writes.is_empty() {
            return Ok(());
        }
        if self.live_view.capacity() == DiskCapacity::Failed {
            return Err(DiskFault::Sync);
        }
        self.transact(|writer| {
            for write in writes {
                match &write.what {
                    WriteEffect::Put(record) => writer.put(record, write.who)?,
                    WriteEffect::End(end) => {
                        writer.remove(write.id)?;
                        writer.file.add_tombstone(write.id, *end)?;
                    }
                }
            }
            Ok(())
        })
    }

    pub(super) fn put(&mut self, record: &Record, who: Option<u128>) -> rusqlite::Result<()> {
        let beside = row::columns(record, who, &self.live_view.rules);
        let row = row::seal(record, beside, &self.sealer).ok_or_else(|| {
            rusqlite::Error::InvalidParameterName("a record could not be sealed".to_owned())
        })?;
        let id = record.id.as_u128();
        self.changed.push(id);
        if self.file.put(&StoredRow { id, beside, row })? {
            self.checksum.add(id);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u128) -> rusqlite::Result<()> {
        self.changed.push(id);
        if self.file.remove(id)? {
            self.checksum.remove(id);
        }
        Ok(())
    }

    /// All of it or nothing, on disk when this returns.
    pub(super) fn transact(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> Result<(), DiskFault> {
        // Kept apart until COMMIT has succeeded; a rollback puts both back.
        let (count, checksum) = (self.commits + 1, self.checksum);
        self.changed.clear();
        // In the same transaction as what pushed the tombstones out, so that a restart does not
        // take their tickets again.
        let floor = self.live_view.ended.floor();
        let all = || {
            self.file.run("BEGIN IMMEDIATE")?;
            work(self)?;
            if floor != self.floor {
                self.file.set_meta("floor", &floor.0.to_be_bytes())?;
            }
            self.file.set_meta("commits", &count.to_be_bytes())?;
            if checksum != self.checksum {
                self.checksum.keep(&self.file)?;
            }
            self.file.run("COMMIT")
        };
        if let Err(error) = all() {
            // Where SQLite has rolled back by itself, this fails, and nothing is lost by that.
            let _ = self.file.run("ROLLBACK");
            self.checksum = checksum;
            return Err(self.note(&error));
        }
        (self.commits, self.floor) = (count, floor);
        self.changed.drain(..).for_each(|id| self.live_view.marks.raise(id));
        if let Err(error) = self.counter.write(count) {
            tracing::warn!(%error, "the commit counter could not be written");
        }
        Ok(())
    }

    /// Says once what is wrong.
    pub(super) fn note(&mut self, error: &rusqlite::Error) -> DiskFault {
        let fault = DiskFault::of(error);
        match fault {
            DiskFault::Sync if self.live_view.capacity() != DiskCapacity::Failed => {
                // SECURITY: after a failed fsync the kernel may call the lost pages clean, and the
                // next fsync succeeds over them ("fsyncgate"). Nothing is acknowledged until a
                // restart has read what is really there.
                self.live_view.set_capacity(DiskCapacity::Failed);
                tracing::error!(
                    %error,
                    "the disk failed to sync: changes are refused, sessions can still be read; repair the disk and restart"
                );
            }
            DiskFault::Full if self.failing.is_none() => {
                tracing::error!(%error, "the disk is full: changes fail until there is space, sessions can still be read");
                // What waits in the log is worked into the database, and its room used again.
                self.checkpoint();
            }
            _ if self.failing.is_none() => tracing::error!(%error, "changes could not be written to disk"),
            _ => {}
        }
        self.failing = Some(fault);
        fault
    }

    /// They failed; so does what is queued and was derived from them. The disk's truth counts again.
    fn fail(&mut self, mut failed: Vec<RecordWrite>) {
        let mut sound = HashMap::new();
        for write in &failed {
            let file = &self.file;
            let truth = || {
                let beside = file.get(write.id).ok()?.map(|stored| stored.beside);
                Some((beside, file.ended(write.id).ok()?))
            };
            sound.insert(write.id, self.live_view.restore(write.id, write.who, truth));
        }
        // By number, not by id alone: what was decided after the truth was put back is sound.
        let derived = |write: &RecordWrite| sound.get(&write.id).is_some_and(|from| write.number < *from);
        failed.extend(self.live_view.queue.take_out(derived));
        for write in failed {
            let full = self.failing == Some(DiskFault::Full);
            let _ = write.answer.send(Err(if full { StoreError::Full } else { StoreError::Unavailable }));
        }
    }

    /// Writes touches behind: onto the row as it is on disk, so that no older state comes back with them.
    pub(super) fn flush(&mut self, now: Timestamp) {
        if self.live_view.capacity() == DiskCapacity::Failed {
            return;
        }
        let touched = self.live_view.touches.take();
        if touched.is_empty() {
            return;
        }
        self.background.flushed = now;
        let mut damaged = Vec::new();
        let outcome = self.transact(|writer| {
            for (id, traces) in &*touched {
                let Some(stored) = writer.file.get(*id)? else { continue };
                match row::open(*id, stored.beside, &stored.row, &writer.sealer) {
                    Some(record) => {
                        record.leave(traces);
                        writer.put(&record, stored.beside.who)?;
                    }
                    None if writer.keys.are_missing_for(&stored.row) => {}
                    None => damaged.push(stored),
                }
            }
            Ok(())
        });
        if outcome.is_ok() {
            self.live_view.touches.done();
        } else {
            tracing::warn!(touches = touched.len(), "last-seen times could not be written");
            self.live_view.touches.put_back();
        }
        for stored in damaged {
            self.set_aside(&stored);
        }
    }

    /// Works the write-ahead log into the database once it has grown.
    pub(super) fn checkpoint_if_grown(&mut self) {
        if self.file.frames().is_ok_and(|frames| frames >= self.checkpoint_at) {
            self.checkpoint();
            // What somebody still reads stays there, and is not tried again at once: each try goes through all of it.
            let left = self.file.frames().unwrap_or(0);
            self.checkpoint_at = if left < CHECKPOINT { CHECKPOINT } else { left + CHECKPOINT };
        }
    }

    fn checkpoint(&mut self) {
        if self.live_view.capacity() == DiskCapacity::Failed {
            return;
        }
        // Passive: it never waits for a reader, and copies what it can.
        let done = self.file.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match done.as_ref().map_err(DiskFault::of) {
            Err(DiskFault::Sync) => {
                if let Err(error) = done {
                    self.note(&error);
                }
            }
            Err(fault) => tracing::warn!(?fault, "the write-ahead log could not be checkpointed"),
            Ok(()) => {}
        }
    }

    /// How much room is left for new sessions.
    pub(super) fn measure(&mut self) {
        let (Some(most), Ok(pages)) = (self.max_bytes, self.file.pages()) else { return };
        let used = pages * PAGE;
        // Visitors without a name may fill one half, those who log in all but a sixteenth: that is for changes of what is
        // there.
        self.live_view.set_capacity(match used {
            used if used < most / 2 => DiskCapacity::Plenty,
            used if used < most / 16 * 15 => DiskCapacity::Logins,
            _ => DiskCapacity::None,
        });
    }
}

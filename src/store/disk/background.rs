//! What the writer does between commits, in small bites: warming memory after a start (which opens every row once, and so
//! finds the damaged ones), sweeping out what is over, flushing touches.

use std::sync::{Arc, atomic::Ordering};

use super::{live_view::DiskCapacity, packed_record, row, rows::StoredRow, writer::DiskWriter};
use crate::{clock::Timestamp, record::Record};

/// Rows in a bite: about a millisecond.
const BITE: usize = 128;
/// Milliseconds from one flush of touches to the next.
const FLUSH: u64 = 1000;
/// Milliseconds from one bite of the sweep to the next.
const SWEEP: u64 = 100;

/// Over how much is stepped where a page cannot be read: a 256th of all ids.
const STEP: u128 = 1 << 120;

/// Milliseconds from one look for tombstones that are over to the next: it goes through all of them.
const TOMBSTONE_SWEEP: u64 = 10_000;

/// Where it is.
#[derive(Debug, Default)]
pub(super) struct DiskWorker {
    /// After which row the warming goes on; `None`: it is over.
    pub(super) warming: Option<u128>,
    /// Rows that were opened.
    warmed: u64,
    /// Of those, how many were sealed anew; and whether any could not be.
    resealed: u64,
    unsealed: bool,
    /// After which row the sweep goes on.
    sweeping: Option<u128>,
    swept: Timestamp,
    tombstones_swept: Timestamp,
    pub(super) flushed: Timestamp,
    /// It was told that a page cannot be read.
    has_warned: bool,
}

/// Where a bite ends: always further on, whatever a key has become.
fn end(rows: &[StoredRow], after: Option<u128>) -> Option<u128> {
    let after = after.unwrap_or(0);
    rows.iter().rev().map(|stored| stored.id).find(|id| *id > after)
}

impl DiskWorker {
    /// From the first row on.
    pub(super) fn warm() -> Self {
        Self { warming: Some(0), ..Self::default() }
    }

    pub(super) fn is_warming(&self) -> bool {
        self.warming.is_some()
    }
}

impl DiskWriter {
    /// After each batch, and whenever there is none.
    pub(super) fn look_after(&mut self, now: Timestamp) {
        if now.0 >= self.background.flushed.0 + FLUSH {
            self.background.flushed = now;
            self.flush(now);
        }
        if let Some(after) = self.background.warming {
            self.warm(after);
        } else if now.0 >= self.background.swept.0 + SWEEP {
            self.background.swept = now;
            self.sweep(now);
            self.measure();
        }
        // After the sweep: what it has just taken out is not packed.
        self.pack_what_left();
        self.checkpoint_if_grown();
    }

    /// The next rows, and where they end; a page that cannot be read is stepped over.
    fn bite(&mut self, after: Option<u128>) -> (Vec<StoredRow>, Option<u128>) {
        match self.file.after(after, BITE) {
            Ok(mut rows) => {
                let end = end(&rows, after);
                // A key that is no id is found by nobody, and is left to the next start.
                rows.retain(|stored| stored.id > 0);
                (rows, end)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.background.has_warned, true) {
                    tracing::error!(%error, "a page of the database cannot be read: expired sessions there are not removed; restart to repair it");
                }
                (Vec::new(), after.unwrap_or(0).checked_add(STEP))
            }
        }
    }

    fn warm(&mut self, after: u128) {
        let (rows, end) = self.bite((after > 0).then_some(after));
        self.background.warming = end;
        self.background.warmed += rows.len() as u64;
        let mut old = Vec::new();
        for stored in rows {
            match row::open_aged(stored.id, stored.beside, &stored.row, &self.sealer) {
                // Kept, and not set aside: the operator may only have forgotten a key among
                // `previous`.
                None if self.keys.are_missing_for(&stored.row) => {
                    self.live_view.locked.fetch_add(1, Ordering::Relaxed);
                }
                None => self.set_aside(&stored),
                Some((record, current)) => {
                    self.pack_away(&record);
                    if !current {
                        old.push((record, stored.beside.who));
                    }
                }
            }
        }
        // In bites like everything here, so that visitors' writes wait for one bite at most.
        self.reseal(&old);
        if self.background.warming.is_none() {
            let damaged = self.live_view.damaged.load(Ordering::Relaxed);
            self.live_view.warming.store(false, Ordering::Relaxed);
            tracing::info!(sessions = self.background.warmed, damaged, "all sessions on disk were read");
            self.tell_of_keys();
        }
    }

    /// Packs a record away as it is on disk, if there is room.
    fn pack_away(&self, record: &Record) {
        let id = record.id.as_u128();
        self.live_view.touches.leave_on(id, record);
        if self.live_view.known.has_room()
            && let Some(packed) = packed_record::pack(record)
        {
            self.live_view.keep_packed(id, packed);
        }
    }

    /// What there was no room for among the records in use. Read from disk, so that nothing older than that is packed.
    fn pack_what_left(&self) {
        for id in self.live_view.take_left(BITE) {
            if let Ok(Some(stored)) = self.file.get(id)
                && let Some(record) = row::open(id, stored.beside, &stored.row, &self.sealer)
            {
                self.pack_away(&record);
            }
        }
    }

    /// Rows under a previous key, so that it may go.
    fn reseal(&mut self, old: &[(Record, Option<u128>)]) {
        if old.is_empty() {
            return;
        }
        if self.live_view.capacity() == DiskCapacity::Failed {
            self.background.unsealed = true;
            return;
        }
        let outcome =
            self.transact(|writer| old.iter().try_for_each(|(record, who)| writer.put(record, *who)));
        match outcome {
            Ok(()) => self.background.resealed += old.len() as u64,
            Err(_) => self.background.unsealed = true,
        }
    }

    fn tell_of_keys(&mut self) {
        let locked = self.live_view.locked.load(Ordering::Relaxed);
        let DiskWorker { resealed, unsealed, .. } = self.background;
        if locked > 0 {
            tracing::error!(
                sessions = locked,
                "sessions are sealed under a key that is not in [keys]: add it to previous; until then they cannot be used"
            );
        } else if unsealed {
            tracing::warn!("not all sessions could be sealed under the current key: keep the previous keys");
        } else if let Err(error) = self.keys.settle(&self.file) {
            tracing::warn!(%error, "it could not be recorded that no previous key is needed");
        } else if resealed > 0 {
            tracing::info!(
                sessions = resealed,
                "all sessions are sealed under the current key: the store needs no previous key any more"
            );
        }
    }

    /// The next bite, and tombstones whose time is over.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        if self.live_view.capacity() == DiskCapacity::Failed {
            return;
        }
        let (rows, end) = self.bite(self.background.sweeping);
        self.background.sweeping = end;
        let over: Vec<_> = rows.into_iter().filter(|stored| stored.beside.until <= now.0).collect();
        let first = self.background.sweeping.is_none();
        if !over.is_empty() {
            self.remove_expired(&over, now);
        }
        if first {
            let idle = self.live_view.rules.plain.idle_timeout;
            let oldest = Timestamp(now.0.saturating_sub(idle.as_millis() as u64)).max(self.floor);
            // An idle store does no writes: a transaction only when there is something to do.
            if now.0 >= self.background.tombstones_swept.0 + TOMBSTONE_SWEEP {
                self.background.tombstones_swept = now;
                if self.file.has_tombstones_before(oldest).unwrap_or(false) {
                    let _ = self.transact(|writer| writer.file.remove_tombstones_before(oldest).map(drop));
                }
            }
            self.live_view.sweep(now);
        }
    }

    /// Takes out what is over by the rules of today, and by what memory knows of it.
    fn remove_expired(&mut self, over: &[StoredRow], now: Timestamp) {
        let live_view = Arc::clone(&self.live_view);
        let mut damaged = Vec::new();
        let outcome = self.transact(|writer| {
            for stored in over {
                let opened = row::open(stored.id, stored.beside, &stored.row, &writer.sealer);
                let read = opened.map(Arc::new);
                let mut outcome = Ok(());
                live_view.forget(stored.id, stored.beside.who, || {
                    let Some(record) = live_view.live(stored.id).or(read) else {
                        if writer.keys.are_missing_for(&stored.row) {
                            outcome = writer.remove(stored.id);
                            return outcome.is_ok();
                        }
                        damaged.push(stored);
                        return false;
                    };
                    // The column on disk may be older than what memory knows, or than the lifetimes
                    // of today: what is alive by these is written anew instead.
                    let over = row::columns(&record, stored.beside.who, &live_view.rules).until <= now.0;
                    outcome =
                        if over { writer.remove(stored.id) } else { writer.put(&record, stored.beside.who) };
                    over && outcome.is_ok()
                });
                outcome?;
            }
            Ok(())
        });
        if outcome.is_ok() {
            for stored in damaged {
                self.set_aside(stored);
            }
        }
    }
}

//! What this node knows of sessions that visitors carry themselves, and that are not what they were: ended, or spent by a
//! login that renewed them. A copy of the cookie would else be good until its idle time is over.
//!
//! One entry a session: copies of it that were renewed before a time are spent; once it has ended, all are. It is kept
//! until the last copy would be over by itself, within a budget; past it one time stands for all that were pushed out,
//! and no copy that was sealed before is taken: who has been idle for longest may have to log in again, and nobody who
//! has logged out is logged in.

mod log;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{
    Expiry,
    notification::RemovalCause,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::RevocationMemory,
    record::{EndReason, Record, SessionEnd},
    store::{StoreError, disk::OpenError},
};
use log::RevocationLog;

/// Bytes of an entry, with what the cache needs.
const BYTES: u64 = 200;

/// How long after a login it matters whether the browser has its cookie.
const ASKED_FOR: Duration = Duration::from_mins(1);

/// What is known of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RevokedSession {
    /// Copies that were renewed before this are spent, in milliseconds since 1970; `u64::MAX`: it has ended.
    below: u64,
    /// Since when.
    at: u64,
    /// Until a copy could still be good.
    until: u64,
    /// Its ticket was replaced because the time had come: nothing happened.
    by_rotation: bool,
    /// A copy that took the place of those was shown; not kept on disk.
    came_back: bool,
    /// When it was last renewed by what brought more than another ticket, and when by what may have been a login: times
    /// of copies, as `below`. Not kept on disk, since nothing that was under way then outlives the process.
    changed: u64,
    new_login: u64,
}

/// What renewals brought to a session, as far as an answer cares that was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RenewalEffect {
    /// Another ticket ([`Record::is_just_as`]).
    Nothing,
    /// Other values.
    Changes,
    /// Perhaps somebody who logged in ([`Record::is_still_of`], [`Record::has_new_login`]).
    Newcomer,
}

impl RenewalEffect {
    /// By one renewal.
    pub(super) fn of(before: &Record, after: &Record) -> Self {
        if !after.is_still_of(before) || after.has_new_login(before) {
            Self::Newcomer
        } else if after.version == before.version && after.is_just_as(before) {
            Self::Nothing
        } else {
            Self::Changes
        }
    }
}

/// A copy that takes the place of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyRenewal {
    /// When the one that it follows was renewed.
    pub before: Timestamp,
    /// When this one is.
    pub renewed: Timestamp,
    /// What it brings.
    pub since: RenewalEffect,
}

impl RevokedSession {
    /// It ends now, in every copy; `lasts`: how long one could still be good.
    fn end(now: Timestamp, lasts: Duration) -> Self {
        Self {
            below: u64::MAX,
            at: now.0,
            until: now.plus(lasts).0,
            by_rotation: false,
            came_back: false,
            changed: 0,
            new_login: 0,
        }
    }

    /// Whether it goes on, and no more than that has happened to it since the copy that was renewed at this time.
    fn goes_on_for(&self, most: RenewalEffect, copy: Timestamp) -> bool {
        self.below != u64::MAX
            && match most {
                RenewalEffect::Nothing => self.changed.max(self.new_login) <= copy.0,
                RenewalEffect::Changes => self.new_login <= copy.0,
                RenewalEffect::Newcomer => true,
            }
    }

    /// The stricter of two.
    fn merge(self, other: Self) -> Self {
        // Merging never forgets: of two revocations the one that spends more copies wins, in
        // whichever order they arrive.
        let (less, more) = if self.below <= other.below { (self, other) } else { (other, self) };
        Self {
            until: less.until.max(more.until),
            // What happened before a rotation has happened.
            at: if more.by_rotation && !less.by_rotation { less.at } else { more.at },
            by_rotation: less.by_rotation && more.by_rotation,
            came_back: more.came_back || (less.below == more.below && less.came_back),
            changed: less.changed.max(more.changed),
            new_login: less.new_login.max(more.new_login),
            ..more
        }
    }
}

/// Sessions that have ended, and those that were renewed.
#[derive(Debug)]
pub struct Revocations(Option<KnownCopies>);

#[derive(Debug)]
struct KnownCopies {
    entries: Cache<u128, RevokedSession>,
    /// Milliseconds.
    floor: Arc<AtomicU64>,
    log: Option<RevocationLog>,
}

struct RevocationExpiry;

impl Expiry<u128, RevokedSession> for RevocationExpiry {
    fn expire_after_create(&self, _: &u128, entry: &RevokedSession, _: Instant) -> Option<Duration> {
        Some(Timestamp(entry.until).since(Timestamp::now()))
    }

    fn expire_after_update(
        &self,
        _: &u128,
        entry: &RevokedSession,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(Timestamp(entry.until).since(Timestamp::now()))
    }
}

impl Revocations {
    /// Remembers, within so many bytes of memory; on disk in this folder. `patience`: how long the disk may take. `died`
    /// is called if its thread ends by itself.
    ///
    /// # Errors
    /// What is on disk cannot be opened.
    pub fn open(
        remembers: RevocationMemory,
        max_bytes: u64,
        folder: &Path,
        timeout: Duration,
        died: impl FnOnce() + Send + 'static,
    ) -> Result<Self, OpenError> {
        // With `revocations = "off"` a logout only takes the browser's cookie back, as the
        // documentation says of it.
        if remembers == RevocationMemory::Off {
            return Ok(Self(None));
        }
        let mut known = KnownCopies::new(max_bytes);
        if remembers == RevocationMemory::Disk {
            let (log, all) = RevocationLog::open(folder, timeout, died)?;
            for (id, entry) in all {
                known.note(id, entry);
            }
            known.log = Some(log);
        }
        Ok(Self(Some(known)))
    }

    /// Remembers until the process ends, within so many bytes.
    pub fn in_memory(max_bytes: u64) -> Self {
        Self(Some(KnownCopies::new(max_bytes)))
    }

    /// It has ended, in every copy. `lasts`: how long one could still be good. Once this returns it is kept.
    ///
    /// # Errors
    /// It could not be kept, and has not ended.
    pub(super) async fn end(&self, id: Uuid, now: Timestamp, lasts: Duration) -> Result<(), StoreError> {
        // Whether it was spent already or not.
        self.record_revocation(id, RevokedSession::end(now, lasts), |_| true).await.map(drop)
    }

    /// The same for the copies that took the place of a spent one, under which an answer ends the session. `most`: what
    /// may have happened to it since that copy; the session of somebody who was named is nobody else's, whatever happened.
    /// False if there are none, or more has happened.
    pub(super) async fn end_copies(
        &self,
        (id, copy): (Uuid, Timestamp),
        most: RenewalEffect,
        now: Timestamp,
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        // Nothing is remembered, so nobody knows which copies there are to be ended.
        if self.0.is_none() {
            return Ok(false);
        }
        let goes_on =
            |there: Option<&RevokedSession>| there.is_some_and(|there| there.goes_on_for(most, copy));
        self.record_revocation(id, RevokedSession::end(now, lasts), goes_on).await
    }

    /// It goes on in copies that were renewed with this one or later; all others are spent. False if the one that it follows
    /// was spent already: of two that would follow it one does.
    ///
    /// # Errors
    /// It could not be kept, and nothing is spent.
    pub(super) async fn spend(
        &self,
        id: Uuid,
        renewal: CopyRenewal,
        now: Timestamp,
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        let CopyRenewal { before, renewed, since } = renewal;
        let (changed, new_login) = match since {
            RenewalEffect::Nothing => (0, 0),
            RenewalEffect::Changes => (renewed.0, 0),
            RenewalEffect::Newcomer => (0, renewed.0),
        };
        let entry =
            RevokedSession { below: renewed.0, changed, new_login, ..RevokedSession::end(now, lasts) };
        self.record_revocation(id, entry, |there| there.is_none_or(|there| before.0 >= there.below)).await
    }

    /// The same, because the time had come for another ticket: nothing is lost if this is.
    pub(super) fn spend_rotated(&self, id: Uuid, renewed: Timestamp, now: Timestamp, lasts: Duration) {
        let Some(known) = &self.0 else { return };
        let is_new = known.entries.get(&id.as_u128()).is_none_or(|entry| entry.below < renewed.0);
        if is_new {
            let entry =
                RevokedSession { below: renewed.0, by_rotation: true, ..RevokedSession::end(now, lasts) };
            known.note(id.as_u128(), entry);
            if let Some(log) = &known.log {
                // Not waited for: after a crash the old copy is good once more, and nothing
                // happened that it must not see.
                drop(log.write(id.as_u128(), entry));
            }
        }
    }

    /// Keeps it, if what is known by then allows it; whether it does.
    async fn record_revocation(
        &self,
        id: Uuid,
        entry: RevokedSession,
        allows: impl FnOnce(Option<&RevokedSession>) -> bool,
    ) -> Result<bool, StoreError> {
        let Some(known) = &self.0 else { return Ok(true) };
        let id = id.as_u128();
        let mut replaced = None;
        // One step under moka's lock: of two renewals of one session exactly one is allowed.
        let done = known.entries.entry(id).and_compute_with(|there| {
            replaced = there.map(moka::Entry::into_value);
            match replaced {
                there if !allows(there.as_ref()) => Op::Nop,
                Some(there) => Op::Put(there.merge(entry)),
                None => Op::Put(entry),
            }
        });
        let (CompResult::Inserted(noted) | CompResult::ReplacedWith(noted)) = done else { return Ok(false) };
        let Some(log) = &known.log else { return Ok(true) };
        // In memory first and then on disk, so that no request slips in under the old copy while
        // the disk syncs.
        let kept = log.write(id, noted.value().to_owned()).wait().await;
        if let Err(error) = kept {
            // Nobody is told, and so it has not happened; unless something else has meanwhile.
            let noted = noted.into_value();
            known.entries.entry(id).and_compute_with(|there| {
                match (there.map(moka::Entry::into_value), replaced) {
                    (Some(there), Some(before)) if there == noted => Op::Put(before),
                    (Some(there), None) if there == noted => Op::Remove,
                    _ => Op::Nop,
                }
            });
            return Err(error);
        }
        Ok(true)
    }

    /// Since when a copy that was renewed then is spent, or the session ended: apps alone end such.
    pub(super) fn find(&self, id: Uuid, renewed: Timestamp) -> Option<SessionEnd> {
        let entry = self.entry(id)?;
        let by = if entry.below == u64::MAX { EndReason::App } else { EndReason::Renewed };
        (renewed.0 < entry.below).then_some(SessionEnd { at: Timestamp(entry.at), by })
    }

    /// Whether a session has ended, or was renewed but for the clock, and it does not hold of that time.
    pub(super) fn happened_to(&self, id: Uuid, holds: impl Fn(Timestamp) -> bool) -> bool {
        let renewed = |entry: RevokedSession| !entry.by_rotation && !holds(Timestamp(entry.below));
        self.entry(id).is_some_and(|entry| entry.below == u64::MAX || renewed(entry))
    }

    /// Whether it goes on, in copies that were renewed.
    pub(super) fn goes_on(&self, id: Uuid) -> bool {
        self.entry(id).is_some_and(|entry| entry.below != u64::MAX)
    }

    /// The same, and no more than that has happened to it since the copy that was renewed at this time.
    pub(super) fn goes_on_for(&self, id: Uuid, most: RenewalEffect, copy: Timestamp) -> bool {
        self.entry(id).is_some_and(|entry| entry.goes_on_for(most, copy))
    }

    /// Whether one of those was shown.
    pub(super) fn has_come_back(&self, id: Uuid) -> bool {
        self.entry(id).is_some_and(|entry| entry.came_back)
    }

    /// A session was shown: that it took the place of others is noted for as long as anybody could ask.
    pub(super) fn successor_came(&self, record: &Record, now: Timestamp) {
        let Some(known) = &self.0 else { return };
        let id = record.id.as_u128();
        // Cheap exits for nearly every request: the map is not looked at.
        if record.renewed == record.created || now.since(record.renewed) > ASKED_FOR {
            return;
        }
        if let Some(entry) = known.entries.get(&id)
            && entry.below == record.renewed.0
            && !entry.came_back
        {
            known.note(id, RevokedSession { came_back: true, ..entry });
        }
    }

    fn entry(&self, id: Uuid) -> Option<RevokedSession> {
        self.0.as_ref()?.entries.get(&id.as_u128())
    }

    /// No copy that was sealed before is taken.
    pub(super) fn floor(&self) -> Timestamp {
        Timestamp(self.0.as_ref().map_or(0, |known| known.floor.load(Ordering::Relaxed)))
    }

    /// Work that moka leaves to others.
    pub fn sweep(&self) {
        if let Some(known) = &self.0 {
            known.entries.run_pending_tasks();
        }
    }

    /// Writes what there is to write. Afterwards nothing is taken any more.
    pub fn close(&self) {
        if let Some(log) = self.0.as_ref().and_then(|known| known.log.as_ref()) {
            log.close();
        }
    }
}

impl KnownCopies {
    fn new(max_bytes: u64) -> Self {
        let floor = Arc::new(AtomicU64::new(0));
        let raised = Arc::clone(&floor);
        let entries = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity((max_bytes / BYTES).max(1))
            .expire_after(RevocationExpiry)
            .eviction_listener(move |_, entry: RevokedSession, cause| {
                if cause == RemovalCause::Size {
                    // SECURITY: what is pushed out for want of room must not come back to life.
                    // Every copy that was sealed before is refused instead.
                    raised.fetch_max(entry.at + 1, Ordering::Relaxed);
                }
            })
            .build();
        Self { entries, floor, log: None }
    }

    fn note(&self, id: u128, entry: RevokedSession) {
        self.entries
            .entry(id)
            .and_compute_with(|known| Op::Put(known.map_or(entry, |known| known.into_value().merge(entry))));
    }
}

//! Sessions in memory. People (with a principal) may use all of `max_bytes` and are never evicted: past the budget
//! their creation is refused. Visitors share at most half, longest unused first; those whose ticket never came back
//! have a quarter of that for themselves, so that a flood evicts only its like.

use std::{
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

use super::{Applied, StoreError};
use crate::{
    clock::Timestamp,
    config::Session,
    session::{
        commit::{Apply, Decision, Found, decide},
        record::Record,
    },
};

type Records = Cache<u128, Arc<Record>>;
type Tombstones = Cache<u128, Timestamp>;

const TOMBSTONE_BYTES: u64 = 160;

/// The memory store.
#[derive(Debug)]
pub struct Memory {
    people: Records,
    visitors: Records,
    unconfirmed: Records,
    ended: Tombstones,
    used: Arc<AtomicU64>,
    max_bytes: u64,
    /// Seconds; no ticket without a record that was stamped before is taken.
    floor: Arc<AtomicU64>,
}

/// Records leave when they are over, and an idle time later: until then they are their own tombstone.
#[derive(Clone)]
struct Until(Session);

impl Expiry<u128, Arc<Record>> for Until {
    fn expire_after_create(&self, _: &u128, record: &Arc<Record>, _: Instant) -> Option<Duration> {
        let lifetimes = if record.permanent { self.0.permanent } else { self.0.plain };
        let left = record.ends(&self.0).since(record.last_seen());
        // Touches are saved late, and a record that ended stays for an idle time as its own tombstone.
        Some(left + self.0.touch_interval + self.0.plain.idle_timeout.max(lifetimes.idle_timeout / 8))
    }

    fn expire_after_update(
        &self,
        key: &u128,
        record: &Arc<Record>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, record, now)
    }
}

impl Memory {
    /// An empty store: no ticket without a record from before its birth is taken.
    pub fn new(max_bytes: u64, rules: &Session, now: Timestamp) -> Self {
        let used = Arc::new(AtomicU64::new(0));
        let floor = Arc::new(AtomicU64::new(u64::from(now.seconds())));
        let ended = tombstones(max_bytes / 16, rules, Arc::clone(&floor));
        let bounded = |bytes: u64| {
            let graves = ended.clone();
            Records::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(bytes)
                .weigher(|_, r: &Arc<Record>| r.weight())
                .expire_after(Until(rules.clone()))
                .eviction_listener(move |id, record, cause| {
                    // Who is pushed out is a stranger afterwards, under a new id.
                    if cause == RemovalCause::Size {
                        graves.insert(*id, record.last_seen());
                    }
                })
                .build()
        };
        let freed = Arc::clone(&used);
        let people = Records::builder()
            .expire_after(Until(rules.clone()))
            .eviction_listener(move |_, record, _| {
                freed.fetch_sub(u64::from(record.weight()), Ordering::Relaxed);
            })
            .build();
        Self {
            people,
            visitors: bounded(max_bytes / 8 * 3),
            unconfirmed: bounded(max_bytes / 8),
            ended,
            used,
            max_bytes,
            floor,
        }
    }

    /// How many records there are, roughly.
    pub fn len(&self) -> u64 {
        self.people.entry_count() + self.visitors.entry_count() + self.unconfirmed.entry_count()
    }

    /// True without any record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No ticket without a record that was stamped before is taken.
    pub fn floor(&self) -> Timestamp {
        Timestamp(self.floor.load(Ordering::Relaxed) * 1000)
    }

    /// Work that moka leaves to others: expiry and eviction. Called from a thread of its own.
    pub fn sweep(&self) {
        for cache in [&self.people, &self.visitors, &self.unconfirmed] {
            cache.run_pending_tasks();
        }
        self.ended.run_pending_tasks();
    }

    /// What is under this id. People, visitors, people: a login puts first and takes away after.
    pub fn load(&self, id: u128, rules: &Session, now: Timestamp) -> Found {
        let record = self.people.get(&id).or_else(|| self.unpeopled(id)).or_else(|| self.people.get(&id));
        match record {
            Some(record) if record.ends(rules) > now => Found::Live(record),
            Some(record) => Found::Ended(record.ends(rules)),
            None => self.ended.get(&id).map_or(Found::Nothing, Found::Ended),
        }
    }

    /// Visitors, unconfirmed, visitors: one whose ticket comes back is put there first and taken away here after.
    fn unpeopled(&self, id: u128) -> Option<Arc<Record>> {
        self.visitors.get(&id).or_else(|| self.unconfirmed.get(&id)).or_else(|| self.visitors.get(&id))
    }

    /// Decides on the record as it is now, and keeps what comes of it.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was changed.
    pub fn apply(&self, id: u128, apply: &Apply<'_>) -> Result<Applied, StoreError> {
        let mut applied = Applied::Nothing;
        let result = self.people.entry(id).and_try_compute_with(|entry| {
            let mine = entry.map(moka::Entry::into_value);
            let personal = mine.as_ref().map_or(0, |r| u64::from(r.weight()));
            let found = match mine.or_else(|| self.unpeopled(id)) {
                Some(r) if r.ends(apply.rules) > apply.now => Found::Live(r),
                Some(r) => Found::Ended(r.ends(apply.rules)),
                None => self.ended.get(&id).map_or(Found::Nothing, Found::Ended),
            };
            match decide(&found, apply) {
                Decision::Nothing => Ok(Op::Nop),
                Decision::Straggler => {
                    applied = Applied::Straggler;
                    Ok(Op::Nop)
                }
                Decision::End => {
                    self.ended.insert(id, apply.now);
                    self.forget(id);
                    applied = Applied::Ended;
                    Ok(if personal > 0 { Op::Remove } else { Op::Nop })
                }
                Decision::Save { record, renewed } => {
                    let record = Arc::new(*record);
                    applied = Applied::Saved { record: Arc::clone(&record), renewed };
                    self.keep(id, record, personal)
                }
            }
        })?;
        if matches!(result, CompResult::Inserted(_) | CompResult::ReplacedWith(_)) {
            self.forget(id);
        }
        Ok(applied)
    }

    /// `before`: what the record weighed among people. A full store refuses growth only: whoever is logged in can
    /// still change a field for one that is no longer, and log out.
    fn keep(&self, id: u128, record: Arc<Record>, before: u64) -> Result<Op<Arc<Record>>, StoreError> {
        let weight = u64::from(record.weight());
        if record.principal.is_some() {
            // The old weight is given back by the listener when moka replaces the entry.
            let used = self.used.fetch_add(weight, Ordering::Relaxed) + weight;
            if weight > before && used.saturating_sub(before) > self.max_bytes {
                self.used.fetch_sub(weight, Ordering::Relaxed);
                return Err(StoreError::Full);
            }
            return Ok(Op::Put(record));
        }
        if record.is_confirmed() {
            self.visitors.insert(id, record);
            self.unconfirmed.invalidate(&id);
        } else {
            self.unconfirmed.insert(id, record);
        }
        Ok(Op::Nop)
    }

    fn forget(&self, id: u128) {
        self.visitors.invalidate(&id);
        self.unconfirmed.invalidate(&id);
    }

    /// A request came under this record: it moves to the young end, and its time starts anew. Under the lock of its
    /// id, and only if it is still the record: one that changed meanwhile has its time already, and one that ended
    /// must not come back.
    pub fn touch(&self, id: u128, record: &Arc<Record>) {
        self.people.entry(id).and_compute_with(|entry| {
            if let Some(entry) = entry {
                if !Arc::ptr_eq(entry.value(), record) {
                    return Op::Nop;
                }
                self.used.fetch_add(u64::from(record.weight()), Ordering::Relaxed);
                return Op::Put(Arc::clone(record));
            }
            if self.unpeopled(id).is_some_and(|now| Arc::ptr_eq(&now, record)) {
                if record.is_confirmed() {
                    self.visitors.insert(id, Arc::clone(record));
                    self.unconfirmed.invalidate(&id);
                } else {
                    self.unconfirmed.insert(id, Arc::clone(record));
                }
            }
            Op::Nop
        });
    }
}

fn tombstones(bytes: u64, rules: &Session, floor: Arc<AtomicU64>) -> Tombstones {
    Tombstones::builder()
        .eviction_policy(EvictionPolicy::lru())
        .max_capacity(bytes / TOMBSTONE_BYTES)
        .time_to_live(rules.plain.idle_timeout)
        .eviction_listener(move |_, at: Timestamp, cause| {
            // Past the budget one time stands for all that were pushed out.
            if cause == RemovalCause::Size {
                floor.fetch_max(u64::from(at.seconds()) + 1, Ordering::Relaxed);
            }
        })
        .build()
}

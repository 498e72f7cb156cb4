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

use super::{
    AppliedChange, ById, FoundRecord, StoreError, UpdateRequest, UpdateResult,
    page::RecordPage,
    past_views::PastViews,
    principals::{LONGEST_REQUEST, LoginDenied, PrincipalIndex},
    tombstones::TombstoneSet,
    update::{UpdateSteps, carry_out},
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto,
    record::{EndReason, Record, SecretHash, SessionEnd},
};
use uuid::Uuid;

type RecordCache = Cache<u128, Arc<Record>, ById>;

/// The memory store.
#[derive(Debug)]
pub struct MemoryStore {
    logged_in: RecordCache,
    visitors: RecordCache,
    unconfirmed: RecordCache,
    ended: TombstoneSet,
    past: PastViews,
    principals: Arc<PrincipalIndex>,
    used: Arc<AtomicU64>,
    max_bytes: u64,
    rules: SessionConfig,
}

/// Records leave when they are over, and an idle time later: until then they are their own tombstone.
#[derive(Clone)]
struct RecordExpiry(SessionConfig);

impl Expiry<u128, Arc<Record>> for RecordExpiry {
    fn expire_after_create(&self, _: &u128, record: &Arc<Record>, _: Instant) -> Option<Duration> {
        let lifetimes =
            if record.outlives_browser(record.last_seen()) { self.0.permanent } else { self.0.plain };
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

impl MemoryStore {
    /// An empty store: no ticket without a record from before its birth is taken.
    pub fn new(max_bytes: u64, rules: &SessionConfig, now: Timestamp) -> Self {
        let used = Arc::new(AtomicU64::new(0));
        let ended = TombstoneSet::new(max_bytes / 16, rules, now);
        let bounded = |bytes: u64| {
            let tombstones = ended.clone();
            Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(bytes)
                .weigher(|_, r: &Arc<Record>| r.weight())
                .expire_after(RecordExpiry(rules.clone()))
                .eviction_listener(move |id, record, cause| {
                    // Who is pushed out is a stranger afterwards, under a new id.
                    if cause == RemovalCause::Size {
                        tombstones.push_out(*id, record.last_seen());
                    }
                })
                .build_with_hasher(ById::default())
        };
        let freed = Arc::clone(&used);
        let principals = Arc::new(PrincipalIndex::new(&crypto::random()));
        let index = Arc::clone(&principals);
        let logged_in = Cache::builder()
            .expire_after(RecordExpiry(rules.clone()))
            .eviction_listener(move |id, record: Arc<Record>, cause| {
                freed.fetch_sub(u64::from(record.weight()), Ordering::Relaxed);
                if cause != RemovalCause::Replaced
                    && let Some(name) = &record.principal
                {
                    index.leave(index.who((&record.realm, name)), *id);
                }
            })
            .build_with_hasher(ById::default());
        Self {
            logged_in,
            visitors: bounded(max_bytes / 8 * 3),
            unconfirmed: bounded(max_bytes / 8),
            ended,
            past: PastViews::new(max_bytes / 32),
            principals,
            used,
            max_bytes,
            rules: rules.clone(),
        }
    }

    /// How many records there are, roughly.
    #[expect(clippy::len_without_is_empty, reason = "the store above has it")]
    pub fn len(&self) -> u64 {
        self.logged_in.entry_count() + self.visitors.entry_count() + self.unconfirmed.entry_count()
    }

    /// See [`RecordStore::past`](super::RecordStore::past).
    pub fn past(&self, id: u128, secret: &SecretHash) -> Option<Arc<Record>> {
        self.past.find(id, secret)
    }

    /// No ticket without a record that was stamped before is taken.
    pub fn floor(&self) -> Timestamp {
        self.ended.floor()
    }

    /// Work that moka leaves to others: expiry and eviction. Called from a thread of its own.
    pub fn sweep(&self) {
        for cache in [&self.logged_in, &self.visitors, &self.unconfirmed] {
            cache.run_pending_tasks();
        }
        self.ended.sweep();
        self.past.sweep();
        self.principals.sweep(Timestamp::now(), LONGEST_REQUEST);
    }

    /// The sessions of this principal in this realm ([`Record::realm`]), oldest login first.
    pub fn of(&self, realm: &str, principal: &str) -> Vec<Uuid> {
        self.principals.of(self.principals.who((realm, principal))).into_iter().map(Uuid::from_u128).collect()
    }

    /// Shows a page every id that there is; one that moves meanwhile it may see twice.
    pub(super) fn page(&self, page: &mut RecordPage) {
        for cache in [&self.unconfirmed, &self.visitors, &self.logged_in] {
            cache.iter().for_each(|(id, _)| page.see(*id));
        }
    }

    /// Ends a session; whether there was one. Ending what has ended is no error.
    pub fn delete(&self, id: u128, end: SessionEnd) -> bool {
        let mut there = false;
        self.logged_in.entry(id).and_compute_with(|entry| {
            let is_logged_in = entry.is_some();
            let record = entry.map(moka::Entry::into_value).or_else(|| self.unpeopled(id));
            there = record.is_some();
            self.ended.add(
                id,
                self.ended.first(id, record.and_then(|record| record.ended(&self.rules, end.at)), end),
            );
            self.past.remove(id);
            self.forget(id);
            if is_logged_in { Op::Remove } else { Op::Nop }
        });
        there
    }

    /// Ends every session of this principal, and each login of theirs whose request began before; how many there
    /// were.
    pub fn delete_all_of(&self, realm: &str, principal: &str, end: SessionEnd) -> usize {
        // First the name: a login that comes after is denied, one that came before is among these.
        let all = self.principals.end(self.principals.who((realm, principal)), end.at);
        all.iter().filter(|id| self.delete(**id, end)).count()
    }

    /// What is under this id. First those who are logged in, then visitors, then the first again: a login puts first and takes away after.
    pub fn load(&self, id: u128, now: Timestamp) -> FoundRecord {
        let record =
            self.logged_in.get(&id).or_else(|| self.unpeopled(id)).or_else(|| self.logged_in.get(&id));
        match record {
            Some(record) => FoundRecord::of(record, &self.rules, now),
            None => self.ended.find(id),
        }
    }

    /// Visitors, unconfirmed, visitors: one whose ticket comes back is put there first and taken away here after.
    fn unpeopled(&self, id: u128) -> Option<Arc<Record>> {
        self.visitors.get(&id).or_else(|| self.unconfirmed.get(&id)).or_else(|| self.visitors.get(&id))
    }

    /// Asks what is decided on the record as it is now, and keeps what comes of it.
    ///
    /// # Errors
    /// See [`StoreError`]: nothing was changed.
    pub fn update(&self, request: &UpdateRequest<'_>) -> Result<UpdateResult, StoreError> {
        let id = request.id.as_u128();
        let mut result = UpdateResult::from(AppliedChange::Nothing);
        let mut gone = Vec::new();
        let mut all_of = None;
        // The lock of an id is that of `logged_in`, whether it holds the record or not: all three
        // caches change under it.
        let done = self.logged_in.entry(id).and_try_compute_with(|entry| {
            let mine = entry.map(moka::Entry::into_value);
            let weight = mine.as_ref().map_or(0, |record| u64::from(record.weight()));
            let found = match mine.or_else(|| self.unpeopled(id)) {
                Some(record) => FoundRecord::of(record, request.rules, request.now),
                None => request.floored(self.ended.find(id), self.floor()),
            };
            let decision = (request.decide)(&found);
            let mut steps = MemorySteps { store: self, request, weight, op: Op::Nop, gone: Vec::new() };
            (result.change, all_of) = carry_out(decision.action, &mut steps)?;
            result.notes = decision.notes;
            gone = steps.gone;
            Ok(steps.op)
        })?;
        if matches!(done, CompResult::Inserted(_) | CompResult::ReplacedWith(_)) {
            self.forget(id);
        }
        for other in gone {
            result.evicted.push(Uuid::from_u128(other));
            self.delete(other, SessionEnd { at: request.now, by: EndReason::Limit });
        }
        if let Some((realm, name)) = all_of {
            self.delete_all_of(&realm, &name, SessionEnd { at: request.now, by: EndReason::Everywhere });
        }
        Ok(result)
    }

    /// `before`: what the record weighed among those who are logged in. A full store refuses growth only: whoever is logged in can
    /// still change a field for one that is no longer, and log out.
    fn keep(&self, id: u128, record: Arc<Record>, before: u64) -> Result<Op<Arc<Record>>, StoreError> {
        let weight = u64::from(record.weight());
        if record.principal.is_some() {
            // The old weight is given back by the listener when moka replaces the entry.
            // Reserved before it is checked: two logins at once cannot both take the last room.
            let used = self.used.fetch_add(weight, Ordering::Relaxed) + weight;
            if weight > before && used.saturating_sub(before) > self.max_bytes {
                self.used.fetch_sub(weight, Ordering::Relaxed);
                return Err(StoreError::Full);
            }
            return Ok(Op::Put(record));
        }
        if record.is_confirmed() {
            // Into the new place before out of the old one, so that a look without the lock always
            // finds it (`unpeopled`).
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
        self.logged_in.entry(id).and_compute_with(|entry| {
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

/// An update under the lock of its id.
struct MemorySteps<'s> {
    store: &'s MemoryStore,
    request: &'s UpdateRequest<'s>,
    /// What the record weighed among those who are logged in.
    weight: u64,
    /// What becomes of the entry among those who are logged in.
    op: Op<Arc<Record>>,
    /// Sessions that go for this one.
    gone: Vec<u128>,
}

impl UpdateSteps for MemorySteps<'_> {
    fn keep_past(&mut self, secret: SecretHash, view: Arc<Record>) {
        self.store.past.put(self.request.id.as_u128(), secret, view);
    }

    fn end(&mut self, by: EndReason) -> Result<(), StoreError> {
        let id = self.request.id.as_u128();
        self.store.ended.add(id, SessionEnd { at: self.request.now, by });
        self.store.past.remove(id);
        self.store.forget(id);
        self.op = if self.weight > 0 { Op::Remove } else { Op::Nop };
        Ok(())
    }

    fn save(&mut self, record: &Arc<Record>, logged_in: bool) -> Result<bool, StoreError> {
        let store = self.store;
        let op = store.keep(self.request.id.as_u128(), Arc::clone(record), self.weight)?;
        if logged_in && let Some(name) = &record.principal {
            let is_over = |other| !matches!(store.load(other, self.request.now), FoundRecord::Live(_));
            let who = store.principals.who((&record.realm, name));
            match self.request.enter(&store.principals, who, is_over) {
                Ok(others) => self.gone = others,
                Err(denied) => {
                    // `keep` has reserved the room that it does not take now.
                    store.used.fetch_sub(u64::from(record.weight()), Ordering::Relaxed);
                    return if denied == LoginDenied::TooMany {
                        Err(StoreError::TooManySessions)
                    } else {
                        Ok(false)
                    };
                }
            }
        }
        self.op = op;
        Ok(true)
    }
}

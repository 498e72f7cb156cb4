//! The live view. Every change is decided here, atomically for its id, and given to the writer under the same lock: the
//! order in the queue is the order of the decisions.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use moka::{notification::RemovalCause, ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    last_seen_log::LastSeenLog,
    packed_index::PackedIndex,
    pending::{ChangeMarks, PendingWrites},
    queue::{RecordWrite, WriteEffect, WriteQueue, WriteReceipt, WriterOrder},
    reconcile::DiskRead,
    row::RowColumns,
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    record::{EndReason, Record, SecretHash, SessionEnd},
    store::{
        ById, FoundRecord, StoreError, UpdateRequest, UpdateResult,
        past_views::PastViews,
        principals::{LONGEST_REQUEST, LoginDenied, PrincipalIndex},
        tombstones::TombstoneSet,
        update::{UpdateSteps, carry_out},
    },
};

/// So many that left memory wait to be packed; of more the disk alone knows.
const MOST_LEFT: usize = 4096;

/// What the disk still takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskCapacity {
    /// All.
    Plenty = 0,
    /// No new sessions of visitors: the rest is for those who log in.
    Logins = 1,
    /// No new sessions.
    None = 2,
    /// No changes: a sync failed, and what the disk holds cannot be known.
    Failed = 3,
}

/// What a decision came to.
pub(super) enum DecisionStep {
    /// The record must be read first.
    NeedsRead,
    /// So it is, once what another request decided is on disk; if that fails, it must be decided again.
    DependsOn(UpdateResult, oneshot::Receiver<()>),
    /// Done, once this is on disk, and every session of this principal has ended.
    Done(UpdateResult, Vec<WriteReceipt>, Option<u128>),
}

/// The live view.
#[derive(Debug)]
pub(super) struct LiveView {
    /// Records in use by id. The longest unused leave first: packed, or to be found on disk again.
    pub(super) live: Cache<u128, Arc<Record>, ById>,
    pub(super) pending: PendingWrites,
    pub(super) known: PackedIndex,
    /// Those that left, for a moment.
    pub(super) left: Arc<Mutex<Vec<u128>>>,
    pub(super) ended: TombstoneSet,
    pub(super) past: PastViews,
    pub(super) principals: PrincipalIndex,
    pub(super) queue: WriteQueue,
    /// What requests left on records, to be written behind.
    pub(super) touches: LastSeenLog,
    /// What has changed on disk.
    pub(super) marks: ChangeMarks,
    pub(super) rules: SessionConfig,
    capacity: AtomicU8,
    pub(super) damaged: AtomicU64,
    /// Rows under a key that is not there.
    pub(super) locked: AtomicU64,
    /// The writer is reading through what is on disk.
    pub(super) warming: AtomicBool,
    /// Decisions that failed and were taken back.
    failures: AtomicU64,
}

impl LiveView {
    /// `max_bytes` of memory for records: half for those in use, half for those that are packed.
    pub(super) fn new(
        max_bytes: u64,
        rules: &SessionConfig,
        principals: PrincipalIndex,
        ended: TombstoneSet,
    ) -> Self {
        let left: Arc<Mutex<Vec<u128>>> = Arc::default();
        let leaving = Arc::clone(&left);
        let live = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(max_bytes / 2)
            .weigher(|_, record: &Arc<Record>| record.weight())
            .eviction_listener(move |id, _, cause| {
                // moka calls this while it works for some request: an id is pushed here, and the
                // packing is left to the writer's thread.
                let mut left = leaving.lock();
                if cause == RemovalCause::Size && left.len() < MOST_LEFT {
                    left.push(*id);
                }
            })
            .build_with_hasher(ById::default());
        Self {
            live,
            pending: PendingWrites::new(),
            known: PackedIndex::new(max_bytes / 2),
            left,
            ended,
            past: PastViews::new(max_bytes / 32),
            principals,
            queue: WriteQueue::default(),
            touches: LastSeenLog::default(),
            marks: ChangeMarks::new(),
            rules: rules.clone(),
            capacity: AtomicU8::new(0),
            damaged: AtomicU64::new(0),
            locked: AtomicU64::new(0),
            warming: AtomicBool::new(true),
            failures: AtomicU64::new(0),
        }
    }

    /// Who is logged in under this record.
    pub(super) fn who(&self, record: &Record) -> Option<u128> {
        record.principal.as_ref().map(|name| self.principals.who((&record.realm, name)))
    }

    pub(super) fn capacity(&self) -> DiskCapacity {
        match self.capacity.load(Ordering::Relaxed) {
            0 => DiskCapacity::Plenty,
            1 => DiskCapacity::Logins,
            2 => DiskCapacity::None,
            _ => DiskCapacity::Failed,
        }
    }

    /// After a failed sync it stays `Failed` until the next start: what the system's cache holds since is not what is on disk.
    pub(super) fn set_capacity(&self, capacity: DiskCapacity) {
        if self.capacity() != DiskCapacity::Failed {
            self.capacity.store(capacity as u8, Ordering::Relaxed);
        }
    }

    /// What is under this id; `None`: the disk must be asked.
    pub(super) fn load(&self, id: u128, now: Timestamp) -> Option<FoundRecord> {
        self.glance(id, now)
            .or_else(|| self.unpack(id)?.record.map(|record| FoundRecord::of(record, &self.rules, now)))
    }

    /// The same, under the lock of another id: what is packed stays so.
    fn glance(&self, id: u128, now: Timestamp) -> Option<FoundRecord> {
        self.look(id, self.live.get(&id), &self.rules, now)
    }

    fn look(
        &self,
        id: u128,
        live: Option<Arc<Record>>,
        rules: &SessionConfig,
        now: Timestamp,
    ) -> Option<FoundRecord> {
        // The order of the three looks is what makes this right without a lock: a record leaves
        // `pending` only after it is on disk and in `known`, and a tombstone is set before its
        // record goes.
        let record = live.or_else(|| self.pending.get(id).flatten());
        match record {
            Some(record) => Some(FoundRecord::of(record, rules, now)),
            // It is on disk, packed or cold: what it says is not known here.
            None if self.known.has(id) => None,
            None => Some(self.ended.find(id)),
        }
    }

    /// How many decisions have failed and were taken back: where it is the same as before, no look in between has seen one
    /// of them.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Asks what is decided on the record as it is now; `read` is what was on disk, where it had to be looked for.
    ///
    /// # Errors
    /// See [`StoreError`]: nothing was changed.
    pub(super) fn update(
        &self,
        request: &UpdateRequest<'_>,
        read: Option<DiskRead>,
    ) -> Result<DecisionStep, StoreError> {
        let id = request.id.as_u128();
        // Overwritten under the lock unless the record must be read first; then nothing was decided
        // and the caller comes again.
        let mut step = DecisionStep::NeedsRead;
        let mut gone = Vec::new();
        // moka holds the lock of this id while this runs: decision and order to the writer are one step to everybody else.
        self.live.entry(id).and_try_compute_with(|entry| {
            let live = entry.map(moka::Entry::into_value);
            // Memory may have let it go already.
            let live = live.or_else(|| read.and_then(|read| self.counts(id, &read).ok().flatten()));
            let Some(found) = self.look(id, live, request.rules, request.now) else { return Ok(Op::Nop) };
            // Under the lock: a tombstone that is pushed out meanwhile raises the floor, and this
            // change must see one or the other.
            let found = request.floored(found, self.ended.floor());
            let decision = (request.decide)(&found);
            let mut steps = DiskSteps { view: self, request, found: &found, order: None, gone: Vec::new() };
            let (change, all_of) = carry_out(decision.action, &mut steps)?;
            gone = steps.gone;
            let evicted = gone.iter().map(|other| Uuid::from_u128(*other)).collect();
            let result = UpdateResult { change, notes: decision.notes, evicted };
            // Nothing changed, but what was looked at may not be on disk yet: who is told of it waits for that.
            let Some((receipt, op)) = steps.order else {
                step = match self.pending.rest_on(id) {
                    Some(settled) => DecisionStep::DependsOn(result, settled),
                    None => DecisionStep::Done(result, Vec::new(), None),
                };
                return Ok(Op::Nop);
            };
            let everyone = all_of.map(|(realm, name)| self.principals.who((&realm, &name)));
            step = DecisionStep::Done(result, vec![receipt], everyone);
            Ok(op)
        })?;
        let limit = SessionEnd { at: request.now, by: EndReason::Limit };
        // Outside of the lock: each of these takes the lock of its own id.
        if let DecisionStep::Done(_, receipts, _) = &mut step {
            receipts.extend(gone.into_iter().map(|other| self.delete(other, limit).1));
        }
        Ok(step)
    }

    /// Whether there is as much room as that.
    fn check(&self, most: DiskCapacity) -> Result<(), StoreError> {
        match self.capacity() {
            DiskCapacity::Failed => Err(StoreError::Unavailable),
            capacity if capacity as u8 > most as u8 => Err(StoreError::Full),
            _ => Ok(()),
        }
    }

    fn end(&self, id: u128, who: Option<u128>, end: SessionEnd) -> WriteReceipt {
        // A look without the lock finds the tombstone as soon as it finds no record.
        self.ended.add(id, end);
        self.past.remove(id);
        if let Some(who) = who {
            self.principals.leave(who, id);
        }
        let receipt = self.order(id, who, WriteEffect::End(end));
        self.known.remove(id);
        receipt
    }

    /// Under the lock of the id.
    fn order(&self, id: u128, who: Option<u128>, what: WriteEffect) -> WriteReceipt {
        let number = self.queue.number();
        let next = if let WriteEffect::Put(record) = &what { Some(Arc::clone(record)) } else { None };
        // Before the order is queued: the writer may be done with it before this returns.
        self.pending.add(id, number, next);
        let (answer, receipt) = oneshot::channel();
        self.queue.push(WriterOrder::Write(RecordWrite { id, number, what, who, answer }));
        WriteReceipt(receipt)
    }

    /// Ends a session, and says whether there was one.
    pub(super) fn delete(&self, id: u128, end: SessionEnd) -> (bool, WriteReceipt) {
        let mut there = false;
        let mut receipt = None;
        self.live.entry(id).and_compute_with(|entry| {
            // A record that memory let go may still be on its way to disk; who is logged in stands
            // in it.
            let record = entry.map(moka::Entry::into_value).or_else(|| self.pending.get(id).flatten());
            there = record.is_some() || self.known.has(id);
            let by_itself = record.as_ref().and_then(|record| record.ended(&self.rules, end.at));
            let end = self.ended.first(id, by_itself, end);
            receipt = Some(self.end(id, record.and_then(|record| self.who(&record)), end));
            Op::Remove
        });
        // moka calls the closure exactly once.
        let closed = || WriteReceipt(oneshot::channel().1);
        (there, receipt.unwrap_or_else(closed))
    }

    /// A change failed, and with it all that was derived from it: what is on disk counts again. Returns the number from
    /// which on writes of this id are sound. `None` as truth: the disk cannot be read either.
    pub(super) fn restore(
        &self,
        id: u128,
        failed: Option<u128>,
        truth: impl FnOnce() -> Option<(Option<RowColumns>, Option<SessionEnd>)>,
    ) -> u64 {
        let mut sound = 0;
        let mut void = None;
        self.live.entry(id).and_compute_with(|_| {
            // First: from here on nobody finds the failed decision, while what was true before is
            // put back.
            void = self.pending.void(id);
            match truth() {
                Some((columns, ended)) => {
                    match ended {
                        Some(end) => self.ended.add(id, end),
                        None => self.ended.remove(id),
                    }
                    if let Some(who) = failed {
                        self.principals.leave(who, id);
                    }
                    match columns {
                        Some(columns) => {
                            self.known.add(id);
                            if let Some(who) = columns.who {
                                self.principals.join(who, id);
                            }
                        }
                        None => self.known.remove(id),
                    }
                }
                // Whoever asks for it learns that the disk cannot be read.
                None => self.known.add(id),
            }
            sound = self.queue.number();
            Op::Remove
        });
        // Before it counts as settled.
        self.failures.fetch_add(1, Ordering::Release);
        drop(void);
        sound
    }

    /// A row is gone from the disk, because it was damaged or its time was over; unless something newer is decided.
    pub(super) fn forget(&self, id: u128, who: Option<u128>, remove: impl FnOnce() -> bool) {
        self.live.entry(id).and_compute_with(|_| {
            if self.pending.get(id).is_some() || !remove() {
                return Op::Nop;
            }
            self.known.remove(id);
            if let Some(who) = who {
                self.principals.leave(who, id);
            }
            Op::Remove
        });
    }

    /// The record in memory, if it is there.
    pub(super) fn live(&self, id: u128) -> Option<Arc<Record>> {
        self.live.get(&id)
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.live.run_pending_tasks();
        self.ended.sweep();
        self.past.sweep();
        self.principals.sweep(now, LONGEST_REQUEST);
    }
}

/// An update under the lock of its id.
struct DiskSteps<'s> {
    view: &'s LiveView,
    request: &'s UpdateRequest<'s>,
    found: &'s FoundRecord,
    /// What the writer was told, and what becomes of the entry in memory.
    order: Option<(WriteReceipt, Op<Arc<Record>>)>,
    /// Sessions that go for this one.
    gone: Vec<u128>,
}

impl UpdateSteps for DiskSteps<'_> {
    fn keep_past(&mut self, secret: SecretHash, view: Arc<Record>) {
        self.view.past.put(self.request.id.as_u128(), secret, view);
    }

    fn end(&mut self, by: EndReason) -> Result<(), StoreError> {
        self.view.check(DiskCapacity::None)?;
        let before = if let FoundRecord::Live(record) = self.found { self.view.who(record) } else { None };
        let end = SessionEnd { at: self.request.now, by };
        let receipt = self.view.end(self.request.id.as_u128(), before, end);
        self.order = Some((receipt, Op::Remove));
        Ok(())
    }

    fn save(&mut self, record: &Arc<Record>, logged_in: bool) -> Result<bool, StoreError> {
        let view = self.view;
        // The fuller the disk, the fewer may begin: first no new visitors, then no new logins, and
        // changes of what is there go on to the last page.
        view.check(match (self.found, &record.principal) {
            (FoundRecord::Live(_), _) => DiskCapacity::None,
            (_, Some(_)) => DiskCapacity::Logins,
            (_, None) => DiskCapacity::Plenty,
        })?;
        let who = view.who(record);
        let is_over = |other| {
            matches!(view.glance(other, self.request.now), Some(FoundRecord::Ended(_) | FoundRecord::Over(_)))
        };
        match who.filter(|_| logged_in).map(|who| self.request.enter(&view.principals, who, is_over)) {
            None => {}
            Some(Ok(others)) => self.gone = others,
            Some(Err(LoginDenied::TooMany)) => return Err(StoreError::TooManySessions),
            Some(Err(LoginDenied::Ended)) => return Ok(false),
        }
        let id = record.id.as_u128();
        // Drops a packed copy as well: what lay there is out of date from now on.
        view.known.add(id);
        let receipt = view.order(id, who, WriteEffect::Put(Arc::clone(record)));
        self.order = Some((receipt, Op::Put(Arc::clone(record))));
        Ok(true)
    }
}

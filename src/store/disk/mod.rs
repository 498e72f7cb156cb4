//! Sessions on disk, with memory in front.
//!
//! Here live the database, the thread that holds it and the live view before it. Never: what a change means (whoever
//! asks for one brings that along: [`UpdateRequest::decide`](super::UpdateRequest::decide)). Called by [`RecordStore`](super::RecordStore).
//!
//! A change is decided in memory, queued, and acknowledged once the database has synced it (`durability`). A record that
//! nobody asks for is packed; what memory has no room for at all is read again from disk when it is asked for. When a
//! session was last seen is written behind.

mod background;
mod counter;
mod file;
mod first_page;
mod keys;
mod last_seen_log;
mod live_view;
mod lock;
mod maintenance;
mod packed_index;
mod packed_record;
mod pending;
mod queue;
mod reader;
mod reconcile;
mod row;
mod row_checksum;
mod rows;
mod salvage;
mod start;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use file::DatabaseFile;
pub use file::OpenError;
pub(crate) use lock::FolderLock;
pub use maintenance::{CheckReport, ImportReport, MaintenanceError, StoreMaintenance};
pub use salvage::SalvageResult;
pub use start::DiskSettings;

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{FoundRecord, StoreError, UpdateRequest, UpdateResult, page::RecordPage};
use crate::{
    clock::{self, Timestamp},
    record::{EndReason, Record, SecretHash, SessionEnd},
};

use live_view::{DecisionStep, DiskCapacity, LiveView};
use queue::{ColdAnswer, WriteReceipt, WriterOrder};
use reader::ColdQuestion;

/// How often a record is read again that is overwritten meanwhile, or decided again what rested on something that failed.
const TRIES: usize = 8;

/// The disk store.
pub struct DiskStore {
    live_view: Arc<LiveView>,
    commit_timeout: Duration,
    threads: Mutex<DiskThreads>,
}

/// What works for the store.
#[derive(Debug, Default)]
struct DiskThreads {
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    /// It ends when this is dropped.
    questions: Option<mpsc::Sender<ColdQuestion>>,
}

impl std::fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({} sessions)", self.len())
    }
}

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskHealth {
    /// Changes are taken.
    pub takes_changes: bool,
    /// Rows that were found damaged since the start.
    pub damaged: u64,
    /// Sessions under a key that `[keys]` does not have, as far as they were read through.
    pub locked: u64,
    /// What is on disk is still being read through.
    pub is_warming: bool,
}

impl DiskStore {
    /// What is under this id, if that is known without the disk.
    pub fn at_hand(&self, id: u128, now: Timestamp) -> Option<FoundRecord> {
        self.live_view.load(id, now)
    }

    /// What is under this id.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn load(&self, id: u128, now: Timestamp) -> Result<FoundRecord, StoreError> {
        if let Some(found) = self.at_hand(id, now) {
            return Ok(found);
        }
        Ok(match self.read(id).await?.record {
            Some(record) => FoundRecord::of(record, &self.live_view.rules, now),
            // It ended, or was found damaged, meanwhile; or nobody has its key.
            None => self
                .live_view
                .load(id, now)
                .unwrap_or(FoundRecord::Over(SessionEnd { at: now, by: EndReason::Unknown })),
        })
    }

    async fn read(&self, id: u128) -> ColdAnswer {
        let (answer, read) = oneshot::channel();
        self.ask((id, answer));
        match clock::timeout(Some(self.commit_timeout), read).await {
            Ok(Ok(answer)) => answer,
            _ => Err(StoreError::Unavailable),
        }
    }

    /// Where there is no reader, or no longer, the writer reads.
    fn ask(&self, question: ColdQuestion) {
        let threads = self.threads.lock();
        let unasked = match &threads.questions {
            Some(questions) => questions.send(question).err().map(|mpsc::SendError(question)| question),
            None => Some(question),
        };
        if let Some((id, answer)) = unasked {
            self.live_view.queue.push(WriterOrder::Read(id, answer));
        }
    }

    /// Asks what is decided on the record as it is now, and waits until what comes of it is on disk.
    ///
    /// # Errors
    /// See [`StoreError`]. After [`StoreError::Late`] it is not known whether the change will be on disk.
    pub async fn update(&self, request: &UpdateRequest<'_>) -> Result<UpdateResult, StoreError> {
        let id = request.id.as_u128();
        // Before the lock of this id is taken: to count a principal's sessions their records must
        // be in memory, and no lock is held across a read.
        self.warm_others(request).await?;
        let mut read = None;
        // Bounded: under a storm of changes to one session it is better to fail one request than to
        // spin.
        for _ in 0..TRIES {
            match self.live_view.update(request, read.take())? {
                DecisionStep::NeedsRead => {
                    read = match self.live_view.unpack(id) {
                        Some(read) => Some(read),
                        None => Some(self.read(id).await?),
                    }
                }
                // Decided on a state that another request has not yet got to disk. If that fails,
                // this decision was about nothing, and is made again.
                DecisionStep::DependsOn(result, settled) => {
                    if self.wait_for(settled).await.map_err(|_| StoreError::Late)? {
                        return Ok(result);
                    }
                }
                DecisionStep::Done(result, receipts, everyone) => {
                    // Before the receipts are awaited: both ends of it go to disk in the same
                    // commit.
                    if let Some(who) = everyone {
                        self.end_all(who, SessionEnd { at: request.now, by: EndReason::Everywhere }).await?;
                    }
                    for receipt in receipts {
                        self.wait(receipt).await?;
                    }
                    return Ok(result);
                }
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Where sessions of one principal are counted, it must be known which of them are over.
    async fn warm_others(&self, request: &UpdateRequest<'_>) -> Result<(), StoreError> {
        if self.live_view.rules.max_sessions_per_principal.is_some()
            && let Some((realm, name)) = request.principal
        {
            for id in self.live_view.principals.of(self.live_view.principals.who((realm, name))) {
                if self.live_view.load(id, request.now).is_none() {
                    self.read(id).await?;
                }
            }
        }
        Ok(())
    }

    /// True if all that is decided of this id is on disk.
    pub fn is_settled(&self, id: u128) -> bool {
        self.live_view.pending.is_settled(id)
    }

    /// How many decisions have failed and were taken back.
    pub fn failures(&self) -> u64 {
        self.live_view.failures()
    }

    /// Waits until what is decided of this id is on disk, or never will be: what is found then is so. False if it never
    /// will be.
    ///
    /// # Errors
    /// It takes longer than `commit_timeout`.
    pub async fn settled(&self, id: u128) -> Result<bool, StoreError> {
        match self.live_view.pending.rest_on(id) {
            Some(settled) => self.wait_for(settled).await,
            None => Ok(true),
        }
    }

    async fn wait_for(&self, settled: oneshot::Receiver<()>) -> Result<bool, StoreError> {
        let told = clock::timeout(Some(self.commit_timeout), settled).await;
        told.map(|told| told.is_ok()).map_err(|_| StoreError::Unavailable)
    }

    async fn wait(&self, receipt: WriteReceipt) -> Result<(), StoreError> {
        receipt.wait(Some(self.commit_timeout)).await
    }

    /// Shows a page every id that is on disk, or on its way there.
    pub(super) fn page(&self, page: &mut RecordPage) {
        self.live_view.known.each(|id| page.see(id));
    }

    /// Until the writer has taken all that was given before.
    pub fn served(&self) -> impl Future<Output = ()> + use<> {
        let (done, served) = oneshot::channel();
        self.live_view.queue.push(WriterOrder::Serve(done));
        async move {
            // A writer that has gone is told of by itself.
            let _ = served.await;
        }
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// The disk did not take it: whether it ended is not known.
    pub async fn delete(&self, id: u128, end: SessionEnd) -> Result<bool, StoreError> {
        // Who is logged in stands in the record, and the index of principals must lose it too.
        if self.live_view.load(id, end.at).is_none() {
            self.read(id).await?;
        }
        if self.live_view.capacity() == DiskCapacity::Failed {
            return Err(StoreError::Unavailable);
        }
        let (there, receipt) = self.live_view.delete(id, end);
        self.wait(receipt).await?;
        Ok(there)
    }

    /// Ends every session of this principal in this realm, and each login of theirs whose request began before; how many
    /// there were.
    ///
    /// # Errors
    /// The disk did not take it: some may have ended.
    pub async fn delete_all_of(
        &self,
        realm: &str,
        principal: &str,
        end: SessionEnd,
    ) -> Result<usize, StoreError> {
        self.end_all(self.live_view.principals.who((realm, principal)), end).await
    }

    async fn end_all(&self, who: u128, end: SessionEnd) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut all = self.live_view.principals.end(who, end.at);
        for _ in 0..TRIES {
            if self.live_view.capacity() == DiskCapacity::Failed {
                return Err(StoreError::Unavailable);
            }
            let receipts: Vec<_> = all.into_iter().map(|id| self.live_view.delete(id, end)).collect();
            // Whom another request is ending is listed no more, and is again if that fails.
            let (done, served) = oneshot::channel();
            self.live_view.queue.push(WriterOrder::Serve(done));
            for (there, receipt) in receipts {
                self.wait(receipt).await?;
                count += usize::from(there);
            }
            let served = clock::timeout(Some(self.commit_timeout), served).await;
            served.map_err(|_| StoreError::Late)?.map_err(|_| StoreError::Unavailable)?;
            all = self.logged_in_before(who, end.at).await?;
            if all.is_empty() {
                return Ok(count);
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Those of them who logged in since may stay.
    async fn logged_in_before(&self, who: u128, now: Timestamp) -> Result<Vec<u128>, StoreError> {
        let mut before = Vec::new();
        for id in self.live_view.principals.of(who) {
            if matches!(self.load(id, now).await?, FoundRecord::Live(record) if record.counted_from <= now) {
                before.push(id);
            }
        }
        Ok(before)
    }

    /// The sessions of this principal in this realm, oldest login first.
    pub fn of(&self, realm: &str, principal: &str) -> Vec<Uuid> {
        let all = self.live_view.principals.of(self.live_view.principals.who((realm, principal)));
        all.into_iter().map(Uuid::from_u128).collect()
    }

    /// A request came under this record: written behind, within a second.
    pub fn touch(&self, id: u128, record: &Record) {
        self.live_view.touches.add(id, record);
    }

    /// See [`RecordStore::past`](super::RecordStore::past).
    pub fn past(&self, id: u128, secret: &SecretHash) -> Option<Arc<Record>> {
        self.live_view.past.find(id, secret)
    }

    /// No ticket without a record that was stamped before is taken.
    pub fn floor(&self) -> Timestamp {
        self.live_view.ended.floor()
    }

    /// How many records there are.
    pub fn len(&self) -> u64 {
        self.live_view.known.len()
    }

    /// True without any record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the disk is, for whoever asks whether all is well.
    pub fn health(&self) -> DiskHealth {
        DiskHealth {
            takes_changes: self.live_view.capacity() != DiskCapacity::Failed,
            damaged: self.live_view.damaged.load(Ordering::Relaxed),
            locked: self.live_view.locked.load(Ordering::Relaxed),
            is_warming: self.live_view.warming.load(Ordering::Relaxed),
        }
    }

    /// Writes behind what waits for it.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.live_view.queue.push(WriterOrder::Flush(done));
        let _ = flushed.await;
    }

    /// Takes out a few of those that are over; its thread does so by itself.
    pub async fn sweep_now(&self, now: Timestamp) {
        let (done, swept) = oneshot::channel();
        self.live_view.queue.push(WriterOrder::Sweep(now, done));
        let _ = swept.await;
    }

    /// Writes what there is to write, and lets the database go. Afterwards nothing is taken any more.
    pub fn close(&self) {
        let DiskThreads { writer, reader, questions } = std::mem::take(&mut *self.threads.lock());
        // Its thread ends when nobody can ask any more.
        drop(questions);
        // The reader may leave something to the writer.
        let read = reader.map(JoinHandle::join);
        self.live_view.queue.close();
        let written = writer.map(JoinHandle::join);
        if [read, written].into_iter().flatten().any(|ended| ended.is_err()) {
            tracing::error!("a thread of the store died");
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.close();
    }
}

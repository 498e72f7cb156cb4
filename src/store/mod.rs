//! Where records are kept. A [`RecordStore`] answers these questions, and each kind answers them alike:
//!
//! - `load`: what is under this id? Missing, expired and ended are answers, not errors. What was acknowledged is found by
//!   every later load, on whichever worker.
//! - `update`: asks what is decided on the record *as it is now*, atomically, and keeps what comes of it. What decides is
//!   pure, and may be asked again. Two updates of one id never see the same record.
//! - `touch`: a request came; may be late, may be lost.
//! - `delete`, `delete_all_of`, `of`: ends one session, or all of a principal; lists a principal's.
//!
//! A new kind of store (one on the network, say) is one more variant of [`RecordStore`], and passes the conformance suite
//! in `tests/conformance.rs` beside this file. It carries a decision out by its own `update::UpdateSteps`, under whatever
//! makes an update atomic there; `page`, `len`, `sweep` and `close` are for who looks, and for its life. Outside of this
//! room it is named where the kinds of stores are: `config::store`, `app::state`, `plan`, and in `admin` for its figures.
//!
//! Here live records and what is remembered of those that ended. Never: a header, a cookie, a policy. Called by `session`.
//!
//! An error means that the store failed and that nothing under this id was changed; but after [`StoreError::Late`] that is
//! not known, and whoever asked is told no more than that it failed.

pub mod disk;
mod memory;
mod page;
mod past_views;
mod principals;
mod tombstones;
mod update;

#[cfg(test)]
mod tests;

pub use disk::DiskStore;
pub use memory::MemoryStore;
pub use update::{
    AppliedChange, Decision, DecisionNote, FoundRecord, RealmPrincipal, UpdateAction, UpdateRequest,
    UpdateResult,
};

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    record::{Realm, Record, SecretHash, SessionEnd},
};

/// How records are found by their ids, which are random and ours: nobody can choose them to collide.
type ById = foldhash::quality::RandomState;

/// The store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer.
    #[error("the session store does not answer")]
    Unavailable,
    /// It took longer than `commit_timeout`. What it had begun may be kept all the same, a moment later; what it had not is
    /// not.
    #[error(
        "the session store did not answer in time ([store] commit_timeout): whether the change is kept is not known"
    )]
    Late,
    /// No room.
    #[error("the session store is full ([store] max_bytes, max_disk_bytes, or the disk)")]
    Full,
    /// Larger than its cookies can hold.
    #[error("the session is larger than its cookies can hold ([store] max_cookies)")]
    TooLarge,
    /// Sessions are with their visitors.
    #[error("other sessions of a principal cannot be ended: visitors carry them ([store] kind)")]
    Elsewhere,
    /// `max_sessions_per_principal` with `on_too_many = "refuse"`.
    #[error("this principal has as many sessions as it may ([session] max_sessions_per_principal)")]
    TooManySessions,
}

/// The kinds of stores. What waits for a disk is boxed: a request that finds its session in memory is not to carry room
/// for it.
#[derive(Debug)]
pub enum RecordStore {
    /// In memory alone: it never waits, and never fails to load.
    Memory(Box<MemoryStore>),
    /// On disk, with memory in front.
    Disk(DiskStore),
}

impl RecordStore {
    /// What is under this id.
    ///
    /// # Errors
    /// The store failed: nothing is known.
    pub async fn load(&self, id: Uuid, now: Timestamp) -> Result<FoundRecord, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.load(id.as_u128(), now)),
            Self::Disk(disk) => match disk.at_hand(id.as_u128(), now) {
                Some(found) => Ok(found),
                None => Box::pin(disk.load(id.as_u128(), now)).await,
            },
        }
    }

    /// The realm of what is under this id, if that is known without a disk.
    pub fn realm_at_hand(&self, id: Uuid, now: Timestamp) -> Option<Arc<str>> {
        let found = match self {
            Self::Memory(memory) => memory.load(id.as_u128(), now),
            Self::Disk(disk) => disk.at_hand(id.as_u128(), now)?,
        };
        match found {
            FoundRecord::Live(record) => Some(Arc::clone(&record.realm)),
            _ => None,
        }
    }

    /// Asks what is decided on the record as it is now, and keeps what comes of it.
    ///
    /// # Errors
    /// See [`StoreError`]: nothing was changed, but for [`StoreError::Late`].
    pub async fn update(&self, request: &UpdateRequest<'_>) -> Result<UpdateResult, StoreError> {
        match self {
            Self::Memory(memory) => memory.update(request),
            Self::Disk(disk) => Box::pin(disk.update(request)).await,
        }
    }

    /// True if all that was decided of this session is kept. What `load` finds is what was decided, kept or not: who tells
    /// somebody of it waits.
    pub fn is_settled(&self, id: Uuid) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Disk(disk) => disk.is_settled(id.as_u128()),
        }
    }

    /// How many decisions have failed and were taken back: where that is the same before a `load` and after, it has seen
    /// none of them. Else this could happen: a logout is decided, `load` finds the session ended, the disk refuses the
    /// logout and the session is back; and whoever asked has been told that they are nobody.
    pub fn failures(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Disk(disk) => disk.failures(),
        }
    }

    /// Waits until what was decided of this session is kept, or will never be: what `load` finds then is so. False if it
    /// never will be.
    ///
    /// # Errors
    /// The store failed: it is not known.
    pub async fn settled(&self, id: Uuid) -> Result<bool, StoreError> {
        match self {
            Self::Memory(_) => Ok(true),
            Self::Disk(disk) => Box::pin(disk.settled(id.as_u128())).await,
        }
    }

    /// The session as it was before its kept cookies changed, for who shows the secret from before: where that is still
    /// held ([`UpdateAction::Save`]).
    pub fn past(&self, id: Uuid, secret: &SecretHash) -> Option<Arc<Record>> {
        match self {
            Self::Memory(memory) => memory.past(id.as_u128(), secret),
            Self::Disk(disk) => disk.past(id.as_u128(), secret),
        }
    }

    /// Ends a session; whether there was one. Ending what has ended is no error.
    ///
    /// # Errors
    /// The store failed: whether it ended is not known.
    pub async fn delete(&self, id: Uuid, end: SessionEnd) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.delete(id.as_u128(), end)),
            Self::Disk(disk) => Box::pin(disk.delete(id.as_u128(), end)).await,
        }
    }

    /// Ends every session of this principal in this realm ([`Record::realm`]), and each login of theirs whose request
    /// began before; how many there were.
    ///
    /// # Errors
    /// The store failed: some may be left.
    pub async fn delete_all_of(
        &self,
        realm: &str,
        principal: &str,
        end: SessionEnd,
    ) -> Result<usize, StoreError> {
        let mut count = self.delete_all_in(realm, principal, end).await?;
        let Some(sibling) = Realm::sibling(realm) else { return Ok(count) };
        if Realm::of_people(realm) != realm {
            // Of whom the host was named once, all are the same person's.
            return Ok(count + self.delete_all_in(&sibling, principal, end).await?);
        }
        // Those of other hosts may be somebody else's.
        for id in self.of(&sibling, principal) {
            if matches!(self.load(id, end.at).await?, FoundRecord::Live(record) if *record.realm == *sibling)
            {
                count += usize::from(self.delete(id, end).await?);
            }
        }
        Ok(count)
    }

    async fn delete_all_in(
        &self,
        realm: &str,
        principal: &str,
        end: SessionEnd,
    ) -> Result<usize, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.delete_all_of(realm, principal, end)),
            Self::Disk(disk) => Box::pin(disk.delete_all_of(realm, principal, end)).await,
        }
    }

    /// The sessions of this principal in this realm, oldest login first.
    pub fn of(&self, realm: &str, principal: &str) -> Vec<Uuid> {
        match self {
            Self::Memory(memory) => memory.of(realm, principal),
            Self::Disk(disk) => disk.of(realm, principal),
        }
    }

    /// The lowest ids above `after`, at most `most`, of sessions that may have a record. Every id is looked at once, in
    /// memory; nothing else waits for longer than a part of them takes.
    pub fn page(&self, after: Option<Uuid>, most: usize) -> Vec<Uuid> {
        let mut page = page::RecordPage::new(after.map(|id| id.as_u128()), most);
        match self {
            Self::Memory(memory) => memory.page(&mut page),
            Self::Disk(disk) => disk.page(&mut page),
        }
        page.ids().into_iter().map(Uuid::from_u128).collect()
    }

    /// A request came under this record, which the caller loaded.
    pub fn touch(&self, id: Uuid, record: &Arc<Record>) {
        match self {
            Self::Memory(memory) => memory.touch(id.as_u128(), record),
            Self::Disk(disk) => disk.touch(id.as_u128(), record),
        }
    }

    /// No ticket without a record that was stamped before is taken.
    pub fn floor(&self) -> Timestamp {
        match self {
            Self::Memory(memory) => memory.floor(),
            Self::Disk(disk) => disk.floor(),
        }
    }

    /// How many records there are, roughly.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.len(),
            Self::Disk(disk) => disk.len(),
        }
    }

    /// True without any record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A question to the thread that writes, where there is one: answered once it has taken all that was given before.
    pub fn writer(&self) -> Option<impl Future<Output = ()> + use<>> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(disk) => Some(disk.served()),
        }
    }

    /// Writes what there is to write. Afterwards nothing is taken any more.
    pub fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Disk(disk) => disk.close(),
        }
    }

    /// Work that is left to a thread in the background: expiry and eviction.
    pub fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            // Its own thread does it.
            Self::Disk(_) => {}
        }
    }
}

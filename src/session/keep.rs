//! Where a session's record is kept. The rest of the room asks here, and does not know which it is.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    commit::{Apply, Found},
    record::Record,
    store::{Applied, Store, StoreError},
    ticket::Ticket,
};
use crate::clock::Timestamp;

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum Keep {
    /// In a store of ours, under the ticket's id.
    Store(Arc<Store>),
}

/// A ticket that came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Return {
    /// It was replaced by the clock, and is still good.
    pub passing_on: bool,
    /// It counts as the visitor's activity.
    pub active: bool,
    /// How often that is noted, in milliseconds.
    pub every: u64,
}

impl From<Arc<Store>> for Keep {
    fn from(store: Arc<Store>) -> Self {
        Self::Store(store)
    }
}

impl Keep {
    /// The store, where there is one.
    #[expect(clippy::unnecessary_wraps, reason = "other places are to come")]
    pub(super) fn store(&self) -> Option<&Arc<Store>> {
        match self {
            Self::Store(store) => Some(store),
        }
    }

    /// What a ticket leads to; `brought`: the record that came with it, where such things come with visitors.
    ///
    /// # Errors
    /// The store failed: nothing is known.
    pub(super) async fn load(
        &self,
        ticket: &Ticket,
        _brought: Option<&Arc<Record>>,
        now: Timestamp,
    ) -> Result<Found, StoreError> {
        match self {
            Self::Store(store) => store.load(ticket.id, now).await,
        }
    }

    /// Decides on the record as it is now, and keeps what comes of it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(super) async fn apply(
        &self,
        _brought: Option<&Arc<Record>>,
        apply: &Apply<'_>,
    ) -> Result<Applied, StoreError> {
        match self {
            Self::Store(store) => store.apply(apply).await,
        }
    }

    /// See [`Store::is_settled`].
    pub(super) fn is_settled(&self, id: Uuid) -> bool {
        match self {
            Self::Store(store) => store.is_settled(id),
        }
    }

    /// See [`Store::failures`].
    pub(super) fn failures(&self) -> u64 {
        match self {
            Self::Store(store) => store.failures(),
        }
    }

    /// See [`Store::settled`].
    ///
    /// # Errors
    /// The store failed: it is not known.
    pub(super) async fn settled(&self, id: Uuid) -> Result<bool, StoreError> {
        match self {
            Self::Store(store) => store.settled(id).await,
        }
    }

    /// Ends a session that nobody has the ticket of.
    ///
    /// # Errors
    /// The store failed: whether it ended is not known.
    pub(super) async fn delete(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Self::Store(store) => store.delete(id, now).await.map(drop),
        }
    }

    /// Ends every session of this principal in this realm.
    ///
    /// # Errors
    /// The store failed: some may be left.
    pub(super) async fn delete_all_of(
        &self,
        realm: &str,
        principal: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Store(store) => store.delete_all_of(realm, principal, now).await.map(drop),
        }
    }

    /// Its ticket came back.
    pub(super) fn came_back(&self, ticket: &Ticket, record: &Arc<Record>, came: Return, now: Timestamp) {
        let Return { passing_on, active, every } = came;
        match self {
            Self::Store(store) => {
                // On every route: that the browser has it is all that matters.
                if !passing_on && record.shown(now) {
                    store.touch(ticket.id, record);
                }
                if !active {
                    return;
                }
                let was_confirmed = record.is_confirmed();
                record.confirm();
                if record.seen(now, every) || !was_confirmed {
                    store.touch(ticket.id, record);
                }
            }
        }
    }

    /// No ticket without a record that was stamped before is taken.
    pub(super) fn floor(&self) -> Timestamp {
        match self {
            Self::Store(store) => store.floor(),
        }
    }
}

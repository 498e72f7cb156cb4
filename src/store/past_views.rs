//! Sessions as they were before kept cookies changed: what a ticket leads to that was replaced by such a change, and that
//! requests under way still show. Within a budget of memory, and gone half a minute after nobody asks any more.

use std::{sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};

use super::ById;
use crate::{
    crypto,
    record::{Record, SecretHash},
};

/// How long one is held that nobody asks for: as long as the ticket that it belongs to is good.
const HELD_FOR: Duration = Duration::from_secs(30);

/// A view, and the secret that leads to it.
type PastView = (SecretHash, Arc<Record>);

/// The views by session: of each the latest.
#[derive(Debug, Clone)]
pub(super) struct PastViews(Cache<u128, PastView, ById>);

impl PastViews {
    /// Within so many bytes of memory.
    pub(super) fn new(max_bytes: u64) -> Self {
        let views = Cache::builder()
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(max_bytes)
            .weigher(|_, (_, record): &PastView| record.weight())
            .time_to_idle(HELD_FOR)
            .build_with_hasher(ById::default());
        Self(views)
    }

    /// Holds what this secret leads to from now on.
    pub(super) fn put(&self, id: u128, secret: SecretHash, view: Arc<Record>) {
        self.0.insert(id, (secret, view));
    }

    /// What this secret leads to; it is held for as long again.
    pub(super) fn find(&self, id: u128, secret: &SecretHash) -> Option<Arc<Record>> {
        self.0.get(&id).filter(|(known, _)| crypto::same(known, secret)).map(|(_, view)| view)
    }

    /// The session ended: nobody is shown what it was.
    pub(super) fn remove(&self, id: u128) {
        self.0.invalidate(&id);
    }

    /// Work that moka leaves to others.
    pub(super) fn sweep(&self) {
        self.0.run_pending_tasks();
    }
}

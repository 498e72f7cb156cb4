//! A change on its way into the store: what it is decided by.

use std::sync::Arc;

use super::{
    change::SessionChanges, client_side::SizeLimit, next_tickets::NextTickets, seen_ticket::SeenTicket,
    session_headers::SessionHeaders,
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    record::Record,
    store::{Decision, FoundRecord, RealmPrincipal, UpdateRequest},
};

/// A change on its way into the store.
#[derive(Debug)]
pub struct PendingChange<'a> {
    /// What the request came under.
    pub seen: SeenTicket<'a>,
    /// What the answer wants.
    pub changes: &'a SessionChanges,
    /// The tickets that may follow, should one be needed.
    pub next: &'a NextTickets<'a>,
    /// The session can be shown as it was before such a change.
    pub(crate) has_past_views: bool,
    /// Now.
    pub now: Timestamp,
    /// `[session]`
    pub rules: &'a SessionConfig,
    /// How fields become headers.
    pub headers: &'a SessionHeaders,
    /// How large the record may be, where it travels.
    pub(crate) size_limit: Option<&'a SizeLimit>,
}

impl<'a> PendingChange<'a> {
    /// Whom it may log in.
    pub(crate) fn principal(&self) -> Option<RealmPrincipal> {
        let name = self.changes.principal.as_ref()?.as_ref()?;
        Some((self.seen.realm.key(), Arc::clone(name)))
    }

    /// What a store is asked for it.
    pub(crate) fn request<'r>(
        &'r self,
        principal: Option<&'r RealmPrincipal>,
        decide: &'r dyn Fn(&FoundRecord) -> Decision,
    ) -> UpdateRequest<'r>
    where
        'a: 'r,
    {
        UpdateRequest {
            id: self.seen.id,
            now: self.now,
            began: self.seen.began,
            stamped: self.seen.confirmed.then_some(self.seen.stamped),
            instead: self.seen.instead,
            principal,
            rules: self.rules,
            decide,
        }
    }

    /// Whether a record can travel, with so many bytes more.
    pub(super) fn holds(&self, record: &Record, more: usize) -> bool {
        self.size_limit.is_none_or(|size_limit| size_limit.holds(record, more))
    }
}

//! What an answer that changes nothing does to the browser's ticket: a later stamp, the current key, a successor because the
//! time has come.

use super::{
    ResolvedSession, SessionChanges, SessionManager,
    answer_context::{AnswerContext, CookieOutcome},
    resolved::SessionStatus,
};
use crate::{
    clock::Timestamp,
    record::{Record, SecretMatch, Ticket},
    store::{AppliedChange, FoundRecord},
};

impl SessionManager {
    /// Whether an answer that changes nothing leaves everything as it is: then there is nothing to
    /// [`commit`](Self::commit).
    pub fn has_nothing_to_commit(&self, resolved: &ResolvedSession, now: Timestamp) -> bool {
        let SessionStatus::Known { ticket, record, is_rotating } = &resolved.status else { return false };
        let record = record.as_deref();
        // The way of most requests, asked without a future or a look at the store.
        resolved.taken.is_empty()
            && (resolved.read_only
                || !(*is_rotating
                    || self.is_due(ticket, record, now)
                    || record.is_some_and(|record| self.is_due_for_rotation(record, now))))
    }

    /// Nothing changes; the ticket may need a new stamp or a successor, or the browser a later expiry.
    pub(super) async fn refresh(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        record: Option<&Record>,
        is_rotating: bool,
        shared: impl FnOnce() -> bool,
    ) -> CookieOutcome {
        let now = context.now;
        let clock = record.is_some_and(|record| self.is_due_for_rotation(record, now));
        // `shared` last: it reads the answer's headers, and few answers get here.
        if !(clock || is_rotating || self.is_due(ticket, record, now)) || shared() {
            return CookieOutcome::Unchanged;
        }
        if clock {
            // Derived from the ticket, not random: of two answers at once both make the same one, and whichever is decided
            // first, both browsers' copies lead on.
            let successor = ticket.successor(&self.keys, now);
            let changes = SessionChanges { rotate: true, ..SessionChanges::default() };
            let seen = context.seen(ticket);
            match self
                .apply(
                    context.resolved.record(),
                    seen,
                    &(&successor).into(),
                    &changes,
                    (now, context.size_limit),
                )
                .await
            {
                Ok(AppliedChange::Saved { record, .. }) => return self.give(&successor, Some(&record), now),
                // Another answer was quicker: what that decided is looked up below.
                Ok(AppliedChange::Nothing) => {}
                Ok(_) => return CookieOutcome::Unchanged,
                // The ticket is as good as it was: the next answer tries again.
                Err(error) => {
                    tracing::warn!(%error, "a ticket could not be rotated");
                    return CookieOutcome::Unchanged;
                }
            }
        }
        // Only what still leads to the session: a ticket spent meanwhile must not overwrite its successor.
        let current = match self.backend.load(ticket, context.resolved.record(), now).await {
            Ok(FoundRecord::Live(current)) => current,
            Ok(FoundRecord::Nothing) if record.is_none() => {
                return self.give(&ticket.anew(now), None, now);
            }
            _ => return CookieOutcome::Unchanged,
        };
        match current.match_secret(&ticket.hash(), || context.network.tag(), now) {
            SecretMatch::Current => self.give(&ticket.anew(now), Some(&current), now),
            // The browser still shows the old one: it may never have got the answer that brought the new one.
            SecretMatch::Previous { .. } => {
                self.reissue_successor(&self.successor(&current, context, ticket), now).await
            }
            SecretMatch::Past | SecretMatch::No => CookieOutcome::Unchanged,
        }
    }

    /// The ticket that took the place of this one, which still leads to the record.
    pub(super) fn successor(&self, record: &Record, context: AnswerContext<'_>, ticket: &Ticket) -> Ticket {
        if record.was_handed_over() {
            ticket.handed_over(&self.keys, context.network.tag(), context.now)
        } else {
            ticket.successor(&self.keys, context.now)
        }
    }

    fn is_due_for_rotation(&self, record: &Record, now: Timestamp) -> bool {
        self.backend.has_tickets()
            // While the old ticket is still good the next one is not made: there are never three at
            // a time.
            && !record.is_rotating(now)
            && self.rules.renew_interval.is_some_and(|interval| now.since(record.renewed) >= interval)
    }

    /// Whether a ticket needs a new stamp, or one under the current key.
    fn is_due(&self, ticket: &Ticket, record: Option<&Record>, now: Timestamp) -> bool {
        self.backend.is_due(ticket, record, (&self.rules, |record| self.touch_every(record)), now)
    }

    /// The successor is offered until it was seen; under another key it would be another, and so is not. Nor is it before
    /// it is kept that it leads there: whoever had it then would be logged out.
    pub(super) async fn reissue_successor(&self, successor: &Ticket, now: Timestamp) -> CookieOutcome {
        if self.backend.settled(successor.id).await.is_ok()
            && let Ok(FoundRecord::Live(kept)) = self.backend.load(successor, None, now).await
            && kept.secret == successor.hash()
        {
            return self.give(successor, Some(&kept), now);
        }
        CookieOutcome::Unchanged
    }
}

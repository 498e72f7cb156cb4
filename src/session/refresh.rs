//! What an answer that changes nothing does to the browser's ticket: a later stamp, the current key, a successor because the
//! time has come.

use super::{
    Backend, ResolvedSession, SessionChanges, SessionManager,
    apply_answer::{AnswerContext, CookieOutcome},
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
    pub fn rests(&self, resolved: &ResolvedSession, now: Timestamp) -> bool {
        let SessionStatus::Known { ticket, record, passing_on } = &resolved.standing else { return false };
        let record = record.as_deref();
        resolved.taken.is_empty()
            && (resolved.read_only
                || !(*passing_on
                    || self.is_due(ticket, record, now)
                    || record.is_some_and(|record| self.is_due_by_clock(record, now))))
    }

    /// Nothing changes; the ticket may need a new stamp or a successor, or the browser a later expiry.
    pub(super) async fn refresh(
        &self,
        turn: AnswerContext<'_>,
        ticket: &Ticket,
        record: Option<&Record>,
        passing_on: bool,
        shared: impl FnOnce() -> bool,
    ) -> CookieOutcome {
        let now = turn.now;
        let clock = record.is_some_and(|record| self.is_due_by_clock(record, now));
        if !(clock || passing_on || self.is_due(ticket, record, now)) || shared() {
            return CookieOutcome::Leave;
        }
        let successor = ticket.successor(&self.keys, now);
        if clock {
            let changes = SessionChanges { by_clock: true, ..SessionChanges::default() };
            let seen = turn.seen(ticket);
            match self.apply(turn.resolved.record(), seen, &successor, &changes, (now, turn.room)).await {
                Ok(AppliedChange::Saved { record, .. }) => return self.give(&successor, Some(&record), now),
                Ok(AppliedChange::Nothing) => {}
                Ok(_) => return CookieOutcome::Leave,
                Err(error) => {
                    tracing::warn!(%error, "a ticket was not renewed by the clock");
                    return CookieOutcome::Leave;
                }
            }
        }
        // Only what still leads to the session: a ticket spent meanwhile must not overwrite its successor.
        let current = match self.keep.load(ticket, turn.resolved.record(), now).await {
            Ok(FoundRecord::Live(current)) => current,
            Ok(FoundRecord::Nothing) if record.is_none() => {
                return self.give(&ticket.anew(now), None, now);
            }
            _ => return CookieOutcome::Leave,
        };
        match current.leads(&ticket.hash(), now) {
            SecretMatch::Current => self.give(&ticket.anew(now), Some(&current), now),
            SecretMatch::Previous { .. } => self.offer(&successor, now).await,
            SecretMatch::No => CookieOutcome::Leave,
        }
    }

    fn is_due_by_clock(&self, record: &Record, now: Timestamp) -> bool {
        self.keep.has_tickets()
            && !record.overlaps(now)
            && self.rules.renew_interval.is_some_and(|interval| now.since(record.renewed) >= interval)
    }

    /// Whether a ticket needs a new stamp, or one under the current key.
    fn is_due(&self, ticket: &Ticket, record: Option<&Record>, now: Timestamp) -> bool {
        if let Backend::Flask(flask) = &self.keep {
            return record.is_some_and(|record| flask.refreshes(record));
        }
        let age = now.since(ticket.stamped);
        !ticket.current_key
            || match record {
                None => age > self.rules.plain.idle_timeout / 2,
                Some(record) if self.keep.travels() => age.as_millis() as u64 > self.touch_every(record),
                Some(record) => record.permanent && age > self.rules.touch_interval,
            }
    }

    /// The successor is offered until it was seen; under another key it would be another, and so is not. Nor is it before
    /// it is kept that it leads there: whoever had it then would be logged out.
    async fn offer(&self, successor: &Ticket, now: Timestamp) -> CookieOutcome {
        if self.keep.settled(successor.id).await.is_ok()
            && let Ok(FoundRecord::Live(kept)) = self.keep.load(successor, None, now).await
            && kept.leads(&successor.hash(), now) == SecretMatch::Current
        {
            return self.give(successor, Some(&kept), now);
        }
        CookieOutcome::Leave
    }
}

//! What an answer means for a session: whether it is changed, ended, followed by another, refreshed; and whether the
//! browser gets a ticket for it.

use std::{net::IpAddr, time::Duration};

use super::{
    Answer, Changes, Record, Resolved, SessionManager, StoreError,
    commit::{Apply, Found, Seen},
    record::Leads,
    resolve::Standing,
    store::Applied,
    ticket::Ticket,
};
use crate::{clock::Timestamp, config::OnConflict, crypto};

/// What becomes of the browser's ticket.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It keeps what it has.
    Leave,
    /// It gets this one; for so long, or as long as it runs.
    Give(Ticket, Option<Duration>),
    /// It loses it.
    Expire,
    /// The visitor is told of a conflict.
    Conflict,
}

impl SessionManager {
    /// What becomes of the browser's ticket, and of the record.
    pub(super) async fn judge<S: FnOnce() -> bool>(
        &self,
        resolved: &Resolved,
        answer: Answer<'_, S>,
    ) -> Result<Outcome, StoreError> {
        if resolved.read_only {
            return Ok(Outcome::Leave);
        }
        let Answer { mut changes, shared, shows_nothing, client, now, .. } = answer;
        if shows_nothing {
            changes.give_back.clone_from(&resolved.taken);
        }
        match &resolved.standing {
            Standing::Known { ticket, record, passing_on } => {
                if !changes.is_empty() {
                    let record = record.is_some();
                    if let Some(outcome) =
                        self.change(resolved, ticket, record, &changes, client, now).await?
                    {
                        return Ok(outcome);
                    }
                }
                Ok(self.refresh(resolved, ticket, record.as_deref(), *passing_on, shared, now).await)
            }
            // Nothing of a spent ticket's holder is kept, except a login.
            Standing::Spent(_) if changes.logs_in() => {
                self.begin(resolved, Ticket::mint(now), &changes, client, now).await
            }
            Standing::Spent(_) => Ok(Outcome::Leave),
            // What it wants changed cannot be: whoever asked decides whether the visitor is told.
            Standing::Unavailable if changes.is_empty() => Ok(Outcome::Leave),
            Standing::Unavailable => Err(StoreError::Unavailable),
            Standing::Stranger(ticket) => {
                if changes.if_version.is_some_and(|version| version != 0) {
                    return Ok(self.conflict());
                }
                if changes.stores() && (!resolved.cross_site_write || changes.logs_in()) {
                    let ticket = ticket.unwrap_or_else(|| Ticket::mint(now));
                    return self.begin(resolved, ticket, &changes, client, now).await;
                }
                match ticket {
                    Some(ticket) if !changes.ends() && !shared() => Ok(self.give(ticket, None, now)),
                    _ => Ok(Outcome::Leave),
                }
            }
        }
    }

    fn conflict(&self) -> Outcome {
        self.wire.events.conflicts.raise();
        tracing::info!("session instructions were dropped: another version than If-Version");
        match self.rules.on_conflict {
            OnConflict::Drop => Outcome::Leave,
            OnConflict::Refuse => Outcome::Conflict,
        }
    }

    /// Nothing changes; the ticket may need a new stamp or a successor, or the browser a later expiry.
    async fn refresh(
        &self,
        resolved: &Resolved,
        ticket: &Ticket,
        record: Option<&Record>,
        passing_on: bool,
        shared: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Outcome {
        let age = now.since(ticket.stamped);
        let by_clock = |r: &Record| {
            !r.overlaps(now)
                && self.rules.renew_interval.is_some_and(|interval| now.since(r.renewed) >= interval)
        };
        let clock = record.is_some_and(by_clock);
        let due = clock
            || passing_on
            || !ticket.current_key
            || match record {
                None => age > self.rules.plain.idle_timeout / 2,
                Some(r) => r.permanent && age > self.rules.touch_interval,
            };
        if !due || shared() {
            return Outcome::Leave;
        }
        let successor = ticket.successor(&self.keys, now);
        if clock {
            let changes = Changes { by_clock: true, ..Changes::default() };
            let seen = resolved.seen(ticket, true, true);
            match self.apply(seen, &successor, &changes, now).await {
                Ok(Applied::Saved { record, .. }) => return self.give(&successor, Some(&record), now),
                Ok(Applied::Nothing) => {}
                Ok(_) => return Outcome::Leave,
                Err(error) => {
                    tracing::warn!(%error, "a ticket was not renewed by the clock");
                    return Outcome::Leave;
                }
            }
        }
        // Only what still leads to the session: a ticket spent meanwhile must not overwrite its successor.
        let current = match self.store.load(ticket.id, now).await {
            Ok(Found::Live(current)) => current,
            Ok(Found::Nothing) if record.is_none() => {
                return self.give(&Ticket { stamped: now, current_key: true, ..*ticket }, None, now);
            }
            _ => return Outcome::Leave,
        };
        match current.leads(&ticket.hash(), now) {
            Leads::Current => {
                self.give(&Ticket { stamped: now, current_key: true, ..*ticket }, Some(&current), now)
            }
            // The successor is offered until it was seen; under another key it would be another, and so is not.
            Leads::Previous { .. } if current.leads(&successor.hash(), now) == Leads::Current => {
                self.give(&successor, Some(&current), now)
            }
            _ => Outcome::Leave,
        }
    }

    /// `None`: the browser's ticket is as good as it was.
    async fn change(
        &self,
        resolved: &Resolved,
        ticket: &Ticket,
        record: bool,
        changes: &Changes,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<Outcome>, StoreError> {
        if !record {
            self.admit(changes, client, now)?;
        }
        let next = Ticket { stamped: now, secret: crypto::random(), current_key: true, ..*ticket };
        let seen = resolved.seen(ticket, record, true);
        Ok(Some(match self.apply(seen, &next, changes, now).await? {
            Applied::Saved { record, renewed: true, .. } => self.give(&next, Some(&record), now),
            // The browser's copy is to last as long as the session does from now on.
            Applied::Saved { record, .. }
                if changes.permanent.is_some() && record.leads(&ticket.hash(), now) == Leads::Current =>
            {
                let same = Ticket { stamped: now, current_key: true, ..*ticket };
                self.give(&same, Some(&record), now)
            }
            Applied::Ended if changes.destroys() => Outcome::Expire,
            // Another principal, or none: what this answer sets belongs to a session of its own.
            Applied::Ended => self.follow(resolved, changes, client, now).await?,
            // Apps repeat who is logged in: from a straggler that is no login, and would undo a logout.
            Applied::Straggler if changes.logs_in() && !resolved.repeats(changes) => {
                self.follow(resolved, changes, client, now).await?
            }
            Applied::Straggler | Applied::Denied => Outcome::Leave,
            Applied::Conflict => {
                // Where the visitor is told of it, whoever tells gives them back.
                if self.rules.on_conflict == OnConflict::Drop && !changes.give_back.is_empty() {
                    self.give_back(resolved, now).await;
                }
                self.conflict()
            }
            Applied::Nothing | Applied::Saved { .. } => return Ok(None),
        }))
    }

    async fn follow(
        &self,
        resolved: &Resolved,
        changes: &Changes,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.begin(resolved, Ticket::mint(now), &changes.afterwards(), client, now).await
    }

    /// A new session with what this answer sets.
    async fn begin(
        &self,
        resolved: &Resolved,
        ticket: Ticket,
        changes: &Changes,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.admit(changes, client, now)?;
        let seen = resolved.seen(&ticket, false, false);
        // It is new: there is no older ticket to spend.
        match self.apply(seen, &ticket, changes, now).await? {
            Applied::Saved { record, .. } => Ok(self.give(&ticket, Some(&record), now)),
            Applied::Denied => Ok(Outcome::Leave),
            _ => Ok(self.give(&ticket, None, now)),
        }
    }

    /// Visitors who begin sessions with data are counted; logins are not.
    fn admit(&self, changes: &Changes, client: Option<IpAddr>, now: Timestamp) -> Result<(), StoreError> {
        if changes.stores() && !changes.logs_in() && !self.flood.admits(client, now) {
            self.wire.events.floods.raise();
            return Err(StoreError::Flood);
        }
        Ok(())
    }

    pub(super) async fn apply(
        &self,
        seen: Seen,
        next: &Ticket,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let apply =
            Apply { seen, changes, next_secret: next.hash(), now, rules: &self.rules, wire: &self.wire };
        self.store.apply(&apply).await
    }

    fn give(&self, ticket: &Ticket, record: Option<&Record>, now: Timestamp) -> Outcome {
        let lasts = record.filter(|r| r.permanent).map(|r| r.lasts(&self.rules, now));
        Outcome::Give(*ticket, lasts)
    }
}

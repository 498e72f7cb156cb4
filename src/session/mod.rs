//! Sessions: who a visitor is, what belongs to them, and what an answer changes of it.
//!
//! Here live the ticket, the record, the contract's headers, lifetimes, the store. Never: a connection, an upstream,
//! a status code. [`SessionManager`] is called by `proxy`, twice a request: [`resolve`](SessionManager::resolve)
//! before the app is asked, [`commit`](SessionManager::commit) before the visitor's first byte. RFC 6265bis binds the
//! cookie.

mod change;
mod commit;
mod cookie;
mod events;
mod flood;
mod instruct;
mod record;
mod resolve;
pub mod store;
mod ticket;
mod value;
mod verified;
mod view;
mod visit;
mod wire;

pub use change::Changes;
pub use cookie::CookieForm;
pub use events::Events;
pub use record::Record;
pub use resolve::{MOST_CANDIDATES, Request, Resolved, State};
pub use store::StoreError;
pub use ticket::Realm;
pub use value::Value;
pub use view::View;
pub use visit::{Visit, is_for_shared_caches, make_private};
pub use wire::Wire;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderValue;

use crate::{
    clock::Timestamp,
    config::{OnConflict, Session},
    crypto::{self, Keyring},
};
use commit::{Apply, Seen};
use flood::Flood;
use resolve::Standing;
use store::{Applied, Memory};
use ticket::Ticket;

/// Everything about sessions, behind two calls a request.
#[derive(Debug)]
pub struct SessionManager {
    keys: Keyring,
    rules: Session,
    store: Arc<Memory>,
    flood: Flood,
    /// The names of the headers.
    pub wire: Wire,
    /// The form of the cookie.
    pub cookie: CookieForm,
}

/// An answer's part in a session.
#[derive(Debug)]
pub struct Answer<'a, S> {
    /// What it wants changed.
    pub changes: Changes,
    /// Whom the ticket's MAC binds it to.
    pub realm: Realm<'a>,
    /// What its upstream may do.
    pub view: &'a View,
    /// Whether it may be kept by caches that serve many; asked only where that matters.
    pub shared: S,
    /// It is a redirect or a failure: no flash was shown by it.
    pub shows_nothing: bool,
    /// The visitor.
    pub client: Option<IpAddr>,
    /// Now.
    pub now: Timestamp,
}

/// What an answer brings about in the browser.
#[derive(Debug, Default)]
pub struct Issue {
    /// The session's own Set-Cookie.
    pub set_cookie: Option<HeaderValue>,
    /// Another version than the answer's `If-Version`, and `on_conflict = 409`.
    pub conflict: bool,
}

/// What becomes of the browser's ticket.
#[derive(Debug)]
enum Outcome {
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
    /// `None` if the header prefix makes no header names, which `config` refuses. `per_second` and `per_address` limit
    /// new sessions with data.
    pub fn new(
        rules: &Session,
        store: Arc<Memory>,
        keys: Keyring,
        per_second: Option<u64>,
        per_address: Option<u64>,
    ) -> Option<Self> {
        Some(Self {
            keys,
            rules: rules.clone(),
            store,
            flood: Flood::new(per_second, per_address),
            wire: Wire::new(rules)?,
            cookie: CookieForm::new(&rules.cookie),
        })
    }

    /// The rules, for whoever tells an app of a session.
    pub fn rules(&self) -> &Session {
        &self.rules
    }

    /// The store, for the operator's view and the sweeper.
    pub fn store(&self) -> &Arc<Memory> {
        &self.store
    }

    /// Stores what an answer wants changed and says what the browser gets for it.
    ///
    /// # Errors
    /// The store failed, or refuses; nothing was changed.
    pub fn commit<S: FnOnce() -> bool>(
        &self,
        resolved: &Resolved,
        mut answer: Answer<'_, S>,
    ) -> Result<Issue, StoreError> {
        self.restrict(resolved, &mut answer);
        let (realm, now) = (answer.realm, answer.now);
        self.judge(resolved, answer).map(|outcome| {
            let mut issue = Issue::default();
            match outcome {
                Outcome::Leave => {}
                Outcome::Conflict => issue.conflict = true,
                Outcome::Expire => issue.set_cookie = self.cookie.expire(resolved.https),
                Outcome::Give(ticket, lasts) => {
                    let text = ticket.write(&self.keys, realm);
                    issue.set_cookie = self.cookie.give(&text, resolved.https, lasts, now);
                }
            }
            issue
        })
    }

    /// Flashes that an answer was to show and did not, because there was none.
    pub fn give_back(&self, resolved: &Resolved, now: Timestamp) {
        if let Standing::Known { ticket, record: Some(_), .. } = &resolved.standing
            && !resolved.taken.is_empty()
        {
            let changes = Changes { give_back: resolved.taken.clone(), ..Changes::default() };
            let seen = resolved.seen(ticket, true, true);
            if let Err(error) = self.apply(seen, ticket, &changes, now) {
                tracing::error!(%error, "flashes were lost: they could not be put back");
            }
        }
    }

    /// What this upstream, on this route, may not do is not done.
    fn restrict<S>(&self, resolved: &Resolved, answer: &mut Answer<'_, S>) {
        if resolved.read_only {
            if !answer.changes.is_empty() {
                self.wire.events.forbidden("all", "the route is read_only");
                answer.changes = Changes::default();
            }
            return;
        }
        if answer.changes.is_empty() {
            return;
        }
        let known =
            resolved.record().map(|r| r.fields.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        if answer.view.restrict(&mut answer.changes, known.into_iter()) {
            self.wire
                .events
                .forbidden("some", "session_fields, session_write or session_login of the upstream");
        }
    }

    fn judge<S: FnOnce() -> bool>(
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
                    if let Some(outcome) = self.change(resolved, ticket, record, &changes, client, now)? {
                        return Ok(outcome);
                    }
                }
                Ok(self.refresh(resolved, ticket, record.as_deref(), *passing_on, shared, now))
            }
            // Nothing of a spent ticket's holder is kept, except a login.
            Standing::Spent(_) if changes.logs_in() => {
                self.begin(resolved, Ticket::mint(now), &changes, client, now)
            }
            Standing::Spent(_) => Ok(Outcome::Leave),
            Standing::Stranger(ticket) => {
                if changes.if_version.is_some_and(|version| version != 0) {
                    return Ok(self.conflict());
                }
                if changes.stores() && (!resolved.cross_site_write || changes.logs_in()) {
                    let ticket = ticket.unwrap_or_else(|| Ticket::mint(now));
                    return self.begin(resolved, ticket, &changes, client, now);
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
    fn refresh(
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
            !r.is_passing_on()
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
            match self.apply(seen, &successor, &changes, now) {
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
        let current = match self.store.load(ticket.id.as_u128(), &self.rules, now) {
            commit::Found::Live(current) => current,
            commit::Found::Nothing if record.is_none() => {
                return self.give(&Ticket { stamped: now, current_key: true, ..*ticket }, None, now);
            }
            _ => return Outcome::Leave,
        };
        match current.leads(&ticket.hash(), now) {
            record::Leads::Current => {
                self.give(&Ticket { stamped: now, current_key: true, ..*ticket }, Some(&current), now)
            }
            // The successor is offered until it was seen; under another key it would be another, and so is not.
            record::Leads::Previous { succeeded: false }
                if current.leads(&successor.hash(), now) == record::Leads::Current =>
            {
                self.give(&successor, Some(&current), now)
            }
            _ => Outcome::Leave,
        }
    }

    /// `None`: the browser's ticket is as good as it was.
    fn change(
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
        Ok(Some(match self.apply(seen, &next, changes, now)? {
            Applied::Saved { record, renewed: true, .. } => self.give(&next, Some(&record), now),
            // The browser's copy is to last as long as the session does from now on.
            Applied::Saved { record, .. } if changes.permanent.is_some() => {
                let same = Ticket { stamped: now, current_key: true, ..*ticket };
                self.give(&same, Some(&record), now)
            }
            Applied::Ended if changes.destroys() => Outcome::Expire,
            // Another principal, or none: what this answer sets belongs to a session of its own.
            Applied::Ended => self.follow(resolved, changes, client, now)?,
            Applied::Straggler if changes.logs_in() => self.follow(resolved, changes, client, now)?,
            Applied::Straggler | Applied::Denied => Outcome::Leave,
            Applied::Conflict => self.conflict(),
            Applied::Nothing | Applied::Saved { .. } => return Ok(None),
        }))
    }

    fn follow(
        &self,
        resolved: &Resolved,
        changes: &Changes,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.begin(resolved, Ticket::mint(now), &changes.afterwards(), client, now)
    }

    /// A new session with what this answer sets.
    fn begin(
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
        match self.apply(seen, &ticket, changes, now)? {
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

    fn apply(
        &self,
        seen: Seen,
        next: &Ticket,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let apply =
            Apply { seen, changes, next_secret: next.hash(), now, rules: &self.rules, wire: &self.wire };
        self.store.apply(seen.id.as_u128(), &apply)
    }

    fn give(&self, ticket: &Ticket, record: Option<&Record>, now: Timestamp) -> Outcome {
        let lasts = record.filter(|r| r.permanent).map(|r| r.lasts(&self.rules, now));
        Outcome::Give(*ticket, lasts)
    }
}

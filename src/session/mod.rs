//! Sessions: who a visitor is, what belongs to them, and what an answer changes of it.
//!
//! Here live the ticket, the record, the contract's headers, lifetimes, the store. Never: a connection, an upstream,
//! a status code. [`SessionManager`] is called by `proxy`, twice a request: [`resolve`](SessionManager::resolve)
//! before the app is asked, [`commit`](SessionManager::commit) before the visitor's first byte. RFC 6265bis binds the
//! cookie.

mod change;
mod commit;
mod cookie;
mod record;
mod resolve;
pub mod store;
mod ticket;
mod visit;
mod wire;

pub use change::Changes;
pub use cookie::CookieForm;
pub use record::Record;
pub use resolve::{MOST_CANDIDATES, Request, Resolved, State};
pub use store::StoreError;
pub use ticket::Realm;
pub use visit::{Visit, is_for_shared_caches, make_private};
pub use wire::Wire;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use crate::{
    clock::Timestamp,
    config::Session,
    crypto::{self, Keyring},
};
use commit::{Apply, Seen};
use resolve::Standing;
use store::{Applied, Memory};
use ticket::Ticket;

/// Everything about sessions, behind two calls a request.
#[derive(Debug)]
pub struct SessionManager {
    keys: Keyring,
    rules: Session,
    store: Arc<Memory>,
    /// The names of the headers.
    pub wire: Wire,
    /// The form of the cookie.
    pub cookie: CookieForm,
}

/// What an answer brings about in the browser.
#[derive(Debug, Default)]
pub struct Issue {
    /// The session's own Set-Cookie.
    pub set_cookie: Option<HeaderValue>,
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
}

impl SessionManager {
    /// `None` if the header prefix makes no header names, which `config` refuses.
    pub fn new(rules: &Session, store: Arc<Memory>, keys: Keyring) -> Option<Self> {
        Some(Self {
            keys,
            rules: rules.clone(),
            store,
            wire: Wire::new(&rules.headers.prefix)?,
            cookie: CookieForm::new(&rules.cookie),
        })
    }

    /// The store, for the operator's view and the sweeper.
    pub fn store(&self) -> &Arc<Memory> {
        &self.store
    }

    /// Stores what an answer wants changed and says what the browser gets for it.
    ///
    /// # Errors
    /// The store failed; nothing was changed.
    pub fn commit(
        &self,
        resolved: &Resolved,
        realm: Realm<'_>,
        changes: &Changes,
        shared: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Result<Issue, StoreError> {
        self.judge(resolved, changes, shared, now).map(|outcome| {
            let set_cookie = match outcome {
                Outcome::Leave => None,
                Outcome::Expire => self.cookie.expire(resolved.https),
                Outcome::Give(ticket, lasts) => {
                    self.cookie.give(&ticket.write(&self.keys, realm), resolved.https, lasts, now)
                }
            };
            Issue { set_cookie }
        })
    }

    fn judge(
        &self,
        resolved: &Resolved,
        changes: &Changes,
        shared: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        if resolved.read_only {
            if !changes.is_empty() {
                tracing::warn!("session instructions were dropped: the route is read_only");
            }
            return Ok(Outcome::Leave);
        }
        match &resolved.standing {
            Standing::Known { ticket, record } if changes.is_empty() => {
                Ok(self.refresh(ticket, record.as_deref(), shared, now))
            }
            Standing::Known { ticket, record } => {
                match self.change(ticket, record.is_some(), changes, now)? {
                    Some(outcome) => Ok(outcome),
                    None => Ok(self.refresh(ticket, record.as_deref(), shared, now)),
                }
            }
            // Nothing of a spent ticket's holder is kept, except a login.
            Standing::Spent(_) if changes.logs_in() => self.begin(Ticket::mint(now), changes, now),
            Standing::Spent(_) => Ok(Outcome::Leave),
            Standing::Stranger(ticket) => {
                if changes.stores() && (!resolved.cross_site_write || changes.logs_in()) {
                    return self.begin(ticket.unwrap_or_else(|| Ticket::mint(now)), changes, now);
                }
                match ticket {
                    Some(ticket) if !changes.destroy && !shared() => Ok(self.give(ticket, None, now)),
                    _ => Ok(Outcome::Leave),
                }
            }
        }
    }

    /// Nothing changes; the ticket may need a new stamp, or the browser a later expiry.
    fn refresh(
        &self,
        ticket: &Ticket,
        record: Option<&Record>,
        shared: impl FnOnce() -> bool,
        now: Timestamp,
    ) -> Outcome {
        let age = now.since(ticket.stamped);
        let due = !ticket.current_key
            || match record {
                None => age > self.rules.plain.idle_timeout / 2,
                Some(r) => r.permanent && age > self.rules.touch_interval,
            };
        if !due || shared() {
            return Outcome::Leave;
        }
        // Only what still leads to the session: a ticket spent meanwhile must not overwrite its successor.
        let current = match self.store.load(ticket.id.as_u128(), &self.rules, now) {
            commit::Found::Live(current) if current.secret == ticket.hash() => Some(current),
            commit::Found::Nothing if record.is_none() => None,
            _ => return Outcome::Leave,
        };
        self.give(&Ticket { stamped: now, current_key: true, ..*ticket }, current.as_deref(), now)
    }

    /// `None`: the browser's ticket is as good as it was.
    fn change(
        &self,
        ticket: &Ticket,
        record: bool,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Option<Outcome>, StoreError> {
        let next = Ticket { stamped: now, secret: crypto::random(), current_key: true, ..*ticket };
        let seen = Resolved::seen(ticket, record, true);
        Ok(Some(match self.apply(seen, &next, changes, now)? {
            Applied::Saved { record, renewed: true } => self.give(&next, Some(&record), now),
            // The browser's copy is to last as long as the session does from now on.
            Applied::Saved { record, .. } if changes.permanent.is_some() => {
                let same = Ticket { stamped: now, current_key: true, ..*ticket };
                self.give(&same, Some(&record), now)
            }
            Applied::Ended if changes.destroy => Outcome::Expire,
            // Another principal, or none: what this answer sets belongs to a session of its own.
            Applied::Ended => self.begin(Ticket::mint(now), changes, now)?,
            Applied::Straggler if changes.logs_in() => self.begin(Ticket::mint(now), changes, now)?,
            Applied::Straggler => Outcome::Leave,
            Applied::Nothing | Applied::Saved { .. } => return Ok(None),
        }))
    }

    /// A new session with what this answer sets.
    fn begin(&self, ticket: Ticket, changes: &Changes, now: Timestamp) -> Result<Outcome, StoreError> {
        let seen = Resolved::seen(&ticket, false, false);
        // It is new: there is no older ticket to spend.
        match self.apply(seen, &ticket, changes, now)? {
            Applied::Saved { record, .. } => Ok(self.give(&ticket, Some(&record), now)),
            _ => Ok(self.give(&ticket, None, now)),
        }
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

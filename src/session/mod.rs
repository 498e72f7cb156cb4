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
pub use visit::{Visit, is_for_shared_caches, make_private};
pub use wire::Wire;

use std::sync::Arc;

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
    /// It must be sent with this answer, even one that is marked for shared caches.
    pub urgent: bool,
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
        changes: &Changes,
        shared: bool,
        now: Timestamp,
    ) -> Result<Issue, StoreError> {
        if resolved.read_only {
            if !changes.is_empty() {
                tracing::warn!("session instructions were dropped: the route is read_only");
            }
            return Ok(Issue::default());
        }
        match &resolved.standing {
            Standing::Known { ticket, record } if changes.is_empty() => {
                Ok(self.refresh(resolved, ticket, record.as_deref(), shared, now))
            }
            Standing::Known { ticket, record } => {
                self.change(resolved, ticket, record.is_some(), changes, now)
            }
            // Nothing of a spent ticket's holder is kept, except a login.
            Standing::Spent(_) if changes.logs_in() => self.begin(resolved, Ticket::mint(now), changes, now),
            Standing::Spent(_) => Ok(Issue::default()),
            Standing::Stranger(ticket) => {
                if changes.stores() && (!resolved.visit.cross_site_write || changes.logs_in()) {
                    return self.begin(resolved, ticket.unwrap_or_else(|| Ticket::mint(now)), changes, now);
                }
                match ticket {
                    Some(ticket) if !shared && !changes.destroy => {
                        Ok(self.hand_out(resolved, ticket, None, now, false))
                    }
                    _ => Ok(Issue::default()),
                }
            }
        }
    }

    /// Nothing changes; the ticket may need a new stamp, or the browser a later expiry.
    fn refresh(
        &self,
        resolved: &Resolved,
        ticket: &Ticket,
        record: Option<&Record>,
        shared: bool,
        now: Timestamp,
    ) -> Issue {
        let age = now.since(ticket.stamped);
        let due = !ticket.current_key
            || match record {
                None => age > self.rules.plain.idle_timeout / 2,
                Some(r) => r.permanent && age > self.rules.touch_interval,
            };
        if !due || shared {
            return Issue::default();
        }
        // Only what still leads to the session: a ticket spent meanwhile must not overwrite its successor.
        let still = match self.store.load(ticket.id.as_u128(), &self.rules, now) {
            commit::Found::Live(now) => now.secret == ticket.hash(),
            commit::Found::Nothing => record.is_none(),
            commit::Found::Ended(_) => false,
        };
        if !still {
            return Issue::default();
        }
        let ticket = Ticket { stamped: now, current_key: true, ..*ticket };
        self.hand_out(resolved, &ticket, record, now, false)
    }

    fn change(
        &self,
        resolved: &Resolved,
        ticket: &Ticket,
        record: bool,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Issue, StoreError> {
        let next = Ticket { stamped: now, secret: crypto::random(), current_key: true, ..*ticket };
        let seen = Resolved::seen(ticket, record, true);
        match self.apply(seen, &next, changes, now)? {
            Applied::Nothing => Ok(self.refresh(resolved, ticket, None, true, now)),
            Applied::Saved { record, renewed: true } => {
                Ok(self.hand_out(resolved, &next, Some(&record), now, true))
            }
            Applied::Saved { record, renewed: false } => {
                if changes.permanent.is_none() {
                    return Ok(Issue::default());
                }
                let same = Ticket { stamped: now, current_key: true, ..*ticket };
                Ok(self.hand_out(resolved, &same, Some(&record), now, true))
            }
            Applied::Ended if changes.destroy => {
                Ok(Issue { set_cookie: self.cookie.expire(resolved.https), urgent: true })
            }
            // Another principal, or none: what this answer sets belongs to a session of its own.
            Applied::Ended => self.begin(resolved, Ticket::mint(now), changes, now),
            Applied::Straggler if changes.logs_in() => self.begin(resolved, Ticket::mint(now), changes, now),
            Applied::Straggler => Ok(Issue::default()),
        }
    }

    /// A new session with what this answer sets.
    fn begin(
        &self,
        resolved: &Resolved,
        ticket: Ticket,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Issue, StoreError> {
        let seen = Resolved::seen(&ticket, false, false);
        // It is new: there is no older ticket to spend.
        match self.apply(seen, &ticket, changes, now)? {
            Applied::Saved { record, .. } => Ok(self.hand_out(resolved, &ticket, Some(&record), now, true)),
            _ => Ok(self.hand_out(resolved, &ticket, None, now, true)),
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

    fn hand_out(
        &self,
        resolved: &Resolved,
        ticket: &Ticket,
        record: Option<&Record>,
        now: Timestamp,
        urgent: bool,
    ) -> Issue {
        let text = ticket.write(&self.keys, &resolved.realm);
        let lasts = record.filter(|r| r.permanent).map(|r| r.ends(&self.rules).since(now));
        Issue { set_cookie: self.cookie.give(&text, resolved.https, lasts, now), urgent }
    }
}

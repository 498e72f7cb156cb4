//! From the cookies of a request to the session that it comes under. A forged, foreign, expired or ended ticket makes
//! a stranger, never an error.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    SessionManager,
    commit::{Found, Seen},
    record::Record,
    ticket::{Realm, Ticket},
    visit::Visit,
};
use crate::clock::Timestamp;

/// How long the holder of a spent ticket gets no new one: requests that were under way must not overwrite a login.
const GRACE: Duration = Duration::from_secs(30);

/// At most so many cookies of our name are tried.
pub const MOST_CANDIDATES: usize = 4;

/// What the app is told about the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Minted in this request.
    New,
    /// The ticket came back.
    Active,
    /// Nothing minted.
    None,
}

impl State {
    /// The value of `X-Session-State`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::None => "none",
        }
    }
}

#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody we know; with the ticket that may be given.
    Stranger(Option<Ticket>),
    /// The ticket was spent a moment ago: a throw-away id, and no ticket.
    Spent(Uuid),
    /// A genuine ticket, with its record if there is one.
    Known { ticket: Ticket, record: Option<Arc<Record>> },
}

/// The session that a request comes under.
#[derive(Debug)]
pub struct Resolved {
    pub(super) standing: Standing,
    pub(super) cross_site_write: bool,
    pub(super) https: bool,
    pub(super) read_only: bool,
}

impl Resolved {
    /// What the app is told.
    pub fn state(&self) -> State {
        match &self.standing {
            Standing::Known { .. } => State::Active,
            Standing::Spent(_) | Standing::Stranger(Some(_)) => State::New,
            Standing::Stranger(None) => State::None,
        }
    }

    /// The public id, if there is one.
    pub fn id(&self) -> Option<Uuid> {
        match &self.standing {
            Standing::Known { ticket, .. } => Some(ticket.id),
            Standing::Stranger(ticket) => ticket.map(|t| t.id),
            Standing::Spent(id) => Some(*id),
        }
    }

    /// The record as it was when the request came.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match &self.standing {
            Standing::Known { record, .. } => record.as_ref(),
            _ => None,
        }
    }

    pub(super) fn seen(ticket: &Ticket, record: bool, confirmed: bool) -> Seen {
        Seen { id: ticket.id, secret: ticket.hash(), minted: ticket.minted, record, confirmed }
    }
}

/// What resolving needs to know of a request.
#[derive(Debug)]
pub struct Request<'a, V> {
    /// The values of the cookies of our name, in order.
    pub candidates: &'a [&'a [u8]],
    /// Whom the ticket's MAC binds it to.
    pub realm: Realm<'a>,
    /// The visitor came by https.
    pub https: bool,
    /// May a ticket be given? Asked only for strangers.
    pub visit: V,
    /// The route only reads.
    pub read_only: bool,
    /// Now.
    pub now: Timestamp,
}

impl SessionManager {
    /// Resolves a request's session.
    pub fn resolve<V: FnOnce() -> Visit>(&self, request: Request<'_, V>) -> Resolved {
        let Request { candidates, realm, https, visit, read_only, now } = request;
        let mut found: Option<Standing> = None;
        let mut spent = false;
        let mut torn = false;
        for value in candidates.iter().take(MOST_CANDIDATES) {
            let Some(ticket) = Ticket::read(value, &self.keys, realm) else { continue };
            match self.look_up(&ticket, now) {
                Some(Standing::Spent(_)) => spent = true,
                Some(standing) => {
                    // Two tickets of different sessions: someone planted one of them, and we cannot know which.
                    torn |= found.as_ref().is_some_and(|f| known_id(f) != Some(ticket.id));
                    found.get_or_insert(standing);
                }
                None => {}
            }
        }
        let mut cross_site_write = false;
        let standing = match found {
            Some(standing) if !torn => standing,
            None if spent => Standing::Spent(Uuid::new_v4()),
            _ => {
                let visit = visit();
                cross_site_write = visit.cross_site_write;
                Standing::Stranger((visit.may_mint && !read_only).then(|| Ticket::mint(now)))
            }
        };
        if let Standing::Known { ticket, record: Some(record) } = &standing
            && !read_only
        {
            let was_confirmed = record.is_confirmed();
            record.confirm();
            if record.seen(now, self.touch_every(record.permanent)) || !was_confirmed {
                self.store.touch(ticket.id.as_u128(), record);
            }
        }
        Resolved { standing, cross_site_write, https, read_only }
    }

    /// `None`: a stranger's.
    fn look_up(&self, ticket: &Ticket, now: Timestamp) -> Option<Standing> {
        match self.store.load(ticket.id.as_u128(), &self.rules, now) {
            Found::Live(record) if crate::crypto::same(&record.secret, &ticket.hash()) => {
                Some(Standing::Known { ticket: *ticket, record: Some(record) })
            }
            Found::Live(record) => fresh(record.renewed, now),
            Found::Ended(at) => fresh(at, now),
            Found::Nothing => {
                let lifetimes = self.rules.plain;
                let good = ticket.stamped >= self.store.floor()
                    && ticket.stamped.plus(lifetimes.idle_timeout) > now
                    && ticket.minted.plus(lifetimes.absolute_timeout) > now;
                good.then_some(Standing::Known { ticket: *ticket, record: None })
            }
        }
    }

    /// At most once a `touch_interval`, and at least four times per idle time, in milliseconds.
    fn touch_every(&self, permanent: bool) -> u64 {
        let lifetimes = if permanent { self.rules.permanent } else { self.rules.plain };
        self.rules.touch_interval.min(lifetimes.idle_timeout / 4).as_millis() as u64
    }
}

fn fresh(spent_at: Timestamp, now: Timestamp) -> Option<Standing> {
    (now.since(spent_at) < GRACE).then(|| Standing::Spent(Uuid::nil()))
}

fn known_id(standing: &Standing) -> Option<Uuid> {
    match standing {
        Standing::Known { ticket, .. } => Some(ticket.id),
        _ => None,
    }
}

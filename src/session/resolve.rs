//! From the cookies of a request to the session that it comes under. A forged, foreign, expired or ended ticket makes
//! a stranger, never an error.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Changes, SessionManager, View,
    change::Name,
    commit::{Found, Seen},
    record::{Leads, Record},
    store::{Applied, StoreError},
    ticket::{Realm, SecretHash, Ticket},
    verified,
    visit::Visit,
};
use crate::{
    clock::Timestamp,
    config::{Create, Session},
};

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
    /// The store failed, and the route asks the app all the same.
    Unavailable,
}

impl State {
    /// The value of `X-Session-State`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::None => "none",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Debug)]
pub(super) enum Standing {
    /// Nobody we know; with the ticket that may be given.
    Stranger(Option<Ticket>),
    /// The ticket was spent a moment ago: a throw-away id, and no ticket.
    Spent(Uuid),
    /// Nobody can be told from anybody: the store failed.
    Unavailable,
    /// A genuine ticket, with its record if there is one.
    Known {
        ticket: Ticket,
        record: Option<Arc<Record>>,
        /// It was replaced by the clock, and its successor was not seen yet.
        passing_on: bool,
    },
}

/// The session that a request comes under.
#[derive(Debug)]
pub struct Resolved {
    pub(super) standing: Standing,
    pub(super) began: Timestamp,
    /// Flashes that this request delivers.
    pub(super) taken: Vec<(Name, Arc<str>)>,
    /// Cookies of our name that lead elsewhere or nowhere stand beside the one that counts, or instead of it.
    pub(super) crowded: bool,
    pub(super) cross_site_write: bool,
    pub(super) https: bool,
    pub(super) read_only: bool,
}

impl Resolved {
    /// A request whose session cannot be told, because the store failed.
    pub fn unavailable(https: bool, now: Timestamp) -> Self {
        Self {
            standing: Standing::Unavailable,
            began: now,
            taken: Vec::new(),
            crowded: false,
            cross_site_write: false,
            https,
            read_only: false,
        }
    }

    /// What the app is told.
    pub fn state(&self) -> State {
        match &self.standing {
            Standing::Known { .. } => State::Active,
            Standing::Spent(_) | Standing::Stranger(Some(_)) => State::New,
            Standing::Stranger(None) => State::None,
            Standing::Unavailable => State::Unavailable,
        }
    }

    /// The public id, if there is one.
    pub fn id(&self) -> Option<Uuid> {
        match &self.standing {
            Standing::Known { ticket, .. } => Some(ticket.id),
            Standing::Stranger(ticket) => ticket.map(|t| t.id),
            Standing::Spent(id) => Some(*id),
            Standing::Unavailable => None,
        }
    }

    /// The record as it was when the request came.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match &self.standing {
            Standing::Known { record, .. } => record.as_ref(),
            _ => None,
        }
    }

    /// What the app is told once.
    pub fn flashes(&self) -> &[(Name, Arc<str>)] {
        &self.taken
    }

    /// True if the app is shown something of a person: a principal, or fields.
    pub fn is_personal(&self) -> bool {
        !self.taken.is_empty() || self.record().is_some_and(|r| r.principal.is_some() || !r.fields.is_empty())
    }

    /// True if several cookies of our name came: the others are to be expired.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// True if these changes log in who was logged in already when the request came.
    pub(super) fn repeats(&self, changes: &Changes) -> bool {
        let before = self.record().and_then(|r| r.principal.as_ref());
        before.is_some() && changes.principal.as_ref().is_some_and(|wanted| wanted.as_ref() == before)
    }

    /// True if somebody is logged in.
    pub fn has_principal(&self) -> bool {
        self.record().is_some_and(|r| r.principal.is_some())
    }

    /// Age, and how long it lasts without another request.
    pub fn times(&self, rules: &Session, now: Timestamp) -> Option<(Duration, Duration)> {
        let plain = rules.plain;
        match &self.standing {
            Standing::Known { record: Some(record), .. } => {
                Some((now.since(record.created), record.lasts(rules, now)))
            }
            Standing::Known { ticket, record: None, .. } | Standing::Stranger(Some(ticket)) => {
                let end = now.plus(plain.idle_timeout).min(ticket.minted.plus(plain.absolute_timeout));
                Some((now.since(ticket.minted), end.since(now)))
            }
            Standing::Spent(_) => Some((Duration::ZERO, plain.idle_timeout)),
            Standing::Stranger(None) | Standing::Unavailable => None,
        }
    }

    pub(super) fn seen(&self, ticket: &Ticket, record: bool, confirmed: bool) -> Seen {
        Seen {
            id: ticket.id,
            secret: ticket.hash(),
            minted: ticket.minted,
            stamped: ticket.stamped,
            record,
            confirmed,
            began: self.began,
        }
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
    /// The circumstances: asked for strangers, who may or may not be given a ticket, and where there is a flash.
    pub visit: V,
    /// The route only reads.
    pub read_only: bool,
    /// What the upstream is shown.
    pub view: &'a View,
    /// Now.
    pub now: Timestamp,
}

impl SessionManager {
    /// Resolves a request's session.
    ///
    /// # Errors
    /// The store failed: whose request this is cannot be told.
    pub async fn resolve<V: FnOnce() -> Visit>(
        &self,
        request: Request<'_, V>,
    ) -> Result<Resolved, StoreError> {
        let Request { candidates, realm, https, visit, read_only, view, now } = request;
        let mut found: Option<Standing> = None;
        let mut spent = false;
        let mut torn = false;
        let mut crowded = candidates.len() > 1;
        for value in candidates.iter().take(MOST_CANDIDATES) {
            let Some((ticket, hash)) = verified::read(value, &self.keys, realm) else { continue };
            match self.look_up(&ticket, &hash, now).await? {
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
        let mut visit = Some(visit);
        let mut visit = || visit.take().map(|visit| visit());
        let standing = match found {
            Some(standing) if !torn => standing,
            None if spent => Standing::Spent(Uuid::new_v4()),
            _ => {
                let visit = visit();
                cross_site_write = visit.is_some_and(|v| v.cross_site_write);
                let may_mint = visit.is_some_and(|v| v.may_mint);
                let mints = may_mint && !read_only && self.rules.create == Create::Visit;
                Standing::Stranger(mints.then(|| Ticket::mint(now)))
            }
        };
        // Only other identities are ever expired, and only for those whom they lead astray.
        crowded &= !read_only && !matches!(standing, Standing::Spent(_));
        let mut resolved =
            Resolved { standing, began: now, taken: Vec::new(), crowded, cross_site_write, https, read_only };
        if let Standing::Known { ticket, record: Some(record), passing_on } = &resolved.standing
            && !read_only
        {
            let was_confirmed = record.is_confirmed();
            record.confirm();
            if !passing_on {
                record.shown(now);
            }
            if record.seen(now, self.touch_every(record)) || !was_confirmed {
                self.store.touch(ticket.id, record);
            }
            if !record.flashes.is_empty() && visit().is_some_and(|v| v.is_document) {
                self.take_flashes(&mut resolved, view, now).await;
            }
        }
        Ok(resolved)
    }

    /// Takes out of the record, atomically, what this request will deliver: of two at a time only one does.
    async fn take_flashes(&self, resolved: &mut Resolved, view: &View, now: Timestamp) {
        let Standing::Known { ticket, record: Some(record), .. } = &resolved.standing else { return };
        let shown = |name: &Name| view.shows(name);
        let take: Vec<Name> = record.flashes.keys().filter(|name| shown(name)).cloned().collect();
        if take.is_empty() {
            return;
        }
        let changes = Changes { take, ..Changes::default() };
        let seen = resolved.seen(ticket, true, true);
        if let Ok(Applied::Saved { record: now, taken, .. }) = self.apply(seen, ticket, &changes, now).await {
            if let Standing::Known { record, .. } = &mut resolved.standing {
                *record = Some(now);
            }
            resolved.taken = taken;
        }
    }

    /// `None`: a stranger's.
    async fn look_up(
        &self,
        ticket: &Ticket,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<Standing>, StoreError> {
        Ok(match self.store.load(ticket.id, now).await? {
            Found::Live(record) => match record.leads(hash, now) {
                Leads::Current => {
                    Some(Standing::Known { ticket: *ticket, record: Some(record), passing_on: false })
                }
                Leads::Previous { .. } => {
                    Some(Standing::Known { ticket: *ticket, record: Some(record), passing_on: true })
                }
                Leads::No => fresh(record.spent(), now),
            },
            Found::Ended(at) => fresh(at, now),
            Found::Nothing => {
                let lifetimes = self.rules.plain;
                let good = ticket.stamped >= self.store.floor()
                    && ticket.stamped.plus(lifetimes.idle_timeout) > now
                    && ticket.minted.plus(lifetimes.absolute_timeout) > now;
                good.then_some(Standing::Known { ticket: *ticket, record: None, passing_on: false })
            }
        })
    }

    /// At most once a `touch_interval`, and at least four times per idle time, in milliseconds.
    fn touch_every(&self, record: &Record) -> u64 {
        self.rules.touch_interval.min(record.idle_timeout(&self.rules) / 4).as_millis() as u64
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

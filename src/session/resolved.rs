//! The session that a request comes under: what is known of it, and what the app is told.

use std::{net::IpAddr, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    SessionChanges,
    network::VisitorNetwork,
    seen_ticket::SeenTicket,
    verdict::{TicketState, TicketVerdict},
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    record::{FieldName, Realm, Record, Ticket},
};

/// What the app is told about the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Minted in this request.
    New,
    /// The ticket came back.
    Active,
    /// Nothing minted.
    None,
    /// The store failed, and the route asks the app all the same.
    Unavailable,
}

/// All of them, in their order.
pub(super) const STATES: [SessionState; 4] =
    [SessionState::New, SessionState::Active, SessionState::None, SessionState::Unavailable];

impl SessionState {
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
pub(super) enum SessionStatus {
    /// Nobody we know; with the ticket that may be given.
    Stranger(Option<Ticket>),
    /// The ticket was spent a moment ago: a throw-away id, and no ticket.
    Spent {
        id: Uuid,
        /// When it was, at the latest.
        at: Timestamp,
        /// The ticket that took its place came back: the browser has it.
        overtaken: bool,
        /// The session that its holder has lost: it goes on under a ticket that never came back.
        lost: Option<Uuid>,
    },
    /// Nobody can be told from anybody: the store failed.
    Unavailable,
    /// A genuine ticket, with its record if there is one.
    Known {
        ticket: Ticket,
        record: Option<Arc<Record>>,
        /// It was replaced, and its successor was not seen yet.
        is_rotating: bool,
    },
    /// A ticket that was replaced when kept cookies changed, and whose successor was seen: the session as it was before.
    /// What is changed under it is dropped, and no ticket is given.
    Past { ticket: Ticket, record: Arc<Record> },
}

/// The session that a request comes under.
#[derive(Debug)]
pub struct ResolvedSession {
    pub(super) status: SessionStatus,
    pub(super) began: Timestamp,
    /// The visitor.
    pub(super) client: Option<IpAddr>,
    /// Flashes that this request delivers.
    pub(super) taken: Vec<(FieldName, Arc<str>)>,
    /// Cookies of our name that lead elsewhere or nowhere stand beside the one that counts, or instead of it.
    pub(super) has_other_tickets: bool,
    /// A ticket that the browser has may not have been read: only a login may take its place.
    pub(super) may_have_unseen_session: bool,
    /// Another site made the browser ask, and our cookie was kept back: there may be a session.
    pub(super) is_same_site_withheld: bool,
    pub(super) https: bool,
    pub(super) read_only: bool,
    /// Further parts of a session that the browser holds, a bit each.
    pub(super) parts: u16,
    /// What became of the tickets that it showed.
    pub(super) verdict: TicketVerdict,
}

impl ResolvedSession {
    /// A request whose session cannot be told, because the store failed.
    pub fn unavailable(https: bool, now: Timestamp) -> Self {
        Self {
            status: SessionStatus::Unavailable,
            began: now,
            client: None,
            taken: Vec::new(),
            has_other_tickets: false,
            may_have_unseen_session: false,
            is_same_site_withheld: false,
            https,
            read_only: false,
            parts: 0,
            verdict: TicketVerdict { state: TicketState::Unavailable, ..TicketVerdict::default() },
        }
    }

    /// What became of the tickets that the request showed.
    pub fn verdict(&self) -> TicketVerdict {
        self.verdict
    }

    /// What comes of all tickets at once: the one that is served, if one is; else what is `known` of those that are not.
    pub(super) fn judge(&mut self, known: TicketVerdict, is_ambiguous: bool) {
        self.verdict = match &self.status {
            SessionStatus::Known { ticket, .. } | SessionStatus::Past { ticket, .. } => {
                TicketVerdict::of(TicketState::Ok, ticket.id)
            }
            _ if is_ambiguous => TicketVerdict { state: TicketState::Ambiguous, ..TicketVerdict::default() },
            SessionStatus::Stranger(Some(_)) if known.state == TicketState::None => {
                TicketVerdict { state: TicketState::New, ..known }
            }
            _ => known,
        };
    }

    /// What the app is told.
    pub fn state(&self) -> SessionState {
        match &self.status {
            SessionStatus::Known { .. } | SessionStatus::Past { .. } => SessionState::Active,
            SessionStatus::Spent { .. } | SessionStatus::Stranger(Some(_)) => SessionState::New,
            SessionStatus::Stranger(None) => SessionState::None,
            SessionStatus::Unavailable => SessionState::Unavailable,
        }
    }

    /// The public id, if there is one.
    pub fn id(&self) -> Option<Uuid> {
        match &self.status {
            SessionStatus::Known { .. } | SessionStatus::Past { .. } => self.known_id(),
            SessionStatus::Stranger(ticket) => ticket.map(|t| t.id),
            SessionStatus::Spent { id, .. } => Some(*id),
            SessionStatus::Unavailable => None,
        }
    }

    /// The record as it was when the request came.
    pub fn record(&self) -> Option<&Arc<Record>> {
        match &self.status {
            SessionStatus::Known { record, .. } => record.as_ref(),
            SessionStatus::Past { record, .. } => Some(record),
            _ => None,
        }
    }

    /// Its record holds something that an app is told once.
    pub fn has_flashes(&self) -> bool {
        self.record().is_some_and(|record| !record.flashes.is_empty())
    }

    /// This request delivers some of it.
    pub fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// What the app is told once.
    pub fn flashes(&self) -> &[(FieldName, Arc<str>)] {
        &self.taken
    }

    /// True if the app is shown something of a person: a principal, fields, or cookies that are kept here.
    pub fn is_personal(&self) -> bool {
        !self.taken.is_empty()
            || self
                .record()
                .is_some_and(|r| r.principal.is_some() || !r.fields.is_empty() || !r.jar.is_empty())
    }

    /// True if the app is told who asks: by an id that came back, or by anything personal.
    pub fn tells_who_asks(&self) -> bool {
        self.known_id().is_some() || self.is_personal()
    }

    /// True if there is something stored for it.
    pub fn has_data(&self) -> bool {
        self.is_personal() || self.record().is_some_and(|r| !r.flashes.is_empty())
    }

    /// True if several cookies of our name came: the others are to be expired.
    pub fn is_crowded(&self) -> bool {
        self.has_other_tickets
    }

    /// True if these changes log in who was logged in already when the request came.
    pub(super) fn repeats(&self, changes: &SessionChanges) -> bool {
        let before = self.record().and_then(|r| r.principal.as_ref());
        before.is_some() && changes.principal.as_ref().is_some_and(|wanted| wanted.as_ref() == before)
    }

    /// True if these changes end the session for another principal, or none. Exact, although the record may change
    /// meanwhile: a login renews the ticket, so under the same ticket it has the same principal.
    pub(super) fn is_followed(&self, changes: &SessionChanges) -> bool {
        let before = self.record().and_then(|r| r.principal.as_ref());
        !changes.destroys() && (changes.logout || changes.names_other_than(before))
    }

    /// Who is to be logged out everywhere by these changes, where that is not who is logged in here.
    pub(super) fn names_another(&self, changes: &SessionChanges) -> Option<Arc<str>> {
        let named = changes.principal.clone().flatten().filter(|_| changes.destroy_principal)?;
        let own = self.record().and_then(|r| r.principal.as_ref());
        (own != Some(&named)).then_some(named)
    }

    /// The id of a session whose ticket came back; sessions of Flask have none.
    pub fn known_id(&self) -> Option<Uuid> {
        match &self.status {
            SessionStatus::Known { ticket, .. } | SessionStatus::Past { ticket, .. } => {
                (!ticket.id.is_nil()).then_some(ticket.id)
            }
            _ => None,
        }
    }

    /// True if somebody is logged in.
    pub fn has_principal(&self) -> bool {
        self.record().is_some_and(|r| r.principal.is_some())
    }

    /// Age, and how long it lasts without another request.
    pub fn times(&self, rules: &SessionConfig, now: Timestamp) -> Option<(Duration, Duration)> {
        let plain = rules.plain;
        match &self.status {
            SessionStatus::Known { record: Some(record), .. } if record.id.is_nil() => None,
            SessionStatus::Known { record: Some(record), .. } | SessionStatus::Past { record, .. } => {
                Some((now.since(record.created), record.lasts(rules, now)))
            }
            SessionStatus::Known { ticket, record: None, .. } | SessionStatus::Stranger(Some(ticket)) => {
                let end = now.plus(plain.idle_timeout).min(ticket.minted.plus(plain.absolute_timeout));
                Some((now.since(ticket.minted), end.since(now)))
            }
            SessionStatus::Spent { .. } => Some((Duration::ZERO, plain.idle_timeout)),
            SessionStatus::Stranger(None) | SessionStatus::Unavailable => None,
        }
    }

    /// What a change under this ticket is decided by.
    pub(super) fn seen<'a>(
        &'a self,
        ticket: &Ticket,
        realm: Realm<'a>,
        network: VisitorNetwork<'a>,
    ) -> SeenTicket<'a> {
        SeenTicket {
            realm,
            instead: None,
            id: ticket.id,
            secret: ticket.hash(),
            network,
            minted: ticket.minted,
            stamped: ticket.stamped,
            record: self.record().map(|record| &**record),
            confirmed: true,
            began: self.began,
        }
    }
}

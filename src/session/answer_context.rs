//! What every step of one answer needs, and what one comes to.

use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Duration};

use super::{
    ResolvedSession, SessionChanges, client_side::SizeLimit, network::VisitorNetwork, seen_ticket::SeenTicket,
};
use crate::{
    clock::Timestamp,
    record::{IdFilter, Realm, Record, Ticket, jar::Jar},
    store::AppliedChange,
};

/// `CookieOutcome` is what the answer does to the browser's ticket.
#[derive(Debug)]
pub(super) enum CookieOutcome {
    /// It keeps what it has.
    Unchanged,
    /// It gets this ticket, of this record; with a lifetime, or until the browser closes.
    Issue(Ticket, Option<Arc<Record>>, Option<Duration>),
    /// It loses it.
    Expire,
    /// It keeps what it has, and the visitor gets the page for 409.
    Conflict,
}

/// `AnswerContext` is what every step of one answer needs, beside its changes.
#[derive(Clone, Copy)]
pub(super) struct AnswerContext<'a> {
    /// What its request came under.
    pub resolved: &'a ResolvedSession,
    /// The realm that the ticket is bound to.
    pub realm: Realm<'a>,
    /// The network that the request came from.
    pub network: VisitorNetwork<'a>,
    /// The visitor.
    pub client: Option<IpAddr>,
    /// Ids that a new session may have: of this node's share, where ids are shared out.
    pub id_filter: Option<IdFilter<'a>>,
    /// Now.
    pub now: Timestamp,
    /// The largest record that fits, where the record travels in a cookie.
    pub size_limit: Option<&'a SizeLimit>,
    /// The jar after the answer's cookies were applied; for the response that is rewritten next.
    pub filled: &'a RefCell<Jar>,
}

impl<'a> AnswerContext<'a> {
    /// The version of the session when the request came; of none, 0.
    pub(super) fn version(&self) -> u64 {
        self.resolved.record().map_or(0, |record| record.version)
    }

    /// Whether the session outlived the browser when the request came.
    pub(super) fn outlives_browser(&self) -> bool {
        self.resolved.record().is_some_and(|record| record.outlives_browser(self.now))
    }

    /// Whether this answer is a page, and a cookie that was kept when its request came goes with it. Of a script's answer it
    /// does not matter: it must not take the place of a ticket that a login brings meanwhile.
    pub(super) fn page_loses_kept_cookie(&self, changes: &SessionChanges) -> bool {
        !changes.keeps_old_ticket
            && !self.resolved.read_only
            && self.resolved.record().is_some_and(|record| changes.removals(&record.jar).next().is_some())
    }

    /// The ticket of a session that begins.
    pub(super) fn mint(&self) -> Ticket {
        Ticket::mint_suiting(self.now, self.id_filter)
    }

    /// Notes what became of the answer's cookies.
    pub(super) fn note(&self, changes: &SessionChanges, applied: &AppliedChange) {
        let jar = match applied {
            _ if changes.jar.is_empty() => return,
            AppliedChange::Saved { record, .. } => record.jar.clone(),
            // It held them already.
            AppliedChange::Nothing => {
                self.resolved.record().map(|record| record.jar.clone()).unwrap_or_default()
            }
            _ => return,
        };
        self.filled.replace(jar);
    }

    pub(super) fn seen(&self, ticket: &Ticket) -> SeenTicket<'a> {
        self.resolved.seen(ticket, self.realm, self.network)
    }
}

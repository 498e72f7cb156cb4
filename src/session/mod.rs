//! Sessions: who a visitor is, what belongs to them, and what an answer changes of it.
//!
//! Here lives policy: which session a request comes under, what an answer may change of it, which headers and cookies say
//! so. What is kept is `record`, where it is kept is `store`. Never: a connection, an upstream, a database, a status code. [`SessionManager`] is called by `proxy`, twice a request: [`resolve`](SessionManager::resolve)
//! before the app is asked, [`commit`](SessionManager::commit) before the visitor's first byte. RFC 6265bis binds the
//! cookie.

mod answer_context;
mod answer_step;
mod apply_answer;
mod backend;
mod caches;
mod change;
mod client_side;
mod commit;
mod cookie;
mod draft;
mod events;
mod fetch_context;
mod field_scope;
mod flood;
mod inquiry;
mod instruct;
mod logins;
mod network;
mod next_tickets;
mod pending_change;
mod per_second;
mod presented;
mod refresh;
mod resolve;
mod resolved;
mod seen_ticket;
mod session_headers;
mod straggler;
mod trail;
mod tunnels;
mod upstream_access;
mod verdict;
mod verified;

pub use backend::{Backend, BackendState};
pub use caches::{is_for_shared_caches, make_private};
pub use change::SessionChanges;
pub use client_side::{FlaskSessions, Revocations, SealedSessions};
pub use cookie::CookieForm;
pub use fetch_context::FetchContext;
pub use inquiry::TicketReport;
pub use presented::PresentedCookies;
pub use resolve::ResolveRequest;
pub use resolved::{ResolvedSession, SessionState};
pub use session_headers::SessionHeaders;
pub use tunnels::{SessionTunnel, StreamActivity};
pub use upstream_access::UpstreamAccess;
pub use verdict::{TicketState, TicketVerdict};

/// What tests of the stores decide with.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::{
        commit::decide, network::VisitorNetwork, next_tickets::NextTickets, pending_change::PendingChange,
        seen_ticket::SeenTicket,
    };
}

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use http::HeaderValue;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::Keyring,
    record::{IdFilter, Realm, jar::Jar},
    store::{RecordStore, StoreError},
};
use answer_context::CookieOutcome;
use client_side::CookieIssue;
use flood::FloodLimits;
use logins::LoginAddresses;
use resolved::SessionStatus;

/// Everything about sessions, behind two calls a request.
#[derive(Debug)]
pub struct SessionManager {
    keys: Keyring,
    rules: SessionConfig,
    backend: Backend,
    flood: Arc<FloodLimits>,
    logins: Arc<LoginAddresses>,
    /// The names of the headers.
    pub headers: SessionHeaders,
}

/// An answer's part in a session.
#[expect(missing_debug_implementations, reason = "it holds functions")]
pub struct SessionAnswer<'a, S> {
    /// What it wants changed.
    pub changes: SessionChanges,
    /// Whom the ticket's MAC binds it to.
    pub realm: Realm<'a>,
    /// The form of its cookie.
    pub cookie: &'a CookieForm,
    /// What its upstream may do.
    pub view: &'a UpstreamAccess,
    /// Whether it may be kept by caches that serve many; asked only where that matters.
    pub shared: S,
    /// It is a redirect or a failure: no flash was shown by it.
    pub shows_nothing: bool,
    /// The visitor.
    pub client: Option<IpAddr>,
    /// Which ids a session may have that begins now; `None`: any.
    pub id_filter: Option<IdFilter<'a>>,
    /// Now.
    pub now: Timestamp,
}

/// What an answer brings about in the browser.
#[derive(Debug, Default)]
pub struct IssuedCookies {
    /// The session's own Set-Cookie: none, one, or several where it is larger than a cookie.
    pub set_cookies: Vec<HeaderValue>,
    /// Another version than the answer's `If-Version`, and `on_conflict = 409`.
    pub conflict: bool,
    /// The session that the browser is in from now on.
    pub session: Option<Uuid>,
    /// The one that it came under has ended.
    pub ended: bool,
    /// The jar as it was once the answer's cookies were in it; empty where they were not to be.
    pub jar: Jar,
}

impl SessionManager {
    /// `None` if the header prefix makes no header names, which `config` refuses. `per_second` and `per_address` limit
    /// new sessions with data.
    pub fn new(
        rules: &SessionConfig,
        backend: impl Into<Backend>,
        keys: Keyring,
        per_second: Option<u64>,
        per_address: Option<u64>,
    ) -> Option<Self> {
        Some(Self {
            keys,
            rules: rules.clone(),
            backend: backend.into(),
            flood: Arc::new(FloodLimits::new(per_second, per_address)),
            logins: Arc::default(),
            headers: SessionHeaders::new(rules)?,
        })
    }

    /// Goes on counting where the one before stopped.
    pub(crate) fn succeed(&mut self, before: &Self) {
        self.headers.events = Arc::clone(&before.headers.events);
        self.logins = Arc::clone(&before.logins);
        // A reload must not give a flood a fresh budget.
        if self.flood.has_the_limits_of(&before.flood) {
            self.flood = Arc::clone(&before.flood);
        }
    }

    /// The rules, for whoever tells an app of a session.
    pub fn rules(&self) -> &SessionConfig {
        &self.rules
    }

    /// The store, for the operator's view and the sweeper; `None` where visitors carry their sessions themselves.
    pub fn store(&self) -> Option<&Arc<RecordStore>> {
        self.backend.store()
    }

    /// Whether what an app is told depends on a cookie that other apps read too, and so is to be said (`Vary`).
    pub fn varies_by_cookie(&self) -> bool {
        !self.backend.has_tickets()
    }

    /// Work that is left to a thread in the background: expiry and eviction.
    pub fn sweep(&self) {
        self.backend.sweep();
    }

    /// Stores what an answer wants changed and says what the browser gets for it.
    ///
    /// # Errors
    /// The store failed, or refuses; nothing was changed.
    pub async fn commit<S: FnOnce() -> bool>(
        &self,
        resolved: &ResolvedSession,
        mut answer: SessionAnswer<'_, S>,
    ) -> Result<IssuedCookies, StoreError> {
        // SECURITY: before anything reads the changes. No later stage asks again what this upstream
        // may do.
        self.restrict(resolved, &mut answer);
        let (realm, cookie, now) = (answer.realm, answer.cookie, answer.now);
        let ends = answer.changes.ends();
        // A cell, since the steps share one context by reference and only one of them notes the
        // jar.
        let filled = RefCell::default();
        self.apply_answer(resolved, answer, &filled).await.map(|outcome| {
            let before = resolved.known_id();
            let mut issue = IssuedCookies { session: before, jar: filled.take(), ..IssuedCookies::default() };
            match outcome {
                CookieOutcome::Unchanged => {}
                CookieOutcome::Conflict => issue.conflict = true,
                CookieOutcome::Expire => {
                    // The cookie goes also where the session was gone already: the visitor must not
                    // be left with a ticket that leads nowhere.
                    issue.set_cookies = take_back(cookie, resolved);
                    (issue.session, issue.ended) = (None, true);
                    self.headers.events.ended.raise();
                }
                CookieOutcome::Issue(ticket, record, lasts) => {
                    issue.session = Some(ticket.id);
                    // A straggler that logs in begins one beside it, which ends nothing.
                    issue.ended =
                        before.is_some_and(|id| id != ticket.id) && (ends || resolved.has_principal());
                    if issue.ended {
                        self.headers.events.ended.raise();
                    }
                    if before != Some(ticket.id) {
                        self.headers.events.created.raise();
                    }
                    let (ticket, record) = (&ticket, record.as_deref());
                    issue.set_cookies =
                        self.give_lines(CookieIssue { ticket, record, realm, lasts, now }, cookie, resolved);
                }
            }
            issue
        })
    }

    /// What gives the browser a ticket.
    fn give_lines(
        &self,
        issue: CookieIssue<'_>,
        cookie: &CookieForm,
        resolved: &ResolvedSession,
    ) -> Vec<HeaderValue> {
        let shown = (resolved.parts, resolved.record().is_some());
        self.backend.issue(issue, (cookie, resolved.https), shown, &self.keys)
    }

    /// Flashes that an answer was to show and did not, because there was none.
    pub async fn give_back(&self, resolved: &ResolvedSession, realm: Realm<'_>, now: Timestamp) {
        if let SessionStatus::Known { ticket, record: record @ Some(_), .. } = &resolved.status
            && !resolved.taken.is_empty()
        {
            let changes = SessionChanges { give_back: resolved.taken.clone(), ..SessionChanges::default() };
            let seen = resolved.seen(ticket, realm, self.network(ticket.id, resolved.client));
            if let Err(error) = self.apply(record.as_ref(), seen, &ticket.into(), &changes, (now, None)).await
            {
                tracing::error!(%error, "flashes were lost: they could not be put back");
            }
        }
    }

    /// What this upstream, on this route, may not do is not done.
    fn restrict<S>(&self, resolved: &ResolvedSession, answer: &mut SessionAnswer<'_, S>) {
        if self.backend.reads_only() && !answer.changes.is_empty() {
            self.headers.events.forbidden("all", "[store] write = false: Flask alone writes");
            answer.changes = SessionChanges::default();
        }
        if resolved.read_only {
            if !answer.changes.is_empty() {
                // Kept cookies work as everywhere, with the renewal they ask for.
                let jar = std::mem::take(&mut answer.changes.jar);
                let keeps_old_ticket = answer.changes.keeps_old_ticket;
                if !answer.changes.is_empty() {
                    self.headers.events.forbidden("all", "the route is read_only");
                }
                let spares_session = !answer.view.may_log_in();
                answer.changes =
                    SessionChanges { jar, keeps_old_ticket, spares_session, ..SessionChanges::default() };
            }
            return;
        }
        if answer.changes.is_empty() {
            return;
        }
        if answer.view.restrict(&mut answer.changes) {
            self.headers
                .events
                .forbidden("some", "session_fields, session_write or session_login of the upstream");
        }
    }
}

/// What takes it back, in all its parts.
fn take_back(cookie: &CookieForm, resolved: &ResolvedSession) -> Vec<HeaderValue> {
    let parts = (0..16).filter(|part| *part == 0 || resolved.parts & (1 << part) != 0);
    parts.filter_map(|part| cookie.expire_part(part, resolved.https)).collect()
}

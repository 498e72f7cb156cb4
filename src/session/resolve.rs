//! From the cookies of a request to the session that it comes under. A forged, foreign, expired or ended ticket makes
//! a stranger, never an error.

use std::{net::IpAddr, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    CookieForm, SessionChanges, SessionManager, UpstreamAccess,
    backend::{GenuineTicket, TicketActivity},
    fetch_context::FetchContext,
    presented::PresentedCookies,
    resolved::{ResolvedSession, SessionStatus},
    verdict::{TicketState, TicketVerdict},
};
use crate::{
    clock::Timestamp,
    config::SessionStart,
    metrics::Counter,
    record::{EndReason, FieldName, IdFilter, Realm, Record, SecretMatch, SessionEnd, Ticket},
    store::{AppliedChange, FoundRecord, StoreError},
};

/// How long the holder of a spent ticket gets no new one: requests that were under way must not overwrite a login.
const GRACE: Duration = Duration::from_secs(30);
/// The same where a page is asked for: browsers have few of these under way, and a person waits for each.
const GRACE_FOR_PAGES: Duration = Duration::from_secs(5);

/// What resolving needs to know of a request.
#[expect(missing_debug_implementations, reason = "it holds functions")]
pub struct ResolveRequest<'a, V> {
    /// Its cookies of our name.
    pub shown: PresentedCookies<'a>,
    /// Whom the ticket's MAC binds it to.
    pub realm: Realm<'a>,
    /// The form of its cookie.
    pub cookie: &'a CookieForm,
    /// The visitor came by https.
    pub https: bool,
    /// The circumstances: asked only where the request comes under no session that is good.
    pub visit: V,
    /// The visitor.
    pub client: Option<IpAddr>,
    /// The route only reads.
    pub read_only: bool,
    /// Which ids a session may have that begins now; `None`: any.
    pub id_filter: Option<IdFilter<'a>>,
    /// Now.
    pub now: Timestamp,
    /// Somebody only wants to know: nothing is counted, logged or noted as the visitor's activity.
    pub is_rehearsal: bool,
}

/// A ticket that leads nowhere any more.
#[derive(Clone, Copy)]
struct SpentTicket {
    at: Timestamp,
    overtaken: bool,
    lost: Option<Uuid>,
}

/// What the tickets of one request lead to.
#[derive(Default)]
struct ResolvedTickets {
    found: Option<SessionStatus>,
    /// One of them was spent.
    spent: Option<SpentTicket>,
    /// Two lead to different sessions.
    is_ambiguous: bool,
    /// What is known of those that lead nowhere.
    verdict: TicketVerdict,
}

/// What one genuine ticket leads to.
pub(super) struct TicketOutcome {
    /// `None`: nowhere.
    pub status: Option<SessionStatus>,
    pub verdict: TicketVerdict,
}

impl From<TicketVerdict> for TicketOutcome {
    fn from(verdict: TicketVerdict) -> Self {
        Self { status: None, verdict }
    }
}

impl ResolvedTickets {
    #[inline]
    fn add(
        &mut self,
        came: &GenuineTicket,
        outcome: TicketOutcome,
        (sessions, is_rehearsal, now): (&SessionManager, bool, Timestamp),
    ) {
        let count = |counter: &Counter| {
            if !is_rehearsal {
                counter.raise();
            }
        };
        let events = &sessions.headers.events;
        self.verdict = self.verdict.or(outcome.verdict);
        match outcome.status {
            Some(SessionStatus::Spent { at, overtaken, lost, .. }) => {
                count(if now.since(at) < GRACE { &events.spent } else { &events.expired });
                let before = self.spent.unwrap_or(SpentTicket { at, overtaken, lost });
                self.spent = Some(SpentTicket {
                    at: at.max(before.at),
                    overtaken: overtaken || before.overtaken,
                    lost: lost.or(before.lost),
                });
            }
            Some(status) => {
                // Two tickets of different sessions: someone planted one of them, and we cannot know which.
                self.is_ambiguous |= self.found.as_ref().is_some_and(|f| known_id(f) != Some(came.ticket.id));
                let is_better = |found: &SessionStatus| {
                    if sessions.backend.is_client_side() {
                        is_later(&status, Some(found))
                    } else {
                        standing(&status) > standing(found)
                    }
                };
                if self.found.as_ref().is_none_or(is_better) {
                    self.found = Some(status);
                }
            }
            None => count(&events.expired),
        }
    }
}

impl SessionManager {
    /// Resolves a request's session.
    ///
    /// # Errors
    /// The store failed: whose request this is cannot be told.
    pub async fn resolve<V: Fn() -> FetchContext>(
        &self,
        request: ResolveRequest<'_, V>,
    ) -> Result<ResolvedSession, StoreError> {
        let tickets = self.look_up_all(&request).await?;
        let ResolveRequest { shown, https, visit, client, read_only, id_filter, now, is_rehearsal, .. } =
            request;
        let mut has_other_tickets = self.tried(&shown).len() > 1;
        let ResolvedTickets { found, spent, is_ambiguous, verdict } = tickets;
        let (mut may_have_unseen_session, mut is_same_site_withheld) = (false, false);
        let status = match (found, spent) {
            (Some(status), _) if !is_ambiguous => status,
            (None, Some(SpentTicket { at, overtaken, lost })) if now.since(at) < grace(&visit) => {
                SessionStatus::Spent { id: Uuid::new_v4(), at, overtaken, lost }
            }
            _ => {
                // Read only for those without a session: it costs several look-ups of fields.
                let visit = visit();
                // A new ticket would take the place of the true one: which of two it is, or that it was not tried, is all
                // that is known. Once the others are expired, it comes alone.
                may_have_unseen_session = visit.may_have_unseen_session || is_ambiguous || shown.more;
                is_same_site_withheld = visit.is_same_site_withheld || may_have_unseen_session;
                let mints = self.backend.has_tickets()
                    && visit.may_mint
                    && !may_have_unseen_session
                    && !read_only
                    && self.rules.create == SessionStart::Visit;
                // Told where the visitor begins anew.
                if let Some(session) = spent.and_then(|spent| spent.lost).filter(|_| mints && !is_rehearsal) {
                    self.headers.events.lost(session, now);
                }
                SessionStatus::Stranger(mints.then(|| Ticket::mint_suiting(now, id_filter)))
            }
        };
        // Only other identities are ever expired, and only for those whom they lead astray.
        has_other_tickets &= !read_only && !matches!(status, SessionStatus::Spent { .. });
        let mut resolved = ResolvedSession {
            status,
            began: now,
            client,
            taken: Vec::new(),
            has_other_tickets,
            may_have_unseen_session,
            is_same_site_withheld,
            https,
            read_only,
            parts: shown.parts(),
            verdict: TicketVerdict::default(),
        };
        resolved.judge(verdict, is_ambiguous || shown.more);
        if !is_rehearsal {
            self.headers.events.trail.judged(&resolved, now);
            self.note_activity(&resolved);
        }
        Ok(resolved)
    }

    /// What the cookies of our name lead to.
    async fn look_up_all<V>(&self, request: &ResolveRequest<'_, V>) -> Result<ResolvedTickets, StoreError> {
        let ResolveRequest { shown, realm, cookie, https, client, now, is_rehearsal, .. } = request;
        let (client, is_rehearsal, now) = (*client, *is_rehearsal, *now);
        let mut tickets = ResolvedTickets::default();
        // All are looked at, and not the first that is good: a planted cookie comes first as easily as last.
        for value in self.tried(shown) {
            // Genuine, by its MAC, before any store is asked: who guesses makes no disk work.
            if let Some(came) = self.backend.open((value, shown), (cookie, *https), (&self.keys, *realm), now)
            {
                let outcome = self.look_up(&came, client, now).await?;
                tickets.add(&came, outcome, (self, is_rehearsal, now));
            } else {
                if !is_rehearsal {
                    self.headers.events.tampered.raise();
                }
                let refused = self.backend.why_refused((value, shown), (&self.keys, *realm), now);
                tickets.verdict = tickets.verdict.or(refused);
            }
        }
        Ok(tickets)
    }

    /// A request came under the session.
    fn note_activity(&self, resolved: &ResolvedSession) {
        let SessionStatus::Known { ticket, record: Some(record), is_rotating } = &resolved.status else {
            return;
        };
        let every = self.touch_every(record);
        let activity = TicketActivity { is_rotating: *is_rotating, active: !resolved.read_only, every };
        self.backend.record_activity(ticket, record, activity, resolved.began);
    }

    /// Takes out of the record, atomically, what this request will deliver: of two at a time only one does. Called once
    /// it is certain that the app will be asked. `is_document` tells whether an answer can show it.
    pub async fn deliver(
        &self,
        resolved: &mut ResolvedSession,
        realm: Realm<'_>,
        view: &UpstreamAccess,
        is_document: impl FnOnce() -> bool,
    ) {
        let SessionStatus::Known { ticket, record: Some(record), .. } = &resolved.status else { return };
        if record.flashes.is_empty() || resolved.read_only || !is_document() {
            return;
        }
        let shown = |name: &FieldName| view.shows(name);
        let take: Vec<FieldName> = record.flashes.keys().filter(|name| shown(name)).cloned().collect();
        if take.is_empty() {
            return;
        }
        let changes = SessionChanges { take, ..SessionChanges::default() };
        let network = self.network(ticket.id, resolved.client);
        let (seen, now) = (resolved.seen(ticket, realm, network), resolved.began);
        let brought = Some(record);
        // Where it cannot be taken out it is not shown, and is there for the next page: nothing is lost.
        if let Ok(AppliedChange::Saved { record: now, taken, .. }) =
            self.apply(brought, seen, &ticket.into(), &changes, (now, None)).await
        {
            if let SessionStatus::Known { record, .. } = &mut resolved.status {
                *record = Some(now);
            }
            resolved.taken = taken;
        }
    }

    async fn look_up(
        &self,
        came: &GenuineTicket,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<TicketOutcome, StoreError> {
        let failures = self.backend.failures();
        let found = self.backend.load(&came.ticket, came.record.as_ref(), now).await?;
        let outcome = self.outcome(came, client, found, now);
        if is_served(&outcome)
            || (self.backend.is_settled(came.ticket.id) && self.backend.failures() == failures)
        {
            return Ok(outcome);
        }
        // Rare, and not to make the future of each request larger.
        Box::pin(self.look_again(came, client, now)).await
    }

    /// Somebody is about to be told that a session has ended, or that its ticket was spent: so it must be, also if this
    /// machine stops now.
    async fn look_again(
        &self,
        came: &GenuineTicket,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<TicketOutcome, StoreError> {
        loop {
            let failures = self.backend.failures();
            let kept = self.backend.settled(came.ticket.id).await?;
            let found = self.backend.load(&came.ticket, came.record.as_ref(), now).await?;
            let outcome = self.outcome(came, client, found, now);
            if is_served(&outcome) || (kept && self.backend.failures() == failures) {
                return Ok(outcome);
            }
        }
    }

    /// The cookies that are tried. Of several, Flask reads the first: who shares a session with it does as well.
    fn tried<'a>(&self, shown: &'a PresentedCookies<'_>) -> &'a [&'a [u8]] {
        let all = shown.candidates();
        if self.backend.has_tickets() { all } else { all.get(..1).unwrap_or(all) }
    }

    pub(super) fn outcome(
        &self,
        came: &GenuineTicket,
        client: Option<IpAddr>,
        found: FoundRecord,
        now: Timestamp,
    ) -> TicketOutcome {
        let GenuineTicket { ticket, .. } = came;
        match found {
            FoundRecord::Live(record) => {
                let status = self.status_of_record(came, client, record, now);
                // What is served is judged by what comes of all tickets.
                let verdict = TicketVerdict::of(TicketState::Spent, ticket.id);
                TicketOutcome { status: Some(status), verdict }
            }
            FoundRecord::Ended(end) => TicketOutcome {
                status: Some(spent(end.at, self.backend.has_come_back(ticket.id), None)),
                verdict: TicketVerdict::of_ended(end, ticket.id),
            },
            // No answer that is under way gave its holder another.
            FoundRecord::Over(end) => TicketVerdict::of_ended(end, ticket.id).into(),
            FoundRecord::Nothing => {
                let lifetimes = self.rules.plain;
                let is_good = ticket.stamped >= self.backend.floor()
                    && ticket.stamped.plus(lifetimes.idle_timeout) > now
                    && ticket.minted.plus(lifetimes.absolute_timeout) > now;
                if !is_good {
                    // Whatever it once led to has left nothing that says how it ended.
                    let end = SessionEnd { at: now, by: EndReason::Unknown };
                    return TicketVerdict::of_ended(end, ticket.id).into();
                }
                TicketOutcome {
                    status: Some(SessionStatus::Known { ticket: *ticket, record: None, is_rotating: false }),
                    verdict: TicketVerdict::of(TicketState::Ok, ticket.id),
                }
            }
        }
    }

    fn status_of_record(
        &self,
        came: &GenuineTicket,
        client: Option<IpAddr>,
        record: Arc<Record>,
        now: Timestamp,
    ) -> SessionStatus {
        let GenuineTicket { ticket, hash, .. } = came;
        let found = record.match_secret(hash, || self.network(ticket.id, client).tag(), now);
        // While it may be needed, it is held.
        let past = if found == SecretMatch::Past { self.backend.past(ticket, hash) } else { None };
        match (found, past) {
            (SecretMatch::Current, _) => {
                SessionStatus::Known { ticket: *ticket, record: Some(record), is_rotating: false }
            }
            (SecretMatch::Previous { .. }, _) => {
                SessionStatus::Known { ticket: *ticket, record: Some(record), is_rotating: true }
            }
            (SecretMatch::Past, Some(record)) => SessionStatus::Past { ticket: *ticket, record },
            (SecretMatch::Past | SecretMatch::No, _) => {
                let overtaken = record.has_come_back();
                spent(record.spent(), overtaken, (!overtaken).then_some(ticket.id))
            }
        }
    }

    /// At most once a `touch_interval`, and at least four times per idle time, in milliseconds.
    pub(super) fn touch_every(&self, record: &Record) -> u64 {
        self.rules.touch_interval.min(record.idle_timeout(&self.rules) / 4).as_millis() as u64
    }
}

fn spent(at: Timestamp, overtaken: bool, lost: Option<Uuid>) -> SessionStatus {
    SessionStatus::Spent { id: Uuid::nil(), at, overtaken, lost }
}

/// How long whoever asks so gets no new ticket after the one that they show was spent.
fn grace(visit: impl Fn() -> FetchContext) -> Duration {
    if visit().is_document { GRACE_FOR_PAGES } else { GRACE }
}

/// Of two tickets of one session the newer counts: the browser has it.
fn standing(status: &SessionStatus) -> u8 {
    match status {
        SessionStatus::Known { is_rotating: false, .. } => 2,
        SessionStatus::Known { is_rotating: true, .. } => 1,
        _ => 0,
    }
}

/// Whether one copy of a session was made after another.
fn is_later(one: &SessionStatus, other: Option<&SessionStatus>) -> bool {
    match (one, other) {
        (SessionStatus::Known { ticket: one, .. }, Some(SessionStatus::Known { ticket: other, .. })) => {
            one.stamped > other.stamped
        }
        _ => false,
    }
}

/// Whether the request comes under a session, so that nobody is told that one ended or was spent.
fn is_served(outcome: &TicketOutcome) -> bool {
    matches!(outcome.status, Some(SessionStatus::Known { .. } | SessionStatus::Past { .. }))
}

fn known_id(status: &SessionStatus) -> Option<Uuid> {
    match status {
        SessionStatus::Known { ticket, .. } | SessionStatus::Past { ticket, .. } => Some(ticket.id),
        _ => None,
    }
}

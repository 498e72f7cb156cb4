//! What an answer means for a session: whether it is changed, ended, followed by another, refreshed; and whether the
//! browser gets a ticket for it.

use std::{cell::RefCell, sync::Arc};

use uuid::Uuid;

use super::{
    ResolvedSession, SessionAnswer, SessionChanges, SessionManager,
    answer_context::{AnswerContext, CookieOutcome},
    answer_step::AnswerStep,
    client_side::SizeLimit,
    next_tickets::NextTickets,
    pending_change::PendingChange,
    resolved::SessionStatus,
    seen_ticket::SeenTicket,
    straggler::pass_over,
};
use crate::{
    clock::Timestamp,
    config::OnConflict,
    record::{Record, SecretMatch, Ticket, jar::Jar},
    store::{AppliedChange, FoundRecord, StoreError, UpdateResult},
};

impl SessionManager {
    /// Carries out what the answer wants, and says what the browser gets.
    ///
    /// # Errors
    ///
    /// The store failed, and nothing was changed; or the failure was met while resolving.
    pub(super) async fn apply_answer<S: FnOnce() -> bool>(
        &self,
        resolved: &ResolvedSession,
        answer: SessionAnswer<'_, S>,
        filled: &RefCell<Jar>,
    ) -> Result<CookieOutcome, StoreError> {
        let SessionAnswer {
            mut changes, realm, cookie, shared, shows_nothing, client, id_filter, now, ..
        } = answer;
        // A flash that a redirect or a failure has swallowed is shown by the next page.
        if shows_nothing && !changes.clear {
            changes.give_back.clone_from(&resolved.taken);
        }
        // Only a change can make a record too large for its cookie; to find out how large it may be costs something.
        let limit = if changes.is_empty() { None } else { self.backend.size_limit(cookie, resolved.https) };
        let size_limit = limit.as_ref();
        let network = self.network_of_answer(resolved.known_id(), resolved.client);
        let context = AnswerContext { resolved, realm, network, client, id_filter, now, size_limit, filled };
        if !resolved.read_only
            && let Some(name) = resolved.names_another(&changes)
            && let Some(outcome) = self.log_out_another(context, &name, &mut changes).await?
        {
            return Ok(outcome);
        }
        match AnswerStep::of(resolved, &changes) {
            AnswerStep::Leave => Ok(CookieOutcome::Unchanged),
            AnswerStep::Unavailable => Err(StoreError::Unavailable),
            AnswerStep::Conflict => Ok(self.conflict(context, &changes).await),
            AnswerStep::Refresh(ticket) => self.refresh_shown(context, ticket, shared).await,
            AnswerStep::Replace(ticket) => self.replace(context, ticket, &changes).await,
            AnswerStep::Change(ticket) => match self.change(context, ticket, &changes).await? {
                Some(outcome) => Ok(outcome),
                None => self.refresh_shown(context, ticket, shared).await,
            },
            // Built anew from the jar alone: a field that is added to `SessionChanges` later does
            // not slip through a route that only reads.
            AnswerStep::ChangeJar(ticket) => {
                let SessionChanges { jar, spares_session, keeps_old_ticket, .. } = changes;
                let changes =
                    SessionChanges { jar, keeps_old_ticket, spares_session, ..SessionChanges::default() };
                let outcome = self.change(context, ticket, &changes).await?;
                Ok(outcome.unwrap_or(CookieOutcome::Unchanged))
            }
            AnswerStep::Decline(ticket, why) => {
                if matches!(resolved.status, SessionStatus::Spent { .. }) {
                    pass_over(&changes);
                } else {
                    self.report_dropped_cookies(resolved, &changes, why);
                }
                Ok(self.offer(context, ticket, shared))
            }
            AnswerStep::Begin(ticket, begins) if self.admits(context, &begins) => {
                let ticket = ticket.unwrap_or_else(|| context.mint());
                self.begin_admitted(context, &ticket, &begins, None).await
            }
            // Past the limit on new sessions nothing is stored, but a ticket without a record costs
            // nothing.
            AnswerStep::Begin(ticket, _) => Ok(self.offer(context, ticket, shared)),
        }
    }

    /// Ends all sessions of a principal who is not the one of this session. `None`: what is left of the changes is to be
    /// carried out for the session that the request came under.
    async fn log_out_another(
        &self,
        context: AnswerContext<'_>,
        name: &str,
        changes: &mut SessionChanges,
    ) -> Result<Option<CookieOutcome>, StoreError> {
        if changes.if_version.is_some_and(|wanted| wanted != context.version()) {
            return Ok(Some(self.conflict(context, changes).await));
        }
        // Whoever says so needs no session of that principal, and keeps their own: an identity provider's back channel
        // has none, an administrator has another.
        self.backend.delete_all_of(&context.realm.key(), name, context.now).await?;
        self.headers.events.trail.ended_everywhere(&name.into(), context.now);
        (changes.destroy_principal, changes.principal) = (false, None);
        let is_known = matches!(context.resolved.status, SessionStatus::Known { .. });
        Ok((!is_known)
            .then(|| self.report_dropped_cookies(context.resolved, changes, "it logs somebody else out")))
    }

    /// Offers a ticket without a record, where the route gives one to everybody; never in an answer
    /// that a shared cache may keep, or all its readers would have the same ticket.
    fn offer(
        &self,
        context: AnswerContext<'_>,
        ticket: Option<Ticket>,
        shared: impl FnOnce() -> bool,
    ) -> CookieOutcome {
        match ticket {
            Some(ticket) if !shared() => self.give(&ticket, None, context.now),
            _ => CookieOutcome::Unchanged,
        }
    }

    /// The answer changes nothing: the ticket may need a new stamp. A flash that was shown is taken
    /// out of the browser's copy as well.
    async fn refresh_shown(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        shared: impl FnOnce() -> bool,
    ) -> Result<CookieOutcome, StoreError> {
        let record = context.resolved.record();
        // A store has taken the flash out already. Where the record travels, the browser's copy
        // still has it and would show it again.
        if self.backend.is_client_side() && context.resolved.has_taken() {
            return Ok(self.give(&ticket.anew(context.now), record, context.now));
        }
        let is_rotating = matches!(context.resolved.status, SessionStatus::Known { is_rotating: true, .. });
        Ok(self.refresh(context, ticket, record.map(|record| &**record), is_rotating, shared).await)
    }

    /// Counts and logs the cookies that the answer set and that are not kept.
    fn report_dropped_cookies(
        &self,
        resolved: &ResolvedSession,
        changes: &SessionChanges,
        why: &str,
    ) -> CookieOutcome {
        for change in changes.jar.iter().filter(|change| change.keeps()) {
            self.headers.events.not_kept(resolved.known_id(), &change.cookie.name, why);
        }
        CookieOutcome::Unchanged
    }

    /// The answer's `If-Version` does not match: none of its instructions is carried out.
    pub(super) async fn conflict(
        &self,
        context: AnswerContext<'_>,
        changes: &SessionChanges,
    ) -> CookieOutcome {
        self.headers.events.conflicts.raise();
        self.report_dropped_cookies(context.resolved, changes, "another version than If-Version");
        tracing::info!("session instructions were dropped: another version than If-Version");
        match self.rules.on_conflict {
            OnConflict::Drop => {
                if !changes.give_back.is_empty() {
                    self.give_back(context.resolved, context.realm, context.now).await;
                }
                CookieOutcome::Unchanged
            }
            // Whoever tells the visitor gives them back.
            OnConflict::Refuse => CookieOutcome::Conflict,
        }
    }

    /// Changes the session. `None`: the browser's ticket stays as it is.
    async fn change(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
    ) -> Result<Option<CookieOutcome>, StoreError> {
        let now = context.now;
        if context.resolved.record().is_none() && !self.admits(context, changes) {
            return Ok(None);
        }
        let next = NextTickets::after(ticket, &self.keys, context.network, now);
        let seen = context.seen(ticket);
        let applied =
            self.apply(context.resolved.record(), seen, &next, changes, (now, context.size_limit)).await?;
        context.note(changes, &applied);
        // What follows a login leaves nothing to be known of it: whoever logs out may only get another cookie of the app's.
        if let AppliedChange::Saved { renewed, .. } = applied
            && (changes.logs_out_of_app() || (renewed && !changes.may_log_in()))
        {
            self.logins.forget(ticket.id);
        }
        Ok(Some(match applied {
            AppliedChange::Saved { record, renewed: true, .. } => {
                // Should the form be sent twice, the second answer is known by its address. A form that logs out may set a
                // cookie as well.
                if changes.may_log_in() && !changes.logs_out_of_app() {
                    self.logins.note(ticket.id, context.client);
                }
                self.give(&next.taken(&record.secret), Some(&record), now)
            }
            AppliedChange::Saved { record, .. } => {
                return self.keep_ticket(context, ticket, changes, &record).await;
            }
            // The rest is what another answer made of the session while this one was under way.
            AppliedChange::Ended => self.ended(context, ticket, changes).await?,
            AppliedChange::Straggler => self.apply_straggler(context, ticket, changes).await?,
            AppliedChange::Denied => pass_over(changes),
            AppliedChange::Conflict => self.conflict(context, changes).await,
            AppliedChange::Nothing => return Ok(None),
        }))
    }

    /// The session changed, and this answer is not the one that renewed the ticket. `None`: the browser's stays as it is.
    async fn keep_ticket(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
        record: &Arc<Record>,
    ) -> Result<Option<CookieOutcome>, StoreError> {
        let now = context.now;
        Ok(Some(match record.match_secret(&ticket.hash(), || context.network.tag(), now) {
            // Cookies were taken out under a ticket that was spent.
            SecretMatch::No | SecretMatch::Past => self.apply_straggler(context, ticket, changes).await?,
            // Another answer was quicker, and its ticket may never have reached the browser.
            SecretMatch::Previous { .. } => {
                self.reissue_successor(&self.successor(record, context, ticket), now).await
            }
            // The browser's copy is to say what the session does, and to last as long, from now on. Where a page takes a
            // kept cookie away somebody may have logged out, and browsers throw the pages of before out of their memory
            // only when a cookie changes: with a later stamp the ticket is another value.
            SecretMatch::Current
                if self.backend.is_client_side()
                    || changes.permanent.is_some()
                    || context.page_loses_kept_cookie(changes)
                    || record.outlives_browser(now) != context.outlives_browser() =>
            {
                self.give(&ticket.anew(now), Some(record), now)
            }
            SecretMatch::Current => return Ok(None),
        }))
    }

    /// The session has ended.
    async fn ended(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
    ) -> Result<CookieOutcome, StoreError> {
        if changes.destroy_principal {
            // The store has ended those in the realm of this session; there may be others of theirs.
            self.end_all_of(context).await?;
        }
        // With a cookie that goes all goes where it travels; whom the same answer logs in is logged in.
        if changes.logs_in()
            && let begun @ CookieOutcome::Issue(..) = self.apply_straggler(context, ticket, changes).await?
        {
            return Ok(begun);
        }
        Ok(CookieOutcome::Expire)
    }

    /// Another principal, or none: the session ends, and what this answer sets belongs to one of its own. That one
    /// begins first: where it may not, nothing has ended, and the visitor is told.
    async fn replace(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
    ) -> Result<CookieOutcome, StoreError> {
        // Known beforehand: nobody's oldest session makes room for what will not be.
        if changes.if_version.is_some_and(|wanted| wanted != context.version()) {
            return Ok(self.conflict(context, changes).await);
        }
        // A login may always follow, since it brings its own session. A logout that comes too late
        // must not: by then the session may be another person's.
        if !changes.logs_in() && !self.may_end(context, ticket).await? {
            return Ok(CookieOutcome::Unchanged);
        }
        // The new session first: were the old one ended first and the new one refused, the visitor had neither.
        let next = context.mint();
        let begun = self.begin(context, &next, &changes.afterwards(), Some(ticket.id)).await?;
        let record = context.resolved.record();
        let seen = context.seen(ticket);
        // From here on the new session exists and nobody has its ticket: each way out either gives
        // it to the browser or deletes it.
        let ended =
            self.apply(record, seen, &ticket.into(), changes, (context.now, context.size_limit)).await;
        let conflict = match &ended {
            // Nobody is logged in where everyone of that name was logged out meanwhile.
            Ok(AppliedChange::Ended) if matches!(begun, CookieOutcome::Unchanged) => {
                return Ok(CookieOutcome::Expire);
            }
            Ok(AppliedChange::Ended) => return Ok(begun),
            // The old session was ended or renewed by somebody quicker. Whoever proved their
            // password here is logged in all the same, in the session that is theirs alone.
            Ok(AppliedChange::Straggler) if changes.logs_in() && !changes.expects_a_record() => {
                return Ok(begun);
            }
            Ok(AppliedChange::Straggler) => changes.logs_in(),
            other => matches!(other, Ok(AppliedChange::Conflict)),
        };
        // The jar that was noted belongs to the session that is deleted here, and not to the
        // answer.
        context.filled.take();
        if let Err(error) = self.backend.delete(next.id, context.now).await {
            tracing::warn!(%error, "a session that nobody has the ticket of is left to expire");
        }
        // The failure of the store is reported only now, after the new session is gone.
        ended?;
        Ok(if conflict { self.conflict(context, changes).await } else { CookieOutcome::Unchanged })
    }

    /// Whether a logout still means the session that its request came under: the ticket is good, or
    /// was spent by something other than a login.
    async fn may_end(&self, context: AnswerContext<'_>, ticket: &Ticket) -> Result<bool, StoreError> {
        if self.may_end_now(context, ticket).await? {
            return Ok(true);
        }
        // Whoever is told that they are logged out must be, also if this machine stops now.
        self.backend.settled(ticket.id).await?;
        self.may_end_now(context, ticket).await
    }

    async fn may_end_now(&self, context: AnswerContext<'_>, ticket: &Ticket) -> Result<bool, StoreError> {
        let shown = context.resolved.record();
        Ok(match self.backend.load(ticket, shown, context.now).await? {
            FoundRecord::Live(record) => {
                // SECURITY: a spent ticket ends a session only while it is the one that its request
                // was shown. Otherwise whoever kept an old ticket could log out the person who has
                // logged in since.
                let found = record.match_secret(&ticket.hash(), || context.network.tag(), context.now);
                !matches!(found, SecretMatch::No | SecretMatch::Past)
                    || shown.is_some_and(|shown| record.is_just_as(shown))
            }
            FoundRecord::Nothing => shown.is_none(),
            FoundRecord::Ended(_) => shown.is_some_and(|shown| self.backend.is_just_as(shown)),
            FoundRecord::Over(_) => false,
        })
    }

    /// A new session with what this answer sets, `instead` of another that is about to end.
    pub(super) async fn begin(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
        instead: Option<Uuid>,
    ) -> Result<CookieOutcome, StoreError> {
        // A session for a session is none more.
        if (instead.is_none() || context.resolved.record().is_none()) && !self.admits(context, changes) {
            return Ok(CookieOutcome::Unchanged);
        }
        self.begin_admitted(context, ticket, changes, instead).await
    }

    async fn begin_admitted(
        &self,
        context: AnswerContext<'_>,
        ticket: &Ticket,
        changes: &SessionChanges,
        instead: Option<Uuid>,
    ) -> Result<CookieOutcome, StoreError> {
        // `confirmed: false`: the browser has not shown this ticket yet, so the store neither takes
        // its age for activity nor refuses it as one that should have a record.
        let seen = SeenTicket { instead, record: None, confirmed: false, ..context.seen(ticket) };
        // It is new: there is no older ticket to spend.
        let applied =
            self.apply(None, seen, &ticket.into(), changes, (context.now, context.size_limit)).await?;
        context.note(changes, &applied);
        Ok(match applied {
            AppliedChange::Saved { record, .. } => self.give(ticket, Some(&record), context.now),
            AppliedChange::Nothing => self.give(ticket, None, context.now),
            AppliedChange::Denied
            | AppliedChange::Ended
            | AppliedChange::Straggler
            | AppliedChange::Conflict => CookieOutcome::Unchanged,
        })
    }

    /// Whether a session with data may begin. Those who begin one are counted, logins are not: past the limit the change is
    /// dropped, and the visitor sees the app's answer all the same.
    fn admits(&self, context: AnswerContext<'_>, changes: &SessionChanges) -> bool {
        let admitted =
            !changes.stores() || changes.logs_in() || self.flood.admits(context.client, context.now);
        if !admitted {
            self.headers.events.flooded(context.now);
            self.report_dropped_cookies(
                context.resolved,
                changes,
                "too many sessions begin ([limits] new_sessions_per_second, _per_address)",
            );
        }
        admitted
    }

    pub(super) async fn apply(
        &self,
        brought: Option<&Arc<Record>>,
        seen: SeenTicket<'_>,
        next: &NextTickets<'_>,
        changes: &SessionChanges,
        (now, size_limit): (Timestamp, Option<&SizeLimit>),
    ) -> Result<AppliedChange, StoreError> {
        let apply = PendingChange {
            seen,
            changes,
            next,
            has_past_views: self.backend.has_past_views(),
            now,
            rules: &self.rules,
            headers: &self.headers,
            size_limit,
        };
        // The one place where a change reaches a store: what it saves, fails and notes is counted
        // here and nowhere else.
        let result = self.backend.apply(brought, &apply).await;
        match &result {
            Ok(UpdateResult { change: AppliedChange::Saved { .. } | AppliedChange::Ended, .. }) => {
                self.headers.events.saves.raise();
            }
            Ok(_) => {}
            Err(_) => {
                self.headers.events.save_failures.raise();
            }
        }
        // Told here and not where it is decided: a decision may be taken more than once.
        let result = result?;
        self.headers.events.tell(seen.id, &result.notes);
        self.headers.events.trail.kept(&seen, changes, &result, now);
        Ok(result.change)
    }

    pub(super) fn give(
        &self,
        ticket: &Ticket,
        record: Option<&Arc<Record>>,
        now: Timestamp,
    ) -> CookieOutcome {
        // Without a lifetime the cookie ends with the browser, and only a permanent session
        // outlives that.
        let lasts = record.filter(|r| r.outlives_browser(now)).map(|r| r.lasts(&self.rules, now));
        CookieOutcome::Issue(*ticket, record.cloned(), lasts)
    }
}

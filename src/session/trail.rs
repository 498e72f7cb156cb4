//! The trail that sessions leave in the log: a line each for a login, a logout, a renewal by privilege and an end, and for
//! a visitor whose session is gone. So that whoever asks why somebody was logged out finds it by the session's id.
//!
//! A flood of them is cut: of each kind so many lines a second are written, and the next says how many were left out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::{
    ResolvedSession, SessionChanges,
    per_second::{PerSecond, is_due},
    seen_ticket::SeenTicket,
    verdict::{TicketState, TicketVerdict},
};
use crate::{
    clock::Timestamp,
    record::{EndReason, Record},
    store::{AppliedChange, UpdateResult},
};

/// Lines of one kind a second.
const MOST_LINES: u64 = 50;

/// How often it is said that tickets come under a key that is gone.
const UNKNOWN_KEY_EVERY: Duration = Duration::from_mins(1);

/// How many lines of one kind there may be, and how many there were.
#[derive(Debug, Default)]
struct LineBudget {
    written: PerSecond,
    left_out: AtomicU64,
}

impl LineBudget {
    /// Whether another may be written; then how many were left out before it.
    fn next(&self, now: Timestamp) -> Option<u64> {
        if self.written.count(now) > MOST_LINES {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

/// What was written of late.
#[derive(Debug)]
pub struct SessionTrail {
    /// `[log] principals`: names of people stand in the log.
    names_principals: AtomicBool,
    logins: LineBudget,
    logouts: LineBudget,
    renewals: LineBudget,
    ends: LineBudget,
    losses: LineBudget,
    /// The session of the last of these.
    last_loss: AtomicU64,
    /// When it was last said that tickets come under a key that is gone, in milliseconds since 1970.
    unknown_key_logged: AtomicU64,
}

impl Default for SessionTrail {
    fn default() -> Self {
        Self {
            names_principals: AtomicBool::new(true),
            logins: LineBudget::default(),
            logouts: LineBudget::default(),
            renewals: LineBudget::default(),
            ends: LineBudget::default(),
            losses: LineBudget::default(),
            last_loss: AtomicU64::default(),
            unknown_key_logged: AtomicU64::default(),
        }
    }
}

impl SessionTrail {
    /// Whether names of people may stand in the log (`[log] principals`).
    pub fn name_principals(&self, may: bool) {
        self.names_principals.store(may, Ordering::Relaxed);
    }

    fn named<'a>(&self, principal: Option<&'a Arc<str>>) -> Option<&'a str> {
        principal.filter(|_| self.names_principals.load(Ordering::Relaxed)).map(|name| &**name)
    }

    /// A change of a session was kept.
    pub(super) fn kept(
        &self,
        seen: &SeenTicket<'_>,
        changes: &SessionChanges,
        result: &UpdateResult,
        now: Timestamp,
    ) {
        for gone in &result.evicted {
            self.ended(*gone, None, EndReason::Limit, now);
        }
        tracing::debug!(became = result.change.as_str(), "an answer changes its session");
        match &result.change {
            AppliedChange::Saved { record, logged_in: true, .. } => self.logged_in(record, now),
            AppliedChange::Saved { record, renewed: true, .. } if record.previous.is_none() => {
                self.renewed(record, changes, now);
            }
            // Where nothing was stored, nothing of anybody's has ended.
            AppliedChange::Ended if seen.record.is_some() => {
                let before = seen.record.and_then(|record| record.principal.as_ref());
                self.ended(seen.id, before, changes.end_reason(), now);
            }
            _ => {}
        }
    }

    fn logged_in(&self, record: &Record, now: Timestamp) {
        let Some(left_out) = self.logins.next(now) else { return };
        let principal = self.named(record.principal.as_ref());
        tracing::info!(session = %record.id, principal, left_out = some(left_out), "a visitor logged in");
    }

    fn renewed(&self, record: &Record, changes: &SessionChanges, now: Timestamp) {
        let Some(left_out) = self.renewals.next(now) else { return };
        let by = if changes.renew {
            "app"
        } else if changes.jar.is_empty() {
            "privileged_field"
        } else {
            "kept_cookie"
        };
        let principal = self.named(record.principal.as_ref());
        tracing::info!(
            session = %record.id,
            principal,
            by,
            left_out = some(left_out),
            "a session was given a new ticket: its old one is worthless"
        );
    }

    /// A session ended, by what it says there.
    pub(super) fn ended(&self, session: Uuid, principal: Option<&Arc<str>>, by: EndReason, now: Timestamp) {
        let is_logout = matches!(by, EndReason::Logout | EndReason::OtherLogin);
        let budget = if is_logout { &self.logouts } else { &self.ends };
        let Some(left_out) = budget.next(now).map(some) else { return };
        let (principal, by) = (self.named(principal), by.as_str());
        if is_logout {
            tracing::info!(%session, principal, by, left_out, "a visitor was logged out");
        } else {
            tracing::info!(%session, principal, by, left_out, "a session was ended");
        }
    }

    /// Every session of a principal was ended.
    pub(super) fn ended_everywhere(&self, principal: &Arc<str>, now: Timestamp) {
        let Some(left_out) = self.ends.next(now).map(some) else { return };
        let principal = self.named(Some(principal));
        tracing::info!(principal, left_out, "all sessions of a principal were ended");
    }

    /// What became of the tickets of a request.
    pub(super) fn judged(&self, resolved: &ResolvedSession, now: Timestamp) {
        let TicketVerdict { state, session, ended_by } = resolved.verdict();
        tracing::debug!(
            ticket = state.as_str(),
            ended_by = ended_by.map(EndReason::as_str),
            app_is_told = resolved.state().as_str(),
            "the session cookie was looked at"
        );
        if state == TicketState::UnknownKey && is_due(&self.unknown_key_logged, UNKNOWN_KEY_EVERY, now) {
            tracing::warn!(
                "session cookies come that name a key which is not in [keys]: their visitors begin anew; where a key \
                 was replaced, list the old one in [keys] previous; else somebody makes them up"
            );
        }
        // Who shows one again and again is told of once.
        let is_news = |session: &Uuid| {
            let (_, short) = session.as_u64_pair();
            self.last_loss.swap(short, Ordering::Relaxed) != short
        };
        if let Some(session) = session.filter(|_| resolved.verdict().is_loss()).filter(is_news)
            && let Some(left_out) = self.losses.next(now)
        {
            let by = ended_by.map(EndReason::as_str);
            tracing::info!(
                %session,
                ticket = state.as_str(),
                by,
                left_out = some(left_out),
                "a visitor came with the cookie of a session that is over"
            );
        }
    }
}

/// None of it is said of nothing.
fn some(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

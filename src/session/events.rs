//! What happens to sessions, for the log and for the operator's counts.

use std::{fmt::Display, sync::atomic::AtomicU64, time::Duration};

use uuid::Uuid;

use super::{per_second::is_due, trail::SessionTrail};
use crate::{clock::Timestamp, metrics::Counter, store::DecisionNote};

/// How often it is told that too many sessions begin.
const LOGGED_EVERY: Duration = Duration::from_mins(1);

/// Counts since the start.
#[derive(Debug, Default)]
pub struct SessionEvents {
    /// Sessions that a browser was given the first cookie of.
    pub created: Counter,
    /// Sessions that an answer ended: by logout, destruction, or because somebody else logged in.
    pub ended: Counter,
    /// Sessions that an operator ended.
    pub revoked: Counter,
    /// Cookies of our name that are none of ours: forged, of another realm, under a key that is gone.
    pub tampered: Counter,
    /// Genuine ones whose session's time was over, or that had ended longer ago than a moment.
    pub expired: Counter,
    /// Genuine ones that were replaced or ended a moment ago.
    pub spent: Counter,
    /// Visitors who began anew because a ticket that took the place of theirs never came back.
    pub lost: Counter,
    /// When one was last told, in milliseconds since 1970.
    lost_logged: AtomicU64,
    /// Changes that the store kept, or that were given to the visitor to keep.
    pub saves: Counter,
    /// Changes that could not be kept.
    pub save_failures: Counter,
    /// Lines of apps that could not be read, and were dropped.
    pub malformed: Counter,
    /// Changes that a limit of the session refused.
    pub over_limit: Counter,
    /// Cookies of the app that could not be kept in a session.
    pub not_kept: Counter,
    /// Changes of an upstream or on a route that may not make them.
    pub forbidden: Counter,
    /// Answers whose `If-Version` did not match.
    pub conflicts: Counter,
    /// Changes that the store did not keep, on routes whose visitors are not told.
    pub dropped: Counter,
    /// New sessions past `new_sessions_per_second` or `new_sessions_per_address`.
    pub floods: Counter,
    /// When it was last told that there are such, in milliseconds since 1970.
    floods_logged: AtomicU64,
    /// What sessions leave in the log.
    pub trail: SessionTrail,
}

impl SessionEvents {
    /// Counts and logs what was noticed while the change of a session was decided; `session`: as it is known to the app.
    pub(super) fn tell(&self, session: Uuid, notes: &[DecisionNote]) {
        for note in notes {
            match note {
                DecisionNote::Malformed(header, why) => self.malformed(header, why),
                DecisionNote::OverLimit(field, limit) => self.over_limit(session, field, limit),
                DecisionNote::NotKept(name, why) => self.not_kept(Some(session), name, why),
            }
        }
    }

    /// A line of the app is dropped; it takes no other with it.
    pub fn malformed(&self, header: &dyn Display, why: &str) {
        self.malformed.raise();
        tracing::warn!(%header, why, "a session header of the app was dropped: malformed");
    }

    /// A field is not stored.
    pub fn over_limit(&self, session: Uuid, field: &str, limit: &str) {
        self.over_limit.raise();
        tracing::warn!(%session, field, limit, "a field was not stored: over the limit");
    }

    /// A cookie of the app that was to be kept here is lost: it never reaches the browser either.
    pub fn not_kept(&self, session: Option<Uuid>, name: &[u8], why: &str) {
        self.not_kept.raise();
        let cookie = String::from_utf8_lossy(name);
        // A session that begins is not yet known to be that of the request.
        if let Some(session) = session {
            tracing::warn!(%session, %cookie, why, "a cookie of the app was dropped: it could not be kept");
        } else {
            tracing::warn!(%cookie, why, "a cookie of the app was dropped: it could not be kept");
        }
    }

    /// A visitor begins anew, whose session goes on under a ticket that they never got. Told once a second at most: whoever
    /// keeps such a ticket may show it as often as they like.
    pub fn lost(&self, session: Uuid, now: Timestamp) {
        let all = self.lost.raise();
        if is_due(&self.lost_logged, Duration::from_secs(1), now) {
            tracing::info!(
                %session,
                all,
                "a visitor lost a session: its ticket was replaced, and the new one never came back"
            );
        }
    }

    /// A new session was not kept: too many begin. Told once a minute.
    pub fn flooded(&self, now: Timestamp) {
        let all = self.floods.raise();
        if is_due(&self.floods_logged, LOGGED_EVERY, now) {
            tracing::warn!(
                all,
                "too many new sessions: responses are sent, and nothing is stored for them ([limits] \
                 new_sessions_per_second, new_sessions_per_address)"
            );
        }
    }

    /// What an app may not do is not done.
    pub fn forbidden(&self, what: &str, why: &str) {
        self.forbidden.raise();
        tracing::warn!(what, why, "session instructions were dropped");
    }
}

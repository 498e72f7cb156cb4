//! Tunnels and the session that they began under: whether it is still the one.
//!
//! A tunnel asks, now and then, and is not told: there are many ways in which a session ends, on this node and on
//! others, and every one of them is seen in the record.

use std::net::IpAddr;

use uuid::Uuid;

use super::{ResolvedSession, SessionManager, backend::UnattendedSession, resolved::SessionStatus};
use crate::{clock::Timestamp, record::ReplacementReason};

/// What a tunnel began under.
#[derive(Debug, Clone, Copy)]
pub struct SessionTunnel {
    id: Uuid,
    began: Timestamp,
    /// Who opened it.
    client: Option<IpAddr>,
    /// When its ticket was renewed that it began under; `None` where the answer that began it gave another.
    under: Option<Timestamp>,
    /// There was something stored.
    record: bool,
    /// It goes on under another ticket of the session.
    ignores_renewals: bool,
    /// What goes through it is the visitor's activity: not on a route that reads only.
    counts_as_activity: bool,
}

/// What went through a tunnel, or an answer that goes on, since it was looked after last.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamActivity {
    /// The visitor sent something.
    pub from_visitor: bool,
    /// The app sent something, and the visitor's connection took it.
    pub from_app: bool,
}

impl StreamActivity {
    /// Whether anything went through.
    pub fn is_any(self) -> bool {
        self.from_visitor || self.from_app
    }
}

impl SessionTunnel {
    /// It ends with the session alone, and not with the ticket that it began under: an answer that was asked for before a
    /// login is its visitor's afterwards.
    pub fn outlives_renewals(&mut self) {
        self.ignores_renewals = true;
    }

    /// Whether a session that was renewed then, by more than the clock, is still the one. Within one millisecond the
    /// order of two events is known only where the answer that began the tunnel was no renewal itself.
    pub(super) fn is_of(&self, renewed: Timestamp) -> bool {
        // A download that was asked for before a login goes on after it; a WebSocket, which
        // speaks for whoever opened it, does not.
        self.ignores_renewals || self.is_under(renewed)
    }

    /// Whether its own ticket is still good, or has only been rotated.
    fn is_under(&self, renewed: Timestamp) -> bool {
        match self.under {
            Some(under) => renewed <= under,
            None => renewed <= self.began,
        }
    }
}

impl SessionManager {
    /// The session that a tunnel begins under, if it is to end with that. `now` is after the commit of the answer that
    /// began it, and `told`: that gave the browser a ticket. A login by that very answer ends nothing.
    pub fn tunnel(
        &self,
        resolved: &ResolvedSession,
        sets_cookie: bool,
        now: Timestamp,
    ) -> Option<SessionTunnel> {
        let (ticket, record) = match &resolved.status {
            SessionStatus::Known { ticket, record, .. } => (ticket, record.as_ref()),
            // As it was: the tunnel ends at the first look.
            SessionStatus::Past { ticket, record } => (ticket, Some(record)),
            SessionStatus::Stranger(Some(ticket)) => (ticket, None),
            _ => return None,
        };
        let under = record.filter(|_| !sets_cookie).map(|record| record.renewed);
        let tunnel = SessionTunnel {
            id: ticket.id,
            began: now,
            client: resolved.client,
            under,
            record: record.is_some(),
            ignores_renewals: false,
            counts_as_activity: !resolved.read_only,
        };
        (self.rules.close_tunnels || self.rules.stream_activity).then_some(tunnel)
    }

    /// Whether that session lives on under the same ticket. What the visitor has sent since the last question is as good
    /// as a request where that is noted on the record; with `stream_activity`, so is what the visitor has read. Where
    /// visitors carry their sessions neither keeps anything alive: no answer follows that could bring another cookie.
    pub async fn holds(&self, tunnel: &mut SessionTunnel, came: StreamActivity, now: Timestamp) -> bool {
        let moved = came.from_visitor || (came.from_app && self.rules.stream_activity);
        let active = moved && tunnel.counts_as_activity;
        self.is_held(tunnel, active, now).await || !self.rules.close_tunnels
    }

    async fn is_held(&self, tunnel: &mut SessionTunnel, active: bool, now: Timestamp) -> bool {
        match self.backend.look_after(tunnel.id, |renewed| tunnel.is_of(renewed), now).await {
            UnattendedSession::Stored(record) => {
                tunnel.record = true;
                // After a rotation both tickets are the visitor's; after a change, those of the network
                // that the new one was given to.
                let before = record.previous.as_ref().and_then(|previous| {
                    let is_given_it = match previous.replaced_by {
                        ReplacementReason::Rotation => true,
                        ReplacementReason::Change(to) => {
                            to.is_same(self.network(tunnel.id, tunnel.client).tag())
                        }
                    };
                    is_given_it.then_some(previous.since)
                });
                let since = [before, Some(record.renewed)];
                // SECURITY: whoever holds a ticket from before a login keeps nobody's session alive.
                let is_visitors = since.into_iter().flatten().any(|since| tunnel.is_under(since));
                if active && is_visitors && record.seen(now, self.touch_every(&record)) {
                    self.backend.touch(tunnel.id, &record);
                }
                since.into_iter().flatten().any(|since| tunnel.is_of(since))
            }
            // Without a record it is good for as long as its ticket is, and that is stamped anew by requests.
            UnattendedSession::NotStored => !tunnel.record,
            UnattendedSession::GoesOn => true,
            UnattendedSession::Over => false,
        }
    }
}

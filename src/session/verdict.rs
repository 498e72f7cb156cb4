//! What became of the tickets that a request showed: for the access log, and for whoever asks why somebody was logged out.

use uuid::Uuid;

use crate::record::{EndReason, SessionEnd};

/// What is known of the tickets that a request showed. Of several the one counts that says most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TicketVerdict {
    /// What became of it.
    pub state: TicketState,
    /// The session that it was of, as far as the ticket is genuine.
    pub session: Option<Uuid>,
    /// By what that ended, where it did.
    pub ended_by: Option<EndReason>,
}

/// What became of a ticket. In the order of how much each says: the last is what the request was answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TicketState {
    /// None was shown, and none is given.
    #[default]
    None,
    /// None was shown, and one is offered.
    New,
    /// Not made here, or changed on its way; or of a session without data in another realm.
    Forged,
    /// Made under a key that `[keys]` does not have.
    UnknownKey,
    /// Genuine, and good on another host, or in another realm.
    OtherRealm,
    /// It was replaced by another ticket of its session.
    Spent,
    /// The time of its session was over.
    Expired,
    /// The app ended its session.
    Ended,
    /// Its session was ended by an operator, with all of its principal's, or for a newer one.
    Revoked,
    /// Tickets of more than one session came at once, and which of them is the visitor's cannot be known.
    Ambiguous,
    /// The store failed: nothing is known.
    Unavailable,
    /// It is good.
    Ok,
}

impl TicketState {
    /// As the access log says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::New => "new",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown_key",
            Self::OtherRealm => "other_realm",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
            Self::Ambiguous => "ambiguous",
            Self::Unavailable => "unavailable",
            Self::Ok => "ok",
        }
    }
}

impl TicketState {
    /// For people who ask why.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Spent => {
                "another ticket took its place: the visitor logged in, the app asked for it, a kept cookie changed or \
                 its time had come. A browser that still shows this one never got the new one, or put the old one back"
            }
            Self::UnknownKey => {
                "it names a key that is not in [keys]: a key was replaced and not listed in `previous`, another cloakroom made \
                 it, or somebody made it up"
            }
            Self::Forged => {
                "it is not genuine here: made up, changed on its way, or of another host where its session has no data"
            }
            Self::None | Self::New => {
                "nothing is known of this session: it never had data, or it ended so long ago that it was forgotten"
            }
            Self::Ambiguous => {
                "tickets of more than one session came at once: which is the visitor's is not known"
            }
            Self::Unavailable => "the store of sessions does not answer",
            Self::Ok => "it is good",
            Self::Expired | Self::Ended | Self::Revoked => "its session has ended",
            Self::OtherRealm => "it is genuine, and good elsewhere alone",
        }
    }
}

impl TicketVerdict {
    /// Of this session's ticket.
    pub(super) fn of(state: TicketState, session: Uuid) -> Self {
        // Sessions of Flask have no id.
        Self { state, session: (!session.is_nil()).then_some(session), ended_by: None }
    }

    /// Of a ticket whose session has ended.
    pub(super) fn of_ended(end: SessionEnd, session: Uuid) -> Self {
        let state = match end.by {
            EndReason::Renewed => return Self::of(TicketState::Spent, session),
            by if by.is_revocation() => TicketState::Revoked,
            by if by.is_expiry() => TicketState::Expired,
            _ => TicketState::Ended,
        };
        Self { ended_by: Some(end.by), ..Self::of(state, session) }
    }

    /// What says more of two.
    pub(super) fn or(self, other: Self) -> Self {
        if other.state > self.state { other } else { self }
    }

    /// The visitor has lost a session that was theirs.
    pub fn is_loss(&self) -> bool {
        matches!(self.state, TicketState::Expired | TicketState::Ended | TicketState::Revoked)
    }
}

//! By what a session ended: what its tombstone says, for whoever asks later why somebody was logged out.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// When a session ended, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnd {
    /// When.
    pub at: Timestamp,
    /// By what.
    pub by: EndReason,
}

/// By what a session ended. The numbers are those that are kept on disk: none is ever given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It is not known: it ended under a version that did not keep the reason, or so long ago that it was forgotten.
    #[default]
    Unknown = 0,
    /// The app destroyed it.
    App = 1,
    /// The app logged its visitor out, and a session of nobody's followed.
    Logout = 2,
    /// The app logged somebody else in.
    OtherLogin = 3,
    /// An operator revoked it.
    Operator = 4,
    /// Every session of its principal was ended, by an app or by an operator.
    Everywhere = 5,
    /// Its principal had as many sessions as they may, and logged in once more.
    Limit = 6,
    /// Nobody came for `idle_timeout`.
    Idle = 7,
    /// It was as old as it may become: `absolute_timeout`.
    Absolute = 8,
    /// The store had no room for it.
    NoRoom = 9,
    /// It was lost with a damaged disk.
    Damaged = 10,
    /// The answer that was to begin it failed, and nobody has its ticket.
    NotBegun = 11,
    /// It goes on, in another copy than the visitor has: only of sessions that travel in cookies.
    Renewed = 12,
}

const ALL: [EndReason; 13] = [
    EndReason::Unknown,
    EndReason::App,
    EndReason::Logout,
    EndReason::OtherLogin,
    EndReason::Operator,
    EndReason::Everywhere,
    EndReason::Limit,
    EndReason::Idle,
    EndReason::Absolute,
    EndReason::NoRoom,
    EndReason::Damaged,
    EndReason::NotBegun,
    EndReason::Renewed,
];

impl EndReason {
    /// In a word, as logs and the API say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::App => "app",
            Self::Logout => "logout",
            Self::OtherLogin => "other_login",
            Self::Operator => "operator",
            Self::Everywhere => "everywhere",
            Self::Limit => "limit",
            Self::Idle => "idle",
            Self::Absolute => "absolute",
            Self::NoRoom => "no_room",
            Self::Damaged => "damaged",
            Self::NotBegun => "not_begun",
            Self::Renewed => "renewed",
        }
    }

    /// For people who ask why.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Unknown => {
                "it ended so long ago that it was forgotten, or cloakroom was started anew with its sessions in memory alone"
            }
            Self::App => "the app ended it",
            Self::Logout => "the app logged the visitor out",
            Self::OtherLogin => "the app logged somebody else in",
            Self::Operator => "an operator revoked it",
            Self::Everywhere => "all sessions of its principal were ended",
            Self::Limit => {
                "its principal logged in once more than [session] max_sessions_per_principal allows"
            }
            Self::Idle => "nobody came for its idle time",
            Self::Absolute => "it reached its absolute lifetime",
            Self::NoRoom => "the store had no room for it ([store] max_bytes)",
            Self::Damaged => "it was lost with a damaged part of the disk",
            Self::Renewed => "it goes on in a newer copy of its cookie",
            Self::NotBegun => "its ticket was never given to anybody",
        }
    }

    /// Nobody knows.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Reads the word; one of a later version is not known.
    pub fn or_unknown<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or_default())
    }

    /// As it is kept on disk.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Of what is kept on disk; a number of a later version is not known.
    pub fn of_code(code: u64) -> Self {
        let place = usize::try_from(code).unwrap_or(usize::MAX);
        ALL.get(place).copied().unwrap_or_default()
    }

    /// Somebody ended it for its visitor, who did not ask for that.
    pub fn is_revocation(self) -> bool {
        matches!(self, Self::Operator | Self::Everywhere | Self::Limit)
    }

    /// Its time was over.
    pub fn is_expiry(self) -> bool {
        matches!(self, Self::Idle | Self::Absolute | Self::NoRoom | Self::Damaged | Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        for (place, reason) in ALL.into_iter().enumerate() {
            assert_eq!((usize::from(reason.code()), EndReason::of_code(place as u64)), (place, reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(EndReason::of_code(200), EndReason::Unknown);
    }
}

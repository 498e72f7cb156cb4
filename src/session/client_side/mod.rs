//! Sessions that visitors carry themselves: the record travels in the cookie, and no server keeps it.
//!
//! What that cannot hold is in the nature of it: of two answers at a time the later one's copy is what the browser has;
//! a copy that was made of a cookie is as good as the cookie until it is over, unless this node remembers that its session
//! [`Revocations`]; nobody can be logged out who is not there.

mod flask;
mod open_cache;
mod parts;
mod payload;
mod revocations;
mod sealed;

pub use flask::FlaskSessions;
pub use revocations::Revocations;
pub(super) use sealed::CookieIssue;
pub use sealed::SealedSessions;

use crate::record::Record;

/// How large a session may be that is on its way to a browser.
#[derive(Debug, Clone)]
pub(crate) enum SizeLimit {
    /// So many bytes, before they are sealed.
    Sealed(usize),
    /// What one cookie holds whose name has so many bytes.
    Flask(FlaskSessions, usize),
}

impl SizeLimit {
    /// What is named where it has not.
    pub(super) fn limit(&self) -> &'static str {
        match self {
            Self::Sealed(_) => "[store] max_cookies",
            Self::Flask(..) => "4096 bytes of Flask's cookie",
        }
    }

    /// Whether it has room for a record, with so many bytes more.
    pub(super) fn holds(&self, record: &Record, more: usize) -> bool {
        match self {
            Self::Sealed(size_limit) => payload::size(record).saturating_add(more) <= *size_limit,
            Self::Flask(flask, name) => flask.fits(*name, record, more),
        }
    }
}

/// Bytes of a payload that so many cookies of this form hold.
pub(super) use sealed::capacity_of;

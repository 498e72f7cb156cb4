//! Where records are kept. A store answers three questions, and each kind answers them alike:
//!
//! - `load`: what is under this id? Missing, expired and ended are answers, not errors.
//! - `apply`: decides (by [`decide`](super::commit::decide)) on the record *as it is now*, atomically, and keeps what
//!   comes of it. Two applies on one id never see the same record.
//! - `touch`: a request came; may be late, may be lost.
//! - `delete`, `delete_all_of`, `of`: ends one session, or all of a principal; lists a principal's.
//!
//! An error means that the store failed and that nothing under this id was changed. (An answer that ends one session and
//! begins another makes two applies: the first stays done when the second fails.)

mod memory;
mod principals;

pub use memory::Memory;

use std::sync::Arc;

use super::{change::Name, record::Record};

/// The store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error("the session store is full ([store] max_bytes)")]
    Full,
    /// Too many visitors begin sessions.
    #[error("too many new sessions ([limits] new_sessions_per_second, new_sessions_per_address)")]
    Flood,
    /// `max_sessions_per_principal` with `on_too_many = "refuse"`.
    #[error("this principal has as many sessions as it may ([session] max_sessions_per_principal)")]
    TooManySessions,
}

/// What `apply` did.
#[derive(Debug)]
pub enum Applied {
    /// Nothing.
    Nothing,
    /// Kept.
    Saved {
        /// The record as it is now.
        record: Arc<Record>,
        /// The ticket was replaced.
        renewed: bool,
        /// The flashes that are delivered by this change.
        taken: Vec<(Name, Arc<str>)>,
    },
    /// The session ended.
    Ended,
    /// The ticket had been spent meanwhile.
    Straggler,
    /// `If-Version` named another version than the record has.
    Conflict,
    /// Everyone of that name was logged out while the login was under way: it does not count.
    Denied,
}

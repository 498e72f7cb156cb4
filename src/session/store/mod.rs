//! Where records are kept. A store answers three questions, and each kind answers them alike:
//!
//! - `load`: what is under this id? Missing, expired and ended are answers, not errors.
//! - `apply`: decides (by [`decide`](super::commit::decide)) on the record *as it is now*, atomically, and keeps what
//!   comes of it. Two applies on one id never see the same record.
//! - `touch`: a request came; may be late, may be lost.
//!
//! An error means that the store failed and that nothing was changed.

mod memory;

pub use memory::Memory;

use std::sync::Arc;

use super::record::Record;

/// The store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error("the session store is full ([store] max_bytes)")]
    Full,
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
    },
    /// The session ended.
    Ended,
    /// The ticket had been spent meanwhile.
    Straggler,
}

//! What an answer wants changed: never a whole session, so that two tabs cannot overwrite each other.

use std::sync::Arc;

/// The instructions of one answer, in normal form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// `clear`: all fields go, before anything else is applied.
    pub clear: bool,
    /// Fields to pop.
    pub unset: Vec<String>,
    /// Fields to set, in the order of the answer.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// `Some(None)` logs out, `Some(Some(name))` logs in.
    pub principal: Option<Option<Arc<str>>>,
    /// `permanent` or `temporary`.
    pub permanent: Option<bool>,
    /// A new ticket.
    pub renew: bool,
    /// The end; beats all else.
    pub destroy: bool,
}

impl Changes {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.clear
            && !self.renew
            && !self.destroy
            && self.permanent.is_none()
            && self.principal.is_none()
            && self.set.is_empty()
            && self.unset.is_empty()
    }

    /// Somebody logs in.
    pub fn logs_in(&self) -> bool {
        !self.destroy && matches!(self.principal, Some(Some(_)))
    }

    /// Something that a visitor must not lose without being told: a failure to store it is a 503.
    pub fn is_weighty(&self) -> bool {
        self.destroy || self.renew || self.principal.is_some()
    }

    /// There is something to keep for a session that has no record yet.
    pub fn stores(&self) -> bool {
        !self.destroy
            && (!self.set.is_empty() || self.logs_in() || self.permanent == Some(true) || self.renew)
    }
}

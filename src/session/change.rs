//! What an answer wants changed: never a whole session, so that two tabs cannot overwrite each other.

use std::{sync::Arc, time::Duration};

use super::field_scope::FieldScope;
use crate::record::{
    EndReason, FieldName, FieldValue, Record,
    jar::{Jar, JarChange},
};

/// The instructions of one answer, in normal form. They apply in this order: clear, unset, set, incr, flash,
/// lifetimes, principal, renew; destroy beats all.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SessionChanges {
    /// `clear`: all fields and flashes go, before anything else is applied.
    pub clear: bool,
    /// Of `clear`: only those that the answer's upstream is shown.
    pub clear_within: Option<FieldScope>,
    /// Fields to pop.
    pub unset: Vec<FieldName>,
    /// Fields to set, each once.
    pub set: Vec<(FieldName, FieldValue)>,
    /// Whole numbers to add, each field once.
    pub incr: Vec<(FieldName, i64)>,
    /// Texts for the next page, each once.
    pub flash: Vec<(FieldName, Arc<str>)>,
    /// `X-Session-Idle`
    pub idle: Option<Duration>,
    /// `X-Session-Max`
    pub max: Option<Duration>,
    /// `permanent` or `temporary`.
    pub permanent: Option<bool>,
    /// `Some(None)` logs out, `Some(Some(name))` logs in.
    pub principal: Option<Option<Arc<str>>>,
    /// A new ticket.
    pub renew: bool,
    /// The end, and a new session with what this answer sets.
    pub logout: bool,
    /// The end.
    pub destroy: bool,
    /// The end of every session of this principal.
    pub destroy_principal: bool,
    /// Only if the record is still at this version.
    pub if_version: Option<u64>,
    /// Flashes that are being delivered now.
    pub take: Vec<FieldName>,
    /// Flashes that were not delivered after all.
    pub give_back: Vec<(FieldName, Arc<str>)>,
    /// A new ticket because the time has come, not because anything happened.
    pub rotate: bool,
    /// Cookies of the app that are kept here.
    pub jar: Vec<JarChange>,
    /// A kept cookie that renews the ticket leaves the old one good until the new one was shown: a script asked, or the
    /// visitor has gone, so that nobody is known to get the new one.
    pub keeps_old_ticket: bool,
    /// The upstream may not log anybody in or out: its cookies are its own matter, and end no session.
    pub spares_session: bool,
}

impl SessionChanges {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.touches_fields()
            && !self.ends()
            && !self.renew
            && !self.rotate
            && self.permanent.is_none()
            && self.principal.is_none()
            && self.idle.is_none()
            && self.max.is_none()
            && self.jar.is_empty()
    }

    /// Fields or flashes change.
    pub fn touches_fields(&self) -> bool {
        self.clear
            || !self.unset.is_empty()
            || !self.set.is_empty()
            || !self.incr.is_empty()
            || !self.flash.is_empty()
            || !self.take.is_empty()
            || !self.give_back.is_empty()
    }

    /// The session ends, whatever begins after it.
    pub fn ends(&self) -> bool {
        self.destroys() || self.logout
    }

    /// It ends, and nothing follows.
    pub fn destroys(&self) -> bool {
        self.destroy || self.destroy_principal
    }

    /// By what a session ends that these changes end.
    pub fn end_reason(&self) -> EndReason {
        match &self.principal {
            _ if self.destroy_principal => EndReason::Everywhere,
            _ if self.destroy => EndReason::App,
            _ if self.logout => EndReason::Logout,
            Some(Some(_)) => EndReason::OtherLogin,
            _ => EndReason::Logout,
        }
    }

    /// Somebody logs in.
    pub fn logs_in(&self) -> bool {
        !self.ends() && matches!(self.principal, Some(Some(_)))
    }

    /// Somebody is logged in, and it is to be somebody else, or nobody.
    pub fn names_other_than(&self, principal: Option<&Arc<str>>) -> bool {
        principal.is_some() && self.principal.as_ref().is_some_and(|wanted| wanted.as_ref() != principal)
    }

    /// Whether a session that travels is to end by an answer whose ticket was spent meanwhile: nothing else can be changed in
    /// a copy that is on its way to the browser. A cookie of a session of the app's own takes all with it.
    pub fn ends_copies_of(&self, shown: &Record) -> bool {
        self.if_version.is_none_or(|version| version == shown.version)
            && (self.ends()
                || self.names_other_than(shown.principal.as_ref())
                || (!self.spares_session && self.removals(&shown.jar).any(|removal| removal.ends)))
    }

    /// A login cookie of the app's own is taken away, whatever else the answer sets.
    pub fn logs_out_of_app(&self) -> bool {
        self.taken_away().any(|removal| removal.ends)
    }

    /// What takes cookies out that are in this jar.
    pub fn removals(&self, jar: &Jar) -> impl Iterator<Item = &JarChange> {
        self.taken_away().filter(|removal| jar.has(&removal.cookie))
    }

    /// What an answer takes away and sets again was never away.
    fn taken_away(&self) -> impl Iterator<Item = &JarChange> {
        let is_set = |removal: &JarChange| {
            self.jar.iter().any(|change| change.keeps() && change.cookie.is(&removal.cookie))
        };
        self.jar.iter().filter(move |change| !change.keeps() && !is_set(change))
    }

    /// A cookie that is kept looks like a login of the app's own.
    pub fn may_log_in(&self) -> bool {
        !self.ends() && self.jar.iter().any(|change| change.begins && change.keeps())
    }

    /// It is meant for a record that is there already.
    pub fn expects_a_record(&self) -> bool {
        self.if_version.is_some_and(|version| version != 0)
    }

    /// Something that a visitor must not lose without being told: a failure to store it is a 503.
    pub fn is_weighty(&self) -> bool {
        self.ends() || self.renew || self.principal.is_some() || self.jar.iter().any(|change| change.renews)
    }

    /// There is something to keep for a session that has no record yet.
    pub fn stores(&self) -> bool {
        !self.destroys()
            && (!self.set.is_empty()
                || !self.incr.is_empty()
                || !self.flash.is_empty()
                || self.logs_in()
                || self.permanent == Some(true)
                || self.idle.is_some()
                || self.max.is_some()
                || self.renew
                || self.jar.iter().any(JarChange::keeps))
    }

    /// What is left for the session that follows one that ended by logout or by another principal.
    #[must_use]
    pub fn afterwards(&self) -> Self {
        Self {
            clear: false,
            unset: Vec::new(),
            logout: false,
            renew: false,
            if_version: None,
            // The flashes of the session that ended are its own.
            give_back: Vec::new(),
            ..self.clone()
        }
    }
}

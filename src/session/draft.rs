//! A record in the making: the changes of an answer written into a copy, one by one, each within its limits.

use std::{sync::Arc, time::Duration};

use super::{client_side::SizeLimit, pending_change::PendingChange};
use crate::{
    config::is_session_like,
    message::field::normal,
    record::{
        FieldMap, FieldName, FieldValue, Record,
        jar::{Jar, JarChange},
    },
    store::DecisionNote,
};

/// Why a login cookie is not kept that was taken away while the answer was under way.
const TAKEN_AWAY: &str = "another answer took it away meanwhile";

/// Bytes that a record may grow by without any change of what it holds.
const MAY_GROW: usize = 96;
/// Bytes of a principal's name that are kept free for a login to come.
const LIKELY_PRINCIPAL: usize = 160;

/// What a change of the jar means for the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JarRenewal {
    /// Nothing.
    None,
    /// A cookie changed that renews it.
    Change,
    /// A cookie went that looks like the app's own login.
    Ending,
}

/// A record that an answer's changes are written into, one by one.
pub(super) struct RecordDraft<'d> {
    pub record: Record,
    pub apply: &'d PendingChange<'d>,
    pub notes: &'d mut Vec<DecisionNote>,
}

impl RecordDraft<'_> {
    /// In the order of the contract; true if a privilege field changed.
    pub(super) fn fill(&mut self) -> bool {
        let (changes, apply) = (self.apply.changes, self.apply);
        // The map shares its fields until one changes; answers that touch none do not even copy the
        // map.
        let before: Option<FieldMap> = changes.touches_fields().then(|| self.record.fields.clone());
        if changes.clear {
            let stays =
                |name: &FieldName| changes.clear_within.as_ref().is_some_and(|within| !within.holds(name));
            self.record.fields.retain(stays);
            self.record.flashes.retain(stays);
        }
        for name in &changes.unset {
            self.record.fields.remove(&self.key(name));
        }
        for (name, value) in &changes.set {
            self.put(&self.key(name), value.clone());
        }
        // After `set`, so that an answer can set a counter to a value and count on from it.
        for (name, more) in &changes.incr {
            let name = &self.key(name);
            match FieldValue::plus(self.record.fields.get(name), *more) {
                Some(sum) => self.put(name, sum),
                None => self.note_malformed(format!("incr-{name}"), "the field is no whole number"),
            }
        }
        // Flashes and lifetimes are no fields: they raise no version, and no privilege.
        self.fill_flashes();
        self.fill_lifetimes();
        let record = &mut self.record;
        let mut changed = before.as_ref().is_some_and(|b| *b != record.fields);
        let privileged = changed
            && apply.rules.privilege_fields.iter().any(|name| {
                let before = before.as_ref().and_then(|b| apply.headers.field(b, name));
                before != apply.headers.field(&record.fields, name)
            });
        if let Some(Some(name)) = &changes.principal
            // A different name never gets here: it is another session (`AnswerStep::Replace`).
            && record.principal.is_none()
        {
            record.principal = Some(Arc::clone(name));
            // Whoever logs in is somebody where they do so, and a session may have begun by another route.
            record.realm = apply.seen.realm.key();
            record.counted_from = apply.now;
            changed = true;
        }
        record.version += u64::from(changed);
        privileged
    }

    /// The app's cookies, one by one; and what that means for the ticket.
    pub(super) fn fill_jar(&mut self) -> JarRenewal {
        let apply = self.apply;
        let (mut renews, mut ended) = (false, Vec::new());
        let found = self.record.jar.clone();
        for change in &apply.changes.jar {
            if self.would_return(change, &found) {
                self.note_not_kept(&change.cookie.name, TAKEN_AWAY.to_owned());
                continue;
            }
            // Only where the size is limited: a store's record needs no copy to go back to.
            let before = apply.size_limit.map(|_| self.record.jar.clone());
            match self.record.jar.apply(change, &apply.rules.jar, apply.now) {
                Ok(_) if change.keeps() && !apply.holds(&self.record, self.to_come()) => {
                    self.record.jar = before.unwrap_or_default();
                    let why = "the session would be larger than its cookies can hold ([store] max_cookies)";
                    self.note_not_kept(&change.cookie.name, why.to_owned());
                }
                Ok(effect) => {
                    let changed = effect.changed && change.renews;
                    renews |= changed && !change.ends;
                    ended.extend(Some(&change.cookie).filter(|_| changed && change.ends));
                    if effect.changed && change.begins {
                        // A login, and the session's life is counted from it as from one by name.
                        self.record.counted_from = apply.now;
                    }
                    for (name, full) in effect.gone {
                        let why = format!("the jar is full ({}), and it was used longest ago", full.as_str());
                        self.note_not_kept(&name, why);
                    }
                }
                Err(full) => self.note_not_kept(&change.cookie.name, full.as_str().to_owned()),
            }
        }
        // What an answer takes away and sets again was never away.
        if ended.into_iter().any(|cookie| !self.record.jar.has(cookie)) {
            JarRenewal::Ending
        } else if renews {
            JarRenewal::Change
        } else {
            JarRenewal::None
        }
    }

    /// SECURITY: whether a login cookie that the request was sent, and that was taken away meanwhile, would come back: who
    /// logged out by one request is not logged in again by another that was under way.
    fn would_return(&self, change: &JarChange, found: &Jar) -> bool {
        let sent = self.apply.seen.record.and_then(|shown| shown.jar.find(&change.cookie));
        change.keeps()
            && sent.is_some_and(|sent| !sent.is_over(self.apply.now) && is_session_like(&sent.name))
            && !found.has(&change.cookie)
    }

    fn note_malformed(&mut self, header: String, why: &'static str) {
        self.notes.push(DecisionNote::Malformed(header, why));
    }

    fn note_not_kept(&mut self, name: &Arc<[u8]>, why: String) {
        self.notes.push(DecisionNote::NotKept(Arc::clone(name), why));
    }

    /// What a field is filed under. With the keys of `mod_session` that is what the app wrote first: `cartId` and
    /// `X-Session-Cartid` are one.
    fn key(&self, name: &FieldName) -> FieldName {
        let fields = &self.record.fields;
        // The exact spelling first: it is nearly always there, and the search over all fields is
        // not.
        if self.apply.headers.has_keys() && !fields.contains_key(name) {
            let wanted = normal(name);
            let same = |known: &&FieldName| wanted.is_ok() && normal(known) == wanted;
            if let Some(known) = fields.keys().find(same) {
                return Arc::clone(known);
            }
        }
        Arc::clone(name)
    }

    /// The limit that this field breaks, if any.
    fn over_limit(&self, name: &str) -> Option<&'static str> {
        let (record, apply) = (&self.record, self.apply);
        let too_large = || {
            apply
                .size_limit
                .filter(|size_limit| !size_limit.holds(record, self.to_come()))
                .map(SizeLimit::limit)
        };
        apply.headers.over_limit(record, name, apply.rules).or_else(too_large)
    }

    /// Bytes that must be left: times and numbers grow, the ticket may be replaced, and who logs in must be able to.
    fn to_come(&self) -> usize {
        let principal = match (&self.record.principal, &self.apply.changes.principal) {
            (Some(_), _) => 0,
            (None, Some(Some(name))) => name.len() + 8,
            (None, _) => LIKELY_PRINCIPAL,
        };
        MAY_GROW + principal
    }

    /// Sets a field, unless that breaks a limit.
    fn put(&mut self, name: &FieldName, value: FieldValue) {
        // Set first and measured then: only the whole record says whether it fits. What breaks a
        // limit is put back as it was.
        let old = self.record.fields.insert(name, value);
        if let Some(limit) = self.over_limit(name) {
            self.notes.push(DecisionNote::OverLimit(Arc::clone(name), limit));
            match old {
                Some(old) => self.record.fields.insert(name, old),
                None => self.record.fields.remove(name),
            };
        }
    }

    fn fill_flashes(&mut self) {
        let changes = self.apply.changes;
        for name in &changes.take {
            self.record.flashes.remove(name);
        }
        for (name, text) in &changes.give_back {
            // A flash of the same name that was set meanwhile is newer than the one that is given
            // back.
            if !self.record.flashes.contains_key(name) {
                self.record.flashes.insert(name, Arc::clone(text));
            }
        }
        for (name, text) in &changes.flash {
            let old = self.record.flashes.insert(name, Arc::clone(text));
            if let Some(limit) = self.over_limit(name) {
                self.notes.push(DecisionNote::OverLimit(Arc::clone(name), limit));
                match old {
                    Some(old) => self.record.flashes.insert(name, old),
                    None => self.record.flashes.remove(name),
                };
            }
        }
    }

    fn fill_lifetimes(&mut self) {
        let changes = self.apply.changes;
        if let Some(permanent) = changes.permanent {
            self.record.permanent = permanent;
        }
        let most = self.apply.rules.permanent;
        let mut within = |wanted: Option<Duration>, most: Duration, header: &str| {
            wanted.filter(|wanted| {
                let fits = (Duration::from_mins(1)..=most).contains(wanted);
                if !fits {
                    let why = "less than a minute, or more than a permanent session has";
                    self.notes.push(DecisionNote::Malformed(header.to_owned(), why));
                }
                fits
            })
        };
        let (idle, max) = (
            within(changes.idle, most.idle_timeout, "idle"),
            within(changes.max, most.absolute_timeout, "max"),
        );
        self.record.idle = idle.or(self.record.idle);
        self.record.max = max.or(self.record.max);
    }
}

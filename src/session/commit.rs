//! What becomes of a session when an answer's changes meet the record as it is now. Pure: values in, a decision out.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    FieldValue,
    change::{FieldName, SessionChanges},
    client_side::SizeLimit,
    fields::FieldMap,
    record::{Record, SecretMatch},
    session_headers::SessionHeaders,
    ticket::{Realm, SecretHash},
};
use crate::{clock::Timestamp, config::SessionConfig, message::field::normal};

/// Bytes that a record may grow by without any change of what it holds.
const MAY_GROW: usize = 96;
/// Bytes of a principal's name that are kept free for a login to come.
const LIKELY_PRINCIPAL: usize = 160;

/// What the store found under an id.
#[derive(Debug, Clone)]
pub enum FoundRecord {
    /// A record that is alive.
    Live(Arc<Record>),
    /// It was ended then.
    Ended(Timestamp),
    /// Its time was over, or the store had no room for it: nobody ended it.
    Over,
    /// Nothing.
    Nothing,
}

/// What resolve saw when the request came.
#[derive(Debug, Clone, Copy)]
pub struct SeenTicket<'a> {
    /// What the session belongs to.
    pub realm: Realm<'a>,
    /// The session's id.
    pub id: Uuid,
    /// The hash of the ticket's secret.
    pub secret: SecretHash,
    /// When the session was created.
    pub minted: Timestamp,
    /// The record as the app was told of it, if there was one. An exchange that saw one never creates one.
    pub record: Option<&'a Record>,
    /// Whether the ticket came from the visitor (and not from this very request).
    pub confirmed: bool,
    /// When the request came.
    pub began: Timestamp,
    /// When the ticket was last issued.
    pub stamped: Timestamp,
    /// A session that is about to end for this one: it no longer counts as one of its principal's.
    pub instead: Option<Uuid>,
}

/// A change on its way into the store.
#[derive(Debug)]
pub struct PendingChange<'a> {
    /// What the request came under.
    pub seen: SeenTicket<'a>,
    /// What the answer wants.
    pub changes: &'a SessionChanges,
    /// The secret's hash after a renewal, should one be needed.
    pub next_secret: SecretHash,
    /// Now.
    pub now: Timestamp,
    /// `[session]`
    pub rules: &'a SessionConfig,
    /// How fields become headers.
    pub wire: &'a SessionHeaders,
    /// How large the record may be, where it travels.
    pub(super) room: Option<&'a SizeLimit>,
}

impl PendingChange<'_> {
    /// Whether a record can travel, with so many bytes more.
    pub(super) fn holds(&self, record: &Record, more: usize) -> bool {
        self.room.is_none_or(|room| room.holds(record, more))
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum StoreDecision {
    /// Nothing changes.
    Nothing,
    /// This is the record from now on.
    Save {
        /// The record.
        record: Box<Record>,
        /// The ticket was replaced.
        renewed: bool,
        /// Somebody logged in by this change.
        logged_in: bool,
        /// Flashes that this change took out to deliver them.
        taken: Vec<(FieldName, Arc<str>)>,
    },
    /// The session ends; a tombstone stays.
    End {
        /// And with it every session of this principal: realm and name.
        all_of: Option<(Arc<str>, Arc<str>)>,
    },
    /// The ticket was spent meanwhile: nothing in that session changes, and no ticket of it is given.
    Straggler,
    /// The record is at another version than the answer says.
    Conflict,
}

/// Decides.
pub fn decide(found: &FoundRecord, apply: &PendingChange<'_>) -> StoreDecision {
    let seen = &apply.seen;
    let before = match found {
        FoundRecord::Live(record) if record.leads(&seen.secret, apply.now) == SecretMatch::No => {
            return late(record, apply);
        }
        FoundRecord::Live(record) => Some(record),
        FoundRecord::Ended(_) | FoundRecord::Over => return StoreDecision::Straggler,
        FoundRecord::Nothing if seen.record.is_some() => return StoreDecision::Straggler,
        FoundRecord::Nothing => None,
    };
    let changes = apply.changes;
    if changes.if_version.is_some_and(|wanted| wanted != before.map_or(0, |r| r.version)) {
        return StoreDecision::Conflict;
    }
    let principal_before = before.and_then(|r| r.principal.as_ref());
    if changes.destroy_principal {
        return StoreDecision::End { all_of: before.and_then(everyone) };
    }
    if changes.ends() || changes.names_other_than(principal_before) {
        return StoreDecision::End { all_of: None };
    }
    if before.is_none() && !changes.stores() {
        return StoreDecision::Nothing;
    }
    if changes.by_clock && before.is_none_or(|r| r.overlaps(apply.now)) {
        return StoreDecision::Nothing;
    }
    let mut record = before.map_or_else(
        || Record::new((seen.realm.key(), seen.id), seen.secret, seen.minted, apply.now, seen.confirmed),
        |r| r.fork(),
    );
    let flash = |name: &FieldName| Some((Arc::clone(name), Arc::clone(record.flashes.get(name)?)));
    let taken = changes.take.iter().filter_map(flash).collect();
    let logged_in = principal_before.is_none() && changes.logs_in();
    let privileged = fill(&mut record, changes, apply);
    let jar_renews = keep(&mut record, changes, apply);
    let renewed = logged_in || changes.renew || privileged || jar_renews;
    if renewed {
        record.renew(apply.next_secret, apply.now);
    } else if changes.by_clock {
        record.pass_on(apply.next_secret, apply.now);
    }
    // Apps repeat themselves: what says nothing new costs no write.
    if !renewed && !changes.by_clock && before.is_some_and(|before| record.says_the_same(before)) {
        return StoreDecision::Nothing;
    }
    StoreDecision::Save { record: Box::new(record), renewed: renewed || changes.by_clock, logged_in, taken }
}

/// What still counts of an answer whose ticket was spent while it was under way: an ending, where nobody has come into the
/// session since its request was shown it. Who clicked "log out" is logged out, whatever renewed the ticket meanwhile.
/// Nobody is given a ticket of that session, so what takes cookies away renews none.
fn late(record: &Arc<Record>, apply: &PendingChange<'_>) -> StoreDecision {
    let changes = apply.changes;
    let Some(shown) = apply.seen.record.filter(|shown| record.is_still_of(shown)) else {
        return StoreDecision::Straggler;
    };
    let other = changes.names_other_than(record.principal.as_ref());
    // A login of the app's own takes cookies away as well, to set them anew.
    let removed = changes.removals(&shown.jar).filter(|_| !changes.may_log_in());
    let left = removed.fold(record.jar.clone(), |mut jar, removal| {
        // Taking out cannot fail for want of room; where a cookie may not be touched, it stays.
        let _ = jar.apply(removal, &apply.rules.jar, apply.now);
        jar
    });
    let ends = (changes.ends() || other) && record.is_just_as(shown);
    if !ends && left == record.jar {
        return StoreDecision::Straggler;
    }
    if changes.if_version.is_some_and(|wanted| wanted != record.version) {
        return StoreDecision::Conflict;
    }
    if ends {
        let all_of = everyone(record).filter(|_| changes.destroy_principal);
        return StoreDecision::End { all_of };
    }
    let record = Box::new(Record { jar: left, ..record.fork() });
    StoreDecision::Save { record, renewed: false, logged_in: false, taken: Vec::new() }
}

/// Realm and name of who is logged in.
fn everyone(record: &Arc<Record>) -> Option<(Arc<str>, Arc<str>)> {
    Some((Arc::clone(&record.realm), record.principal.clone()?))
}

/// In the order of the contract; true if a privilege field changed.
fn fill(record: &mut Record, changes: &SessionChanges, apply: &PendingChange<'_>) -> bool {
    let before: Option<FieldMap> = changes.touches_fields().then(|| record.fields.clone());
    if changes.clear {
        let stays =
            |name: &FieldName| changes.clear_within.as_ref().is_some_and(|within| !within.holds(name));
        record.fields.retain(stays);
        record.flashes.retain(stays);
    }
    for name in &changes.unset {
        record.fields.remove(&key(record, name, apply));
    }
    for (name, value) in &changes.set {
        let name = &key(record, name, apply);
        put(record, name, value.clone(), apply);
    }
    for (name, more) in &changes.incr {
        let name = &key(record, name, apply);
        match FieldValue::plus(record.fields.get(name), *more) {
            Some(sum) => put(record, name, sum, apply),
            None => apply.wire.events.malformed(&format_args!("incr-{name}"), "the field is no whole number"),
        }
    }
    flashes(record, changes, apply);
    lifetimes(record, changes, apply);
    let mut changed = before.as_ref().is_some_and(|b| *b != record.fields);
    let privileged = changed
        && apply.rules.privilege_fields.iter().any(|name| {
            let before = before.as_ref().and_then(|b| apply.wire.field(b, name));
            before != apply.wire.field(&record.fields, name)
        });
    if let Some(Some(name)) = &changes.principal
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

/// The app's cookies, one by one; true if one that asks for it changed anything.
fn keep(record: &mut Record, changes: &SessionChanges, apply: &PendingChange<'_>) -> bool {
    let mut renews = false;
    for change in &changes.jar {
        let before = apply.room.map(|_| record.jar.clone());
        match record.jar.apply(change, &apply.rules.jar, apply.now) {
            Ok(_) if change.keeps() && !apply.holds(record, to_come(record, apply)) => {
                record.jar = before.unwrap_or_default();
                let why = "the session would be larger than its cookies can hold ([store] max_cookies)";
                apply.wire.events.not_kept(Some(record.id), &change.cookie.name, why);
            }
            Ok(effect) => {
                renews |= effect.changed && change.renews;
                for (name, full) in effect.gone {
                    let why = format!("the jar is full ({}), and it was used longest ago", full.as_str());
                    apply.wire.events.not_kept(Some(record.id), &name, &why);
                }
            }
            Err(full) => apply.wire.events.not_kept(Some(record.id), &change.cookie.name, full.as_str()),
        }
    }
    renews
}

/// What a field is filed under. With the keys of `mod_session` that is what the app wrote first: `cartId` and
/// `X-Session-Cartid` are one.
fn key(record: &Record, name: &FieldName, apply: &PendingChange<'_>) -> FieldName {
    if apply.wire.has_keys() && !record.fields.contains_key(name) {
        let wanted = normal(name);
        let same = |known: &&FieldName| wanted.is_ok() && normal(known) == wanted;
        if let Some(known) = record.fields.keys().find(same) {
            return Arc::clone(known);
        }
    }
    Arc::clone(name)
}

/// The limit that this field breaks, if any.
fn over_limit(record: &Record, name: &str, apply: &PendingChange<'_>) -> Option<&'static str> {
    let too_large =
        || apply.room.filter(|room| !room.holds(record, to_come(record, apply))).map(SizeLimit::limit);
    apply.wire.over_limit(record, name, apply.rules).or_else(too_large)
}

/// Bytes that must be left: times and numbers grow, the ticket may be replaced, and who logs in must be able to.
fn to_come(record: &Record, apply: &PendingChange<'_>) -> usize {
    let principal = match (&record.principal, &apply.changes.principal) {
        (Some(_), _) => 0,
        (None, Some(Some(name))) => name.len() + 8,
        (None, _) => LIKELY_PRINCIPAL,
    };
    MAY_GROW + principal
}

/// Sets a field, unless that breaks a limit.
fn put(record: &mut Record, name: &FieldName, value: FieldValue, apply: &PendingChange<'_>) {
    let old = record.fields.insert(name, value);
    if let Some(limit) = over_limit(record, name, apply) {
        apply.wire.events.over_limit(record.id, name, limit);
        match old {
            Some(old) => record.fields.insert(name, old),
            None => record.fields.remove(name),
        };
    }
}

fn flashes(record: &mut Record, changes: &SessionChanges, apply: &PendingChange<'_>) {
    for name in &changes.take {
        record.flashes.remove(name);
    }
    for (name, text) in &changes.give_back {
        if !record.flashes.contains_key(name) {
            record.flashes.insert(name, Arc::clone(text));
        }
    }
    for (name, text) in &changes.flash {
        let old = record.flashes.insert(name, Arc::clone(text));
        if let Some(limit) = over_limit(record, name, apply) {
            apply.wire.events.over_limit(record.id, name, limit);
            match old {
                Some(old) => record.flashes.insert(name, old),
                None => record.flashes.remove(name),
            };
        }
    }
}

fn lifetimes(record: &mut Record, changes: &SessionChanges, apply: &PendingChange<'_>) {
    if let Some(permanent) = changes.permanent {
        record.permanent = permanent;
    }
    let most = apply.rules.permanent;
    let within = |wanted: Option<Duration>, most: Duration, header: &str| {
        wanted.filter(|wanted| {
            let fits = (Duration::from_mins(1)..=most).contains(wanted);
            if !fits {
                let why = "less than a minute, or more than a permanent session has";
                apply.wire.events.malformed(&header, why);
            }
            fits
        })
    };
    record.idle = within(changes.idle, most.idle_timeout, "idle").or(record.idle);
    record.max = within(changes.max, most.absolute_timeout, "max").or(record.max);
}

//! What becomes of a session when an answer's changes meet the record as it is now. Pure: values in, a decision out.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    change::Changes,
    record::{Fields, Record},
    ticket::SecretHash,
    wire::Wire,
};
use crate::{clock::Timestamp, config::Session};

/// What the store found under an id.
#[derive(Debug, Clone)]
pub enum Found {
    /// A record that is alive.
    Live(Arc<Record>),
    /// It ended then.
    Ended(Timestamp),
    /// Nothing.
    Nothing,
}

/// What resolve saw when the request came.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The session's id.
    pub id: Uuid,
    /// The hash of the ticket's secret.
    pub secret: SecretHash,
    /// When the session was created.
    pub minted: Timestamp,
    /// Whether there was a record. An exchange that saw one never creates one.
    pub record: bool,
    /// Whether the ticket came from the visitor (and not from this very request).
    pub confirmed: bool,
}

/// A change on its way into the store.
#[derive(Debug)]
pub struct Apply<'a> {
    /// What the request came under.
    pub seen: Seen,
    /// What the answer wants.
    pub changes: &'a Changes,
    /// The secret's hash after a renewal, should one be needed.
    pub next_secret: SecretHash,
    /// Now.
    pub now: Timestamp,
    /// `[session]`
    pub rules: &'a Session,
    /// How fields become headers.
    pub wire: &'a Wire,
}

/// What is to be done.
#[derive(Debug)]
pub enum Decision {
    /// Nothing changes.
    Nothing,
    /// This is the record from now on.
    Save {
        /// The record.
        record: Box<Record>,
        /// The ticket was replaced.
        renewed: bool,
    },
    /// The session ends; a tombstone stays.
    End,
    /// The ticket was spent meanwhile: nothing in that session changes, and no ticket of it is given.
    Straggler,
}

/// Decides.
pub fn decide(found: &Found, apply: &Apply<'_>) -> Decision {
    let seen = &apply.seen;
    let before = match found {
        Found::Live(record) if record.secret != seen.secret => return Decision::Straggler,
        Found::Live(record) => Some(record),
        Found::Ended(_) => return Decision::Straggler,
        Found::Nothing if seen.record => return Decision::Straggler,
        Found::Nothing => None,
    };
    let changes = apply.changes;
    if changes.destroy {
        return Decision::End;
    }
    let principal_before = before.and_then(|r| r.principal.as_deref());
    if let (Some(_), Some(wanted)) = (principal_before, &changes.principal)
        && wanted.as_deref() != principal_before
    {
        return Decision::End;
    }
    if before.is_none() && !changes.stores() {
        return Decision::Nothing;
    }
    let mut record = before.map_or_else(
        || Record::new(seen.id, seen.secret, seen.minted, apply.now, seen.confirmed),
        |r| r.fork(),
    );
    let logs_in = principal_before.is_none() && changes.logs_in();
    fill(&mut record, changes, apply);
    let renewed = logs_in || changes.renew;
    if renewed {
        record.secret = apply.next_secret;
        record.renewed = apply.now;
    }
    record.lines = apply.wire.lines(&record);
    Decision::Save { record: Box::new(record), renewed }
}

/// The order of the contract: clear, unset, set, lifetimes, principal.
fn fill(record: &mut Record, changes: &Changes, apply: &Apply<'_>) {
    let before: Option<Fields> = (changes.clear || !changes.unset.is_empty() || !changes.set.is_empty())
        .then(|| record.fields.clone());
    if changes.clear {
        record.fields.clear();
    }
    for name in &changes.unset {
        record.fields.remove(name.as_str());
    }
    for (name, value) in &changes.set {
        let old = record.fields.insert(Arc::clone(name), Arc::clone(value));
        if let Some(limit) = apply.wire.over_limit(&record.fields, name, value, apply.rules) {
            tracing::warn!(session = %record.id, field = %name, limit, "a field was not stored: over the limit");
            match old {
                Some(old) => record.fields.insert(Arc::clone(name), old),
                None => record.fields.remove(name),
            };
        }
    }
    let mut changed = before.is_some_and(|b| b != record.fields);
    if let Some(permanent) = changes.permanent {
        record.permanent = permanent;
    }
    if let Some(Some(name)) = &changes.principal
        && record.principal.is_none()
    {
        record.principal = Some(Arc::clone(name));
        record.counted_from = apply.now;
        changed = true;
    }
    record.version += u64::from(changed);
}

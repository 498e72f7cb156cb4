//! A change of one session: what asks for it, what is decided, and how a decision is carried out.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    StoreError,
    principals::{LoginDenied, PrincipalIndex},
};
use crate::{
    clock::Timestamp,
    config::{OnTooMany, SessionConfig},
    record::{EndReason, FieldName, Record, SecretHash, SessionEnd},
};

/// What a store found under an id.
#[derive(Debug, Clone)]
pub enum FoundRecord {
    /// A record that is alive.
    Live(Arc<Record>),
    /// It was ended.
    Ended(SessionEnd),
    /// Its time was over, or the store had no room for it: nobody ended it.
    Over(SessionEnd),
    /// Nothing.
    Nothing,
}

impl FoundRecord {
    /// What a record is now.
    pub fn of(record: Arc<Record>, rules: &SessionConfig, now: Timestamp) -> Self {
        match record.ended(rules, now) {
            None => Self::Live(record),
            Some(end) => Self::Over(end),
        }
    }
}

/// Realm and name of a principal, as records hold them.
pub type RealmPrincipal = (Arc<str>, Arc<str>);

/// A change that is asked for.
#[derive(Clone, Copy)]
pub struct UpdateRequest<'a> {
    /// The session.
    pub id: Uuid,
    /// Now.
    pub now: Timestamp,
    /// When the request came whose answer asks for it: a login that began before everyone of that name was logged out does
    /// not count.
    pub began: Timestamp,
    /// When the ticket was last issued that the visitor has shown; `None` if the visitor has shown none. Without a record it
    /// is good only if that was after [`floor`](super::RecordStore::floor).
    pub stamped: Option<Timestamp>,
    /// A session that is about to end for this one: it no longer counts as one of its principal's.
    pub instead: Option<Uuid>,
    /// Whom the change may log in.
    pub principal: Option<&'a RealmPrincipal>,
    /// `[session]`
    pub rules: &'a SessionConfig,
    /// What is decided on the record as it is now. It may be asked more than once, and the last answer counts.
    pub decide: &'a dyn Fn(&FoundRecord) -> Decision,
}

impl std::fmt::Debug for UpdateRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UpdateRequest({})", self.id)
    }
}

/// What was decided, and what was noticed on the way.
#[derive(Debug)]
pub struct Decision {
    /// What is to be done.
    pub action: UpdateAction,
    /// For whoever asked, once the decision is carried out.
    pub notes: Vec<DecisionNote>,
}

/// What is to be done.
#[derive(Debug)]
pub enum UpdateAction {
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
        /// What the secret that was replaced leads to for a moment still: the session as it was before.
        past: Option<(SecretHash, Arc<Record>)>,
    },
    /// The session ends; a tombstone stays.
    End {
        /// By what.
        by: EndReason,
        /// And with it every session of this principal.
        all_of: Option<RealmPrincipal>,
    },
    /// The ticket was spent meanwhile: nothing in that session changes, and no ticket of it is given.
    Straggler,
    /// The record is at another version than the answer says.
    Conflict,
}

/// What was noticed while something was decided. A decision may be taken more than once, of which one counts: who asked for
/// it tells what that one noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionNote {
    /// A header of the app is malformed, and why.
    Malformed(String, &'static str),
    /// A field was not stored: it is over this limit.
    OverLimit(FieldName, &'static str),
    /// A cookie of the app was not kept, and why.
    NotKept(Arc<[u8]>, String),
}

/// What an update did, and what was noticed.
#[derive(Debug)]
pub struct UpdateResult {
    /// What it did.
    pub change: AppliedChange,
    /// Of the decision that counts.
    pub notes: Vec<DecisionNote>,
    /// Sessions that ended for this one: its principal had as many as they may.
    pub evicted: Vec<Uuid>,
}

impl From<AppliedChange> for UpdateResult {
    fn from(change: AppliedChange) -> Self {
        Self { change, notes: Vec::new(), evicted: Vec::new() }
    }
}

/// What an update did.
#[derive(Debug)]
pub enum AppliedChange {
    /// Nothing.
    Nothing,
    /// Kept.
    Saved {
        /// The record as it is now.
        record: Arc<Record>,
        /// The ticket was replaced.
        renewed: bool,
        /// Somebody logged in by it.
        logged_in: bool,
        /// The flashes that are delivered by this change.
        taken: Vec<(FieldName, Arc<str>)>,
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

impl AppliedChange {
    /// In a word, for the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Nothing => "unchanged",
            Self::Saved { renewed: true, .. } => "saved_under_a_new_ticket",
            Self::Saved { .. } => "saved",
            Self::Ended => "ended",
            Self::Straggler => "overtaken",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
        }
    }
}

/// What a kind of store does under the lock of one id.
pub(super) trait UpdateSteps {
    /// The session ends, and a tombstone stays.
    fn end(&mut self, by: EndReason) -> Result<(), StoreError>;

    /// This is its record from now on; false where a login does not count ([`AppliedChange::Denied`]), and nothing changes.
    fn save(&mut self, record: &Arc<Record>, logged_in: bool) -> Result<bool, StoreError>;

    /// Under this secret the session is shown as it was ([`RecordStore::past`](super::RecordStore::past)).
    fn keep_past(&mut self, secret: SecretHash, view: Arc<Record>);
}

/// Carries a decision out. Also says whose sessions are to end besides, which is done without the lock.
///
/// # Errors
/// Those of the steps: nothing was changed.
pub(super) fn carry_out(
    action: UpdateAction,
    steps: &mut impl UpdateSteps,
) -> Result<(AppliedChange, Option<RealmPrincipal>), StoreError> {
    Ok(match action {
        UpdateAction::Nothing => (AppliedChange::Nothing, None),
        UpdateAction::Straggler => (AppliedChange::Straggler, None),
        UpdateAction::Conflict => (AppliedChange::Conflict, None),
        UpdateAction::End { by, all_of } => {
            steps.end(by)?;
            (AppliedChange::Ended, all_of)
        }
        UpdateAction::Save { record, renewed, logged_in, taken, past } => {
            let record = Arc::new(*record);
            let counts = steps.save(&record, logged_in)?;
            if let Some((secret, view)) = past.filter(|_| counts) {
                steps.keep_past(secret, view);
            }
            let saved = if counts {
                AppliedChange::Saved { record, renewed, logged_in, taken }
            } else {
                AppliedChange::Denied
            };
            (saved, None)
        }
    })
}

impl UpdateRequest<'_> {
    /// Past the budget of tombstones one time stands for those that are gone: a ticket without a record is as good as over
    /// if it is older.
    pub(super) fn floored(&self, found: FoundRecord, floor: Timestamp) -> FoundRecord {
        match found {
            FoundRecord::Nothing if self.stamped.is_some_and(|stamped| stamped < floor) => {
                FoundRecord::Over(SessionEnd { at: floor, by: EndReason::Unknown })
            }
            found => found,
        }
    }

    /// The session is one more of this principal's; returns those that must go for it, oldest first. `is_over`: whether one
    /// of them is no session any more, although it may not have been swept yet.
    pub(super) fn enter(
        &self,
        people: &PrincipalIndex,
        who: u128,
        is_over: impl Fn(u128) -> bool,
    ) -> Result<Vec<u128>, LoginDenied> {
        let id = self.id.as_u128();
        let most = self.rules.max_sessions_per_principal.map(|most| most as usize);
        if let Some(most) = most {
            let all = people.of(who);
            // Looked at only when the limit is reached: to ask each session whether it is over
            // costs a look-up.
            for gone in all.iter().filter(|other| all.len() >= most && **other != id && is_over(**other)) {
                people.leave(who, *gone);
            }
        }
        let instead = self.instead.map(|id| id.as_u128());
        let evict = self.rules.on_too_many == OnTooMany::EvictOldest;
        people.enter(who, id, instead, self.began, most, evict)
    }
}

//! `kind = "flask"`: the session is Flask's own signed cookie, shared with an app that goes on reading and writing it.
//!
//! What Flask has no place for does not exist here: no public id, no version, no realm, no ticket to replace. Of what the
//! cookie holds, fields are what is exported; the rest is carried along with its types untouched. When a cookie is over,
//! and when it is sent again, Flask's rules say (its `SecureCookieSessionInterface`): until
//! `PERMANENT_SESSION_LIFETIME` after it was signed, permanent or not; anew when something changed, and a permanent one
//! with every answer unless `SESSION_REFRESH_EACH_REQUEST` is off; taken back when nothing is left in it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderValue;
use uuid::Uuid;

use super::sealed::CookieIssue;
use crate::{
    clock::Timestamp,
    config::{FlaskSession, SessionConfig},
    message::field::normal,
    record::{
        FieldValue, Realm, Record, Ticket,
        flask_format::{CodecError, FlaskCodec, FlaskDocument},
        jar::JarChange,
    },
    session::{CookieForm, SessionChanges, commit::decide, pending_change::PendingChange},
    store::{AppliedChange, Decision, FoundRecord, StoreError, UpdateAction, UpdateResult},
};

/// Bytes of a cookie's name and value at most (RFC 6265bis section 5.6).
const MOST_BYTES: usize = 4096;

/// Sessions in Flask's cookie.
#[derive(Debug, Clone)]
pub struct FlaskSessions {
    codec: Arc<FlaskCodec>,
    rules: Arc<FlaskSession>,
    lifetime: Duration,
}

impl FlaskSessions {
    /// With the keys of the app, the current one first.
    pub fn new(session: &SessionConfig, rules: &FlaskSession, keys: &[Vec<u8>]) -> Option<Self> {
        let (current, fallbacks) = keys.split_first()?;
        let lifetime = session.permanent.idle_timeout;
        let codec = FlaskCodec::new(current, fallbacks.iter().map(Vec::as_slice), lifetime);
        Some(Self { codec: Arc::new(codec), rules: Arc::new(rules.clone()), lifetime })
    }

    /// Only Flask writes.
    pub(in crate::session) fn reads_only(&self) -> bool {
        !self.rules.write
    }

    /// Whether an answer that changes nothing sends the cookie again.
    pub(in crate::session) fn refreshes(&self, record: &Record) -> bool {
        record.permanent && self.rules.refresh_each_request && self.rules.write
    }

    /// Opens a cookie. `None`: signed by none of the keys, too old, of the future, or nothing of Flask's.
    pub(in crate::session) fn open(
        &self,
        value: &[u8],
        realm: Realm<'_>,
        now: Timestamp,
    ) -> Option<(Ticket, Arc<Record>)> {
        let opened = self.codec.open(value, now);
        // Who came with what this app never signed is nobody's fault; a clock that goes wrong logs everybody out.
        if let Err(error @ CodecError::Future) = &opened {
            tracing::warn!(%error, "a Flask cookie was refused");
        }
        let opened = opened.ok()?;
        let ticket = Ticket {
            minted: opened.signed,
            stamped: opened.signed,
            // Flask's sessions have no id; nothing is ever filed under this one.
            id: Uuid::nil(),
            secret: [0; 16],
            current_key: true,
        };
        let document = opened.document;
        let mut record =
            Record::new((realm.key(), Uuid::nil()), ticket.hash(), opened.signed, opened.signed, true);
        for (field, key) in self.shown(&document) {
            if let Some(value) = document.get(&key) {
                record.fields.insert(&field.into(), value);
            }
        }
        record.principal = self.principal(&document);
        record.permanent = document.is_permanent();
        // Kept whole, so that keys which are not exported come back to the app with their Python
        // types.
        record.beside = Some(Arc::new(document));
        Some((ticket, Arc::new(record)))
    }

    /// Whether a cookie that was not opened was the app's, and too old.
    pub(in crate::session) fn was_good(&self, value: &[u8], now: Timestamp) -> bool {
        matches!(self.codec.open(value, now), Err(CodecError::Expired))
    }

    /// The field that a key is exported as.
    fn field(&self, key: &str) -> Option<String> {
        match &self.rules.export {
            Some(export) => export.iter().find(|(known, _)| known == key).map(|(_, field)| field.clone()),
            None if key.starts_with('_') => None,
            None => normal(key).ok(),
        }
    }

    /// The fields that there are, and the key that each is shown from: where several make one (`cart_id` and `Cart-Id`),
    /// the last that can be shown.
    fn shown(&self, document: &FlaskDocument) -> BTreeMap<String, String> {
        let keys = document.names().filter(|key| document.get(key).is_some());
        keys.filter_map(|key| Some((self.field(&key)?, key))).collect()
    }

    /// Who is logged in.
    ///
    /// SECURITY: apps log out by `session["user"] = None` as well as by taking the key out. What is nothing to Python is
    /// nobody; but for the number 0, which somebody may have.
    fn principal(&self, document: &FlaskDocument) -> Option<Arc<str>> {
        let value = document.get(&self.rules.principal)?;
        let nobody = match &value {
            FieldValue::Text(text) => text.is_empty(),
            FieldValue::Json(json) => matches!(&**json, "null" | "false" | "[]" | "{}"),
        };
        (!nobody).then(|| value.text().into())
    }

    /// The key under which a field is begun; `None`: it is not exported, and has no place.
    fn new_key(&self, field: &str) -> Option<String> {
        match &self.rules.export {
            Some(export) => export.iter().find(|(_, known)| known == field).map(|(key, _)| key.clone()),
            // As Python writes names.
            None => Some(field.replace('-', "_")),
        }
    }

    /// Whether the field shows who is logged in: that changes by a login alone, which not every app may bring about.
    fn is_principal(&self, field: &str) -> bool {
        self.field(&self.rules.principal).as_deref() == Some(field)
    }

    /// What the cookie is to hold: what it held, but for what the record says otherwise.
    fn document(&self, record: &Record) -> FlaskDocument {
        let mut document = record.beside.as_deref().cloned().unwrap_or_default();
        // Fields first, since one of them may be the principal's key, which the next step decides.
        self.keep_fields(record, &mut document);
        if self.principal(&document) != record.principal {
            let key = &self.rules.principal;
            if let Some(name) = &record.principal {
                // Text is what every Python reads.
                let _ = document.set(key, &FieldValue::Text(Arc::clone(name)));
            } else {
                document.remove(key);
            }
        }
        if record.permanent != document.is_permanent() {
            document.remove("_permanent");
            if record.permanent {
                let _ = document.set("_permanent", &FieldValue::Json("true".into()));
            }
        }
        document
    }

    fn keep_fields(&self, record: &Record, document: &mut FlaskDocument) {
        let shown = self.shown(document);
        let gone = |field: &String| shown.contains_key(field) && record.fields.get(field).is_none();
        let keys: Vec<_> =
            document.names().filter(|key| self.field(key).as_ref().is_some_and(gone)).collect();
        for key in keys.iter().filter(|key| **key != self.rules.principal) {
            // One that is shown to nobody is not what was to go.
            if document.get(key).is_some() {
                document.remove(key);
            }
        }
        for (field, value) in record.fields.iter() {
            let Some(key) = shown.get(&**field).cloned().or_else(|| self.new_key(field)) else { continue };
            if key == self.rules.principal || document.get(&key).as_ref() == Some(value) {
                continue;
            }
            if !document.set(&key, value) {
                tracing::warn!(field = %field, "a field was not stored: Python cannot read such a number");
            }
        }
    }

    /// Whether a cookie of this name has room for a record, with so many bytes more.
    pub(in crate::session) fn fits(&self, name: usize, record: &Record, more: usize) -> bool {
        // Sealed for the sake of its length: Flask compresses, so that the length cannot be
        // computed.
        let letters = self.codec.seal(&self.document(record), Timestamp(0)).len();
        name + letters + TIME_LETTERS + more <= MOST_BYTES
    }

    /// The Set-Cookie line of a session, or what takes it back where nothing is left in it.
    pub(in crate::session) fn give(
        &self,
        issue: CookieIssue<'_>,
        (cookie, https): (&CookieForm, bool),
        was_there: bool,
    ) -> Option<HeaderValue> {
        let document =
            issue.record.map(|record| self.document(record)).filter(|document| !document.is_empty());
        match document {
            Some(document) => {
                let lasts = document.is_permanent().then_some(self.lifetime);
                cookie.give(&self.codec.seal(&document, issue.now), https, lasts, issue.now)
            }
            // As Flask does it: an empty session has no cookie, and a visitor who had none is sent
            // none to delete.
            None => was_there.then(|| cookie.expire_part(0, https)).flatten(),
        }
    }

    /// Decides on what the request brought.
    ///
    /// # Errors
    /// It is larger than its cookie can hold.
    pub(in crate::session) fn apply(
        &self,
        brought: Option<&Arc<Record>>,
        apply: &PendingChange<'_>,
    ) -> Result<UpdateResult, StoreError> {
        let found = brought.map_or(FoundRecord::Nothing, |record| FoundRecord::Live(Arc::clone(record)));
        let changes = self.possible(apply);
        let possible = PendingChange { changes: changes.as_ref().unwrap_or(apply.changes), ..*apply };
        let Decision { action, notes } = decide(&found, &possible);
        let change = match action {
            UpdateAction::Nothing => AppliedChange::Nothing,
            UpdateAction::Straggler => AppliedChange::Straggler,
            UpdateAction::Conflict => AppliedChange::Conflict,
            UpdateAction::End { all_of, .. } => {
                if all_of.is_some() {
                    tracing::error!(why = %StoreError::Elsewhere, "destroy-principal ended this session alone");
                }
                AppliedChange::Ended
            }
            UpdateAction::Save { record, renewed, logged_in, taken, .. } => {
                // Refused before anything is given: a browser drops a cookie that is too large
                // without a word.
                if !apply.holds(&record, 0) {
                    return Err(StoreError::TooLarge);
                }
                AppliedChange::Saved { record: Arc::from(record), renewed, logged_in, taken }
            }
        };
        Ok(UpdateResult { notes, ..change.into() })
    }

    /// The changes that Flask's cookie can hold, where they are not all of them; what it cannot is told.
    fn possible(&self, apply: &PendingChange<'_>) -> Option<SessionChanges> {
        let changes = apply.changes;
        let stays =
            |field: &str| self.rules.export.as_ref().is_none_or(|all| all.iter().any(|(_, f)| f == field));
        let written = || changes.set.iter().map(|(f, _)| f).chain(changes.incr.iter().map(|(f, _)| f));
        let all_stay = written().all(|field| stays(field));
        let logs_in = written().chain(&changes.unset).any(|field| self.is_principal(field));
        let no_place = !changes.flash.is_empty() || changes.idle.is_some() || changes.max.is_some();
        if all_stay && !logs_in && !no_place && changes.jar.is_empty() {
            return None;
        }
        let events = &apply.headers.events;
        // From here on the answer asks for something that is dropped with a log line; the rest of
        // it still counts.
        let mut left = changes.clone();
        if no_place {
            events.forbidden("flash, idle, max", "Flask's cookie has no place for them ([store] kind)");
            left.flash.clear();
            (left.idle, left.max) = (None, None);
        }
        for change in left.jar.drain(..).filter(JarChange::keeps) {
            events.not_kept(None, &change.cookie.name, "Flask's cookie has no place for it ([store] kind)");
        }
        if !all_stay {
            events.forbidden("fields that are not exported", "[store] export names the others");
            left.set.retain(|(field, _)| stays(field));
            left.incr.retain(|(field, _)| stays(field));
        }
        if logs_in {
            events.forbidden("a field", "X-Session-Principal says who is logged in, and no field does");
            left.set.retain(|(field, _)| !self.is_principal(field));
            left.incr.retain(|(field, _)| !self.is_principal(field));
            left.unset.retain(|field| !self.is_principal(field));
        }
        Some(left)
    }
}

/// Letters that the time of a signature may take more than that of the year 1970.
const TIME_LETTERS: usize = 8;

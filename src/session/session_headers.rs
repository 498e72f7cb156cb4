//! What an app is told of the session: `X-Session-*` on its requests.

use std::{collections::HashMap, sync::Arc};

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::{
    events::SessionEvents,
    resolved::{ResolvedSession, STATES},
    upstream_access::UpstreamAccess,
};
use crate::{
    clock::Timestamp,
    config::{AliasValue, HeaderAlias, HeaderPreset, SessionConfig, ValueEncoding},
    message::{field::normal, lines::HeaderLines},
    record::{FieldMap, FieldName, FieldValue, Record, percent},
};

/// The names under one prefix, made once, and how values stand there.
#[derive(Debug)]
pub struct SessionHeaders {
    pub(super) prefix: String,
    /// The line that tells each state.
    states: [HeaderLines; 4],
    id: HeaderName,
    principal: HeaderName,
    version: HeaderName,
    age: HeaderName,
    idle_left: HeaderName,
    proof: HeaderName,
    pub(super) max_value_bytes: usize,
    pub(super) encoding: ValueEncoding,
    fields: HashMap<String, ValueEncoding>,
    /// `Session`, where apps were written for `mod_session`.
    session: Option<HeaderName>,
    /// `X-Replace-Session`, likewise.
    pub(super) replace: Option<HeaderName>,
    /// What happened.
    pub events: Arc<SessionEvents>,
}

impl SessionHeaders {
    /// `None` if the prefix makes no header names, which `config` refuses.
    pub fn new(session: &SessionConfig) -> Option<Self> {
        let rules = &session.headers;
        let prefix = &rules.prefix;
        let name = |s: &str| HeaderName::try_from(format!("{prefix}{s}")).ok();
        let told = name("state")?;
        let apache = rules.preset == HeaderPreset::Apache;
        let only_apache = |name| apache.then(|| HeaderName::from_static(name));
        Some(Self {
            prefix: prefix.clone(),
            states: STATES.map(|state| {
                let mut lines = HeaderLines::default();
                lines.push_text(&told, state.as_str());
                lines
            }),
            id: name("id")?,
            principal: name("principal")?,
            version: name("meta-version")?,
            age: name("meta-age")?,
            idle_left: name("meta-idle-left")?,
            proof: name("meta-proof")?,
            max_value_bytes: session.max_value_bytes,
            encoding: rules.encoding,
            fields: rules.fields.clone(),
            session: only_apache("session"),
            replace: only_apache("x-replace-session"),
            events: Arc::default(),
        })
    }

    /// Fields have the keys of `mod_session`, which are any text.
    pub(super) fn has_keys(&self) -> bool {
        self.session.is_some()
    }

    /// How this field's value stands in headers.
    pub fn encoding_of(&self, field: &str) -> ValueEncoding {
        self.fields.get(field).copied().unwrap_or(self.encoding)
    }

    /// What an app that is shown everything is told of this record.
    pub fn lines(&self, record: &Record) -> HeaderLines {
        let mut lines = HeaderLines::default();
        self.tell_record(record, &UpstreamAccess::default(), &[], &mut lines);
        lines
    }

    /// A field by its name; with the keys of `mod_session`, under whatever spelling it is filed.
    pub(super) fn field<'f>(&self, fields: &'f FieldMap, name: &str) -> Option<&'f FieldValue> {
        let spelt = || fields.iter().find(|(key, _)| normal(key).is_ok_and(|key| key == name));
        match fields.get(name) {
            None if self.has_keys() => spelt().map(|(_, value)| value),
            found => found,
        }
    }

    /// `SessionConfig: a=1&b=2` of these fields.
    fn form<'f>(fields: impl Iterator<Item = (&'f FieldName, &'f FieldValue)>) -> String {
        let mut form = String::new();
        for (name, value) in fields {
            let amp = if form.is_empty() { "" } else { "&" };
            form.extend([amp, &percent(name), "=", &percent(value.text())]);
        }
        form
    }

    fn tell_record(
        &self,
        record: &Record,
        view: &UpstreamAccess,
        flashes: &[(FieldName, Arc<str>)],
        lines: &mut HeaderLines,
    ) {
        // Flask's have neither.
        if !record.id.is_nil() {
            self.tell_id(record.id, lines);
            lines.push_text(&self.version, itoa::Buffer::new().format(record.version));
        }
        if let Some(value) = self.principal_of(record) {
            lines.push(&self.principal, &value);
        }
        let shown = || record.fields.iter().filter(|(name, _)| view.shows(name));
        for (name, value) in shown().filter(|(name, _)| !hides(flashes, name)) {
            self.tell_field(name, value, lines);
        }
        if let Some(session) = &self.session {
            lines.push_text(session, &Self::form(shown()));
        }
    }

    fn tell_id(&self, id: Uuid, lines: &mut HeaderLines) {
        lines.push_text(&self.id, id.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]));
    }

    fn tell_field(&self, name: &FieldName, value: &FieldValue, lines: &mut HeaderLines) {
        // An app for mod_session has keys that are no names of fields: those it is told in its own header alone.
        let Ok(name) = (if self.has_keys() { normal(name) } else { Ok(name.to_string()) }) else { return };
        let header = HeaderName::try_from(format!("{}{name}", self.prefix));
        if let (Ok(header), Some(value)) = (header, self.value_of(&name, value)) {
            lines.push(&header, &value);
        }
    }

    /// `None`, and a note in the log, where its encoding cannot carry it: a `raw` field that was written before the
    /// configuration said so.
    fn value_of(&self, name: &str, value: &FieldValue) -> Option<HeaderValue> {
        self.encoded(name, value, self.encoding_of(name))
    }

    /// The same in this encoding.
    fn encoded(&self, name: &str, value: &FieldValue, encoding: ValueEncoding) -> Option<HeaderValue> {
        let encoded = value.encode(encoding).and_then(|v| HeaderValue::from_bytes(&v).ok());
        if encoded.is_none() {
            self.events.over_limit.raise();
            tracing::warn!(field = %name, "a field was left out: its encoding cannot carry the value");
        }
        encoded
    }

    fn principal_of(&self, record: &Record) -> Option<HeaderValue> {
        let principal = FieldValue::Text(record.principal.clone()?);
        HeaderValue::from_bytes(&principal.encode(self.encoding)?).ok()
    }

    /// Tells an app what its request comes under.
    pub fn tell(
        &self,
        resolved: &ResolvedSession,
        view: &UpstreamAccess,
        rules: &SessionConfig,
        now: Timestamp,
        lines: &mut HeaderLines,
    ) {
        if let Some(state) = self.states.get(resolved.state() as usize) {
            lines.append(state);
        }
        match (resolved.record(), resolved.id()) {
            (Some(record), _)
                // The lines of an unchanged record are made once and copied for each request after
                // that.
                if view.shows_all() && !record.fields.keys().any(|name| hides(resolved.flashes(), name)) =>
            {
                lines.append(record.lines.get_or_init(|| self.lines(record)));
            }
            (Some(record), _) => self.tell_record(record, view, resolved.flashes(), lines),
            (None, Some(id)) => {
                self.tell_id(id, lines);
                // A session without a record: the app may answer `If-Version: 0` to be the first to
                // write.
                lines.push_text(&self.version, "0");
            }
            (None, None) => {}
        }
        if let Some((age, idle_left)) = resolved.times(rules, now) {
            let mut number = itoa::Buffer::new();
            lines.push_text(&self.age, number.format(age.as_secs()));
            lines.push_text(&self.idle_left, number.format(idle_left.as_secs()));
        }
        for (name, text) in resolved.flashes() {
            self.tell_field(name, &FieldValue::Text(text.clone()), lines);
        }
        for alias in view.header_aliases() {
            let value = match &alias.value {
                AliasValue::State => HeaderValue::from_str(resolved.state().as_str()).ok(),
                AliasValue::Id => resolved.id().and_then(|id| HeaderValue::from_str(&id.to_string()).ok()),
                AliasValue::Principal => resolved.record().and_then(|record| {
                    let principal = FieldValue::Text(record.principal.clone()?);
                    self.encoded("principal", &principal, alias.encoding)
                }),
                AliasValue::Field(field) => resolved
                    .record()
                    .filter(|_| view.shows(field))
                    .and_then(|r| self.encoded(field, self.field(&r.fields, field)?, alias.encoding)),
            };
            if let Some(value) = value {
                lines.push(&alias.header, &value);
            }
        }
    }

    /// True for headers whose values are between us and an app, and nobody's else: the proof, and whatever holds fields.
    pub fn is_secret(&self, name: &str, view: &UpstreamAccess) -> bool {
        let public = [&self.id, &self.principal, &self.version, &self.age, &self.idle_left];
        let is_public = public.iter().any(|other| other.as_str() == name)
            || name.strip_prefix(&*self.prefix).is_some_and(|rest| rest == "state");
        let holds_field = |alias: &HeaderAlias| {
            alias.header.as_str() == name && matches!(alias.value, AliasValue::Field(_))
        };
        (name.starts_with(&*self.prefix) && !is_public)
            || self.session.as_ref().is_some_and(|session| session.as_str() == name)
            || view.header_aliases().iter().any(holds_field)
    }

    /// What tells an app that a request came through here: on every route, whether it has sessions or not.
    pub fn prove(&self, view: &UpstreamAccess, lines: &mut HeaderLines) {
        if let Some(proof) = view.proof() {
            lines.push(&self.proof, proof);
        }
    }

    /// The limit that this field breaks, if any.
    pub fn over_limit(&self, record: &Record, name: &str, rules: &SessionConfig) -> Option<&'static str> {
        // In the order in which they are cheap to check; the last one builds what the app would be
        // sent.
        if record.fields.len() + record.flashes.len() > rules.max_fields {
            return Some("max_fields");
        }
        let field = record.fields.get(name).cloned();
        let flash = record.flashes.get(name).cloned().map(FieldValue::Text);
        for value in field.into_iter().chain(flash) {
            match value.encode(self.encoding_of(name)) {
                None => return Some("encoding = \"raw\": the value cannot stand in a header"),
                Some(wire) if wire.len() > rules.max_value_bytes => return Some("max_value_bytes"),
                Some(_) => {}
            }
        }
        let texts = || {
            let fields = record.fields.iter().map(|(k, v)| (k, v.clone()));
            fields.chain(record.flashes.iter().map(|(k, v)| (k, FieldValue::Text(v.clone()))))
        };
        let bytes: usize = texts().map(|(k, v)| k.len() + v.text().len()).sum();
        if bytes > rules.max_bytes {
            return Some("max_bytes");
        }
        // Name, ": ", value, CR LF, as they stand on the wire.
        let on_wire = |(k, v): (&FieldName, FieldValue)| {
            self.prefix.len() + k.len() + 4 + v.encode(self.encoding_of(k)).map_or(0, |wire| wire.len())
        };
        let form = self
            .session
            .as_ref()
            .map_or(0, |name| name.as_str().len() + Self::form(record.fields.iter()).len() + 4);
        (texts().map(on_wire).sum::<usize>() + form > rules.max_header_bytes).then_some("max_header_bytes")
    }
}

/// A flash is told under the name of a field: of the two, this once, it is the one that is told.
fn hides(flashes: &[(FieldName, Arc<str>)], field: &str) -> bool {
    flashes.iter().any(|(name, _)| **name == *field || normal(field).is_ok_and(|field| *field == **name))
}

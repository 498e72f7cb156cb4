//! What is kept of a session: its record, what leads to it, and what it holds.
//!
//! Here live the [`Record`], its fields, values and jar, the [`Ticket`] whose secret it keeps the hash of, and the format of
//! Flask's cookie, which is a record of another kind. Never: a header, a policy, a store. Called by `store`, which keeps
//! records, and by `session`, which decides about them.

pub mod flask_format;
pub mod jar;

mod end_reason;
mod fields;
mod form;
mod secret;
mod ticket;
mod value;

pub use end_reason::{EndReason, SessionEnd};
pub use fields::{FieldMap, FieldName, FlashMap, shared};
pub use form::{RecordForm, short_names};
pub use secret::{NetworkTag, PreviousSecret, ReplacementReason, SecretMatch};
pub use ticket::{IdFilter, Realm, SecretHash, Ticket};
pub use value::FieldValue;
pub(crate) use {
    ticket::TEXT,
    value::{decode_text, form_pairs, percent},
};

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    config::{SessionConfig, SessionLifetimes},
    crypto,
    message::lines::HeaderLines,
};
use flask_format::FlaskDocument;
use jar::Jar;

/// A session with stored data. Everything but the atomics is immutable: a change makes a new record.
#[derive(Debug)]
pub struct Record {
    /// The public id.
    pub id: Uuid,
    /// What it belongs to: a letter for the kind, and the host, domain or name ([`Realm`]).
    pub realm: Arc<str>,
    /// When the session was created.
    pub created: Timestamp,
    /// From when the absolute lifetime counts: creation, or the last login.
    pub counted_from: Timestamp,
    /// When the ticket was last replaced.
    pub renewed: Timestamp,
    /// Outlives the browser.
    pub permanent: bool,
    /// `X-Session-Idle`: instead of the configured idle timeout.
    pub idle: Option<Duration>,
    /// `X-Session-Max`: instead of the configured absolute timeout.
    pub max: Option<Duration>,
    /// Raised by each change of fields or principal.
    pub version: u64,
    /// Who is logged in.
    pub principal: Option<Arc<str>>,
    /// What the app stored.
    pub fields: FieldMap,
    /// What the app wants told once.
    pub flashes: FlashMap,
    /// Cookies of the app that are kept here.
    pub jar: Jar,
    /// The hash of the secret that leads here; any other is spent.
    pub secret: SecretHash,
    /// The secret before, if it is still good.
    pub previous: Option<Box<PreviousSecret>>,
    /// What is carried along with it, and is no field: of a format of others.
    pub(crate) beside: Option<Arc<FlaskDocument>>,
    pub(crate) last_seen: AtomicU64,
    /// What of `last_seen` the store knows.
    pub(crate) saved_seen: AtomicU64,
    pub(crate) confirmed: AtomicBool,
    /// Principal, version and fields as header lines to an app that is shown all; made when it is first told.
    pub lines: OnceLock<HeaderLines>,
}

/// What requests leave on a record without changing it; saved late.
#[derive(Debug, Clone, Copy)]
pub struct RecordActivity {
    last_seen: u64,
    confirmed: bool,
    /// When the successor of this secret was first shown.
    succeeded: Option<(SecretHash, u64)>,
}

impl RecordActivity {
    /// With what a later request left.
    pub fn merge(&mut self, later: &Self) {
        self.last_seen = self.last_seen.max(later.last_seen);
        self.confirmed |= later.confirmed;
        self.succeeded = later.succeeded.or(self.succeeded);
    }
}

impl Record {
    /// An empty record for a session.
    pub fn new(
        (realm, id): (Arc<str>, Uuid),
        secret: SecretHash,
        created: Timestamp,
        now: Timestamp,
        confirmed: bool,
    ) -> Self {
        Self {
            id,
            realm,
            created,
            counted_from: created,
            renewed: created,
            permanent: false,
            idle: None,
            max: None,
            version: 0,
            principal: None,
            fields: FieldMap::default(),
            flashes: FlashMap::default(),
            jar: Jar::default(),
            secret,
            previous: None,
            beside: None,
            last_seen: AtomicU64::new(now.0),
            saved_seen: AtomicU64::new(now.0),
            confirmed: AtomicBool::new(confirmed),
            lines: OnceLock::new(),
        }
    }

    /// A copy to change.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            realm: Arc::clone(&self.realm),
            principal: self.principal.clone(),
            fields: self.fields.clone(),
            flashes: self.flashes.clone(),
            jar: self.jar.clone(),
            beside: self.beside.clone(),
            previous: self.previous.as_ref().map(|p| {
                Box::new(PreviousSecret {
                    secret: p.secret,
                    replaced_by: p.replaced_by,
                    since: p.since,
                    succeeded: AtomicU64::new(p.succeeded.load(Ordering::Relaxed)),
                })
            }),
            last_seen: AtomicU64::new(self.last_seen.load(Ordering::Relaxed)),
            saved_seen: AtomicU64::new(self.last_seen.load(Ordering::Relaxed)),
            confirmed: AtomicBool::new(self.confirmed.load(Ordering::Relaxed)),
            lines: OnceLock::new(),
            ..*self
        }
    }

    /// What requests left on it.
    pub fn traces(&self) -> RecordActivity {
        let succeeded = self.previous.as_ref().map(|p| (p.secret, p.succeeded.load(Ordering::Relaxed)));
        RecordActivity {
            last_seen: self.last_seen.load(Ordering::Relaxed),
            confirmed: self.is_confirmed(),
            succeeded: succeeded.filter(|(_, at)| *at != 0),
        }
    }

    /// Leaves them on another copy of it, be that older or newer.
    pub fn leave(&self, traces: &RecordActivity) {
        self.last_seen.fetch_max(traces.last_seen, Ordering::Relaxed);
        // Maxima and ORs only: the order in which two copies meet does not matter, and nothing is
        // ever taken back.
        self.confirmed.fetch_or(traces.confirmed, Ordering::Relaxed);
        if let (Some(previous), Some((secret, at))) = (&self.previous, traces.succeeded)
            && crypto::same(&previous.secret, &secret)
        {
            let _ = previous.succeeded.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether a request came since the ticket was replaced: the browser has it. To a millisecond.
    pub(crate) fn has_come_back(&self) -> bool {
        self.last_seen() > self.renewed
    }

    /// When a request last came under it.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp(self.last_seen.load(Ordering::Relaxed))
    }

    /// A request came; true if that is `interval` milliseconds or more past what the store knows, so that it is to be
    /// saved now: it is told once.
    pub fn seen(&self, now: Timestamp, interval: u64) -> bool {
        let before = self.last_seen.load(Ordering::Relaxed);
        // The first one under a new ticket is always noted: see `has_come_back`.
        // At most one write a second to a line that all workers share.
        if now.0 < before.saturating_add(interval.min(1000)) && before > self.renewed.0 {
            return false;
        }
        self.last_seen.fetch_max(now.0, Ordering::Relaxed);
        let saved = self.saved_seen.load(Ordering::Relaxed);
        now.0 >= saved.saturating_add(interval)
            && self.saved_seen.compare_exchange(saved, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Its ticket came back.
    pub fn confirm(&self) {
        if !self.confirmed.load(Ordering::Relaxed) {
            self.confirmed.store(true, Ordering::Relaxed);
        }
    }

    /// True once its ticket came back.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// How long it lasts without a request.
    pub fn idle_timeout(&self, rules: &SessionConfig) -> Duration {
        self.idle.unwrap_or(if self.permanent { rules.permanent } else { rules.plain }.idle_timeout)
    }

    /// Whether it outlives the browser: the app says so, or a cookie that is kept here would.
    pub fn outlives_browser(&self, now: Timestamp) -> bool {
        self.permanent || self.jar.outlives_browser_until().is_some_and(|until| until > now)
    }

    /// When it ends if nobody comes any more after this moment.
    fn ends_after(&self, seen: Timestamp, rules: &SessionConfig) -> Timestamp {
        self.end_after(seen, rules).at
    }

    fn end_after(&self, seen: Timestamp, rules: &SessionConfig) -> SessionEnd {
        let end = |lifetimes: SessionLifetimes| {
            let idle = seen.plus(self.idle.unwrap_or(lifetimes.idle_timeout));
            let absolute = self.counted_from.plus(self.max.unwrap_or(lifetimes.absolute_timeout));
            if absolute < idle {
                SessionEnd { at: absolute, by: EndReason::Absolute }
            } else {
                SessionEnd { at: idle, by: EndReason::Idle }
            }
        };
        let own = end(if self.permanent { rules.permanent } else { rules.plain });
        // What a cookie prolongs is over with it, and the session is as long as it would be without.
        match self.jar.outlives_browser_until().map(|until| (until, end(rules.permanent))) {
            Some((until, followed)) if until.min(followed.at) > own.at => {
                SessionEnd { at: until.min(followed.at), ..followed }
            }
            _ => own,
        }
    }

    /// Whether it differs from another in nothing that an app or a visitor could tell.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.version == other.version
            && self.fields == other.fields
            && self.flashes == other.flashes
            && self.jar == other.jar
            && self.principal == other.principal
            && (self.permanent, self.idle, self.max) == (other.permanent, other.idle, other.max)
    }

    /// Whether nobody has come into the session since it was so: it has the same principal; and where it has none, no field
    /// that it had not. An app that logs in without naming anybody leaves some such thing, or a cookie:
    /// [`has_new_login`](Self::has_new_login).
    pub fn is_still_of(&self, before: &Self) -> bool {
        self.principal == before.principal
            && (self.principal.is_some() || self.fields.keys().all(|name| before.fields.contains_key(name)))
    }

    /// Whether the app may have logged somebody in by a cookie of its own since it was so: by a form, from which the
    /// session's life is counted; or, where nobody is named, by a login cookie that was not there.
    pub fn has_new_login(&self, before: &Self) -> bool {
        self.counted_from != before.counted_from
            || (self.principal.is_none() && !self.jar.logins().all(|cookie| before.jar.has(cookie)))
    }

    /// Whether nothing that could be a login has happened since it was so. Where nobody is named every field and every
    /// login cookie is what it was: an app that gives each visitor a session of its own changes its cookie at a login, and
    /// adds none.
    pub fn is_just_as(&self, before: &Self) -> bool {
        let same = || self.fields == before.fields && self.jar.logins().eq(before.jar.logins());
        self.is_still_of(before) && (self.principal.is_some() || (!self.has_new_login(before) && same()))
    }

    /// When it ends if nobody comes.
    pub fn ends(&self, rules: &SessionConfig) -> Timestamp {
        // A session that was never confirmed is as a rule a bot's, which keeps no cookies: it ends
        // early.
        let end = self.ends_after(self.last_seen(), rules);
        if self.is_confirmed() { end } else { end.min(self.created.plus(rules.unconfirmed_timeout)) }
    }

    /// When it ended, and by what, if its time is over; `None` while it lives.
    pub fn ended(&self, rules: &SessionConfig, now: Timestamp) -> Option<SessionEnd> {
        let at = self.ends(rules);
        let end = self.end_after(self.last_seen(), rules);
        // One that was never confirmed ends early because nobody came.
        (at <= now).then(|| SessionEnd { at, by: if at < end.at { EndReason::Idle } else { end.by } })
    }

    /// How long it will last from `now` if its ticket comes back and then nobody does: what a browser is told.
    pub fn lasts(&self, rules: &SessionConfig, now: Timestamp) -> Duration {
        self.ends_after(now, rules).since(now)
    }

    /// Roughly what it takes in memory, in bytes, with what the store keeps beside it (measured with a hundred
    /// thousand of them, and rounded up).
    pub fn weight(&self) -> u32 {
        let texts: usize = self.fields.iter().map(|(k, v)| k.len() + v.text().len() + 64).sum();
        let flashes: usize = self.flashes.iter().map(|(k, v)| k.len() + v.len() + 56).sum();
        let principal = self.principal.as_ref().map_or(0, |p| p.len() + 80);
        // The lines, which may be made later: id and version, and each field with some of its letters escaped.
        let lines = 100 + texts + principal;
        let held = texts + flashes + principal + self.jar.weight();
        let all = 758 + self.realm.len() + held + lines;
        u32::try_from(all).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        jar::{JarCookie, RequestSite, SettingScope},
        *,
    };
    use crate::config::Config;

    #[test]
    fn session_is_as_long_as_what_its_cookie_prolongs() {
        let rules = Config::from_flags("127.0.0.1:1", "http://127.0.0.1:2").unwrap().session;
        let at = |s: u32| Timestamp::from_seconds(s);
        let days = |n: u32| at(n * 86_400);
        let setting =
            SettingScope { host: "a", path: "/", https: true, from: RequestSite::SameSite, owner: None };
        for (line, seen, ends) in [
            (&b"sid=1"[..], at(0), at(1800)),
            (b"sid=1; Max-Age=86400", at(0), days(1)),
            // 31 days without a request, and 180 in all.
            (b"sid=1; Max-Age=34560000", at(0), days(31)),
            (b"sid=1; Max-Age=34560000", days(170), days(180)),
            // Never shorter than it would be without.
            (b"sid=1; Max-Age=60", at(0), at(1800)),
        ] {
            let mut record = Record::new(("h".into(), Uuid::nil()), [1; 32], at(0), seen, true);
            record.jar = Jar::new(vec![JarCookie::read(line, &setting, at(0)).unwrap()]);
            assert_eq!(record.ends(&rules), ends, "{}", line.escape_ascii());
            assert_eq!(record.lasts(&rules, seen), ends.since(seen), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn last_seen_is_saved_once_an_interval() {
        let at = |s: u32| Timestamp::from_seconds(s);
        for pace in [1_u32, 2, 10, 59, 60, 61, 100] {
            let record = Record::new(("h".into(), Uuid::nil()), [1; 32], at(0), at(0), true);
            let seconds = (0..3600 / pace).map(|n| n * pace);
            let saved: Vec<u32> = seconds.filter(|second| record.seen(at(*second), 60_000)).collect();
            assert!(saved.len() >= 20, "each {pace} s: {saved:?}");
            assert!(saved.windows(2).all(|two| two[1] - two[0] >= 60), "each {pace} s: {saved:?}");
        }
    }
}

//! `kind = "cookie"`: ticket and record sealed together under `[keys]`, in as many cookies as it takes.
//!
//! base64url (no padding) of: format 1 B, and what [`Sealer`] makes (AES-256-GCM-SIV under a random nonce, which at
//! 50,000 cookies a second is safe for as long as a key may be used: RFC 8452 section 9, where plain GCM is not after a
//! day) of a payload (`payload.rs`). Bound to it, and so refused anywhere else: the format, in how many cookies it
//! travels, their name, and the realm. A part that is missing, doubled, of another copy or in another place makes another
//! text, and that does not open.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use uuid::Uuid;

use super::{
    Revocations,
    open_cache::{self, OpenedUnder},
    parts, payload,
    revocations::{CopyRenewal, RenewalEffect},
};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::{self, KeySecrets, OVERHEAD, Sealer},
    record::{EndReason, Realm, Record, SessionEnd, Ticket},
    session::{CookieForm, PresentedCookies, SessionChanges, commit::decide, pending_change::PendingChange},
    store::{AppliedChange, Decision, FoundRecord, StoreError, UpdateAction, UpdateResult},
};

const FORMAT: u8 = 1;

/// Sessions in sealed cookies.
#[derive(Debug, Clone)]
pub struct SealedSessions {
    sealer: Arc<Sealer>,
    /// Tells its keys from those of another.
    ring: u64,
    ended: Arc<Revocations>,
    rules: Arc<SessionConfig>,
}

/// What is given to a browser.
#[derive(Debug, Clone, Copy)]
pub(in crate::session) struct CookieIssue<'a> {
    /// The ticket.
    pub ticket: &'a Ticket,
    /// With what it leads to.
    pub record: Option<&'a Record>,
    /// Whose it is.
    pub realm: Realm<'a>,
    /// `lasts` for a permanent session, else it ends with the browser.
    pub lasts: Option<Duration>,
    /// Now.
    pub now: Timestamp,
}

/// Bytes of a payload that so many cookies of this form hold, by whichever scheme.
pub(in crate::session) fn capacity_of(cookie: &CookieForm) -> usize {
    let letters = parts::capacity_of(cookie.name(true), cookie.most_parts())
        .min(parts::capacity_of(cookie.name(false), cookie.most_parts()));
    (letters / 4 * 3).saturating_sub(1 + OVERHEAD)
}

impl SealedSessions {
    /// Under keys derived from these secrets.
    pub fn new(rules: &SessionConfig, ended: Arc<Revocations>, secrets: &KeySecrets) -> Self {
        Self {
            sealer: Arc::new(Sealer::derive("session in a cookie", secrets)),
            ring: u64::from_ne_bytes(crypto::random()),
            ended,
            rules: Arc::new(rules.clone()),
        }
    }

    /// Opens a cookie, with the others of its name that were shown. `None`: forged, of another realm or name, under a key
    /// we do not have, not whole, or nothing of ours.
    pub(in crate::session) fn open(
        &self,
        first: &[u8],
        shown: &PresentedCookies<'_>,
        (cookie, https): (&CookieForm, bool),
        realm: Realm<'_>,
    ) -> Option<(Ticket, Option<Arc<Record>>)> {
        let (parts, text) = parts::join(first, shown.others())?;
        let name = cookie.name(https);
        // All that the seal is bound to is part of the key of the cache: a hit answers exactly what
        // opening would.
        open_cache::read(&text, OpenedUnder { ring: self.ring, parts, realm, name }, || {
            let bytes = URL_SAFE_NO_PAD.decode(&text).ok()?;
            let (format, sealed) = bytes.split_first()?;
            let opened =
                self.sealer.open(&bound(parts, name, realm), sealed).filter(|_| *format == FORMAT)?;
            payload::read(&opened.bytes, realm, opened.current)
        })
    }

    /// Whether a cookie that was not opened says that it was sealed under one of our keys.
    pub(in crate::session) fn knows_key_of(&self, first: &[u8], shown: &PresentedCookies<'_>) -> bool {
        let joined = parts::join(first, shown.others());
        let bytes = joined.and_then(|(_, text)| URL_SAFE_NO_PAD.decode(text).ok());
        // What is no cookie of ours says nothing of keys.
        let number = bytes.as_deref().and_then(|bytes| match bytes {
            [FORMAT, number, ..] => Some(*number),
            _ => None,
        });
        number.is_none_or(|number| self.sealer.numbers().any(|known| known == number))
    }

    /// The Set-Cookie lines of a session; parts that are left over from a larger one are taken back. None where it is
    /// larger than the cookies can hold, or the library fails.
    pub(in crate::session) fn give(
        &self,
        issue: CookieIssue<'_>,
        (cookie, https): (&CookieForm, bool),
        parts: u16,
    ) -> Vec<HeaderValue> {
        let Some(values) = self.seal(issue, cookie.name(https), cookie.most_parts()) else {
            tracing::error!(session = %issue.ticket.id, "a session could not be sealed: its changes are lost");
            return Vec::new();
        };
        let given = (0..)
            .zip(&values)
            .filter_map(|(part, value)| cookie.give_part(part, value, https, issue.lasts, issue.now));
        // Parts of a larger session that stay behind would be sent with each request, and count
        // against the browser's limit.
        let stale = (0..16).skip(values.len()).filter(|part| parts & (1 << part) != 0);
        given.chain(stale.filter_map(|part| cookie.expire_part(part, https))).collect()
    }

    fn seal(&self, issue: CookieIssue<'_>, name: &str, most: u8) -> Option<Vec<String>> {
        let plain = payload::write(issue.ticket, issue.record)?;
        let bytes = 1 + OVERHEAD + plain.len();
        // Known before it is sealed, since it is sealed with it.
        let count = parts::count(name, (bytes * 4).div_ceil(3));
        if count > most {
            return None;
        }
        let mut sealed = vec![FORMAT];
        sealed.extend(self.sealer.seal(&bound(count, name, issue.realm), &plain)?);
        let values = parts::split(name, &URL_SAFE_NO_PAD.encode(sealed));
        (values.len() == usize::from(count)).then_some(values)
    }

    /// What a ticket leads to: what came with it, unless that is known to be over.
    pub(in crate::session) fn load(
        &self,
        ticket: &Ticket,
        brought: Option<&Arc<Record>>,
        now: Timestamp,
    ) -> FoundRecord {
        if let Some(end) = self.ended.find(ticket.id, generation(ticket.minted, brought)) {
            return FoundRecord::Ended(end);
        }
        match brought {
            Some(_) if ticket.stamped < self.floor() => {
                FoundRecord::Over(SessionEnd { at: self.floor(), by: EndReason::Unknown })
            }
            Some(record) => FoundRecord::of(Arc::clone(record), &self.rules, now),
            None => FoundRecord::Nothing,
        }
    }

    /// Decides on what the request brought. What ends or spends other copies is kept before anybody is told.
    ///
    /// # Errors
    /// It is larger than its cookies can hold, or that it ended cannot be kept.
    pub(in crate::session) async fn apply(
        &self,
        brought: Option<&Arc<Record>>,
        apply: &PendingChange<'_>,
    ) -> Result<UpdateResult, StoreError> {
        let (seen, now) = (&apply.seen, apply.now);
        let before = generation(seen.minted, brought);
        let found = match (self.ended.find(seen.id, before), brought) {
            // A session that begins with this answer cannot have ended.
            (Some(end), _) if seen.confirmed => FoundRecord::Ended(end),
            (_, Some(record)) => FoundRecord::of(Arc::clone(record), apply.rules, now),
            (_, None) => FoundRecord::Nothing,
        };
        let lasts = self.longest();
        let Decision { action, notes } = decide(&found, apply);
        let change = match action {
            UpdateAction::Nothing => AppliedChange::Nothing,
            UpdateAction::Straggler => match brought {
                Some(shown) if apply.changes.ends_copies_of(shown) => {
                    let most = most_since(shown, apply.changes);
                    let ended = self.ended.end_copies((seen.id, before), most, now, lasts).await?;
                    if ended { AppliedChange::Ended } else { AppliedChange::Straggler }
                }
                _ => AppliedChange::Straggler,
            },
            UpdateAction::Conflict => AppliedChange::Conflict,
            UpdateAction::End { all_of, .. } => {
                if all_of.is_some() {
                    // Nobody knows what other sessions there are.
                    tracing::error!(session = %seen.id, why = %StoreError::Elsewhere, "destroy-principal ended this session alone");
                }
                // On disk before the visitor reads "you are logged out".
                self.ended.end(seen.id, now, lasts).await?;
                AppliedChange::Ended
            }
            UpdateAction::Save { record, renewed, logged_in, taken, .. } => {
                if !apply.holds(&record, 0) {
                    return Err(StoreError::TooLarge);
                }
                match self.renewed_copy(record, renewed, brought, apply).await? {
                    Some(record) => AppliedChange::Saved { record, renewed, logged_in, taken },
                    None => return Ok(AppliedChange::Straggler.into()),
                }
            }
        };
        Ok(UpdateResult { notes, ..change.into() })
    }

    /// The copy that the answer brings; other copies are spent by it where it renews the session. `None`: it was spent itself.
    async fn renewed_copy(
        &self,
        mut record: Box<Record>,
        renewed: bool,
        brought: Option<&Arc<Record>>,
        apply: &PendingChange<'_>,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let seen = &apply.seen;
        let before = generation(seen.minted, brought);
        if renewed && record.previous.is_some() {
            // It stays good beside the old one, which is spent once this was shown (`record_activity`), since the browser may
            // never get this answer. Earlier than a renewal in this very millisecond, which spends both.
            record.renewed = Timestamp(record.renewed.0.saturating_sub(1)).max(before);
        } else if renewed && seen.confirmed {
            // By whichever node's clock: later than every copy there is.
            record.renewed = record.renewed.max(Timestamp(before.0 + 1));
            let since = brought.map_or(RenewalEffect::Newcomer, |shown| RenewalEffect::of(shown, &record));
            let renewal = CopyRenewal { before, renewed: record.renewed, since };
            if !self.ended.spend(seen.id, renewal, apply.now, self.longest()).await? {
                return Ok(None);
            }
        }
        Ok(Some(Arc::from(record)))
    }

    /// A cookie was shown: the copy from before its rotation is spent a moment later.
    pub(in crate::session) fn record_activity(&self, record: &Arc<Record>, now: Timestamp) {
        record.shown(now);
        self.ended.successor_came(record, now);
        if record.previous.is_some() && !record.is_rotating(now) {
            self.ended.spend_rotated(record.id, record.renewed, now, self.longest());
        }
    }

    /// Whether a session goes on in a copy that the browser is not known to have.
    pub(in crate::session) fn goes_on_unseen(&self, id: Uuid) -> bool {
        self.ended.goes_on(id) && !self.ended.has_come_back(id)
    }

    /// Whether a copy that took the place of others has come back.
    pub(in crate::session) fn has_come_back(&self, id: Uuid) -> bool {
        self.ended.has_come_back(id)
    }

    /// Whether it goes on in a copy that was renewed, and nobody came into it.
    pub(in crate::session) fn is_just_as(&self, shown: &Record) -> bool {
        let most = if shown.principal.is_some() { RenewalEffect::Newcomer } else { RenewalEffect::Nothing };
        self.ended.goes_on_for(shown.id, most, shown.renewed)
    }

    /// Whether a session has not ended, and `holds` of its last renewal, if there was one but for the clock.
    pub(in crate::session) fn goes_on(&self, id: Uuid, holds: impl Fn(Timestamp) -> bool) -> bool {
        !self.ended.happened_to(id, holds)
    }

    /// Work that is left to a thread in the background.
    pub(in crate::session) fn sweep(&self) {
        self.ended.sweep();
    }

    /// No copy that was sealed before is taken.
    pub(in crate::session) fn floor(&self) -> Timestamp {
        self.ended.floor()
    }

    /// How long any copy of a session may be good that nobody shows.
    fn longest(&self) -> Duration {
        self.rules.plain.idle_timeout.max(self.rules.permanent.idle_timeout)
    }
}

/// What may have happened to a session since this copy, if these changes are to end it in all others.
fn most_since(shown: &Record, changes: &SessionChanges) -> RenewalEffect {
    let names_another = changes.names_other_than(shown.principal.as_ref());
    match (changes.ends() || names_another, &shown.principal) {
        // Nobody knows which version the other copies have.
        _ if changes.if_version.is_some() => RenewalEffect::Nothing,
        (true, Some(_)) => RenewalEffect::Newcomer,
        (true, None) => RenewalEffect::Nothing,
        // Cookies of the app's own are taken away.
        (false, _) => RenewalEffect::Changes,
    }
}

/// What tells a copy from those that were renewed since.
fn generation(minted: Timestamp, record: Option<&Arc<Record>>) -> Timestamp {
    record.map_or(minted, |record| record.renewed)
}

fn bound(parts: u8, name: &str, realm: Realm<'_>) -> Vec<u8> {
    let (kind, text) = realm.tag();
    let mut bytes = vec![FORMAT, parts, kind];
    // Whatever is bound must have one reading: the lengths are not written, so the two texts are
    // parted by a byte that neither has.
    bytes.extend_from_slice(name.as_bytes());
    // No name of a cookie has one.
    bytes.push(0);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

//! The record: what the store holds of a session.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use uuid::Uuid;

use super::ticket::SecretHash;
use crate::{clock::Timestamp, config::Session, message::lines::Lines};

/// Field names (normal form) and values (decoded).
pub type Fields = BTreeMap<Arc<str>, Arc<str>>;

/// A session with stored data. Everything but `last_seen` and `confirmed` is immutable: a change makes a new record.
#[derive(Debug)]
pub struct Record {
    /// The public id.
    pub id: Uuid,
    /// When the session was created.
    pub created: Timestamp,
    /// From when the absolute lifetime counts: creation, or the last login.
    pub counted_from: Timestamp,
    /// When the ticket was last replaced.
    pub renewed: Timestamp,
    /// Outlives the browser.
    pub permanent: bool,
    /// Raised by each change of fields or principal.
    pub version: u64,
    /// Who is logged in.
    pub principal: Option<Arc<str>>,
    /// What the app stored.
    pub fields: Fields,
    /// The hash of the secret that leads here; any other is spent.
    pub secret: SecretHash,
    last_seen: AtomicU64,
    confirmed: AtomicBool,
    /// Principal and fields as header lines to the app, made once.
    pub lines: Lines,
}

impl Record {
    /// An empty record for a session.
    pub fn new(id: Uuid, secret: SecretHash, created: Timestamp, now: Timestamp, confirmed: bool) -> Self {
        Self {
            id,
            created,
            counted_from: created,
            renewed: created,
            permanent: false,
            version: 0,
            principal: None,
            fields: Fields::new(),
            secret,
            last_seen: AtomicU64::new(now.0),
            confirmed: AtomicBool::new(confirmed),
            lines: Lines::default(),
        }
    }

    /// A copy to change.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            principal: self.principal.clone(),
            fields: self.fields.clone(),
            last_seen: AtomicU64::new(self.last_seen.load(Ordering::Relaxed)),
            confirmed: AtomicBool::new(self.confirmed.load(Ordering::Relaxed)),
            lines: Lines::default(),
            ..*self
        }
    }

    /// When a request last came under it.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp(self.last_seen.load(Ordering::Relaxed))
    }

    /// A request came; true if that moved by `interval` milliseconds or more, so that it is worth saving.
    pub fn seen(&self, now: Timestamp, interval: u64) -> bool {
        let before = self.last_seen.load(Ordering::Relaxed);
        if now.0 < before.saturating_add(interval.min(1000)) {
            return false;
        }
        self.last_seen.fetch_max(now.0, Ordering::Relaxed);
        now.0 >= before.saturating_add(interval)
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

    /// When it ends if nobody comes.
    pub fn ends(&self, rules: &Session) -> Timestamp {
        let lifetimes = if self.permanent { rules.permanent } else { rules.plain };
        let mut idle = self.last_seen().plus(lifetimes.idle_timeout);
        if !self.is_confirmed() {
            idle = idle.min(self.created.plus(rules.unconfirmed_timeout));
        }
        idle.min(self.counted_from.plus(lifetimes.absolute_timeout))
    }

    /// How long it will last from `now` if its ticket comes back and then nobody does: what a browser is told.
    pub fn lasts(&self, rules: &Session, now: Timestamp) -> Duration {
        let lifetimes = if self.permanent { rules.permanent } else { rules.plain };
        now.plus(lifetimes.idle_timeout).min(self.counted_from.plus(lifetimes.absolute_timeout)).since(now)
    }

    /// Roughly what it takes in memory, in bytes, with what the store keeps beside it (measured with a hundred
    /// thousand of them, and rounded up).
    pub fn weight(&self) -> u32 {
        let texts: usize = self.fields.iter().map(|(k, v)| k.len() + v.len() + 32).sum();
        // The map's nodes have room for eleven, and are half full at worst.
        let nodes = self.fields.len().div_ceil(6) * 384;
        let principal = self.principal.as_ref().map_or(0, |p| p.len() + 16);
        u32::try_from(640 + texts + nodes + principal + self.lines.as_bytes().len()).unwrap_or(u32::MAX)
    }
}

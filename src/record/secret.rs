//! The secret that leads to a record, and the one before it, which is good for a while after it was replaced.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Record, SecretHash};
use crate::{clock::Timestamp, crypto};

/// How long a rotated ticket is still good after its successor was first shown: what was under way
/// under the old one must not be logged out.
const OVERLAP: Duration = Duration::from_secs(30);

/// How long after a ticket was first shown requests with the one before may still come in.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// A secret that was replaced, and is still good.
#[derive(Debug)]
pub struct PreviousSecret {
    pub(crate) secret: SecretHash,
    pub(crate) replaced_by: ReplacementReason,
    /// When the ticket was last renewed so that the one before was spent at once: what began earlier is not its visitor's.
    pub(crate) since: Timestamp,
    /// When its successor was first shown; 0: not yet.
    pub(crate) succeeded: AtomicU64,
}

/// Why a secret was replaced without being spent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacementReason {
    /// Its time had come. It leads on until half a minute after its successor was shown.
    Rotation,
    /// Kept cookies changed, in answer to a request from this network. It leads on until its successor was shown, and only
    /// from there; for half a minute longer, and from elsewhere, it leads to the session as it was before.
    Change(NetworkTag),
}

/// Tells the network that a visitor comes from, without naming it: a keyed hash of session and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkTag(pub u64);

impl NetworkTag {
    /// Of a visitor whose address is not known.
    pub const UNKNOWN: Self = Self(0);

    /// Whether both come from the same network, for all that is known.
    pub fn is_same(self, other: Self) -> bool {
        // SECURITY: of those without an address nobody knows that two are one.
        self == other && self != Self::UNKNOWN
    }
}

impl PreviousSecret {
    /// What it is to its record, which was `renewed` then.
    fn matches(&self, from: impl FnOnce() -> NetworkTag, renewed: Timestamp, now: Timestamp) -> SecretMatch {
        let runs_since = |since: Timestamp| since.plus(OVERLAP) > now;
        match (self.replaced_by, self.succeeded.load(Ordering::Relaxed)) {
            // Good without limit until the successor is shown: the browser may never have got the
            // answer that brought it.
            (ReplacementReason::Rotation, 0) => SecretMatch::Previous { succeeded: false },
            (ReplacementReason::Rotation, at) if runs_since(Timestamp(at)) => {
                SecretMatch::Previous { succeeded: true }
            }
            (ReplacementReason::Change(network), 0) if network.is_same(from()) => {
                SecretMatch::Previous { succeeded: false }
            }
            // SECURITY: whoever planted the ticket sees nothing of what came with a login, and nobody who
            // shows it from elsewhere is given its successor.
            (ReplacementReason::Change(_), 0) if runs_since(renewed) => SecretMatch::Past,
            (ReplacementReason::Change(_), at @ 1..) if runs_since(Timestamp(at)) => SecretMatch::Past,
            _ => SecretMatch::No,
        }
    }
}

/// What a secret is to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretMatch {
    /// The one that leads here.
    Current,
    /// Its predecessor, still good; whether the successor was seen already.
    Previous {
        /// The successor came back.
        succeeded: bool,
    },
    /// Its predecessor, which leads to the session as it was before what renewed the ticket.
    Past,
    /// Neither.
    No,
}

impl Record {
    /// What this secret's hash is to the record, shown from this network; compared in constant time.
    pub fn match_secret(
        &self,
        secret: &SecretHash,
        from: impl FnOnce() -> NetworkTag,
        now: Timestamp,
    ) -> SecretMatch {
        if crypto::same(&self.secret, secret) {
            return SecretMatch::Current;
        }
        match &self.previous {
            Some(previous) if crypto::same(&previous.secret, secret) => {
                previous.matches(from, self.renewed, now)
            }
            _ => SecretMatch::No,
        }
    }

    /// The current secret was shown: its predecessor's time is running from the first time on. True that time.
    pub fn shown(&self, now: Timestamp) -> bool {
        self.previous.as_ref().is_some_and(|previous| {
            // Read before the exchange: all further requests see it set, and write nothing.
            previous.succeeded.load(Ordering::Relaxed) == 0
                && previous.succeeded.compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    /// True while a successor was offered and not seen yet.
    #[cfg(test)]
    pub(crate) fn awaits_successor(&self) -> bool {
        self.previous.as_ref().is_some_and(|p| p.succeeded.load(Ordering::Relaxed) == 0)
    }

    /// True while two tickets lead here: the next rotation waits, or the oldest would be spent too early.
    pub fn is_rotating(&self, now: Timestamp) -> bool {
        self.previous.as_ref().is_some_and(|p| match p.succeeded.load(Ordering::Relaxed) {
            0 => true,
            at => Timestamp(at).plus(OVERLAP) > now,
        })
    }

    /// Replaces the secret because of what happened: the old one is spent at once.
    pub(crate) fn renew(&mut self, next: SecretHash, now: Timestamp) {
        self.secret = next;
        // SECURITY: the ticket from before a login must not lead here for another half a minute.
        self.previous = None;
        self.renewed = now;
    }

    /// Replaces the secret, which stays good until its successor was shown, and half a minute longer.
    pub(crate) fn replace_secret(
        &mut self,
        next: SecretHash,
        replaced_by: ReplacementReason,
        now: Timestamp,
    ) {
        let (secret, succeeded) = (self.secret, AtomicU64::new(0));
        let since = self.previous.as_ref().map_or(self.renewed, |previous| previous.since);
        self.previous = Some(Box::new(PreviousSecret { secret, replaced_by, since, succeeded }));
        self.secret = next;
        self.renewed = now;
    }

    /// The network that the current secret was given to, while its predecessor is still good.
    pub(crate) fn handed_over_to(&self, now: Timestamp) -> Option<NetworkTag> {
        let previous = self.previous.as_ref().filter(|_| self.is_rotating(now))?;
        match previous.replaced_by {
            ReplacementReason::Change(network) => Some(network),
            ReplacementReason::Rotation => None,
        }
    }

    /// Whether the current secret is new to its visitor: requests that were sent with the one before may still come.
    pub(crate) fn was_just_shown(&self, now: Timestamp) -> bool {
        self.previous.as_ref().is_some_and(|previous| match previous.succeeded.load(Ordering::Relaxed) {
            0 => true,
            at => Timestamp(at).plus(UNDER_WAY) > now,
        })
    }

    /// Whether the predecessor of the current secret was replaced because kept cookies changed.
    pub(crate) fn was_handed_over(&self) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.replaced_by != ReplacementReason::Rotation)
    }

    /// Tunnels that were opened before now belong to the session no longer; its ticket is still good, and the one that it
    /// took the place of by rotation is spent.
    pub(crate) fn end_tunnels(&mut self, now: Timestamp) {
        self.renewed = now;
        self.previous = None;
    }

    /// When a secret that leads here no more was spent, at the latest.
    pub fn spent(&self) -> Timestamp {
        match &self.previous {
            // By rotation: it was good until the overlap was over.
            Some(previous) => {
                Timestamp(previous.succeeded.load(Ordering::Relaxed)).plus(OVERLAP).max(self.renewed)
            }
            None => self.renewed,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOWHERE: NetworkTag = NetworkTag(0);

    #[test]
    fn an_old_secret_leads_on_for_a_while() {
        let at = |s: u32| Timestamp::from_seconds(s);
        let mut record = Record::new(("h".into(), Uuid::nil()), [1; 32], at(0), at(0), true);
        assert_eq!(record.match_secret(&[1; 32], || NOWHERE, at(0)), SecretMatch::Current);
        record.replace_secret([2; 32], ReplacementReason::Rotation, at(100));
        assert_eq!(
            record.match_secret(&[1; 32], || NOWHERE, at(9_999)),
            SecretMatch::Previous { succeeded: false }
        );
        assert!(record.awaits_successor());
        record.shown(at(200));
        record.shown(at(220));
        assert_eq!(record.match_secret(&[2; 32], || NOWHERE, at(200)), SecretMatch::Current);
        assert_eq!(
            record.match_secret(&[1; 32], || NOWHERE, at(229)),
            SecretMatch::Previous { succeeded: true }
        );
        assert_eq!(record.match_secret(&[1; 32], || NOWHERE, at(230)), SecretMatch::No);
        assert_eq!(record.spent(), at(230));
        record.end_tunnels(at(250));
        assert_eq!(
            record.match_secret(&[1; 32], || NOWHERE, at(220)),
            SecretMatch::No,
            "spent, though there was time left"
        );
        assert_eq!(
            (record.match_secret(&[2; 32], || NOWHERE, at(250)), record.spent()),
            (SecretMatch::Current, at(250))
        );
        record.renew([3; 32], at(300));
        assert_eq!(record.match_secret(&[2; 32], || NOWHERE, at(300)), SecretMatch::No);
        assert_eq!(record.spent(), at(300));
    }

    #[test]
    fn secret_from_before_a_change_leads_on_at_home_only() {
        let at = |s: u32| Timestamp::from_seconds(s);
        let (home, elsewhere) = (NetworkTag(1), NetworkTag(2));
        let mut record = Record::new(("h".into(), Uuid::nil()), [1; 32], at(0), at(0), true);
        record.replace_secret([2; 32], ReplacementReason::Change(home), at(100));
        let old = |from, now: u32| record.match_secret(&[1; 32], || from, at(now));
        // Until the successor was shown, however long that takes; from elsewhere as it was, and not for long.
        assert_eq!(old(home, 9_999), SecretMatch::Previous { succeeded: false });
        assert_eq!((old(elsewhere, 129), old(elsewhere, 130)), (SecretMatch::Past, SecretMatch::No));
        assert_eq!(record.match_secret(&[2; 32], || elsewhere, at(101)), SecretMatch::Current);
        assert_eq!((record.handed_over_to(at(9_999)), record.is_rotating(at(9_999))), (Some(home), true));
        record.shown(at(200));
        let old = |from, now: u32| record.match_secret(&[1; 32], || from, at(now));
        for from in [home, elsewhere] {
            assert_eq!((old(from, 229), old(from, 230)), (SecretMatch::Past, SecretMatch::No));
        }
        assert_eq!((record.handed_over_to(at(229)), record.handed_over_to(at(230))), (Some(home), None));
        assert_eq!(record.spent(), at(230));
    }
}

//! Who is logged in where: sessions by realm and principal, and who was logged out everywhere. The "admin" of one site
//! is nobody on another. Kept beside the records, under locks that are held for a look. A person is filed under a keyed
//! hash of realm and name: sixteen bytes, and on disk it tells nobody's name.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smallvec::SmallVec;

use crate::{
    clock::Timestamp,
    crypto::{Keyring, Secrets},
};

const SHARDS: usize = 64;

/// A login whose request takes longer is no longer ended with those that it was under way beside.
pub(super) const LONGEST_REQUEST: Duration = Duration::from_hours(24);

/// One principal's sessions, oldest login first.
#[derive(Debug, Default)]
struct Person {
    sessions: SmallVec<[u128; 1]>,
    /// Every session of theirs was ended then, and so is each login whose request began before.
    ended: Option<Timestamp>,
}

type Shard = HashMap<u128, Person>;

/// The index.
#[derive(Debug)]
pub(super) struct Principals {
    shards: Vec<Mutex<Shard>>,
    key: Keyring,
}

/// Why nobody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Everyone of this name was logged out after the request began.
    Ended,
    /// They have as many sessions as they may.
    TooMany,
}

impl Principals {
    /// People are hashed under this key.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = Keyring::derive("principals", &Secrets::new(*key, []));
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), key }
    }

    /// What a person is filed under. No name has a control character, so the last NUL parts the two.
    pub(super) fn who(&self, (realm, name): (&str, &str)) -> u128 {
        u128::from_be_bytes(self.key.sign(&[realm.as_bytes(), b"\0", name.as_bytes()]))
    }

    fn shard(&self, who: u128) -> Option<MutexGuard<'_, Shard>> {
        self.shards.get(who as usize % SHARDS).map(|s| s.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A session of theirs begins, `instead` of another; returns those that must go for it, oldest first.
    pub(super) fn enter(
        &self,
        who: u128,
        id: u128,
        instead: Option<u128>,
        began: Timestamp,
        most: Option<usize>,
        evict: bool,
    ) -> Result<Vec<u128>, Denied> {
        let Some(mut shard) = self.shard(who) else { return Ok(Vec::new()) };
        let person = shard.entry(who).or_default();
        if person.ended.is_some_and(|ended| began <= ended) {
            return Err(Denied::Ended);
        }
        if person.sessions.contains(&id) {
            return Ok(Vec::new());
        }
        let others = person.sessions.iter().filter(|other| Some(**other) != instead);
        let over = most.map_or(0, |most| (others.clone().count() + 1).saturating_sub(most));
        if over > 0 && !evict {
            return Err(Denied::TooMany);
        }
        let gone: Vec<u128> = others.take(over).copied().collect();
        person.sessions.retain(|session| !gone.contains(session));
        person.sessions.push(id);
        Ok(gone)
    }

    /// A session of theirs was there before.
    pub(super) fn join(&self, who: u128, id: u128) {
        let Some(mut shard) = self.shard(who) else { return };
        let person = shard.entry(who).or_default();
        if !person.sessions.contains(&id) {
            person.sessions.push(id);
        }
    }

    /// A session of theirs ended.
    pub(super) fn leave(&self, who: u128, id: u128) {
        let Some(mut shard) = self.shard(who) else { return };
        if let Some(person) = shard.get_mut(&who) {
            person.sessions.retain(|session| *session != id);
            if person.sessions.is_empty() && person.ended.is_none() {
                shard.remove(&who);
            }
        }
    }

    /// All of theirs end now; returns them.
    pub(super) fn end(&self, who: u128, now: Timestamp) -> Vec<u128> {
        let Some(mut shard) = self.shard(who) else { return Vec::new() };
        let person = shard.entry(who).or_default();
        person.ended = Some(now);
        std::mem::take(&mut person.sessions).into_vec()
    }

    /// Their sessions, oldest login first.
    pub(super) fn of(&self, who: u128) -> Vec<u128> {
        self.shard(who).and_then(|s| s.get(&who).map(|p| p.sessions.to_vec())).unwrap_or_default()
    }

    /// Forgets whom nobody can have been asking for any more: requests last no longer than `longest`.
    pub(super) fn sweep(&self, now: Timestamp, longest: Duration) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, person| {
                if person.ended.is_some_and(|ended| now.since(ended) > longest) {
                    person.ended = None;
                }
                person.ended.is_some() || !person.sessions.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_or_the_newest_is_denied() {
        let all = Principals::new(&[1; 32]);
        let alice = all.who(("hshop.test", "alice"));
        let at = Timestamp::from_seconds;
        for id in 1..=3 {
            assert_eq!(all.enter(alice, id, None, at(1), Some(3), true), Ok(vec![]));
        }
        assert_eq!(
            all.enter(alice, 3, None, at(1), Some(3), false),
            Ok(vec![]),
            "the same again is no other"
        );
        assert_eq!(all.enter(alice, 4, None, at(1), Some(3), false), Err(Denied::TooMany));
        assert_eq!(all.enter(alice, 4, Some(2), at(1), Some(3), false), Ok(vec![]), "one for another");
        all.leave(alice, 4);
        assert_eq!(all.enter(alice, 4, None, at(1), Some(3), true), Ok(vec![1]));
        assert_eq!(all.enter(alice, 5, None, at(1), Some(1), true), Ok(vec![2, 3, 4]));
        assert_eq!(all.of(alice), [5]);
        all.leave(alice, 5);
        assert_eq!(all.of(alice), [0; 0]);
    }

    #[test]
    fn a_login_in_flight_is_ended_with_the_others() {
        let all = Principals::new(&[1; 32]);
        let alice = all.who(("hshop.test", "alice"));
        let at = Timestamp::from_seconds;
        all.enter(alice, 1, None, at(1), None, true).unwrap();
        assert_eq!(all.end(alice, at(10)), [1]);
        assert_eq!(all.enter(alice, 2, None, at(10), None, true), Err(Denied::Ended));
        assert_eq!(all.enter(alice, 3, None, at(11), None, true), Ok(vec![]));
        let namesake = all.who(("hbank.test", "alice"));
        assert_eq!(all.enter(namesake, 5, None, at(9), Some(1), true), Ok(vec![]), "of another site");
        all.sweep(at(100), Duration::from_mins(1));
        assert_eq!(all.enter(alice, 4, None, at(9), None, true), Ok(vec![]), "long forgotten");
    }
}

//! Who is logged in where: sessions by realm and principal, and who was logged out everywhere. The "admin" of one site
//! is nobody on another. Kept beside the records, under locks that are held for a look.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::Timestamp;

const SHARDS: usize = 64;

/// One principal's sessions, oldest login first.
#[derive(Debug, Default)]
struct Person {
    sessions: Vec<u128>,
    /// Every session of theirs was ended then, and so is each login whose request began before.
    ended: Option<Timestamp>,
}

type Shard = HashMap<Arc<str>, Person>;

/// What a person is filed under. No name has a control character, so the last NUL parts the two.
fn person(realm: &str, name: &str) -> Arc<str> {
    format!("{realm}\0{name}").into()
}

/// The index.
#[derive(Debug)]
pub(super) struct Principals {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
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
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    fn shard(&self, person: &str) -> Option<MutexGuard<'_, Shard>> {
        let place = self.hasher.hash_one(person) as usize % SHARDS;
        self.shards.get(place).map(|s| s.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A session of theirs begins, `instead` of another; returns those that must go for it, oldest first.
    pub(super) fn enter(
        &self,
        (realm, name): (&str, &str),
        id: u128,
        instead: Option<u128>,
        began: Timestamp,
        most: Option<usize>,
        evict: bool,
    ) -> Result<Vec<u128>, Denied> {
        let key = person(realm, name);
        let Some(mut shard) = self.shard(&key) else { return Ok(Vec::new()) };
        let person = shard.entry(key).or_default();
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

    /// A session of theirs ended.
    pub(super) fn leave(&self, (realm, name): (&str, &str), id: u128) {
        let key = person(realm, name);
        let Some(mut shard) = self.shard(&key) else { return };
        if let Some(person) = shard.get_mut(&key) {
            person.sessions.retain(|session| *session != id);
            if person.sessions.is_empty() && person.ended.is_none() {
                shard.remove(&key);
            }
        }
    }

    /// All of theirs end now; returns them.
    pub(super) fn end(&self, (realm, name): (&str, &str), now: Timestamp) -> Vec<u128> {
        let key = person(realm, name);
        let Some(mut shard) = self.shard(&key) else { return Vec::new() };
        let person = shard.entry(key).or_default();
        person.ended = Some(now);
        std::mem::take(&mut person.sessions)
    }

    /// Their sessions, oldest login first.
    pub(super) fn of(&self, (realm, name): (&str, &str)) -> Vec<u128> {
        let key = person(realm, name);
        self.shard(&key).and_then(|s| s.get(&key).map(|p| p.sessions.clone())).unwrap_or_default()
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
        let all = Principals::new();
        let alice = ("hshop.test", "alice");
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
        let all = Principals::new();
        let alice = ("hshop.test", "alice");
        let at = Timestamp::from_seconds;
        all.enter(alice, 1, None, at(1), None, true).unwrap();
        assert_eq!(all.end(alice, at(10)), [1]);
        assert_eq!(all.enter(alice, 2, None, at(10), None, true), Err(Denied::Ended));
        assert_eq!(all.enter(alice, 3, None, at(11), None, true), Ok(vec![]));
        let namesake = ("hbank.test", "alice");
        assert_eq!(all.enter(namesake, 5, None, at(9), Some(1), true), Ok(vec![]), "of another site");
        all.sweep(at(100), Duration::from_mins(1));
        assert_eq!(all.enter(alice, 4, None, at(9), None, true), Ok(vec![]), "long forgotten");
    }
}

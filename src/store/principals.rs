//! Who is logged in where: sessions by realm and principal, and who was logged out everywhere. The "admin" of one site
//! is nobody on another. Kept beside the records, under locks that are held for a look. A person is filed under a keyed
//! hash of realm and name: sixteen bytes, and on disk it tells nobody's name.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    clock::Timestamp,
    crypto::{KeySecrets, Keyring},
    record::Realm,
};

const SHARDS: usize = 64;

/// A login whose request takes longer is no longer ended with those that it was under way beside.
pub(super) const LONGEST_REQUEST: Duration = Duration::from_hours(24);

/// One principal. Nearly everybody has one session, and there may be a million of them: no byte is lost on who has more.
#[derive(Debug)]
enum PrincipalSessions {
    /// This session, as bytes.
    Once([u8; 16]),
    /// Any other number.
    Else(Box<SessionList>),
}

/// A principal's sessions, oldest login first.
#[derive(Debug, Default)]
struct SessionList {
    all: Vec<u128>,
    /// Every session of theirs was ended then, and so is each login whose request began before.
    ended: Option<Timestamp>,
}

impl From<PrincipalSessions> for SessionList {
    fn from(person: PrincipalSessions) -> Self {
        match person {
            PrincipalSessions::Once(id) => Self { all: vec![u128::from_ne_bytes(id)], ended: None },
            PrincipalSessions::Else(sessions) => *sessions,
        }
    }
}

impl SessionList {
    /// `None`: there is nothing to know of them.
    fn person(self) -> Option<PrincipalSessions> {
        match (self.all.as_slice(), self.ended) {
            ([], None) => None,
            ([id], None) => Some(PrincipalSessions::Once(id.to_ne_bytes())),
            _ => Some(PrincipalSessions::Else(Box::new(self))),
        }
    }
}

type PrincipalShard = HashMap<[u8; 16], PrincipalSessions>;

/// The index.
#[derive(Debug)]
pub(super) struct PrincipalIndex {
    shards: Vec<Mutex<PrincipalShard>>,
    key: Keyring,
}

/// Why nobody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginDenied {
    /// Everyone of this name was logged out after the request began.
    Ended,
    /// They have as many sessions as they may.
    TooMany,
}

impl PrincipalIndex {
    /// People are hashed under this key.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = Keyring::derive("principals", &KeySecrets::new(*key, []));
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), key }
    }

    /// What a person is filed under. No name has a control character, so the last NUL parts the two.
    pub(super) fn who(&self, (realm, name): (&str, &str)) -> u128 {
        let realm = Realm::of_people(realm);
        u128::from_be_bytes(self.key.sign(&[realm.as_bytes(), b"\0", name.as_bytes()]))
    }

    fn shard(&self, who: u128) -> Option<MutexGuard<'_, PrincipalShard>> {
        self.shards.get(who as usize % SHARDS).map(|s| s.lock())
    }

    /// Looks at what is known of them, and may change it.
    fn edit<T: Default>(&self, who: u128, edit: impl FnOnce(&mut SessionList) -> T) -> T {
        let Some(mut shard) = self.shard(who) else { return T::default() };
        let key = who.to_ne_bytes();
        let mut sessions = shard.remove(&key).map(SessionList::from).unwrap_or_default();
        let outcome = edit(&mut sessions);
        if let Some(person) = sessions.person() {
            shard.insert(key, person);
        }
        outcome
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
    ) -> Result<Vec<u128>, LoginDenied> {
        let mut denied = None;
        let gone = self.edit(who, |person| {
            // SECURITY: "log out everywhere" also ends the login that was under way when it was
            // clicked. Within one millisecond the stricter reading counts.
            if person.ended.is_some_and(|ended| began <= ended) {
                denied = Some(LoginDenied::Ended);
                return Vec::new();
            }
            if person.all.contains(&id) {
                return Vec::new();
            }
            let others = person.all.iter().filter(|other| Some(**other) != instead);
            // The session that is replaced does not count: at the limit of one, a new login
            // replaces the old one and is not refused.
            let over = most.map_or(0, |most| (others.clone().count() + 1).saturating_sub(most));
            if over > 0 && !evict {
                denied = Some(LoginDenied::TooMany);
                return Vec::new();
            }
            let gone: Vec<u128> = others.take(over).copied().collect();
            person.all.retain(|session| !gone.contains(session));
            person.all.push(id);
            gone
        });
        denied.map_or(Ok(gone), Err)
    }

    /// Makes room for so many.
    pub(super) fn reserve(&self, people: usize) {
        for shard in &self.shards {
            shard.lock().reserve(people / SHARDS);
        }
    }

    /// A session of theirs was there before.
    pub(super) fn join(&self, who: u128, id: u128) {
        let Some(mut shard) = self.shard(who) else { return };
        if let Entry::Vacant(place) = shard.entry(who.to_ne_bytes()) {
            place.insert(PrincipalSessions::Once(id.to_ne_bytes()));
            return;
        }
        // `edit` locks the same shard.
        drop(shard);
        self.edit(who, |person| {
            if !person.all.contains(&id) {
                person.all.push(id);
            }
        });
    }

    /// A session of theirs ended.
    pub(super) fn leave(&self, who: u128, id: u128) {
        self.edit(who, |person| person.all.retain(|session| *session != id));
    }

    /// All of theirs end now; returns them.
    pub(super) fn end(&self, who: u128, now: Timestamp) -> Vec<u128> {
        self.edit(who, |person| {
            person.ended = Some(now);
            std::mem::take(&mut person.all)
        })
    }

    /// Their sessions, oldest login first.
    pub(super) fn of(&self, who: u128) -> Vec<u128> {
        let Some(shard) = self.shard(who) else { return Vec::new() };
        match shard.get(&who.to_ne_bytes()) {
            Some(PrincipalSessions::Once(id)) => vec![u128::from_ne_bytes(*id)],
            Some(PrincipalSessions::Else(sessions)) => sessions.all.clone(),
            None => Vec::new(),
        }
    }

    /// Forgets whom nobody can have been asking for any more: requests last no longer than `longest`.
    pub(super) fn sweep(&self, now: Timestamp, longest: Duration) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|_, person| match person {
                PrincipalSessions::Once(_) => true,
                PrincipalSessions::Else(sessions) => {
                    if sessions.ended.is_some_and(|ended| now.since(ended) > longest) {
                        sessions.ended = None;
                    }
                    sessions.ended.is_some() || !sessions.all.is_empty()
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_or_the_newest_is_denied() {
        let all = PrincipalIndex::new(&[1; 32]);
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
        assert_eq!(all.enter(alice, 4, None, at(1), Some(3), false), Err(LoginDenied::TooMany));
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
        let all = PrincipalIndex::new(&[1; 32]);
        let alice = all.who(("hshop.test", "alice"));
        let at = Timestamp::from_seconds;
        all.enter(alice, 1, None, at(1), None, true).unwrap();
        assert_eq!(all.end(alice, at(10)), [1]);
        assert_eq!(all.enter(alice, 2, None, at(10), None, true), Err(LoginDenied::Ended));
        assert_eq!(all.enter(alice, 3, None, at(11), None, true), Ok(vec![]));
        let namesake = all.who(("hbank.test", "alice"));
        assert_eq!(all.enter(namesake, 5, None, at(9), Some(1), true), Ok(vec![]), "of another site");
        all.sweep(at(100), Duration::from_mins(1));
        assert_eq!(all.enter(alice, 4, None, at(9), None, true), Ok(vec![]), "long forgotten");
    }
}

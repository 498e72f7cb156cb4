//! Sessions that this worker has opened of late. A browser shows the same one with every request, and it need not be
//! deciphered and read each time.
//!
//! SECURITY: only what was opened is remembered, under the whole of its text with its realm, the name of its cookie and
//! the keys; it is compared in constant time; and whether it has ended or its time is over is asked at every request
//! all the same.

use std::{cell::RefCell, sync::Arc};

use crate::{
    crypto,
    record::{Realm, Record, Ticket},
};

/// So many sets of places, a power of two, of so many places each. A newcomer takes the place of whoever of its set was
/// asked for least lately. With sessions of a few hundred bytes all of them are some 20 MB.
const SETS: usize = 1024;
const WAYS: usize = 8;
/// Longer texts are opened each time.
const LONGEST: usize = 4096;

struct OpenedEntry {
    ring: u64,
    parts: u8,
    kind: u8,
    realm: Box<str>,
    name: Box<str>,
    text: Box<[u8]>,
    ticket: Ticket,
    record: Option<Arc<Record>>,
}

/// What was asked for latest comes first.
#[derive(Default)]
struct RecentSet {
    /// The ends of the texts, so that few others are looked at.
    ends: [u64; WAYS],
    entries: [Option<Box<OpenedEntry>>; WAYS],
}

impl RecentSet {
    fn find(&mut self, end: u64, text: &[u8], under: OpenedUnder<'_>) -> Option<OpenedCookies> {
        let is = |(known, entry): (&u64, &Option<Box<OpenedEntry>>)| {
            *known == end && entry.as_ref().is_some_and(|entry| entry.is(text, under))
        };
        // The eight ends are compared first: one cache line, and seldom more than one whole text.
        let at = self.ends.iter().zip(&self.entries).position(is)?;
        if at > 0 {
            self.ends.get_mut(..=at)?.rotate_right(1);
            self.entries.get_mut(..=at)?.rotate_right(1);
        }
        let [entry, ..] = &self.entries;
        entry.as_ref().map(|entry| (entry.ticket, entry.record.clone()))
    }

    fn put(&mut self, end: u64, entry: OpenedEntry) {
        self.ends.rotate_right(1);
        self.entries.rotate_right(1);
        let ([first_end, ..], [first, ..]) = (&mut self.ends, &mut self.entries);
        (*first_end, *first) = (end, Some(Box::new(entry)));
    }
}

thread_local! {
    static OPENED: RefCell<Vec<RecentSet>> = RefCell::new((0..SETS).map(|_| RecentSet::default()).collect());
}

impl OpenedEntry {
    fn is(&self, text: &[u8], under: OpenedUnder<'_>) -> bool {
        let (kind, realm) = under.realm.tag();
        (self.ring, self.parts, self.kind) == (under.ring, under.parts, kind)
            && (&*self.realm, &*self.name) == (realm, under.name)
            && crypto::same(&self.text, text)
    }
}

/// What a text is read under.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenedUnder<'a> {
    /// Tells the keys of one configuration from those of another.
    pub ring: u64,
    /// In how many cookies it came.
    pub parts: u8,
    /// Whose it must be.
    pub realm: Realm<'a>,
    /// The name of its cookie.
    pub name: &'a str,
}

type OpenedCookies = (Ticket, Option<Arc<Record>>);

/// What is known of a text, else what `open` makes of it.
pub(super) fn read(
    text: &[u8],
    under: OpenedUnder<'_>,
    open: impl FnOnce() -> Option<OpenedCookies>,
) -> Option<OpenedCookies> {
    let end = end(text);
    // Letters of base64 use six bits of eight: spread over all (Fibonacci hashing).
    let place = (end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % SETS;
    let known = OPENED.with_borrow_mut(|all| all.get_mut(place)?.find(end, text, under));
    if known.is_some() {
        return known;
    }
    let (ticket, record) = open()?;
    // A miss is remembered only when it opened: garbage from attackers never displaces a session.
    if text.len() <= LONGEST {
        let OpenedUnder { ring, parts, realm, name } = under;
        let (kind, realm) = realm.tag();
        let (realm, name, text) = (realm.into(), name.into(), text.into());
        let entry = OpenedEntry { ring, parts, kind, realm, name, text, ticket, record: record.clone() };
        OPENED.with_borrow_mut(|all| {
            if let Some(set) = all.get_mut(place) {
                set.put(end, entry);
            }
        });
    }
    Some((ticket, record))
}

/// Of the tag, which is as good as random, the last letters but one: the last holds fewer bits.
fn end(text: &[u8]) -> u64 {
    let end = text.split_last().and_then(|(_, rest)| rest.last_chunk::<8>());
    end.map_or(0, |end| u64::from_ne_bytes(*end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, record::Realm};

    #[test]
    fn opened_cookies_are_cached_with_all_they_are_bound_to() {
        let under = OpenedUnder { ring: 1, parts: 1, realm: Realm::Host("a.test"), name: "session" };
        let ticket = Ticket::mint(Timestamp::from_seconds(1_700_000_000));
        let opened =
            |text: &[u8], under: OpenedUnder<'_>| read(text, under, || None).map(|(ticket, _)| ticket);
        let text = b"a text that was sealed, and its tag".as_slice();
        assert_eq!(read(text, under, || Some((ticket, None))).map(|(ticket, _)| ticket), Some(ticket));
        assert_eq!(opened(text, under), Some(ticket));
        for other in [
            OpenedUnder { ring: 2, ..under },
            OpenedUnder { parts: 2, ..under },
            OpenedUnder { realm: Realm::Host("b.test"), ..under },
            OpenedUnder { realm: Realm::Named("a.test"), ..under },
            OpenedUnder { name: "other", ..under },
        ] {
            assert_eq!(opened(text, other), None, "{other:?}");
        }
        // The same place, since its last letters are the same.
        for at in 0..text.len() - 9 {
            let mut bent = text.to_vec();
            bent[at] ^= 1;
            assert_eq!(opened(&bent, under), None, "{at}");
        }
        // A whole set of others pushes it out, unless it is asked for meanwhile.
        let others: Vec<Vec<u8>> = (0..WAYS as u8).map(|n| [&[n], &text[1..]].concat()).collect();
        for other in &others[1..] {
            assert!(read(other, under, || Some((ticket, None))).is_some());
            assert_eq!(opened(text, under), Some(ticket));
        }
        for other in &others {
            assert!(read(other, under, || Some((ticket, None))).is_some());
        }
        assert_eq!((opened(text, under), opened(&others[0], under)), (None, Some(ticket)));
    }
}

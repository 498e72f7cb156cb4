//! Sessions that this worker has opened of late. A browser shows the same one with every request, and it need not be
//! deciphered and read each time.
//!
//! SECURITY: only what was opened is remembered, under the whole of its text with its realm, the name of its cookie and
//! the keys; it is compared in constant time; and whether it has ended or its time is over is asked at every request
//! all the same.

use std::{cell::RefCell, sync::Arc};

use crate::{
    crypto,
    session::{
        record::Record,
        ticket::{Realm, Ticket},
    },
};

/// So many pairs of places; a power of two. A newcomer takes the place of whoever of a pair was asked for less lately. With
/// sessions of a few hundred bytes all of them are some 20 MB.
const PAIRS: usize = 4096;
/// Longer texts are opened each time.
const LONGEST: usize = 4096;

struct Entry {
    ring: u64,
    parts: u8,
    kind: u8,
    realm: Box<str>,
    name: Box<str>,
    text: Box<[u8]>,
    ticket: Ticket,
    record: Option<Arc<Record>>,
}

type Pair = [Option<Entry>; 2];

thread_local! {
    static OPENED: RefCell<Vec<Pair>> = RefCell::new((0..PAIRS).map(|_| [None, None]).collect());
}

impl Entry {
    fn is(&self, text: &[u8], under: Under<'_>) -> bool {
        let (kind, realm) = under.realm.tag();
        (self.ring, self.parts, self.kind) == (under.ring, under.parts, kind)
            && (&*self.realm, &*self.name) == (realm, under.name)
            && crypto::same(&self.text, text)
    }
}

/// What a text is read under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Under<'a> {
    /// Tells the keys of one configuration from those of another.
    pub ring: u64,
    /// In how many cookies it came.
    pub parts: u8,
    /// Whose it must be.
    pub realm: Realm<'a>,
    /// The name of its cookie.
    pub name: &'a str,
}

type Opened = (Ticket, Option<Arc<Record>>);

/// What is known of a text, else what `open` makes of it.
pub(super) fn read(text: &[u8], under: Under<'_>, open: impl FnOnce() -> Option<Opened>) -> Option<Opened> {
    let place = place(text);
    let known = OPENED.with_borrow_mut(|all| {
        let pair = all.get_mut(place)?;
        let at = pair.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.is(text, under)))?;
        if at != 0 {
            pair.swap(0, 1);
        }
        let [entry, _] = pair;
        entry.as_ref().map(|entry| (entry.ticket, entry.record.clone()))
    });
    if known.is_some() {
        return known;
    }
    let (ticket, record) = open()?;
    if text.len() <= LONGEST {
        let Under { ring, parts, realm, name } = under;
        let (kind, realm) = realm.tag();
        let (realm, name, text) = (realm.into(), name.into(), text.into());
        let entry = Entry { ring, parts, kind, realm, name, text, ticket, record: record.clone() };
        OPENED.with_borrow_mut(|all| {
            if let Some(pair) = all.get_mut(place) {
                pair.swap(0, 1);
                let [first, _] = pair;
                *first = Some(entry);
            }
        });
    }
    Some((ticket, record))
}

/// By the end of the tag, which is as good as random; its last letter holds fewer bits.
fn place(text: &[u8]) -> usize {
    let end = text.split_last().and_then(|(_, rest)| rest.last_chunk::<8>());
    let Some(end) = end else { return 0 };
    // Letters of base64 use six bits of eight: spread over all (Fibonacci hashing).
    (u64::from_ne_bytes(*end).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % PAIRS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, session::ticket::Realm};

    #[test]
    fn what_was_opened_is_known_under_all_that_it_was_opened_under_and_nothing_else() {
        let under = Under { ring: 1, parts: 1, realm: Realm::Host("a.test"), name: "session" };
        let ticket = Ticket::mint(Timestamp::from_seconds(1_700_000_000));
        let opened = |text: &[u8], under: Under<'_>| read(text, under, || None).map(|(ticket, _)| ticket);
        let text = b"a text that was sealed, and its tag".as_slice();
        assert_eq!(read(text, under, || Some((ticket, None))).map(|(ticket, _)| ticket), Some(ticket));
        assert_eq!(opened(text, under), Some(ticket));
        for other in [
            Under { ring: 2, ..under },
            Under { parts: 2, ..under },
            Under { realm: Realm::Host("b.test"), ..under },
            Under { realm: Realm::Named("a.test"), ..under },
            Under { name: "other", ..under },
        ] {
            assert_eq!(opened(text, other), None, "{other:?}");
        }
        // The same place, since its last letters are the same.
        for at in 0..text.len() - 9 {
            let mut bent = text.to_vec();
            bent[at] ^= 1;
            assert_eq!(opened(&bent, under), None, "{at}");
        }
        // Two others of the pair push it out; one does not.
        let begins = |with: &str| [with.as_bytes(), &text[with.len()..]].concat();
        assert!(read(&begins("one"), under, || Some((ticket, None))).is_some());
        assert_eq!(opened(text, under), Some(ticket));
        assert!(read(&begins("two"), under, || Some((ticket, None))).is_some());
        assert_eq!((opened(text, under), opened(&begins("one"), under)), (Some(ticket), None));
    }
}

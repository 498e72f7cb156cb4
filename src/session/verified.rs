//! Tickets that this worker has found genuine of late. A browser shows the same one with every request, and its MAC need
//! not be computed each time.
//!
//! SECURITY: only what was verified is remembered, whole and with its realm and key ring; it is compared in constant
//! time; and what it leads to (lifetimes, the record, whether it was spent) is looked up at every request all the same.

use std::cell::RefCell;

use crate::{
    crypto::{self, Keyring},
    record::{Realm, SecretHash, TEXT, Ticket},
};

/// So many at once; a power of two. A newcomer takes the place of whoever it meets there.
const PLACES: usize = 256;

#[derive(Clone)]
struct VerifiedTicket {
    ring: u64,
    kind: u8,
    realm: Box<str>,
    text: [u8; TEXT],
    ticket: Ticket,
    hash: SecretHash,
}

thread_local! {
    static VERIFIED: RefCell<Vec<Option<VerifiedTicket>>> = RefCell::new(vec![None; PLACES]);
}

/// Reads a cookie's value: the ticket, and the hash of its secret. `None`: forged, of another realm, under a key we do
/// not have, or no ticket at all.
pub(super) fn read(value: &[u8], keys: &Keyring, realm: Realm<'_>) -> Option<(Ticket, SecretHash)> {
    let text: &[u8; TEXT] = value.try_into().ok()?;
    let (kind, name) = realm.tag();
    let place = place(text);
    let known = VERIFIED.with_borrow(|all| {
        let entry = all.get(place)?.as_ref()?;
        let same = entry.ring == keys.id()
            && entry.kind == kind
            && entry.realm.as_bytes() == name.as_bytes()
            && crypto::same(&entry.text, text);
        same.then_some((entry.ticket, entry.hash))
    });
    // Returned outside of the borrow: what follows borrows the table again to write.
    if known.is_some() {
        return known;
    }
    let ticket = Ticket::read(value, keys, realm)?;
    let hash = ticket.hash();
    VERIFIED.with_borrow_mut(|all| {
        if let Some(entry) = all.get_mut(place) {
            *entry =
                Some(VerifiedTicket { ring: keys.id(), kind, realm: name.into(), text: *text, ticket, hash });
        }
    });
    Some((ticket, hash))
}

/// By the end of the MAC, which is as good as random.
fn place(text: &[u8; TEXT]) -> usize {
    let [.., a, b] = text;
    (usize::from(*a) * 64 + usize::from(*b)) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn what_was_verified_is_known_and_nothing_else_is() {
        let keys = Keyring::ephemeral("ticket");
        let other = Keyring::ephemeral("ticket");
        let realm = Realm::Host("a.test");
        let ticket = Ticket::mint(Timestamp::from_seconds(1_700_000_000));
        let text = ticket.write(&keys, realm);
        for _ in 0..2 {
            assert_eq!(read(text.as_bytes(), &keys, realm), Some((ticket, ticket.hash())));
            assert_eq!(read(text.as_bytes(), &keys, Realm::Host("b.test")), None);
            assert_eq!(read(text.as_bytes(), &keys, Realm::Named("a.test")), None);
            assert_eq!(read(text.as_bytes(), &other, realm), None);
            // The same place, since its last two letters are the same.
            let mut bent = text.clone().into_bytes();
            for i in 0..bent.len() - 2 {
                bent[i] ^= 1;
                assert_eq!(read(&bent, &keys, realm), None, "{i}");
                bent[i] ^= 1;
            }
        }
        assert_eq!(read(&text.as_bytes()[1..], &keys, realm), None);
    }
}

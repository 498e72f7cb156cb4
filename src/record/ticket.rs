//! The ticket: what the visitor's cookie holds.
//!
//! base64url (no padding) of: format 1 B, key number 1 B, minted 4 B, stamped 4 B, public id 16 B, secret 16 B, and
//! 16 B of HMAC-SHA256 over all before it and the realm. Times are seconds since 1970, big-endian.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::NetworkTag;
use super::fields::shared;
use crate::{
    clock::Timestamp,
    crypto::{self, Keyring, SignedBy},
};

const FORMAT: u8 = 1;
const SIGNED: usize = 42;
const BYTES: usize = SIGNED + 16;
/// Letters of a ticket.
pub(crate) const TEXT: usize = 78;

/// So many ids are drawn to find one that suits. Of a hundred servers one is missed by one in twenty thousand.
const MOST_TRIES: u32 = 1000;

/// Tells the ids that a new session may have: those that lead to the server that its visitor has been at.
pub type IdFilter<'a> = &'a dyn Fn(Uuid) -> bool;

/// The 128 random bits that make a ticket worth something.
pub type TicketSecret = [u8; 16];

/// What a session belongs to; a ticket of one realm is worth nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm<'a> {
    /// This host, lower case, no port.
    Host(&'a str),
    /// The same by a route that names no host: visitors write what they like there, so whoever logs in is one and the same
    /// person on all hosts, and by whichever of these routes, which share their tickets. A ticket is worth something on its
    /// own host alone.
    AnyHost(&'a str),
    /// The domain of the session's cookie.
    Domain(&'a str),
    /// A name that routes share on purpose.
    Named(&'a str),
}

impl<'a> Realm<'a> {
    /// A byte for the kind, so that no host passes for a name, and the text.
    pub fn tag(&self) -> (u8, &'a str) {
        match self {
            Self::Host(text) | Self::AnyHost(text) => (b'h', text),
            Self::Domain(text) => (b'd', text),
            Self::Named(text) => (b'n', text),
        }
    }

    /// Kind and text in one, as a record keeps it.
    pub(crate) fn key(&self) -> Arc<str> {
        if let Self::AnyHost(host) = self {
            return shared(&format!("u{host}"));
        }
        let (kind, text) = self.tag();
        shared(&format!("{}{text}", char::from(kind)))
    }

    /// Of a record's key.
    pub(crate) fn of_key(key: &'a str) -> Option<Self> {
        let (kind, text) = key.split_at_checked(1)?;
        match kind {
            "h" => Some(Self::Host(text)),
            "u" => Some(Self::AnyHost(text)),
            "d" => Some(Self::Domain(text)),
            "n" => Some(Self::Named(text)),
            _ => None,
        }
    }

    /// The realm in which people are told apart, of a record's: of all hosts that routes take without naming them there is one.
    pub fn of_people(key: &str) -> &str {
        if key.starts_with('u') { "u" } else { key }
    }

    /// The realm of the same host by a route of the other kind: its sessions were logged in before the configuration named the
    /// host, or no longer did, and their tickets are as good.
    pub fn sibling(key: &str) -> Option<String> {
        match key.split_at_checked(1)? {
            ("u", host) if !host.is_empty() => Some(format!("h{host}")),
            ("h", host) => Some(format!("u{host}")),
            _ => None,
        }
    }

    /// The realm of a record in words: its kind, and the host, domain or name.
    pub fn in_words(key: &str) -> String {
        let text = key.get(1..).unwrap_or_default();
        match key.bytes().next() {
            Some(b'd') => format!("domain:{text}"),
            Some(b'n') => format!("name:{text}"),
            _ => format!("host:{text}"),
        }
    }
}

/// What a record keeps of a secret.
pub type SecretHash = [u8; 32];

/// What a cookie's value says of itself, which may be a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnprovenTicket {
    /// The number of the key.
    pub key: u8,
    /// The session's public id.
    pub id: Uuid,
}

/// A ticket that was found genuine, or that is about to be issued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// When its session was created.
    pub minted: Timestamp,
    /// When it was last issued.
    pub stamped: Timestamp,
    /// The session's public id.
    pub id: Uuid,
    /// The secret.
    pub secret: TicketSecret,
    /// Whether the key it is signed under is still the current one.
    pub current_key: bool,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({}, MASKED)", self.id)
    }
}

impl Ticket {
    /// A new session's first ticket.
    pub fn mint(now: Timestamp) -> Self {
        Self { minted: now, stamped: now, id: Uuid::new_v4(), secret: crypto::random(), current_key: true }
    }

    /// The same with an id that suits, where that matters; without one where it cannot be found.
    pub(crate) fn mint_suiting(now: Timestamp, id_filter: Option<IdFilter<'_>>) -> Self {
        let mut ticket = Self::mint(now);
        if let Some(id_filter) = id_filter {
            let mut tries = 0;
            while !id_filter(ticket.id) && tries < MOST_TRIES {
                ticket.id = Uuid::new_v4();
                tries += 1;
            }
        }
        ticket
    }

    /// The same with a new stamp.
    #[must_use]
    pub(crate) fn anew(&self, now: Timestamp) -> Self {
        Self { stamped: now, current_key: true, ..*self }
    }

    /// The ticket that follows this one by rotation. Derived and not drawn, so that every answer under the old one can
    /// offer the same again, and no store need hold a secret.
    #[must_use]
    pub fn successor(&self, keys: &Keyring, now: Timestamp) -> Self {
        let secret = keys.sign(&[b"successor", self.id.as_bytes(), &self.secret]);
        Self { stamped: now, secret, current_key: true, ..*self }
    }

    /// The ticket that follows this one because kept cookies changed, for visitors of this network. Derived as
    /// [`successor`](Self::successor) is, for the same reason.
    #[must_use]
    pub(crate) fn handed_over(&self, keys: &Keyring, network: NetworkTag, now: Timestamp) -> Self {
        let network = network.0.to_be_bytes();
        let secret = keys.sign(&[b"handed over", self.id.as_bytes(), &self.secret, &network]);
        Self { stamped: now, secret, current_key: true, ..*self }
    }

    /// What a record keeps.
    pub fn hash(&self) -> SecretHash {
        crypto::sha256(&self.secret)
    }

    /// The cookie's value.
    pub fn write(&self, keys: &Keyring, realm: Realm<'_>) -> String {
        let (kind, name) = realm.tag();
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&[FORMAT, keys.current()]);
        bytes.extend_from_slice(&self.minted.seconds().to_be_bytes());
        bytes.extend_from_slice(&self.stamped.seconds().to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.secret);
        let mac = keys.sign(&[&bytes, &[kind], name.as_bytes()]);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a cookie's value says of itself, proven or not.
    pub(crate) fn read_unproven(value: &[u8]) -> Option<UnprovenTicket> {
        let mut bytes = [0; BYTES];
        if value.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()? != BYTES {
            return None;
        }
        let (&[format, key], rest) = bytes.split_first_chunk::<2>()?;
        let id = rest.get(8..24).and_then(|id| Uuid::from_slice(id).ok())?;
        (format == FORMAT).then_some(UnprovenTicket { key, id })
    }

    /// Reads a cookie's value. `None`: forged, of another realm, under a key we do not have, or no ticket at all.
    pub fn read(value: &[u8], keys: &Keyring, realm: Realm<'_>) -> Option<Self> {
        // The realm is signed and not written: it is known from the request, and a ticket that is
        // carried to another host does not verify.
        let (kind, name) = realm.tag();
        // Nearly everything that is no ticket is told by its length, before any of it is decoded.
        if value.len() != TEXT {
            return None;
        }
        let mut bytes = [0; BYTES];
        if URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()? != BYTES {
            return None;
        }
        let (signed, mac) = bytes.split_at(SIGNED);
        let (head, rest) = signed.split_first_chunk::<2>()?;
        let (minted, rest) = rest.split_first_chunk::<4>()?;
        let (stamped, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (secret, _) = rest.split_first_chunk::<16>()?;
        let [format, key] = *head;
        if format != FORMAT {
            return None;
        }
        // SECURITY: nothing of what was decoded is used before this line.
        let signed_by = keys.verify(key, &[signed, &[kind], name.as_bytes()], mac)?;
        Some(Self {
            minted: Timestamp::from_seconds(u32::from_be_bytes(*minted)),
            stamped: Timestamp::from_seconds(u32::from_be_bytes(*stamped)),
            id: Uuid::from_bytes(*id),
            secret: *secret,
            current_key: signed_by == SignedBy::Current,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let keys = Keyring::ephemeral("ticket");
        let ticket = Ticket::mint(Timestamp::from_seconds(1_700_000_000));
        let text = ticket.write(&keys, Realm::Host("a"));
        assert_eq!(text.len(), TEXT);
        assert_eq!(Ticket::read(text.as_bytes(), &keys, Realm::Host("a")), Some(ticket));
        assert_eq!(Ticket::read(text.as_bytes(), &keys, Realm::Host("b")), None);
        assert_eq!(Ticket::read(text.as_bytes(), &Keyring::ephemeral("ticket"), Realm::Host("a")), None);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let keys = Keyring::ephemeral("ticket");
        let text =
            Ticket::mint(Timestamp::from_seconds(1_700_000_000)).write(&keys, Realm::Host("a")).into_bytes();
        for i in 0..text.len() * 8 {
            let mut bent = text.clone();
            bent[i / 8] ^= 1 << (i % 8);
            assert_eq!(Ticket::read(&bent, &keys, Realm::Host("a")), None, "bit {i}");
        }
    }
}

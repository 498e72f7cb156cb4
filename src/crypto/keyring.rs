//! The key ring: the first key signs, every key verifies. HMAC-SHA256 (RFC 2104), truncated.

use aws_lc_rs::hmac;

use super::{KeySecrets, random, same};

/// A truncated HMAC-SHA256.
pub type MessageMac = [u8; 16];

/// Which key of a ring signed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedBy {
    /// The one that signs today.
    Current,
    /// One before it.
    Previous,
}

struct NumberedKey {
    number: u8,
    hmac: hmac::Key,
}

/// Keys for one use, derived from the configured secrets by HKDF (RFC 5869) under a label of that use.
pub struct Keyring {
    id: u64,
    keys: Vec<NumberedKey>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys, MASKED)", self.keys.len())
    }
}

impl Keyring {
    /// A ring for `label`. A key's number is a byte of its own digest, so it is the same on every machine that shares the
    /// secret.
    pub fn derive(label: &str, secrets: &KeySecrets) -> Self {
        let keys = secrets
            .expand(label)
            .map(|derived| {
                let [number, ..] = super::sha256(&*derived);
                NumberedKey { number, hmac: hmac::Key::new(hmac::HMAC_SHA256, &*derived) }
            })
            .collect();
        Self { id: u64::from_ne_bytes(random()), keys }
    }

    /// A ring of one key that nobody else has and that ends with the process.
    pub fn ephemeral(label: &str) -> Self {
        Self::derive(label, &KeySecrets::ephemeral())
    }

    /// Tells rings of one process apart.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number of the key that signs.
    pub fn current(&self) -> u8 {
        self.keys.first().map_or(0, |k| k.number)
    }

    /// Whether there is a key of this number, which says only where to look.
    pub fn knows(&self, number: u8) -> bool {
        self.keys.iter().any(|key| key.number == number)
    }

    /// Signs the parts, one after the other, under the current key.
    pub fn sign(&self, parts: &[&[u8]]) -> MessageMac {
        self.keys.first().map_or([0; 16], |key| mac(key, parts))
    }

    /// Which key of this number signed the parts, if one did. The number says only where to look: one pair
    /// of keys in 256 has the same.
    pub fn verify(&self, number: u8, parts: &[&[u8]], given: &[u8]) -> Option<SignedBy> {
        let mut all = self.keys.iter().enumerate().filter(|(_, key)| key.number == number);
        let (place, _) = all.find(|(_, key)| same(&mac(key, parts), given))?;
        Some(if place == 0 { SignedBy::Current } else { SignedBy::Previous })
    }
}

fn mac(key: &NumberedKey, parts: &[&[u8]]) -> MessageMac {
    let mut context = hmac::Context::with_key(&key.hmac);
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    let mut out = [0; 16];
    out.iter_mut().zip(tag.as_ref()).for_each(|(o, b)| *o = *b);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_previous_key_still_verifies_and_the_current_one_signs() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = Keyring::derive("t", &KeySecrets::new(old, []));
        let signed = before.sign(&[b"a", b"b"]);
        let after = Keyring::derive("t", &KeySecrets::new(new, [old]));
        assert_eq!(after.verify(before.current(), &[b"ab"], &signed), Some(SignedBy::Previous));
        assert_ne!(after.sign(&[b"ab"]), signed);
        for (label, secrets) in [("t", KeySecrets::new(new, [])), ("u", KeySecrets::new(old, []))] {
            let other = Keyring::derive(label, &secrets);
            assert_eq!(other.verify(before.current(), &[b"ab"], &signed), None);
        }
    }

    #[test]
    fn key_numbers_that_collide_are_told_apart() {
        let ring = |secret: u8| Keyring::derive("t", &KeySecrets::new([secret; 32], []));
        let pairs = (0..=255).flat_map(|one| (0..one).map(move |other| (one, other)));
        let same = pairs.into_iter().find(|(one, other)| ring(*one).current() == ring(*other).current());
        let (old, new) = same.unwrap();
        let signed = ring(old).sign(&[b"a"]);
        let after = Keyring::derive("t", &KeySecrets::new([new; 32], [[old; 32]]));
        assert_eq!(after.verify(after.current(), &[b"a"], &signed), Some(SignedBy::Previous));
        assert_eq!(after.verify(after.current(), &[b"a"], &after.sign(&[b"a"])), Some(SignedBy::Current));
    }
}

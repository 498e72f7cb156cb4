//! The key ring: the first key signs, every key verifies. HMAC-SHA256 (RFC 2104), truncated.

use aws_lc_rs::hmac;

use super::{KeySecrets, random, same};

/// A truncated HMAC-SHA256.
pub type MessageMac = [u8; 16];

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

    /// Signs the parts, one after the other, under the current key.
    pub fn sign(&self, parts: &[&[u8]]) -> MessageMac {
        self.keys.first().map_or([0; 16], |key| mac(key, parts))
    }

    /// True if a key of this number signed the parts.
    pub fn verify(&self, number: u8, parts: &[&[u8]], given: &[u8]) -> bool {
        self.keys.iter().filter(|k| k.number == number).any(|key| same(&mac(key, parts), given))
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
        assert!(after.verify(before.current(), &[b"ab"], &signed));
        assert_ne!(after.sign(&[b"ab"]), signed);
        assert!(!Keyring::derive("t", &KeySecrets::new(new, [])).verify(before.current(), &[b"ab"], &signed));
        assert!(!Keyring::derive("u", &KeySecrets::new(old, [])).verify(before.current(), &[b"ab"], &signed));
    }
}

//! Authenticated encryption: the first key seals, every key opens.
//!
//! AES-256-GCM-SIV (RFC 8452) under random nonces: a nonce that comes twice tells no more than that the same was sealed
//! twice, so there is no count of messages after which a key must go.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::{KeySecrets, sha256};

/// Bytes that sealing adds: key number, nonce, tag.
pub const OVERHEAD: usize = 1 + NONCE_LEN + 16;

struct SealingKey {
    number: u8,
    key: RandomizedNonceKey,
}

/// Keys for one use. Sealed bytes are: key number 1 B, nonce 12 B, ciphertext, tag 16 B.
pub struct Sealer(Vec<SealingKey>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({} keys, MASKED)", self.0.len())
    }
}

/// What was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenedBytes {
    /// The bytes that were sealed.
    pub bytes: Vec<u8>,
    /// They were sealed under the key that is current now; else it is time to seal them anew.
    pub current: bool,
}

impl Sealer {
    /// A ring for `label`; a key's number is a byte of its own digest, the same on every machine that has the secret.
    ///
    /// # Panics
    /// Never: HKDF gives keys of the length that is asked for.
    #[expect(clippy::expect_used, reason = "a key of 32 bytes is what AES-256 takes")]
    pub fn derive(label: &str, secrets: &KeySecrets) -> Self {
        let key = |derived: &[u8; 32]| {
            let [number, ..] = sha256(derived);
            let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, derived).expect("a key of 32 bytes");
            SealingKey { number, key }
        };
        Self(secrets.expand(label).map(|derived| key(&derived)).collect())
    }

    /// The first byte of what each key sealed, the current one first.
    pub fn numbers(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(|key| key.number)
    }

    /// Seals under the current key; `bound` is not in the result, and must be said again to open it. `None` only where
    /// the library fails.
    pub fn seal(&self, bound: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let SealingKey { number, key } = self.0.first()?;
        let mut text = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(bound), &mut text).ok()?;
        Some([&[*number], &nonce.as_ref()[..], &text].concat())
    }

    /// Opens what any key of the ring sealed. `None`: changed, bound to something else, or under a key we do not have.
    pub fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<OpenedBytes> {
        let (number, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().enumerate().filter(|(_, key)| key.number == *number).find_map(|(place, key)| {
            let mut bytes = text.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let length = key.key.open_in_place(nonce, Aad::from(bound), &mut bytes).ok()?.len();
            bytes.truncate(length);
            Some(OpenedBytes { bytes, current: place == 0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else_is() {
        let old = KeySecrets::new([1; 32], []);
        let new = KeySecrets::new([2; 32], [[1; 32]]);
        let sealer = Sealer::derive("t", &old);
        let sealed = sealer.seal(b"name", b"value").unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        let opened = |current| Some(OpenedBytes { bytes: b"value".to_vec(), current });
        assert_eq!(sealer.open(b"name", &sealed), opened(true));
        assert_eq!(Sealer::derive("t", &new).open(b"name", &sealed), opened(false));
        assert_eq!(sealer.open(b"other", &sealed), None);
        assert_eq!(Sealer::derive("u", &old).open(b"name", &sealed), None);
        assert_eq!(Sealer::derive("t", &KeySecrets::ephemeral()).open(b"name", &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealer.open(b"name", &bent), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(sealer.open(b"name", &sealed[..length]), None, "{length} bytes");
        }
        assert_ne!(sealer.seal(b"name", b"value"), Some(sealed), "under another nonce each time");
    }
}

//! The secrets of `[keys]`: what every key ring is derived from.

use std::fmt;

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::random;

/// 32 bytes each, the current one first. Wiped when they are dropped; shown as `MASKED`.
#[derive(Clone)]
pub struct KeySecrets(Vec<Zeroizing<[u8; 32]>>);

impl KeySecrets {
    /// The current secret and those before it.
    pub fn new(current: [u8; 32], previous: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(std::iter::once(current).chain(previous).map(Zeroizing::new).collect())
    }

    /// One that nobody else has and that ends with the process.
    pub fn ephemeral() -> Self {
        Self::new(random(), [])
    }

    /// Whether the current secret of those is the current one here, an earlier one, or none of these.
    pub fn place_of_current(&self, of: &Self) -> Option<usize> {
        let current = of.0.first()?;
        self.0.iter().position(|secret| super::same(&**secret, &**current))
    }

    /// A key for one use from each secret, by HKDF-SHA256 (RFC 5869) under a label of that use.
    pub(super) fn expand(&self, label: &str) -> impl Iterator<Item = Zeroizing<[u8; 32]>> {
        self.0.iter().map(move |secret| expand(label, secret))
    }
}

impl fmt::Debug for KeySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({}, MASKED)", self.0.len())
    }
}

struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

#[expect(clippy::expect_used, reason = "32 bytes are within what HKDF-SHA256 can give")]
fn expand(label: &str, secret: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"cloakroom")
        .extract(secret)
        .expand(&[label.as_bytes()], KeyLength)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("HKDF gives 32 bytes");
    out
}

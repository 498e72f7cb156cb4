//! Cryptography: random bytes, digests, and what is derived from the secrets of `[keys]`: a [`Keyring`] signs, a
//! [`Sealer`] encrypts. [`HmacSha1`] is for formats of others.
//!
//! Here live thin names over `aws-lc-rs`; nothing here knows what a session is.

mod hmac_sha1;
mod keyring;
mod sealer;
mod secrets;

pub use hmac_sha1::HmacSha1;
pub use keyring::{Keyring, SignedBy};
pub use sealer::{OVERHEAD, Sealer};
pub use secrets::KeySecrets;

use aws_lc_rs::{constant_time, digest, rand};

/// `N` bytes from the system's generator.
///
/// # Panics
/// Never in practice: without randomness there is nothing safe left to do, and the process ends.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "no safe way to go on without randomness")]
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()).for_each(|(o, b)| *o = *b);
    out
}

/// Equality that takes as long for a near miss as for a far one.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

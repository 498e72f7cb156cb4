//! HMAC-SHA1 (RFC 2104), for formats of others that are signed with it. Nothing of our own is: as a MAC it still holds,
//! but there is no reason to choose it anew.

use aws_lc_rs::hmac;

/// A key that signs and verifies.
pub struct HmacSha1(hmac::Key);

/// 20 bytes.
pub type Sha1Mac = [u8; 20];

impl std::fmt::Debug for HmacSha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HmacSha1(MASKED)")
    }
}

impl HmacSha1 {
    /// A key of any length.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key))
    }

    /// The MAC of the parts, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> Sha1Mac {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let tag = context.sign();
        let mut out = [0; 20];
        out.iter_mut().zip(tag.as_ref()).for_each(|(o, b)| *o = *b);
        out
    }

    /// True if it is the MAC of the parts; compared in constant time.
    pub fn verify(&self, parts: &[&[u8]], given: &[u8]) -> bool {
        super::same(&self.sign(parts), given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 section 3, cases 1, 2 and 6.
    #[test]
    fn the_vectors_of_rfc_2202() {
        for (key, data, wanted) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
        ] {
            let key = HmacSha1::new(key);
            let (front, back) = data.split_at(3);
            let mac = key.sign(&[front, back]);
            let digit = |b: u8| char::from_digit(u32::from(b), 16).unwrap();
            let hex: String = mac.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect();
            assert_eq!(hex, wanted);
            assert!(key.verify(&[data], &mac));
            assert!(!key.verify(&[front], &mac) && !key.verify(&[data], &mac[..19]));
        }
    }
}

//! Sealed values: what a browser holds of a cookie that it may not read.
//!
//! A value is base64url (no padding) of what [`Sealer`] makes of it, which is authenticated together with the realm, the
//! app's name for the cookie and, where the rule binds it, the session: a sealed value is worth nothing elsewhere.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::crypto::Sealer;

/// What a value is bound to. Each part comes after its length, so that no two of them read alike.
pub(super) fn bound(name: &[u8], realm: (u8, &str), session: Option<Uuid>) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
    let realm_name = realm.1.as_bytes();
    let session = session.map(Uuid::into_bytes);
    let session: &[u8] = session.as_ref().map_or(b"", |id| id.as_slice());
    [&[realm.0], &length(realm_name)[..], realm_name, &length(name), name, session].concat()
}

/// Seals a value; `None` only where the library fails.
pub(super) fn seal(sealer: &Sealer, bound: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    Some(URL_SAFE_NO_PAD.encode(sealer.seal(bound, value)?).into_bytes())
}

/// Opens a value. `None`: changed, of another name, realm or session, or under a key that we do not have.
pub(super) fn open(sealer: &Sealer, bound: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    Some(sealer.open(bound, &URL_SAFE_NO_PAD.decode(value).ok()?)?.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeySecrets;

    #[test]
    fn sealed_value_with_any_bit_changed_is_refused() {
        let sealer = Sealer::derive("cookie", &KeySecrets::new([1; 32], []));
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let home = bound(b"sid", (b'h', "a.test"), Some(one));
        let elsewhere = [
            bound(b"si", (b'h', "a.test"), Some(one)),
            bound(b"sid", (b'h', "b.test"), Some(one)),
            bound(b"sid", (b'n', "a.test"), Some(one)),
            bound(b"sid", (b'h', "a.test"), Some(two)),
            bound(b"sid", (b'h', "a.test"), None),
            bound(b"testsid", (b'h', "a."), Some(one)),
        ];
        for length in 0..100 {
            let value = vec![b'v'; length];
            let sealed = seal(&sealer, &home, &value).unwrap();
            assert_eq!(open(&sealer, &home, &sealed), Some(value));
            for bit in 0..sealed.len() * 8 {
                let mut bent = sealed.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&sealer, &home, &bent), None, "bit {bit}");
            }
            for other in &elsewhere {
                assert_eq!(open(&sealer, other, &sealed), None);
            }
            let foreign = Sealer::derive("cookie", &KeySecrets::new([2; 32], []));
            assert_eq!(open(&foreign, &home, &sealed), None);
            let rotated = Sealer::derive("cookie", &KeySecrets::new([2; 32], [[1; 32]]));
            assert!(open(&rotated, &home, &sealed).is_some());
        }
    }
}

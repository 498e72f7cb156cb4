//! The signature and the timestamp, as itsdangerous makes them.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::CodecError;
use crate::crypto::HmacSha1;

/// Written without padding, read with or without it, whatever its last bits are: as Python does.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What Flask salts the keys of its sessions with.
const SALT: &[u8] = b"cookie-session";

/// A cookie that one of the keys signed.
#[derive(Debug)]
pub(super) struct SignedCookie<'a> {
    pub payload: &'a [u8],
    /// Since 1970.
    pub seconds: u32,
    pub current: bool,
}

/// The keys of one app: the first signs, all verify.
#[derive(Debug)]
pub(super) struct FlaskSigner(Vec<HmacSha1>);

impl FlaskSigner {
    pub fn new<'a>(secret_key: &'a [u8], fallbacks: impl Iterator<Item = &'a [u8]>) -> Self {
        let derive = |secret: &[u8]| HmacSha1::new(&HmacSha1::new(secret).sign(&[SALT]));
        Self(std::iter::once(secret_key).chain(fallbacks).map(derive).collect())
    }

    pub fn verify<'a>(&self, cookie: &'a [u8]) -> Result<SignedCookie<'a>, CodecError> {
        let (text, given) = halves(cookie).ok_or(CodecError::Malformed)?;
        let given = BASE64.decode(given).map_err(|_| CodecError::Signature)?;
        let place = self.0.iter().position(|key| key.verify(&[text], &given)).ok_or(CodecError::Signature)?;
        let (payload, stamp) = halves(text).ok_or(CodecError::Malformed)?;
        let seconds = BASE64.decode(stamp).ok().and_then(|bytes| number(&bytes));
        // What is beyond this is no time that any clock shows before 2106.
        let seconds = seconds.and_then(|s| u32::try_from(s).ok()).ok_or(CodecError::Malformed)?;
        Ok(SignedCookie { payload, seconds, current: place == 0 })
    }

    pub fn sign(&self, payload: String, seconds: u64) -> String {
        let mut text = payload;
        let stamp = seconds.to_be_bytes();
        let zeros = stamp.iter().take_while(|b| **b == 0).count();
        text.push('.');
        BASE64.encode_string(stamp.get(zeros..).unwrap_or_default(), &mut text);
        let mac = self.0.first().map(|key| key.sign(&[text.as_bytes()])).unwrap_or_default();
        text.push('.');
        BASE64.encode_string(mac, &mut text);
        text
    }
}

/// What stands before the last dot, and behind it.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memrchr(b'.', text)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Big-endian, of at most 8 bytes.
fn number(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b)))
}

//! Flask's session cookie: signed, not encrypted. `payload "." timestamp "." signature`, where the payload is JSON in
//! which one-key objects say of what type a value is.
//!
//! Here live the cookie ([`FlaskCodec`]: signature, age, compression) and what is in it ([`FlaskDocument`]). Never: which of it an
//! app is shown, and when a cookie is sent. The format is what Flask 2 and 3 with itsdangerous 2 read and write; no
//! standard binds it.

mod document;
mod json;
mod payload;
mod signature;
mod tags;

pub use document::FlaskDocument;

use std::time::Duration;

use crate::clock::Timestamp;
use signature::FlaskSigner;

/// What Flask's `PERMANENT_SESSION_LIFETIME` is unless it is set: 31 days.
pub const LIFETIME: Duration = Duration::from_hours(31 * 24);

/// Why a cookie is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It has not the three parts.
    #[error("not a cookie of Flask")]
    Malformed,
    /// No key signed it.
    #[error("signed by none of the keys")]
    Signature,
    /// It was signed longer ago than sessions last.
    #[error("older than the sessions' lifetime")]
    Expired,
    /// It was signed in the future: the clocks of two machines differ.
    #[error("signed in the future: do the clocks of this machine and of the app differ?")]
    Future,
    /// Signed as it should be, and unreadable all the same.
    #[error("signed, but what it holds is no session of Flask, or too large")]
    Unreadable,
}

/// A cookie that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedFlaskCookie {
    /// What it holds.
    pub document: FlaskDocument,
    /// When it was signed, to the second.
    pub signed: Timestamp,
    /// By the current key; else by a fallback.
    pub current: bool,
}

/// Reads and writes cookies under one app's keys.
#[derive(Debug)]
pub struct FlaskCodec {
    signature: FlaskSigner,
    lifetime: Duration,
}

impl FlaskCodec {
    /// `SECRET_KEY`; `SECRET_KEY_FALLBACKS`; `PERMANENT_SESSION_LIFETIME`, which is what a cookie's age is held against, permanent or not.
    pub fn new<'a>(
        secret_key: &'a [u8],
        fallbacks: impl Iterator<Item = &'a [u8]>,
        lifetime: Duration,
    ) -> Self {
        Self { signature: FlaskSigner::new(secret_key, fallbacks), lifetime }
    }

    /// Reads a cookie's value.
    ///
    /// # Errors
    /// Why it is a stranger's.
    pub fn open(&self, cookie: &[u8], now: Timestamp) -> Result<OpenedFlaskCookie, CodecError> {
        let signed = self.signature.verify(cookie)?;
        // Flask counts whole seconds.
        let age = now.seconds().checked_sub(signed.seconds).ok_or(CodecError::Future)?;
        if u64::from(age) > self.lifetime.as_secs() {
            return Err(CodecError::Expired);
        }
        // SECURITY: inflated and parsed only once a key has signed it.
        let text = payload::read(signed.payload).ok_or(CodecError::Unreadable)?;
        let document = FlaskDocument::read(&text).ok_or(CodecError::Unreadable)?;
        Ok(OpenedFlaskCookie {
            document,
            signed: Timestamp::from_seconds(signed.seconds),
            current: signed.current,
        })
    }

    /// Writes a cookie's value, under the current key. Not measured here: browsers keep 4096 bytes.
    pub fn seal(&self, document: &FlaskDocument, now: Timestamp) -> String {
        self.signature.sign(payload::write(document.write().as_bytes()), u64::from(now.seconds()))
    }
}

#[cfg(test)]
mod tests;

//! `[keys]`: what tickets are signed and what is on disk is sealed under.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    secret::{SecretError, SecretSource, SecretText},
    value::TableReader,
};
use crate::crypto::{self, KeySecrets};

/// `[keys]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysConfig {
    /// `current`: signs and seals; absent: made on the first start and kept in the state directory.
    pub current: Option<SecretSource>,
    /// `previous`: still open what they sealed.
    pub previous: Vec<SecretSource>,
}

/// A key that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is there, and no key.
    #[error("{0} holds no key: `cloakroom key generate` makes one, 43 letters long")]
    NoKey(String),
}

impl KeysConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let keys = Self {
            current: SecretSource::parse(reader, "current"),
            previous: SecretSource::parse_all(reader, "previous"),
        };
        reader.finish();
        keys
    }

    /// Reads the keys as they are now. Where there is no `current`, `made` is it.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn secrets(&self, made: impl FnOnce() -> Result<[u8; 32], KeyError>) -> Result<KeySecrets, KeyError> {
        let current = self.current.as_ref().map_or_else(made, Self::read_one)?;
        let previous: Result<Vec<_>, _> = self.previous.iter().map(Self::read_one).collect();
        Ok(KeySecrets::new(current, previous?))
    }

    /// Reads one key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn read_one(source: &SecretSource) -> Result<[u8; 32], KeyError> {
        key(&source.read()?).ok_or_else(|| KeyError::NoKey(source.to_string()))
    }

    /// A new key, as it stands in a file: base64url of 32 random bytes, and a line end.
    pub fn generate() -> String {
        URL_SAFE_NO_PAD.encode(crypto::random::<32>()) + "\n"
    }
}

fn key(text: &SecretText) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text.expose()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_generated_is_a_key_and_a_password_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            SecretSource::File(folder.path().join(name))
        };
        let (one, two) = (file("one", &KeysConfig::generate()), file("two", &KeysConfig::generate()));
        assert_ne!(KeysConfig::read_one(&one).unwrap(), KeysConfig::read_one(&two).unwrap());
        let keys = KeysConfig { current: Some(one), previous: vec![two] };
        assert!(keys.secrets(|| panic!("there is one")).is_ok());
        assert!(KeysConfig::default().secrets(|| Ok([1; 32])).is_ok());
        for text in ["hunter2", &"A".repeat(42), &"A".repeat(44), &"=".repeat(43)] {
            let error = KeysConfig::read_one(&file("bad", text)).unwrap_err().to_string();
            assert!(error.contains("bad holds no key"), "{error}");
            assert!(!error.contains(text));
        }
    }
}

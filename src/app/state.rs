//! What outlives the process: the keys, and the sessions.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    config::{Config, KeyError, KeysConfig, RevocationMemory, SecretError, SecretSource, StoreKind},
    cookies::KnownNames,
    crypto::{self, KeySecrets},
    session::{BackendState, Revocations},
    store::{
        DiskStore, MemoryStore, RecordStore,
        disk::{DiskSettings, OpenError},
    },
};

/// The key that was made on the first start.
const KEY: &str = "key";
/// The admin's token, likewise.
pub const TOKEN: &str = "admin-token";

/// Why there are no keys, or no store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A key of `[keys]` cannot be had.
    #[error("[keys]: {0}")]
    Key(#[from] KeyError),
    /// The token of `[admin]` cannot be had.
    #[error("[admin] token: {0}")]
    Token(SecretError),
    /// No key can be kept.
    #[error("a key cannot be kept in the state directory {}: {why}; set [store] path to a folder that this user may \
             write, or [keys] current", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The store cannot be opened.
    #[error("[store]: {0}")]
    Store(#[from] OpenError),
}

/// The key of a process that is given none and need not keep one: it is the same for as long as the process lives.
pub struct OwnKey(Zeroizing<[u8; 32]>);

impl Default for OwnKey {
    fn default() -> Self {
        Self(Zeroizing::new(crypto::random()))
    }
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey(MASKED)")
    }
}

/// Reads the keys and opens the store. `died` is called if the store's thread ends by itself.
pub(super) fn open(
    config: &Config,
    own: &OwnKey,
    died: impl FnOnce() + Send + 'static,
) -> Result<(BackendState, KeySecrets), StateError> {
    let (rules, now) = (&config.session, Timestamp::now());
    let secrets = secrets(config, own)?;
    let lasting = match config.store.kind {
        StoreKind::Memory => {
            let memory = MemoryStore::new(config.store.max_bytes, rules, now);
            BackendState::Store(Arc::new(RecordStore::Memory(Box::new(memory))))
        }
        StoreKind::Cookie => BackendState::ClientSide(Arc::new(Revocations::open(
            config.store.revocations,
            config.store.max_bytes,
            &config.store.folder(),
            config.store.commit_timeout,
            died,
        )?)),
        StoreKind::Flask => BackendState::Nothing,
        StoreKind::Disk => BackendState::Store(Arc::new(RecordStore::Disk(DiskStore::open(
            &DiskSettings {
                folder: &config.store.folder(),
                durability: config.store.durability,
                commit_timeout: config.store.commit_timeout,
                max_bytes: config.store.max_bytes,
                max_disk_bytes: config.store.max_disk_bytes,
                secrets: &secrets,
                rules,
                now,
            },
            died,
        )?))),
    };
    Ok((lasting, secrets))
}

/// The keys of `[keys]`; where there is no current one, that of the first start. Sessions in memory need none that lasts.
pub fn secrets(config: &Config, own: &OwnKey) -> Result<KeySecrets, StateError> {
    if config.keys.current.is_none() && config.store.kind == StoreKind::Disk {
        let folder = config.store.folder();
        let why = |why| StateError::Folder { folder: folder.clone(), why };
        make(&folder, KEY, "who has it can read the store; [keys] names another place").map_err(why)?;
        let file = SecretSource::File(folder.join(KEY));
        return Ok(config.keys.secrets(|| KeysConfig::read_one(&file))?);
    }
    Ok(config.keys.secrets(|| Ok(*own.0))?)
}

/// The names of the apps' cookies outlive the process where sessions do, or what is known of them.
pub(super) fn keep_cookie_names(config: &Config, names: &KnownNames) {
    let lasts = match config.store.kind {
        StoreKind::Disk => true,
        StoreKind::Cookie => config.store.revocations == RevocationMemory::Disk,
        StoreKind::Memory | StoreKind::Flask => false,
    };
    if !lasts {
        return;
    }
    let file = config.store.folder().join("cookie-names");
    if let Err(error) = names.keep_in(&file) {
        tracing::warn!(%error, file = %file.display(), "names of cookies cannot be kept over a restart");
    }
}

/// Where the admin's token is read from, where it asks for one: on TCP.
pub fn admin_token_source(config: &Config) -> Option<SecretSource> {
    matches!(config.admin.place(), Some(Err(_))).then(|| {
        config.admin.token.clone().unwrap_or_else(|| SecretSource::File(config.store.folder().join(TOKEN)))
    })
}

/// The hash of the admin's token, where it asks for one; made on the first start unless the configuration names one.
pub(super) fn admin_token(config: &Config) -> Result<Option<[u8; 32]>, StateError> {
    let Some(source) = admin_token_source(config) else { return Ok(None) };
    if config.admin.token.is_none() {
        let folder = config.store.folder();
        let made = make(&folder, TOKEN, "the API on [admin] address asks for it");
        made.map_err(|why| StateError::Folder { folder, why })?;
    }
    let token = source.read().map_err(StateError::Token)?;
    Ok(Some(crypto::sha256(token.expose().trim_ascii())))
}

/// Makes the key, unless it is there: for this user alone, and on disk before anything is sealed under it.
fn make(folder: &Path, name: &str, what: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    // Under another name until it is whole: a key that was cut short would lock out all that it had sealed.
    let draft = folder.join(format!(".{name}"));
    // SECURITY: whoever may write into the folder could have put a link there, or a file of their own. What is there goes,
    // and the draft is made anew or not at all (O_EXCL follows no link).
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(KeysConfig::generate().as_bytes())?;
    // On disk before anything is sealed under it: a power cut must not leave a store without its
    // key.
    file.sync_all()?;
    // Another process may have made one meanwhile: then that is the key.
    let made = std::fs::hard_link(&draft, &path);
    std::fs::remove_file(&draft)?;
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(folder)?.sync_all()?;
    tracing::info!(path = %path.display(), what, "a key was made");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Whoever may write into the folder must not have the key written elsewhere.
    #[test]
    fn a_key_is_written_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        symlink(&elsewhere, folder.path().join(".key")).unwrap();
        make(folder.path(), KEY, "for a test").unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
        let key = folder.path().join(KEY);
        assert!(std::fs::symlink_metadata(&key).unwrap().is_file() && !folder.path().join(".key").exists());
    }
}

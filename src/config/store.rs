//! `[store]`: where sessions live.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{
    secret::{SecretError, SecretSource, environment, path},
    value::{TableReader, ValueProblem},
};
use crate::message::field::normal;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `kind`
    pub kind: StoreKind,
    /// `path`: of the state directory.
    pub path: Option<PathBuf>,
    /// `durability`: of the disk.
    pub durability: Durability,
    /// `commit_timeout`: how long the disk may take; after it a change counts as failed.
    pub commit_timeout: Duration,
    /// `max_bytes`: of memory; of the disk kind, what is kept in front.
    pub max_bytes: u64,
    /// `max_disk_bytes`: of the database.
    pub max_disk_bytes: Option<u64>,
    /// `max_cookies`: of the cookie kind, in how many a session may travel.
    pub max_cookies: u8,
    /// `ended`: of the cookie kind, where it is remembered which sessions are over.
    pub revocations: RevocationMemory,
    /// Of the flask kind.
    pub flask: FlaskSession,
}

/// How a session is shared with a Flask app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlaskSession {
    /// `secret_key`: the app's `SECRET_KEY`.
    pub secret_key: Option<SecretSource>,
    /// `fallbacks`: its `SECRET_KEY_FALLBACKS`.
    pub fallbacks: Vec<SecretSource>,
    /// `export`: Flask's keys and the fields that they are shown as; `None`: all that do not begin with `_` and make a
    /// field's name.
    pub export: Option<Vec<(String, String)>>,
    /// `principal`: Flask's key that says who is logged in.
    pub principal: String,
    /// `write`: `false`: Flask alone writes.
    pub write: bool,
    /// `refresh_each_request`: its `SESSION_REFRESH_EACH_REQUEST`.
    pub refresh_each_request: bool,
}

impl FlaskSession {
    fn read(reader: &TableReader<'_>) -> Self {
        let key = |value: &DeValue<'_>| match value.as_str() {
            Some("") => Err(ValueProblem::VALUE),
            Some(key) => Ok(key.to_owned()),
            None => Err(ValueProblem::TYPE),
        };
        let principal = reader.optional("principal", "a key of Flask's session", key);
        Self {
            secret_key: SecretSource::parse(reader, "secret_key"),
            fallbacks: SecretSource::parse_all(reader, "fallbacks"),
            export: reader.span("export").map(|_| export(reader)),
            principal: principal.unwrap_or_else(|| "_user_id".to_owned()),
            write: reader.bool("write", true),
            refresh_each_request: reader.bool("refresh_each_request", true),
        }
    }

    /// The keys as they are now, the current one first.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, SecretError> {
        self.secret_key.iter().chain(&self.fallbacks).map(|key| Ok(key.read()?.expose().to_vec())).collect()
    }
}

/// Flask's keys, and the names of fields.
fn export(reader: &TableReader<'_>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for entry in reader.entries("export", "a table such as { \"_user_id\" = \"user-id\" }") {
        let field = entry.value.get_ref().as_str().ok_or(ValueProblem::TYPE);
        match field.and_then(|field| normal(field).map_err(ValueProblem::why)) {
            Ok(field) if all.iter().any(|(_, known)| *known == field) => {
                reader.refuse("export", entry.value, "a field of its own for each key", ValueProblem::VALUE);
            }
            Ok(field) => all.push((entry.name.to_owned(), field)),
            Err(mistake) => {
                reader.refuse("export", entry.value, "a field's name such as \"user-id\"", mistake);
            }
        }
    }
    all
}

/// `ended`: where this node remembers which sessions are over that visitors carry themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RevocationMemory {
    /// `"memory"`: until the process ends.
    #[default]
    Memory,
    /// `"disk"`: in the state directory.
    Disk,
    /// `"off"`: nowhere.
    Off,
}

/// `durability`: when a change counts as kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// `"group"`: synced, together with all that came while the sync before ran.
    #[default]
    Group,
    /// `"sync"`: synced, each by itself.
    Sync,
    /// `"os"`: handed to the operating system; a power cut may lose the last seconds.
    Os,
}

/// `kind`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// `"disk"`
    #[default]
    Disk,
    /// `"memory"`
    Memory,
    /// `"cookie"`: with the visitor, sealed.
    Cookie,
    /// `"flask"`: with the visitor, in Flask's own cookie.
    Flask,
}

const MIB: u64 = 1 << 20;

impl StoreConfig {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let kind =
            reader.parsed("kind", "\"disk\", \"memory\", \"cookie\" or \"flask\"", |kind| match kind {
                "disk" => Ok(StoreKind::Disk),
                "memory" => Ok(StoreKind::Memory),
                "cookie" => Ok(StoreKind::Cookie),
                "flask" => Ok(StoreKind::Flask),
                "redis" => Err(ValueProblem::why("not built yet")
                    .help("use kind = \"disk\": sessions outlive the process")),
                _ => Err(ValueProblem::VALUE),
            });
        let durabilities = [("group", Durability::Group), ("sync", Durability::Sync), ("os", Durability::Os)];
        let bytes = 16 * MIB..=1 << 50;
        let memories = [
            ("memory", RevocationMemory::Memory),
            ("disk", RevocationMemory::Disk),
            ("off", RevocationMemory::Off),
        ];
        let store = Self {
            kind: kind.unwrap_or_default(),
            path: reader.parsed("path", "an absolute path", path),
            durability: reader.choice("durability", &durabilities, Durability::Group),
            commit_timeout: reader.duration("commit_timeout", Duration::from_secs(5)),
            max_bytes: reader.size("max_bytes", &(MIB..=1 << 50), 512 * MIB),
            max_disk_bytes: reader.optional_limit_size("max_disk_bytes", &bytes).unwrap_or(Some(8 << 30)),
            max_cookies: reader.number("max_cookies", 1..=8, 4) as u8,
            revocations: reader.choice("revocations", &memories, RevocationMemory::Memory),
            flask: FlaskSession::read(reader),
        };
        reader.finish();
        store
    }

    /// The state directory: `path`, else what systemd made, else where such things go.
    pub fn folder(&self) -> PathBuf {
        let is_root = || fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        folder(self.path.clone(), |name| environment(name).map(PathBuf::from), is_root)
    }
}

fn folder(
    configured: Option<PathBuf>,
    environment: impl Fn(&str) -> Option<PathBuf>,
    is_root: impl Fn() -> bool,
) -> PathBuf {
    if let Some(path) = configured {
        return path;
    }
    // systemd.exec(5): several are parted by colons.
    if let Some(all) = environment("STATE_DIRECTORY")
        && let Some(first) =
            all.to_str().and_then(|all| all.split(':').next()).filter(|first| !first.is_empty())
    {
        return PathBuf::from(first);
    }
    match environment("HOME").filter(|home| home.is_absolute()) {
        Some(home) if !is_root() => home.join(".local/state/cloakroom"),
        _ => PathBuf::from("/var/lib/cloakroom"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_where_it_was_said_to_be() {
        let systemd = ("STATE_DIRECTORY", "/var/lib/shop:/var/lib/other");
        let home = ("HOME", "/home/zoe");
        for (path, set, root, wanted) in [
            (Some("/srv/state"), &[systemd, home][..], true, "/srv/state"),
            (None, &[systemd, home], false, "/var/lib/shop"),
            (None, &[("STATE_DIRECTORY", ""), home], true, "/var/lib/cloakroom"),
            (None, &[home], false, "/home/zoe/.local/state/cloakroom"),
            (None, &[], false, "/var/lib/cloakroom"),
        ] {
            let environment =
                |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            assert_eq!(folder(path.map(PathBuf::from), environment, || root), PathBuf::from(wanted));
        }
    }
}

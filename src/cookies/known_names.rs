//! Names under which the apps were ever seen to set a cookie: what a browser sends under any other, a script of the app's has
//! written, or its visitor.
//!
//! Where sessions outlive the process the names do as well, in a file with a line for each.
//! Bounded: past [`MOST_NAMES`] every name counts as known.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use parking_lot::{Mutex, RwLock};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{inventory::MOST_NAMES, lookalikes};
use crate::config::is_session_like;

/// What is read of the file, in bytes.
const MOST_BYTES: u64 = 8 << 20;
/// So many names that scripts wrote are told.
const MOST_TOLD: usize = 100;

/// The names, of all upstreams: one may send another's on, or be the same app.
#[derive(Debug, Default)]
pub struct KnownNames {
    /// All that some app may read them as, folded as the most lenient reads them.
    names: RwLock<HashSet<Vec<u8>>>,
    file: Mutex<Option<File>>,
    told: Mutex<HashSet<Vec<u8>>>,
}

impl KnownNames {
    /// Reads the names that are in this file, and adds to it from now on.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn keep_in(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut text = Vec::new();
        (&file).take(MOST_BYTES).read_to_end(&mut text)?;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A line that a power cut left short names another cookie, which does no harm.
            self.insert(&percent_decode(line).collect::<Vec<u8>>());
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        *self.file.lock() = Some(file);
        Ok(())
    }

    /// An app set a cookie of this name.
    pub(super) fn add(&self, name: &[u8]) {
        if !self.insert(name) {
            return;
        }
        let mut file = self.file.lock();
        let Some(open) = file.as_mut() else { return };
        let line = format!("{}\n", percent_encode(name, NON_ALPHANUMERIC));
        if let Err(error) = open.write_all(line.as_bytes()) {
            tracing::warn!(%error, "names of cookies cannot be kept over a restart");
            *file = None;
        }
    }

    /// True if there was anything new in it.
    fn insert(&self, name: &[u8]) -> bool {
        let mut names = self.names.write();
        let before = names.len();
        if before < MOST_NAMES {
            lookalikes::readings(name, |reading| {
                names.insert(folded(reading));
            });
        }
        names.len() > before
    }

    /// Whether some app would read this name as one that an app was seen to set.
    pub(super) fn may_be_set(&self, name: &[u8]) -> bool {
        let names = self.names.read();
        let mut found = names.len() >= MOST_NAMES;
        lookalikes::readings(name, |reading| found = found || names.contains(&folded(reading)));
        found
    }

    /// Likewise, or as one that looks like a session's.
    pub(super) fn may_be_the_apps(&self, name: &[u8]) -> bool {
        let mut found = self.may_be_set(name);
        lookalikes::readings(name, |reading| {
            found = found || is_session_like(reading) || is_session_like(&folded(reading));
        });
        found
    }

    /// Tells of a name that passes, once.
    pub(super) fn tell(&self, upstream: &str, name: &[u8]) {
        let mut told = self.told.lock();
        if told.len() < MOST_TOLD && told.insert(name.to_vec()) {
            let cookie = String::from_utf8_lossy(name);
            tracing::info!(
                upstream,
                %cookie,
                "a cookie that no answer has set passes to the app: a script wrote it; a rule with its name and action = \
                 \"pass\" before the wildcard says that it may"
            );
        }
    }
}

fn folded(name: &[u8]) -> Vec<u8> {
    name.iter().map(|byte| lookalikes::fold(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cookie-names");
        let open = || {
            let known = KnownNames::default();
            known.keep_in(&path).unwrap();
            known
        };
        let known = open();
        for name in [&b"cart"[..], b"a\tb\n%", b"cart", b"user%5Bdata%5D", b"list[items]"] {
            known.add(name);
        }
        // A power cut.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"ca").unwrap();
        open().add(b"other");
        let known = open();
        let spellings = [
            &b"cart"[..],
            b"CART",
            b"ca%72t",
            b"a\tb\n%",
            b"user[data]",
            b"user",
            b"user[x][0]",
            b"list",
            b"list[items][0]",
            b"other",
            b"ca",
        ];
        for name in spellings {
            assert!(known.may_be_set(name) && known.may_be_the_apps(name), "{}", name.escape_ascii());
        }
        for (name, is_login) in
            [(&b"prefs"[..], false), (b"PHPSESSID", true), (b"phpsessid", true), (b"my%2esid", true)]
        {
            assert!(!known.may_be_set(name), "{}", name.escape_ascii());
            assert_eq!(known.may_be_the_apps(name), is_login, "{}", name.escape_ascii());
        }
        let size = std::fs::metadata(&path).unwrap().len();
        open();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), size, "a start adds nothing");
    }

    #[test]
    fn past_the_limit_every_name_is_known() {
        let known = KnownNames::default();
        (0..MOST_NAMES).for_each(|number| known.add(format!("n{number}").as_bytes()));
        assert!(known.may_be_set(b"prefs"));
    }
}

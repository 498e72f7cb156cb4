//! Names under which the apps were ever seen to set a cookie: what a browser sends under any other, a script of the app's has
//! written, or its visitor.
//!
//! Where sessions outlive the process the names do as well, in a file that only grows: a line for each, upstream and name.
//! Bounded: past [`MOST_NAMES`] every name counts as known.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use parking_lot::{Mutex, RwLock};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::{inventory::MOST_NAMES, lookalikes};
use crate::config::is_session_like;

/// So many names that scripts wrote are told.
const MOST_TOLD: usize = 100;

/// The names, by upstream.
#[derive(Debug, Default)]
pub struct KnownNames {
    /// Folded as the most lenient app reads them.
    names: RwLock<HashSet<(String, Vec<u8>)>>,
    file: Mutex<Option<File>>,
    told: Mutex<HashSet<Vec<u8>>>,
}

impl KnownNames {
    /// Reads the names that are in this file, and adds to it from now on.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn keep_in(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut names = self.names.write();
        for line in BufReader::new(&file).split(b'\n').take(2 * MOST_NAMES) {
            let line = line?;
            // A line that a power cut left short names another cookie, which does no harm.
            let mut parts = line.split(|byte| *byte == b'\t');
            if let (Some(upstream), Some(name)) = (parts.next(), parts.next()) {
                let text = |part| String::from_utf8_lossy(part).into_owned();
                names.insert((text(upstream), percent_decode(name).collect()));
            }
        }
        // What is added begins on a line of its own.
        (&file).write_all(b"\n")?;
        *self.file.lock() = Some(file);
        Ok(())
    }

    /// An app set a cookie of this name.
    pub(super) fn add(&self, upstream: &str, name: &[u8]) {
        let key = (upstream.to_owned(), folded(name));
        let mut names = self.names.write();
        if names.len() >= MOST_NAMES || !names.insert(key) {
            return;
        }
        drop(names);
        let mut file = self.file.lock();
        let Some(open) = file.as_mut() else { return };
        let line = format!("{upstream}\t{}\n", percent_encode(&folded(name), NON_ALPHANUMERIC));
        if let Err(error) = open.write_all(line.as_bytes()) {
            tracing::warn!(%error, "names of cookies cannot be kept over a restart");
            *file = None;
        }
    }

    /// Whether some app would read this name as one that this upstream's app was seen to set, or that looks like a session's.
    pub(super) fn may_be_the_apps(&self, upstream: &str, name: &[u8]) -> bool {
        let names = self.names.read();
        if names.len() >= MOST_NAMES {
            return true;
        }
        let mut found = false;
        lookalikes::readings(name, |reading| {
            let folded = folded(reading);
            found = found
                || is_session_like(reading)
                || is_session_like(&folded)
                || names.contains(&(upstream.to_owned(), folded));
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
        known.add("app", b"cart");
        known.add("app", b"a\tb\n%");
        known.add("app", b"cart");
        drop(known);
        // A power cut.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"app\tca").unwrap();
        let known = open();
        known.add("app", b"other");
        let known = open();
        for name in [&b"cart"[..], b"CART", b"ca%72t", b"a\tb\n%", b"PHPSESSID", b"phpsessid"] {
            assert!(known.may_be_the_apps("app", name), "{}", name.escape_ascii());
        }
        assert!(!known.may_be_the_apps("app", b"prefs"));
        assert!(!known.may_be_the_apps("elsewhere", b"cart"));
        drop(known);
    }

    #[test]
    fn past_the_limit_every_name_is_known() {
        let known = KnownNames::default();
        (0..MOST_NAMES).for_each(|number| known.add("app", format!("n{number}").as_bytes()));
        assert!(known.may_be_the_apps("app", b"prefs"));
    }
}

//! Whoever looks at a store sees what is there, and changes nothing.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use super::super::{CheckReport, StoreMaintenance};
use crate::{
    crypto::KeySecrets,
    store::{
        RecordStore,
        tests::conformance::{StoreBench, at, disk_store, id, login, revoked, rules, seen},
    },
};

struct TestFolder {
    folder: TempDir,
    secrets: KeySecrets,
}

impl TestFolder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), secrets: KeySecrets::ephemeral() }
    }

    fn open(&self) -> StoreBench {
        StoreBench::new(
            RecordStore::Disk(disk_store(&self.folder, &rules(), &self.secrets, 64 << 20)),
            rules(),
        )
    }

    fn look(&self) -> StoreMaintenance {
        StoreMaintenance::look(self.folder.path(), &self.secrets).unwrap()
    }

    fn verify(&self) -> CheckReport {
        self.look().verify(&mut |_, _| ()).unwrap()
    }

    /// Those in an export.
    fn exported(&self) -> usize {
        let mut lines = Vec::new();
        self.look().export(&mut lines, &mut |_, _| ()).unwrap();
        String::from_utf8(lines).unwrap().matches("\"session\"").count()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
    }

    /// Overwrites a part of the database.
    fn damage(&self, range: std::ops::Range<usize>) {
        let path = self.folder.path().join("sessions.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[range].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(path, bytes).unwrap();
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn who_looks_sees_the_store_as_it_was_when_they_began() {
    let place = TestFolder::new();
    let bench = place.open();
    bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    let vault = place.look();
    bench.save(seen(2, 1, false, at(1)), &login("alice"), at(1));
    bench.wait(bench.store.delete(id(1), revoked(2))).unwrap();
    let before = vault.verify(&mut |_, _| ()).unwrap();
    assert_eq!((before.sessions, before.ended, before.is_whole()), (1, 0, true));
    let now = place.verify();
    assert_eq!((now.sessions, now.ended, now.is_whole()), (1, 1, true));
}

#[test]
fn a_damaged_first_page_hides_no_session_and_is_told() {
    // The format, the count of pages, the name of a column, all of the header, the whole page.
    for range in [18..19, 18..20, 28..32, 3900..3901, 0..100, 0..4096] {
        let place = TestFolder::new();
        let bench = place.open();
        for number in 1..=30 {
            bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
        }
        drop(bench);
        assert_eq!(place.verify(), CheckReport { sessions: 30, ..CheckReport::default() });
        place.damage(range.clone());
        let before = place.files();
        let found = place.verify();
        assert_eq!(
            found,
            CheckReport { sessions: 30, beginning: true, ..CheckReport::default() },
            "{range:?}"
        );
        assert!(!found.is_whole());
        assert_eq!(place.exported(), 30);
        assert_eq!(place.files(), before, "who looks changes nothing");
        // And whoever starts has them all.
        let bench = place.open();
        assert_eq!(bench.store.len(), 30, "{range:?}");
        assert_eq!(bench.live(30, at(2)).principal.as_deref(), Some("alice"));
        drop(bench);
        assert!(place.verify().is_whole());
    }
}

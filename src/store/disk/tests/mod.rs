//! What the disk kind promises beyond the others.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

mod acknowledgement;
mod corruption;
mod faults;
mod pending;
mod read_only;

use super::{OpenError, file::NAME};
use crate::{
    clock::Timestamp,
    config::SessionConfig,
    crypto::KeySecrets,
    session::{SessionChanges, testing::SeenTicket},
    store::{
        AppliedChange, DiskStore, FoundRecord, RecordStore, StoreError,
        tests::conformance::{StoreBench, at, disk_store, id, login, open, revoked, rules, seen, sets, text},
    },
};

pub(super) const MEMORY: u64 = 64 << 20;

/// A folder, its keys, and stores that are opened there one after the other.
pub(super) struct Place {
    pub folder: TempDir,
    pub secrets: KeySecrets,
    pub rules: SessionConfig,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), secrets: KeySecrets::ephemeral(), rules: rules() }
    }

    pub(super) fn open(&self) -> StoreBench {
        self.open_with(MEMORY)
    }

    pub(super) fn open_with(&self, max_bytes: u64) -> StoreBench {
        let disk = disk_store(&self.folder, &self.rules, &self.secrets, max_bytes);
        StoreBench::new(RecordStore::Disk(disk), self.rules.clone())
    }

    fn refusal(&self, secrets: &KeySecrets) -> OpenError {
        open(&self.folder, &self.rules, secrets, MEMORY).unwrap_err()
    }

    pub(super) fn sql(&self) -> Connection {
        Connection::open(self.folder.path().join(NAME)).unwrap()
    }
}

pub(super) fn inner(bench: &StoreBench) -> &DiskStore {
    match &bench.store {
        RecordStore::Disk(disk) => disk,
        RecordStore::Memory(_) => panic!("not on disk"),
    }
}

pub(super) fn flush(bench: &StoreBench) {
    bench.wait(inner(bench).flush());
}

/// Until the whole store was read through.
pub(super) fn read_through(bench: &StoreBench, damaged: u64) {
    for _ in 0..1000 {
        if inner(bench).health().damaged == damaged {
            return;
        }
        flush(bench);
    }
    panic!("{:?}", inner(bench).health());
}

#[test]
fn everything_is_there_after_a_restart() {
    let place = Place::new();
    let bench = place.open();
    for number in 1..=300 {
        bench.save(seen(number, 1, false, at(1)), &sets("n", &number.to_string()), at(1));
    }
    bench.save(seen(1, 1, true, at(2)), &login("alice"), at(2));
    bench.save(seen(2, 1, true, at(3)), &login("alice"), at(3));
    let flash = SessionChanges {
        flash: vec![("hello".into(), "Zoë".into())],
        permanent: Some(true),
        ..sets("a", "b")
    };
    bench.save(seen(3, 1, true, at(3)), &flash, at(3));
    bench.wait(bench.store.delete(id(4), revoked(4))).unwrap();
    let record = bench.live(5, at(900));
    assert!(record.seen(at(900), 1));
    bench.store.touch(id(5), &record);
    drop(bench);

    let bench = place.open();
    assert_eq!(bench.store.len(), 299);
    assert_eq!(bench.store.floor(), at(0), "a ticket without a record outlives a restart");
    for number in 6..=300 {
        assert_eq!(text(&bench.live(number, at(5)), "n"), Some(number.to_string()));
    }
    assert_eq!(bench.store.of("hshop.test", "alice"), [id(1), id(2)]);
    let record = bench.live(3, at(5));
    assert_eq!((record.flashes.get("hello").map(|text| &**text), record.permanent), (Some("Zoë"), true));
    assert!(matches!(bench.load(4, at(5)), FoundRecord::Ended(end) if end == revoked(4)));
    assert_eq!(bench.live(5, at(901)).last_seen(), at(900));
    let late = bench.apply(seen(4, 1, true, at(5)), &sets("a", "1"), at(5));
    assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
}

#[test]
fn that_a_successor_was_shown_is_written_behind() {
    let place = Place::new();
    let bench = place.open();
    bench.save(seen(1, 1, false, at(1)), &sets("a", "1"), at(1));
    bench.save(seen(1, 1, true, at(2)), &SessionChanges { rotate: true, ..SessionChanges::default() }, at(2));
    let record = bench.live(1, at(3));
    assert!(record.shown(at(3)));
    bench.store.touch(id(1), &record);
    drop(bench);
    let record = place.open().live(1, at(4));
    assert!(!record.awaits_successor() && record.is_rotating(at(4)) && !record.is_rotating(at(40)));
}

#[test]
fn far_more_sessions_than_memory_holds_are_all_served() {
    let place = Place::new();
    let bench = place.open_with(32 << 10);
    for number in 1..=500 {
        bench.save(seen(number, 1, false, at(1)), &login(&format!("p{number}")), at(1));
    }
    for number in (1..=500).rev() {
        let record = bench.save(seen(number, 2, true, at(2)), &sets("n", &number.to_string()), at(2));
        assert_eq!(record.principal.as_deref(), Some(format!("p{number}").as_str()));
    }
    drop(bench);
    let bench = place.open_with(32 << 10);
    for number in 1..=500 {
        assert_eq!(text(&bench.live(number, at(3)), "n"), Some(number.to_string()));
    }
    assert_eq!(bench.wait(bench.store.delete_all_of("hshop.test", "p77", revoked(4))), Ok(1));
    assert!(matches!(bench.load(77, at(4)), FoundRecord::Ended(_)));
}

#[test]
fn a_second_store_in_one_folder_is_refused() {
    let place = Place::new();
    let _first = place.open();
    let error = place.refusal(&place.secrets).to_string();
    assert!(error.contains("is in use by another process"), "{error}");
}

#[test]
fn store_opens_under_current_and_previous_keys_only() {
    let place = Place::new();
    let (old, new) = (KeySecrets::new([1; 32], []), KeySecrets::new([2; 32], [[1; 32]]));
    let first = disk_store(&place.folder, &place.rules, &old, MEMORY);
    let bench = StoreBench::new(RecordStore::Disk(first), place.rules.clone());
    bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    drop(bench);
    let error = place.refusal(&place.secrets);
    assert!(matches!(error, OpenError::Key(_)), "{error}");
    let second = disk_store(&place.folder, &place.rules, &new, MEMORY);
    let bench = StoreBench::new(RecordStore::Disk(second), place.rules.clone());
    assert_eq!(bench.live(1, at(2)).principal.as_deref(), Some("alice"));
    bench.save(seen(1, 2, true, at(2)), &sets("a", "1"), at(2));
    drop(bench);
    // What was written since is under the new key alone.
    let third = disk_store(&place.folder, &place.rules, &KeySecrets::new([2; 32], []), MEMORY);
    let bench = StoreBench::new(RecordStore::Disk(third), place.rules.clone());
    assert_eq!(text(&bench.live(1, at(3)), "a"), Some("1".into()));
    assert_eq!(bench.store.of("hshop.test", "alice"), [id(1)]);
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_was() {
    let place = Place::new();
    place.sql().execute_batch("CREATE TABLE theirs (a); PRAGMA application_id = 7").unwrap();
    let before = fs::read(place.folder.path().join(NAME)).unwrap();
    let error = place.refusal(&place.secrets).to_string();
    assert!(error.contains("is not cloakroom's"), "{error}");
    assert_eq!(fs::read(place.folder.path().join(NAME)).unwrap(), before);

    let place = Place::new();
    drop(place.open());
    place.sql().execute_batch("PRAGMA user_version = 0x0063ff9c").unwrap();
    let error = place.refusal(&place.secrets).to_string();
    assert!(error.contains("has format 99"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_used_is_told() {
    let place = Place::new();
    let file = place.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let below = super::DiskSettings { folder: &file.join("below"), ..settings(&place, &file) };
    let error = DiskStore::open(&below, || {}).unwrap_err().to_string();
    assert!(error.contains("cannot be used") && error.contains("[store] path"), "{error}");
}

pub(super) fn settings<'a>(place: &'a Place, folder: &'a Path) -> super::DiskSettings<'a> {
    super::DiskSettings {
        folder,
        durability: crate::config::Durability::Group,
        commit_timeout: Duration::from_secs(5),
        max_bytes: MEMORY,
        max_disk_bytes: None,
        secrets: &place.secrets,
        rules: &place.rules,
        now: at(0),
    }
}

#[test]
fn full_disk_refuses_new_sessions_before_known_ones() {
    let place = Place::new();
    let bounded =
        super::DiskSettings { max_disk_bytes: Some(8 << 20), ..settings(&place, place.folder.path()) };
    let bench =
        StoreBench::new(RecordStore::Disk(DiskStore::open(&bounded, || {}).unwrap()), place.rules.clone());
    let long = "x".repeat(1000);
    // How much there is is measured ten times a second: from half to full must take longer than that.
    let until_full = |first: u128, changes: &dyn Fn(u128) -> SessionChanges| {
        (first..first + 100_000).find(|number| {
            let outcome = bench.apply(seen(*number, 1, false, at(1)), &changes(*number), at(1));
            outcome.err() == Some(StoreError::Full)
        })
    };
    let visitors = until_full(1, &|_| sets("a", &long)).unwrap();
    let named =
        |number: u128| SessionChanges { principal: login(&number.to_string()).principal, ..sets("a", &long) };
    bench.save(seen(200_000, 1, false, at(1)), &named(1), at(1));
    assert!(until_full(300_000, &named).is_some());
    assert!(visitors > 100);
    bench.save(seen(1, 1, true, at(2)), &sets("a", "short"), at(2));
    bench.wait(bench.store.delete(id(2), revoked(2))).unwrap();
    let size = fs::metadata(place.folder.path().join(NAME)).unwrap().len();
    assert!(size <= 8 << 20, "{size}");
}

#[test]
fn the_folder_is_for_this_user_alone() {
    let place = Place::new();
    let folder = place.folder.path().join("a/b");
    drop(DiskStore::open(&settings(&place, &folder), || {}).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(NAME))), (0o700, 0o600));
}

#[test]
fn the_key_of_principals_may_be_damaged() {
    let place = Place::new();
    let bench = place.open();
    bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    drop(bench);
    place.sql().execute("UPDATE meta SET value = x'00' WHERE name = 'who'", []).unwrap();
    assert_eq!(place.open().store.of("hshop.test", "alice"), [id(1)], "there is a copy");
    place.sql().execute("UPDATE meta SET value = x'00' WHERE name LIKE 'who%'", []).unwrap();
    assert_eq!(place.open().store.of("hshop.test", "alice"), [id(1)], "and then they are hashed anew");
    assert_eq!(place.open().store.of("hshop.test", "alice"), [id(1)]);
}

#[test]
fn what_is_over_leaves_the_disk_by_the_rules_of_today() {
    let mut place = Place::new();
    let bench = place.open();
    for number in 1..=400 {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
    }
    bench.wait(bench.store.delete(id(400), revoked(2))).unwrap();
    let idle = place.rules.plain.idle_timeout.as_secs();
    // One that somebody came back to, of which the disk does not know yet.
    let record = bench.live(7, at(idle));
    record.seen(at(idle), 1);
    let sweep = |bench: &StoreBench, now: Timestamp| {
        for _ in 0..8 {
            bench.wait(inner(bench).sweep_now(now));
        }
    };
    sweep(&bench, at(idle + 100));
    assert_eq!(bench.store.len(), 399, "an ended session is its own tombstone for an idle time");
    sweep(&bench, at(2 * idle + 100));
    assert_eq!((bench.store.len(), bench.store.of("hshop.test", "alice")), (1, vec![id(7)]));
    drop(bench);
    let tombstones: u32 = place.sql().query_row("SELECT count(*) FROM ended", [], |r| r.get(0)).unwrap();
    assert_eq!(tombstones, 0);
    place.rules.plain.idle_timeout *= 10;
    let bench = place.open();
    sweep(&bench, at(6 * idle));
    assert_eq!(bench.store.len(), 1, "written under a shorter idle time");
}

#[test]
fn what_ended_stays_ended_when_the_idle_time_is_raised() {
    let mut place = Place::new();
    let bench = place.open();
    bench.save(seen(1, 1, false, at(1)), &login("alice"), at(1));
    bench.wait(bench.store.delete(id(1), revoked(10))).unwrap();
    // Forty minutes later it is forgotten: with thirty, no ticket from before is taken.
    bench.wait(inner(&bench).sweep_now(at(2400)));
    drop(bench);
    place.rules.plain.idle_timeout = Duration::from_hours(8);
    let open_at = |seconds| {
        let settings = super::DiskSettings { now: at(seconds), ..settings(&place, place.folder.path()) };
        StoreBench::new(RecordStore::Disk(DiskStore::open(&settings, || {}).unwrap()), place.rules.clone())
    };
    let bench = open_at(2401);
    assert_eq!(bench.store.floor(), at(2401 - 1800), "and now none from before that time");
    let late =
        bench.apply(SeenTicket { stamped: at(9), ..seen(1, 1, false, at(2401)) }, &sets("a", "1"), at(2401));
    assert!(matches!(late, Ok(AppliedChange::Straggler)), "{late:?}");
    drop(bench);
    assert_eq!(open_at(4000).store.floor(), at(2401 - 1800), "once");
}

#[test]
fn that_somebody_came_is_written_once_the_disk_takes_it_again() {
    let place = Place::new();
    let bench = place.open();
    for number in [1, 2] {
        bench.save(seen(number, 1, false, at(1)), &sets("a", "1"), at(1));
    }
    drop(bench);
    // No row is changed as long as the second session is there.
    let trigger = "CREATE TRIGGER no BEFORE UPDATE ON sessions WHEN EXISTS
        (SELECT 1 FROM sessions WHERE id = x'00000000000000000000000000000002')
        BEGIN SELECT RAISE(ABORT, 'no'); END";
    place.sql().execute_batch(trigger).unwrap();
    let bench = place.open();
    let record = bench.live(1, at(900));
    assert!(record.seen(at(900), 1));
    bench.store.touch(id(1), &record);
    flush(&bench);
    bench.wait(bench.store.delete(id(2), revoked(901))).unwrap();
    drop(bench);
    assert_eq!(place.open().live(1, at(902)).last_seen(), at(900));
}

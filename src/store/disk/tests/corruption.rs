//! Flipped bits and torn tails, in every file, at every place that differs in kind.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use crate::{
    crypto::KeySecrets,
    store::{
        FoundRecord, RecordStore,
        tests::conformance::{StoreBench, at, id, login, open, revoked, rules, seen, sets, text},
    },
};

const SESSIONS: u128 = 40;

type DiskImage = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> DiskImage {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

/// The files of a store that crashed, and of one that was closed.
fn images(secrets: &KeySecrets) -> [DiskImage; 2] {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(&folder, &rules(), secrets, 64 << 20).unwrap();
    let bench = StoreBench::new(RecordStore::Disk(disk), rules());
    for number in 1..=SESSIONS {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
        let long = format!("{number} ").repeat(40);
        bench.save(seen(number, 2, true, at(2)), &sets("n", &long), at(2));
    }
    bench.wait(bench.store.delete(id(SESSIONS), revoked(3))).unwrap();
    let crashed = files(folder.path());
    drop(bench);
    [crashed, files(folder.path())]
}

/// What became of a store with these files: how many sessions are as they were; `Err`: it would not open.
fn outcome(image: &DiskImage, secrets: &KeySecrets) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in image {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    outcome_in(&folder, secrets)
}

fn outcome_in(folder: &TempDir, secrets: &KeySecrets) -> Result<usize, String> {
    // Without memory to speak of, each is looked for on disk.
    let disk = open(folder, &rules(), secrets, 0).map_err(|error| error.to_string())?;
    let bench = StoreBench::new(RecordStore::Disk(disk), rules());
    let mut whole = 0;
    for number in 1..SESSIONS {
        if let Ok(FoundRecord::Live(record)) = bench.wait(bench.store.load(id(number), at(4))) {
            // Older, if the end of the log was lost, but never anything else.
            let wanted = format!("{number} ").repeat(40);
            let found = text(&record, "n");
            assert!(found.is_none() || found.as_ref() == Some(&wanted));
            assert_eq!(record.principal.as_deref(), Some("alice"));
            whole += usize::from(found.is_some());
        }
    }
    Ok(whole)
}

/// With one bit of one file flipped.
fn flipped(image: &DiskImage, name: &str, place: usize) -> DiskImage {
    let mut bent = image.clone();
    bent.get_mut(name).unwrap()[place] ^= 1 << (place % 8);
    bent
}

#[test]
fn store_survives_any_flipped_bit() {
    let secrets = KeySecrets::ephemeral();
    let [_, closed] = images(&secrets);
    let all = usize::try_from(SESSIONS).unwrap() - 1;
    let database = closed["sessions.db"].len();
    // The header, then everywhere.
    let places = (0..100).step_by(3).chain((100..database).step_by(307));
    let lost: Vec<_> = places
        .map(|place| {
            let whole = outcome(&flipped(&closed, "sessions.db", place), &secrets);
            all - whole.unwrap_or_else(|error| panic!("at {place}: {error}"))
        })
        .collect();
    assert!(lost.iter().all(|lost| *lost <= 6), "no more than a page holds: {lost:?}");
    let more = lost.iter().filter(|lost| **lost > 1).count();
    assert!(more * 20 <= lost.len(), "nearly always a row alone: {lost:?}");
    assert!(lost.contains(&1), "rows were hit");
    for place in 0..closed["commits"].len() {
        assert_eq!(outcome(&flipped(&closed, "commits", place), &secrets), Ok(all));
    }
}

#[test]
fn a_log_that_was_cut_or_bent_is_good_up_to_there() {
    let secrets = KeySecrets::ephemeral();
    let [crashed, _] = images(&secrets);
    let (name, log) = ("sessions.db-wal", &crashed["sessions.db-wal"]);
    let all = usize::try_from(SESSIONS).unwrap() - 1;
    assert_eq!(outcome(&crashed, &secrets), Ok(all));
    let mut before = 0;
    for place in (40_000..log.len()).step_by(24_007) {
        let bent = outcome(&flipped(&crashed, name, place), &secrets).unwrap();
        let mut cut = crashed.clone();
        cut.insert(name.to_owned(), log[..place].to_vec());
        let cut = outcome(&cut, &secrets).unwrap();
        assert_eq!(bent, cut, "at {place}");
        assert!(cut >= before && cut <= all, "at {place}");
        before = cut;
    }
    assert!(before > 30, "{before}");
}

#[test]
fn a_store_of_many_pages_survives_the_loss_of_one() {
    let secrets = KeySecrets::ephemeral();
    let [_, mut closed] = images(&secrets);
    let page = |number: usize| number * 4096..(number + 1) * 4096;
    let database = closed.get_mut("sessions.db").unwrap();
    // The root of the table, and a leaf.
    for number in [2, 6] {
        let mut image = DiskImage::from([("commits".to_owned(), Vec::new())]);
        let mut bytes = database.clone();
        bytes[page(number)].fill(0xa5);
        image.insert("sessions.db".to_owned(), bytes);
        let whole = outcome(&image, &secrets).unwrap();
        assert!(number == 2 || whole >= 30, "{whole}");
    }
}

/// Whoever has these files: the store is salvaged, and most of it is there.
fn with_a_bad_page(closed: &DiskImage) -> DiskImage {
    let mut image = closed.clone();
    image.get_mut("sessions.db").unwrap()[6 * 4096..7 * 4096].fill(0xa5);
    image
}

#[test]
fn a_salvage_that_cannot_be_done_leaves_all_in_its_place() {
    let secrets = KeySecrets::ephemeral();
    let [_, closed] = images(&secrets);
    let image = with_a_bad_page(&closed);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &image {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    // Stands in for a disk that is full.
    let obstacle = folder.path().join("sessions.db.new");
    fs::create_dir(&obstacle).unwrap();
    assert!(outcome_in(&folder, &secrets).is_err());
    assert_eq!(fs::read(folder.path().join("sessions.db")).unwrap(), image["sessions.db"]);
    fs::remove_dir(&obstacle).unwrap();
    // Nor is one that broke off taken for a whole one.
    fs::write(&obstacle, &closed["sessions.db"][..3 * 4096]).unwrap();
    fs::write(folder.path().join("sessions.db.new-wal"), "").unwrap();
    assert!(outcome_in(&folder, &secrets).unwrap() >= 30);
    assert!(!obstacle.exists() && folder.path().join("damaged-1/sessions.db").exists());
}

#[test]
fn a_salvage_that_broke_off_at_its_last_step_is_finished() {
    let secrets = KeySecrets::ephemeral();
    let [crashed, closed] = images(&secrets);
    let all = usize::try_from(SESSIONS).unwrap() - 1;
    let mut image = closed.clone();
    let new = image.remove("sessions.db").unwrap();
    image.insert("sessions.db.new".to_owned(), new);
    // Of the one that was moved away.
    image.insert("sessions.db-wal".to_owned(), crashed["sessions.db-wal"].clone());
    assert_eq!(outcome(&image, &secrets), Ok(all));
}

#[test]
fn lost_page_leaves_no_spent_ticket_alive() {
    let secrets = KeySecrets::ephemeral();
    let [_, closed] = images(&secrets);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &with_a_bad_page(&closed) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let disk = open(&folder, &rules(), &secrets, 64 << 20).unwrap();
    // The salvage is as of the start of time.
    assert_eq!(disk.floor(), at(1));
}

#[test]
fn a_bit_that_flips_in_an_id_costs_that_session_alone() {
    let secrets = KeySecrets::ephemeral();
    let [_, closed] = images(&secrets);
    let all = usize::try_from(SESSIONS).unwrap() - 1;
    let database = &closed["sessions.db"];
    for number in [3, 20, 39] {
        let id = u128::to_be_bytes(number);
        // A copy that a page left behind when it was split says nothing.
        let places: Vec<_> = (16..database.len() - 16).filter(|at| database[*at..*at + 16] == id).collect();
        for (from_start, bit) in [(None, 1), (Some(0), 0x80), (Some(15), 0x40)] {
            let mut bent = closed.clone();
            for place in &places {
                // The type before it: a blob of 16 bytes becomes a text of 16 bytes.
                let kind = (place - 8..*place).rev().find(|at| database[*at] == 0x2c);
                let at = from_start.map_or(kind, |from_start| Some(place + from_start)).unwrap_or(place + 1);
                bent.get_mut("sessions.db").unwrap()[at] ^= bit;
            }
            assert_eq!(outcome(&bent, &secrets), Ok(all - 1), "{number}: {bit:x}, {from_start:?}");
        }
    }
}

//! Flipped bits and torn tails, in every file, at every place that differs in kind.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use crate::{
    crypto::Secrets,
    session::{
        commit::Found,
        store::{
            Store,
            conformance::{Bench, at, id, login, open, rules, seen, sets, text},
        },
    },
};

const SESSIONS: u128 = 40;

type Image = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Image {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

/// The files of a store that crashed, and of one that was closed.
fn images(secrets: &Secrets) -> [Image; 2] {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(&folder, &rules(), secrets, 64 << 20).unwrap();
    let bench = Bench::new(Store::Disk(disk), rules());
    for number in 1..=SESSIONS {
        bench.save(seen(number, 1, false, at(1)), &login("alice"), at(1));
        let long = format!("{number} ").repeat(40);
        bench.save(seen(number, 2, true, at(2)), &sets("n", &long), at(2));
    }
    bench.wait(bench.store.delete(id(SESSIONS), at(3))).unwrap();
    let crashed = files(folder.path());
    drop(bench);
    [crashed, files(folder.path())]
}

/// What became of a store with these files: how many sessions are as they were; `Err`: it would not open.
fn outcome(image: &Image, secrets: &Secrets) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in image {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    outcome_in(&folder, secrets)
}

fn outcome_in(folder: &TempDir, secrets: &Secrets) -> Result<usize, String> {
    let disk = open(folder, &rules(), secrets, 64 << 20).map_err(|error| error.to_string())?;
    let bench = Bench::new(Store::Disk(disk), rules());
    let mut whole = 0;
    for number in 1..SESSIONS {
        if let Ok(Found::Live(record)) = bench.wait(bench.store.load(id(number), at(4))) {
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
fn flipped(image: &Image, name: &str, place: usize) -> Image {
    let mut bent = image.clone();
    bent.get_mut(name).unwrap()[place] ^= 1 << (place % 8);
    bent
}

#[test]
fn whatever_bit_flips_the_store_opens_and_no_session_is_another() {
    let secrets = Secrets::ephemeral();
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
    let secrets = Secrets::ephemeral();
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
    let secrets = Secrets::ephemeral();
    let [_, mut closed] = images(&secrets);
    let page = |number: usize| number * 4096..(number + 1) * 4096;
    let database = closed.get_mut("sessions.db").unwrap();
    // The root of the table, and a leaf.
    for number in [2, 6] {
        let mut image = Image::from([("commits".to_owned(), Vec::new())]);
        let mut bytes = database.clone();
        bytes[page(number)].fill(0xa5);
        image.insert("sessions.db".to_owned(), bytes);
        let whole = outcome(&image, &secrets).unwrap();
        assert!(number == 2 || whole >= 30, "{whole}");
    }
}

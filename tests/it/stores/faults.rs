//! What was acknowledged is there, whatever happened to the process or to the disk.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::steady::{Visitor, ask, crowd, round};
use crate::support::{App, Cloakroom, eventually, on_disk};

/// A number that nobody could have foreseen.
fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

fn said(name: &str) -> Option<String> {
    let all: HashMap<String, String> = std::env::vars().collect();
    all.get(name).cloned()
}

/// How the machine goes down: `kill -9`, or what `tests/power-cut` does. `CLOAKROOM_CRASHES` says how often.
#[test]
fn acknowledged_writes_survive_a_crash_at_any_moment() {
    let app = App::scripted();
    let folder = TempDir::new().unwrap();
    let state = said("CLOAKROOM_CRASH_STATE").map_or_else(|| folder.path().to_owned(), PathBuf::from);
    let crashes = said("CLOAKROOM_CRASHES").map_or(8, |count| count.parse().unwrap());
    let mut visitors = crowd();
    for _ in 0..crashes {
        let proxy = Cloakroom::with(&app, &on_disk(&state.join("store")));
        visitors = round(&proxy, visitors, 1 + random(150), || match said("CLOAKROOM_CRASH") {
            Some(crash) => {
                assert!(Command::new(crash).arg(proxy.pid().to_string()).status().unwrap().success());
            }
            None => proxy.kill(),
        });
    }
    let proxy = Cloakroom::with(&app, &on_disk(&state.join("store")));
    for visitor in &mut visitors {
        visitor.verify(proxy.address);
    }
    assert!(!proxy.log().contains("ERROR"), "no commit lost, no row damaged");
}

/// `tests/rolling` says how often, and after how many changes.
#[test]
fn store_restarts_under_load_change_no_answer() {
    let number = |name: &str, default| said(name).map_or(default, |text| text.parse().unwrap());
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let mut visitors = crowd();
    let (mut descriptors, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..number("CLOAKROOM_ROUNDS", 4) {
        let mut proxy = Cloakroom::with(&app, &on_disk(folder.path()));
        visitors = round(&proxy, visitors, number("CLOAKROOM_CHANGES", 300), || {
            descriptors.push(fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count());
            proxy.terminate();
        });
        assert!(proxy.exit().success());
        let log = proxy.log();
        assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
        let sizes =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        bytes.push(sizes.sum::<u64>());
    }
    assert!(visitors.iter().all(|visitor| visitor.refused == 0), "an answer was neither kept nor a cut line");
    // Six visitors, their connections to the app, and what the process has open: no more in the last round.
    assert!(descriptors.iter().all(|count| *count < 60), "{descriptors:?}");
    assert!(bytes.iter().all(|size| *size < 32 << 20), "{bytes:?}");
}

/// Under strace, which makes the system calls of the store's thread fail.
fn faulty(app: &App, folder: &Path, inject: &str) -> Cloakroom {
    faulty_with(app, folder, inject, "")
}

fn faulty_with(app: &App, folder: &Path, inject: &str, store: &str) -> Cloakroom {
    let trace = folder.join("trace").display().to_string();
    let calls = inject.split(':').next().unwrap_or_default();
    Cloakroom::before(app.address)
        .config(&format!("{}\n{store}\n", on_disk(&folder.join("state"))))
        .under(&[
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            &trace,
            "-e",
            &format!("trace={calls}"),
            &format!("--inject={inject}"),
        ])
        .start()
}

#[test]
fn after_a_failed_sync_no_change_is_taken_and_reads_go_on() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    // Once: later syncs succeed, and must not be believed.
    let proxy = faulty(&app, folder.path(), "fdatasync,fsync:error=EIO:when=20");
    let mut kept = Vec::new();
    let failed = (0..60).find(|n| {
        let heard = ask(proxy.address, None, &[&format!("x-session-set-n: {n}")]).unwrap();
        kept.extend((heard.status == 200).then(|| (heard.ticket().unwrap(), *n)));
        heard.status != 200
    });
    assert!(failed.is_some_and(|n| n > 2), "{failed:?}");
    let (ticket, n) = kept.last().unwrap();
    for change in ["x-session-set-n: 99", "x-session-action: destroy", "x-session-principal: alice"] {
        let heard = ask(proxy.address, Some(ticket), &[change]).unwrap();
        assert_eq!(heard.status, 503, "{change}");
        let heard = ask(proxy.address, Some(ticket), &[]).unwrap();
        assert_eq!((heard.status, heard.told("n")), (200, Some(n.to_string().as_str())));
        assert_eq!(heard.told("principal"), None);
    }
    assert_eq!(ask(proxy.address, None, &["x-session-set-n: 1"]).unwrap().status, 503);
    assert!(proxy.log().contains("the disk failed to sync: changes are refused"), "{}", proxy.log());
    drop(proxy);
    let proxy = Cloakroom::with(&app, &on_disk(&folder.path().join("state")));
    for (ticket, n) in kept {
        assert_eq!(ask(proxy.address, Some(&ticket), &[]).unwrap().told("n"), Some(n.to_string().as_str()));
    }
}

#[test]
fn a_full_disk_refuses_changes_and_recovers_by_itself() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    let proxy = faulty(&app, folder.path(), "pwrite64:error=ENOSPC:when=80..140");
    let mut visitor = Visitor::default();
    let mut refused = 0;
    let mut kept = Vec::new();
    eventually("it recovers", || {
        let heard = ask(proxy.address, None, &["x-session-set-n: 7"]).unwrap();
        refused += u64::from(heard.status == 503);
        kept.extend((heard.status == 200).then(|| heard.ticket().unwrap()));
        // What is there is read all along.
        if let Some(ticket) = kept.last() {
            assert_eq!(ask(proxy.address, Some(ticket), &[]).unwrap().told("n"), Some("7"));
        }
        refused > 0 && heard.status == 200
    });
    assert!((0..30).all(|_| visitor.step(proxy.address)));
    let log = proxy.log();
    assert!(log.contains("the disk is full") && log.contains("the disk accepts changes again"), "{log}");
    drop(proxy);
    let proxy = Cloakroom::with(&app, &on_disk(&folder.path().join("state")));
    visitor.verify(proxy.address);
    for ticket in kept {
        assert_eq!(ask(proxy.address, Some(&ticket), &[]).unwrap().told("n"), Some("7"));
    }
    assert!(!proxy.log().contains("ERROR"), "{}", proxy.log());
}

#[test]
fn slow_disk_keeps_what_it_had_begun() {
    let (app, folder) = (App::scripted(), TempDir::new().unwrap());
    // One sync takes far longer than anybody waits.
    let inject = "fdatasync,fsync:delay_enter=4s:when=25";
    let proxy = faulty_with(&app, folder.path(), inject, "commit_timeout = \"300ms\"");
    let begin = || ask(proxy.address, None, &["x-session-set-n: 0"]).unwrap().ticket().unwrap();
    let (first, second) = (begin(), begin());
    let change =
        |ticket: &str, n: u32| ask(proxy.address, Some(ticket), &[&format!("x-session-set-n: {n}")]).unwrap();
    let slow = (1..60).find(|n| change(&first, *n).status == 503).unwrap();
    let queued = change(&second, 77);
    assert_eq!(queued.status, 503, "behind the other");
    for word in ["not kept", "lost", "nothing", "unchanged"] {
        assert!(!queued.text.contains(word), "more is said than is known: {}", queued.text);
    }
    eventually("the disk is back", || {
        proxy.log().contains("the disk took longer than [store] commit_timeout")
    });
    let n = |ticket: &str| ask(proxy.address, Some(ticket), &[]).unwrap().told("n").unwrap().to_owned();
    assert_eq!(n(&first), slow.to_string());
    // Once the writer has come to it.
    eventually("what nobody waits for any more is dropped", || n(&second) == "0");
    assert!(proxy.log().contains("whether the change is kept is not known"), "{}", proxy.log());
    assert_eq!(change(&second, 78).status, 200);
    drop(proxy);
    let proxy = Cloakroom::with(&app, &on_disk(&folder.path().join("state")));
    for (ticket, n) in [(first, slow), (second, 78)] {
        let heard = ask(proxy.address, Some(&ticket), &[]).unwrap();
        assert_eq!(heard.told("n"), Some(n.to_string().as_str()));
    }
}

//! The service under systemd's own eyes, and under a debugger's.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::stalled::Stalled;
use crate::support::App;
use crate::support::manager::{MEMORY, Manager, service_config as config};

const PATIENCE: &str = "2000000";
#[test]
fn a_worker_that_does_not_go_round_stops_the_signs_of_life() {
    let app = App::scripted();
    let mut manager = Manager::of(&config(&app, MEMORY));
    manager.socket("public");
    let manager = manager.set("WATCHDOG_USEC", PATIENCE);
    let service = manager.start();
    service.notes("READY=1");
    for _ in 0..3 {
        service.notes("WATCHDOG=1");
    }
    let stalled = Stalled::thread(service.pid(), "worker-1", "epoll_wait,epoll_pwait");
    service.notes("STATUS=worker-1 does not answer");
    assert!(!service.is_told("WATCHDOG=1", Duration::from_secs(3)), "systemd would start it anew");
    assert!(service.log().contains("does not respond"), "{}", service.log());
    drop(stalled);
    service.notes("STATUS=all is well again");
    service.notes("WATCHDOG=1");
}

#[test]
fn a_disk_that_takes_nothing_stops_the_signs_of_life() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("[store]\nkind = \"disk\"\npath = \"{}\"", folder.path().display());
    let mut manager = Manager::of(&config(&app, &store));
    manager.socket("public");
    let manager = manager.set("WATCHDOG_USEC", PATIENCE);
    let service = manager.start();
    service.notes("READY=1");
    service.notes("WATCHDOG=1");
    let stalled = Stalled::thread(service.pid(), "store", "futex");
    service.notes("STATUS=the thread that writes sessions does not answer");
    assert!(!service.is_told("WATCHDOG=1", Duration::from_secs(3)), "systemd would start it anew");
    drop(stalled);
    service.notes("WATCHDOG=1");
}

/// The units, in a folder of their own, with a program that is there.
fn units(drop_in: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let read = |name: &str| fs::read_to_string(from.join(name)).expect("a unit");
    let service = read("cloakroom.service").replace("/usr/bin/cloakroom", env!("CARGO_BIN_EXE_cloakroom"));
    fs::write(folder.path().join("cloakroom.service"), service).expect("a file");
    fs::write(folder.path().join("cloakroom.socket"), read("cloakroom.socket")).expect("a file");
    if let Some(name) = drop_in {
        let place = folder.path().join("cloakroom.service.d");
        fs::create_dir(&place).expect("a folder");
        fs::write(place.join(name), read(name)).expect("a file");
    }
    folder
}

fn analyze(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new("systemd-analyze").args(arguments).current_dir(folder).output();
    let output = output.expect("systemd-analyze: `apt-get install systemd`, or run tests/run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn systemd_finds_nothing_amiss_with_the_units() {
    for drop_in in [None, Some("all-on-this-host.conf")] {
        let folder = units(drop_in);
        let (good, _, said) =
            analyze(folder.path(), &["verify", "./cloakroom.service", "./cloakroom.socket"]);
        assert!(good && said.is_empty(), "{drop_in:?}: {said}");
    }
}

#[test]
fn the_service_is_as_shut_in_as_it_says() {
    for (drop_in, most) in [(None, 1.5), (Some("all-on-this-host.conf"), 1.0)] {
        let folder = units(drop_in);
        let (_, said, _) = analyze(folder.path(), &["security", "--offline=true", "./cloakroom.service"]);
        let level = said
            .lines()
            .last()
            .and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f64>().ok());
        assert!(level.is_some_and(|level| level <= most), "{drop_in:?}: at most {most}\n{said}");
    }
}

//! The service as systemd runs it: what it is told, what it hands over, what it stops and starts again. And the units.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::manager::{Manager, Stalled};
use crate::support::{App, Browser, key};

/// TOML of a service before this app, with sessions in memory.
fn config(app: &App, store: &str) -> String {
    format!(
        "[process]\nworkers = 2\n[[listen]]\naddress = \"systemd:public\"\n[upstreams.app]\n\
         servers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n{store}\n",
        app.address
    )
}

const MEMORY: &str = "[store]\nkind = \"memory\"";
const PATIENCE: &str = "2000000";

#[test]
fn it_says_when_it_is_ready_what_it_does_and_when_it_stops() {
    let app = App::scripted();
    let mut manager = Manager::of(&config(&app, MEMORY));
    let address = manager.socket("public");
    let service = manager.start();
    let ready = service.notes("READY=1");
    assert!(ready.contains(&format!("STATUS=listening on http://{address}")), "{ready}");
    assert_eq!(Browser::at(address).get("/").status, 200, "and it is");
    assert!(!service.is_told("WATCHDOG=1", Duration::from_secs(2)), "nobody asked for it");
    service.signal("-TERM");
    service.notes("STOPPING=1");
    assert_eq!(service.exit().code(), Some(0));
}

#[test]
fn sockets_are_known_by_their_names() {
    let app = App::scripted();
    let mut manager = Manager::of(&config(&app, MEMORY));
    let other = manager.socket("other");
    let public = manager.socket("public");
    let service = manager.start();
    let ready = service.notes("READY=1");
    assert!(ready.contains(&public.to_string()) && !ready.contains(&other.to_string()), "{ready}");
    assert_eq!(Browser::at(public).get("/").status, 200);
    drop(service);
    let mut without = Manager::of(&config(&app, MEMORY));
    without.socket("other");
    let service = without.start();
    let log = without.path("log");
    assert!(!service.exit().success());
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("public"), "{log}");
}

#[test]
fn keys_come_as_credentials() {
    let app = App::scripted();
    let store = "[store]\nkind = \"cookie\"\n[keys]\ncurrent = { credential = \"key\" }";
    let mut manager = Manager::of(&config(&app, store));
    let address = manager.socket("public");
    fs::create_dir(manager.path("credentials")).expect("a folder");
    key(&manager.path("credentials"), "key");
    let folder = manager.path("credentials").display().to_string();
    let manager = manager.set("CREDENTIALS_DIRECTORY", &folder);
    let service = manager.start();
    service.notes("READY=1");
    let mut visitor = Browser::at(address);
    visitor.answered("/", &["X-Session-Principal: alice"]);
    assert_eq!(visitor.shown(), "principal=alice");
    drop(service);
    let again = manager.start();
    again.notes("READY=1");
    assert_eq!(visitor.shown(), "principal=alice", "under the same key");
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_outcome() {
    let app = App::scripted();
    let text = config(&app, MEMORY);
    let mut manager = Manager::of(&text);
    let address = manager.socket("public");
    let service = manager.start();
    service.notes("READY=1");
    let mut before = 0;
    for (text, outcome) in [
        (text.clone() + "[session]\ncache = \"off\"\n", "STATUS=reloaded"),
        (text.clone() + "[sesion]\n", "STATUS=not reloaded, what runs stays: see the log"),
        (
            text.replace("workers = 2", "workers = 3"),
            "STATUS=reloaded, but for what needs a restart: [process] workers",
        ),
        (text, "STATUS=reloaded"),
    ] {
        manager.configure(&text);
        service.signal("-HUP");
        let began = service.notes("RELOADING=1");
        // Of the clock that systemd compares it with (sd_notify(3)).
        let clock = began.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse::<u64>().ok());
        let clock = clock.expect("a time");
        assert!(clock > before, "{began}");
        before = clock;
        let over = service.notes("READY=1");
        assert!(over.lines().any(|line| line == outcome), "{over}");
        assert_eq!(Browser::at(address).get("/").status, 200);
    }
}

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
    let stalled = Stalled::thread(&service.thread("worker-1"), "epoll_wait,epoll_pwait");
    service.notes("STATUS=worker-1 does not answer");
    assert!(!service.is_told("WATCHDOG=1", Duration::from_secs(3)), "systemd would start it anew");
    assert!(service.log().contains("does not answer any more"), "{}", service.log());
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
    let stalled = Stalled::thread(&service.thread("store"), "futex");
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

//! The service as systemd runs it: what it is told, what it hands over, what it stops and starts again.

use std::fs;
use std::time::Duration;

use crate::support::manager::{MEMORY, Manager, service_config as config};
use crate::support::{App, Browser, key};

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
        (text.clone() + "[sesion]\n", "STATUS=not reloaded, the running configuration stays: see the log"),
        (
            text.replace("workers = 2", "workers = 3"),
            "STATUS=reloaded, except for what needs a restart: [process] workers",
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

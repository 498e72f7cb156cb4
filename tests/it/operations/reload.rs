//! A new configuration under way: it holds for the next request, costs none, and a bad one changes nothing.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{
    App, Authority, Browser, Cloakroom, RawUpstream, Reply, Request, eventually, key, line, on_disk,
};

const RULE: &str = "[[cookies]]\nname = \"theme\"\nhttp_only = true\n";

/// An app that sets a cookie, and logs in whoever asks `/login`.
fn theme() -> App {
    App::start(|request| {
        let told = request.header("x-session-principal").unwrap_or_default();
        let reply = Reply::text(told).with("Set-Cookie: theme=dark");
        if request.path() == "/login" { reply.with("X-Session-Principal: alice") } else { reply }
    })
}

#[test]
fn reload_applies_to_the_next_request() {
    let app = theme();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/login").set_cookies()[0], "theme=dark");
    let told = proxy.reload(|text| text + RULE);
    assert!(told.contains("INFO") && told.contains("config.toml"), "{told}");
    let answer = visitor.get("/");
    assert_eq!(
        (answer.text(), answer.set_cookies()),
        ("alice".to_owned(), vec!["theme=dark; HttpOnly".to_owned()])
    );
    proxy.reload(|text| text.replace("[[routes]]\n", "[[routes]]\nrequire = \"principal\"\n"));
    assert_eq!((visitor.get("/").status, proxy.browser().get("/").status), (200, 401));
}

#[test]
fn limits_hold_for_connections_that_come_after() {
    let app = theme();
    let proxy = Cloakroom::before(app.address).start();
    let mut before = proxy.dial();
    let mut ask = || {
        before.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        before.answer(false).header("connection")
    };
    assert_eq!(ask(), None);
    proxy.reload(|text| text + "[limits]\nrequests_per_connection_http1 = 1\n");
    assert_eq!(proxy.browser().get("/").header("connection").as_deref(), Some("close"));
    assert_eq!(ask(), None, "it keeps the limits that it began under");
}

#[test]
fn a_request_under_way_keeps_what_it_began_with() {
    let (old, new) = (RawUpstream::open(), theme());
    let proxy = Cloakroom::before(old.address()).start();
    let mut wire = proxy.dial();
    wire.send("GET /slow HTTP/1.1\r\nhost: h\r\n\r\n");
    let mut app = old.accept();
    Request::from(&mut app);
    proxy.reload(|text| text.replace(&old.address().to_string(), &new.address.to_string()));
    assert_eq!(proxy.browser().get("/").set_cookies()[0], "theme=dark", "the next one is another app's");
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold");
    assert_eq!(wire.answer(false).text(), "old");
}

#[test]
fn a_bad_file_is_told_with_its_mistakes_and_changes_nothing() {
    let app = theme();
    let proxy = Cloakroom::before(app.address).start();
    let told = proxy.reload(|text| text + RULE + "[limits]\nhead_bites = 1\n");
    assert!(
        told.contains("ERROR") && told.contains("not reloaded, the running configuration stays"),
        "{told}"
    );
    let log = proxy.log();
    assert!(
        log.contains("head_bites") && log.contains("config.toml:") && log.contains("head_bytes"),
        "{log}"
    );
    assert_eq!(proxy.browser().get("/").set_cookies()[0], "theme=dark");
    let told = proxy.reload(|text| text.replace("head_bites = 1", ""));
    assert!(!told.contains("not reloaded"), "{told}");
    assert_eq!(proxy.browser().get("/").set_cookies()[0], "theme=dark; HttpOnly");
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_is_done() {
    let app = theme();
    let proxy = Cloakroom::before(app.address).start();
    let more = "[session]\nidle_timeout = \"5m\"\n[process]\nworkers = 7\n";
    let told = proxy.reload(|text| text + RULE + more);
    assert!(told.contains("WARN") && told.contains("needs a restart"), "{told}");
    assert!(told.contains("[process] workers; [session] idle_timeout"), "{told}");
    assert_eq!(proxy.browser().get("/").set_cookies()[0], "theme=dark; HttpOnly");
}

#[test]
fn reload_without_a_file_says_so() {
    let app = theme();
    let proxy = Cloakroom::by_flags(app.address).start();
    assert!(Command::new("kill").args(["-HUP", &proxy.pid().to_string()]).status().unwrap().success());
    eventually("it is said", || proxy.log().contains("started by flags alone"));
    assert_eq!(proxy.browser().get("/").status, 200);
}

#[test]
fn key_rotation_logs_out_only_under_dropped_keys() {
    let app = theme();
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| key(folder.path(), name));
    let proxy = Cloakroom::before(app.address).config(&format!("[keys]\ncurrent = {one}\n")).start();
    let mut visitor = proxy.browser();
    visitor.get("/login");
    let before = visitor.jar.clone();
    proxy.reload(|text| {
        text.replace(&format!("current = {one}"), &format!("current = {two}\nprevious = [{one}]"))
    });
    assert_eq!(visitor.get("/").text(), "alice");
    assert_ne!(visitor.jar, before, "the ticket is now one under the new key");
    proxy.reload(|text| text.replace(&format!("previous = [{one}]"), ""));
    assert_eq!(visitor.get("/").text(), "alice");
    visitor.jar = before;
    assert_eq!(visitor.get("/").text(), "", "a ticket under a key that is gone is a stranger's");
}

#[test]
fn reload_keeps_the_key_that_the_store_needs() {
    let app = theme();
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| key(folder.path(), name));
    let store = on_disk(&folder.path().join("store"));
    let proxy = Cloakroom::before(app.address).config(&format!("{store}\n[keys]\ncurrent = {one}\n")).start();
    let mut visitor = proxy.browser();
    visitor.get("/login");
    let told = proxy.reload(|text| text.replace(&format!("current = {one}"), &format!("current = {two}")));
    assert!(told.contains("not reloaded") && told.contains("`previous`"), "{told}");
    let told = proxy.reload(|text| text + &format!("previous = [{one}]\n"));
    assert!(told.contains("needs_restart=\"[keys] current"), "{told}");
    assert_eq!(visitor.get("/").text(), "alice");
}

#[test]
fn certificates_reload_under_load_and_bad_ones_do_not() {
    let authority = Authority::new();
    authority.issue("site", &["a.example"]);
    let app = theme();
    let proxy = Cloakroom::before(app.address).listen(&authority.toml(&["site"])).start();
    let caller = authority.caller().offering(&["http/1.1"]);
    let mut old = caller.dial(proxy.address, "a.example").unwrap();
    authority.issue("site", &["b.example"]);
    proxy.reload(|text| text);
    assert!(caller.dial(proxy.address, "b.example").is_ok());
    assert!(authority.caller().dial(proxy.address, "a.example").is_err());
    old.send("GET / HTTP/1.1\r\nhost: a.example\r\n\r\n");
    assert_eq!(old.answer(false).status, 200);
    fs::write(authority.path("site.pem"), "half of a file").unwrap();
    let told = proxy.reload(|text| text + RULE);
    assert!(told.contains("not reloaded"), "{told}");
    let mut wire = caller.dial(proxy.address, "b.example").unwrap();
    wire.send("GET / HTTP/1.1\r\nhost: b.example\r\n\r\n");
    assert_eq!(wire.answer(false).set_cookies()[0], "theme=dark", "and nothing of the file holds");
}

#[test]
fn fifty_reloads_under_load_cost_no_request() {
    let app = theme();
    let proxy = Cloakroom::before(app.address).start();
    let login = || {
        let mut visitor = proxy.browser();
        visitor.get("/login");
        visitor
    };
    let ask = |visitor: &mut Browser| {
        let answer = visitor.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "alice"));
    };
    under_load(login, ask, |_| {
        for round in 0..50 {
            let line = "[[cookies]]\nname = \"theme\"\n";
            let told = proxy.reload(|text| match round % 5 {
                0 => text + line,
                4 => text.replace(line, "[[cookies]]\nnome = \"theme\"\n"),
                3 => text.replace(line, "") + line,
                _ => text,
            });
            assert_eq!(told.contains("not reloaded"), round % 5 == 4, "{round}: {told}");
            proxy.reload(|text| text.replace("[[cookies]]\nnome = \"theme\"\n", ""));
        }
    });
}

#[test]
fn a_cookie_that_is_kept_no_more_is_the_browsers_again() {
    let app = App::setting();
    let vault = "[[cookies]]\npreset = \"vault\"\n";
    let proxy = Cloakroom::before(app.address).config(vault).start();
    let mut visitor = proxy.browser();
    visitor.get_with("/", &["user=zoe", "sid=1"].map(line).concat());
    assert_eq!(visitor.get("/").text(), "user=zoe; sid=1");
    let pass = "[[cookies]]\nname = \"user\"\naction = \"pass\"\n";
    proxy.reload(|text| text.replace(vault, &format!("{pass}{vault}")));
    assert_eq!(visitor.get("/").text(), "sid=1", "what was kept is not sent any more");
    visitor.get_with("/", &line("user=ann"));
    assert_eq!(visitor.get("/").text(), "user=ann; sid=1");
    proxy.reload(|text| text.replace(&format!("{pass}{vault}"), ""));
    visitor.get_with("/", &line("sid=2"));
    let mut all: Vec<_> = visitor.get("/").text().split("; ").map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["sid=2", "user=ann"]);
}

#[test]
fn three_key_rotations_under_load_lose_nothing() {
    let app = App::setting();
    let folder = tempfile::tempdir().unwrap();
    let keys = ["one", "two", "three", "four"].map(|name| key(folder.path(), name));
    let config = format!(
        "[keys]\ncurrent = {}\nprevious = []\n[[cookies]]\nname = \"s\"\naction = \"seal\"\nbind = \"session\"\n\
         [[cookies]]\nname = \"t\"\naction = \"seal\"\n[[cookies]]\nname = \"k\"\naction = \"keep\"\n",
        keys[0]
    );
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let login = || {
        let mut visitor = proxy.browser();
        visitor.get_with("/", "x-do: X-Session-Principal: alice\r\n");
        visitor.get_with("/", &["s=1", "t=2", "k=3"].map(line).concat());
        visitor
    };
    let ask = |visitor: &mut Browser| assert_eq!(visitor.get("/").text(), "s=1; t=2; k=3");
    under_load(login, ask, |go_on| {
        go_on();
        for (at, new) in keys.iter().enumerate().skip(1) {
            let before: Vec<_> = keys[..at].iter().rev().cloned().collect();
            proxy.reload(|text| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                for line in &mut lines {
                    if line.starts_with("current =") {
                        *line = format!("current = {new}");
                    } else if line.starts_with("previous =") {
                        *line = format!("previous = [{}]", before.join(", "));
                    }
                }
                lines.join("\n")
            });
            go_on();
        }
    });
}

/// Four visitors ask without a pause until the change is over; it may wait for forty more of their answers.
fn under_load<V>(begin: impl Fn() -> V + Sync, ask: impl Fn(&mut V) + Sync, change: impl FnOnce(&dyn Fn())) {
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let visit = || {
        let mut visitor = begin();
        while !over.load(Ordering::Relaxed) {
            ask(&mut visitor);
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let go_on = || {
        let before = asked.load(Ordering::Relaxed);
        eventually("the visitors go on", || asked.load(Ordering::Relaxed) >= before + 40);
    };
    thread::scope(|scope| {
        let _end = End(&over);
        for _ in 0..4 {
            scope.spawn(visit);
        }
        change(&go_on);
    });
    assert!(asked.into_inner() > 40);
}

/// The visitors end, however the change does.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

//! What happens at once: nothing is lost, nobody gets what is another's, and who went is gone.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "whatever is missing fails its test, with the place"
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::support::{App, Browser, Cloakroom, Gate, PATIENCE, Reply, Request, Wire, eventually};

const ROOMY: &str = "[session]\nmax_fields = 300\nmax_header_bytes = \"64 KiB\"\nmax_bytes = \"64 KiB\"";
const ENDLESS: &str = "[limits]\nrequests_per_connection_http1 = \"off\"";
const STRANGER: &str = "- - -";

/// What the app was told of the session: principal, role and note.
fn told(request: &Request) -> String {
    let read = |name| request.header(name).unwrap_or_else(|| "-".to_owned());
    format!("{} {} {}", read("x-session-principal"), read("x-session-role"), read("x-session-note"))
}

/// Does what the path says: `/set/NAME/VALUE`, `/login/NAME`, `/logout`, `/destroy`, `/held/…` once the door is open.
fn obedient(door: Arc<Gate>) -> App {
    App::start(move |request| {
        let mut parts = request.path().split('/').skip(1).peekable();
        if parts.next_if_eq(&"held").is_some() {
            door.pass();
        }
        let reply = Reply::text(told(request));
        match (parts.next(), parts.next(), parts.next()) {
            (Some("set"), Some(name), Some(value)) => reply.with(format!("X-Session-Set-{name}: {value}")),
            (Some("login"), Some(name), _) => reply.with(format!("X-Session-Principal: {name}")),
            (Some("logout"), ..) => reply.with("X-Session-Principal:"),
            (Some("destroy"), ..) => reply.with("X-Session-Action: destroy"),
            (Some("renew"), ..) => reply.with("X-Session-Action: renew, permanent"),
            _ => reply,
        }
    })
}

/// Two hundred answers that are all on their way at once, each with a field of its own.
fn two_hundred_writers(first: &str) {
    let meeting = Barrier::new(200);
    let app = App::start(move |request| match request.path().strip_prefix("/field/") {
        Some(number) => {
            meeting.wait();
            Reply::text("").with(format!("X-Session-Set-Field-{number}: {number}"))
        }
        None => {
            Reply::text("").with(if request.path() == "/note" { "X-Session-Set-Note: 1" } else { "X: y" })
        }
    });
    let proxy = Cloakroom::before(app.address).config(ROOMY).start();
    let mut visitor = proxy.browser();
    visitor.get(first);
    thread::scope(|scope| {
        for number in 0..200 {
            let mut tab = visitor.clone();
            scope.spawn(move || assert_eq!(tab.get(&format!("/field/{number}")).status, 200));
        }
    });
    visitor.get("/");
    let last = app.last();
    for number in 0..200 {
        let field = last.header(&format!("x-session-field-{number}"));
        assert_eq!(field, Some(number.to_string()), "after {first}");
    }
}

#[test]
fn two_hundred_writers_of_one_session_lose_no_field() {
    // With data already, and without.
    two_hundred_writers("/note");
    two_hundred_writers("/");
}

/// Visitors who log in, ask to be logged out and close the tab at once.
fn hasty_logouts(count: usize, farewell: &'static str) {
    let (seen, asked) = channel();
    let seen = Mutex::new(seen);
    let app = App::start(move |request| match request.path() {
        "/logout" => {
            seen.lock().unwrap().send(()).unwrap();
            Reply::text("").with(farewell)
        }
        "/who" => Reply::text(told(request)),
        name => Reply::text("").with(format!("X-Session-Principal: {}", &name[1..])),
    });
    let proxy = Cloakroom::before(app.address).start();
    let visitors: Vec<Browser> = thread::scope(|scope| {
        let login = |number: usize| {
            let mut visitor = proxy.browser();
            visitor.get(&format!("/user-{number}"));
            visitor
        };
        let quarter = |part| (0..count).filter(move |number| number % 4 == part);
        let threads: Vec<_> =
            (0..4).map(|part| scope.spawn(move || quarter(part).map(login).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(visitors[0].clone().get("/who").text().starts_with("user-"), "logged in");
    for visitor in &visitors {
        visitor.get_and_go("/logout");
    }
    let lost = (0..count).position(|_| asked.recv_timeout(PATIENCE).is_err());
    assert_eq!(lost, None, "so many of {count} reached the app");
    for visitor in visitors {
        eventually("the session is gone", || visitor.clone().get("/who").text() == STRANGER);
    }
}

#[test]
fn logout_counts_though_the_tab_is_closed_at_once() {
    hasty_logouts(1000, "X-Session-Action: destroy");
}

#[test]
fn empty_principal_logs_out_though_the_tab_is_closed() {
    hasty_logouts(200, "X-Session-Principal:");
}

/// One tab of a browser: its own connection, the cookie jar of all tabs.
struct Tab {
    wire: Wire,
    browser: Arc<Mutex<Browser>>,
}

impl Tab {
    fn get(&mut self, path: &str) -> String {
        let lines = self.browser.lock().unwrap().lines();
        self.wire.send(format!("GET {path} HTTP/1.1\r\n{lines}\r\n"));
        let answer = self.wire.answer(false);
        self.browser.lock().unwrap().remember(&answer);
        answer.text()
    }
}

#[test]
fn polling_during_logins_never_leaves_a_wrong_cookie() {
    let app = obedient(Gate::closed());
    let proxy = Cloakroom::before(app.address).config(ENDLESS).start();
    let browse = |name: usize| {
        let browser = Arc::new(Mutex::new(proxy.browser()));
        let tab = || Tab { wire: proxy.dial(), browser: Arc::clone(&browser) };
        let (mut clicks, mut poll) = (tab(), tab());
        clicks.get("/");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let polling = scope.spawn(|| {
                let mut polls = 0;
                while !over.load(Ordering::Relaxed) {
                    poll.get("/poll");
                    polls += 1;
                }
                polls
            });
            let wrong = (0..500).find_map(|round| {
                let principal = format!("user-{name}-{round}");
                clicks.get(&format!("/login/{principal}"));
                let inside = clicks.get("/who");
                clicks.get("/logout");
                let outside = clicks.get("/who");
                let right = inside == format!("{principal} - -") && outside == STRANGER;
                (!right).then(|| format!("{principal}: {inside:?}, then {outside:?}"))
            });
            over.store(true, Ordering::Relaxed);
            assert_eq!(wrong, None);
            assert!(polling.join().unwrap() > 100);
        });
    };
    thread::scope(|scope| {
        for name in 0..4 {
            scope.spawn(move || browse(name));
        }
    });
}

/// A write that the app holds back while something else happens to its session; `farewell` is what happens.
fn overtaken(first: &str, farewell: &str, write: &str) -> (Browser, App, Cloakroom) {
    let door = Gate::closed();
    let app = obedient(Arc::clone(&door));
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get(first);
    let mut straggler = visitor.clone();
    let before = straggler.ticket().unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| straggler.get(write));
        door.reached(1);
        visitor.get(farewell);
        door.open();
        let late = late.join().unwrap();
        assert_eq!((late.status, late.set_cookies()), (200, Vec::new()), "{write} overtaken by {farewell}");
    });
    let mut thief = proxy.browser();
    thief.jar.insert("cloakroom".to_owned(), before);
    assert_eq!(thief.get("/").text(), STRANGER, "the old ticket, {write} overtaken by {farewell}");
    (visitor, app, proxy)
}

#[test]
fn write_under_way_revives_no_destroyed_session() {
    for first in ["/", "/set/note/old", "/login/alice"] {
        let (mut visitor, _app, _house) = overtaken(first, "/destroy", "/held/set/note/late");
        assert_eq!(visitor.get("/").text(), STRANGER, "after {first}");
    }
}

#[test]
fn write_under_way_stays_out_of_the_session_after_logout() {
    let (mut visitor, _app, _house) = overtaken("/login/alice", "/logout", "/held/set/note/late");
    assert_eq!(visitor.get("/").text(), STRANGER);
}

#[test]
fn straggler_changes_nothing_after_a_login() {
    for (first, write) in [
        ("/", "/held/set/role/admin"),
        ("/set/note/old", "/held/set/role/admin"),
        ("/set/note/old", "/held/renew"),
        ("/set/note/old", "/held/destroy"),
        ("/set/note/old", "/held/logout"),
        ("/set/note/old", "/held/poll"),
    ] {
        let (mut visitor, _app, _house) = overtaken(first, "/login/alice", write);
        let note = if first == "/" { "-" } else { "old" };
        assert_eq!(visitor.get("/").text(), format!("alice - {note}"), "{write}");
    }
}

#[test]
fn an_app_that_repeats_who_is_logged_in_undoes_no_farewell() {
    for (farewell, left) in
        [("/destroy", STRANGER), ("/logout", STRANGER), ("/login/bob", "bob - -"), ("/renew", "alice - -")]
    {
        let (mut visitor, _app, _house) = overtaken("/login/alice", farewell, "/held/login/alice");
        assert_eq!(visitor.get("/").text(), left, "{farewell}, and then an answer that says alice once more");
    }
}

#[test]
fn second_login_under_a_spent_ticket_begins_its_own_session() {
    let door = Gate::closed();
    let app = obedient(Arc::clone(&door));
    let proxy = Cloakroom::before(app.address).start();
    let mut first = proxy.browser();
    first.get("/set/note/old");
    let mut second = first.clone();
    thread::scope(|scope| {
        let late = scope.spawn(|| second.get("/held/login/alice"));
        door.reached(1);
        first.get("/login/alice");
        door.open();
        assert_eq!(late.join().unwrap().set_cookies().len(), 1, "a double click on Login logs in");
    });
    assert_eq!(first.get("/").text(), "alice - old");
    let id = app.last().header("x-session-id");
    assert_eq!(second.get("/").text(), "alice - -", "nothing of the session it missed");
    assert_ne!(app.last().header("x-session-id"), id);
}

#[test]
fn a_ticket_carried_to_another_host_is_a_stranger() {
    let app = obedient(Gate::closed());
    let proxy = Cloakroom::before(app.address).start();
    let ask = |host: &str, ticket: Option<&str>, path: &str| {
        let cookie = ticket.map(|ticket| format!("cookie: cloakroom={ticket}\r\n")).unwrap_or_default();
        let mut browser = proxy.browser();
        let answer =
            browser.send_raw(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n").as_bytes());
        (answer.text(), browser.ticket(), app.last().header("x-session-id"))
    };
    let (_, ticket, id) = ask("a.test", None, "/login/alice");
    let ticket = ticket.as_deref();
    assert_eq!(ask("a.test", ticket, "/").0, "alice - -");
    assert_eq!(ask("A.TEST:8080", ticket, "/").0, "alice - -", "neither case nor port part hosts");
    for other in ["b.test", "a.test.b.test", "x.a.test", "test"] {
        let (text, new, other_id) = ask(other, ticket, "/");
        assert_eq!(text, STRANGER, "{other}");
        assert_ne!(other_id, id, "{other}");
        assert!(new.is_some() && new.as_deref() != ticket, "{other}: a ticket of its own");
    }
    assert_eq!(ask("a.test", ticket, "/").0, "alice - -", "and the true one is none the worse");
}

#[test]
fn fifty_browsers_at_once_never_see_each_others_fields() {
    let app = obedient(Gate::closed());
    let proxy = Cloakroom::before(app.address).start();
    let browse = |number: usize| {
        let mut visitor = proxy.browser();
        visitor.get(&format!("/set/note/note-{number}"));
        visitor.get(&format!("/login/user-{number}"));
        for round in 0..18 {
            let note = if round == 0 { format!("note-{number}") } else { format!("{number}-{}", round - 1) };
            let text = visitor.get(&format!("/set/note/{number}-{round}")).text();
            assert_eq!(text, format!("user-{number} - {note}"));
        }
        visitor.ticket().unwrap()
    };
    let tickets: BTreeSet<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|number| scope.spawn(move || browse(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(tickets.len(), 50);
}

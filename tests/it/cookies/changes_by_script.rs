//! Kept cookies that change in answer to a script, or to a visitor who has gone: nobody loses a session because an answer
//! was lost, and a ticket that somebody planted leads to nothing of a login.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::support::{
    App, Browser, Cloakroom, Gate, Reply, Request, Response, eventually, key, obey, orders,
};

const PAGE: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
const SCRIPT: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n";

/// An app that sets its cookie anew in each answer, as Laravel, Rails and phpMyAdmin do, which encrypt it: each that it
/// ever set is good. It tells who asks; `/login` logs alice in, and so does `/held` once the door
/// is open; `/quiet` sets nothing.
fn rolling(door: Arc<Gate>) -> App {
    let count = AtomicU64::default();
    App::start(move |request| {
        if request.path() == "/held" {
            door.pass();
        }
        let logs_in = ["/login", "/held"].contains(&request.path());
        let who = if logs_in { "alice".to_owned() } else { owner(request) };
        if request.path() == "/quiet" {
            return Reply::text(who);
        }
        let number = count.fetch_add(1, Ordering::Relaxed);
        let cookie = format!("Set-Cookie: app_session={who}.{number}; Path=/; HttpOnly");
        Reply::text(who).with(cookie)
    })
}

/// Whose cookie the app was sent.
fn owner(request: &Request) -> String {
    let cookies = request.header("cookie").unwrap_or_default();
    let own = cookies.split("; ").find_map(|pair| pair.strip_prefix("app_session="));
    own.and_then(|value| value.split('.').next()).unwrap_or("nobody").to_owned()
}

/// The app behind `vault`, with every kind of store that has tickets; an address in `X-Forwarded-For` is believed.
fn proxies(app: impl Fn() -> App) -> impl Iterator<Item = (&'static str, App, Cloakroom, TempDir)> {
    ["memory", "disk", "cookie"].into_iter().map(move |kind| {
        let folder = tempfile::tempdir().unwrap();
        let path = if kind == "memory" {
            String::new()
        } else {
            format!("path = \"{}/s\"\n", folder.path().display())
        };
        let keys = key(folder.path(), "key");
        let app = app();
        let toml = format!(
            "[store]\nkind = \"{kind}\"\n{path}[keys]\ncurrent = {keys}\n\
             [process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[cookies]]\npreset = \"vault\"\n"
        );
        let proxy = Cloakroom::with(&app, &toml);
        (kind, app, proxy, folder)
    })
}

fn request(visitor: &Browser, method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\n{}{lines}content-length: 0\r\n\r\n", visitor.lines())
}

fn post(visitor: &mut Browser, path: &str, lines: &str) -> Response {
    let head = request(visitor, "POST", path, lines);
    visitor.send_raw(head.as_bytes())
}

/// How a browser loses an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    /// It is gone at once.
    AtOnce,
    /// It resets the connection once the answer has begun to come.
    Midway,
}

/// Sends a request whose answer is lost.
fn lose(visitor: &Browser, proxy: &Cloakroom, path: &str, lines: &str, loss: Loss) {
    let mut wire = proxy.dial();
    wire.send(request(visitor, "POST", path, lines));
    if loss == Loss::Midway {
        wire.exactly(1).unwrap();
        wire.reset();
    }
}

#[test]
fn parallel_scripts_whose_answers_are_dropped_lose_no_session() {
    for (kind, _app, proxy, _folder) in proxies(|| rolling(Gate::closed())) {
        let mut visitor = proxy.browser();
        visitor.get("/");
        assert_eq!(post(&mut visitor, "/login", PAGE).text(), "alice");
        let visitor = Mutex::new(visitor);
        // The cookies of the moment at which a request is sent, as a browser has them.
        let now = || visitor.lock().unwrap().clone();
        for round in 0..100_u32 {
            let script = |number: u32| {
                let sent = now();
                match (round * 12 + number).wrapping_mul(2_654_435_761) >> 30 {
                    0 => lose(&sent, &proxy, "/", SCRIPT, Loss::AtOnce),
                    1 => lose(&sent, &proxy, "/", SCRIPT, Loss::Midway),
                    _ => {
                        let answer = post(&mut sent.clone(), "/", SCRIPT);
                        assert_eq!(answer.text(), "alice", "{kind}, round {round}, {number}");
                        visitor.lock().unwrap().remember(&answer);
                    }
                }
            };
            thread::scope(|scope| {
                for number in 0..12 {
                    scope.spawn(move || script(number));
                }
                // And the user clicks on meanwhile.
                let page = now().get_with("/", PAGE);
                assert_eq!(page.text(), "alice", "{kind}, round {round}");
                visitor.lock().unwrap().remember(&page);
            });
        }
        assert_eq!(now().get_with("/", PAGE).text(), "alice", "{kind}");
        let log = proxy.log();
        assert!(!log.contains("WARN") && !log.contains("lost a session"), "{kind}: nothing was lost: {log}");
    }
}

/// What somebody saw who polled under the ticket that they had planted, of twenty times each: after the login and before
/// the victim's next request, and from then on.
type Seen = [usize; 2];

#[test]
fn planted_ticket_shows_nothing_of_a_login_by_script() {
    let door = Gate::closed();
    for (kind, _app, proxy, _folder) in proxies(|| rolling(Arc::clone(&door))) {
        for (by, lost) in
            [(PAGE, None), (SCRIPT, None), (SCRIPT, Some(Loss::AtOnce)), (SCRIPT, Some(Loss::Midway))]
        {
            if kind == "cookie" && lost.is_some() {
                // What visitors carry is lost with the answer, and the login is to be repeated.
                continue;
            }
            let [from_home, from_elsewhere] =
                ["198.51.100.8", "192.0.2.1"].map(|ip| format!("x-forwarded-for: {ip}\r\n"));
            let mut planted = proxy.browser();
            planted.get_with("/", &(PAGE.to_owned() + &from_elsewhere));
            let mut victim = planted.clone();
            // One who takes whatever ticket is offered, and one at the victim's own address who keeps to the planted one.
            let mut elsewhere = planted.clone();
            let mut poll = || {
                let saw = |text: String| usize::from(text == "alice");
                let lines = SCRIPT.to_owned() + &from_elsewhere;
                let far: usize = (0..20).map(|_| saw(elsewhere.get_with("/", &lines).text())).sum();
                let lines = SCRIPT.to_owned() + &from_home;
                let near = (0..20).map(|_| saw(planted.clone().get_with("/", &lines).text())).sum();
                (far, near)
            };
            assert_eq!(poll(), (0, 0));
            let lines = by.to_owned() + &from_home;
            match lost {
                None => assert_eq!(post(&mut victim, "/login", &lines).text(), "alice"),
                Some(Loss::Midway) => lose(&victim, &proxy, "/login", &lines, Loss::Midway),
                Some(Loss::AtOnce) => {
                    let mut wire = proxy.dial();
                    wire.send(request(&victim, "POST", "/held", &lines));
                    door.reached(1);
                    drop(wire);
                    door.open();
                }
            }
            let what = format!("{kind}: {lost:?} {by}");
            if lost.is_some() {
                // Not by a page that sets a cookie: one that was under way would have the last word, as in any browser.
                let probe = || planted.clone().get_with("/quiet", &(SCRIPT.to_owned() + &from_home)).text();
                eventually("the login counts", || probe() == "alice");
            }
            let meanwhile = poll();
            // Shown once more where the answer was lost: the first brings the ticket, and the second shows it.
            let page = || PAGE.to_owned() + &from_home;
            for _ in 0..2 {
                assert_eq!(victim.get_with("/", &page()).text(), "alice", "{what}");
            }
            let after = poll();
            door.close();
            let (far, near): (Seen, Seen) = ([meanwhile.0, after.0], [meanwhile.1, after.1]);
            assert_eq!(far, [0, 0], "{what}: from elsewhere");
            // By a form never. By a script whoever shares the victim's address, for as long as the victim asks for nothing
            // more; where visitors carry their sessions, the planted one is another copy.
            let wanted = if by == PAGE || kind == "cookie" { [0, 0] } else { [20, 0] };
            assert_eq!(near, wanted, "{what}: from the same address");
        }
    }
}

#[test]
fn ticket_from_before_a_change_shows_what_was() {
    for (kind, _app, proxy, _folder) in proxies(obeying) {
        if kind == "cookie" {
            // There each copy of a session is a session as it was.
            continue;
        }
        let mut visitor = proxy.browser();
        let orders = |lines: &[&str]| SCRIPT.to_owned() + &orders(lines);
        post(&mut visitor, "/", &orders(&["X-Session-Set-N: 1", "Set-Cookie: sid=A; Path=/"]));
        visitor.get("/");
        let mut old = visitor.clone();
        post(&mut visitor, "/", &orders(&["X-Session-Set-N: 2", "Set-Cookie: sid=B; Path=/"]));
        assert_ne!(visitor.ticket(), old.ticket(), "{kind}");
        let sees = |browser: &mut Browser| {
            let answer = browser.get("/");
            (answer.fields(), answer.header("x-cookies").unwrap_or_default(), answer.set_cookies().len())
        };
        let now = ("n=2".to_owned(), "sid=B".to_owned(), 0);
        assert_eq!(sees(&mut visitor), now, "{kind}");
        let was = ("n=1".to_owned(), "sid=A".to_owned(), 0);
        assert_eq!(sees(&mut old), was, "{kind}");
        let late = post(&mut old, "/", &orders(&["X-Session-Set-N: 3", "Set-Cookie: sid=C; Path=/"]));
        assert_eq!(late.set_cookies(), [""; 0], "{kind}");
        assert_eq!((sees(&mut old), sees(&mut visitor)), (was, now.clone()), "{kind}");
    }
}

/// An app that answers as it is told, and says which cookies it was sent.
fn obeying() -> App {
    App::start(|request| {
        let cookies = request.header("cookie").unwrap_or_default();
        obey(request).with(format!("X-Cookies: {cookies}"))
    })
}

//! Logins of apps whose cookies are kept: sent twice, lost on their way, sent by another site; and what must not pass for
//! one.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::support::{App, Browser, Cloakroom, Gate, Reply, Request, Response, key, line};

const VAULT: &str = "[[cookies]]\npreset = \"vault\"\n";
const FORM: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
const SCRIPT: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n";

/// An app with sessions of its own: who comes without one gets one, a login gets another. It tells who asks. What is
/// asked for below `/held` waits for the door; `/rolled` sets the cookie anew, as Laravel does with each answer; `/leave`
/// ends the login by the app's own cookie.
fn legacy(door: Arc<Gate>) -> App {
    let people: Mutex<BTreeMap<String, &str>> = Mutex::default();
    App::start(move |request| {
        let path = request.path().strip_prefix("/held").unwrap_or_else(|| request.path());
        if path != request.path() {
            door.pass();
        }
        let mut people = people.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = own(request).and_then(|id| people.get(&id).copied());
        let who = if path == "/login" { "alice" } else { known.unwrap_or("nobody") };
        let reply = Reply::text(who);
        match path {
            "/logout" => return reply.with("X-Session-Action: destroy"),
            "/leave" => return reply.with("Set-Cookie: PHPSESSID=; Path=/; Max-Age=0"),
            "/login" | "/rolled" => {}
            _ if known.is_some() => return reply,
            _ => {}
        }
        let id = format!("S{}", people.len());
        people.insert(id.clone(), who);
        let reply = if path == "/refused" { reply.status(403) } else { reply };
        reply.with(format!("Set-Cookie: PHPSESSID={id}; Path=/; HttpOnly"))
    })
}

fn own(request: &Request) -> Option<String> {
    Some(request.header("cookie")?.split_once("PHPSESSID=")?.1.split(';').next()?.to_owned())
}

fn post(visitor: &mut Browser, path: &str, lines: &str) -> Response {
    ask(visitor, "POST", path, lines)
}

fn ask(visitor: &mut Browser, method: &str, path: &str, lines: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\n{}{lines}content-length: 0\r\n\r\n", visitor.lines());
    visitor.send_raw(head.as_bytes())
}

fn who(visitor: &mut Browser) -> String {
    visitor.get("/").text()
}

/// An app behind the vault, and a visitor whom it knows.
fn proxy() -> (Arc<Gate>, Cloakroom, Browser) {
    proxy_with("")
}

/// The same, with every kind of store that has tickets.
fn proxies() -> impl Iterator<Item = (&'static str, Arc<Gate>, Cloakroom, Browser, TempDir)> {
    ["memory", "disk", "cookie"].into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        let path = if kind == "memory" {
            String::new()
        } else {
            format!("path = \"{}/s\"\n", folder.path().display())
        };
        let keys = key(folder.path(), "key");
        let (door, proxy, visitor) =
            proxy_with(&format!("[store]\nkind = \"{kind}\"\n{path}[keys]\ncurrent = {keys}\n"));
        (kind, door, proxy, visitor, folder)
    })
}

fn proxy_with(toml: &str) -> (Arc<Gate>, Cloakroom, Browser) {
    let door = Gate::closed();
    let app = legacy(Arc::clone(&door));
    let proxy = Cloakroom::with(&app, &format!("{VAULT}{toml}"));
    let mut visitor = proxy.browser();
    assert_eq!(who(&mut visitor), "nobody");
    (door, proxy, visitor)
}

/// What is answered to a form that is with the app while `meanwhile` happens.
fn late(
    door: &Gate,
    visitor: &Browser,
    path: &str,
    lines: &str,
    meanwhile: impl FnOnce(),
) -> (Browser, Response) {
    let mut late = visitor.clone();
    let answer = thread::scope(|scope| {
        let answer = scope.spawn(|| post(&mut late, path, lines));
        door.reached(1);
        meanwhile();
        door.open();
        answer.join().unwrap()
    });
    (late, answer)
}

#[test]
fn who_never_gets_the_answer_to_a_login_may_log_in_again() {
    let (_door, _house, mut visitor) = proxy();
    for lines in [FORM, "", "accept: text/html,*/*;q=0.8\r\n"] {
        let before = visitor.ticket();
        post(&mut visitor.clone(), "/login", lines);
        assert_eq!(visitor.ticket(), before);
        assert_eq!(
            post(&mut visitor, "/login", lines).set_cookies().len(),
            1,
            "{lines}: a session of its own"
        );
        assert_ne!(visitor.ticket(), before);
        assert_eq!(who(&mut visitor), "alice", "{lines}");
    }
}

#[test]
fn who_clicks_twice_on_login_is_logged_in() {
    let (door, _house, visitor) = proxy();
    let mut first = visitor.clone();
    let (mut second, answer) =
        late(&door, &visitor, "/held/login", FORM, || drop(post(&mut first, "/login", FORM)));
    assert_eq!(answer.set_cookies().len(), 1, "the answer that the browser shows");
    assert_eq!((who(&mut first), who(&mut second)), ("alice".to_owned(), "alice".to_owned()));
    assert_ne!(first.ticket(), second.ticket());
}

#[test]
fn planted_ticket_gains_nothing_by_a_form_under_way() {
    let door = Gate::closed();
    let app = legacy(Arc::clone(&door));
    let proxy = Cloakroom::with(&app, &format!("{VAULT}[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"));
    let mut attacker = proxy.browser();
    who(&mut attacker);
    let mut victim = attacker.clone();
    let from = |last: u8| format!("{FORM}x-forwarded-for: 192.0.2.{last}\r\n");
    let (_, answer) = late(&door, &attacker, "/held/rolled", &from(1), || {
        post(&mut victim, "/login", &from(2));
    });
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(who(&mut victim), "alice");
}

#[test]
fn nothing_that_was_under_way_takes_the_place_of_a_login() {
    let (_door, _house, mut visitor) = proxy();
    let spent = visitor.clone();
    post(&mut visitor, "/login", FORM);
    for (method, path, lines) in [
        ("GET", "/", FORM),
        ("GET", "/rolled", ""),
        ("POST", "/", SCRIPT),
        ("POST", "/", "accept: */*\r\n"),
        ("POST", "/", "accept: application/json\r\n"),
        ("POST", "/refused", FORM),
    ] {
        let mut late = spent.clone();
        let head = format!("{method} {path} HTTP/1.1\r\n{}{lines}content-length: 0\r\n\r\n", late.lines());
        let answer = late.send_raw(head.as_bytes());
        assert_eq!(
            (answer.text().as_str(), answer.set_cookies().len()),
            ("nobody", 0),
            "{method} {path} {lines}"
        );
    }
    // Once the browser has shown that it has the ticket of the login, a form of the old one is too late.
    for _ in 0..5 {
        assert_eq!(who(&mut visitor), "alice");
    }
    assert_eq!(post(&mut spent.clone(), "/login", FORM).set_cookies().len(), 0);
    assert_eq!(who(&mut visitor), "alice");
}

#[test]
fn a_slow_page_does_not_log_out_who_has_logged_in_meanwhile() {
    let (door, _house, visitor) = proxy();
    let (mut fast, mut slow) = (visitor.clone(), visitor);
    thread::scope(|scope| {
        let answer = scope.spawn(|| slow.get_with("/held/rolled", FORM).set_cookies());
        door.reached(1);
        post(&mut fast, "/login", FORM);
        door.open();
        assert_eq!(answer.join().unwrap_or_default(), [""; 0]);
    });
    assert_eq!(who(&mut fast), "alice");
}

#[test]
fn form_under_way_at_a_logout_logs_nobody_in_again() {
    let (door, _house, mut visitor) = proxy();
    post(&mut visitor, "/login", FORM);
    let mut tab = visitor.clone();
    let (mut late, answer) =
        late(&door, &visitor, "/held/rolled", FORM, || drop(post(&mut tab, "/logout", FORM)));
    assert_eq!((answer.text().as_str(), answer.set_cookies().len()), ("alice", 0));
    assert_eq!((who(&mut late), who(&mut tab)), ("nobody".to_owned(), "nobody".to_owned()));
}

/// Many apps log out by a link, and end their own cookie alone.
#[test]
fn app_logout_stands_against_requests_under_way() {
    for (kind, door, proxy, _, _folder) in proxies() {
        for (method, lines) in [("GET", FORM), ("GET", SCRIPT), ("GET", ""), ("POST", FORM), ("POST", SCRIPT)]
        {
            for (late_method, late_lines) in [("GET", SCRIPT), ("POST", SCRIPT), ("POST", FORM), ("GET", "")]
            {
                let mut visitor = proxy.browser();
                who(&mut visitor);
                post(&mut visitor, "/login", FORM);
                assert_eq!(who(&mut visitor), "alice");
                let mut tab = visitor.clone();
                let mut late = visitor.clone();
                thread::scope(|scope| {
                    let answer = scope.spawn(|| ask(&mut late, late_method, "/held/rolled", late_lines));
                    door.reached(1);
                    ask(&mut tab, method, "/leave", lines);
                    door.open();
                    answer.join().unwrap();
                });
                door.close();
                let what = format!("{kind}: {method} /leave {lines}overtakes {late_method} {late_lines}");
                for (whose, browser) in [("tab", &mut tab), ("late", &mut late), ("old", &mut visitor)] {
                    assert_eq!(who(browser), "nobody", "{what}: {whose}");
                }
            }
        }
    }
}

#[test]
fn a_farewell_from_before_a_login_takes_nothing_of_it_away() {
    for (kind, door, proxy, _, _folder) in proxies() {
        for (method, lines) in [("GET", FORM), ("GET", SCRIPT), ("POST", FORM)] {
            let mut visitor = proxy.browser();
            assert_eq!(who(&mut visitor), "nobody");
            let mut late = visitor.clone();
            thread::scope(|scope| {
                let answer = scope.spawn(|| ask(&mut late, method, "/held/leave", lines));
                door.reached(1);
                post(&mut visitor, "/login", FORM);
                door.open();
                answer.join().unwrap();
            });
            door.close();
            assert_eq!(who(&mut visitor), "alice", "{kind}: {method} {lines}");
        }
    }
}

#[test]
fn who_never_hears_of_a_logout_may_log_in_again() {
    let (_door, _house, mut visitor) = proxy();
    post(&mut visitor, "/login", FORM);
    post(&mut visitor.clone(), "/logout", FORM);
    assert_eq!(who(&mut visitor), "nobody");
    assert_eq!(post(&mut visitor, "/login", FORM).set_cookies().len(), 1);
    assert_eq!(who(&mut visitor), "alice");
}

#[test]
fn scripts_that_all_get_the_cookie_anew_stay_in_one_session() {
    let (door, _house, mut visitor) = proxy();
    post(&mut visitor, "/login", FORM);
    let answers: Vec<Response> = thread::scope(|scope| {
        let send = |_| {
            let mut tab = visitor.clone();
            scope.spawn(move || post(&mut tab, "/held/rolled", SCRIPT))
        };
        let all: Vec<_> = (0..5).map(send).collect();
        door.reached(5);
        door.open();
        all.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    assert!(answers.iter().all(|answer| answer.text() == "alice"));
    // Whichever of them the browser gets last, or alone: each brings a ticket of that session.
    for answer in &answers {
        let before = visitor.ticket();
        let mut tab = visitor.clone();
        tab.remember(answer);
        assert_ne!(tab.ticket(), before);
        assert_eq!(who(&mut tab), "alice");
    }
}

#[test]
fn cross_site_login_form_may_set_any_cookie() {
    let app = App::setting();
    let config = format!("{VAULT}[[routes]]\nupstream = \"app\"\ncross_site_sessions = true");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let from = |dest: &str| {
        format!("sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: {dest}\r\n")
    };
    for same_site in ["", "; SameSite=Lax", "; SameSite=Strict", "; SameSite=None"] {
        for known in [false, true] {
            let mut visitor = proxy.browser();
            if known {
                visitor.get_with("/", &line("PHPSESSID=before; Path=/"));
            }
            let set = line(&format!("PHPSESSID=saml; Path=/{same_site}"));
            let answer = post(&mut visitor, "/", &(set + &from("document")));
            assert_eq!((answer.text().as_str(), answer.set_cookies().len()), ("", 1), "{same_site} {known}");
            assert_eq!(visitor.get("/").text(), "PHPSESSID=saml", "{same_site} {known}");
        }
    }
    // In a frame it may not.
    let mut visitor = proxy.browser();
    post(&mut visitor, "/", &(line("PHPSESSID=framed; Path=/") + &from("iframe")));
    assert_eq!(visitor.get("/").text(), "");
}

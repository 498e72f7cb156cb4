//! "Why was I logged out?" Each way is told apart by what the access log says of the ticket.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cloakroom::testing::clock;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{App, Browser, Cloakroom, Port, eventually, key, obey};

/// An app that does what its paths say.
fn app() -> App {
    App::start(|request| {
        let reply = obey(request);
        match request.path() {
            "/login" => reply.with("X-Session-Principal: alice"),
            "/logout" => reply.with("X-Session-Action: logout"),
            "/destroy" => reply.with("X-Session-Action: destroy"),
            "/everywhere" => reply.with("X-Session-Action: destroy-principal"),
            "/renew" => reply.with("X-Session-Action: renew"),
            _ => reply,
        }
    })
}

struct House {
    folder: TempDir,
    proxy: Cloakroom,
    _app: App,
}

impl House {
    fn new(store: &str, session: &str) -> Self {
        let (app, folder) = (app(), TempDir::new().unwrap());
        let config = format!(
            "[admin]\naddress = \"unix:{}\"\n[session]\nmax_sessions_per_principal = 2\n{session}\n\
             [keys]\ncurrent = {}\n[store]\nkind = \"{store}\"\npath = \"{}\"",
            folder.path().join("admin.sock").display(),
            key(folder.path(), "key"),
            folder.path().display(),
        );
        let proxy = Cloakroom::before(app.address).config(&config).start();
        Self { folder, proxy, _app: app }
    }

    /// Somebody who logged in, and their session.
    fn visitor(&self) -> (Browser, String) {
        let mut visitor = self.proxy.browser();
        visitor.get("/");
        visitor.get("/login");
        let session = visitor.get("/").told("id").unwrap();
        (visitor, session)
    }

    /// What the access log says of the request after so many.
    fn line(&self, path: &str) -> Value {
        let mut found = None;
        eventually("its line is there", || {
            let lines = self.proxy.access();
            let line = lines.iter().rev().find(|line| line.contains(&format!("\"target\":\"{path}\"")));
            // None of a line that is being written.
            found = line.and_then(|line| serde_json::from_str(line).ok());
            found.is_some()
        });
        found.unwrap()
    }

    /// What `cloakroom sessions why` says.
    fn why(&self, shown: &str) -> Value {
        let (done, said) = self.proxy.verb(&["sessions", "why", shown, "--host", "127.0.0.1", "--json"]);
        assert!(done, "{said}");
        serde_json::from_str(&said).unwrap()
    }

    /// What `cloakroom explain` says of the visitor's next request.
    fn explain(&self, visitor: &Browser) -> String {
        let file = self.folder.path().join("request");
        let request = format!("GET / HTTP/1.1\r\n{}\r\n", visitor.lines());
        fs::write(&file, request).unwrap();
        let (done, said) = self.proxy.verb(&["explain", file.to_str().unwrap()]);
        assert!(done, "{said}");
        said
    }

    /// What an operator orders over the admin address.
    fn order(&self, method: &str, path: &str) {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nx-cloakroom-admin: 1\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Longer than sessions of a second live.
fn a_moment() {
    let began = clock::instant();
    eventually("the session's time is over", || began.elapsed() > Duration::from_millis(1500));
}

/// How somebody loses their session; returns the path of the request that shows it.
type Loss = fn(&House, &mut Browser, &str);

const LOSSES: &[(&str, &str, Loss, &str, Option<&str>)] = &[
    ("idle", "idle_timeout = \"1s\"", |_, _, _| a_moment(), "expired", Some("idle")),
    ("absolute", "absolute_timeout = \"1s\"", |_, _, _| a_moment(), "expired", Some("absolute")),
    (
        "revoked",
        "",
        |house, _, id| house.order("DELETE", &format!("/api/sessions/{id}")),
        "revoked",
        Some("operator"),
    ),
    ("destroyed", "", |_, visitor, _| elsewhere(visitor, "/destroy"), "ended", Some("app")),
    ("logout", "", |_, visitor, _| elsewhere(visitor, "/logout"), "ended", Some("logout")),
    (
        "everywhere",
        "",
        |house, _, _| drop(house.visitor().0.get("/everywhere")),
        "revoked",
        Some("everywhere"),
    ),
    (
        "limit",
        "",
        |house, _, _| {
            house.visitor();
            house.visitor();
        },
        "revoked",
        Some("limit"),
    ),
    ("renewed", "", |_, visitor, _| elsewhere(visitor, "/renew"), "spent", None),
    ("key", "", |house, _, _| change_key(house), "unknown_key", None),
    ("forged", "", |_, visitor, _| bend(visitor), "forged", None),
    ("lost", "", |_, visitor, _| visitor.jar.clear(), "new", None),
];

/// What is said of each ending.
const WORDS: &[(&str, &str)] = &[
    ("idle", "nobody came for its idle time"),
    ("absolute", "it reached its absolute lifetime"),
    ("operator", "an operator revoked it"),
    ("app", "the app ended it"),
    ("logout", "the app logged the visitor out"),
    ("everywhere", "all sessions of its principal were ended"),
    ("limit", "max_sessions_per_principal"),
];

/// By another request under the same ticket, whose answer never reaches this browser.
fn elsewhere(visitor: &mut Browser, path: &str) {
    let jar = visitor.jar.clone();
    visitor.get(path);
    visitor.jar = jar;
}

fn bend(visitor: &mut Browser) {
    let ticket = visitor.jar.get_mut("cloakroom").unwrap();
    let last = if ticket.pop() == Some('A') { 'E' } else { 'A' };
    ticket.push(last);
}

fn change_key(house: &House) {
    key(house.folder.path(), "key");
    let said = house.proxy.reload(|config| config);
    assert!(said.contains("reloaded"), "{said}");
}

#[test]
fn each_way_to_be_logged_out_is_told_apart() {
    for store in ["memory", "disk"] {
        for (number, (name, rules, lose, ticket, ended_by)) in LOSSES.iter().enumerate() {
            // Rows on disk are sealed under the key: a reload without it is refused.
            if (store, *name) == ("disk", "key") {
                continue;
            }
            let house = House::new(store, rules);
            let (mut visitor, session) = house.visitor();
            lose(&house, &mut visitor, &session);
            let is_known = !["forged", "unknown_key", "new"].contains(ticket);
            if let Some(shown) = visitor.ticket() {
                let story = house.why(&format!("Cookie: theme=dark; cloakroom={shown}"));
                assert_eq!(story["ticket"], *ticket, "{store} {name}: {story}");
                assert_eq!(story["ended_by"].as_str(), *ended_by, "{store} {name}: {story}");
                assert_eq!(
                    story["session_id"].as_str(),
                    is_known.then_some(&*session),
                    "{store} {name}: {story}"
                );
                assert_eq!(house.why(&shown), story, "{store} {name}: the ticket alone");
                assert!(!story.to_string().contains(&shown), "{story}");
            }
            let explained = house.explain(&visitor);
            assert!(explained.contains(&format!("ticket    {ticket}: ")), "{store} {name}: {explained}");
            let by = ended_by.map(|by| WORDS.iter().find(|(known, _)| *known == by).unwrap().1);
            assert!(by.is_none_or(|by| explained.contains(by)), "{store} {name}: {by:?} in {explained}");
            if ended_by.is_some() {
                let story = house.why(&session);
                assert_eq!(story["ended_by"].as_str(), *ended_by, "{store} {name}, by the id: {story}");
            }
            let path = format!("/after-{number}");
            visitor.get(&path);
            let line = house.line(&path);
            assert_eq!(line["ticket"], *ticket, "{store} {name}: {line}");
            assert_eq!(line["ended_by"].as_str(), *ended_by, "{store} {name}: {line}");
            assert_eq!(
                line["ticket_session"].as_str(),
                is_known.then_some(&*session),
                "{store} {name}: {line}"
            );
            assert_eq!(line["principal"], Value::Null, "{store} {name}: {line}");
            let log = house.proxy.log();
            if ended_by.is_some() {
                assert!(log.contains(&session), "{store} {name}: {log}");
            }
        }
    }
}

#[test]
fn tickets_of_elsewhere_and_planted_ones_are_told_apart() {
    let house = House::new("memory", "");
    let (mut visitor, session) = house.visitor();
    let mine = visitor.ticket().unwrap();
    let head = format!("GET /other-host HTTP/1.1\r\nhost: other.test\r\ncookie: cloakroom={mine}\r\n\r\n");
    house.proxy.browser().send_raw(head.as_bytes());
    let line = house.line("/other-host");
    assert_eq!(
        (&line["ticket"], &line["ticket_session"]),
        (&"other_realm".into(), &session.into()),
        "{line}"
    );

    let story = |more: &[&str]| house.proxy.verb(&[&["sessions", "why", &mine][..], more].concat()).1;
    assert!(story(&["--host", "other.test"]).starts_with("other_realm: it is genuine, and good elsewhere"));
    assert!(story(&[]).starts_with("ok: it is good: alice is logged in"), "{}", story(&[]));

    // One that is worth nothing stands beside it, and changes nothing.
    visitor.get_with("/beside", "cookie: cloakroom=nonsense\r\n");
    let line = house.line("/beside");
    assert_eq!((&line["ticket"], &line["principal"]), (&"ok".into(), &"alice".into()), "{line}");

    let (mut visitor, _) = house.visitor();
    let theirs = house.visitor().0.ticket().unwrap();
    visitor.get_with("/planted", &format!("cookie: cloakroom={theirs}\r\n"));
    let line = house.line("/planted");
    assert_eq!((&line["ticket"], &line["principal"]), (&"ambiguous".into(), &Value::Null), "{line}");
}

#[test]
fn names_of_people_stand_in_no_log_where_the_operator_says_so() {
    let app = app();
    let proxy = Cloakroom::before(app.address).config("[log]\nprincipals = false\nlevel = \"debug\"").start();
    let mut visitor = proxy.browser();
    for path in ["/", "/login", "/", "/logout"] {
        visitor.get(path);
    }
    eventually("all is logged", || proxy.access().len() == 4);
    let all = proxy.log() + &proxy.access().join("\n");
    assert!(all.contains("a visitor was logged out") && !all.contains("alice"), "{all}");
    // Nor in the line of what an operator did.
    let house = House::new("memory", "[log]\nprincipals = false");
    house.visitor();
    house.order("DELETE", "/api/principals/alice?realm=host:127.0.0.1");
    let log = house.proxy.log();
    assert!(log.contains("an operator has acted") && !log.contains("alice"), "{log}");
}

/// The same id in both logs, at the app, and on pages of our own; one of a trusted proxy is kept.
#[test]
fn a_request_has_one_id_wherever_it_is_spoken_of() {
    let app = app();
    let down = Port::reserve();
    let config = format!(
        "[process]\ntrusted_proxies = [\"127.0.0.2\"]\n[upstreams.down]\nservers = [\"http://{}\"]\n\
         connect_timeout = \"100ms\"\n[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/down\"\nupstream = \"down\"",
        down.address
    );
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let ask = |from: [u8; 4], path: &str, lines: &str| {
        let mut wire = proxy.dial_from(from.into());
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n"));
        wire.answer(false)
    };
    for (from, lines, kept) in [
        ([127, 0, 0, 1], "", false),
        ([127, 0, 0, 1], "x-request-id: visitors-own\r\n", false),
        ([127, 0, 0, 1], "x_request_id: visitors-own\r\n", false),
        ([127, 0, 0, 2], "x-request-id: edge-4711\r\n", true),
        ([127, 0, 0, 2], "x-request-id: edge \"4711\"\r\n", false),
    ] {
        ask(from, "/to-the-app", lines);
        let seen = app.last().header("x-request-id").unwrap();
        assert_eq!(app.last().all("x-request-id").len() + app.last().all("x_request_id").len(), 1);
        for (accept, marks) in
            [("*/*", ("<code>", "</code>")), ("application/json", ("\"request_id\":\"", "\""))]
        {
            let answer = ask(from, "/down", &format!("accept: {accept}\r\n{lines}"));
            let id = answer.header("x-request-id").unwrap();
            assert!(
                answer.status == 502 && answer.text().contains(&format!("{}{id}{}", marks.0, marks.1)),
                "{}",
                answer.text()
            );
            eventually("both logs have it", || {
                proxy.log().contains(&format!("request={id} "))
                    && proxy.access().iter().any(|line| line.contains(&format!("\"request\":\"{id}\"")))
            });
            assert_eq!(id == "edge-4711", kept, "{id}");
            assert_eq!(id == seen, kept, "each request has its own");
        }
        assert_eq!(seen == "edge-4711", kept, "{seen}");
        assert_ne!(seen, "visitors-own");
    }
}

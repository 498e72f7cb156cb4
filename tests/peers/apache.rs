//! An app written against Apache's `mod_session` documentation: the same behind a real Apache and behind cloakroom.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;

use crate::harness::server::Server;
use crate::support::{App, Browser, Cloakroom, Port, Reply};

const PRESET: &str = "[session.headers]\npreset = \"apache\"";

/// One Apache, one script, two doors: before the one stands `mod_session`, before the other nothing.
struct Doors {
    _apache: Server,
    sessions: Port,
    plain: Port,
}

impl Doors {
    fn open() -> Self {
        let folder = Server::folder();
        let path = folder.path().display().to_string();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps/mod_session.cgi");
        fs::copy(source, folder.path().join("app.cgi")).expect("the app");
        let (sessions, plain) = (Port::reserve(), Port::reserve());
        let modules = ["mpm_event", "authz_core", "alias", "cgid", "session", "session_cookie"];
        let lines = format!(
            "ScriptSock {path}/cgid.sock\nScriptAlias / {path}/app.cgi/\n\
             <VirtualHost {}>\nSession On\nSessionEnv On\nSessionHeader X-Replace-Session\n\
             SessionCookieName session path=/\n</VirtualHost>\n<VirtualHost {}>\n</VirtualHost>\n",
            sessions.address, plain.address
        );
        let apache = Server::apache(folder, &[&sessions, &plain], &modules, &lines);
        Self { _apache: apache, sessions, plain }
    }

    /// What the same requests get: behind Apache's sessions, and behind cloakroom's.
    fn transcripts(&self, requests: &[&str]) -> [Vec<String>; 2] {
        let proxy = Cloakroom::before(self.plain.address).config(PRESET).start();
        let visitors = [Browser::at(self.sessions.address), proxy.browser()];
        visitors.map(|mut visitor| requests.iter().map(|request| told(&mut visitor, request)).collect())
    }
}

/// One request of a transcript, `POST /path body` or a path, and what came of it.
fn told(visitor: &mut Browser, request: &str) -> String {
    let answer = match request.strip_prefix("POST ").and_then(|rest| rest.split_once(' ')) {
        Some((path, body)) => visitor.post(path, body),
        None => visitor.get(request),
    };
    // Apache names itself in an absolute Location where cloakroom does not.
    let location = answer.header("location").unwrap_or_default();
    format!("{request}: {} {location} {}", answer.status, answer.text())
}

#[test]
fn mod_session_app_gets_the_same_transcript() {
    let doors = Doors::open();
    let [apache, cloakroom] = doors.transcripts(&[
        "/show",
        "/visit",
        "/visit",
        "/show",
        "/set?name=Zo%C3%AB+M&quote=%22a%26b%3Dc%25%2B%22",
        "/show",
        "/set?a=1&b=2&c=3",
        "/set?b=&d=%20&e",
        "/show",
        "POST /post name=Bob&c=",
        "/show",
        "/moved?step=2",
        "/missing?seen=404",
        "/show",
        "/set?visits=10",
        "/visit",
        "/set?a=1&a=2",
        "/show",
        "/set?realm-user=alice&realm-pw=pass%3Bword",
        "/show",
        "/nowhere",
        "/set?visits=&name=&quote=&a=&d=&step=&seen=&realm-user=&realm-pw=",
        "/show",
        "/visit",
    ]);
    assert_eq!(cloakroom, apache);
    let last = |n: usize| apache.iter().rev().nth(n).map(String::as_str);
    assert_eq!(last(0), Some("/visit: 200  visits=1"), "Apache's sessions did work: {apache:#?}");
    assert_eq!(
        last(4),
        Some(
            "/show: 200  a=2\nd= \nname=Bob\nquote=\"a&b=c%+\"\nrealm-pw=pass;word\nrealm-user=alice\n\
             seen=404\nstep=2\nvisits=11\n"
        )
    );
}

#[test]
fn keys_come_back_to_the_app_as_it_wrote_them() {
    let doors = Doors::open();
    let [apache, cloakroom] = doors.transcripts(&[
        "/set?user_name=alice&cartId=7&2fa=yes",
        "/show",
        "/set?user_name=bob",
        "/show",
        "/set?user_name=",
        "/show",
    ]);
    assert_eq!(cloakroom, apache);
}

#[test]
fn what_a_visitor_claims_to_be_the_session_is_not_believed() {
    let app = App::start(|request| Reply::text(request.header("session").unwrap_or_default()));
    let proxy = Cloakroom::before(app.address).config(PRESET).start();
    for name in ["Session", "session", "SESSION"] {
        let answer = proxy.browser().get_with("/", &format!("{name}: user=mallory\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{name}");
    }
    // Nor does a visitor get to see how the app keeps things, with the preset or without.
    let app = App::start(|_| Reply::text("").with("X-Replace-Session: a=1"));
    let proxy = Cloakroom::before(app.address).config(PRESET).start();
    assert_eq!(proxy.browser().get("/").header("x-replace-session"), None);
}

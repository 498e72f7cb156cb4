//! Apps that log in a connection and not a request (NTLM, Negotiate): it belongs to the visitor's own connection.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]
#![expect(clippy::disallowed_methods, reason = "the app is a server of this test's own")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::http2::Http2;
use crate::support::{Cloakroom, PATIENCE, Request, Wire, eventually};

/// A server that greets whoever is logged in on the connection, in three steps as NTLM has it, and how many connections it
/// has.
fn server(name: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE * 6)).unwrap();
            let counted = Arc::clone(&counted);
            counted.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                greet(&mut Wire::new(stream), name);
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

fn greet(wire: &mut Wire, name: &str) {
    let mut challenged = false;
    let mut who = None;
    while let Some(request) = Request::next_head(wire) {
        let said = request.header("authorization").unwrap_or_default();
        match said.split_once(' ') {
            Some(("NTLM" | "Negotiate", "begin")) => challenged = true,
            Some(("NTLM" | "Negotiate", user)) if challenged => who = Some(user.to_owned()),
            _ => {}
        }
        let (status, offer, text) = match &who {
            Some(who) => ("200 OK", "", format!("{name}: hello {who}")),
            None if challenged => ("401 No", "WWW-Authenticate: NTLM challenge\r\n", "go on".to_owned()),
            None => (
                "401 No",
                "WWW-Authenticate: Negotiate, NTLM\r\nWWW-Authenticate: Basic realm=\"x\"\r\n",
                "who are you?".to_owned(),
            ),
        };
        wire.send(format!("HTTP/1.1 {status}\r\n{offer}content-length: {}\r\n\r\n{text}", text.len()));
    }
}

fn ask(wire: &mut Wire, method: &str, credentials: &str) -> String {
    let line =
        if credentials.is_empty() { String::new() } else { format!("authorization: {credentials}\r\n") };
    wire.send(format!("{method} / HTTP/1.1\r\nhost: a.test\r\n{line}content-length: 0\r\n\r\n"));
    wire.answer(false).text()
}

fn log_in(wire: &mut Wire, scheme: &str, name: &str) -> String {
    ask(wire, "GET", "");
    assert_eq!(ask(wire, "GET", &format!("{scheme} begin")), "go on");
    ask(wire, "GET", &format!("{scheme} {name}"))
}

#[test]
fn a_connection_that_was_logged_in_is_for_its_visitor_alone() {
    for scheme in ["NTLM", "Negotiate"] {
        let (address, open) = server("app");
        let house = Cloakroom::before(address).start();
        let (mut alice, mut bob) = (house.dial(), house.dial());
        assert_eq!(log_in(&mut alice, scheme, "alice"), "app: hello alice");
        for method in ["GET", "POST", "GET"] {
            assert_eq!(ask(&mut bob, method, ""), "who are you?");
            assert_eq!(
                ask(&mut alice, method, ""),
                "app: hello alice",
                "{scheme}, {method}: not asked again"
            );
        }
        assert_eq!(log_in(&mut bob, scheme, "bob"), "app: hello bob");
        assert_eq!(ask(&mut alice, "GET", ""), "app: hello alice");
        assert_eq!(open.load(Ordering::SeqCst), 2);
        drop(alice);
        eventually("alice's connection dies with her own", || open.load(Ordering::SeqCst) == 1);
        assert_eq!(ask(&mut house.dial(), "GET", ""), "who are you?");
        assert_eq!(ask(&mut bob, "GET", ""), "app: hello bob");
    }
}

#[test]
fn pinned_visitor_is_sent_to_the_same_server() {
    let servers = [server("one").0, server("two").0, server("three").0];
    let list = servers.map(|address| format!("\"http://{address}\"")).join(", ");
    let house = Cloakroom::before_servers(&list).start();
    let mut alice = house.dial();
    let greeting = log_in(&mut alice, "NTLM", "alice");
    assert!(greeting.ends_with(": hello alice"), "{greeting}");
    for _ in 0..6 {
        assert_eq!(ask(&mut alice, "GET", ""), greeting);
        assert_eq!(ask(&mut house.dial(), "GET", ""), "who are you?");
    }
}

/// Many requests share it at a time.
#[test]
fn over_http2_no_connection_is_logged_in() {
    let (address, _) = server("app");
    let house = Cloakroom::before(address).listen("http2_prior_knowledge = true").start();
    let mut visitor = Http2::dial(house.address);
    let answer = visitor.get("http://a.test/");
    let offers = answer.headers.get_all("www-authenticate").iter();
    let offers: Vec<_> = offers.map(|offer| offer.to_str().unwrap()).collect();
    assert_eq!((answer.status, offers), (401, vec!["Basic realm=\"x\""]));
    for credentials in ["NTLM begin", "NTLM alice"] {
        let request =
            http::Request::get("http://a.test/").header("authorization", credentials).body(()).unwrap();
        let answer = visitor.ask(request, None).unwrap();
        assert_ne!(answer.text(), "app: hello alice", "no two of these share a connection to the app");
    }
    assert_eq!(ask(&mut house.dial(), "GET", ""), "who are you?");
}

/// Its connection carries the requests of many people.
#[test]
fn behind_a_trusted_proxy_no_connection_is_logged_in() {
    let (address, _) = server("app");
    let house = Cloakroom::before(address).config("[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").start();
    let mut proxy = house.dial();
    let mut ask = |who: u8, credentials: &str| {
        let line =
            if credentials.is_empty() { String::new() } else { format!("authorization: {credentials}\r\n") };
        proxy.send(format!(
            "GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 203.0.113.{who}\r\n{line}\r\n"
        ));
        proxy.answer(false)
    };
    let offered = ask(1, "");
    let offers: Vec<_> =
        offered.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate")).collect();
    assert_eq!(offers.len(), 1, "Basic alone");
    for credentials in ["NTLM begin", "NTLM alice"] {
        ask(1, credentials);
        assert_eq!(ask(2, "").text(), "who are you?");
    }
}

/// Anybody can say that they would be logged in.
#[test]
fn a_connection_is_not_pinned_by_who_was_offered_no_login() {
    let app = crate::support::App::start(|_| crate::support::Reply::text("ok"));
    let house =
        Cloakroom::before(app.address).upstream("max_connections = 3\nqueue_timeout = \"60s\"").start();
    let mut held: Vec<_> = (0..3).map(|_| house.dial()).collect();
    for wire in &mut held {
        assert_eq!(ask(wire, "GET", "NTLM x"), "ok");
    }
    for _ in 0..6 {
        assert_eq!(ask(&mut house.dial(), "POST", ""), "ok");
    }
}

//! Which of several servers is asked.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::support::tunnel::ASKS;
use crate::support::{App, Cloakroom, Gate, Reply, Wire, eventually, obey};

fn three() -> Vec<App> {
    (0..3).map(|number| App::start(move |_| Reply::text(number.to_string()))).collect()
}

fn before(apps: &[App], balance: &str) -> Cloakroom {
    let servers: Vec<_> = apps.iter().map(|app| format!("\"http://{}\"", app.address)).collect();
    Cloakroom::before_servers(&servers.join(", ")).upstream(&format!("balance = \"{balance}\"")).start()
}

/// What is answered to a visitor from this address, who shows this cookie; and the cookie that they are given.
fn ask_from(proxy: &Cloakroom, last: u8, cookie: &str, more: &str) -> (String, String) {
    let mut wire = proxy.dial_from(Ipv4Addr::new(127, 0, 1, last));
    wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n{more}\r\n"));
    let answer = wire.answer(false);
    let given =
        answer.set_cookies().first().map(|line| line.split(';').next().unwrap_or_default().to_owned());
    (answer.text(), given.unwrap_or_default())
}

#[test]
fn a_session_stays_on_its_server_and_addresses_spread() {
    let apps = three();
    let proxy = before(&apps, "session");
    let mut used = Vec::new();
    for last in 1..=40 {
        let (first, cookie) = ask_from(&proxy, last, "", "");
        assert!(cookie.starts_with("cloakroom="), "{cookie}");
        for elsewhere in [last, last + 1, last + 100] {
            assert_eq!(ask_from(&proxy, elsewhere, &cookie, "").0, first, "wherever it comes from");
        }
        used.push(first);
    }
    used.sort();
    used.dedup();
    assert_eq!(used, ["0", "1", "2"]);
}

/// Clients of socket.io that poll and keep no cookies.
#[test]
fn who_keeps_no_cookies_stays_on_the_server_of_their_address() {
    let apps = three();
    let proxy = before(&apps, "session");
    for last in 1..=10 {
        let first = ask_from(&proxy, last, "", "").0;
        for _ in 0..5 {
            assert_eq!(ask_from(&proxy, last, "", "").0, first);
        }
    }
}

/// Also one that begins only when something is stored, and one that follows another.
#[test]
fn a_session_begins_on_the_server_that_answered() {
    let apps: Vec<_> = (0..3)
        .map(|number| App::start(move |request| obey(request).with(format!("X-Server: {number}"))))
        .collect();
    let servers: Vec<_> = apps.iter().map(|app| format!("\"http://{}\"", app.address)).collect();
    let proxy = Cloakroom::before_servers(&servers.join(", "))
        .upstream("balance = \"session\"")
        .config("[session]\ncreate = \"write\"\n")
        .start();
    for _ in 0..10 {
        let mut visitor = proxy.browser();
        let server = visitor.get("/").header("x-server");
        for order in ["X-Session-Principal: alice", "X-Session-Principal: bob", "X-Session-Action: logout"] {
            visitor.answered("/", &[order]);
            assert_eq!(visitor.get("/").header("x-server"), server, "{order}");
        }
    }
}

#[test]
fn the_server_with_the_fewest_requests_under_way_is_asked() {
    let door = Gate::closed();
    let held = Arc::clone(&door);
    let slow = App::start(move |request| {
        if request.path() == "/held" {
            held.pass();
        }
        Reply::text("slow")
    });
    let quick = App::start(|_| Reply::text("quick"));
    let apps = [slow, quick];
    let proxy = before(&apps, "least_requests");
    // One of two goes to the slow one, and stays there; what goes to the quick one is over before the next.
    let reached = || apps.iter().map(|app| app.received().len()).sum::<usize>();
    let mut waiting = Vec::new();
    while apps[0].received().is_empty() {
        let mut wire = proxy.dial();
        let before = reached();
        wire.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
        eventually("it is under way", || reached() > before);
        if apps[0].received().is_empty() {
            assert_eq!(wire.answer(false).text(), "quick");
        } else {
            waiting.push(wire);
        }
    }
    let mut visitor = proxy.browser();
    for _ in 0..20 {
        assert_eq!(visitor.get("/").text(), "quick");
    }
    door.open();
}

#[test]
fn a_tunnel_is_under_way_for_as_long_as_it_is_open() {
    let apps: Vec<_> = ["0", "1"]
        .map(|name| {
            App::start(move |request| match request.path() {
                "/ws" => Reply::text("").status(101).with("connection: upgrade").with("upgrade: websocket"),
                _ => Reply::text(name),
            })
        })
        .into();
    let proxy = before(&apps, "least_requests");
    let open = || -> Wire {
        let mut wire = proxy.dial();
        wire.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n"));
        assert_eq!(wire.answer(false).status, 101);
        wire
    };
    let tunnel = open();
    let holder = usize::from(apps[0].received().is_empty());
    let other = (1 - holder).to_string();
    let mut visitor = proxy.browser();
    for _ in 0..20 {
        assert_eq!(visitor.get("/").text(), other);
    }
    drop(tunnel);
    eventually("its server is asked again", || visitor.get("/").text() != other);
}

#[test]
fn balance_follows_weights() {
    let apps = three();
    let [a, b, c] = [0, 1, 2].map(|at: usize| apps[at].address);
    let servers = format!(
        "\"http://{a}\", {{ address = \"http://{b}\", weight = 3 }}, {{ address = \"http://{c}\", weight = 1 }}"
    );
    let proxy = Cloakroom::before_servers(&servers).start();
    let mut shares = [0; 3];
    for _ in 0..50 {
        shares[proxy.browser().get("/").text().parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(shares, [10, 30, 10]);
}

/// Whoever finds a request that an app fails at could send all others elsewhere.
#[test]
fn one_visitor_alone_puts_no_server_out_of_use() {
    let bad = App::start(|request| match request.path() {
        // Two lengths that differ are no HTTP.
        "/bad" => Reply::text("bad").with("content-length: 7"),
        _ => Reply::text("bad"),
    });
    let apps = [bad, App::start(|_| Reply::text("good"))];
    let proxy = before(&apps, "round_robin");
    let ask = |last: u8, path: &str| {
        let mut wire = proxy.dial_from(Ipv4Addr::new(127, 0, 1, last));
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        wire.answer(false).text()
    };
    for _ in 0..20 {
        ask(1, "/bad");
    }
    let reached = |text: &str| (0..4).any(|_| ask(2, "/") == text);
    assert!(reached("bad") && reached("good"), "both are in use");
    for last in 3..7 {
        ask(last, "/bad");
        ask(last, "/bad");
    }
    assert!(!reached("bad"), "several visitors failed");
    assert!(proxy.log().contains("not used for ten seconds"));
}

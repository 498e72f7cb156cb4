//! Which of several servers is asked.

use std::sync::Arc;

use crate::support::tunnel::ASKS;
use crate::support::{App, Cloakroom, Door, Reply, Wire, eventually};

fn three() -> Vec<App> {
    (0..3).map(|number| App::start(move |_| Reply::text(number.to_string()))).collect()
}

fn before(apps: &[App], balance: &str) -> Cloakroom {
    let servers: Vec<_> = apps.iter().map(|app| format!("\"http://{}\"", app.address)).collect();
    Cloakroom::before_servers(&servers.join(", ")).upstream(&format!("balance = \"{balance}\"")).start()
}

#[test]
fn a_session_stays_on_its_server_and_sessions_spread() {
    let apps = three();
    let house = before(&apps, "session");
    let mut used = Vec::new();
    for _ in 0..40 {
        let mut visitor = house.browser();
        let first = visitor.get("/").text();
        for _ in 0..3 {
            assert_eq!(visitor.get("/").text(), first);
        }
        used.push(first);
    }
    used.sort();
    used.dedup();
    assert_eq!(used, ["0", "1", "2"]);
}

#[test]
fn the_server_with_the_fewest_requests_under_way_is_asked() {
    let door = Door::closed();
    let held = Arc::clone(&door);
    let slow = App::start(move |request| {
        if request.path() == "/held" {
            held.pass();
        }
        Reply::text("slow")
    });
    let quick = App::start(|_| Reply::text("quick"));
    let apps = [slow, quick];
    let house = before(&apps, "least_requests");
    // One of two goes to the slow one, and stays there; what goes to the quick one is over before the next.
    let reached = || apps.iter().map(|app| app.received().len()).sum::<usize>();
    let mut waiting = Vec::new();
    while apps[0].received().is_empty() {
        let mut wire = house.dial();
        let before = reached();
        wire.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
        eventually("it is under way", || reached() > before);
        if apps[0].received().is_empty() {
            assert_eq!(wire.answer(false).text(), "quick");
        } else {
            waiting.push(wire);
        }
    }
    let mut visitor = house.browser();
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
    let house = before(&apps, "least_requests");
    let open = || -> Wire {
        let mut wire = house.dial();
        wire.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n"));
        assert_eq!(wire.answer(false).status, 101);
        wire
    };
    let tunnel = open();
    let holder = usize::from(apps[0].received().is_empty());
    let other = (1 - holder).to_string();
    let mut visitor = house.browser();
    for _ in 0..20 {
        assert_eq!(visitor.get("/").text(), other);
    }
    drop(tunnel);
    eventually("its server is asked again", || visitor.get("/").text() != other);
}

#[test]
fn a_server_of_three_times_the_weight_has_three_times_the_share() {
    let apps = three();
    let [a, b, c] = [0, 1, 2].map(|at: usize| apps[at].address);
    let servers = format!(
        "\"http://{a}\", {{ address = \"http://{b}\", weight = 3 }}, {{ address = \"http://{c}\", weight = 1 }}"
    );
    let house = Cloakroom::before_servers(&servers).start();
    let mut shares = [0; 3];
    for _ in 0..50 {
        shares[house.browser().get("/").text().parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(shares, [10, 30, 10]);
}

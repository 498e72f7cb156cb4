//! What one app can take is shared: slow senders hold no worker, connections are counted, descriptors are kept back.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]
#![expect(clippy::disallowed_methods, reason = "the app is a server of this test's own")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::{App, Cloakroom, Gate, PATIENCE, Reply, Request, Wire, eventually};

/// An app with one worker: it takes a connection when it has answered what came on the one before, as gunicorn does.
fn one_worker() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.set_read_timeout(Some(PATIENCE * 6)).unwrap();
            let mut wire = Wire::new(stream);
            let Some(mut request) = Request::next_head(&mut wire) else { continue };
            request.read_body(&mut wire);
            let text = format!("{} bytes", request.body.len());
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    });
    (address, taken)
}

#[test]
fn slow_senders_hold_no_worker_of_the_app() {
    let (address, taken) = one_worker();
    let proxy = Cloakroom::before(address).start();
    let mut slow: Vec<_> = (0..3)
        .map(|number| {
            let mut wire = proxy.dial();
            let length = if number == 0 { "transfer-encoding: chunked" } else { "content-length: 8" };
            wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{length}\r\n\r\n"));
            wire.send(if number == 0 { "4\r\nfour\r\n" } else { "four" });
            wire
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(proxy.browser().get("/").text(), "0 bytes");
    }
    assert_eq!(taken.load(Ordering::SeqCst), 3, "nobody else has come to the app");
    for (number, wire) in slow.iter_mut().enumerate() {
        wire.send(if number == 0 { "4\r\nmore\r\n0\r\n\r\n" } else { "more" });
        assert_eq!(wire.answer(false).text(), "8 bytes");
    }
}

#[test]
fn a_body_that_is_held_arrives_as_it_was_sent() {
    let app = App::start(|request| {
        let said = |name: &str| request.header(name).unwrap_or_default();
        Reply::text(format!(
            "{} {} {}",
            said("content-length"),
            said("transfer-encoding"),
            request.body.len()
        ))
    });
    let proxy = Cloakroom::before(app.address).start();
    for (length, told) in [
        (0, "0  0".to_owned()),
        (1, "1  1".to_owned()),
        (65_536, "65536  65536".to_owned()),
        (65_537, "65537  65537".to_owned()),
        (3_000_000, "3000000  3000000".to_owned()),
    ] {
        let mut wire = proxy.dial();
        wire.send(format!(
            "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ));
        assert_eq!(wire.answer(false).text(), told, "with its length");
    }
    for (chunks, told) in
        [(vec![3], " chunked 3"), (vec![1; 1000], " chunked 1000"), (vec![30_000; 3], " chunked 90000")]
    {
        let mut wire = proxy.dial();
        wire.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        for length in chunks {
            wire.send(format!("{length:x}\r\n{}\r\n", "x".repeat(length)));
        }
        wire.send("0\r\n\r\n");
        assert_eq!(wire.answer(false).text(), told, "in chunks, as it was sent");
    }
    // Trailers can only follow chunks.
    let mut wire = proxy.dial();
    wire.send(
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n",
    );
    assert_eq!(wire.answer(false).text(), " chunked 3");
}

#[test]
fn what_is_longer_is_passed_on_as_it_comes() {
    for (rules, held) in [("", 65_536), ("request_buffer = \"2 KiB\"", 2048), ("request_buffer = \"off\"", 0)]
    {
        let (address, taken) = one_worker();
        let proxy = Cloakroom::before(address).upstream(rules).start();
        let mut wire = proxy.dial();
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 70000\r\n\r\n{}", "x".repeat(held)));
        if held > 0 {
            assert_eq!(proxy.browser().get("/").text(), "0 bytes", "{rules}: the app is free");
        }
        wire.send("x");
        let before = usize::from(held > 0);
        eventually("the app is asked", || taken.load(Ordering::SeqCst) > before);
        wire.send("x".repeat(70_000 - held - 1));
        assert_eq!(wire.answer(false).text(), "70000 bytes", "{rules}");
    }
}

#[test]
fn who_goes_while_a_body_is_held_was_never_there() {
    let (address, taken) = one_worker();
    let proxy = Cloakroom::before(address).start();
    let mut wire = proxy.dial();
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nfour");
    drop(wire);
    eventually("it is over", || {
        proxy.log().contains("the body of the request broke off")
            || proxy.log().contains("the request's body broke off")
    });
    assert_eq!(taken.load(Ordering::SeqCst), 0);
}

/// An app that holds back what is asked for below `/held`.
fn holding() -> (App, Arc<Gate>) {
    let door = Gate::closed();
    let held = Arc::clone(&door);
    let app = App::start(move |request| {
        match request.path() {
            "/held" => held.pass(),
            "/304" => return Reply::text("").status(304),
            // Its connection is for this visitor alone from now on.
            "/offer" => {
                held.pass();
                return Reply::text("").status(401).with("WWW-Authenticate: Negotiate");
            }
            _ => {}
        }
        Reply::text(request.path())
    });
    (app, door)
}

fn begin(proxy: &Cloakroom, path: &str) -> Wire {
    let mut wire = proxy.dial();
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    wire
}

#[test]
fn max_connections_makes_others_wait_or_503() {
    let (app, door) = holding();
    let rules = "max_connections = 2\nqueue_timeout = \"500ms\"";
    let proxy = Cloakroom::before(app.address).upstream(rules).start();
    let mut held = [begin(&proxy, "/held"), begin(&proxy, "/held")];
    door.reached(2);
    let refused = begin(&proxy, "/third").answer(false);
    assert_eq!((refused.status, refused.header("retry-after").as_deref()), (503, Some("5")));
    assert!(
        proxy.log().contains("(max_connections), and none was free within queue_timeout"),
        "{}",
        proxy.log()
    );
    // A queue that is longer than this test.
    let proxy =
        Cloakroom::before(app.address).upstream("max_connections = 2\nqueue_timeout = \"60s\"").start();
    door.open();
    for wire in &mut held {
        assert_eq!(wire.answer(false).status, 200);
    }
    door.close();
    let mut held = [begin(&proxy, "/held"), begin(&proxy, "/held")];
    door.reached(2);
    let mut waiting: Vec<_> = (0..8).map(|_| begin(&proxy, "/later")).collect();
    assert!(app.received().iter().all(|request| request.path() != "/later"));
    door.open();
    for wire in held.iter_mut().chain(&mut waiting) {
        assert_eq!(wire.answer(false).status, 200, "whoever waited is served");
    }
}

#[test]
fn a_full_server_is_passed_over_for_another() {
    let (full, door) = holding();
    let other = App::start(|_| Reply::text("other"));
    let servers = format!("\"http://{}\", \"http://{}\"", full.address, other.address);
    let rules = "max_connections = 1\nqueue_timeout = \"60s\"\nbalance = \"round_robin\"";
    let proxy = Cloakroom::before_servers(&servers).upstream(rules).start();
    let mut held = loop {
        let mut wire = begin(&proxy, "/held");
        if full.received().len() + other.received().len() > 0 && !full.received().is_empty() {
            break wire;
        }
        eventually("it has come somewhere", || full.received().len() + other.received().len() > 0);
        if !full.received().is_empty() {
            break wire;
        }
        assert_eq!(wire.answer(false).text(), "other");
    };
    for _ in 0..4 {
        assert_eq!(begin(&proxy, "/").answer(false).text(), "other");
    }
    door.open();
    assert_eq!(held.answer(false).text(), "/held");
}

/// Accepting, the store and logs go on.
#[test]
fn apps_take_no_descriptor_that_is_kept_back() {
    let (app, door) = holding();
    let proxy = Cloakroom::before(app.address).under(&["prlimit", "--nofile=300:300"]).start();
    let mut wires: Vec<_> = (0..125).map(|_| begin(&proxy, "/held")).collect();
    eventually("an app's connection was refused", || proxy.log().contains("raise LimitNOFILE"));
    let answer = begin(&proxy, "/").answer(false);
    assert_eq!(
        (answer.status, answer.header("retry-after").as_deref()),
        (503, Some("5")),
        "and it is accepted"
    );
    door.open();
    let all: Vec<_> = wires.iter_mut().map(|wire| wire.answer(false).status).collect();
    assert!(all.iter().all(|status| [200, 503].contains(status)), "{all:?}");
    assert!(all.iter().filter(|status| **status == 200).count() > 80, "{all:?}");
    assert!(!proxy.log().contains("cannot accept"), "{}", proxy.log());
}

/// What is unused makes room: for who cannot take it, and for who asks by another worker.
#[test]
fn unused_connections_hold_up_nobody() {
    let (app, _door) = holding();
    for (workers, first, then) in [(1, "GET /304", "GET /"), (1, "GET /", "POST /"), (4, "GET /", "GET /")] {
        let rules = "max_connections = 1\nqueue_timeout = \"60s\"\nidle_timeout = \"50s\"";
        let proxy = Cloakroom::before(app.address)
            .upstream(rules)
            .config(&format!("[process]\nworkers = {workers}\n"))
            .start();
        for line in [first, then, then, then, then, then] {
            let mut wire = proxy.dial();
            wire.send(format!("{line} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
            assert!([200, 304].contains(&wire.answer(false).status), "{workers}: {line}");
        }
    }
}

/// Nobody else can use what an app has logged in, but its place.
#[test]
fn connections_that_are_logged_in_and_unused_hold_up_nobody() {
    let (app, door) = holding();
    for workers in [1, 4] {
        let rules = "max_connections = 2\nqueue_timeout = \"60s\"";
        let proxy = Cloakroom::before(app.address)
            .upstream(rules)
            .config(&format!("[process]\nworkers = {workers}\n"))
            .start();
        door.close();
        let mut offered = [begin(&proxy, "/offer"), begin(&proxy, "/offer")];
        door.reached(2);
        let mut waiting: Vec<_> = (0..3).map(|_| begin(&proxy, "/")).collect();
        door.open();
        for wire in &mut offered {
            assert_eq!(wire.answer(false).status, 401);
        }
        for wire in &mut waiting {
            assert_eq!(wire.answer(false).status, 200, "{workers} workers");
        }
    }
}

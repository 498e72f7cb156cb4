//! Connections on both sides: what they lose (nothing), and when they are used again.

use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::{App, Cloakroom, RawUpstream, Reply, Request, Wire};

#[test]
fn a_visitor_who_pauses_reading_loses_nothing() {
    let stage = RawUpstream::open();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("visitors");
    let proxy = Cloakroom::before(stage.address())
        .config(&format!("[[listen]]\naddress = \"unix:{}\"", path.display()))
        .start();
    // Below, at and above what the buffers of a unix socket hold.
    for pieces in (5..45).step_by(4) {
        let mut visitor = Wire::patient(UnixStream::connect(&path).unwrap());
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        // All of it is on its way before the first byte is read.
        app.send(format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            pieces * 10_000
        ));
        for piece in 0..pieces {
            app.send(vec![b'a' + piece as u8 % 26; 10_000]);
        }
        let body = visitor.answer(false).body;
        assert_eq!(body.len(), pieces * 10_000);
        assert!(body.chunks(10_000).enumerate().all(|(i, c)| c.iter().all(|b| *b == b'a' + i as u8 % 26)));
    }
    drop(proxy);
}

#[test]
fn unasked_101_costs_the_connection() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).config("[process]\nworkers = 1").start();
    let mut visitor = proxy.dial();
    visitor.send("GET /up HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(visitor.answer(false).status, 502);
    visitor.send("GET /secret HTTP/1.1\r\nhost: a\r\nauthorization: Basic eDp5\r\n\r\n");
    let mut other = stage.accept();
    assert_eq!(Request::from(&mut other).path(), "/secret");
    assert!(app.head().unwrap().is_none(), "nothing more on the connection that changed its protocol");
}

#[test]
fn a_second_one_on_the_same_address_is_refused() {
    let app = App::start(|_| Reply::text("ok"));
    let proxy = Cloakroom::by_flags(app.address).start();
    let second = Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .args([
            "run",
            "--listen",
            &proxy.address.to_string(),
            "--upstream",
            &format!("http://{}", app.address),
        ])
        .env_remove("CLOAKROOM_CONFIG")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{log}");
    assert!(
        log.contains(&proxy.address.to_string()) && log.contains("another process listens there"),
        "{log}"
    );
}

#[test]
fn an_options_goes_no_further_than_it_may() {
    let app = App::start(|_| Reply::text("ok"));
    let proxy = Cloakroom::before(app.address).start();
    let ask = |left: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: {left}\r\n\r\n"));
        wire.answer(false)
    };
    let answer = ask("0");
    assert_eq!((answer.status, answer.header("allow").is_some()), (204, true));
    assert_eq!(app.received().len(), 0);
    assert_eq!(ask("5").status, 200);
    assert_eq!(app.last().header("max-forwards").as_deref(), Some("4"));
}

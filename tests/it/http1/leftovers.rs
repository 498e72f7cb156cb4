//! What an app says after its answer is never the next visitor's answer; and a connection that it is about to close is not
//! used for what cannot be repeated.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]
#![expect(clippy::disallowed_methods, reason = "the app is a server of this test's own")]

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use bytes::Bytes;
use cloakroom::testing::clock::Timestamp;
use cloakroom::testing::config::Config;
use cloakroom::testing::message::lines::HeaderLines;
use cloakroom::testing::upstream::{Endpoints, RequestBodyError, SendOptions, UpstreamConnections, send};
use http_body_util::{BodyExt, Empty};

use crate::support::{Cloakroom, PATIENCE, Wire, eventually};

/// A forged answer, as an attacker has an app send it.
const FORGED: &str = "HTTP/1.1 200 OK\r\nx-session-principal: mallory\r\nset-cookie: forged=1\r\ncontent-length: 6\r\n\r\nforged";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue";

/// An app that speaks as `converse` does on each connection, which are counted.
fn app(converse: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (count, converse) = (Arc::new(AtomicUsize::new(0)), Arc::new(converse));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (number, converse) = (counted.fetch_add(1, Ordering::SeqCst), Arc::clone(&converse));
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE * 6)).unwrap();
            thread::spawn(move || converse(number, stream));
        }
    });
    (address, count)
}

/// The head of a request; nothing at the end of the connection.
fn request(wire: &mut Wire) -> Option<String> {
    wire.head().ok().flatten().map(|head| String::from_utf8_lossy(&head).into_owned())
}

/// The system knows of bytes that the runtime has not heard of yet, since its loop has not come round.
#[test]
fn bytes_that_came_while_the_loop_was_busy_are_no_answer() {
    let (say, said): (_, Receiver<TcpStream>) = channel();
    let say = Mutex::new(say);
    let (address, connections) = app(move |_, stream| {
        let mut wire = Wire::new(stream.try_clone().unwrap());
        while request(&mut wire).is_some() {
            wire.send(ANSWER);
            say.lock().unwrap().send(stream.try_clone().unwrap()).unwrap();
        }
    });
    let config = Config::from_flags("127.0.0.1:1", &format!("http://{address}")).unwrap();
    let upstream = Endpoints::new(&config.upstreams[0]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for method in ["GET", "POST", "OPTIONS"] {
        let pools = UpstreamConnections::default();
        runtime.block_on(async {
            let before = connections.load(Ordering::SeqCst);
            for _ in 0..2 {
                let head = http::Request::builder().method(method).uri("/").body(()).unwrap().into();
                let terms = SendOptions {
                    first_byte: Some(PATIENCE),
                    ..SendOptions::without_visitor(Timestamp::now())
                };
                let body = Empty::<Bytes>::new().map_err(|never| -> RequestBodyError { match never {} });
                let answer =
                    send(&upstream, &pools, &head, &HeaderLines::default(), body, terms).await.unwrap();
                let text = answer.response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(text, "true", "{method}");
                // On this machine it has arrived when it is written. Nothing is awaited before the next request.
                said.recv_timeout(PATIENCE).unwrap().write_all(FORGED.as_bytes()).unwrap();
            }
            assert_eq!(connections.load(Ordering::SeqCst) - before, 2, "{method}");
        });
    }
}

/// A plain WSGI app behind waitress does it: the body follows half a millisecond after an answer that has none.
#[test]
fn a_body_after_an_answer_that_has_none_is_nobodys_answer() {
    for bodiless in ["HEAD / HTTP/1.1\r\n", "GET /204 HTTP/1.1\r\n", "GET /304 HTTP/1.1\r\n"] {
        let (address, _) = app(|_, mut stream| {
            let mut wire = Wire::new(stream.try_clone().unwrap());
            while let Some(head) = request(&mut wire) {
                let status = if head.contains("/204") { "204 No" } else { "304 Not" };
                if head.starts_with("HEAD") || head.contains("/204") || head.contains("/304") {
                    wire.send(format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n"));
                    // As late as a thread takes that another has to make room for.
                    for _ in 0..50 {
                        thread::yield_now();
                    }
                    if stream.write_all(FORGED.as_bytes()).is_err() {
                        return;
                    }
                } else {
                    wire.send(ANSWER);
                }
            }
        });
        let proxy = Cloakroom::before(address).start();
        let (mut one, mut other) = (proxy.dial(), proxy.dial());
        for round in 0..200 {
            one.send(format!("{bodiless}host: a.test\r\n\r\n"));
            one.answer(bodiless.starts_with("HEAD"));
            other.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
            let answer = other.answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (200, "true"), "{bodiless}, round {round}");
        }
        let told = || proxy.log().matches("sent a body where none may be").count();
        eventually("it is told", || told() == 1);
    }
}

/// An app that gives on each connection one answer, and to whatever is asked next what belongs to the answer before.
fn leaves_something() -> (Cloakroom, Arc<AtomicUsize>) {
    let (address, connections) = app(|_, stream| {
        let mut wire = Wire::new(stream);
        request(&mut wire);
        wire.send(ANSWER);
        if request(&mut wire).is_some() {
            wire.send(format!("leftover{ANSWER}"));
        }
        request(&mut wire);
    });
    (Cloakroom::before(address).start(), connections)
}

fn ask(wire: &mut Wire, method: &str) -> (u16, String) {
    wire.send(format!("{method} / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n\r\n"));
    let answer = wire.answer(false);
    (answer.status, answer.text())
}

#[test]
fn what_is_no_answer_is_asked_again_on_a_new_connection() {
    let (proxy, connections) = leaves_something();
    let mut wire = proxy.dial();
    for (method, wanted) in [("GET", 1), ("GET", 2), ("POST", 3)] {
        assert_eq!(ask(&mut wire, method), (200, "true".to_owned()), "{method}");
        assert_eq!(
            connections.load(Ordering::SeqCst),
            wanted,
            "{method}: none is used again once that was seen"
        );
    }
    eventually("it is told", || proxy.log().contains("sent more than its answer's Content-Length says"));
}

#[test]
fn what_may_have_been_done_is_not_asked_again() {
    let (proxy, connections) = leaves_something();
    let mut wire = proxy.dial();
    assert_eq!(ask(&mut wire, "GET").0, 200);
    assert_eq!((ask(&mut wire, "POST").0, connections.load(Ordering::SeqCst)), (502, 1));
}

/// The system of an app without `TCP_NODELAY` holds back what follows its answer until that was acknowledged.
#[test]
fn what_an_app_holds_back_behind_its_answer_is_nobodys_answer() {
    let (address, _) = app(|_, stream| {
        stream.set_nodelay(false).unwrap();
        let mut wire = Wire::new(stream);
        while let Some(head) = request(&mut wire) {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            if path.starts_with("/more") && !head.starts_with("POST") {
                // In pieces, as Python's `http.server` writes them.
                let (begin, end) = answer.split_at(answer.len() - 2);
                wire.send(begin);
                wire.send(end);
            } else {
                wire.send(answer);
            }
            if path.starts_with("/more") {
                wire.send(FORGED);
            }
        }
    });
    let proxy = Cloakroom::before(address).config("[process]\nworkers = 1").start();
    let mut wire = proxy.dial();
    let mut ask = |method: &str, path: &str| {
        let body = if method == "POST" { "content-length: 1\r\n\r\n1" } else { "\r\n" };
        wire.send(format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n{body}"));
        wire.answer(false).text()
    };
    for (round, method) in ["GET", "POST"].into_iter().cycle().take(20).enumerate() {
        // Only on a connection that was used for a while are acknowledgements delayed.
        for _ in 0..30 {
            assert_eq!(ask("GET", "/"), "/");
        }
        assert_eq!(ask(method, "/more"), "/more");
        for path in ["/a", "/b", "/c"] {
            assert_eq!(ask("GET", path), path, "round {round}: {method}");
        }
    }
    eventually("it is told", || proxy.log().contains("sent more than its answer"));
}

/// As Python's own `http.server` does: a body that the app does not read is its next request.
#[test]
fn a_body_that_an_app_passes_over_is_no_request() {
    let (address, _) = app(|_, stream| {
        let mut wire = Wire::new(stream.try_clone().unwrap());
        while let Some(head) = request(&mut wire) {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if path == "/smuggled" {
                // Until somebody else's request comes on this connection, or it is closed.
                let _ = stream.peek(&mut [0]);
            }
            let status = if path == "/missing" { "404 Not Found" } else { "200 OK" };
            wire.send(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let proxy = Cloakroom::before(address).config("[process]\nworkers = 1").start();
    for (method, path) in
        [("GET", "/"), ("DELETE", "/"), ("OPTIONS", "/"), ("POST", "/missing"), ("PUT", "/missing")]
    {
        let (mut attacker, mut victim) = (proxy.dial(), proxy.dial());
        let body = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\nx-session-principal: root\r\n\r\n";
        attacker.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(attacker.answer(false).text(), path, "{method}");
        victim.send("GET /own HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(victim.answer(false).text(), "/own", "{method}");
    }
}

/// gunicorn closes after two seconds what is kept here for four.
#[test]
fn unrepeatable_requests_take_fresh_connections() {
    let (closed, ended) = channel();
    let closed = Mutex::new(closed);
    let together = Barrier::new(2);
    let (address, _) = app(move |number, stream| {
        let mut wire = Wire::new(stream);
        let mut first = number < 2;
        while request(&mut wire).is_some() {
            if std::mem::take(&mut first) {
                together.wait();
            }
            // Kept for a second less than is said.
            let keep = if number == 1 { 2 } else { 9 };
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nkeep-alive: timeout={keep}\r\ncontent-length: 1\r\n\r\n{number}"
            ));
        }
        closed.lock().unwrap().send(number).unwrap();
    });
    let proxy = Cloakroom::before(address).start();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(ask(&mut proxy.dial(), "POST").0, 200));
        }
    });
    // A second is over.
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), 1);
    let mut wire = proxy.dial();
    assert_eq!(ask(&mut wire, "POST").1, "2", "a new one");
    assert_eq!(ask(&mut wire, "POST").1, "2", "which was used a moment ago");
}

//! Told to stop, it finishes what is under way: much of it at once.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::support::http2::Http2;
use crate::support::tunnel::{AGREES, ASKS, app_is_told, end_with, open};
use crate::support::{Authority, Cloakroom, Ending, RawUpstream, Request};

#[test]
fn shutdown_finishes_requests_and_tunnels() {
    let stage = RawUpstream::open();
    let mut proxy = Cloakroom::before(stage.address()).start();
    let mut tunnels: Vec<_> = (0..100).map(|_| open(&proxy, &stage, "")).collect();
    let mut requests: Vec<_> = (0..1000)
        .map(|number| {
            let mut visitor = proxy.dial();
            visitor.send(format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"));
            let mut app = stage.accept();
            assert_eq!(Request::from(&mut app).path(), format!("/{number}"));
            (visitor, app)
        })
        .collect();
    // Of every other answer the head and a part have left already.
    for (visitor, app) in requests.iter_mut().step_by(2) {
        app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-session-set-a: b\r\n\r\ndo");
        assert_eq!(visitor.answer_head().status, 200);
        assert_eq!(visitor.exactly(2).unwrap(), b"do");
    }
    proxy.terminate();
    for (visitor, app, _) in &mut tunnels {
        end_with(visitor, app, 1001);
    }
    for (number, (visitor, app)) in requests.iter_mut().enumerate() {
        if number % 2 == 0 {
            app.send("ne");
            assert_eq!(visitor.exactly(2).unwrap(), b"ne", "{number}");
        } else {
            app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-session-set-a: b\r\n\r\ndone");
            let answer = visitor.answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{number}");
            assert_eq!(answer.header("connection").as_deref(), Some("close"), "{number}: told to come anew");
        }
        assert_eq!(visitor.ending(), Ending::Over, "{number}");
    }
    drop(requests);
    assert_eq!(proxy.exit().code(), Some(0));
}

/// By a close frame, and long before what the operator allows for a stop.
#[test]
fn shutdown_ends_a_websocket_that_never_pauses() {
    let stage = RawUpstream::open();
    let mut proxy =
        Cloakroom::before(stage.address()).config("[process]\nshutdown_timeout = \"120s\"").start();
    let (mut visitor, app, _) = open(&proxy, &stage, "");
    proxy.terminate();
    // A message in two frames each time, until the goodbye comes.
    let message = b"\x01\x01a\x80\x01b";
    let mut heard = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            // It pauses only to see whether it was told to go.
            let mut app = app.into_stream();
            app.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            while app.write_all(message).is_ok() && app.read(&mut [0; 64]).is_err() {}
        });
        visitor.stream().read_to_end(&mut heard).unwrap();
    });
    let said = heard.chunks(message.len()).take_while(|piece| piece == message).count() * message.len();
    assert!(heard[said..].starts_with(b"\x88\x12\x03\xe9"), "after whole messages: {:?}", &heard[said..]);
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn shutdown_ends_two_hundred_tunnels() {
    let (stage, authority) = (RawUpstream::open(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    let mut proxy = Cloakroom::before(stage.address()).listen(&authority.toml(&["shop"])).start();
    let agree = || {
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("{AGREES}\r\n"));
        app
    };
    let caller = authority.caller();
    let mut sealed: Vec<_> = (0..100)
        .map(|_| {
            let mut visitor = caller.dial(proxy.address, "shop.example").unwrap();
            visitor.send(format!("GET /ws HTTP/1.1\r\nhost: shop.example\r\n{ASKS}\r\n"));
            let app = agree();
            assert_eq!(visitor.answer(false).status, 101);
            (visitor, app)
        })
        .collect();
    let mut inner: Vec<_> = (0..100)
        .map(|_| {
            let visitor = Http2::dial_tls(proxy.address, &caller, "shop.example");
            thread::scope(|scope| {
                let app = scope.spawn(agree);
                let (answer, inner) = visitor.connect("https://shop.example/ws");
                assert_eq!(answer.status(), 200);
                (inner, app.join().unwrap())
            })
        })
        .collect();
    proxy.terminate();
    for (visitor, app) in &mut sealed {
        end_with(visitor, app, 1001);
    }
    for (visitor, app) in &mut inner {
        let mut heard = Vec::new();
        assert!(visitor.read_to_end(&mut heard).is_ok(), "an end in order");
        assert!(heard.starts_with(b"\x88\x12\x03\xe9"), "{heard:?}");
        app_is_told(app, 1001);
    }
    assert_eq!(proxy.exit().code(), Some(0));
}

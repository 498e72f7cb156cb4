//! Apps that speak HTTP/2 amiss, or go: what the visitor gets, and what the operator reads.

use crate::support::http2::{DATA, HEADERS, WINDOW_UPDATE, frame};
use crate::support::http2_app::{GET, POST, asked, before, goaway, ok, reset, visitor};
use crate::support::{Cloakroom, Port, RawUpstream};

const NO_ERROR: u32 = 0;
const INTERNAL: u32 = 2;
const REFUSED: u32 = 7;

#[test]
fn refused_streams_are_retried_whatever_the_method() {
    for request in [GET, POST] {
        let stage = RawUpstream::open();
        let proxy = before(stage.address(), "", "");
        // Refused, on a connection that goes on.
        let mut wire = visitor(&proxy, request);
        let mut app = stage.accept().greeted();
        let stream = asked(&mut app);
        app.send(reset(stream, REFUSED));
        let stream = asked(&mut app);
        if request == POST {
            assert_eq!(app.frame_of(DATA).unwrap(), (1, stream, b"hello".to_vec()), "its body as well");
        }
        app.send(ok(stream));
        assert_eq!(wire.answer(false).text(), "ok");
        // On one that ends: the next is another, and what is still under way on the first is answered.
        let mut earlier = visitor(&proxy, request);
        let first = asked(&mut app);
        let mut wire = visitor(&proxy, request);
        asked(&mut app);
        app.send(goaway(first, NO_ERROR));
        let mut other = stage.accept().greeted();
        let stream = asked(&mut other);
        other.send(ok(stream));
        assert_eq!(wire.answer(false).text(), "ok");
        app.send(ok(first));
        assert_eq!(earlier.answer(false).text(), "ok");
        assert!(proxy.log().lines().all(|line| !line.contains("ERROR")), "{}", proxy.log());
    }
}

#[test]
fn http2_refusals_are_retried_as_configured() {
    for (retries, times) in [(0, 1), (1, 2), (3, 4)] {
        let stage = RawUpstream::open();
        let proxy = before(stage.address(), &format!("retries = {retries}"), "");
        let mut wire = visitor(&proxy, POST);
        let mut app = stage.accept().greeted();
        for _ in 0..times {
            let stream = asked(&mut app);
            app.send(reset(stream, REFUSED));
        }
        assert_eq!(wire.answer(false).status, 502);
        assert!(proxy.log().contains("it reset the stream (refused stream"), "{}", proxy.log());
        app.finish();
        assert!(app.frame_of(HEADERS).is_none(), "no more often");
    }
}

#[test]
fn an_upload_too_long_to_be_kept_is_not_sent_again() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n");
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    let more = 200_000_u32.to_be_bytes();
    app.send([frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, stream, &more)].concat());
    wire.send(vec![b'x'; 100_000]);
    let mut came = 0;
    while came < 100_000 {
        came += app.frame_of(DATA).unwrap().2.len();
    }
    app.send(reset(stream, REFUSED));
    assert_eq!(wire.answer_head().status, 502);
}

#[test]
fn retries_repeat_only_idempotent_requests() {
    for (request, again) in [(GET, true), (POST, false)] {
        let stage = RawUpstream::open();
        let proxy = before(stage.address(), "", "");
        // On a connection that had not answered yet it is the app that failed.
        let mut wire = visitor(&proxy, request);
        let mut app = stage.accept().greeted();
        asked(&mut app);
        drop(app);
        assert_eq!(wire.answer(false).status, 502);
        // On one that had, it may be that it was being closed just then.
        let mut wire = visitor(&proxy, GET);
        let mut app = stage.accept().greeted();
        let stream = asked(&mut app);
        app.send(ok(stream));
        assert_eq!(wire.answer(false).text(), "ok");
        let mut wire = visitor(&proxy, request);
        asked(&mut app);
        drop(app);
        if again {
            let mut app = stage.accept().greeted();
            let stream = asked(&mut app);
            app.send(ok(stream));
            assert_eq!(wire.answer(false).text(), "ok");
        } else {
            assert_eq!(wire.answer(false).status, 502);
            assert!(!stage.has_guests());
        }
    }
}

#[test]
fn a_server_is_not_out_of_use_for_what_it_refuses() {
    let (stage, port) = (RawUpstream::open(), Port::reserve());
    let servers = format!("\"http://{}\", \"http://{}\"", stage.address(), port.address);
    let proxy = Cloakroom::before_servers(&servers)
        .upstream("http2 = true\nretries = 0")
        .config("[process]\nworkers = 1")
        .start();
    let mut app = None;
    for _ in 0..6 {
        let mut wire = visitor(&proxy, GET);
        let app = app.get_or_insert_with(|| stage.accept().greeted());
        let stream = asked(app);
        app.send(reset(stream, INTERNAL));
        assert_eq!(wire.answer(false).status, 502);
    }
    let told: Vec<_> =
        proxy.log().lines().filter(|line| line.contains("not used")).map(str::to_owned).collect();
    assert!(told.iter().all(|line| line.contains(&port.address.to_string())), "{told:?}");
}

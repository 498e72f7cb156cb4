//! HTTP/2: by ALPN and by prior knowledge, and what becomes of a request on its way to an app that speaks HTTP/1.

use std::thread;

use bytes::Bytes;
use cloakroom::testing::clock;
use http::{HeaderMap, HeaderValue, Request};

use crate::support::http2::{DATA, GOAWAY, HEADERS, Http2, RST_STREAM, block, frame, get, status_of, whole};
use crate::support::{App, Authority, Cloakroom, Ending, Gate, RawUpstream, Reply, STREAMED, eventually};

fn echo() -> App {
    App::start(|request| Reply::text(request.path()))
}

/// Before this app, by prior knowledge.
fn clear(app: &App, limits: &str) -> Cloakroom {
    Cloakroom::before(app.address)
        .listen("http2_prior_knowledge = true")
        .config(&format!("[limits]\n{limits}"))
        .start()
}

#[test]
fn by_https_it_is_spoken_with_whoever_offers_it() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address).listen(&authority.toml(&["shop"])).start();
    let mut visitor = Http2::dial_tls(proxy.address, &authority.caller(), "shop.example");
    let answer = visitor.get("https://shop.example/a?b=c");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/a?b=c"));
    let cookie = answer.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.starts_with("__Host-cloakroom=") && cookie.contains("; Secure"), "{cookie}");
    let asked = app.last();
    assert_eq!(asked.start, "GET /a?b=c HTTP/1.1");
    for (name, wanted) in [("host", "shop.example"), ("via", "2.0 cloakroom"), ("x-forwarded-proto", "https")]
    {
        assert_eq!(asked.all(name), [wanted], "{name}");
    }
    let told = |line: &String| line.contains(r#""host":"shop.example""#);
    eventually("the access log", || proxy.access().iter().any(told));
}

#[test]
fn in_clear_text_it_is_spoken_where_configured_beside_http1() {
    let app = echo();
    let proxy = clear(&app, "");
    assert_eq!(Http2::dial(proxy.address).get("http://a/2").text(), "/2");
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/1").text(), "/1");
    // It begins with the same letter.
    assert_eq!(visitor.post("/p", "x").text(), "/p");
    let plain = Cloakroom::before(app.address).start();
    let mut wire = plain.dial();
    wire.preface();
    assert_eq!(wire.ending(), Ending::Over);
    assert_eq!(app.received().len(), 3);
}

#[test]
fn many_requests_at_a_time_share_a_connection() {
    let door = Gate::closed();
    let held = std::sync::Arc::clone(&door);
    let app = App::start(move |request| {
        if request.path() == "/held" {
            held.pass();
        }
        Reply::text(request.path())
    });
    let proxy = clear(&app, "");
    let mut visitor = Http2::dial(proxy.address);
    let held: Vec<_> = (0..20)
        .map(|_| visitor.begin(Request::get("http://a/held").body(()).unwrap(), true).unwrap().0)
        .collect();
    assert_eq!(visitor.get("http://a/quick").text(), "/quick");
    thread::scope(|scope| {
        scope.spawn(|| {
            door.reached(20);
            door.open();
        });
        for answer in held {
            assert_eq!(visitor.run(whole(answer)).unwrap().text(), "/held");
        }
    });
}

#[test]
fn cookies_in_lines_of_their_own_become_one() {
    let app = echo();
    let proxy = clear(&app, "");
    let mut visitor = Http2::dial(proxy.address);
    let ticket = visitor.get("http://a/").headers.get("set-cookie").unwrap().to_str().unwrap().to_owned();
    let (ticket, _) = ticket.split_once(';').unwrap();
    let request = Request::get("http://a/")
        .header("cookie", "a=1")
        .header("cookie", ticket)
        .header("cookie", "b=2; c=3")
        .body(())
        .unwrap();
    visitor.ask(request, None).unwrap();
    assert_eq!(app.last().all("cookie"), ["a=1; b=2; c=3"]);
    assert_eq!(app.last().header("x-session-state").as_deref(), Some("active"));
    let bombs = (0..181).fold(Request::get("http://a/"), |r, n| r.header("cookie", format!("c{n}=1")));
    assert_eq!(visitor.ask(bombs.body(()).unwrap(), None).unwrap().status, 431);
}

#[test]
fn bodies_and_trailers_pass_either_way() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).listen("http2_prior_knowledge = true").start();
    let mut visitor = Http2::dial(proxy.address);
    let request = Request::post("http://a/").header("te", "trailers").body(()).unwrap();
    let (answer, mut send) = visitor.begin(request, false).unwrap();
    send.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    trailers.insert("x-session-principal", HeaderValue::from_static("root"));
    send.send_trailers(trailers).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut app = stage.accept();
            drop(app.head());
            assert_eq!(app.body(crate::support::Framing::Chunked).unwrap(), b"hello");
            assert_eq!(app.trailers, [("x-sum".to_owned(), b"1".to_vec())]);
            app.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-a\r\nx-a: 1\r\n\r\n");
            app.send("5\r\nworld\r\n0\r\ngrpc-status: 0\r\n\r\n");
        });
        let answer = visitor.run(whole(answer)).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "world"));
        assert_eq!(answer.trailers.unwrap().get("grpc-status").unwrap(), "0");
        assert!(!answer.headers.contains_key("x-a") && !answer.headers.contains_key("connection"));
    });
}

#[test]
fn an_upload_of_many_windows_arrives_whole() {
    let app = App::start(|request| Reply::text(request.body.len().to_string()));
    let proxy = clear(&app, "");
    let mut visitor = Http2::dial(proxy.address);
    let body = vec![b'x'; 5_000_000];
    let answer = visitor.ask(Request::post("http://a/").body(()).unwrap(), Some(&body)).unwrap();
    assert_eq!(answer.text(), "5000000");
}

#[test]
fn an_answer_that_breaks_off_is_cut_and_never_shown_as_whole() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).listen("http2_prior_knowledge = true").start();
    let mut visitor = Http2::dial(proxy.address);
    for head in ["transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "content-length: 9\r\n\r\nhello"] {
        let (answer, _) = visitor.begin(Request::get("http://a/").body(()).unwrap(), true).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut app = stage.accept();
                drop(app.head());
                app.send(format!("HTTP/1.1 200 OK\r\n{head}"));
            });
            assert!(visitor.run(whole(answer)).is_err(), "{head}");
        });
    }
}

#[test]
fn a_body_that_its_sender_takes_back_is_no_whole_body() {
    let stage = RawUpstream::open();
    let proxy =
        Cloakroom::before(stage.address()).upstream(STREAMED).listen("http2_prior_knowledge = true").start();
    // CANCEL and NO_ERROR read as an end where nobody looks twice.
    for reason in [h2::Reason::CANCEL, h2::Reason::NO_ERROR, h2::Reason::INTERNAL_ERROR] {
        let mut visitor = Http2::dial(proxy.address);
        let request = Request::post("http://a/transfer").body(()).unwrap();
        let (answer, mut send) = visitor.begin(request, false).unwrap();
        send.send_data(Bytes::from_static(b"amount=1"), false).unwrap();
        visitor.flush();
        let mut app = stage.accept();
        drop(app.head());
        assert_eq!(app.chunk().unwrap().unwrap(), b"amount=1");
        send.send_reset(reason);
        visitor.flush();
        drop(answer);
        let began = clock::instant();
        assert!(app.chunk().is_err(), "{reason:?}: the app is not shown a complete body");
        assert!(began.elapsed() < crate::support::PATIENCE / 2, "{reason:?}: it is cut off at once");
    }
}

/// What comes back for a request of these fields: a status, or how it was refused.
fn status(proxy: &Cloakroom, fields: &[(&str, &str)], body: Option<&[u8]>) -> String {
    let mut wire = proxy.dial();
    wire.preface();
    let end = u8::from(body.is_none());
    wire.send(frame(HEADERS, 4 | end, 1, &block(fields)));
    if let Some(body) = body {
        wire.send(frame(DATA, 1, 1, body));
    }
    loop {
        match wire.frame() {
            Some((HEADERS, _, 1, payload)) => return status_of(&payload),
            Some((RST_STREAM, ..)) => return "reset".to_owned(),
            Some((GOAWAY, ..)) | None => return "gone".to_owned(),
            Some(_) => {}
        }
    }
}

/// Fields, a body, and what may come of it.
type Row<'a> = (Vec<(&'a str, &'a str)>, Option<&'a [u8]>, &'a [&'a str]);

#[test]
fn what_http1_could_read_in_two_ways_never_reaches_it() {
    let app = App::start(|request| Reply::text(request.path()));
    let proxy = clear(&app, "");
    let own = |more: &[(&'static str, &'static str)]| {
        let own = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
        [own.as_slice(), more].concat()
    };
    let of = |method: &'static str, path: &'static str| {
        vec![(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
    };
    let rows: Vec<Row<'_>> = vec![
        (own(&[]), None, &["200"]),
        (own(&[("host", "a")]), None, &["200"]),
        (own(&[("host", "A")]), None, &["200"]),
        (own(&[("host", "b")]), None, &["400"]),
        (own(&[("host", "a"), ("host", "a")]), None, &["400"]),
        (vec![(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a")], None, &["200"]),
        (vec![(":method", "GET"), (":scheme", "http"), (":path", "/")], None, &["400"]),
        (own(&[("connection", "close")]), None, &["reset", "gone"]),
        (own(&[("transfer-encoding", "chunked")]), None, &["reset", "gone"]),
        (own(&[("upgrade", "websocket")]), None, &["reset", "gone"]),
        (own(&[("keep-alive", "1")]), None, &["reset", "gone"]),
        (own(&[("proxy-connection", "close")]), None, &["reset", "gone"]),
        (own(&[("te", "gzip")]), None, &["reset", "gone"]),
        (own(&[("te", "trailers")]), None, &["200"]),
        (own(&[("X-Upper", "1")]), None, &["reset", "gone"]),
        (own(&[("x:y", "1")]), None, &["reset", "gone"]),
        (own(&[("x y", "1")]), None, &["reset", "gone"]),
        (own(&[("x", "a\r\nx-session-principal: root")]), None, &["reset", "gone"]),
        (own(&[("x", "a\nb")]), None, &["reset", "gone"]),
        (own(&[("x", "a\0b")]), None, &["reset", "gone"]),
        (own(&[(":path", "/b")]), None, &["reset", "gone"]),
        (own(&[("x", "1"), (":method", "GET")]), None, &["reset", "gone"]),
        (own(&[(":status", "200")]), None, &["reset", "gone"]),
        (vec![(":method", "GET"), (":scheme", "http"), (":authority", "a")], None, &["reset", "gone"]),
        (of("GET", ""), None, &["reset", "gone", "400"]),
        (of("GET", "a"), None, &["reset", "gone", "400"]),
        (of("GET", "*"), None, &["400"]),
        (of("OPTIONS", "*"), None, &["200"]),
        (of("GET", "/ HTTP/1.1\r\nx: y"), None, &["reset", "gone", "400"]),
        (of("GET /x HTTP/1.1\r\n\r\nGET", "/"), None, &["reset", "gone", "400"]),
        (of("TRACE", "/"), None, &["405"]),
        (vec![(":method", "CONNECT"), (":authority", "a:80")], None, &["405"]),
        (own(&[("content-length", "5")]), Some(b"hello"), &["200"]),
        (own(&[("content-length", "6")]), Some(b"hello"), &["reset", "gone", "400"]),
        (own(&[("content-length", "4")]), Some(b"hello"), &["reset", "gone", "400"]),
        (own(&[("content-length", "5"), ("content-length", "6")]), Some(b"hello"), &["reset", "gone", "400"]),
        (own(&[("content-length", "+5")]), Some(b"hello"), &["reset", "gone", "400"]),
        (own(&[("content-length", "0")]), Some(b"hello"), &["reset", "gone", "400"]),
        (own(&[("expect", "other")]), None, &["417"]),
    ];
    let mut fine = 0;
    for (fields, body, wanted) in rows {
        let found = status(&proxy, &fields, body);
        assert!(wanted.contains(&found.as_str()), "{fields:?}: {found}, not {wanted:?}");
        fine += usize::from(found == "200");
    }
    assert_eq!(app.received().iter().filter(|asked| asked.start.ends_with(" HTTP/1.1")).count(), fine);
    assert_eq!(app.received().len(), fine);
}

#[test]
fn limits_of_a_connection_are_told_with_goaway() {
    let app = echo();
    let proxy = clear(
        &app,
        "requests_per_connection_http2 = 3\nidle_timeout_http2 = \"400ms\"\nrequest_head_timeout = \"300ms\"\nhttp2_streams = 3",
    );
    let mut wire = proxy.dial();
    wire.preface();
    for stream in [1, 3, 5] {
        wire.send(frame(HEADERS, 5, stream, &get("/", &[])));
    }
    let frames: Vec<_> = std::iter::from_fn(|| wire.frame()).map(|(kind, ..)| u32::from(kind)).collect();
    assert_eq!(frames.iter().filter(|kind| **kind == u32::from(HEADERS)).count(), 3, "{frames:?}");
    assert!(frames.contains(&u32::from(GOAWAY)), "{frames:?}");
    // Idle after one; nothing asked at all.
    for asks in [true, false] {
        let mut wire = proxy.dial();
        wire.preface();
        if asks {
            wire.send(frame(HEADERS, 5, 1, &get("/", &[])));
        }
        assert!(wire.frame_of(GOAWAY).is_some());
        while wire.frame().is_some() {}
    }
    // Not even a preface.
    let mut silent = proxy.dial();
    silent.send("PRI * HTTP/2.0\r\n");
    assert_eq!(silent.ending(), Ending::Over);
}

#[test]
fn when_told_to_stop_what_is_under_way_is_finished() {
    let door = Gate::closed();
    let held = std::sync::Arc::clone(&door);
    let app = App::start(move |request| {
        held.pass();
        Reply::text(request.path())
    });
    let mut proxy = clear(&app, "");
    let mut visitor = Http2::dial(proxy.address);
    let (answer, _) = visitor.begin(Request::get("http://a/held").body(()).unwrap(), true).unwrap();
    let mut idle = proxy.dial();
    idle.preface();
    thread::scope(|scope| {
        scope.spawn(|| {
            door.reached(1);
            proxy.terminate();
            // The idle one is told, and so is the busy one, whose request goes on.
            assert!(idle.frame_of(GOAWAY).is_some());
            door.open();
        });
        assert_eq!(visitor.run(whole(answer)).unwrap().text(), "/held");
    });
    drop((visitor, idle));
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn a_visitor_who_does_not_read_is_cut() {
    let app = App::start(|_| Reply::text("x".repeat(1_000_000)));
    let proxy = clear(&app, "write_stall_timeout = \"500ms\"");
    let mut wire = proxy.dial();
    wire.preface();
    // The window of the stream is never opened again: 64 KiB come, and no more.
    wire.send(frame(HEADERS, 5, 1, &get("/", &[])));
    let began = clock::instant();
    while wire.frame().is_some() {}
    assert!(began.elapsed() < crate::support::PATIENCE / 2);
    let mut reader = Http2::dial(proxy.address);
    assert_eq!(reader.get("http://a/").body.len(), 1_000_000);
}

#[test]
fn hints_reach_the_visitor_before_there_is_an_answer() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).listen("http2_prior_knowledge = true").start();
    let mut visitor = Http2::dial(proxy.address);
    let (mut answer, _send) = visitor.begin(Request::get("http://a/").body(()).unwrap(), true).unwrap();
    visitor.flush();
    let mut app = stage.accept();
    drop(app.head());
    let hint = |lines: &str| format!("HTTP/1.1 103 Early Hints\r\n{lines}\r\n");
    let hint_of = |answer: &mut h2::client::ResponseFuture| {
        visitor.run(std::future::poll_fn(|cx| answer.poll_informational(cx))).unwrap().unwrap()
    };
    app.send("HTTP/1.1 100 Continue\r\n\r\n");
    app.send(hint(
        "link: </a.css>\r\nset-cookie: a=1\r\nconnection: x-hop\r\nx-hop: 1\r\nx-session-set-a: 1\r\n",
    ));
    let first = hint_of(&mut answer);
    assert_eq!(first.status(), 103);
    let lines: Vec<_> =
        first.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(lines, [("link", b"</a.css>".as_slice())]);
    // Of many no more than is held for anybody.
    app.send(hint(&format!("x-long: {}\r\n", "x".repeat(6000))).repeat(5));
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let hints = (0..).map_while(|_| {
        let told = visitor.run(std::future::poll_fn(|cx| answer.poll_informational(cx)));
        told.map(Result::unwrap)
    });
    assert_eq!(hints.count(), 2);
    let answer = visitor.run(whole(answer)).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(!answer.headers.contains_key("link"));
}

//! Bodies on their way: passed on as they come, in both directions, and never shown as whole when they are not.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{App, Cloakroom, Ending, Framing, RawUpstream, Reply, Request, STREAMED, Wire};

const LENGTH: usize = 8 << 20;

fn staged() -> (RawUpstream, Cloakroom) {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).upstream(STREAMED).start();
    (stage, proxy)
}

/// Eight mebibytes that would show a piece lost, doubled or misplaced.
fn large() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
}

/// How a body of this length is announced.
fn announced(chunked: bool) -> String {
    if chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {LENGTH}") }
}

/// A piece of a body as it stands on the wire.
fn piece(chunked: bool, bytes: &[u8]) -> Vec<u8> {
    if chunked {
        [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
    } else {
        bytes.into()
    }
}

/// The rest of a body, in pieces, with its end.
fn pour(wire: &mut Wire, chunked: bool, bytes: &[u8]) {
    bytes.chunks(60_000).for_each(|bytes| wire.send(piece(chunked, bytes)));
    if chunked {
        wire.send("0\r\n\r\n");
    }
}

/// The first bytes of a body, at least so many.
fn first(wire: &mut Wire, chunked: bool, least: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < least {
        let more = if chunked { wire.chunk().unwrap().unwrap() } else { wire.exactly(1).unwrap() };
        bytes.extend(more);
    }
    bytes
}

/// The rest of a body.
fn rest(wire: &mut Wire, chunked: bool, so_far: usize) -> Vec<u8> {
    wire.body(if chunked { Framing::Chunked } else { Framing::Length(LENGTH - so_far) }).unwrap()
}

#[test]
fn a_download_passes_while_the_app_still_holds_back_the_rest() {
    let all = large();
    for chunked in [false, true] {
        let (stage, proxy) = staged();
        let mut visitor = proxy.dial();
        visitor.send("GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", announced(chunked)));
        assert_eq!(visitor.answer_head().status, 200, "the head before the first byte of the body");
        app.send(piece(chunked, &all[..1000]));
        let mut got = first(&mut visitor, chunked, 1000);
        assert!(got == all[..1000], "the first bytes before the rest");
        thread::scope(|scope| {
            scope.spawn(|| pour(&mut app, chunked, &all[1000..]));
            got.extend(rest(&mut visitor, chunked, 1000));
        });
        assert!(got == all, "chunked: {chunked}");
    }
}

#[test]
fn upload_is_streamed_before_it_is_whole() {
    let all = large();
    for chunked in [false, true] {
        let (stage, proxy) = staged();
        let mut visitor = proxy.dial();
        visitor.send(format!("POST /big HTTP/1.1\r\nhost: a\r\n{}\r\n\r\n", announced(chunked)));
        let mut app = stage.accept();
        let head = Request::head_from(&mut app);
        let length = (!chunked).then(|| LENGTH.to_string());
        assert_eq!(head.header("content-length"), length, "neither lost nor made up");
        visitor.send(piece(chunked, &all[..1000]));
        let mut got = first(&mut app, chunked, 1000);
        assert!(got == all[..1000], "the first bytes before the rest");
        thread::scope(|scope| {
            scope.spawn(|| pour(&mut visitor, chunked, &all[1000..]));
            got.extend(rest(&mut app, chunked, 1000));
        });
        assert!(got == all, "chunked: {chunked}");
        app.send("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(visitor.answer(false).status, 201);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the rules for clock and tasks are for the program, not its tests"
)]
fn a_slow_upload_is_no_slow_answer() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address())
        .upstream(STREAMED)
        .upstream("first_byte_timeout = \"300ms\"")
        .start();
    let mut visitor = proxy.dial();
    visitor.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut app = stage.accept();
    Request::head_from(&mut app);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        visitor.send("5\r\npiece\r\n");
        let chunk = app.chunk().unwrap_or_else(|_| panic!("cut off after {:?}", began.elapsed()));
        assert_eq!(chunk.as_deref(), Some(&b"piece"[..]));
    }
    visitor.send("0\r\n\r\n");
    assert_eq!(app.chunk().unwrap(), None);
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
    assert_eq!(visitor.answer(false).text(), "done");
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    for (method, answer, length) in [
        ("HEAD", "200 OK\r\ncontent-length: 5\r\netag: \"a\"", Some("5")),
        ("HEAD", "200 OK\r\netag: \"a\"", None),
        ("GET", "204 No Content\r\netag: \"a\"", None),
        ("GET", "304 Not Modified\r\netag: \"a\"", None),
        ("GET", "304 Not Modified\r\ncontent-length: 5\r\netag: \"a\"", Some("5")),
        ("GET", "200 OK\r\ncontent-length: 0\r\netag: \"a\"", Some("0")),
    ] {
        visitor.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"));
        let mut app = stage.accept();
        assert!(Request::from(&mut app).start.starts_with(method));
        app.send(format!("HTTP/1.1 {answer}\r\n\r\n"));
        let got = visitor.answer(method == "HEAD");
        assert!(answer.starts_with(&got.status.to_string()), "{answer}: {}", got.start);
        assert_eq!(got.header("etag").as_deref(), Some("\"a\""));
        assert!(got.header("transfer-encoding").is_none(), "{method} {answer}: {:?}", got.headers);
        // A length that the app did not tell is one that nobody knows.
        let told = got.header("content-length");
        assert!(told.is_none() || told.as_deref() == length, "{method} {answer}: {:?}", got.headers);
    }
}

#[test]
fn expect_100_continue_is_answered_by_us() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-Continue\r\n\r\n");
    assert_eq!(visitor.answer_head().start, "HTTP/1.1 100 Continue");
    visitor.send("hello");
    let mut app = stage.accept();
    let request = Request::from(&mut app);
    assert_eq!((request.body.as_slice(), request.header("expect")), (&b"hello"[..], None));
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(visitor.answer_head().status, 200);
}

#[test]
fn any_other_expectation_fails() {
    let (stage, proxy) = staged();
    for expect in ["200-ok", "100-continue, x", "\""] {
        let answer = proxy.browser().get_with("/", &format!("expect: {expect}\r\n"));
        assert_eq!(answer.status, 417, "{expect}");
    }
    assert!(!stage.has_guests());
}

#[test]
fn an_answer_may_come_before_the_upload_is_over_and_counts() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nthe begin");
    let mut app = stage.accept();
    Request::head_from(&mut app);
    app.send("HTTP/1.1 200 OK\r\nx-session-set-a: b\r\ncontent-length: 5\r\n\r\nearly");
    let answer = visitor.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "early"));
    assert_eq!(answer.set_cookies().len(), 1, "{:?}", answer.headers);
}

#[test]
fn an_app_that_refuses_an_upload_and_closes_is_heard() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{}\r\n\r\nthe begin", announced(false)));
    let mut app = stage.accept();
    Request::head_from(&mut app);
    app.send("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\ntoo");
    app.finish();
    let answer = visitor.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (413, "too"));
    assert_eq!(app.body(Framing::Close).ok().map(|body| body.len() < LENGTH), Some(true));
    drop(visitor.stream().write_all(b"more"));
    assert_eq!(visitor.ending(), Ending::Over, "the rest of the body is no request");
}

#[test]
fn truncated_answer_is_never_complete() {
    for (told, cut) in [
        ("content-length: 100", "0123456789"),
        ("content-length: 100", ""),
        ("transfer-encoding: chunked", ""),
        ("transfer-encoding: chunked", "a\r\n0123456789\r\n"),
        ("transfer-encoding: chunked", "a\r\n01234"),
        ("transfer-encoding: chunked", "a\r\n0123456789\r\n0\r\n"),
        ("x: no length", "0123456789"),
    ] {
        let (stage, proxy) = staged();
        let mut visitor = proxy.dial();
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("HTTP/1.1 200 OK\r\n{told}\r\n\r\n{cut}"));
        let head = visitor.answer_head();
        assert_eq!(head.status, 200);
        // Without any framing only a reset tells a cut from the end.
        if told.starts_with('x') {
            app.reset();
        } else {
            drop(app);
        }
        let chunked = head.header("transfer-encoding").is_some();
        let got = visitor.body(if chunked { Framing::Chunked } else { Framing::Length(100) });
        assert!(got.is_err(), "{told} {cut:?}: {got:?}");
    }
}

#[test]
fn aborted_upload_is_never_complete_for_the_app() {
    for (told, cut) in [
        ("content-length: 100", "0123456789"),
        ("transfer-encoding: chunked", "a\r\n0123456789\r\n"),
        ("transfer-encoding: chunked", "a\r\n0123456789\r\n6\r\n012"),
        ("transfer-encoding: chunked", "a\r\n0123456789\r\n0\r\n"),
    ] {
        let (stage, proxy) = staged();
        let mut visitor = proxy.dial();
        visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{told}\r\n\r\n{cut}"));
        let mut app = stage.accept();
        Request::head_from(&mut app);
        let chunked = told.starts_with('t');
        assert_eq!(first(&mut app, chunked, 10)[..10], *b"0123456789");
        drop(visitor);
        let rest = app.body(if chunked { Framing::Chunked } else { Framing::Length(90) });
        assert!(rest.is_err(), "{told} {cut:?}: {rest:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::start(|request| {
        Reply::text(format!("{} {}", request.path(), String::from_utf8_lossy(&request.body)))
    });
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.dial();
    visitor.send(
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\ntwo\
         POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n\
         GET /4 HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    for wanted in ["/1 ", "/2 two", "/3 three", "/4 "] {
        assert_eq!(visitor.answer(false).text(), wanted);
    }
}

#[test]
fn trailers_of_an_answer_pass_but_are_never_obeyed() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    let names = "x-sum, x-session-principal, x_session_set_a, set-cookie";
    app.send(format!(
        "HTTP/1.1 200 OK\r\ntrailer: {names}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    ));
    app.send("x-sum: 7\r\nx-session-principal: mallory\r\nX_Session_Set_A: b\r\nset-cookie: a=b\r\n\r\n");
    let answer = visitor.answer(false);
    assert_eq!(answer.text(), "ok");
    assert_eq!(visitor.trailers, [("x-sum".to_owned(), b"7".to_vec())]);
    drop(app);
    let cookie = answer.set_cookies()[0].split(';').next().unwrap().to_owned();
    visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
    assert_eq!(Request::from(&mut stage.accept()).all("x-session-principal"), [""; 0]);
}

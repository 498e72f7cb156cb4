//! Answers as apps really write them: odd and valid, odd and broken, in pieces, or too early.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use crate::support::http2::Http2;
use crate::support::wire::framing;
use crate::support::{
    App, Cloakroom, Ending, Framing, RawUpstream, Reply, Request, Response, STREAMED, Wire,
};

fn staged() -> (RawUpstream, Cloakroom) {
    let stage = RawUpstream::open();
    let proxy =
        Cloakroom::before(stage.address()).upstream(STREAMED).config("[process]\nworkers = 1").start();
    (stage, proxy)
}

/// A visitor who has asked, and the app that is to answer.
fn asked(stage: &RawUpstream, proxy: &Cloakroom) -> (Wire, Wire) {
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    (visitor, app)
}

#[test]
fn what_is_odd_and_valid_passes() {
    let many: String =
        (0..90).fold(String::new(), |lines, number| lines + &format!("x-{number}: {number}\r\n"));
    let many = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok");
    let (stage, proxy) = staged();
    for answer in [
        "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 All \u{fc}ber fine\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: \t 2 \t \r\nx-empty:\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a=b\r\no\r\n1 ; c=\"d;e\"\r\nk\r\n0;f\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok",
        many.as_str(),
    ] {
        let (mut visitor, mut app) = asked(&stage, &proxy);
        app.send(answer);
        drop(app);
        let got = visitor.answer(false);
        assert_eq!((got.status, got.text().as_str()), (200, "ok"), "{answer}");
    }
}

#[test]
fn a_body_whose_chunks_are_broken_is_never_shown_as_complete() {
    let (stage, proxy) = staged();
    for chunks in [
        "x\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "2 2\r\nok\r\n0\r\n\r\n",
        "\r\n2\r\nok\r\n0\r\n\r\n",
        "2\r\nok0\r\n\r\n",
        "2\r\nokay\r\n0\r\n\r\n",
        "10000000000000002\r\nok\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nok\r\n0\r\n\r\n",
        "2\r\nok\r\n0\r\nno colon\r\n\r\n",
    ] {
        let (mut visitor, mut app) = asked(&stage, &proxy);
        app.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(visitor.answer_head().status, 200);
        app.send(chunks);
        app.finish();
        let got = visitor.body(Framing::Chunked);
        assert!(got.is_err(), "{chunks:?}: {got:?}");
        assert_eq!(app.ending(), Ending::Over, "{chunks:?}");
    }
}

#[test]
fn an_answer_may_come_byte_by_byte() {
    let (stage, proxy) = staged();
    let (mut visitor, mut app) = asked(&stage, &proxy);
    app.stream().set_tcp_nodelay(true).unwrap();
    let answers = "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nx-session-set-a: b\r\n\
                   transfer-encoding: chunked\r\n\r\na\r\nhello worl\r\n1;x\r\nd\r\n0\r\nx: y\r\n\r\n";
    for byte in answers.bytes() {
        app.send([byte]);
    }
    let got = visitor.answer(false);
    assert_eq!((got.text().as_str(), got.set_cookies().len()), ("hello world", 1));
}

#[test]
fn header_values_pass_byte_for_byte_and_line_by_line() {
    let (stage, proxy) = staged();
    let (mut visitor, mut app) = asked(&stage, &proxy);
    app.send(b"HTTP/1.1 200 OK\r\nX-Raw: caf\xe9 \xff\x80 \"a, b\"\r\nSet-Cookie: a=1\r\nset-cookie: b=2; Path=/\r\n");
    app.send(b"Link: <a>\r\nlink: <b>\r\nWWW-Authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n");
    let got = visitor.answer(false);
    let raw = got
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-raw"))
        .map(|(_, value)| value.clone());
    assert_eq!(raw.unwrap(), b"caf\xe9 \xff\x80 \"a, b\"");
    assert_eq!(got.set_cookies().get(..2).unwrap(), ["a=1", "b=2; Path=/"]);
    let links: Vec<_> = got.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link")).collect();
    assert_eq!(links.len(), 2, "never folded");
    assert_eq!(got.header("www-authenticate").as_deref(), Some("Basic realm=\"x\""));
}

#[test]
fn early_answer_leaves_no_body_to_be_a_request() {
    let (stage, proxy) = staged();
    let evil = "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut visitor = proxy.dial();
    visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\nhello", evil.len() + 5));
    let mut first = stage.accept();
    Request::head_from(&mut first);
    assert_eq!(first.exactly(5).unwrap(), b"hello");
    first.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
    assert_eq!(visitor.answer(false).text(), "early");
    // It is read as the rest of the body, or not at all, wherever it goes.
    drop(std::io::Write::write_all(visitor.stream(), evil.as_bytes()));
    let rest = first.exactly(evil.len());
    assert!(rest.as_ref().is_ok_and(|rest| rest == evil.as_bytes()) || rest.is_err(), "{rest:?}");
    drop(first);
    let mut other = proxy.dial();
    other.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    assert_eq!(Request::from(&mut app).path(), "/next");
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
    assert_eq!(other.answer(false).text(), "next");
    assert!(!stage.has_guests(), "nothing else was asked");
}

#[test]
fn an_app_that_keeps_a_visitor_waiting_who_has_gone_is_cut_off() {
    let stage = RawUpstream::open();
    let limits = "[limits]\nfinish_after_abort = \"300ms\"";
    let proxy = Cloakroom::before(stage.address()).config(limits).start();
    let (visitor, mut app) = asked(&stage, &proxy);
    drop(visitor);
    assert_eq!(app.ending(), Ending::Over);
}

#[test]
fn an_app_whose_visitor_leaves_within_the_answer_is_cut_off() {
    let (stage, proxy) = staged();
    let (mut visitor, mut app) = asked(&stage, &proxy);
    app.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    assert_eq!(visitor.answer_head().status, 200);
    assert_eq!(visitor.chunk().unwrap().as_deref(), Some(&b"first"[..]));
    drop(visitor);
    assert_eq!(app.ending(), Ending::Over, "an event stream does not go on for nobody");
}

#[test]
fn the_app_is_obeyed_in_every_final_answer() {
    let app = App::start(|request| match request.path().trim_start_matches('/').parse() {
        Ok(status) => Reply::text("").status(status).with(format!("X-Session-Set-Last: {status}")),
        Err(_) => Reply::text(request.header("x-session-last").unwrap_or_default()),
    });
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/");
    for status in [200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 410, 418, 429, 500, 503] {
        assert_eq!(visitor.get(&format!("/{status}")).status, status);
        assert_eq!(visitor.get("/").text(), status.to_string());
    }
    let head = format!("HEAD /299 HTTP/1.1\r\n{}\r\n", visitor.lines());
    let answer: Response = visitor.send_raw(head.as_bytes());
    assert_eq!((answer.status, visitor.get("/").text().as_str()), (299, "299"));
}

/// A visitor who has asked by HTTP/1.1 or HTTP/2, and is answered with these bytes; the status, the cookies, and whether the
/// answer was whole.
fn told(answer: &str, http2: bool) -> (u16, usize, bool) {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).listen("http2_prior_knowledge = true").start();
    let answers = |mut app: Wire| {
        Request::from(&mut app);
        app.send(answer);
        app
    };
    if http2 {
        let mut visitor = Http2::dial(proxy.address);
        let (coming, _) =
            visitor.begin(http::Request::get("http://a.test/").body(()).unwrap(), true).unwrap();
        visitor.flush();
        let _app = answers(stage.accept());
        let response = visitor.run(coming).unwrap();
        let cookies = response.headers().get_all("set-cookie").iter().count();
        let status = response.status().as_u16();
        let whole = visitor.run(crate::support::http2::read(&mut response.into_body())).is_ok();
        return (status, cookies, whole);
    }
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let _app = answers(stage.accept());
    let head = visitor.answer_head();
    let whole = visitor.body(framing(&head.headers, Framing::Close)).is_ok();
    (head.status, head.set_cookies().len(), whole)
}

/// What an answer ordered is done or it is not, and the visitor is told which.
#[test]
fn broken_answer_is_a_502_or_cut_after_its_head() {
    let login = "HTTP/1.1 200 OK\r\nx-session-principal: alice\r\ntransfer-encoding: chunked\r\n\r\n";
    for http2 in [false, true] {
        let broken = told(&format!("{login}nonsense\r\n"), http2);
        assert_eq!((broken.0, broken.1), (502, 0), "nobody is logged in");
        let cut = told(&format!("{login}2\r\nok\r\nnonsense\r\n"), http2);
        assert_eq!(cut, (200, 1, false), "http2 {http2}: who is logged in has the ticket");
        assert_eq!(told(&format!("{login}2\r\nok\r\n0\r\n\r\n"), http2), (200, 1, true));
    }
}

#[test]
fn a_control_character_costs_a_line_and_is_told() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).start();
    for (line, status) in [("x-note: a\u{1}b", 200), ("set-cookie2: sid=1", 200), ("x-note: a\0b", 502)] {
        let mut visitor = proxy.dial();
        visitor.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("HTTP/1.1 200 OK\r\n{line}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"));
        let answer = visitor.answer(false);
        assert_eq!(answer.status, status, "{line:?}");
        assert_eq!((answer.header("x-note"), answer.header("set-cookie2")), (None, None), "{line:?}");
    }
    let log = proxy.log();
    assert!(log.contains("header lines of an answer were dropped") && log.contains("x-note"), "{log}");
}

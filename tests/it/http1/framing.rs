//! Messages as such: versions, lengths, interim answers, and the headers that end here (RFC 9110 §7, RFC 9112).

use crate::support::{Cloakroom, Ending, Framing, RawUpstream, Request, Response};

fn staged() -> (RawUpstream, Cloakroom) {
    let stage = RawUpstream::open();
    // One worker, so that a connection to the app that may be used again is.
    let proxy = Cloakroom::before(stage.address()).config("[process]\nworkers = 1").start();
    (stage, proxy)
}

/// What a visitor gets for a GET when the app answers with these bytes and closes.
fn answered(answer: &str) -> Response {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(answer);
    app.finish();
    visitor.answer(false)
}

#[test]
fn an_http_1_0_visitor_is_answered_and_left() {
    let (stage, proxy) = staged();
    for (answer, body) in [
        ("content-length: 2\r\n\r\nok", "ok"),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
    ] {
        let mut visitor = proxy.dial();
        visitor.send("GET /old HTTP/1.0\r\n\r\n");
        let mut app = stage.accept();
        let request = Request::from(&mut app);
        assert_eq!(
            (request.start.as_str(), request.all("via")),
            ("GET /old HTTP/1.1", vec!["1.0 cloakroom".into()])
        );
        app.send(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{answer}"));
        let head = visitor.answer_head();
        assert_eq!(head.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
        assert_eq!(visitor.body(Framing::Close).unwrap(), body.as_bytes());
    }
}

#[test]
fn an_http_1_0_visitor_who_asks_for_it_is_kept() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    let mut app = None;
    for _ in 0..2 {
        visitor.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let app = app.get_or_insert_with(|| stage.accept());
        Request::from(app);
        app.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let answer = visitor.answer(false);
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.header("connection").as_deref(), Some("keep-alive"));
    }
}

#[test]
fn the_version_of_an_answer_is_ours_and_not_the_apps() {
    for rest in ["\r\n\r\nhello", "\r\ncontent-length: 5\r\n\r\nhello", "\r\nconnection: close\r\n\r\nhello"]
    {
        let answer = answered(&format!("HTTP/1.0 200 OK{rest}"));
        assert_eq!((answer.start.as_str(), answer.text().as_str()), ("HTTP/1.1 200 OK", "hello"), "{rest:?}");
        let told = answer.header("transfer-encoding").or(answer.header("content-length"));
        assert!(told.is_some(), "its end is told, and the connection can go on: {:?}", answer.headers);
    }
}

#[test]
fn a_visitor_of_an_http_1_0_app_keeps_the_connection() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    for number in 0..3 {
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("HTTP/1.0 200 OK\r\nserver: old\r\n\r\nnumber {number}"));
        drop(app);
        let answer = visitor.answer(false);
        assert_eq!((answer.text(), answer.header("connection")), (format!("number {number}"), None));
    }
}

#[test]
fn request_with_length_and_chunks_closes_the_connection() {
    let (stage, proxy) = staged();
    for lines in [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 100",
    ] {
        let mut visitor = proxy.dial();
        visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
        visitor.send("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        let request = Request::from(&mut app);
        assert_eq!((request.body.as_slice(), request.all("content-length").len()), (&b"hello"[..], 0));
        app.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(visitor.answer(false).text(), "ok");
        assert_eq!(visitor.ending(), Ending::Over, "{lines}");
    }
}

#[test]
fn a_request_whose_length_can_be_read_in_two_ways_is_refused() {
    let (stage, proxy) = staged();
    for lines in [
        "HTTP/1.0\r\ntransfer-encoding: chunked",
        "HTTP/1.1\r\ntransfer-encoding: gzip",
        "HTTP/1.1\r\ntransfer-encoding: gzip, chunked",
        "HTTP/1.1\r\ntransfer-encoding: chunked, gzip",
        "HTTP/1.1\r\ntransfer-encoding: chunked, chunked",
        "HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "HTTP/1.1\r\ntransfer-encoding: identity",
        "HTTP/1.1\r\ntransfer-encoding: \x0bchunked",
        "HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6",
        "HTTP/1.1\r\ncontent-length: 5, 6",
        "HTTP/1.1\r\ncontent-length: +5",
        "HTTP/1.1\r\ncontent-length: 5x",
        "HTTP/1.1\r\ncontent-length: -1",
        "HTTP/1.1\r\ncontent-length: ",
        "HTTP/1.1\r\ncontent-length : 5",
    ] {
        let mut visitor = proxy.dial();
        visitor.send(format!("POST / {lines}\r\nhost: a\r\n\r\n0\r\n\r\n"));
        let status = visitor.answer(false).status;
        // 501 is what RFC 9112 §6.1 has for codings that nobody knows.
        assert!(status == 400 || (status == 501 && lines.contains("1.1\r\ntransfer")), "{lines}: {status}");
        // Where chunks come last the end of the body is known all the same.
        if !lines.ends_with("chunked") {
            assert_eq!(visitor.ending(), Ending::Over, "{lines}");
        }
    }
    assert!(!stage.has_guests(), "none of them reached the app");
}

#[test]
fn answer_of_ambiguous_length_is_a_502() {
    let mut wrong = Vec::new();
    for head in [
        "1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked",
        "1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 15",
        "1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
        "1.1 200 OK\r\ntransfer-encoding: gzip",
        "1.1 200 OK\r\ntransfer-encoding: chunked, gzip",
        "1.1 200 OK\r\ntransfer-encoding: chunked, chunked",
        "1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "1.1 200 OK\r\ntransfer-encoding: identity",
        "1.0 200 OK\r\ntransfer-encoding: chunked",
        "1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4",
        "1.1 200 OK\r\ncontent-length: 3, 4",
        "1.1 200 OK\r\ncontent-length: x",
        "1.1 200 OK\r\ncontent-length: -3",
    ] {
        let (stage, proxy) = staged();
        let mut visitor = proxy.dial();
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(format!("HTTP/{head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
        let answer = visitor.answer_head();
        if answer.status == 502 {
            assert_eq!(app.ending(), Ending::Over, "{head}");
        } else {
            wrong.push((head, answer.status));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn bytes_after_an_answer_are_never_the_next_answer() {
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for end in ["content-length: 2\r\n\r\nok", "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"] {
        for late in [false, true] {
            let (stage, proxy) = staged();
            let mut visitor = proxy.dial();
            visitor.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
            let mut first = stage.accept();
            Request::from(&mut first);
            first.send(format!("HTTP/1.1 200 OK\r\n{end}{}", if late { "" } else { evil }));
            assert_eq!(visitor.answer(false).text(), "ok");
            if late {
                first.send(evil);
            }
            visitor.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
            let mut second = stage.accept();
            assert_eq!(Request::from(&mut second).path(), "/2");
            second.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
            assert_eq!(visitor.answer(false).text(), "good");
            assert_eq!(first.ending(), Ending::Over);
        }
    }
}

#[test]
fn interim_answers_carry_no_session() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </s.css>\r\nx-session-principal: eve\r\n\r\n");
    let hint = String::from_utf8(visitor.head().unwrap().unwrap()).unwrap();
    assert_eq!(hint, "HTTP/1.1 103 Early Hints\r\nlink: </s.css>\r\n\r\n", "before there is an answer");
    app.send("HTTP/1.1 103 Early Hints\r\nx-session-set-a: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let answer = visitor.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let cookie = answer.set_cookies()[0].split(';').next().unwrap().to_owned();
    visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
    let request = Request::from(&mut app);
    assert_eq!((request.header("x-session-principal"), request.header("x-session-a")), (None, None));
}

#[test]
fn interim_answers_reach_http11_visitors_stripped() {
    let (stage, proxy) = staged();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x-hop\r\nx-hop: 1\r\nset-cookie: a=b\r\n\
                 content-length: 5\r\n\r\n";
    let rest = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut visitor = proxy.dial();
    let mut app = None;
    for _ in 0..2 {
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let app = app.get_or_insert_with(|| stage.accept());
        Request::from(app);
        app.send(format!("{hints}{rest}"));
        for wanted in ["HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n"] {
            assert_eq!(String::from_utf8(visitor.head().unwrap().unwrap()).unwrap(), wanted);
        }
        let head = String::from_utf8(visitor.head().unwrap().unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(visitor.body(Framing::Length(2)).unwrap(), b"ok");
    }
    drop(app);
    let mut old = proxy.dial();
    old.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("{hints}{rest}"));
    let head = String::from_utf8(old.head().unwrap().unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "HTTP/1.0 knows none of them: {head}");
}

#[test]
fn an_answer_has_a_date_and_keeps_the_one_it_had() {
    let date = answered("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").header("date");
    assert!(date.as_deref().is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")), "{date:?}");
    let own = "Sun, 06 Nov 1994 08:49:37 GMT";
    let answer = answered(&format!("HTTP/1.1 200 OK\r\nDate: {own}\r\ncontent-length: 0\r\n\r\n"));
    let dates: Vec<_> = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("date")).collect();
    assert_eq!((dates.len(), answer.header("date").as_deref()), (1, Some(own)));
}

/// Lines that speak of one connection, and lines that do not.
const HOPS: &str = "Connection: X-Hop, close\r\nconnection: x-other\r\nX-Hop: 1\r\nx-other: 1\r\nKeep-Alive: timeout=9\r\n\
                    Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTE: gzip\r\nX-End: 1\r\nx-end: 2\r\nX-Odd!: \"a\"\r\n";

#[test]
fn what_speaks_of_one_connection_ends_here_and_all_else_passes() {
    let (stage, proxy) = staged();
    let mut visitor = proxy.dial();
    visitor.send(format!(
        "GET / HTTP/1.1\r\nhost: a\r\nVia: 1.0 fred\r\nAuthorization: Basic eDp5\r\n{HOPS}\r\n"
    ));
    let mut app = stage.accept();
    let request = Request::from(&mut app);
    for gone in ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection", "upgrade", "te"] {
        assert_eq!(request.all(gone), [""; 0], "to the app: {gone}");
    }
    assert_eq!(request.all("x-end"), ["1", "2"], "in their order");
    assert_eq!(
        (request.all("x-odd!"), request.all("authorization")),
        (vec!["\"a\"".into()], vec!["Basic eDp5".into()])
    );
    assert_eq!(request.all("via").join(", "), "1.0 fred, 1.1 cloakroom");
    app.send(format!("HTTP/1.1 200 OK\r\n{HOPS}content-length: 2\r\n\r\nok"));
    let answer = visitor.answer(false);
    for gone in ["x-hop", "x-other", "keep-alive", "proxy-connection", "upgrade", "te"] {
        assert_eq!(answer.header(gone), None, "to the visitor: {gone}");
    }
    let ends: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "x-end").map(|(_, v)| v.as_slice()).collect();
    assert_eq!(ends, [b"1", b"2"]);
    assert_eq!((answer.header("x-odd!").as_deref(), answer.header("via")), (Some("\"a\""), None));
}

#[test]
fn early_refusal_says_whether_the_connection_stays() {
    let stage = RawUpstream::open();
    let routes = "[[routes]]\nupstream = \"app\"\n\
                  [[routes]]\npath = \"/members\"\nupstream = \"app\"\nrequire = \"principal\"";
    let proxy = Cloakroom::before(stage.address()).config(routes).start();
    for (lines, body, kept) in [
        ("content-length: 5\r\n", "hello", true),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", true),
        // Only they know whether the rest is still to come.
        ("content-length: 5\r\n", "he", false),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n", false),
        ("expect: 100-continue\r\ncontent-length: 5\r\n", "", false),
        ("transfer-encoding: chunked\r\n", "nonsense\r\n", false),
    ] {
        let mut visitor = proxy.dial();
        visitor.send(format!("POST /members HTTP/1.1\r\nhost: a\r\n{lines}\r\n{body}"));
        let answer = visitor.answer(false);
        assert_eq!(answer.status, 401, "{lines}");
        let close = answer.header("connection");
        assert_eq!(close.as_deref(), (!kept).then_some("close"), "{lines} {body}");
        if kept {
            visitor.send("POST /members HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(visitor.answer(false).status, 401, "{lines}: the next request is read as one");
        } else {
            assert_eq!(visitor.ending(), Ending::Over, "{lines} {body}");
        }
    }
    assert!(!stage.has_guests());
}

//! The rules of the road for who stands between two others (RFC 9110, 9112): a row each, raw bytes on both sides. The
//! table in `src/lib.rs` names the tests of those that are no matter of one request and its answer.

use crate::support::{Cloakroom, Ending, Framing, RawUpstream, Request, STREAMED};

/// What becomes of a request.
#[derive(Default)]
struct Row {
    rule: &'static str,
    asks: Vec<u8>,
    /// It never reaches the app, or not as a whole, and this is the answer.
    refused: Option<u16>,
    /// Its fault comes after its head, which the app may have seen.
    cut: bool,
    app_sees: &'static [&'static str],
    app_lacks: &'static [&'static str],
    body: &'static str,
    answers: Vec<u8>,
    /// 200 if nothing is said.
    status: Option<u16>,
    visitor_sees: &'static [&'static str],
    visitor_lacks: &'static [&'static str],
    text: Option<&'static str>,
    /// The visitor's connection takes no other request.
    closed: bool,
    /// Nor does the app's.
    app_closed: bool,
    to_head: bool,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

impl Row {
    /// A GET with these lines more.
    fn get(rule: &'static str, lines: &str) -> Self {
        Self::raw(rule, format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n"))
    }

    fn raw(rule: &'static str, asks: impl Into<Vec<u8>>) -> Self {
        Self { rule, asks: asks.into(), answers: OK.into(), ..Self::default() }
    }

    fn answered(self, answers: impl Into<Vec<u8>>) -> Self {
        Self { answers: answers.into(), ..self }
    }

    fn app(self, sees: &'static [&'static str], lacks: &'static [&'static str]) -> Self {
        Self { app_sees: sees, app_lacks: lacks, ..self }
    }

    fn visitor(self, sees: &'static [&'static str], lacks: &'static [&'static str]) -> Self {
        Self { visitor_sees: sees, visitor_lacks: lacks, ..self }
    }

    fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    fn text(self, text: &'static str) -> Self {
        Self { text: Some(text), ..self }
    }

    fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    fn refused(self, status: u16) -> Self {
        Self { refused: Some(status), ..self }
    }

    fn cut(self) -> Self {
        Self { cut: true, ..self.refused(400).closed() }
    }

    fn closed(self) -> Self {
        Self { closed: true, ..self }
    }

    /// The app is at fault.
    fn fault(self) -> Self {
        Self { app_closed: true, ..self.status(502) }
    }

    fn left(self) -> Self {
        Self { app_closed: true, ..self }
    }

    fn head(self) -> Self {
        Self { to_head: true, ..self }
    }
}

/// Whether these stand among the lines of a head: `name: value`, or `name` alone for any value.
fn check(side: &str, rule: &str, head: &str, sees: &[&str], lacks: &[&str]) {
    let lines: Vec<_> = head
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, value)) if !line.contains("HTTP/1.") => {
                format!("{}: {}", name.to_ascii_lowercase(), value.trim())
            }
            _ => line.to_owned(),
        })
        .collect();
    let mut from = 0;
    for wanted in sees {
        // In their order.
        let at = lines.iter().skip(from).position(|line| line == wanted);
        assert!(at.is_some(), "{rule}: {side} does not see {wanted:?} in its place:\n{head}");
        from += at.unwrap_or_default() + 1;
    }
    for gone in lacks {
        let there = lines.iter().any(|line| line == gone || line.starts_with(&format!("{gone}:")));
        assert!(!there, "{rule}: {side} sees {gone:?}:\n{head}");
    }
}

fn try_row(stage: &RawUpstream, proxy: &Cloakroom, row: &Row) {
    let rule = row.rule;
    let mut visitor = proxy.dial();
    visitor.send(&row.asks);
    if let Some(status) = row.refused {
        assert_eq!(visitor.answer(false).status, status, "{rule}");
        if row.closed {
            assert_eq!(visitor.ending(), Ending::Over, "{rule}");
        }
        if row.cut {
            let mut app = stage.accept();
            let seen = matches!(app.head(), Ok(Some(_)));
            assert!(!seen || app.body(Framing::Chunked).is_err(), "{rule}: shown as whole");
        }
        assert!(!stage.has_guests(), "{rule}: the app was asked");
        return;
    }
    let mut app = stage.accept();
    let asked = Request::from(&mut app);
    check("the app", rule, &String::from_utf8_lossy(&asked.head), row.app_sees, row.app_lacks);
    assert_eq!(String::from_utf8_lossy(&asked.body), row.body, "{rule}");
    app.send(&row.answers);
    let answer = visitor.answer(row.to_head);
    let head = answer.headers.iter().fold(format!("{}\r\n", answer.start), |head, (name, value)| {
        head + &format!("{name}: {}\r\n", String::from_utf8_lossy(value))
    });
    assert_eq!(answer.status, row.status.unwrap_or(200), "{rule}: {head}");
    check("the visitor", rule, &head, row.visitor_sees, row.visitor_lacks);
    if let Some(text) = row.text {
        assert_eq!(answer.text(), text, "{rule}");
    }
    // Held, so that only cloakroom can close it: what comes next then takes another.
    let held = row.app_closed.then_some(app);
    if row.closed {
        assert_eq!(visitor.ending(), Ending::Over, "{rule}");
        assert!(!stage.has_guests(), "{rule}: the app was asked for more");
        visitor = proxy.dial();
    }
    // What comes next, on the same connection where there still is one, is answered, and by its own answer. After it the
    // app's connection is not kept: a POST of the next row could meet it just as it is closed, and is never sent twice.
    visitor.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    assert_eq!(Request::from(&mut app).path(), "/next", "{rule}");
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnext");
    assert_eq!(visitor.answer(false).text(), "next", "{rule}");
    if let Some(mut app) = held {
        assert_eq!(app.ending(), Ending::Over, "{rule}: the app's connection");
    }
}

#[test]
fn each_rule_of_the_road_is_kept() {
    let stage = RawUpstream::open();
    // One worker, so that nothing but the row decides which connection is used.
    for rules in ["", STREAMED] {
        let proxy =
            Cloakroom::before(stage.address()).upstream(rules).config("[process]\nworkers = 1").start();
        for row in hops().into_iter().chain(fields()).chain(targets()).chain(lengths()).chain(faults()) {
            // Where bodies are held, an app is not asked before they are whole.
            try_row(&stage, &proxy, &Row { cut: row.cut && rules == STREAMED, ..row });
        }
    }
}

/// RFC 9110 section 7.6.
fn hops() -> Vec<Row> {
    vec![
        Row::get(
            "9110 7.6.1: Connection and all it names",
            "Connection: X-Hop, x-Other\r\nx-hop: 1\r\nX-OTHER: 2\r\nx-kept: 3\r\n",
        )
        .app(&["x-kept: 3"], &["connection", "x-hop", "x-other"]),
        Row::get("9110 7.6.1: what is named in a second line", "connection: x-a\r\nconnection: x-b\r\nx-a: 1\r\nx-b: 1\r\n")
            .app(&[], &["x-a", "x-b", "connection"]),
        Row::get(
            "9110 7.6.1: Keep-Alive, Proxy-Connection, TE, Upgrade",
            "keep-alive: 9\r\nproxy-connection: keep-alive\r\nte: gzip\r\nupgrade: h2c\r\n",
        )
        .app(&[], &["keep-alive", "proxy-connection", "te", "upgrade"])
        // What follows what asked to change the protocol may have been meant for that.
        .closed(),
        Row::get("9110 7.6.1: in answers", "").answered(
            "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nproxy-connection: close\r\n\
             te: gzip\r\nupgrade: h2c\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n",
        )
        .visitor(&["x-kept: 1"], &["x-hop", "keep-alive", "proxy-connection", "te", "upgrade"]),
        Row::get("9110 7.6.1: framing and Host cannot be named away", "connection: host, via, x-session-state\r\n")
            .app(&["host: a", "via: 1.1 cloakroom", "x-session-state: new"], &[]),
        Row::get("9110 7.6.3: Via", "via: 1.0 fred\r\n").app(&["via: 1.0 fred", "via: 1.1 cloakroom"], &[]),
        Row::get("9110 7.6: a loop", &"via: 1.1 cloakroom\r\n".repeat(8)).refused(508),
        Row::raw("9110 7.6.2: Max-Forwards of OPTIONS", "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 2\r\n\r\n")
            .app(&["max-forwards: 1"], &[]),
        Row::raw("9110 7.6.2: its end", "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n").refused(204),
        Row::raw("9110 9.3.8: TRACE", "TRACE / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n").refused(405),
        Row::get("9110 7.6.2: Max-Forwards of others", "max-forwards: 0\r\n").app(&["max-forwards: 0"], &[]),
        Row::get("9110 11.6.2: Authorization", "authorization: Digest a=\"b\"\r\n")
            .app(&["authorization: Digest a=\"b\""], &[]),
        Row::get("9110 13.2.1: conditionals", "if-none-match: W/\"x\", *\r\nif-range: \"y\"\r\nrange: bytes=0-\r\n")
            .app(&["if-none-match: W/\"x\", *", "if-range: \"y\"", "range: bytes=0-"], &[])
            .answered("HTTP/1.1 304 Not Modified\r\netag: W/\"x\"\r\ncontent-length: 77\r\n\r\n")
            .status(304)
            .visitor(&["etag: W/\"x\""], &[])
            .text(""),
        Row::raw(
            "9110 10.1.1: 100-continue is answered here",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
        )
        .app(&["content-length: 2"], &["expect"])
        .body("hi"),
        Row::get("9110 10.1.1: other expectations", "expect: 200-maybe\r\n").refused(417),
        Row::get("9110 15.2: interim answers", "")
            .answered(format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{OK}"))
            .text("ok"),
        Row::get("9110 7.8: a change that nobody asked for", "")
            .answered("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            .fault(),
    ]
}

/// RFC 9110 section 5 and 6, RFC 9112 section 5.
fn fields() -> Vec<Row> {
    let get = |line: &[u8]| [b"GET / HTTP/1.1\r\nhost: a\r\n", line, b"\r\n\r\n"].concat();
    let answer = |line: &[u8]| [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", line, b"\r\n\r\n"].concat();
    vec![
        Row::get("9110 5.1: unknown fields", "X!#$%&'*+-.^_`|~9: (any) thing\r\n")
            .app(&["x!#$%&'*+-.^_`|~9: (any) thing"], &[])
            .answered(answer(b"X-Who_Knows: 1"))
            .visitor(&["x-who_knows: 1"], &[]),
        Row::get("9110 5.3: the order of lines of one name", "x-a: 2\r\nx-b: 0\r\nx-a: 1\r\nX-A: 3\r\n")
            .app(&["x-a: 2", "x-a: 1", "x-a: 3"], &["x-a: 2, 1, 3"])
            .answered(answer(b"x-a: 2\r\nx-b: 0\r\nx-a: 1"))
            .visitor(&["x-a: 2", "x-a: 1"], &[]),
        Row::get("9110 5.5: bytes above ASCII", "x-a: zo\u{eb}\r\n").app(&["x-a: zo\u{eb}"], &[]),
        Row::get("9110 5.5: an empty value", "x-a:\r\nx-b: \t \r\n").app(&["x-a: ", "x-b: "], &[]),
        Row::raw("9110 5.5: NUL", get(b"x: a\0b")).refused(400).closed(),
        Row::raw("9112 2.2: a bare CR in a value", get(b"x: a\rx-session-principal: root"))
            .refused(400)
            .closed(),
        Row::raw("9112 2.2: a bare CR in the request line", "GET /\rx HTTP/1.1\r\nhost: a\r\n\r\n")
            .refused(400)
            .closed(),
        Row::raw("9110 5.5: other controls", get(b"x: a\x01b")).refused(400).closed(),
        Row::raw("9112 5.1: a blank before the colon", get(b"x : a")).refused(400).closed(),
        Row::raw("9112 5.1: no name", get(b": a")).refused(400).closed(),
        Row::raw("9112 5.1: no colon", get(b"x")).refused(400).closed(),
        Row::raw("9112 5.2: a folded line", get(b"x: a\r\n b")).refused(400).closed(),
        Row::raw("9112 2.2: a blank before the first field", "GET / HTTP/1.1\r\n host: a\r\n\r\n")
            .refused(400)
            .closed(),
        Row::get("9112 5.2: a folded line of an answer", "")
            .answered(answer(b"x-a: b\r\n c\r\nx-d: e"))
            .visitor(&["x-a: b   c", "x-d: e"], &[]),
        Row::get("9112 5.1: a blank before the colon of an answer", "")
            .answered(answer(b"x-a : b"))
            .visitor(&["x-a: b"], &[]),
        Row::get("9110 5.5: NUL in an answer", "").answered(answer(b"x: a\0b")).fault(),
        Row::get("9112 2.2: a bare CR in an answer", "").answered(answer(b"x: a\rset-cookie: a=b")).fault(),
        Row::get("9110 6.6.1: Date, where there is one", "")
            .answered(answer(b"date: Sun, 06 Nov 1994 08:49:37 GMT"))
            .visitor(&["date: Sun, 06 Nov 1994 08:49:37 GMT"], &[]),
    ]
}

/// RFC 9112 section 3.
fn targets() -> Vec<Row> {
    vec![
        Row::raw(
            "9112 3.2.2: absolute-form wins over Host",
            "GET http://b:8/x?y HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .app(&["GET /x?y HTTP/1.1", "host: b:8"], &["host: a"]),
        Row::raw("9112 3.2.4: OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
            .app(&["OPTIONS * HTTP/1.1"], &[]),
        Row::raw("9112 3.2.4: and nothing else with it", "GET * HTTP/1.1\r\nhost: a\r\n\r\n")
            .refused(400)
            .closed(),
        Row::raw("9112 3.2: no Host", "GET / HTTP/1.1\r\n\r\n").refused(400).closed(),
        Row::raw("9112 3.2: two of them", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n")
            .refused(400)
            .closed(),
        Row::raw("9112 3.2: one that is none", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n").refused(400).closed(),
        Row::raw("9112 3.2: user information", "GET / HTTP/1.1\r\nhost: x@a\r\n\r\n").refused(400).closed(),
        Row::raw("9112 9.3: HTTP/1.0 is not kept", "GET / HTTP/1.0\r\n\r\n").closed(),
        Row::raw("9112 3: a third word", "GET / x HTTP/1.1\r\nhost: a\r\n\r\n").refused(400).closed(),
        Row::raw("9110 2.5: a later minor version", "GET / HTTP/1.2\r\nhost: a\r\n\r\n"),
        Row::raw("9112 2.3: another version", "GET / HTTP/2.0\r\nhost: a\r\n\r\n").refused(400).closed(),
        Row::raw("9112 2.3: no version", "GET /\r\n\r\n").refused(400).closed(),
        Row::raw("9112 2.2: empty lines before a request", "\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ]
}

/// RFC 9112 sections 6 and 7.
fn lengths() -> Vec<Row> {
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}");
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    vec![
        Row::raw("9112 6.2: Content-Length", post("content-length: 2\r\n\r\nhi"))
            .app(&["content-length: 2"], &["transfer-encoding"])
            .body("hi"),
        Row::raw(
            "9112 7.1: chunks, extensions and trailers",
            post("transfer-encoding: chunked\r\n\r\n2;a=\"b\"\r\nhi\r\n0\r\nx-t: 1\r\n\r\n"),
        )
        .app(&["transfer-encoding: chunked"], &["content-length"])
        .body("hi"),
        Row::raw(
            "9110 5.6.1: an empty member of a list",
            post("transfer-encoding: , chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        )
        .app(&["transfer-encoding: chunked"], &["content-length"])
        .body("hi"),
        Row::raw("9112 7.1: a byte that can be no size", post("transfer-encoding: chunked\r\n\r\n5\x0c"))
            .cut(),
        Row::raw(
            "9112 7.1.1: an extension without a name",
            post("transfer-encoding: chunked\r\n\r\n2;\r\nhi\r\n0\r\n\r\n"),
        )
        .cut(),
        Row::raw(
            "9112 6.3: a length in a spelling that CGI takes for it",
            post("content_length: 9\r\nTransfer.Encoding: chunked\r\ncontent-length: 2\r\n\r\nhi"),
        )
        .app(&["content-length: 2"], &["content_length", "transfer.encoding"])
        .body("hi"),
        Row::raw("9110 8.6: a method with a body that has none", post("content-length: 0\r\n\r\n"))
            .app(&["content-length: 0"], &[]),
        Row::raw("9112 6.3: differing lengths", post("content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"))
            .refused(400)
            .closed(),
        Row::raw("9112 6.3: differing lengths in a line", post("content-length: 2, 3\r\n\r\nhi!"))
            .refused(400)
            .closed(),
        Row::raw("9112 6.3: chunked not last", post("transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"))
            .refused(400)
            .closed(),
        Row::raw(
            "9112 6.3: chunked twice",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        )
        .refused(501),
        Row::raw(
            "9112 6.1: Transfer-Encoding in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .refused(400)
        .closed(),
        Row::raw(
            "9112 6.3: Content-Length beside Transfer-Encoding",
            post("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n") + smuggled,
        )
        .app(&["transfer-encoding: chunked"], &["content-length"])
        .body("hi")
        .closed(),
        Row::raw(
            "9112 7.1: a size that is none",
            post("transfer-encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n"),
        )
        .cut(),
        Row::raw(
            "9112 7.1: a chunk longer than its size",
            post("transfer-encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n"),
        )
        .cut(),
        Row::raw(
            "9110 9.3.1: a GET with a body",
            format!("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{smuggled}", smuggled.len()),
        )
        .body("GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
        Row::raw("9110 9.3.2: HEAD", "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            .answered("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            .visitor(&["content-length: 5"], &[])
            .head(),
        Row::get("9112 6.3: 204 has no body", "")
            .answered("HTTP/1.1 204 No Content\r\n\r\n")
            .status(204)
            .visitor(&[], &["content-length", "transfer-encoding"])
            .text(""),
        Row::get("9112 9.3: an app that closes does not close for the visitor", "")
            .answered("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            .visitor(&["content-length: 2"], &["connection"])
            .text("ok"),
        Row::get("9112 9.2: bytes after an answer", "")
            .answered(format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"))
            .text("ok")
            .left(),
    ]
}

/// Answers that can be read in two ways.
fn faults() -> Vec<Row> {
    let bad = |rule, head: &str| {
        Row::get(rule, "").answered(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n2\r\nok\r\n0\r\n\r\n")).fault()
    };
    vec![
        bad("9112 6.3: of an answer: both", "content-length: 2\r\ntransfer-encoding: chunked"),
        bad("9112 6.3: of an answer: differing lengths", "content-length: 2\r\ncontent-length: 3"),
        bad("9112 6.3: of an answer: chunked not last", "transfer-encoding: chunked, gzip"),
        bad("9112 6.3: of an answer: no number", "content-length: 2x"),
        Row::get("9112 6.1: of an answer: Transfer-Encoding in HTTP/1.0", "")
            .answered("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .fault(),
        Row::get("9112 4: no status line", "").answered("SSH-2.0-OpenSSH\r\n\r\n").fault(),
    ]
}

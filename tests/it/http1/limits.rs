//! What a visitor may ask for, how long a connection lasts, and how the process ends.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::support::http2::Http2;
use crate::support::{
    App, Cloakroom, Ending, Gate, PATIENCE, RawUpstream, Reply, Response, STREAMED, Wire, eventually,
};

fn echo() -> App {
    App::start(|request| Reply::text(request.path()))
}

/// The status of a GET with these header lines.
fn status(proxy: &Cloakroom, target: &str, lines: &str) -> u16 {
    let mut wire = proxy.dial();
    wire.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n{lines}\r\n"));
    wire.answer(false).status
}

/// So many header lines with values of this length.
fn fields(count: usize, length: usize) -> String {
    let value = "v".repeat(length);
    (0..count).fold(String::new(), |lines, number| lines + &format!("x-{number}: {value}\r\n"))
}

fn cookies(count: usize, length: usize) -> String {
    let value = "v".repeat(length);
    let pairs: Vec<_> = (0..count).map(|number| format!("c{number}={value}")).collect();
    format!("cookie: {}\r\n", pairs.join("; "))
}

#[test]
fn limits_hold_exactly() {
    let app = echo();
    let proxy = Cloakroom::before(app.address).start();
    let long = |length: usize| format!("/{}", "t".repeat(length - 1));
    for (what, target, lines, wanted) in [
        ("fields", "/".to_owned(), fields(90, 1), 200),
        ("fields", "/".to_owned(), fields(101, 1), 431),
        ("field_bytes", "/".to_owned(), fields(1, 16_000), 200),
        ("field_bytes", "/".to_owned(), fields(1, 16_400), 431),
        ("head_bytes", "/".to_owned(), fields(3, 10_000), 200),
        ("head_bytes", "/".to_owned(), fields(4, 10_000), 431),
        ("head_bytes", "/".to_owned(), fields(20, 10_000), 431),
        ("target_bytes", long(8192), String::new(), 200),
        ("target_bytes", long(8193), String::new(), 414),
        ("target_bytes", format!("/?{}", "q".repeat(8192)), String::new(), 414),
        ("target_bytes", long(31_000), String::new(), 414),
        ("cookies", "/".to_owned(), cookies(180, 1), 200),
        ("cookies", "/".to_owned(), cookies(181, 1), 431),
        ("cookies", "/".to_owned(), format!("{}{}", cookies(100, 1), cookies(81, 1)), 431),
        ("cookie_bytes", "/".to_owned(), cookies(100, 150), 200),
        ("cookie_bytes", "/".to_owned(), format!("{}{}", cookies(60, 150), cookies(60, 150)), 431),
    ] {
        assert_eq!(status(&proxy, &target, &lines), wanted, "{what}");
    }
    assert_eq!(app.received().len(), 6);
}

#[test]
fn limits_are_as_configured() {
    let app = echo();
    let limits =
        "[limits]\nfields = 10\nfield_bytes = 100\ntarget_bytes = 50\ncookies = 3\ncookie_bytes = \"off\"";
    let proxy = Cloakroom::before(app.address).config(limits).start();
    for (target, lines, wanted) in [
        ("/", fields(9, 1), 200),
        ("/", fields(10, 1), 431),
        ("/", fields(1, 100), 431),
        ("/12345678901234567890123456789012345678901234567890", String::new(), 414),
        ("/", cookies(3, 1), 200),
        ("/", cookies(4, 1), 431),
    ] {
        assert_eq!(status(&proxy, target, &lines), wanted, "{target} {lines}");
    }
}

#[test]
fn methods_that_would_echo_or_tunnel_are_refused() {
    let app = echo();
    let proxy = Cloakroom::before(app.address).start();
    for start in ["TRACE /", "CONNECT a:80", "TRACE *"] {
        let mut visitor = proxy.dial();
        visitor.send(format!("{start} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let answer = visitor.answer(false);
        assert_eq!(answer.status, 405, "{start}");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{:?}", answer.headers);
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_the_app_is_asked() {
    let stage = RawUpstream::open();
    let proxy =
        Cloakroom::before(stage.address()).upstream(STREAMED).config("[limits]\nbody_bytes = 10").start();
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut visitor = proxy.dial();
        visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{expect}content-length: 11\r\n\r\n"));
        assert_eq!(visitor.answer_head().status, 413, "at once, and without a 100");
    }
    assert!(!stage.has_guests());
    // Nobody knows beforehand how long chunks will be.
    let mut visitor = proxy.dial();
    visitor.send(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    );
    assert_eq!(visitor.answer(false).status, 413);
    assert_eq!(visitor.ending(), Ending::Over);
    let mut app = stage.accept();
    drop(app.head());
    assert!(app.chunk().is_err(), "the app is not shown a complete body");
}

#[test]
fn a_body_of_the_allowed_size_passes() {
    let app = echo();
    let routes = "[limits]\nbody_bytes = 5\n[[routes]]\nupstream = \"app\"\n\
                  [[routes]]\npath = \"/large\"\nbody_bytes = 10\nupstream = \"app\"";
    let proxy = Cloakroom::before(app.address).config(routes).start();
    let mut visitor = proxy.browser();
    assert_eq!(visitor.post("/", "01234").status, 200);
    assert_eq!(visitor.post("/", "012345").status, 413);
    assert_eq!(visitor.post("/large", "0123456789").status, 200);
    assert_eq!(visitor.post("/large", "0123456789a").status, 413);
}

#[test]
fn a_body_that_stalls_is_a_timeout() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address())
        .upstream(STREAMED)
        .config("[limits]\nbody_idle_timeout = \"300ms\"")
        .start();
    let mut visitor = proxy.dial();
    visitor.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    let mut app = stage.accept();
    drop(app.head());
    assert_eq!(app.exactly(5).unwrap(), b"hello");
    assert_eq!(visitor.answer(false).status, 408);
    assert_eq!(visitor.ending(), Ending::Over);
    assert_eq!(app.ending(), Ending::Over);
}

#[test]
fn body_that_drips_times_out_and_one_that_pauses_does_not() {
    let app = App::start(|request| Reply::text(request.body.len().to_string()));
    // What is held may come ten times slower than what the app waits for.
    let toml = "[limits]\nbody_idle_timeout = \"500ms\"\nbody_bytes_per_second = 1000";
    let proxy = Cloakroom::before(app.address).config(toml).start();
    // What was sent at once earns time: 1,000 bytes are 10 s.
    for (at_once, status) in [(1, 408), (1000, 200)] {
        let (answer, sent) = by_drops(&proxy, at_once, 10);
        assert_eq!(answer.status, status, "{at_once}");
        assert!(status == 408 || answer.text() == sent.to_string());
    }
    assert!(proxy.log().contains("slower than body_bytes_per_second"), "{}", proxy.log());
}

/// What is answered to a body of which so many bytes come at once, and so many more in as many fifths of a second; and how
/// long it is.
fn by_drops(proxy: &Cloakroom, at_once: usize, more: usize) -> (Response, usize) {
    let mut visitor = proxy.dial();
    let length = at_once + more;
    visitor.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"));
    visitor.send("x".repeat(at_once));
    for _ in 0..more {
        // Nothing is heard for so long.
        visitor.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        if visitor.stream().peek(&mut [std::mem::MaybeUninit::uninit()]).is_ok() {
            break;
        }
        visitor.send("x");
    }
    visitor.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    (visitor.answer(false), length)
}

/// Ten seconds are measured.
#[test]
fn what_holds_a_worker_of_the_app_comes_at_a_pace() {
    let app = App::start(|request| Reply::text(request.body.len().to_string()));
    let proxy = Cloakroom::before(app.address).start();
    thread::scope(|scope| {
        let slow = scope.spawn(|| by_drops(&proxy, 65_537, 100).0.status);
        let held = scope.spawn(|| by_drops(&proxy, 100, 55).0.status);
        assert_eq!((slow.join().unwrap(), held.join().unwrap()), (408, 200));
    });
}

#[test]
fn a_head_that_does_not_arrive_in_time_costs_the_connection() {
    let app = echo();
    let proxy = Cloakroom::before(app.address).config("[limits]\nrequest_head_timeout = \"300ms\"").start();
    for begin in ["", "G", "GET / HTTP/1.1\r\nhost: a\r\nx: "] {
        let mut visitor = proxy.dial();
        visitor.send(begin);
        let told = visitor.head().unwrap();
        let text = told.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        assert!(
            text.is_empty() || (!begin.is_empty() && text.starts_with("HTTP/1.1 408 ")),
            "{begin}: {text}"
        );
        assert_eq!(visitor.ending(), Ending::Over);
    }
    // The next head of a connection has no more time than its first.
    let mut visitor = proxy.dial();
    visitor.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTT");
    assert_eq!(visitor.answer(false).text(), "/1");
    let told = visitor.head().unwrap();
    assert!(told.is_none_or(|told| told.starts_with(b"HTTP/1.1 408 ")));
    assert_eq!(visitor.ending(), Ending::Over);
    assert_eq!(app.received().len(), 1);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let app = echo();
    let proxy = Cloakroom::before(app.address).config("[limits]\nidle_timeout_http1 = \"300ms\"").start();
    let mut visitor = proxy.dial();
    for _ in 0..2 {
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 200);
    }
    assert_eq!(visitor.ending(), Ending::Over);
}

#[test]
fn paused_connection_loses_no_byte() {
    let app = echo();
    let silent = RawUpstream::open();
    let routes = format!(
        "[upstreams.silent]\nservers = [\"http://{}\"]\nfirst_byte_timeout = \"300ms\"\n\
         [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/silent\"\nupstream = \"silent\"",
        silent.address()
    );
    let proxy = Cloakroom::before(app.address).config(&routes).start();
    // An app that says nothing tells the time.
    let rest = || assert_eq!(proxy.browser().get("/silent").status, 504);
    let mut visitor = proxy.dial();
    for (first, then) in
        [("", "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"), ("GET /2 HT", "TP/1.1\r\nhost: a\r\n\r\nGET /3")]
    {
        visitor.send(first);
        rest();
        visitor.send(then);
        let number = if first.is_empty() { "/1" } else { "/2" };
        assert_eq!(visitor.answer(false).text(), number);
    }
    rest();
    visitor.send(" HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(visitor.answer(false).text(), "/3");
}

#[test]
fn a_connection_serves_as_many_requests_as_configured() {
    let app = echo();
    let limits = "[limits]\nrequests_per_connection_http1 = 3";
    let proxy = Cloakroom::before(app.address).config(limits).start();
    let mut visitor = proxy.dial();
    for number in 1..=3 {
        visitor.send(format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let answer = visitor.answer(false);
        assert_eq!(answer.text(), format!("/{number}"));
        let close = answer.header("connection").is_some_and(|value| value == "close");
        assert_eq!(close, number == 3, "{number}: {:?}", answer.headers);
    }
    assert_eq!(visitor.ending(), Ending::Over);
    // The same when all of them came at once.
    let mut visitor = proxy.dial();
    visitor.send("GET /p HTTP/1.1\r\nhost: a\r\n\r\n".repeat(5));
    let served = (0..3).filter(|_| visitor.answer(false).text() == "/p").count();
    assert_eq!((served, visitor.ending()), (3, Ending::Over));
    assert_eq!(app.received().len(), 6);
}

#[test]
fn a_visitor_who_asks_to_close_is_left() {
    let app = echo();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(visitor.answer(false).header("connection").as_deref(), Some("close"));
    assert_eq!(visitor.ending(), Ending::Over);
}

#[test]
fn visitors_may_come_by_a_unix_socket() {
    let app = echo();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("visitors.sock");
    let listen = format!("[[listen]]\naddress = \"unix:{}\"", path.display());
    let proxy = Cloakroom::before(app.address).config(&listen).start();
    let mut visitor = Wire::patient(UnixStream::connect(&path).unwrap());
    for number in 0..2 {
        visitor.send(format!("GET /{number} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9\r\n\r\n"));
        assert_eq!(visitor.answer(false).text(), format!("/{number}"));
        assert_eq!(app.last().header("x-forwarded-for"), None, "nobody is trusted unless named");
    }
    assert_eq!(status(&proxy, "/tcp", ""), 200, "and by the other address as well");
}

#[test]
fn stop_finishes_requests_and_takes_no_new_ones() {
    let door = Gate::closed();
    let held = door.clone();
    let app = App::start(move |request| {
        if request.path() == "/held" {
            held.pass();
        }
        Reply::text("done").with("X-Session-Set-A: b")
    });
    let mut proxy = Cloakroom::before(app.address).start();
    let mut idle = proxy.dial();
    idle.send("GET /idle HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(idle.answer(false).status, 200);
    let mut busy = proxy.dial();
    busy.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
    door.reached(1);
    proxy.terminate();
    eventually("new connections are refused", || TcpStream::connect(proxy.address).is_err());
    assert_eq!(idle.ending(), Ending::Over, "idle connections are closed");
    thread::scope(|scope| {
        scope.spawn(|| door.open());
        let answer = busy.answer(false);
        assert_eq!((answer.text().as_str(), answer.set_cookies().len()), ("done", 1));
    });
    assert_eq!(busy.ending(), Ending::Over);
    drop((busy, idle));
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn when_told_to_stop_it_waits_no_longer_than_configured() {
    let stage = RawUpstream::open();
    let grace = "[process]\nshutdown_timeout = \"300ms\"";
    let mut proxy = Cloakroom::before(stage.address()).config(grace).start();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    drop(app.head());
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
    assert_eq!((visitor.ending(), app.ending()), (Ending::Over, Ending::Over));
}

#[test]
fn names_that_cost_too_much_to_look_at_are_refused() {
    let app = App::start(|request| Reply::text(request.header("cookie").unwrap_or_default()));
    let rules: Vec<_> =
        (0..20).map(|n| format!("[[cookies]]\nname = \"*sid{n}*\"\naction = \"keep\"\n")).collect();
    let proxy = Cloakroom::before(app.address).config(&rules.concat()).start();
    let mut visitor = proxy.dial();
    for (cookie, status) in [("{%61=".repeat(3000), 431), ("a=1".to_owned(), 200)] {
        visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
        assert_eq!(visitor.answer(false).status, status);
    }
    assert!(proxy.log().contains("names of cookies that cost too much to look at"), "{}", proxy.log());
}

#[test]
fn cookies_are_one_line_however_they_come() {
    let app = App::start(|request| Reply::text(request.all("cookie").join(" | ")));
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").start();
    let pairs: Vec<_> = (0..180).map(|number| format!("c{number}={number}")).collect();
    // 180 fields in a head that may have 100.
    let mut request = http::Request::get("http://a.test/");
    for pair in &pairs {
        request = request.header("cookie", pair);
    }
    let answer = Http2::dial(proxy.address).ask(request.body(()).unwrap(), None).unwrap();
    assert_eq!((answer.status, answer.text()), (200, pairs.join("; ")));
    let mut visitor = proxy.dial();
    visitor.send(
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\naccept: */*\r\ncookie: b=2; c\r\ncookie:  d=3\r\n\r\n",
    );
    assert_eq!(visitor.answer(false).text(), "a=1; b=2; c; d=3");
    let mut request = http::Request::get("http://a.test/");
    for number in 0..181 {
        request = request.header("cookie", format!("c{number}=1"));
    }
    let refused = Http2::dial(proxy.address).ask(request.body(()).unwrap(), None).unwrap();
    assert_eq!(refused.status, 431, "one more than there may be");
}

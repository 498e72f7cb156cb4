//! Event streams and long polling: passed on as they come, for as long as their session lasts.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::io::{Read, Write};

use http::Request as Asked;

use crate::support::http2::Http2;
use crate::support::tunnel::{cookie, order};
use crate::support::{
    App, Authority, Cloakroom, Ending, PATIENCE, RawUpstream, Request, Wire, eventually, on_disk,
};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                      cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

fn before(stage: &RawUpstream, config: &str) -> Cloakroom {
    Cloakroom::before(stage.address()).config(config).start()
}

/// An event, as a chunk.
fn event(text: &str) -> String {
    let data = format!("data: {text}\n\n");
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// The next event is this one.
fn hears<S: Read + Write>(visitor: &mut Wire<S>, text: &str) {
    let chunk = visitor.chunk().unwrap().unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&chunk), format!("data: {text}\n\n"));
}

/// A stream whose first event was heard: both ends.
fn open(proxy: &Cloakroom, stage: &RawUpstream, lines: &str, head: &str) -> (Wire, Wire) {
    let mut visitor = proxy.dial();
    visitor.send(format!("GET /events HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n{lines}\r\n"));
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("{head}{}", event("first")));
    assert_eq!(visitor.answer_head().status, 200);
    hears(&mut visitor, "first");
    (visitor, app)
}

#[test]
fn events_reach_the_visitor_one_by_one() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, "");
    let (mut visitor, mut app) = open(&proxy, &stage, "", STREAM);
    for text in ["a", "b", "c"] {
        app.send(event(text));
        hears(&mut visitor, text);
    }
    app.send("0\r\n\r\n");
    assert_eq!(visitor.chunk().unwrap(), None);

    let secure = Cloakroom::before(stage.address()).listen(&authority.toml(&["shop"])).start();
    let mut wire = authority.caller().dial(secure.address, "shop.example").unwrap();
    wire.send("GET /events HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(STREAM);
    assert_eq!(wire.answer_head().status, 200);
    for text in ["a", "b", "c"] {
        app.send(event(text));
        hears(&mut wire, text);
    }

    let mut http2 = Http2::dial_tls(secure.address, &authority.caller(), "shop.example");
    let asked = Asked::get("https://shop.example/events").body(()).unwrap();
    let (answer, _send) = http2.begin(asked, true).unwrap();
    http2.flush();
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(STREAM);
    let mut events = http2.run(answer).unwrap().into_body();
    for text in ["a", "b", "c"] {
        app.send(event(text));
        let piece = http2.run(events.data()).unwrap().unwrap();
        assert_eq!(piece, format!("data: {text}\n\n"));
    }
}

#[test]
fn a_stream_ends_with_the_session_that_it_began_under() {
    let stage = RawUpstream::open();
    for (ends, how) in [
        (true, "x-session-action: destroy\r\n"),
        (true, "x-session-action: renew\r\n"),
        (true, "x-session-principal: alice\r\n"),
        (false, "x-session-set-a: 2\r\n"),
    ] {
        let proxy = before(&stage, "");
        let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
        let (mut visitor, mut app) = open(&proxy, &stage, &cookie, STREAM);
        let (mut stranger, mut strangers) = open(&proxy, &stage, "", STREAM);
        order(&proxy, &stage, &cookie, how);
        if ends {
            assert_eq!(visitor.chunk().unwrap(), None, "{how}: in order");
            assert_eq!(app.ending(), Ending::Over, "{how}: the app is left");
        } else {
            app.send(event("more"));
            hears(&mut visitor, "more");
        }
        strangers.send(event("more"));
        hears(&mut stranger, "more");
    }
}

#[test]
fn a_stream_in_a_stream_of_http2_ends_with_its_session_on_disk() {
    let stage = RawUpstream::open();
    let folder = tempfile::tempdir().unwrap();
    let proxy = Cloakroom::before(stage.address())
        .listen("http2_prior_knowledge = true")
        .config(&on_disk(folder.path()))
        .start();
    let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
    let mut visitor = Http2::dial(proxy.address);
    let pair = cookie.trim().trim_start_matches("cookie: ");
    let asked = Asked::get("http://a/events").header("cookie", pair).body(()).unwrap();
    let (answer, _send) = visitor.begin(asked, true).unwrap();
    visitor.flush();
    let mut app = stage.accept();
    assert_eq!(Request::from(&mut app).header("x-session-a").as_deref(), Some("1"));
    app.send(format!("{STREAM}{}", event("first")));
    let mut events = visitor.run(answer).unwrap().into_body();
    assert_eq!(visitor.run(events.data()).unwrap().unwrap(), "data: first\n\n");
    order(&proxy, &stage, &cookie, "x-session-action: destroy\r\n");
    // In order: nothing more, and no reset.
    while let Some(piece) = visitor.run(events.data()) {
        assert_eq!(piece.unwrap(), "");
    }
    assert_eq!(app.ending(), Ending::Over);
}

#[test]
fn a_stream_that_never_pauses_ends_with_its_session_too() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "");
    let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
    let (mut visitor, mut app) = open(&proxy, &stage, &cookie, STREAM);
    order(&proxy, &stage, &cookie, "x-session-action: destroy\r\n");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let began = cloakroom::testing::clock::instant();
            let mut write = || app.stream().write_all(event("on and on").as_bytes());
            while began.elapsed() < PATIENCE && write().is_ok() {}
        });
        while visitor.chunk().unwrap().is_some() {}
    });
}

#[test]
fn what_is_no_event_stream_or_is_not_to_end_goes_on() {
    let stage = RawUpstream::open();
    let download = STREAM.replace("text/event-stream; charset=utf-8", "application/zip");
    for (config, head) in [("", download.as_str()), ("[session]\nclose_tunnels = false", STREAM)] {
        let proxy = before(&stage, config);
        let ended = before(&stage, "");
        // A stream of another house, which does end, tells when it is late enough.
        let theirs = cookie(&ended, &stage, "x-session-set-a: 1\r\n");
        let ours = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
        let (mut visitor, mut app) = open(&proxy, &stage, &ours, head);
        order(&proxy, &stage, &ours, "x-session-action: destroy\r\n");
        let (mut other, _app) = open(&ended, &stage, &theirs, STREAM);
        order(&ended, &stage, &theirs, "x-session-action: destroy\r\n");
        assert_eq!(other.chunk().unwrap(), None);
        app.send(event("more"));
        hears(&mut visitor, "more");
    }
}

#[test]
fn open_streams_do_not_hold_up_a_stop() {
    let stage = RawUpstream::open();
    let mut proxy = before(&stage, "[process]\nshutdown_timeout = \"20s\"");
    let streams: Vec<_> = (0..20).map(|_| open(&proxy, &stage, "", STREAM)).collect();
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
    for (mut visitor, mut app) in streams {
        assert_eq!(visitor.chunk().unwrap(), None);
        assert_eq!(app.ending(), Ending::Over);
    }
}

#[test]
fn route_timeouts_for_polling_and_streams() {
    let stage = RawUpstream::open();
    let routes = "[[routes]]\nupstream = \"app\"\nresponse_idle_timeout = \"300ms\"\n\
                  [[routes]]\nupstream = \"app\"\npath = \"/poll\"\nfirst_byte_timeout = \"5m\"\n\
                  [[routes]]\nupstream = \"app\"\npath = \"/events\"\nresponse_idle_timeout = \"off\"";
    let proxy =
        Cloakroom::before(stage.address()).upstream("first_byte_timeout = \"300ms\"").config(routes).start();
    let mut poll = proxy.dial();
    poll.send("GET /poll HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut polled = stage.accept();
    Request::from(&mut polled);
    let (mut visitor, mut app) = open(&proxy, &stage, "", STREAM);
    // Longer than either would be given elsewhere.
    for _ in 0..2 {
        let mut late = proxy.dial();
        late.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut silent = stage.accept();
        Request::from(&mut silent);
        assert_eq!(late.answer(false).status, 504);
        let mut stalled = proxy.dial();
        stalled.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut halting = stage.accept();
        Request::from(&mut halting);
        halting.send(STREAM);
        assert_eq!(stalled.answer_head().status, 200);
        assert!(stalled.chunk().is_err(), "cut, and not ended");
    }
    app.send(event("at last"));
    hears(&mut visitor, "at last");
    polled.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnews");
    assert_eq!(poll.answer(false).text(), "news");
}

/// A download whose first half was heard: both ends.
fn download(proxy: &Cloakroom, stage: &RawUpstream, lines: &str, head: &str) -> (Wire, Wire) {
    let mut visitor = proxy.dial();
    visitor.send(format!("GET /download HTTP/1.1\r\nhost: a\r\n{lines}\r\n"));
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n"));
    assert_eq!(visitor.answer_head().status, 200);
    assert_eq!(visitor.exactly(9).unwrap(), b"4\r\nhalf\r\n");
    (visitor, app)
}

#[test]
fn long_answer_ends_with_its_session_not_its_ticket() {
    let stage = RawUpstream::open();
    let heads = ["content-type: application/x-ndjson\r\ntransfer-encoding: chunked", "content-length: 18"];
    for head in heads {
        let proxy = before(&stage, "");
        let [gone, kept] = [(); 2].map(|()| cookie(&proxy, &stage, "x-session-set-a: 1\r\n"));
        let (mut visitor, mut app) = download(&proxy, &stage, &gone, head);
        let (mut other, mut others) = download(&proxy, &stage, &kept, head);
        order(&proxy, &stage, &kept, "x-session-principal: alice\r\n");
        order(&proxy, &stage, &gone, "x-session-action: destroy\r\n");
        assert_eq!(visitor.ending(), Ending::Over, "{head}: cut, and not shown as whole");
        assert_eq!(app.ending(), Ending::Over, "{head}: the app is left");
        eventually("it is told", || proxy.log().contains("an answer was cut off: its session has ended"));
        // Who has logged in meanwhile reads on.
        others.send("4\r\nmore\r\n");
        assert_eq!(other.exactly(9).unwrap(), b"4\r\nmore\r\n", "{head}");
    }
}

#[test]
fn answer_that_was_shown_an_id_is_private() {
    let app = App::scripted();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/");
    let answer = visitor.get("/");
    assert_eq!(answer.told("state").as_deref(), Some("active"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("private"));
    let told = visitor.answered("/", &["Cache-Control: public, max-age=60"]);
    assert_eq!(told.header("cache-control").as_deref(), Some("public, max-age=60"), "who says it means it");
}

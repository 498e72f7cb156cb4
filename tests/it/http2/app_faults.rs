//! Apps that speak HTTP/2 amiss, or go: what the visitor gets, and what the operator reads.

use std::thread;

use bytes::Bytes;
use http::Request;

use crate::support::http2::{DATA, HEADERS, Http2, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, whole};
use crate::support::http2_app::{GET, POST, asked, before, ok, reset, visitor};
use crate::support::{Authority, Cloakroom, RawUpstream, Wire, eventually};

const NO_ERROR: u32 = 0;
const INTERNAL: u32 = 2;
const CANCEL: u32 = 8;

/// An answer, after its head of status 200.
fn then(stream: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    [frame(HEADERS, 4, stream, &[0x88]), frames.concat()].concat()
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let head = |fields: &[(&str, &str)]| frame(HEADERS, 5, 1, &block(fields));
    let hint = frame(HEADERS, 4, 1, &block(&[(":status", "103"), ("link", "</a>")]));
    for (what, frames) in [
        ("a reset", reset(1, INTERNAL)),
        ("no status", head(&[("x-a", "1")])),
        ("a status that is none", head(&[(":status", "abc")])),
        ("a field of a connection", head(&[(":status", "200"), ("connection", "close")])),
        ("another framing", head(&[(":status", "200"), ("transfer-encoding", "chunked")])),
        ("capitals", head(&[(":status", "200"), ("X-A", "1")])),
        ("a line break", head(&[(":status", "200"), ("x-a", "1\r\nx-b: 2")])),
        ("two lengths", head(&[(":status", "200"), ("content-length", "0"), ("content-length", "1")])),
        ("a length that is none", head(&[(":status", "200"), ("content-length", "+0")])),
        ("a length, and no body", head(&[(":status", "200"), ("content-length", "5")])),
        ("a body before its head", frame(DATA, 1, 1, b"ok")),
        ("hints without end", hint.repeat(40)),
        ("a frame larger than agreed", frame(HEADERS, 5, 1, &vec![0; 20_000])),
        ("no HPACK", frame(HEADERS, 5, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("a window too large", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("a promise", frame(5, 4, 1, &[0, 0, 0, 2, 0x82])),
        ("a head too large", {
            let fields = vec![("x-a", "0123456789012345678901234567890123456789"); 1500];
            let block = block(&[&[(":status", "200")], fields.as_slice()].concat());
            let pieces: Vec<_> = block.chunks(16_000).collect();
            let last = pieces.len() - 1;
            let kind = |at| if at == 0 { HEADERS } else { 9 };
            let each = |(at, piece): (usize, &&[u8])| {
                frame(kind(at), if at == last { 4 } else { 0 } | u8::from(at == 0), 1, piece)
            };
            pieces.iter().enumerate().flat_map(each).collect()
        }),
    ] {
        let mut wire = visitor(&proxy, POST);
        let mut app = stage.accept().greeted();
        assert_eq!(asked(&mut app), 1);
        app.send(frames);
        assert_eq!(wire.answer(false).status, 502, "{what}");
        // The next one has a connection of its own.
        drop(app);
        proxy.reload(|toml| format!("{toml}# {what}\n"));
    }
}

#[test]
fn an_answer_that_breaks_off_is_never_shown_as_whole() {
    let stage = RawUpstream::open();
    let routes = "[[routes]]\nupstream = \"app\"\nresponse_idle_timeout = \"300ms\"";
    let proxy = before(stage.address(), "", routes);
    let length = |frames: &[Vec<u8>]| {
        let head = frame(HEADERS, 4, 1, &[&[0x88][..], &block(&[("content-length", "9")])].concat());
        [head, frames.concat()].concat()
    };
    let data = |text: &[u8], flags| frame(DATA, flags, 1, text);
    for (what, frames) in [
        ("cancelled", then(1, &[data(b"half", 0), reset(1, CANCEL)])),
        ("failed", then(1, &[data(b"half", 0), reset(1, INTERNAL)])),
        ("too short", length(&[data(b"half", 1)])),
        ("said to be whole, and too short", length(&[data(b"half", 0), reset(1, NO_ERROR)])),
        ("too long", length(&[data(b"more than nine", 1)])),
        ("stalled", then(1, &[data(b"half", 0)])),
        (
            "trailers that end nothing",
            then(1, &[data(b"half", 0), frame(HEADERS, 4, 1, &block(&[("a", "1")]))]),
        ),
    ] {
        let mut wire = visitor(&proxy, GET);
        let mut app = stage.accept().greeted();
        assert_eq!(asked(&mut app), 1);
        app.send(frames);
        // Where it broke off at once, not even its head may have gone on.
        if let Ok(Some(head)) = wire.head() {
            let head = String::from_utf8_lossy(&head).into_owned();
            assert!(head.starts_with("HTTP/1.1 200"), "{what}: {head}");
            let body = if head.contains("content-length: 9") {
                wire.exactly(9).map(drop)
            } else {
                wire.chunk().and_then(|_| wire.chunk()).map(drop)
            };
            assert!(body.is_err(), "{what}");
        }
        drop(app);
        proxy.reload(|toml| format!("{toml}# {what}\n"));
    }
}

#[test]
fn who_has_answered_may_leave_the_rest_of_the_request_unread() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n");
    wire.send(vec![b'x'; 30_000]);
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    app.send(then(stream, &[frame(DATA, 1, stream, b"too much"), reset(stream, NO_ERROR)]));
    let answer = wire.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "too much"));
    // Others go on over the same connection.
    let mut wire = visitor(&proxy, GET);
    let stream = asked(&mut app);
    app.send(ok(stream));
    assert_eq!(wire.answer(false).text(), "ok");
}

#[test]
fn a_visitor_who_goes_is_heard_of_by_the_app() {
    let stage = RawUpstream::open();
    let routes = "[[routes]]\nupstream = \"app\"\nsession = \"off\"";
    let proxy = before(stage.address(), "", routes);
    // Before an answer.
    let mut visitor = Http2::dial(proxy.address);
    let (answer, mut send) = visitor.begin(Request::get("http://a/").body(()).unwrap(), true).unwrap();
    visitor.flush();
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    send.send_reset(h2::Reason::CANCEL);
    visitor.flush();
    let expected = (0, stream, CANCEL.to_be_bytes().to_vec());
    assert_eq!(app.frame_of(RST_STREAM), Some(expected));
    drop(answer);
    // Within one.
    let (answer, send) = visitor.begin(Request::get("http://a/").body(()).unwrap(), true).unwrap();
    visitor.flush();
    let stream = asked(&mut app);
    app.send(then(stream, &[frame(DATA, 0, stream, b"half")]));
    let answer = visitor.run(answer).unwrap();
    drop((answer, send));
    visitor.flush();
    let expected = (0, stream, CANCEL.to_be_bytes().to_vec());
    assert_eq!(app.frame_of(RST_STREAM), Some(expected));
    eventually("the access log", || proxy.access().iter().any(|line| line.contains("\"status\":499")));
}

#[test]
fn timeouts_leave_silent_apps_and_dead_connections() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "first_byte_timeout = \"300ms\"", "");
    let mut wire = visitor(&proxy, POST);
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    // Something comes: the connection lives, and only this request is given up.
    app.send(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    assert_eq!(wire.answer(false).status, 504);
    assert_eq!(app.frame_of(RST_STREAM).unwrap().1, stream);
    let mut wire = visitor(&proxy, GET);
    asked(&mut app);
    // Nothing comes: it is taken for dead.
    assert_eq!(wire.answer(false).status, 504);
    let mut wire = visitor(&proxy, GET);
    let mut other = stage.accept().greeted();
    let stream = asked(&mut other);
    other.send(ok(stream));
    assert_eq!(wire.answer(false).text(), "ok");
}

#[test]
fn an_app_that_reads_nothing_keeps_no_connection_for_ever() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "first_byte_timeout = \"300ms\"", "");
    // Once somebody was answered, all is open that stays so.
    let mut nobody = visitor(&proxy, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(nobody.answer(false).status, 400);
    let files = proxy.files();
    drop(nobody);
    let apps: Vec<_> = (0..3)
        .map(|_| {
            let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 80000000\r\n\r\n");
            // It would take all of it, and says so beforehand.
            let mut app = stage.accept();
            let settings = frame(SETTINGS, 0, 0, &[0, 4, 0x70, 0, 0, 0]);
            let window = frame(WINDOW_UPDATE, 0, 0, &[0x70, 0, 0, 0]);
            app.send([settings, window, frame(SETTINGS, 1, 0, b"")].concat());
            assert!(wire.flood(|_| vec![b'x'; 100_000]).is_some(), "the visitor is left");
            app
        })
        .collect();
    eventually("all is closed on this side", || proxy.files() <= files);
    drop(apps);
}

#[test]
fn who_does_not_speak_it_is_told_apart_before_anything_is_sent() {
    let (authority, stage) = (Authority::new(), RawUpstream::open());
    authority.issue("app", &["127.0.0.1"]);
    let tls = format!(
        "tls = {{ ca = \"{}\" }}\nhttp2 = true\nconnect_timeout = \"1s\"",
        authority.root().display()
    );
    let port = stage.address().port();
    let proxy = |scheme: &str| {
        Cloakroom::before_servers(&format!("\"{scheme}://127.0.0.1:{port}\"")).upstream(&tls).start()
    };
    let told = |proxy: &Cloakroom, wire: &mut Wire, wanted: &str| {
        assert_eq!(wire.answer(false).status, 502);
        eventually(wanted, || proxy.log().contains(wanted));
    };
    // In the clear: another protocol, none, and nothing but its end.
    let plain = proxy("http");
    for said in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "SSH-2.0-x\r\n\r\n"] {
        let mut wire = visitor(&plain, POST);
        let mut app = stage.accept();
        app.exactly(24).unwrap();
        app.send(said);
        told(&plain, &mut wire, "if it speaks HTTP/1.1 only, leave out `http2 = true`");
    }
    let mut wire = visitor(&plain, POST);
    let mut app = stage.accept();
    app.exactly(24).unwrap();
    // An end in order: closed with bytes unread, it would be a reset.
    app.finish();
    told(&plain, &mut wire, "the connection broke: unexpected end of file");
    let mut wire = visitor(&plain, POST);
    let mut app = stage.accept();
    assert_eq!(wire.answer(false).status, 504, "silence");
    assert_eq!(app.frame_of(HEADERS), None, "nothing of the request");
    drop(plain);
    // By TLS: who agrees to no protocol, and who insists on another.
    let secure = proxy("https");
    let mut wire = visitor(&secure, POST);
    let _app = authority.server("app").shake(stage.accept().into_stream()).unwrap();
    told(&secure, &mut wire, "did not agree to HTTP/2 (ALPN): leave out `http2 = true`");
    let mut wire = visitor(&secure, POST);
    let _ = authority.server_of("app", &["http/1.1"]).shake(stage.accept().into_stream());
    told(&secure, &mut wire, "it speaks another version of HTTP");
}

#[test]
fn who_speaks_it_unexpectedly_is_told_apart_as_well() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).start();
    for closes in [true, false] {
        let mut wire = visitor(&proxy, GET);
        let mut app = stage.accept();
        drop(app.head());
        app.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]));
        if closes {
            app.finish();
        }
        assert_eq!(wire.answer(false).status, 502);
        assert!(proxy.log().contains("it speaks HTTP/2: set `http2 = true`"), "{}", proxy.log());
    }
}

#[test]
fn hints_of_an_app_reach_the_visitor() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let mut wire = visitor(&proxy, GET);
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    let interim = |status| {
        let fields = [(":status", status), ("link", "</a.css>; rel=preload"), ("set-cookie", "a=1")];
        frame(HEADERS, 4, stream, &block(&fields))
    };
    app.send([interim("100"), interim("103")].concat());
    let hint = wire.answer_head();
    assert_eq!((hint.status, hint.header("link").as_deref()), (103, Some("</a.css>; rel=preload")));
    assert!(hint.set_cookies().is_empty());
    app.send(ok(stream));
    assert_eq!(wire.answer(false).text(), "ok");
}

#[test]
fn aborted_request_body_is_incomplete_for_the_app() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf");
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    assert_eq!(app.frame_of(DATA), Some((0, stream, b"half".to_vec())));
    wire.finish();
    let (_, ended, code) = app.frame_of(RST_STREAM).unwrap();
    assert_eq!((ended, code), (stream, CANCEL.to_be_bytes().to_vec()));
}

#[test]
fn once_the_app_answers_the_two_speak_as_they_like() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "[limits]\nbody_idle_timeout = \"300ms\"");
    let mut visitor = Http2::dial(proxy.address);
    let mut begin = || visitor.begin(Request::post("http://a/").body(()).unwrap(), false).unwrap();
    let ((answer, mut send), (late, _held)) = (begin(), begin());
    visitor.flush();
    let mut app = stage.accept().greeted();
    let stream = asked(&mut app);
    app.send(frame(HEADERS, 4, stream, &[0x88]));
    let (head, mut receive) = visitor.run(answer).unwrap().into_parts();
    assert_eq!(head.status, 200);
    // The other one is asked for more in vain, for as long as that takes.
    assert_eq!(visitor.run(late).unwrap().status(), 408);
    send.send_data(Bytes::from_static(b"after a silence"), true).unwrap();
    visitor.flush();
    assert_eq!(app.frame_of(DATA).unwrap().2, b"after a silence");
    app.send(frame(DATA, 1, stream, b"yes"));
    assert_eq!(visitor.run(receive.data()).unwrap().unwrap(), "yes");
}

#[test]
fn an_app_that_takes_little_at_a_time_gets_all_of_it() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "", "");
    let mut visitor = Http2::dial(proxy.address);
    let request = Request::post("http://a/").header("content-length", "40000").body(()).unwrap();
    let (answer, mut send) = visitor.begin(request, false).unwrap();
    send.send_data(Bytes::from(vec![b'x'; 40_000]), true).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // A window of 1,000 bytes, opened anew each time that it was filled.
            let mut app = stage.accept();
            app.exactly(24).unwrap();
            app.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x03, 0xe8]));
            app.send(frame(SETTINGS, 1, 0, b""));
            let stream = asked(&mut app);
            let mut came = 0;
            loop {
                let (flags, _, data) = app.frame_of(DATA).unwrap();
                assert!(data.len() <= 1000);
                came += data.len();
                if flags & 1 == 1 {
                    break;
                }
                let length = u32::try_from(data.len()).unwrap().to_be_bytes();
                if !data.is_empty() {
                    app.send(
                        [frame(WINDOW_UPDATE, 0, stream, &length), frame(WINDOW_UPDATE, 0, 0, &length)]
                            .concat(),
                    );
                }
            }
            assert_eq!(came, 40_000);
            app.send(ok(stream));
        });
        assert_eq!(visitor.run(whole(answer)).unwrap().text(), "ok");
    });
    assert!(!stage.has_guests());
}

//! Tunnels: websockets through HTTP/1.1 and TLS, what may not go through before the app agrees, and what ends them.

use std::io::{Read, Write};
use std::thread;

use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use crate::support::http2::Http2;
use crate::support::tunnel::{
    AGREES, ASKS, app_is_told, ask, converse, cookie, echo, end_with, open, order, roomy, talk,
};
use crate::support::{Authority, Cloakroom, Ending, RawUpstream, Request, Wire};

/// The same with its end.
const AGREES_WHOLE: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";

fn before(stage: &RawUpstream, config: &str) -> Cloakroom {
    Cloakroom::before(stage.address()).config(config).start()
}

#[test]
fn tunnel_carries_bytes_either_way() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "");
    let mut visitor = proxy.dial();
    let (mut app, asked) = ask(&mut visitor, &stage, "sec-websocket-key: k\r\nx-session-principal: root\r\n");
    for (name, wanted) in [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "k")] {
        assert_eq!(asked.all(name), [wanted]);
    }
    assert_eq!(asked.all("x-session-principal"), Vec::<String>::new());
    app.send(format!("{AGREES}x-session-set-seen: 1\r\nx-session-meta-x: 1\r\n\r\nearly"));
    let answer = visitor.answer(false);
    assert_eq!(answer.status, 101);
    for (name, wanted) in [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")]
    {
        assert_eq!(answer.header(name).as_deref(), Some(wanted));
    }
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("x-session")), "{:?}", answer.headers);
    // Its instructions were committed before.
    let ticket = answer.set_cookies()[0].split_once(';').unwrap().0.to_owned();
    let mut other = proxy.dial();
    other.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {ticket}\r\n\r\n"));
    let mut page = stage.accept();
    assert_eq!(Request::from(&mut page).header("x-session-seen").as_deref(), Some("1"));
    assert_eq!(visitor.exactly(5).unwrap(), b"early");
    talk(&mut visitor, &mut app);
    // One side ends, and still hears the other.
    visitor.finish();
    assert_eq!(app.ending(), Ending::Over);
    app.send("last words");
    app.finish();
    assert_eq!(visitor.exactly(10).unwrap(), b"last words");
    assert_eq!(visitor.ending(), Ending::Over);
}

#[test]
fn tunnel_bytes_wait_for_the_apps_consent() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "[process]\nworkers = 1");
    let hidden = "GET /admin HTTP/1.1\r\nhost: a\r\nx-hidden: 1\r\n\r\n";
    for refusal in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let mut visitor = proxy.dial();
        visitor.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n{hidden}"));
        let mut app = stage.accept();
        Request::from(&mut app);
        app.stream().set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        assert!(app.exactly(1).is_err(), "nothing before the answer");
        app.send(refusal);
        let answer = visitor.answer(false);
        assert_eq!(answer.status == 502, refusal.contains("101"), "{refusal}: {}", answer.start);
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        assert_eq!(visitor.ending(), Ending::Over, "{refusal}");
        assert!(!stage.has_guests(), "{refusal}: nothing of it was taken for a request");
        drop(app);
    }
    // Agreed to, it is the tunnel's.
    let mut visitor = proxy.dial();
    visitor.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n{hidden}"));
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send(format!("{AGREES}\r\n"));
    assert_eq!(visitor.answer(false).status, 101);
    assert_eq!(app.exactly(hidden.len()).unwrap(), hidden.as_bytes());
}

#[test]
fn unsafe_upgrades_are_not_passed_on() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "");
    for (lines, connection) in [
        (
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
            None,
        ),
        ("connection: upgrade\r\nupgrade: TLS/1.0\r\n\r\n", None),
        ("upgrade: websocket\r\n\r\n", None),
        // The body of a GET is passed over by many apps.
        (
            "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\nhi",
            Some("close".to_owned()),
        ),
    ] {
        let mut visitor = proxy.dial();
        visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}"));
        let mut app = stage.accept();
        let asked = Request::from(&mut app);
        assert_eq!((asked.header("upgrade"), asked.header("connection")), (None, connection), "{lines}");
        app.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 200, "{lines}");
        assert_eq!(visitor.ending(), Ending::Over, "{lines}");
    }
    let mut old = proxy.dial();
    old.send(format!("GET / HTTP/1.0\r\nhost: a\r\n{ASKS}\r\n"));
    assert_eq!(Request::from(&mut stage.accept()).header("upgrade"), None);
}

#[test]
fn tunnels_end_with_the_session_that_they_began_under() {
    let stage = RawUpstream::open();
    for (ends, how) in [
        (true, "x-session-action: destroy\r\n"),
        (true, "x-session-action: renew\r\n"),
        (true, "x-session-principal: alice\r\n"),
        (false, "x-session-set-a: 2\r\n"),
    ] {
        let proxy = before(&stage, "");
        let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
        let (mut visitor, mut app, _) = open(&proxy, &stage, &cookie);
        let (mut stranger, mut strangers, _) = open(&proxy, &stage, "");
        talk(&mut visitor, &mut app);
        order(&proxy, &stage, &cookie, how);
        if ends {
            assert_eq!((visitor.ending(), app.ending()), (Ending::Over, Ending::Over), "{how}");
        } else {
            talk(&mut visitor, &mut app);
        }
        talk(&mut stranger, &mut strangers);
    }
    let proxy = before(&stage, "[session]\nclose_tunnels = false");
    let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
    let (mut visitor, mut app, _) = open(&proxy, &stage, &cookie);
    order(&proxy, &stage, &cookie, "x-session-action: destroy\r\n");
    talk(&mut visitor, &mut app);
}

/// The app ends its own login by its cookie alone; that answer was overtaken, and nobody gets another ticket for it.
#[test]
fn a_tunnel_ends_with_a_login_whose_farewell_was_overtaken() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "[[cookies]]\nname = \"*\"\naction = \"keep\"");
    let answer = |wire: &mut Wire, app: &mut Wire, lines: &str| {
        app.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n"));
        wire.answer(false).set_cookies()
    };
    let first = cookie(&proxy, &stage, "set-cookie: sid=a; path=/\r\n");
    let [mut leaving, mut renewing] = [proxy.dial(), proxy.dial()];
    let mut apps = [&mut leaving, &mut renewing].map(|visitor| {
        visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{first}\r\n"));
        let mut app = stage.accept();
        Request::from(&mut app);
        app
    });
    let ticket = answer(&mut renewing, &mut apps[1], "x-session-action: renew\r\n").swap_remove(0);
    let second = format!("cookie: {}\r\n", ticket.split_once(';').unwrap().0);
    let (mut visitor, mut app, _) = open(&proxy, &stage, &second);
    talk(&mut visitor, &mut app);
    assert_eq!(answer(&mut leaving, &mut apps[0], "set-cookie: sid=; path=/; max-age=0\r\n"), [""; 0]);
    assert_eq!((visitor.ending(), app.ending()), (Ending::Over, Ending::Over));
}

#[test]
fn a_login_by_the_answer_that_begins_a_tunnel_leaves_it_open() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "[limits]\ntunnel_idle_timeout = \"3s\"");
    let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
    let mut visitor = proxy.dial();
    let (mut app, _) = ask(&mut visitor, &stage, &cookie);
    app.send(format!("{AGREES}x-session-principal: alice\r\n\r\n"));
    assert_eq!(visitor.answer(false).set_cookies().len(), 1);
    // Until it has been idle for long, which is more than one look at the session.
    let began = cloakroom::testing::clock::instant();
    end_with(&mut visitor, &mut app, 1001);
    assert!(began.elapsed() > std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn an_idle_tunnel_is_closed_and_a_busy_one_is_not() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "[limits]\ntunnel_idle_timeout = \"2s\"");
    let (mut idle, mut its, _) = open(&proxy, &stage, "");
    let (mut busy, mut theirs, _) = open(&proxy, &stage, "");
    thread::scope(|scope| {
        let watch = scope.spawn(|| end_with(&mut idle, &mut its, 1001));
        while !watch.is_finished() {
            talk(&mut busy, &mut theirs);
            thread::yield_now();
        }
        watch.join().unwrap();
    });
    talk(&mut busy, &mut theirs);
}

#[test]
fn a_hundred_open_tunnels_do_not_hold_up_a_stop() {
    let stage = RawUpstream::open();
    let mut proxy = before(&stage, "[process]\nshutdown_timeout = \"20s\"");
    let tunnels: Vec<_> = (0..100).map(|_| open(&proxy, &stage, "")).collect();
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
    for (mut visitor, mut app, _) in tunnels {
        end_with(&mut visitor, &mut app, 1001);
    }
}

/// In words where it is a websocket and no frame is under way; in the middle of a frame, and of any other protocol, by
/// closing alone.
#[test]
fn websocket_of_a_session_that_ends_is_told_so() {
    let stage = RawUpstream::open();
    let proxy = before(&stage, "");
    let cookie = cookie(&proxy, &stage, "x-session-set-a: 1\r\n");
    let whole = |visitor: &mut Wire, app: &mut Wire| {
        visitor.send(b"\x81\x82\0\0\0\0hi");
        assert_eq!(app.exactly(8).unwrap(), b"\x81\x82\0\0\0\0hi");
        app.send(b"\x81\x02ho");
        assert_eq!(visitor.exactly(4).unwrap(), b"\x81\x02ho");
    };
    let (mut visitor, mut app, _) = open(&proxy, &stage, &cookie);
    whole(&mut visitor, &mut app);
    let (mut other, mut its, _) = open(&proxy, &stage, &cookie);
    its.send(b"\x81\x09a half");
    assert_eq!(other.exactly(8).unwrap(), b"\x81\x09a half");
    order(&proxy, &stage, &cookie, "x-session-action: destroy\r\n");
    end_with(&mut visitor, &mut app, 1008);
    assert_eq!(other.ending(), Ending::Over);
    let log = proxy.log();
    assert!(log.contains("a tunnel was closed why=\"the session has ended\""), "{log}");
}

#[test]
fn websockets_are_carried_byte_for_byte_by_http_and_by_https() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let clear = Cloakroom::before(app).start();
    let mut wire = clear.dial();
    let (socket, _) =
        tungstenite::client::client_with_config("ws://a/", wire.stream().try_clone().unwrap(), Some(roomy()))
            .unwrap();
    converse(socket);
    let proxy = Cloakroom::before(app).listen(&authority.toml(&["shop"])).start();
    let wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    let (socket, answer) =
        tungstenite::client::client_with_config("wss://shop.example/", wire.into_stream(), Some(roomy()))
            .unwrap();
    assert!(answer.headers().get("set-cookie").unwrap().to_str().unwrap().starts_with("__Host-"));
    converse(socket);
}

#[test]
fn by_tls_too_one_side_ends_and_still_hears_the_other() {
    let (stage, authority) = (RawUpstream::open(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    let proxy = Cloakroom::before(stage.address()).listen(&authority.toml(&["shop"])).start();
    let open = || {
        let mut visitor = authority.caller().dial(proxy.address, "shop.example").unwrap();
        visitor.send(format!("GET /ws HTTP/1.1\r\nhost: shop.example\r\n{ASKS}\r\n"));
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(AGREES_WHOLE);
        assert_eq!(visitor.answer(false).status, 101);
        visitor.send("ping");
        assert_eq!(app.exactly(4).unwrap(), b"ping");
        (visitor, app)
    };
    let (mut visitor, mut app) = open();
    visitor.stream().conn.send_close_notify();
    visitor.send("");
    assert_eq!(app.ending(), Ending::Over);
    app.send("last words");
    app.finish();
    assert_eq!(visitor.exactly(10).unwrap(), b"last words");
    assert_eq!(visitor.ending(), Ending::Over);
    // The other way round.
    let (mut visitor, mut app) = open();
    app.finish();
    assert_eq!(visitor.ending(), Ending::Over);
    visitor.send("last words");
    assert_eq!(app.exactly(10).unwrap(), b"last words");
}

#[test]
fn websockets_are_carried_in_streams_of_http2() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let proxy = Cloakroom::before(echo()).listen(&authority.toml(&["shop"])).start();
    let visitor = Http2::dial_tls(proxy.address, &authority.caller(), "shop.example");
    let (answer, inner) = visitor.connect("https://shop.example/");
    assert_eq!(answer.status(), 200);
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{answer:?}");
    }
    assert!(answer.headers().get("set-cookie").unwrap().to_str().unwrap().starts_with("__Host-"));
    converse(WebSocket::from_raw_socket(inner, Role::Client, Some(roomy())));
}

#[test]
fn a_tunnel_in_a_stream_ends_like_any_other() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address())
        .listen("http2_prior_knowledge = true")
        .config("[limits]\ntunnel_idle_timeout = \"2s\"\nidle_timeout_http2 = \"1s\"")
        .start();
    let open = |answer: &'static str| {
        let visitor = Http2::dial(proxy.address);
        thread::scope(|scope| {
            let app = scope.spawn(|| {
                let mut app = stage.accept();
                let asked = Request::from(&mut app);
                assert_eq!(asked.start, "GET /ws HTTP/1.1");
                assert_eq!(asked.all("upgrade"), ["websocket"]);
                assert_eq!(asked.header("sec-websocket-key").map(|key| key.len()), Some(24));
                app.send(answer);
                app
            });
            let (answer, inner) = visitor.connect("http://a/ws");
            (answer.status().as_u16(), inner, app.join().unwrap())
        })
    };
    // One side ends, and still hears the other; the connection is not idle meanwhile.
    let (status, mut inner, mut app) = open(AGREES_WHOLE);
    assert_eq!(status, 200);
    inner.write_all(b"ping").unwrap();
    inner.flush().unwrap();
    assert_eq!(app.exactly(4).unwrap(), b"ping");
    inner.finish();
    inner.flush().unwrap();
    assert_eq!(app.ending(), Ending::Over);
    app.send("last words");
    app.finish();
    let mut heard = Vec::new();
    inner.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"last words");
    // Idle.
    let (_, mut inner, mut app) = open(AGREES_WHOLE);
    app_is_told(&mut app, 1001);
    heard.clear();
    inner.read_to_end(&mut heard).unwrap();
    assert!(heard.starts_with(b"\x88\x06\x03\xe9"), "{heard:?}");
    drop(inner);
    // Refused: by a failure, and by an answer that would be taken for a tunnel.
    for (answer, wanted) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", 502),
    ] {
        let (status, mut inner, _) = open(answer);
        let mut heard = Vec::new();
        inner.read_to_end(&mut heard).unwrap();
        assert_eq!((status, heard.as_slice()), (wanted, b"no".as_slice()));
    }
}

//! Apps that speak TLS: verified, pooled, and told apart when they cannot be.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::fs;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa};

use crate::support::tls::{Received, Server};
use crate::support::tunnel::{AGREES, ASKS};
use crate::support::{
    App, Authority, Cloakroom, Ending, Framing, RawUpstream, Reply, Request, STREAMED, Wire, obey, orders,
};

const LENGTH: usize = 4 << 20;

/// An authority, and an app's side of TLS with a certificate for these names.
fn issued(names: &[&str]) -> (Authority, Server) {
    let authority = Authority::new();
    authority.issue("app", names);
    let server = authority.server("app");
    (authority, server)
}

fn before(stage: &RawUpstream, authority: &Authority, more: &str) -> Cloakroom {
    let port = stage.address().port();
    Cloakroom::before_servers(&format!("\"https://localhost:{port}\""))
        .upstream(&format!("tls = {{ ca = \"{}\" }}\n{more}", authority.root().display()))
        .config("[process]\nworkers = 1")
        .start()
}

/// The app's side of the next connection.
fn accept(stage: &RawUpstream, server: &Server) -> Received {
    server.shake(stage.accept().into_stream()).unwrap()
}

fn asked(app: &mut Received) -> String {
    let head = app.head().unwrap().unwrap_or_default();
    String::from_utf8_lossy(&head).into_owned()
}

fn visitor(proxy: &Cloakroom, head: &str) -> Wire {
    let mut visitor = proxy.dial();
    visitor.send(head);
    visitor
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn one_connection_is_asked_for_by_name_and_used_again() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, "");
    let mut wire = visitor(&proxy, GET);
    let mut app = accept(&stage, &server);
    assert_eq!(app.asked_for().as_deref(), Some("localhost"));
    for _ in 0..3 {
        assert!(asked(&mut app).starts_with("GET / HTTP/1.1\r\nhost: a\r\n"));
        app.send(ANSWER);
        assert_eq!(wire.answer(false).text(), "ok");
        wire.send(GET);
    }
    assert!(!stage.has_guests());
    // It closes in order: the next request finds out before anything is sent.
    asked(&mut app);
    app.send(ANSWER);
    wire.answer(false);
    app.stream().conn.send_close_notify();
    app.send("");
    drop(app);
    wire.send(GET.replace("GET", "POST").replace("\r\n\r\n", "\r\ncontent-length: 2\r\n\r\nhi"));
    let mut app = accept(&stage, &server);
    assert!(asked(&mut app).starts_with("POST"));
    app.send(ANSWER);
    assert_eq!(wire.answer(false).text(), "ok");
}

#[test]
fn bodies_pass_whole_either_way() {
    let (authority, server) = issued(&["localhost", "127.0.0.1"]);
    let app = App::start_by(
        move |stream| server.shake(stream).ok(),
        |request| Reply::text(String::from_utf8_lossy(&request.body).into_owned()),
    );
    let proxy = Cloakroom::before_servers(&format!("\"https://127.0.0.1:{}\"", app.address.port()))
        .upstream(&format!("tls = {{ ca = \"{}\" }}", authority.root().display()))
        .start();
    let body: String = ('a'..='z').cycle().take(LENGTH).collect();
    for _ in 0..3 {
        let answer = proxy.browser().post("/", &body);
        assert!(answer.status == 200 && answer.text() == body, "{}", answer.start);
    }
    let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in body.as_bytes().chunks(50_000) {
        wire.send(format!("{:x}\r\n", piece.len()));
        wire.send([piece, b"\r\n"].concat());
    }
    wire.send("0\r\n\r\n");
    assert!(wire.answer(false).text() == body);
}

#[test]
fn grpc_upload_is_streamed_piece_by_piece() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, STREAMED);
    let mut wire = visitor(&proxy, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nfirst");
    let mut app = accept(&stage, &server);
    asked(&mut app);
    assert_eq!(app.exactly(5).unwrap(), b"first");
    wire.send("again");
    assert_eq!(app.exactly(5).unwrap(), b"again");
    app.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nslow\r\n");
    assert_eq!(wire.answer_head().status, 200);
    assert_eq!(wire.chunk().unwrap().unwrap(), b"slow");
    app.send("0\r\n\r\n");
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn who_cannot_be_verified_is_never_asked_and_the_log_says_why() {
    let (authority, _) = issued(&["localhost"]);
    authority.issue("other", &["other.test"]);
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    authority.issue_with("old", &["localhost"], past);
    let (_stranger, unknown) = issued(&["localhost"]);
    authority.issue_with("ca", &["localhost"], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    for (server, wanted) in [
        (unknown, "name its CA by tls = { ca = "),
        (authority.server("other"), "name what its certificate is for by tls = { name = "),
        (authority.server("old"), "renew it, or set this machine's clock"),
        (authority.server("ca"), "make one for the server (openssl req"),
    ] {
        let app = App::start_by(move |stream| server.shake(stream).ok(), |_| Reply::text("reached"));
        let proxy = Cloakroom::before_servers(&format!("\"https://localhost:{}\"", app.address.port()))
            .upstream(&format!("tls = {{ ca = \"{}\" }}", authority.root().display()))
            .start();
        let answer = proxy.browser().get("/");
        assert_eq!(answer.status, 502, "{wanted}");
        assert!(!answer.text().contains("TLS") && app.received().is_empty());
        let (log, name) = (proxy.log(), format!("no TLS with localhost:{}", app.address.port()));
        assert!(log.contains(wanted) && log.contains(&name), "{wanted}: {log}");
    }
    let clear = App::start(obey);
    let proxy = Cloakroom::before_servers(&format!("\"https://localhost:{}\"", clear.address.port()))
        .upstream(&format!("tls = {{ ca = \"{}\" }}", authority.root().display()))
        .start();
    let stage = RawUpstream::open();
    let silent = before(&stage, &authority, "connect_timeout = \"300ms\"");
    assert_eq!(silent.browser().get("/").status, 504);
    drop(stage);
    drop((proxy, clear));
}

#[test]
fn a_server_that_speaks_no_tls_is_told_as_such() {
    let (authority, _) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, "");
    let mut wire = visitor(&proxy, GET);
    let mut app = stage.accept();
    app.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(wire.answer(false).status, 502);
    assert!(proxy.log().contains("that is no TLS: is the server meant to be http://?"), "{}", proxy.log());
    wire.send(GET);
    drop((app, stage.accept()));
    assert_eq!(wire.answer(false).status, 502);
    assert!(proxy.log().contains("does it speak TLS on this port?"), "{}", proxy.log());
}

#[test]
fn upstream_tls_uses_server_name_and_system_roots() {
    let (authority, server) = issued(&["app.internal"]);
    let stage = RawUpstream::open();
    let root = format!("SSL_CERT_FILE={}", authority.root().display());
    let proxy = Cloakroom::before_servers(&format!("\"https://127.0.0.1:{}\"", stage.address().port()))
        .upstream("tls = { name = \"App.Internal\" }\nhost = \"server\"")
        .under(&["env", &root])
        .start();
    let mut wire = visitor(&proxy, GET);
    let mut app = accept(&stage, &server);
    assert_eq!(app.asked_for().as_deref(), Some("app.internal"));
    let own = stage.address();
    assert!(asked(&mut app).contains(&format!("host: {own}\r\n")));
    app.send(format!("HTTP/1.1 302 Found\r\nlocation: https://{own}/x\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!(wire.answer(false).header("location").as_deref(), Some("http://a/x"));
}

#[test]
fn what_comes_unasked_is_never_the_next_answer() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    // Of a length that ends where a buffer may, too: what is left is then out of sight.
    for length in [2, 4096, 8192, 16384, 32768] {
        let proxy = before(&stage, &authority, "");
        let mut wire = visitor(&proxy, GET);
        let mut app = accept(&stage, &server);
        asked(&mut app);
        let head = |body: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n");
        let body = if length == 2 { 2 } else { length - head(length).len() };
        let answer = head(body) + &"x".repeat(body);
        let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        // In records of their own, which arrive together.
        for record in [answer.as_str(), evil] {
            std::io::Write::write_all(&mut app.stream().conn.writer(), record.as_bytes()).unwrap();
        }
        app.send("");
        assert_eq!(wire.answer(false).body.len(), body);
        wire.send(GET);
        let mut next = accept(&stage, &server);
        asked(&mut next);
        next.send(ANSWER);
        assert_eq!(wire.answer(false).text(), "ok");
    }
}

#[test]
fn a_connection_that_was_closed_in_tls_alone_takes_no_request() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, "");
    let mut wire = visitor(&proxy, GET);
    let mut app = accept(&stage, &server);
    asked(&mut app);
    std::io::Write::write_all(&mut app.stream().conn.writer(), ANSWER.as_bytes()).unwrap();
    app.stream().conn.send_close_notify();
    app.send("");
    assert_eq!(wire.answer(false).text(), "ok");
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
    let mut next = accept(&stage, &server);
    assert!(asked(&mut next).starts_with("POST"));
    next.send(ANSWER);
    assert_eq!(wire.answer(false).text(), "ok");
}

#[test]
fn answer_until_close_needs_a_clean_close() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, "");
    for meant in [true, false] {
        let mut wire = visitor(&proxy, GET);
        let mut app = accept(&stage, &server);
        asked(&mut app);
        app.send("HTTP/1.1 200 OK\r\n\r\nhello");
        assert_eq!(wire.answer_head().status, 200);
        assert_eq!(wire.chunk().unwrap().as_deref(), Some(&b"hello"[..]));
        if meant {
            app.stream().conn.send_close_notify();
            app.send("");
        }
        drop(app);
        let body = wire.body(Framing::Chunked);
        assert_eq!(body.is_ok(), meant, "{body:?}");
    }
}

#[test]
fn a_tunnel_goes_through_tls() {
    let (authority, server) = issued(&["localhost"]);
    let stage = RawUpstream::open();
    let proxy = before(&stage, &authority, "");
    let mut wire = visitor(&proxy, &format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n"));
    let mut app = accept(&stage, &server);
    asked(&mut app);
    app.send(format!("{AGREES}\r\nearly"));
    assert_eq!(wire.answer(false).status, 101);
    assert_eq!(wire.exactly(5).unwrap(), b"early");
    wire.send("ping");
    assert_eq!(app.exactly(4).unwrap(), b"ping");
    app.send("pong!");
    assert_eq!(wire.exactly(5).unwrap(), b"pong!");
    wire.finish();
    assert_eq!(app.ending(), Ending::Over);
}

#[test]
fn anauthority_that_cannot_be_read_is_told_by_check() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.pem"), "no certificate").unwrap();
    let file = folder.path().join("config.toml");
    let check = |tls: &str, scheme: &str| {
        let text = format!(
            "listen = [{{ address = \"127.0.0.1:1\" }}]\nroutes = [{{ upstream = \"a\" }}]\n[upstreams.a]\n\
             servers = [\"{scheme}://127.0.0.1:2\"]\ntls = {{ {tls} }}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        let done = command.args(["check", "-c"]).arg(&file).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for (tls, scheme, fine, wanted) in [
        ("ca = \"none.pem\"", "https", false, "none.pem cannot be read: No such file"),
        ("ca = \"empty.pem\"", "https", false, "empty.pem holds no certificate"),
        ("ca = \"\"", "https", false, "expected \"system\" or a PEM file"),
        ("name = \"a b\"", "https", false, "wrong value for `upstreams.a.tls.name`"),
        ("insecure = true", "https", false, "unknown key `insecure`"),
        ("ca = \"none.pem\"", "http", true, "`upstreams.a.tls` has no effect: no server speaks https"),
    ] {
        let (done, text) = check(tls, scheme);
        assert!(done == fine && text.contains(wanted), "{tls}: {text}");
        assert!(text.contains("config.toml:5:"), "{text}");
    }
}

#[test]
fn a_session_is_kept_for_an_app_that_speaks_tls() {
    let (authority, server) = issued(&["127.0.0.1"]);
    let app = App::start_by(move |stream| server.shake(stream).ok(), obey);
    let proxy = Cloakroom::before_servers(&format!("\"https://{}\"", app.address))
        .upstream(&format!("tls = {{ ca = \"{}\" }}", authority.root().display()))
        .start();
    let mut visitor = proxy.browser();
    visitor.get_with("/", &orders(&["x-session-set-role: editor"]));
    assert_eq!(visitor.shown(), "role=editor");
    let request: Request = app.last();
    assert_eq!(request.header("x-session-role").as_deref(), Some("editor"));
}

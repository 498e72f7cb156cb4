//! https: certificates by name, both versions, resumption, what is told of broken certificates, and redirects to it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cloakroom::testing::config::Config;
use rcgen::date_time_ymd;
use rustls::ProtocolVersion;

use crate::support::{App, Authority, Caller, Cloakroom, Ending, RawUpstream, Reply, Request, Wire};

fn proxy(app: &App, authority: &Authority, names: &[&str]) -> Cloakroom {
    Cloakroom::before(app.address).listen(&authority.toml(names)).start()
}

fn echo() -> App {
    App::start(|request| Reply::text(request.path()))
}

fn get(wire: &mut crate::support::tls::Sealed, host: &str, path: &str) -> crate::support::Response {
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    wire.answer(false)
}

#[test]
fn https_ticket_is_for_https_alone() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = proxy(&app, &authority, &["shop"]);
    for (caller, version) in
        [(authority.caller(), ProtocolVersion::TLSv1_3), (authority.old_caller(), ProtocolVersion::TLSv1_2)]
    {
        let mut wire = caller.offering(&["http/1.1"]).dial(proxy.address, "shop.example").unwrap();
        assert_eq!(wire.version(), Some(version));
        assert_eq!(wire.protocol().as_deref(), Some("http/1.1"));
        let answer = get(&mut wire, "shop.example", "/a");
        assert_eq!((answer.status, answer.text().as_str()), (200, "/a"));
        let cookies = answer.set_cookies();
        assert!(cookies[0].starts_with("__Host-cloakroom="), "{cookies:?}");
        assert!(cookies[0].contains("; Secure"), "{cookies:?}");
        assert_eq!(app.last().header("x-forwarded-proto").as_deref(), Some("https"));
        // The connection goes on, and large answers pass whole.
        for path in ["/b", "/c"] {
            assert_eq!(get(&mut wire, "shop.example", path).text(), path);
        }
    }
}

#[test]
fn by_https_only_the_prefixed_name_is_read() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = proxy(&app, &authority, &["shop"]);
    let mut wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    let ticket = get(&mut wire, "shop.example", "/").set_cookies()[0].clone();
    let value = ticket.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
    for (name, state) in [("__Host-cloakroom", "active"), ("cloakroom", "new")] {
        wire.send(format!("GET / HTTP/1.1\r\nhost: shop.example\r\ncookie: {name}={value}; a=b\r\n\r\n"));
        wire.answer(false);
        assert_eq!(app.last().header("x-session-state").as_deref(), Some(state), "{name}");
        assert_eq!(app.last().header("cookie").as_deref(), Some("a=b"));
    }
}

#[test]
fn certificate_is_chosen_by_sni() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    authority.issue("wild", &["*.other.example"]);
    let app = echo();
    let proxy = proxy(&app, &authority, &["shop", "wild"]);
    for host in ["shop.example", "a.other.example"] {
        let mut wire = authority.caller().dial(proxy.address, host).unwrap();
        assert_eq!(get(&mut wire, host, "/").status, 200, "{host}");
    }
    for host in ["nobody.example", "other.example", "a.a.other.example"] {
        let Err(error) = authority.caller().dial(proxy.address, host) else { panic!("{host}") };
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
    assert_eq!(app.received().len(), 2);
}

#[test]
fn who_was_here_before_is_known_to_every_worker() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address)
        .listen(&authority.toml(&["shop"]))
        .config("[process]\nworkers = 4")
        .start();
    for caller in [authority.caller(), authority.old_caller()] {
        let ask = || {
            let mut wire = caller.dial(proxy.address, "shop.example").unwrap();
            get(&mut wire, "shop.example", "/");
            wire.is_resumed()
        };
        assert!(!ask());
        assert_eq!((0..12).filter(|_| ask()).count(), 12, "resumed by whichever worker");
    }
}

#[test]
fn bad_or_slow_tls_handshakes_are_cut() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address)
        .listen(&authority.toml(&["shop"]))
        .config("[limits]\ntls_handshake_timeout = \"300ms\"")
        .start();
    let mut silent = proxy.dial();
    let mut stalled = proxy.dial();
    stalled.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let mut plain = proxy.dial();
    plain.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let mut wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    assert_eq!(get(&mut wire, "shop.example", "/").status, 200);
    for wire in [&mut silent, &mut stalled] {
        assert_eq!(wire.ending(), Ending::Over);
    }
    // An alert may come first.
    drop(plain.body(crate::support::Framing::Close));
    assert_eq!(app.received().len(), 1);
    assert_eq!(get(&mut wire, "shop.example", "/").status, 200, "who was in before is not cut");
}

#[test]
fn idle_tls_connection_is_parked_and_wakes() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address)
        .listen(&authority.toml(&["shop"]))
        .config("[limits]\nidle_timeout_http1 = \"1s\"")
        .start();
    let mut wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    // One after the other within one record, and then byte by byte over several.
    wire.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
    for path in ["/1", "/2"] {
        assert_eq!(wire.answer(false).text(), path);
    }
    for byte in b"GET /3 HTTP/1.1\r\nhost: a\r\n\r\n" {
        wire.send([*byte]);
    }
    assert_eq!(wire.answer(false).text(), "/3");
    assert_eq!(wire.ending(), Ending::Over, "idle_timeout_http1");
}

#[test]
fn large_bodies_pass_whole_either_way() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = App::start(|request| Reply::text(String::from_utf8(request.body.clone()).unwrap()));
    let proxy = proxy(&app, &authority, &["shop"]);
    let body = (0..400_000).fold(String::new(), |all, n: u32| all + &format!("{n:08}"));
    let mut wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    let length = body.len();
    wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}"));
    assert!(wire.answer(false).text() == body);
}

#[test]
fn an_answer_that_breaks_off_is_no_whole_answer_by_tls_either() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).listen(&authority.toml(&["shop"])).start();
    let mut wire = authority.caller().dial(proxy.address, "shop.example").unwrap();
    wire.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_eq!(wire.answer_head().status, 200);
    assert_eq!(wire.exactly(5).unwrap(), b"hello");
    drop(app);
    // No close_notify: the end is a truncation (RFC 8446 section 6.1).
    assert!(wire.body(crate::support::Framing::Close).is_err());
}

#[test]
fn http_redirects_to_https_but_for_acme() {
    let app = echo();
    let proxy = Cloakroom::before(app.address)
        .listen("redirect_to_https = true")
        .config("[process]\ntrusted_proxies = [\"127.0.0.0/8\"]")
        .start();
    let ask = |head: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("{head}\r\n\r\n"));
        wire.answer(false)
    };
    for (head, wanted) in [
        ("GET /a?b=c HTTP/1.1\r\nhost: Shop.example", "https://shop.example/a?b=c"),
        ("POST /a HTTP/1.1\r\nhost: shop.example:8080\r\ncontent-length: 0", "https://shop.example/a"),
        ("GET http://other.example HTTP/1.1\r\nhost: shop.example", "https://other.example/"),
        ("GET //evil.example HTTP/1.1\r\nhost: shop.example", "https://shop.example//evil.example"),
        (
            "GET /.well-known/acme-challenge/../a HTTP/1.1\r\nhost: shop.example",
            "https://shop.example/.well-known/acme-challenge/../a",
        ),
    ] {
        let answer = ask(head);
        assert_eq!((answer.status, answer.header("location").as_deref()), (308, Some(wanted)), "{head}");
        assert_eq!(answer.set_cookies(), Vec::<String>::new());
    }
    assert_eq!(app.received().len(), 0);
    let proof = ask("GET /.well-known/acme-challenge/aB_-9 HTTP/1.1\r\nhost: shop.example");
    assert_eq!((proof.status, proof.text().as_str()), (200, "/.well-known/acme-challenge/aB_-9"));
    // Who came to a proxy by https is not sent round in a circle.
    assert_eq!(ask("GET /a HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-proto: https").status, 200);
}

#[test]
fn certificates_are_looked_at_before_anyone_relies_on_them() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    authority.issue("other", &["other.example"]);
    authority.issue_with("old", &["old.example"], |params| params.not_after = date_time_ymd(2021, 1, 1));
    let open = authority.path("shop.key").with_file_name("open.key");
    fs::copy(authority.path("shop.key"), &open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    fs::write(authority.path("empty.pem"), "nothing").unwrap();
    for (certificate, key, code, wanted) in [
        ("shop.pem", "shop.key", 0, "no mistakes"),
        ("shop.pem", "other.key", 2, "is not that of the certificate"),
        ("old.pem", "old.key", 0, "browsers refuse it"),
        ("shop.pem", "open.key", 0, "can be read by everyone"),
        ("none.pem", "shop.key", 2, "cannot be read: No such file"),
        ("empty.pem", "shop.key", 2, "holds no certificate"),
        ("shop.pem", "shop.pem", 2, "holds no private key"),
        ("", "shop.key", 2, "expected the name of a PEM file"),
    ] {
        // Beside the configuration they are found by their names.
        let file = authority.path("config.toml");
        let tls =
            format!("tls = {{ certificates = [{{ certificate = \"{certificate}\", key = \"{key}\" }}] }}");
        let rest = "[upstreams.a]\nservers = [\"http://127.0.0.1:1\"]\n[[routes]]\nupstream = \"a\"\n";
        fs::write(&file, format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{tls}\n{rest}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.args(["check", "-c"]).arg(&file).env_remove("CLOAKROOM_CONFIG");
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{certificate} {key}: {text}");
        assert!(text.contains(wanted), "{certificate} {key}: {text}");
        if !wanted.starts_with("no mistakes") {
            assert!(text.contains("config.toml:3:"), "with its place: {text}");
        }
    }
}

#[test]
fn tls_handshake_that_is_aborted_disturbs_nobody() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = echo();
    let proxy = proxy(&app, &authority, &["shop"]);
    for cut in 0..40 {
        let mut tcp = TcpStream::connect(proxy.address).unwrap();
        let hello = [b"\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03".as_slice(), &[7; 60]].concat();
        drop(tcp.write_all(&hello[..cut + 5]));
        Wire::new(tcp).reset();
    }
    let caller: Caller = authority.caller();
    let mut wire = caller.dial(proxy.address, "shop.example").unwrap();
    assert_eq!(get(&mut wire, "shop.example", "/").status, 200);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn the_port_of_https_is_the_one_that_is_listened_on() {
    let tls = "tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }";
    for (secure, redirect, wanted) in [
        ("address = \"[::]:443\"", "true", Some(443)),
        ("address = \"[::]:8443\"", "true", Some(8443)),
        ("address = \"systemd:https\"", "true", Some(443)),
        ("address = \"[::]:8443\"", "9443", Some(9443)),
        ("address = \"[::]:8443\"", "false", None),
    ] {
        let text = format!(
            "[[listen]]\naddress = \"[::]:80\"\nredirect_to_https = {redirect}\n[[listen]]\n{secure}\n{tls}\n\
             [[routes]]\nupstream = \"a\"\n[upstreams.a]\nservers = [\"unix:/a\"]\n"
        );
        let (config, _) = Config::parse("x.toml", &text).unwrap();
        assert_eq!(config.listen[0].redirect_to_https, wanted, "{secure} {redirect}");
    }
    let app = echo();
    let proxy = Cloakroom::before(app.address).listen("redirect_to_https = 8443").start();
    let mut wire = proxy.dial();
    wire.send("GET /a HTTP/1.1\r\nhost: shop.example:8080\r\n\r\n");
    assert_eq!(wire.answer(false).header("location").as_deref(), Some("https://shop.example:8443/a"));
}

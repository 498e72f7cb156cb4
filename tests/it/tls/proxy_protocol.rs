//! The PROXY protocol: whose connection it is, told by a load balancer, and by nobody else.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::support::{App, Authority, Cloakroom, Ending, Reply, Wire, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const V1: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x0a\0\0\x01\x12\x34\0\x50";
/// The balancer asks for itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn app() -> App {
    App::start(|request| Reply::text(request.header("x-forwarded-for").unwrap_or_default()))
}

fn required(app: &App, config: &str) -> Cloakroom {
    Cloakroom::before(app.address).listen("proxy_protocol = \"required\"").config(config).start()
}

#[test]
fn the_visitor_is_whom_the_balancer_names() {
    let app = app();
    let proxy = required(&app, "");
    for (header, wanted) in [(V1.as_bytes(), "192.0.2.7"), (V2, "192.0.2.8"), (LOCAL, "127.0.0.1")] {
        let mut wire = proxy.dial();
        wire.send([header, GET.as_bytes()].concat());
        assert_eq!(wire.answer(false).text(), wanted);
        // It was said once and holds for the connection.
        wire.send(GET);
        assert_eq!(wire.answer(false).text(), wanted);
        // A second one is a malformed request.
        wire.send([header, GET.as_bytes()].concat());
        assert_eq!(wire.answer(false).status, 400);
    }
    // In pieces.
    let mut wire = proxy.dial();
    for byte in [V2, GET.as_bytes()].concat() {
        wire.send([byte]);
    }
    assert_eq!(wire.answer(false).text(), "192.0.2.8");
    let told = |line: &String| line.contains(r#""client":"192.0.2.8""#);
    eventually("the access log", || proxy.access().iter().any(told));
}

#[test]
fn who_does_not_begin_with_it_is_not_served() {
    let app = app();
    let proxy = required(&app, "[limits]\nrequest_head_timeout = \"300ms\"");
    for begin in [GET, "PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n", "PROXY TCP4 192.0.2.7 ", "", "PROXY UNKNOWN"]
    {
        let mut wire = proxy.dial();
        wire.send(begin);
        assert_eq!(wire.ending(), Ending::Over, "{begin}");
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn where_it_is_off_nobody_can_say_it() {
    let app = app();
    let proxy = Cloakroom::before(app.address).start();
    for header in [V1.as_bytes(), V2] {
        let mut wire = proxy.dial();
        wire.send([header, GET.as_bytes()].concat());
        assert_eq!(wire.answer(false).status, 400);
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn before_tls_and_on_unix_sockets_it_is_read_as_well() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let app = app();
    let path = authority.path("socket");
    let proxy = Cloakroom::before(app.address)
        .listen(&format!("proxy_protocol = \"required\"\n{}", authority.toml(&["shop"])))
        .config(&format!("[[listen]]\naddress = \"unix:{}\"\nproxy_protocol = \"required\"", path.display()))
        .start();
    let mut tcp = TcpStream::connect(proxy.address).unwrap();
    tcp.write_all(V2).unwrap();
    let mut wire = authority.caller().shake(tcp, "shop.example").unwrap();
    wire.send(GET);
    assert_eq!(wire.answer(false).text(), "192.0.2.8");
    assert_eq!(app.last().header("x-forwarded-proto").as_deref(), Some("https"));
    let mut wire = Wire::patient(UnixStream::connect(path).unwrap());
    wire.send([V1.as_bytes(), GET.as_bytes()].concat());
    assert_eq!(wire.answer(false).text(), "192.0.2.7");
}

#[test]
fn connection_limits_count_the_proxied_visitor() {
    let app = app();
    let proxy = required(&app, "[limits]\nconnections_per_address = 2");
    let open = |header: &[u8]| {
        let mut wire = proxy.dial();
        wire.send([header, GET.as_bytes()].concat());
        wire
    };
    let mut held: Vec<_> = (0..2).map(|_| open(V2)).collect();
    for wire in &mut held {
        assert_eq!(wire.answer(false).status, 200);
    }
    assert_eq!(open(V2).ending(), Ending::Over);
    assert_eq!(open(V1.as_bytes()).answer(false).status, 200, "another visitor by the same balancer");
}

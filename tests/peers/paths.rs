//! What real apps, and a server before one, read as a guarded path.

use std::net::{SocketAddr, TcpStream};

use crate::harness::legacy::Legacy;
use crate::harness::server::Server;
use crate::support::{Cloakroom, Port, Response, Wire};

/// Sends a raw head to a cloakroom.
fn ask(proxy: &Cloakroom, head: &str) -> Response {
    let mut wire = proxy.dial();
    wire.send(format!("{head}\r\n\r\n"));
    wire.answer(false)
}

/// What Express, Node's `URL` or PHP's `parse_url` takes for `/admin`.
const ADMIN_TO_SOME: [&str; 12] = [
    "/ADMIN",
    "/Admin/x",
    "/%41dmin",
    "//x/admin",
    "///x/admin",
    "/\\x/admin",
    "//x\\admin",
    "//x:80/admin",
    "//u@x/admin",
    "//x/y/../admin",
    "http://shop.test//x/admin",
    "/y/..//x/admin",
];

/// What a servlet container takes for `/admin`, behind an nginx that decodes the path on its way.
const ADMIN_TO_SERVLETS: [&str; 7] = [
    "/admin;x",
    "/;x/admin",
    "/x/..;/admin",
    "/x/.;y/..;/admin",
    "/admin%3bx",
    "/x/..%3b/admin",
    "/x/%2e%2e%3Ba=b/admin",
];

/// `/admin` wants a principal, all else nothing.
fn gated(app: SocketAddr) -> Cloakroom {
    let routes = "[[routes]]\nupstream = \"app\"\n\
                  [[routes]]\npath = \"/admin\"\nrequire = \"principal\"\nupstream = \"app\"";
    Cloakroom::before(app).config(routes).start()
}

#[test]
fn what_real_apps_read_as_a_guarded_path_is_guarded() {
    for app in Legacy::with_admin_page() {
        let direct = |target: &str| {
            let mut wire = Wire::new(TcpStream::connect(app.address).unwrap());
            wire.send(format!("GET {target} HTTP/1.1\r\nhost: shop.test\r\n\r\n"));
            wire.answer(false).text() == "secret"
        };
        let fooled = ADMIN_TO_SOME.iter().filter(|target| direct(target)).count();
        assert!(fooled >= 2, "the app is fooled by {fooled} targets alone: it tests nothing");
        let proxy = gated(app.address);
        assert_eq!(ask(&proxy, "GET / HTTP/1.1\r\nhost: shop.test").text(), "open");
        for target in ADMIN_TO_SOME {
            let answer = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: shop.test"));
            assert!(matches!(answer.status, 400 | 401), "{target}: {} {}", answer.status, answer.text());
        }
    }
}

#[test]
fn tomcat_behind_nginx_reads_no_guarded_path() {
    let tomcat = Legacy::servlets();
    let port = Port::reserve();
    let lines = format!(
        "server {{ listen {}; location / {{ proxy_pass http://{}/; }} }}",
        port.address, tomcat.address
    );
    let _nginx = Server::nginx(Server::folder(), &port, &lines);
    let proxy = gated(port.address);
    assert_eq!(ask(&proxy, "GET / HTTP/1.1\r\nhost: shop.test").text(), "open");
    for target in ADMIN_TO_SERVLETS {
        let head = format!("GET {target} HTTP/1.1\r\nhost: shop.test");
        let mut direct = Wire::new(TcpStream::connect(port.address).unwrap());
        direct.send(format!("{head}\r\n\r\n"));
        assert_eq!(
            direct.answer(false).text(),
            "secret",
            "{target} does not fool the container: it tests nothing"
        );
        let answer = ask(&proxy, &head);
        assert!(matches!(answer.status, 400 | 401), "{target}: {} {}", answer.status, answer.text());
    }
}

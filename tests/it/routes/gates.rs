//! Gates: `require`, `on_unauthorized`, `preflight`, `cross_site`.

use crate::support::http2::Http2;
use crate::support::{App, Cloakroom, Response};

const UPGRADES: &str = "connection: upgrade\r\nupgrade: websocket\r\n";

const PAGE: &str = "sec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";

/// `/` is open, `/in` asks for what these keys say.
fn gated(app: &App, keys: &str) -> Cloakroom {
    let toml =
        format!("[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/in\"\nupstream = \"app\"\n{keys}");
    Cloakroom::with(app, &toml)
}

fn ask(proxy: &Cloakroom, start: &str, lines: &str) -> Response {
    let head = format!("{start} HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n{lines}\r\n", proxy.address);
    proxy.browser().send_raw(head.as_bytes())
}

#[test]
fn a_gate_asks_for_what_the_route_requires() {
    let app = App::scripted();
    for (require, line, passes) in [
        ("nothing", "X-Plain: 1", true),
        ("session", "X-Plain: 1", false),
        ("session", "X-Session-Set-A: 1", true),
        ("session", "X-Session-Principal: alice", true),
        ("session", "X-Session-Flash-Note: text", true),
        ("principal", "X-Session-Set-A: 1", false),
        ("principal", "X-Session-Principal: alice", true),
    ] {
        let proxy = gated(&app, &format!("require = \"{require}\""));
        let mut visitor = proxy.browser();
        visitor.answered("/", &[line]);
        let asked = app.received().len();
        let answer = visitor.get("/in");
        assert_eq!(answer.status, if passes { 200 } else { 401 }, "{require} {line}");
        assert_eq!(
            app.received().len() - asked,
            usize::from(passes),
            "{require} {line}: the app is not asked"
        );
        let says = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Cookie"));
        assert_eq!(says, !passes, "{require} {line}");
    }
}

#[test]
fn who_logged_out_does_not_pass_any_more() {
    let app = App::scripted();
    let proxy = gated(&app, "require = \"principal\"");
    for farewell in ["X-Session-Action: logout", "X-Session-Action: destroy", "X-Session-Principal:"] {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Principal: alice"]);
        let mut copy = visitor.clone();
        assert_eq!(visitor.get("/in").status, 200);
        visitor.answered("/", &[farewell]);
        assert_eq!((visitor.get("/in").status, copy.get("/in").status), (401, 401), "{farewell}");
    }
}

#[test]
fn browsers_are_sent_to_the_login_and_all_else_is_told_401() {
    let app = App::scripted();
    let proxy = gated(&app, "require = \"principal\"\non_unauthorized = \"/login\"");
    for (start, lines, wanted) in [
        ("GET /in", PAGE, "303 /login?next=/in"),
        ("HEAD /in", PAGE, "303 /login?next=/in"),
        ("GET /in", "accept: text/html,*/*;q=0.8\r\n", "303 /login?next=/in"),
        ("GET /in", "accept: text/html\r\nx-requested-with: XMLHttpRequest\r\n", "401 "),
        ("GET /in/a?b=c&d=e%2Ff", PAGE, "303 /login?next=/in/a?b=c%26d=e%252Ff"),
        ("GET /in?next=//evil.test", PAGE, "303 /login?next=/in?next=//evil.test"),
        ("GET /in", "sec-fetch-mode: cors\r\naccept: text/html\r\n", "401 "),
        ("GET /in", "accept: application/json\r\n", "401 "),
        ("GET /in", "", "401 "),
        ("POST /in", PAGE, "401 "),
        ("DELETE /in", PAGE, "401 "),
    ] {
        let answer = ask(&proxy, start, lines);
        let got = format!("{} {}", answer.status, answer.header("location").unwrap_or_default());
        assert_eq!(got, wanted, "{start} {lines}");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"), "{start} {lines}");
    }
    assert!(app.received().is_empty());
}

#[test]
fn the_way_back_from_a_login_never_leads_to_another_site() {
    let app = App::scripted();
    let toml = "[[routes]]\nupstream = \"app\"\nrequire = \"principal\"\non_unauthorized = \"/login\"\n\
                [[routes]]\npath = \"/login\"\nupstream = \"app\"";
    let proxy = Cloakroom::with(&app, toml);
    for target in [
        "//evil.test",
        "//evil.test/x",
        "/\\evil.test",
        "/%5Cevil.test",
        "/%2F/evil.test",
        "///evil.test",
        "/.//evil.test",
        "http://evil.test//evil.test",
        "/x\\..\\\\evil.test",
        "/;//evil.test",
    ] {
        let answer = ask(&proxy, &format!("GET {target}"), PAGE);
        let location = answer.header("location").unwrap_or_default();
        let next = location.split_once("next=").map(|(_, next)| next.to_owned()).unwrap_or_default();
        // As a browser or an app may read it after decoding once.
        let decoded = next.replace("%5C", "\\").replace("%5c", "\\").replace("%2F", "/").replace("%25", "%");
        let foreign = decoded.starts_with("//") || decoded.starts_with("/\\") || decoded.contains("://");
        assert!(!foreign && (answer.status == 400 || location.starts_with("/login")), "{target}: {location}");
    }
}

#[test]
fn preflights_pass_a_gate_only_where_they_may() {
    let app = App::scripted();
    let preflight = "origin: https://b.test\r\naccess-control-request-method: PUT\r\n";
    for (keys, start, lines, status) in [
        ("", "OPTIONS /in", preflight, 401),
        ("preflight = \"require\"", "OPTIONS /in", preflight, 401),
        ("preflight = \"pass\"", "OPTIONS /in", preflight, 200),
        ("preflight = \"pass\"", "OPTIONS /in", "", 401),
        ("preflight = \"pass\"", "OPTIONS /in", "origin: https://b.test\r\n", 401),
        ("preflight = \"pass\"", "PUT /in", preflight, 401),
        // Browsers send none with a preflight, and some apps take it for the method.
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}X-HTTP-Method-Override: GET\r\n"), 401),
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}x-method-override: GET\r\n"), 401),
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}x_http_method_override: GET\r\n"), 401),
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}X-HTTP.Method: GET\r\n"), 401),
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}X~HTTP*Method|Override: GET\r\n"), 401),
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}x-http-methods: GET\r\n"), 200),
        // A websocket would pass whoever its app does not ask for the method.
        ("preflight = \"pass\"", "OPTIONS /in", &format!("{preflight}{UPGRADES}"), 401),
    ] {
        let proxy = gated(&app, &format!("require = \"principal\"\n{keys}"));
        assert_eq!(ask(&proxy, start, lines).status, status, "{keys}: {start} {lines}");
    }
    let proxy = gated(&app, "require = \"principal\"\npreflight = \"pass\"");
    for body in ["content-length: 1\r\n\r\nx", "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"] {
        let head = format!("OPTIONS /in HTTP/1.1\r\nhost: a\r\n{preflight}{body}");
        assert_eq!(proxy.browser().send_raw(head.as_bytes()).status, 401, "no browser sends {body:?}");
    }
    // Over HTTP/2 nothing in the head says that there is a body.
    let toml = "[[routes]]\nupstream = \"app\"\nrequire = \"principal\"\npreflight = \"pass\"";
    let proxy = Cloakroom::before(app.address).listen("http2_prior_knowledge = true").config(toml).start();
    let mut visitor = Http2::dial(proxy.address);
    for (body, status) in [(None, 200), (Some(&b"x"[..]), 401)] {
        let asked = http::Request::options("http://a/in").header("origin", "https://b.test");
        let asked = asked.header("access-control-request-method", "PUT").body(()).unwrap();
        assert_eq!(visitor.ask(asked, body).unwrap().status, status, "{body:?}");
    }
}

#[test]
fn what_another_site_makes_a_browser_ask_for_is_refused() {
    let app = App::scripted();
    let keys = "cross_site = \"block\"\ntrusted_origins = [\"https://pay.test\"]";
    let proxy = gated(&app, keys);
    let own = format!("origin: http://{}\r\n", proxy.address);
    let shouted = own.replace("http://", "HTTP://");
    let other_port = "origin: http://127.0.0.1:1\r\n".to_owned();
    let secure = own.replace("http://", "https://");
    let longer = own.replace("\r\n", ".evil.test\r\n");
    let site = |value: &str| format!("sec-fetch-site: {value}\r\n");
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\n";
    let mut wrong = Vec::new();
    for (start, lines, status) in [
        ("GET /in", site("cross-site"), 200),
        ("HEAD /in", site("cross-site"), 200),
        ("OPTIONS /in", site("cross-site"), 200),
        ("POST /in", site("same-origin"), 200),
        ("POST /in", site("none"), 200),
        ("POST /in", site("same-site"), 403),
        ("POST /in", site("cross-site"), 403),
        ("POST /in", site("whatever"), 403),
        ("DELETE /in", site("cross-site"), 403),
        ("PUT /in", site("cross-site"), 403),
        ("POST /in", site("cross-site") + &own, 403),
        ("POST /in", site("same-origin") + "origin: https://evil.test\r\n", 200),
        ("POST /in", own.clone(), 200),
        ("POST /in", shouted, 403),
        ("POST /in", secure, 403),
        ("POST /in", other_port, 403),
        ("POST /in", longer, 403),
        ("POST /in", "origin: https://evil.test\r\n".into(), 403),
        ("POST /in", "origin: null\r\n".into(), 403),
        ("POST /in", "origin:\r\n".into(), 403),
        ("POST /in", String::new(), 200),
        ("POST /in", "origin: https://pay.test\r\n".into(), 200),
        ("POST /in", site("cross-site") + "origin: https://pay.test\r\n", 200),
        ("POST /in", site("cross-site") + "origin: https://pay.test.evil.test\r\n", 403),
        ("GET /in", site("cross-site") + websocket, 403),
        ("GET /in", "origin: https://evil.test\r\n".to_owned() + websocket, 403),
        ("POST /", site("cross-site"), 200),
    ] {
        let got = ask(&proxy, start, &lines).status;
        if got != status {
            wrong.push(format!("{start} {lines:?}: {got}, not {status}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// A balancer that sends `Host` without the port, and the port beside it.
#[test]
fn forwarded_port_is_part_of_the_visitors_host() {
    let app = App::scripted();
    let proxy = Cloakroom::with(
        &app,
        "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[routes]]\nupstream = \"app\"\ncross_site = \"block\"\n",
    );
    for (port, origin, status) in [
        ("8443", "https://shop.test:8443", 200),
        ("8443", "https://shop.test", 403),
        ("443", "https://shop.test", 200),
        // Of the connection between two proxies.
        ("80", "https://shop.test", 200),
        ("x", "https://shop.test", 200),
    ] {
        let mut wire = proxy.dial();
        wire.send(format!(
            "POST / HTTP/1.1\r\nhost: shop.test\r\nx-forwarded-proto: https\r\nx-forwarded-port: {port}\r\n\
             origin: {origin}\r\ncontent-length: 0\r\n\r\n"
        ));
        assert_eq!(wire.answer(false).status, status, "{port} {origin}");
    }
}

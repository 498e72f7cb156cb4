//! The operator's address: is it alive, is it ready, and what it counts.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::{App, Authority, Cloakroom, PATIENCE, Port, Response, Wire, eventually, key, on_disk};

/// A house whose admin address is a socket in this folder.
fn proxy(app: &App, folder: &Path, more: &str) -> Cloakroom {
    let path = folder.join("admin.sock");
    Cloakroom::before(app.address)
        .config(&format!("[admin]\naddress = \"unix:{}\"\n{more}", path.display()))
        .start()
}

fn ask(folder: &Path, head: &str) -> (u16, String, String) {
    let mut stream = UnixStream::connect(folder.join("admin.sock")).expect("a socket");
    write!(stream, "{head} HTTP/1.1\r\nhost: cloakroom\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn metrics(folder: &Path) -> String {
    let (status, head, text) = ask(folder, "GET /metrics");
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    text
}

/// The value of the metric that begins so.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn it_is_alive_and_ready_and_says_why_it_is_not() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let down = Port::reserve();
    let more = format!(
        "[upstreams.other]\nservers = [\"http://{}\"]\nhealth = {{ path = \"/\", interval = \"1s\" }}\n\
         [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/other\"\nupstream = \"other\"\n",
        down.address
    );
    let _house = proxy(&app, folder.path(), &more);
    let mode = fs::metadata(folder.path().join("admin.sock")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(ask(folder.path(), "GET /livez").0, 200);
    let asked = "GET /readyz?upstreams=1";
    eventually("an app is down", || ask(folder.path(), asked).0 == 503);
    assert_eq!(ask(folder.path(), asked).2, "no server of upstream other is up\n");
    // That is no reason to send the visitors of the other app elsewhere.
    assert_eq!(
        (ask(folder.path(), "GET /readyz").0, ask(folder.path(), "GET /readyz").2),
        (200, "ready\n".to_owned())
    );
    assert_eq!(
        value(
            &metrics(folder.path()),
            &format!("cloakroom_upstream_up{{upstream=\"other\",server=\"{}\"}}", down.address)
        ),
        Some(0.0)
    );
    let without = tempfile::tempdir().expect("a folder");
    let mut other = proxy(&app, without.path(), "");
    assert_eq!(ask(without.path(), "GET /readyz").2, "ready\n");
    assert_eq!(ask(without.path(), "HEAD /readyz").2, "");
    let (status, head, _) = ask(without.path(), "POST /livez");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");
    assert_eq!(ask(without.path(), "GET /nothing").0, 404);
    other.terminate();
    other.exit();
    assert!(!without.path().join("admin.sock").exists(), "it cleans up");
}

#[test]
fn requests_are_counted_by_listener_route_method_and_status() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = proxy(
        &app,
        folder.path(),
        "[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/shop\"\nupstream = \"app\"\n",
    );
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Principal: alice"]);
    for _ in 0..3 {
        visitor.get("/shop/1");
    }
    visitor.get_with("/", "x-status: 404\r\n");
    visitor.post("/shop", "a=b");
    let mut odd = visitor.clone();
    odd.send_raw(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    odd.jar.insert("cloakroom".to_owned(), "forged".to_owned());
    odd.get("/");
    visitor.answered("/", &["X-Session-Action: destroy"]);
    let row = |route: &str, method: &str, code: u16| {
        format!(
            "cloakroom_requests_total{{listener=\"systemd:test\",route=\"{route}\",method=\"{method}\",code=\"{code}\"}}"
        )
    };
    // A request is over a moment after its answer was read.
    eventually("all are counted", || value(&metrics(folder.path()), &row("*/", "GET", 200)) == Some(3.0));
    let text = metrics(folder.path());
    for (wanted, times) in [
        (row("*/shop", "GET", 200), 3.0),
        (row("*/shop", "POST", 200), 1.0),
        (row("*/", "GET", 404), 1.0),
        (row("-", "GET", 400), 1.0),
        (
            "cloakroom_request_duration_seconds_count{listener=\"systemd:test\",route=\"*/shop\"}".to_owned(),
            4.0,
        ),
        (
            "cloakroom_upstream_response_duration_seconds_count{listener=\"systemd:test\",route=\"*/\"}"
                .to_owned(),
            4.0,
        ),
        ("cloakroom_session_events_total{event=\"created\"}".to_owned(), 2.0),
        ("cloakroom_session_events_total{event=\"ended\"}".to_owned(), 1.0),
        ("cloakroom_session_events_total{event=\"tampered\"}".to_owned(), 1.0),
        ("cloakroom_store_operations_total{operation=\"save\",outcome=\"done\"}".to_owned(), 2.0),
        ("cloakroom_reloads_total{outcome=\"taken\"}".to_owned(), 0.0),
    ] {
        assert_eq!(value(&text, &wanted), Some(times), "{wanted}\n{text}");
    }
    proxy.reload(|text| text + "[sesion]\n");
    proxy.reload(|text| text.replace("[sesion]\n", "[session]\ncache = \"off\"\n"));
    visitor.get("/shop/1");
    eventually("it is counted", || value(&metrics(folder.path()), &row("*/shop", "GET", 200)) == Some(4.0));
    let text = metrics(folder.path());
    assert_eq!(value(&text, "cloakroom_reloads_total{outcome=\"refused\"}"), Some(1.0), "{text}");
    assert_eq!(value(&text, "cloakroom_config_last_reload_successful"), Some(1.0));
}

#[test]
fn certificates_say_when_they_end() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue("site", &["a.example", "b.example"]);
    let _house = Cloakroom::before(app.address)
        .listen(&authority.toml(&["site"]))
        .config(&format!("[admin]\naddress = \"unix:{}\"", folder.path().join("admin.sock").display()))
        .start();
    let text = metrics(folder.path());
    let name = "cloakroom_certificate_expiry_timestamp_seconds{listener=\"systemd:test\",names=\"a.example b.example\"}";
    let end = value(&text, name).expect("it is there");
    assert!(end > cloakroom::testing::clock::Timestamp::now().seconds().into(), "{end}");
}

/// The line of the log that says where it listens.
fn address(proxy: &Cloakroom) -> SocketAddr {
    let log = proxy.log();
    let line = log
        .lines()
        .find_map(|line| line.split_once("the admin address is open address=http://"))
        .expect("it says where");
    line.1.trim().parse().expect("an address")
}

fn by_tcp(at: SocketAddr, host: &str) -> Response {
    let mut wire = Wire::patient(TcpStream::connect(at).expect("it listens"));
    wire.send(format!("GET /livez HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    wire.answer(false)
}

#[test]
fn by_tcp_it_answers_who_asks_by_address_alone() {
    let app = App::scripted();
    let proxy = Cloakroom::before(app.address).config("[admin]\naddress = \"127.0.0.1:0\"").start();
    let at = address(&proxy);
    assert_eq!(by_tcp(at, &at.to_string()).status, 200);
    assert_eq!(by_tcp(at, "localhost:9900").status, 200);
    assert_eq!(by_tcp(at, "evil.example").status, 421);
    assert_eq!(
        by_tcp(proxy.address, &at.to_string()).header("content-security-policy"),
        None,
        "not on the public address"
    );
}

#[test]
fn an_operator_sees_how_it_is_and_has_it_reload() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = proxy(&app, folder.path(), "");
    proxy.browser().answered("/", &["X-Session-Set-A: 1"]);
    let (fine, text) = proxy.verb(&["status"]);
    assert!(
        fine && text.contains("ready         yes") && text.contains("listening on  systemd:test"),
        "{text}"
    );
    assert!(text.contains("(memory)"), "{text}");
    let (fine, text) = proxy.verb(&["status", "--json"]);
    let (_, _, text_of_file) = ask(folder.path(), "GET /api/config");
    assert!(text_of_file.contains("[upstreams.app]"), "{text_of_file}");
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(fine && status["ready"] == true && status["store"]["kind"] == "memory", "{text}");
    assert_eq!(proxy.verb(&["reload"]), (true, "reloaded\n".to_owned()));
    let edit = |with: &str| {
        let text = fs::read_to_string(proxy.file()).expect("its file");
        fs::write(proxy.file(), text + with).expect("its file");
    };
    edit("[limits]\nhead_bites = 1\n");
    let broken = fs::read_to_string(proxy.file()).expect("its file");
    let reload = ask(folder.path(), "POST /api/reload");
    assert!(
        reload.0 == 403 && reload.2.contains("x-cloakroom-admin"),
        "a form of another site could send that: {}",
        reload.2
    );
    // The verb reads the file too, to know whom to ask: as it was.
    fs::write(proxy.file(), broken.replace("head_bites", "head_bytes").replace("= 1\n", "= \"8 KiB\"\n"))
        .expect("its file");
    assert!(proxy.verb(&["reload"]).0);
    edit("[sesion]\n");
    let (fine, text) = proxy.verb(&["reload"]);
    assert!(!fine && text.contains("sesion"), "{text}");
    let mut stream = UnixStream::connect(folder.path().join("admin.sock")).expect("a socket");
    stream
        .write_all(b"POST /api/reload HTTP/1.0\r\nhost: a\r\nx-cloakroom-admin: 1\r\n\r\n")
        .expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(
        text.starts_with("HTTP/1.0 422") && text.contains("no such key") || text.contains("unknown key"),
        "{text}"
    );
    assert!(
        proxy.log().contains("act=\"reload\"") && proxy.log().contains("outcome=\"refused\""),
        "{}",
        proxy.log()
    );
}

#[test]
fn who_is_revoked_is_logged_out_and_no_value_is_ever_shown() {
    let app = App::scripted();
    let state = tempfile::tempdir().expect("a folder");
    for store in ["[store]\nkind = \"memory\"\n".to_owned(), on_disk(state.path())] {
        let folder = tempfile::tempdir().expect("a folder");
        let proxy = proxy(&app, folder.path(), &store);
        let mut visitors: Vec<_> = (0..3).map(|_| proxy.browser()).collect();
        for visitor in &mut visitors {
            visitor.answered("/", &["X-Session-Principal: zo%C3%AB", "X-Session-Set-Cart: secret-value"]);
        }
        let id = visitors[0].get("/").told("id").expect("an id");
        let page = |more: &[&str]| proxy.verb(&[&["sessions", "list", "--limit", "2"], more].concat()).1;
        let first = page(&[]);
        let next = first
            .lines()
            .find_map(|line| line.strip_prefix("more: --after "))
            .expect("there are three")
            .to_owned();
        let second = page(&["--after", &next]);
        let rows = |text: &str| text.lines().filter(|line| line.contains("zoë  host:127.0.0.1")).count();
        assert_eq!((rows(&first), rows(&second)), (2, 1), "{first}{second}");
        assert!(!second.contains("more"), "{second}");
        let (fine, text) = proxy.verb(&["sessions", "show", &id]);
        assert!(fine && text.contains("principal  zoë") && text.contains("cart   12"), "{text}");
        assert!(!text.contains("secret-value"), "{text}");
        let realm = "host:127.0.0.1";
        let whose = ["--principal", "zoë", "--realm", realm];
        let (fine, text) = proxy.verb(&[&["sessions", "list"], &whose[..]].concat());
        assert!(fine && text.lines().count() == 4 && text.contains(&id), "{text}");
        assert_eq!(proxy.verb(&["sessions", "revoke", &id]), (true, "1 session ended\n".to_owned()));
        assert_eq!(visitors[0].shown(), "");
        assert_eq!(visitors[1].shown(), "cart=secret-value principal=zo%C3%AB");
        let (fine, text) = proxy.verb(&["sessions", "revoke", &id]);
        assert!(!fine && text.contains("no such session"), "{text}");
        assert_eq!(
            proxy.verb(&[&["sessions", "revoke"], &whose[..]].concat()),
            (true, "2 sessions ended\n".to_owned())
        );
        assert_eq!((visitors[1].shown(), visitors[2].shown()), (String::new(), String::new()));
        assert_eq!(proxy.verb(&[&["sessions", "list"], &whose[..]].concat()).1, "none\n");
        let log = proxy.log();
        assert!(log.contains("act=\"revoke\"") && log.contains(&id) && log.contains("who=user "), "{log}");
    }
}

#[test]
fn admin_api_by_tcp_wants_its_token() {
    let app = App::scripted();
    let state = tempfile::tempdir().expect("a folder");
    let port = Port::reserve();
    let config = format!("[admin]\naddress = \"{}\"\n{}", port.address, on_disk(state.path()));
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let get = |head: &str| {
        let mut wire = Wire::patient(TcpStream::connect(port.address).expect("it listens"));
        wire.send(format!("GET /api/status HTTP/1.1\r\nhost: {}\r\n{head}\r\n", port.address));
        wire.answer(false)
    };
    let refused = get("");
    assert_eq!((refused.status, refused.header("www-authenticate").as_deref()), (401, Some("Bearer")));
    assert_eq!(refused.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(get("authorization: Bearer wrong\r\n").status, 401);
    let file = state.path().join("admin-token");
    assert_eq!(fs::metadata(&file).expect("a token").permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).expect("a token");
    assert_eq!(get(&format!("authorization: Bearer {}\r\n", token.trim())).status, 200);
    let (fine, text) = proxy.verb(&["status"]);
    assert!(fine && text.contains("(disk)"), "{text}");
}

#[test]
fn where_nobody_listens_the_command_line_says_so() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let mut gone = proxy(&app, folder.path(), "");
    gone.terminate();
    gone.exit();
    let (fine, text) = gone.verb(&["status"]);
    assert!(
        !fine && text.contains("no cloakroom answers on unix:") && text.contains("is it running"),
        "{text}"
    );
    let off = Cloakroom::before(app.address).config("[admin]\naddress = \"off\"").start();
    assert!(off.verb(&["status"]).1.contains("is \"off\""));
}

#[test]
fn sessions_that_travel_are_nobodys_to_revoke() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("[store]\nkind = \"cookie\"\n[keys]\ncurrent = {}\n", key(folder.path(), "key"));
    let proxy = proxy(&app, folder.path(), &store);
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Principal: alice"]);
    let id = visitor.get("/").told("id").expect("an id");
    let (fine, text) = proxy.verb(&["sessions", "revoke", &id]);
    assert!(!fine && text.contains("visitors carry their sessions"), "{text}");
}

/// A monitor asks while somebody holds connections that say nothing.
#[test]
fn idle_connections_do_not_hold_up_the_sign_of_life() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = proxy(&app, folder.path(), "");
    let socket = folder.path().join("admin.sock");
    let idle: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).expect("it listens")).collect();
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(folder.path(), &format!("GET {path}")).0, 200);
    }
    // They are closed, since no head came.
    for mut stream in idle {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    }
    drop(proxy);
}

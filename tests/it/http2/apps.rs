//! Apps that are spoken to in HTTP/2: what they get, what comes back, and over which connections.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};

use crate::support::http2::{DATA, GOAWAY, HEADERS, Http2, frame, whole};
use crate::support::http2_app::{Heard, Http2App, Said, before};
use crate::support::tunnel::ASKS;
use crate::support::{Authority, Cloakroom, Framing, Gate, RawUpstream, eventually};

fn echo(heard: &Heard) -> Said {
    Said::text(heard.body.clone())
}

#[test]
fn the_app_is_asked_as_http2_asks_and_has_its_session() {
    let app = Http2App::start(|heard| match heard.head.uri.path() {
        "/set" => Said::text("ok").with("x-session-set-cart", "3"),
        path => Said::text(path.to_owned()),
    });
    let proxy = before(app.address, "", "");
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/set").text(), "ok");
    let answer = visitor.post("/a?b=c", "body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "/a"));
    assert_eq!(answer.header("x-session-set-cart"), None);
    let asked = app.last();
    assert_eq!(asked.head.method, Method::POST);
    assert_eq!(asked.head.uri.to_string(), format!("http://{}/a?b=c", proxy.address));
    for (name, wanted) in [
        ("x-session-cart", "3"),
        ("x-session-state", "active"),
        ("via", "1.1 cloakroom"),
        ("content-length", "4"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(asked.all(name), [wanted], "{name}");
    }
    for name in ["host", "connection", "te", "transfer-encoding", "cookie"] {
        assert!(asked.all(name).is_empty(), "{name}: {asked:?}");
    }
}

#[test]
fn bodies_and_trailers_pass_either_way() {
    let app = Http2App::start(|heard| {
        let sum = heard.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
        let sum = sum.map_or("none", |sum| sum.to_str().unwrap());
        Said::text(heard.body.clone())
            .with("x-heard", sum)
            .ending("grpc-status", "0")
            .ending("x-session-principal", "root")
            .ending("set-cookie", "a=1")
    });
    let proxy = before(app.address, "", "");
    let mut visitor = Http2::dial(proxy.address);
    let request = Request::post("http://a/").header("te", "trailers").body(()).unwrap();
    let (answer, mut send) = visitor.begin(request, false).unwrap();
    send.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    trailers.insert("x-session-principal", HeaderValue::from_static("root"));
    send.send_trailers(trailers).unwrap();
    let answer = visitor.run(whole(answer)).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.headers.get("x-heard").unwrap(), "5");
    let trailers = answer.trailers.unwrap();
    assert_eq!(trailers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["grpc-status"]);
    let asked = app.last();
    assert_eq!((asked.all("te"), asked.all("content-length")), (vec!["trailers".to_owned()], vec![]));
    assert_eq!(asked.trailers.unwrap().len(), 1);

    let mut wire = proxy.dial();
    wire.send("POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n");
    wire.send("5\r\nagain\r\n0\r\nx-sum: 6\r\n\r\n");
    let head = wire.answer_head();
    assert_eq!((head.status, head.header("x-heard").as_deref()), (200, Some("6")));
    assert_eq!(wire.body(Framing::Chunked).unwrap(), b"again");
    assert_eq!(wire.trailers, [("grpc-status".to_owned(), b"0".to_vec())]);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let app = Http2App::start(|heard| match heard.head.uri.path() {
        "/none" => Said::text("").status(204),
        "/same" => Said::text("").status(304).with("etag", "\"a\""),
        "/length" => Said::text("").with("content-length", "7"),
        _ => Said::text(""),
    });
    let proxy = before(app.address, "", "");
    let mut wire = proxy.dial();
    for (method, path, status, length) in [
        ("GET", "/none", 204, None),
        ("GET", "/same", 304, None),
        ("HEAD", "/length", 200, Some("7")),
        ("GET", "/", 200, None),
    ] {
        wire.send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let answer = wire.answer(method == "HEAD");
        assert_eq!((answer.status, answer.text().as_str()), (status, ""), "{path}");
        if length.is_some() {
            assert_eq!(answer.header("content-length").as_deref(), length, "{path}");
        }
    }
}

#[test]
fn large_bodies_pass_whole_either_way_by_tls_or_in_the_clear() {
    let authority = Authority::new();
    authority.issue("app", &["127.0.0.1"]);
    let tls = authority.server_of("app", &["h2"]);
    let secure = Http2App::taking(100, Some(tls), echo);
    let houses = [
        before(Http2App::start(echo).address, "", ""),
        Cloakroom::before_servers(&format!("\"https://{}\"", secure.address))
            .upstream(&format!("http2 = true\ntls = {{ ca = \"{}\" }}", authority.root().display()))
            .listen("http2_prior_knowledge = true")
            .start(),
    ];
    let body: String = ('a'..='z').cycle().take(4 << 20).collect();
    for proxy in &houses {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(proxy.browser().post("/", &body).text() == body));
            }
        });
    }
    assert_eq!(secure.last().head.uri.scheme_str(), Some("https"));
}

#[test]
fn http2_app_connections_are_shared_up_to_its_limit() {
    let door = Gate::closed();
    let behind = Arc::clone(&door);
    let app = Http2App::taking(10, None, move |heard| {
        if heard.head.uri.path() == "/wait" {
            behind.pass();
        }
        Said::text("ok")
    });
    let proxy = before(app.address, "", "");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..30).map(|_| scope.spawn(|| proxy.browser().get("/wait").status)).collect();
        door.reached(30);
        door.open();
        assert!(waiting.into_iter().all(|visitor| visitor.join().unwrap() == 200));
    });
    let connections = |app: &Http2App| app.received().iter().map(|h| h.connection).collect::<BTreeSet<_>>();
    assert_eq!(connections(&app), BTreeSet::from([1, 2, 3]));
    for _ in 0..20 {
        assert_eq!(proxy.browser().get("/").status, 200);
    }
    assert_eq!(app.received().split_off(30).iter().filter(|heard| heard.connection != 1).count(), 0);
}

#[test]
fn who_does_not_read_holds_up_nobody_on_the_same_connection() {
    let app = Http2App::start(|heard| match heard.head.uri.path() {
        "/large" => Said::text(vec![b'x'; 4 << 20]),
        _ => Said::text("ok"),
    });
    let proxy = before(app.address, "", "");
    let slow: Vec<_> = (0..60)
        .map(|_| {
            let mut wire = proxy.dial();
            wire.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
            wire
        })
        .collect();
    eventually("all of them are being answered", || app.received().len() == 60);
    for _ in 0..20 {
        assert_eq!(proxy.browser().get("/").text(), "ok");
    }
    assert_eq!(app.received().iter().map(|h| h.connection).max(), Some(1));
    drop(slow);
}

#[test]
fn a_connection_that_nobody_uses_is_closed_in_order() {
    let stage = RawUpstream::open();
    let proxy = before(stage.address(), "idle_timeout = \"300ms\"", "");
    let mut wire = proxy.dial();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept().greeted();
    let (_, stream, _) = app.frame_of(HEADERS).unwrap();
    app.send([frame(HEADERS, 4, stream, &[0x88]), frame(DATA, 1, stream, b"ok")].concat());
    assert_eq!(wire.answer(false).text(), "ok");
    let (_, _, payload) = app.frame_of(GOAWAY).unwrap();
    assert_eq!(payload.get(4..8), Some(&[0, 0, 0, 0][..]), "no error");
    assert!(app.frame().is_none());
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    let door = Gate::closed();
    let behind = Arc::clone(&door);
    let app = Http2App::start(move |_| {
        behind.pass();
        Said::text("ok")
    });
    let mut proxy = before(app.address, "", "");
    let mut wire = proxy.dial();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    door.reached(1);
    proxy.terminate();
    eventually("it stops", || proxy.log().contains("stopping"));
    door.open();
    assert_eq!(wire.answer(false).text(), "ok");
    assert!(proxy.exit().success());
}

#[test]
fn a_change_of_protocol_is_no_matter_for_a_stream() {
    let app = Http2App::start(|_| Said::text("a plain page"));
    let proxy = before(app.address, "", "");
    let mut wire = proxy.dial();
    wire.send(format!("GET /ws HTTP/1.1\r\nhost: a\r\n{ASKS}\r\n"));
    let answer = wire.answer(false);
    assert_eq!((answer.status, answer.text().as_str()), (200, "a plain page"));
    assert!(app.last().all("upgrade").is_empty());
}

#[test]
fn health_checks_speak_it_as_well() {
    let app = Http2App::start(|heard| match heard.head.uri.path() {
        "/healthz" => Said::text("no").status(503),
        _ => Said::text("ok"),
    });
    let health = "health = { path = \"/healthz\", interval = \"100ms\", fall = 2 }";
    let proxy = before(app.address, health, "");
    eventually("it is found unwell", || proxy.log().contains("it answered 503"));
    let asked = app.last();
    assert_eq!(asked.all("user-agent"), ["cloakroom (health check)"]);
}

const HEALTH: &str =
    "health = { path = \"/grpc.health.v1.Health/Check\", interval = \"100ms\", rise = 1, fall = 1 }";

#[test]
fn a_grpc_service_is_asked_for_its_health_as_grpc_asks() {
    let says = Arc::new(Mutex::new((vec![0, 0, 0, 0, 2, 8, 1], "0")));
    let said = Arc::clone(&says);
    let app = Http2App::start(move |heard| {
        assert_eq!(heard.head.uri.path(), "/grpc.health.v1.Health/Check");
        let (body, status) = said.lock().unwrap().clone();
        Said::text(body).with("content-type", "application/grpc").ending("grpc-status", status)
    });
    let proxy = before(app.address, HEALTH, "");
    eventually("it is asked", || app.received().len() > 2);
    let asked = app.last();
    assert_eq!((asked.head.method.clone(), asked.body.as_slice()), (Method::POST, &[0; 5][..]));
    assert_eq!(
        (asked.all("content-type"), asked.all("te")),
        (vec!["application/grpc".into()], vec!["trailers".into()])
    );
    assert!(!proxy.log().contains("health checks"), "{}", proxy.log());
    for (round, (body, status, told)) in [
        (vec![0, 0, 0, 0, 2, 8, 2], "0", "it says that it is not serving"),
        (vec![], "12", "it has no service grpc.health.v1.Health"),
    ]
    .into_iter()
    .enumerate()
    {
        *says.lock().unwrap() = (body, status);
        eventually(told, || proxy.log().contains(told));
        *says.lock().unwrap() = (vec![0, 0, 0, 0, 2, 8, 1], "0");
        eventually("it is well again", || proxy.log().matches("used again").count() == round + 1);
    }
}

/// Google's own gRPC, its service and its client.
fn grpc(script: &str, arguments: &[&str]) -> Command {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = format!("{root}/target/peers-venv/bin/python");
    assert!(
        std::path::Path::new(&python).exists(),
        "no gRPC here: `python3 -m venv target/peers-venv && target/peers-venv/bin/pip install grpcio`"
    );
    let mut command = Command::new(python);
    command.arg(format!("{root}/tests/apps/{script}")).args(arguments);
    command
}

#[test]
fn grpc_passes_with_everything_that_it_can_do() {
    let authority = Authority::new();
    authority.issue("app", &["127.0.0.1"]);
    authority.issue("shop", &["localhost"]);
    let (pem, key) = (authority.path("app.pem"), authority.path("app.key"));
    let root = authority.root().display().to_string();
    for secure in [false, true] {
        let files = [pem.to_str().unwrap(), key.to_str().unwrap()];
        let mut service = grpc("grpc_app.py", if secure { &files } else { &[] });
        let mut service = service.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        let mut said = service.stdout.take().unwrap();
        while !port.ends_with('\n') {
            let mut byte = [0];
            said.read_exact(&mut byte).unwrap();
            port.push(char::from(byte[0]));
        }
        let scheme = if secure { "https" } else { "http" };
        let plan = Cloakroom::before_servers(&format!("\"{scheme}://127.0.0.1:{}\"", port.trim()))
            .upstream(&format!("http2 = true\ntls = {{ ca = \"{root}\" }}\n{HEALTH}"))
            .config("[[routes]]\nupstream = \"app\"\nsession = \"off\"");
        // The visitor's side the other way round.
        let listen =
            if secure { "http2_prior_knowledge = true".to_owned() } else { authority.toml(&["shop"]) };
        let proxy = plan.listen(&listen).start();
        let target = format!("localhost:{}", proxy.address.port());
        let mut arguments = vec![target.as_str()];
        if !secure {
            arguments.push(&root);
        }
        let output = grpc("grpc_client.py", &arguments).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done", "{secure}: {output:?}");
        assert!(!proxy.log().contains("health checks fail"), "{}", proxy.log());
        // Its standard input ends, and so does it.
        drop(service.stdin.take());
        service.wait().unwrap();
    }
}

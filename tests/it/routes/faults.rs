//! An app that fails: what the visitor gets, what the operator reads, and what is tried again.

use std::collections::BTreeMap;
use std::thread;

use crate::support::{App, Browser, Cloakroom, Ending, Port, RawUpstream, Reply, Request, eventually};

const ONE_WORKER: &str = "[process]\nworkers = 1";

/// The status that a GET gets.
fn status(proxy: &Cloakroom) -> u16 {
    proxy.browser().get("/").status
}

#[test]
fn refused_connection_is_a_502_explained_in_the_log() {
    let port = Port::reserve();
    let proxy = Cloakroom::before(port.address).upstream("connect_timeout = \"300ms\"").start();
    let answer = proxy.browser().get("/secret?x=1");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let port = port.address.port().to_string();
    let shown = format!("{:?}{}", answer.headers, answer.text()).to_lowercase();
    for word in [port.as_str(), "127.0.0.1", "refused", "connect", "upstream", "cloakroom/"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
    let log = proxy.log();
    let line = log.lines().find(|line| line.contains("status=502")).unwrap_or_else(|| panic!("no line"));
    assert!(line.contains(&port) && line.to_lowercase().contains("refused"), "{line}");
}

#[test]
fn a_fault_is_told_in_the_form_that_the_visitor_accepts() {
    let port = Port::reserve();
    let proxy = Cloakroom::before(port.address).upstream("connect_timeout = \"100ms\"").start();
    for (accept, kind) in [
        ("application/json", "application/problem+json"),
        ("application/problem+json, */*;q=0.1", "application/problem+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
    ] {
        let answer = proxy.browser().get_with("/", &format!("accept: {accept}\r\n"));
        assert_eq!(answer.header("content-type").as_deref(), Some(kind), "{accept}");
        assert!(answer.text().contains("502"), "{}", answer.text());
    }
}

#[test]
fn an_app_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).upstream("first_byte_timeout = \"300ms\"").start();
    for half in ["", "HTTP/1.1 200 OK\r\ncontent-"] {
        let mut visitor = proxy.dial();
        visitor.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(half);
        assert_eq!(visitor.answer(false).status, 504, "{half}");
        assert_eq!(app.ending(), Ending::Over, "the app is left");
    }
    assert!(proxy.log().contains(&stage.address().to_string()), "the log names the server");
}

#[test]
fn an_app_that_stalls_within_its_answer_is_cut_off() {
    let stage = RawUpstream::open();
    let routes = "[[routes]]\nupstream = \"app\"\nresponse_idle_timeout = \"300ms\"";
    let proxy = Cloakroom::before(stage.address()).config(routes).start();
    let mut visitor = proxy.dial();
    visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
    assert_eq!(visitor.answer_head().status, 200);
    assert_eq!(visitor.exactly(5).unwrap(), b"hello");
    assert_eq!(visitor.ending(), Ending::Over);
    assert_eq!(app.ending(), Ending::Over);
}

#[test]
fn what_is_no_http_is_a_bad_gateway() {
    for garbage in [
        "",
        "garbage\r\n\r\n",
        "\0\0\0\0",
        "SSH-2.0-OpenSSH_9\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/7.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx y: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "<html>hello</html>",
    ] {
        let stage = RawUpstream::open();
        let proxy = Cloakroom::before(stage.address()).start();
        let mut visitor = proxy.dial();
        visitor.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send(garbage);
        drop(app);
        let answer = visitor.answer(false);
        assert_eq!(answer.status, 502, "{garbage:?}");
        assert!(!answer.text().contains("200 OK") && !answer.text().contains("hello"), "{garbage:?}");
        assert!(proxy.log().contains("status=502"), "{garbage:?}");
    }
}

#[test]
fn an_app_that_restarts_while_requests_come_is_no_bad_gateway() {
    let port = Port::reserve();
    let pulse = App::start(|_| Reply::text("alive"));
    let routes = format!(
        "{ONE_WORKER}\n[upstreams.pulse]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/pulse\"\nupstream = \"pulse\"",
        pulse.address
    );
    let proxy = Cloakroom::before(port.address).config(&routes).start();
    let mut visitor = proxy.dial();
    visitor.send("GET /before HTTP/1.1\r\nhost: a\r\n\r\n");
    let stage = port.open();
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold");
    assert_eq!(visitor.answer(false).text(), "old");
    drop((stage, app));
    let mut waiting: Vec<_> = (0..10).map(|_| proxy.dial()).collect();
    for visitor in &mut waiting {
        visitor.send("POST /gap HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
    }
    // The one worker has taken up all of those by the time it has answered these.
    for _ in 0..20 {
        assert_eq!(proxy.browser().get("/pulse").text(), "alive");
    }
    let stage = port.open();
    for _ in &waiting {
        let mut app = stage.accept();
        assert_eq!(Request::from(&mut app).body, b"hi");
        app.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nnew");
    }
    for visitor in &mut waiting {
        assert_eq!(visitor.answer(false).text(), "new");
    }
    assert!(!stage.has_guests(), "each was sent once");
}

/// An app behind a cloakroom whose one connection is in the pool, and a visitor.
fn pooled() -> (RawUpstream, Cloakroom, crate::support::Wire, crate::support::Wire) {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).config(ONE_WORKER).start();
    let mut visitor = proxy.dial();
    visitor.send("GET /first HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut app = stage.accept();
    Request::from(&mut app);
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    assert_eq!(visitor.answer(false).text(), "first");
    (stage, proxy, visitor, app)
}

const POST: &str = "POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nmoney";
const GET: &str = "GET /get HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn a_post_is_never_sent_twice() {
    // On a new connection.
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).start();
    let mut visitor = proxy.dial();
    visitor.send(POST);
    let mut app = stage.accept();
    assert_eq!(Request::from(&mut app).body, b"money");
    drop(app);
    assert_eq!(visitor.answer(false).status, 502);
    assert!(!stage.has_guests());
    // On one that has answered before, with a body and without.
    for request in [POST, "POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"] {
        let (stage, _house, mut visitor, mut app) = pooled();
        visitor.send(request);
        assert_eq!(Request::from(&mut app).path(), "/post");
        drop(app);
        assert_eq!(visitor.answer(false).status, 502);
        assert!(!stage.has_guests());
    }
}

#[test]
fn a_get_on_a_pooled_connection_that_died_is_repeated_once() {
    for answers in [true, false] {
        let (stage, _house, mut visitor, mut app) = pooled();
        visitor.send(GET);
        assert_eq!(Request::from(&mut app).path(), "/get");
        drop(app);
        let mut again = stage.accept();
        assert_eq!(Request::from(&mut again).path(), "/get");
        if answers {
            again.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain");
        }
        drop(again);
        assert_eq!(visitor.answer(false).status, if answers { 200 } else { 502 });
        assert!(!stage.has_guests(), "once, and not twice");
    }
}

#[test]
fn a_get_that_failed_on_a_new_connection_is_not_repeated() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).start();
    let mut visitor = proxy.dial();
    visitor.send(GET);
    Request::from(&mut stage.accept());
    assert_eq!(visitor.answer(false).status, 502);
    assert!(!stage.has_guests());
}

#[test]
fn post_takes_a_new_connection_if_the_pooled_one_closed() {
    let (stage, _house, mut visitor, app) = pooled();
    drop(app);
    visitor.send(POST);
    let mut app = stage.accept();
    assert_eq!(Request::from(&mut app).body, b"money");
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npaid");
    assert_eq!(visitor.answer(false).text(), "paid");
}

#[test]
fn a_server_that_is_down_is_left_out_and_the_other_takes_over() {
    let (down, up) = (Port::reserve(), App::start(|_| Reply::text("up")));
    let servers = format!("\"http://{}\", \"http://{}\"", down.address, up.address);
    let proxy = Cloakroom::before_servers(&servers).start();
    let answers: Vec<_> = (0..30).map(|_| status(&proxy)).collect();
    assert_eq!(answers, [200; 30]);
    assert_eq!(up.received().len(), 30);
    let log = proxy.log();
    let out: Vec<_> = log.lines().filter(|line| line.contains(&down.address.to_string())).collect();
    assert!(out.iter().any(|line| line.contains("not used for ten seconds")), "{out:?}");
    // A request that may not be repeated is none the worse: nothing of it was sent.
    assert_eq!(proxy.browser().post("/", "money").status, 200);
}

#[test]
fn servers_take_turns_by_weight() {
    let apps = ["a", "b", "c"].map(|name| App::start(move |_| Reply::text(name)));
    let server =
        |(app, weight): (&App, u32)| format!("{{ address = \"http://{}\", weight = {weight} }}", app.address);
    let servers: Vec<_> = apps.iter().zip([3, 2, 1]).map(server).collect();
    let proxy = Cloakroom::before_servers(&servers.join(", ")).start();
    let mut counts = BTreeMap::new();
    for _ in 0..60 {
        *counts.entry(proxy.browser().get("/").text()).or_insert(0) += 1;
    }
    assert_eq!(
        counts,
        [("a", 30), ("b", 20), ("c", 10)].map(|(name, count)| (name.to_owned(), count)).into()
    );
}

#[test]
fn an_app_on_a_unix_socket_is_asked_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let stage = RawUpstream::on(&path);
    let proxy = Cloakroom::before_servers(&format!("\"unix:{}\"", path.display())).start();
    let mut visitor = proxy.dial();
    visitor.send("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 2\r\n\r\nhi");
    let mut app = stage.accept();
    let request = Request::from(&mut app);
    assert_eq!((request.body.as_slice(), request.all("host")), (&b"hi"[..], vec!["shop.test".into()]));
    app.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(visitor.answer(false).text(), "ok");
}

#[test]
fn http2_app_stalls_one_request_and_no_other() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).config(ONE_WORKER).start();
    let mut patient = proxy.dial();
    patient.send(GET);
    let mut held = stage.accept();
    Request::from(&mut held);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut app = stage.accept();
            Request::from(&mut app);
            app.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        });
        assert_eq!(Browser::at(proxy.address).get("/").text(), "ok");
    });
    held.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
    assert_eq!(patient.answer(false).text(), "late");
    eventually("both are in the access log", || proxy.access().len() == 2);
}

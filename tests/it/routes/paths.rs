//! Which route a request takes: no spelling of a path or a host leads around the route that it names.

use crate::support::{App, Cloakroom, Reply, Response};

/// An app that answers with its own name.
fn named(name: &'static str) -> App {
    App::start(move |_| Reply::text(name))
}

/// Sends a raw head to a cloakroom.
fn ask(proxy: &Cloakroom, head: &str) -> Response {
    let mut wire = proxy.dial();
    wire.send(format!("{head}\r\n\r\n"));
    wire.answer(false)
}

/// `/x` belongs to one app, `/y` and all else to another.
fn guarded(open: &App, guarded: &App) -> Cloakroom {
    let routes = format!(
        "[upstreams.guarded]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/x\"\nupstream = \"guarded\"\n[[routes]]\npath = \"/y/z\"\nupstream = \"app\"",
        guarded.address
    );
    Cloakroom::before(open.address).config(&routes).start()
}

/// What an app, or a server before it, may read as `/x` or below.
const SPELLINGS: [&str; 65] = [
    "/x",
    "/x/",
    "/x/y",
    "/x?q=/../",
    "/x#f",
    "//x",
    "///x",
    "//x//",
    "/%78",
    "/%78/",
    "/%78?",
    "/./x",
    "/././x",
    "/.//x",
    "/x/.",
    "/x/./y",
    "/y/../x",
    "/y/z/../../x",
    "/y/./../x",
    "/y//../x",
    "/../x",
    "/../../x",
    "/%2e/x",
    "/%2E/x",
    "/%2e%2e/x",
    "/y/%2e%2e/x",
    "/y/.%2e/x",
    "/y/%2E./x",
    "\\x",
    "/\\x",
    "\\\\x",
    "/x\\y",
    "/y\\..\\x",
    "/y/..\\x",
    "/x;y",
    "/x;y=1/z",
    "/;/x",
    "/;a/x",
    "/.;/x",
    "/y/..;/x",
    "/y/..;a=b/x",
    "/%2e;/x",
    "/%2fx",
    "/%2Fx",
    "/%5cx",
    "/%5Cx",
    "/x%2fy",
    "/x%5cy",
    "/x%00",
    "/x%00.css",
    "/y%2f..%2fx",
    "/y/..%2fx",
    "/y%5c..%5cx",
    "/x/../y/../x",
    "/x/..;/x",
    "/x/%2e%2e/x",
    "http://host/x",
    "http://host//x",
    "http://host/%78",
    "http://host/y/../x",
    "http://host/y/..;/x",
    "HTTP://HOST/x",
    "http://host:80/x",
    "http://user@host/x",
    "/x\u{e9}",
];

/// Below `/x` by one reading and not by another: never the open app's.
const TORN: [&str; 9] = [
    "/x/../",
    "/x/..",
    "/x/../y",
    "/x/%2e%2e/y",
    "/x/..;/y",
    "/x/..%2fy",
    "/x\\..\\y",
    "/x%2f..",
    "/x%00/../y",
];

#[test]
fn guarded_path_spellings_never_reach_the_open_app() {
    let (open, closed) = (named("open"), named("guarded"));
    let proxy = guarded(&open, &closed);
    let mut wrong = Vec::new();
    for target in SPELLINGS.iter().chain(&TORN) {
        let answer = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: host"));
        let fine = matches!((answer.status, answer.text().as_str()), (200, "guarded") | (400 | 404, _));
        if !fine {
            wrong.push((target, answer.status, answer.text()));
        }
    }
    assert_eq!(wrong, []);
    assert_eq!(open.received().len(), 0);
    assert!(closed.received().len() > 10, "only {} reached the guarded app", closed.received().len());
}

#[test]
fn lookalikes_of_a_guarded_path_stay_open() {
    let (open, closed) = (named("open"), named("guarded"));
    let proxy = guarded(&open, &closed);
    for target in
        ["/", "/xy", "/x.css", "/y/x", "/%79/x", "/y/z/x", "/y?x=/x", "/y%20x", "/y;x", "//y", "/%zz"]
    {
        let answer = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: host"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "open"), "{target}");
    }
}

#[test]
fn the_target_reaches_the_app_as_it_came() {
    let (open, closed) = (named("open"), named("guarded"));
    let proxy = guarded(&open, &closed);
    for (target, forwarded) in [
        ("/x//y", "/x//y"),
        ("/x/%79%C3%A9?a=%20b&c", "/x/%79%C3%A9?a=%20b&c"),
        ("/x/./y/../z", "/x/./y/../z"),
        ("/x/y;v=1", "/x/y;v=1"),
        ("/x?", "/x?"),
        ("/x#fragment", "/x"),
        ("http://other:81/x?q", "/x?q"),
    ] {
        assert_eq!(ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: host")).status, 200, "{target}");
        assert_eq!(closed.last().path(), forwarded, "{target}");
    }
}

#[test]
fn a_route_that_ignores_case_guards_every_case() {
    let (open, closed) = (named("open"), named("guarded"));
    let routes = format!(
        "[upstreams.guarded]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/Admin\"\nignore_case = true\nupstream = \"guarded\"",
        closed.address
    );
    let proxy = Cloakroom::before(open.address).config(&routes).start();
    for target in ["/admin", "/ADMIN/x", "/aDm%49n", "//aDMIN", "/y/../ADMIN"] {
        let answer = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: host"));
        assert!(answer.text() == "guarded" || answer.status == 400, "{target}: {}", answer.text());
    }
    assert_eq!(open.received().len(), 0);
}

#[test]
fn case_sensitive_paths_are_told_apart() {
    let (open, closed) = (named("open"), named("guarded"));
    for (key, wanted) in [("", (400, "")), ("ignore_case = false\n", (200, "open"))] {
        let routes = format!(
            "[upstreams.guarded]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
             [[routes]]\npath = \"/Admin\"\n{key}upstream = \"guarded\"",
            closed.address
        );
        let proxy = Cloakroom::before(open.address).config(&routes).start();
        let answer = ask(&proxy, "GET /admin HTTP/1.1\r\nhost: host");
        assert_eq!(answer.status, wanted.0, "{key}");
        assert!(wanted.0 != 200 || answer.text() == wanted.1, "{key}");
    }
}

#[test]
fn the_most_specific_host_wins_and_then_the_longest_prefix() {
    let (any, below, exact, deep) = (named("any"), named("below"), named("exact"), named("deep"));
    let routes = format!(
        "[upstreams.below]\nservers = [\"http://{}\"]\n[upstreams.exact]\nservers = [\"http://{}\"]\n\
         [upstreams.deep]\nservers = [\"http://{}\"]\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/deep/er\"\nupstream = \"deep\"\n[[routes]]\nhost = \"*.example.com\"\nupstream = \"below\"\n\
         [[routes]]\nhost = \"shop.example.com\"\nupstream = \"exact\"\n\
         [[routes]]\nhost = \"shop.example.com\"\npath = \"/deep\"\nupstream = \"deep\"",
        below.address, exact.address, deep.address
    );
    let proxy = Cloakroom::before(any.address).config(&routes).start();
    for (host, path, wanted) in [
        ("else.test", "/", "any"),
        ("example.com", "/", "any"),
        ("notexample.com", "/", "any"),
        ("a.example.com", "/", "below"),
        ("a.b.example.com", "/deep/er", "below"),
        ("shop.example.com", "/", "exact"),
        ("SHOP.Example.com:8080", "/", "exact"),
        ("shop.example.com.", "/", "exact"),
        ("shop.example.com", "/deep/x", "deep"),
        ("shop.example.com", "/deeper", "exact"),
        ("else.test", "/deep/er", "deep"),
        ("else.test", "/deep/er/x", "deep"),
        ("else.test", "/deep/err", "any"),
        ("else.test", "/deep", "any"),
        ("127.0.0.1:1", "/", "any"),
        ("[::1]:8080", "/", "any"),
    ] {
        let answer = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nhost: {host}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, wanted), "{host}{path}");
    }
    assert_eq!(ask(&proxy, "GET / HTTP/1.0").text(), "any", "HTTP/1.0 knows no Host");
}

#[test]
fn what_no_route_speaks_of_is_not_found() {
    let app = named("app");
    let routes = "[[routes]]\nhost = \"a.test\"\npath = \"/x\"\nupstream = \"app\"";
    let proxy = Cloakroom::before(app.address).config(routes).start();
    for (host, path, status) in
        [("a.test", "/x", 200), ("a.test", "/", 404), ("a.test", "/xy", 404), ("b.test", "/x", 404)]
    {
        let answer = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nx-forwarded-host: a.test"));
        assert_eq!(answer.status, status, "{host}{path}");
    }
    assert_eq!(app.received().len(), 1);
}

#[test]
fn a_request_without_one_good_host_is_refused() {
    let app = named("app");
    let proxy = Cloakroom::before(app.address).start();
    for lines in [
        "x: y",
        "host: a\r\nhost: a",
        "host: a\r\nHOST: b",
        "host: a b",
        "host: a, b",
        "host: a/b",
        "host: a\\b",
        "host: a:port",
        "host: a:1:2",
        "host: a:123456",
        "host: user@a",
        "host: a?b",
        "host: a#b",
        "host: [::1",
        "host: [x]",
        "host: <a>",
        "host: a%",
        "host: \u{e9}.test",
    ] {
        assert_eq!(ask(&proxy, &format!("GET / HTTP/1.1\r\n{lines}")).status, 400, "{lines}");
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn the_host_of_an_absolute_target_wins_over_the_header() {
    let (open, closed) = (named("open"), named("guarded"));
    let routes = format!(
        "[upstreams.guarded]\nservers = [\"http://{}\"]\n[[routes]]\nhost = \"open.test\"\nupstream = \"app\"\n\
         [[routes]]\nhost = \"guarded.test\"\nupstream = \"guarded\"",
        closed.address
    );
    let proxy = Cloakroom::before(open.address).config(&routes).start();
    let answer = ask(&proxy, "GET http://guarded.test:81/p HTTP/1.1\r\nhost: open.test");
    assert_eq!((answer.status, answer.text().as_str()), (200, "guarded"));
    assert_eq!(closed.last().path(), "/p");
    assert_eq!(closed.last().all("host"), ["guarded.test:81"]);
    assert_eq!(open.received().len(), 0);
}

#[test]
fn a_target_that_is_neither_path_nor_url_is_refused() {
    let app = named("app");
    let proxy = Cloakroom::before(app.address).start();
    let targets =
        ["x", "other.test", "other.test:80", "*", "x/y", "?q", "#f", "http:/x", "http://", "file:///x"];
    let answers =
        targets.map(|target| (target, ask(&proxy, &format!("GET {target} HTTP/1.1\r\nhost: a")).status));
    let asked: Vec<_> = app.received().into_iter().map(|request| request.start).collect();
    assert_eq!((answers, asked), (targets.map(|target| (target, 400)), Vec::new()));
}

#[test]
fn options_for_the_whole_server_reach_the_app_as_such() {
    let app = named("app");
    let proxy = Cloakroom::before(app.address).start();
    let answer = ask(&proxy, "OPTIONS * HTTP/1.1\r\nhost: a.test");
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    assert_eq!(app.last().start, "OPTIONS * HTTP/1.1");
}

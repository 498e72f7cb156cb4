//! Names that a rule takes from browsers: none of them reaches the app, however it is spelt and wherever it is asked for.

use crate::support::{App, Browser, Cloakroom, line};

const KEEP: &str = "[[cookies]]\nname = \"k*\"\naction = \"keep\"\n";

fn set(visitor: &mut Browser, text: &str) {
    let answer = visitor.get_with("/", &line(text));
    assert_eq!((answer.status, answer.set_cookies().concat().contains(text)), (200, false), "{text}");
}

#[test]
fn browser_cookies_under_kept_names_never_pass() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address).config(KEEP).start();
    // Names that an app was seen to set, for whomever.
    for text in ["k1=other", "k2=other", "k3=other"] {
        set(&mut proxy.browser(), text);
    }
    let mut visitor = proxy.browser();
    let forged = "cookie: k1=forged; a=1;  k2 = \"x\"\r\ncookie: k3=forged\r\n";
    assert_eq!(visitor.get_with("/", forged).text(), "a=1");
    set(&mut visitor, "k1=real");
    assert_eq!(visitor.get_with("/", forged).text(), "a=1; k1=real");
}

#[test]
fn what_the_jar_sends_no_browser_sends_beside_it() {
    let (app, other) = (App::setting(), App::setting());
    let config = format!(
        "[[cookies]]\nname = \"sid\"\naction = \"keep\"\nrequest_path = \"/shop\"\nshare = true\nupstream = \"app\"\n\
         [upstreams.other]\nservers = [\"http://{}\"]\nsession_fields = []\nsession_write = false\n\
         session_login = false\n[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/other\"\nupstream = \"other\"",
        other.address
    );
    let proxy = Cloakroom::before(app.address)
        .upstream("session_fields = [\"*\"]\nsession_write = true\nsession_login = true")
        .config(&config)
        .start();
    let mut visitor = proxy.browser();
    for path in ["/", "/other"] {
        let before = visitor.get_with(path, "cookie: a=1; sid=own\r\n");
        assert_eq!(before.text(), "a=1; sid=own", "{path}: nothing is kept under the name");
    }
    visitor.get_with("/shop", &line("sid=real; Path=/"));
    let cookies = format!("{}; sid=evil; SID=evil; a=1; b=2 sid=evil; c=3", visitor.lines().trim_end());
    for path in ["/shop", "/", "/other"] {
        let head = format!("GET {path} HTTP/1.1\r\n{cookies}\r\n\r\n");
        assert_eq!(visitor.send_raw(head.as_bytes()).text(), "a=1; c=3; sid=real", "{path}");
    }
}

#[test]
fn ambiguous_path_passes_no_cookie_rule() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"p\"\naction = \"pass\"\nrequest_path = \"/open\"\n\
                  [[cookies]]\nname = \"*\"\naction = \"keep\"\nrequest_path = \"/shop\"\n\
                  [[cookies]]\nname = \"p\"\naction = \"drop\"";
    let proxy = Cloakroom::before(app.address).config(config).start();
    let mut visitor = proxy.browser();
    let passes = |visitor: &mut Browser, path: &str, text: &str| {
        let answer = visitor.get_with(path, &line(text));
        answer.set_cookies().iter().any(|line| line.starts_with(text))
    };
    for path in [
        "/shop",
        "/shop%2Fx",
        "/shop%5cx",
        "/shop%00",
        "/a/..%2Fshop",
        "/%73hop/",
        "//shop",
        "/x/%2e%2e/shop",
        "/SHOP",
        "/%53hop/x",
        "//x/shop",
        "///u@x:80/shop",
        "/\\x/shop",
        "http://shop.test//x/shop",
        "/shop%3bx",
        "/x/..%3B/shop",
        "/shop%3fx",
    ] {
        assert!(!passes(&mut visitor, path, "sid=secret"), "{path}");
        let answer = visitor.get_with(path, "cookie: sid=evil; a=1\r\n");
        assert!(!answer.text().contains("evil"), "{path}: {}", answer.text());
    }
    assert!(passes(&mut visitor, "/shopping", "sid=1"));
    assert!(passes(&mut visitor, "/open/x", "p=1"));
    for path in ["/open%2F..%2Fx", "/open/..%2Fx", "/open/%2e%2e%5Cx", "/OPEN/x", "//x/open", "/open/..%3b/x"]
    {
        assert!(!passes(&mut visitor, path, "p=1"), "{path}");
    }
}

#[test]
fn what_some_app_would_read_as_a_kept_cookie_never_reaches_it() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"lang\"\naction = \"pass\"\n\
                  [[cookies]]\nname = \"sid\"\naction = \"keep\"\n\
                  [[cookies]]\nname = \"my.sid\"\naction = \"keep\"\n\
                  [[cookies]]\nname = \"token\"\nrename = \"coat-*\"";
    let proxy = Cloakroom::before(app.address).config(config).start();
    let mut visitor = proxy.browser();
    set(&mut visitor, "sid=real; Path=/");
    for (forged, wanted) in [
        ("a=1; secure sid=evil", "a=1; sid=real"),
        ("a=1; HttpOnly sid=evil", "a=1; sid=real"),
        ("lang=fr sid=evil", "sid=real"),
        ("coat-token=1 sid=evil", "sid=real"),
        ("sid", "sid=real"),
        ("+sid=evil; ++sid=evil; %20+sid=evil; +%73id=evil; +sid[a]=evil", "sid=real"),
        ("my_sid=evil", "sid=real"),
        ("SID=evil; Token=evil", "sid=real"),
        ("a=1; $x sid=evil; b", "a=1; b; sid=real"),
        ("a{sid=evil; b:sid=evil; c/sid=evil; d@sid=evil; e(sid=evil; f\\sid=evil", "sid=real"),
        ("a\"sid=evil; b=\"x\"sid=evil; =sid=evil; c\u{a0}sid=evil", "sid=real"),
        ("lang=fr; coat-token=1; side=b; a=sid", "lang=fr; token=1; side=b; a=sid; sid=real"),
    ] {
        let cookies = [visitor.lines().trim_end(), "; ", forged, "\r\n"].concat();
        let answer = visitor.send_raw(format!("GET / HTTP/1.1\r\n{cookies}\r\n").as_bytes());
        assert_eq!(answer.text(), wanted, "{forged}");
    }
}

#[test]
fn a_request_full_of_names_is_answered_like_any_other() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"*sess*\"\naction = \"keep\"\n\
                  [[cookies]]\nname = \"sid\"\nrename = \"coat-*\"";
    let proxy = Cloakroom::before(app.address).config(config).start();
    for unit in ["\u{a0}=", "a=", "%=", ".=", "{a="] {
        let cookies = ["x ", &unit.repeat(15_900 / unit.len())].concat();
        let head = format!("GET / HTTP/1.1\r\nhost: a.test\r\ncookie: {cookies}\r\n\r\n");
        assert_eq!(proxy.browser().send_raw(head.as_bytes()).status, 200, "{unit}");
    }
}

//! `cloakroom explain`: what would become of a request, told without an app.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::process::{Command, Output};

const CONFIG: &str = r#"
[[listen]]
address = "127.0.0.1:1"
[upstreams.app]
servers = ["http://127.0.0.1:2"]
proof = { env = "PROOF" }
[[routes]]
upstream = "app"
[[routes]]
path = "/private"
upstream = "app"
require = "principal"
on_unauthorized = "/login"
"#;

fn explain(request: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("config.toml"), CONFIG).unwrap();
    fs::write(path("request"), request).unwrap();
    Command::new(env!("CARGO_BIN_EXE_cloakroom"))
        .env("PROOF", "open-sesame")
        .args(["explain", "--from", "192.0.2.7", "-c"])
        .arg(path("config.toml"))
        .arg(path("request"))
        .output()
        .unwrap()
}

fn told(request: &str) -> String {
    let output = explain(request);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_shows_what_the_app_would_get() {
    let text = told(
        "POST /cart HTTP/1.1\nHost: shop.test\nX-Session-Principal: root\nCookie: a=b; cloakroom=zzz; c=d\n\
         Connection: x-a\nX-A: 1\n\n",
    );
    for wanted in [
        "route     */ ",
        "upstream  app\n",
        "visitor   192.0.2.7 by http\n",
        "session   new: ",
        "cookie: a=MASKED; c=MASKED\n",
        "x-forwarded-for: 192.0.2.7\n",
        "x-session-state: new\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
    assert!(!text.contains("root") && !text.contains("x-a:") && !text.contains("zzz"), "{text}");
}

#[test]
fn it_shows_no_secret() {
    let text = told("GET / HTTP/1.1\nHost: a\nAuthorization: Basic c2VjcmV0\n\n");
    for wanted in ["authorization: MASKED\n", "x-session-meta-proof: MASKED\n"] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
    assert!(!text.contains("c2VjcmV0") && !text.contains("open-sesame"), "{text}");
}

#[test]
fn it_says_why_the_app_would_not_be_asked() {
    for (request, wanted) in [
        ("GET /private HTTP/1.1\nHost: a\nAccept: text/html\n\n", "303 See Other"),
        ("GET /private HTTP/1.1\nHost: a\n\n", "401 Unauthorized"),
        ("GET /private HTTP/1.1\nHost: a\n\n", "route     */private "),
        ("GET /x/../private HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        ("GET / HTTP/1.1\n\n", "no Host"),
    ] {
        let text = told(request);
        assert!(text.contains(wanted) && !text.contains("the app would get"), "{wanted:?} in\n{text}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for request in [
        "",
        "hello",
        "GET / HTTP/1.1\nHost: a\n",
        "GET / HTTP/1.1\nHost: a\nContent-Length: x\n\n",
        "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 2\n\n",
    ] {
        assert_eq!(explain(request).status.code(), Some(2), "{request:?}");
    }
}

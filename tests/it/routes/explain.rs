//! `cloakroom explain`: what would become of a request, told without an app.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::process::{Command, Output};

use crate::support::{App, Cloakroom, obey};

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
        "session   not looked at: ",
        "taken out x-session-principal: visitors may not say it",
        "taken out connection: it is between the visitor and cloakroom",
        "cookie: a=MASKED; c=MASKED\n",
        "x-forwarded-for: 192.0.2.7\n",
        "x-session-state: new\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
    assert!(!text.contains("root") && !text.contains("x-a: 1") && !text.contains("zzz"), "{text}");
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

/// A request comes under a session by the cloakroom that runs, in whichever form it is pasted; nothing is changed by it.
#[test]
fn a_running_cloakroom_tells_of_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start(|request| {
        let reply = obey(request);
        match request.path() {
            "/login" => reply.with("X-Session-Principal: alice").with("X-Session-Set-Cart: value-4711"),
            "/flash" => reply.with("X-Session-Flash-Note: hello"),
            _ => reply,
        }
    });
    let config = format!("[admin]\naddress = \"unix:{}\"", folder.path().join("admin.sock").display());
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitor = proxy.browser();
    for path in ["/", "/login", "/flash"] {
        visitor.get(path);
    }
    let (host, ticket) = (proxy.address, visitor.ticket().unwrap());
    let explain = |request: &str, more: &[&str]| {
        let file = folder.path().join("request");
        fs::write(&file, request).unwrap();
        let (done, said) = proxy.verb(&[&["explain", file.to_str().unwrap()][..], more].concat());
        assert!(done, "{said}");
        said
    };
    let raw = format!("GET /account HTTP/1.1\r\nHost: {host}\r\nCookie: a=b; cloakroom={ticket}\r\n\r\n");
    let received = app.received().len();
    for request in [
        raw.clone(),
        raw.replace(" HTTP/1.1", " HTTP/2"),
        format!(
            "> GET /account HTTP/1.1\n> Host: {host}\n> Cookie: a=b; cloakroom={ticket}\n> \n< HTTP/1.1 200 OK\n"
        ),
        format!("curl 'http://{host}/account' -H 'Cookie: a=b; cloakroom={ticket}' --compressed"),
        format!(
            ":method: GET\n:path: /account\n:authority: {host}\n:scheme: http\ncookie: a=b; cloakroom={ticket}\n"
        ),
    ] {
        let said = explain(&request, &[]);
        for wanted in [
            "ticket    ok: it is good",
            "principal alice",
            "shown     fields cart",
            "lives     until ",
            "visitor   127.0.0.1 by http",
            "x-session-cart: MASKED",
            "cookie: a=MASKED\n",
        ] {
            assert!(said.contains(wanted), "{wanted:?} in\n{said}");
        }
        assert!(
            !said.contains(&ticket)
                && !said.contains("value-4711")
                && !said.contains("value-4711")
                && !said.contains("note:"),
            "{said}"
        );
    }
    let https = explain(&raw, &["--https", "--from", "192.0.2.7", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&https).unwrap();
    assert!(https.contains("192.0.2.7 by https"), "{https}");
    assert!(json["head"].as_str().is_some_and(|head| head.contains("x-forwarded-proto: https")), "{https}");
    let forged = explain(&raw.replace(&ticket, &"A".repeat(78)), &[]);
    assert!(forged.contains("the app is told: new"), "{forged}");
    // The app was not asked, the flash waits still, and no line of the log is of any of this.
    assert_eq!(app.received().len(), received);
    assert!(!proxy.log().contains("session that is over"), "{}", proxy.log());
    visitor.get("/");
    assert_eq!(app.last().header("x-session-note").as_deref(), Some("hello"));
}

//! Clients of the command line, by https and HTTP/2.

use std::process::Command;

use crate::support::{App, Authority, Cloakroom, Reply};

fn echo() -> App {
    App::start(|request| Reply::text(request.path()))
}

#[test]
fn curl_and_python_are_content_with_the_certificate() {
    let authority = Authority::new();
    authority.issue("shop", &["localhost"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address).listen(&authority.toml(&["shop"])).start();
    let url = format!("https://localhost:{}/hello", proxy.address.port());
    let root = authority.root().display().to_string();
    let python = format!(
        "import ssl, urllib.request as u\nc = ssl.create_default_context(cafile={root:?})\nprint(u.urlopen({url:?}, context=c).read().decode())"
    );
    for command in [
        Command::new("curl").args(["-sS", "--http1.1", "--cacert", &root, &url]),
        Command::new("curl").args(["-sS", "--tls-max", "1.2", "--cacert", &root, &url]),
        Command::new("python3").args(["-c", &python]),
    ] {
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "/hello", "{output:?}");
    }
    let output =
        Command::new("curl").args(["-sS", "--tls-max", "1.1", "--cacert", &root, &url]).output().unwrap();
    assert!(!output.status.success(), "TLS 1.1 is not spoken");
}

#[test]
fn curl_nghttp_and_h2load_get_what_they_ask_for() {
    let authority = Authority::new();
    authority.issue("shop", &["localhost"]);
    let app = echo();
    let proxy = Cloakroom::before(app.address)
        .listen(&authority.toml(&["shop"]))
        .config(&format!(
            "[[listen]]\naddress = \"unix:{}\"\nhttp2_prior_knowledge = true",
            authority.path("clear").display()
        ))
        .start();
    let url = format!("https://localhost:{}/hello", proxy.address.port());
    let root = authority.root().display().to_string();
    let socket = authority.path("clear").display().to_string();
    for (program, arguments, wanted) in [
        ("curl", vec!["-sS", "--http2", "-w", " %{http_version}", "--cacert", &root, &url], "/hello 2"),
        ("curl", vec!["-sS", "--http2-prior-knowledge", "--unix-socket", &socket, "http://a/x"], "/x"),
        ("curl", vec!["-sS", "--http1.1", "--unix-socket", &socket, "http://a/y"], "/y"),
        ("nghttp", vec!["--no-verify-peer", &url], "/hello"),
    ] {
        let output = Command::new(program).args(&arguments).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), wanted, "{program}: {output:?}");
    }
    let output = Command::new("h2load").args(["-n", "2000", "-c", "5", "-m", "20", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("2000 succeeded, 0 failed, 0 errored"), "{text}");
    let text = text.lines().find(|line| line.starts_with("status codes")).unwrap();
    assert!(text.contains("2000 2xx"), "{text}");
}

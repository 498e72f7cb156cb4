//! The operator's address before a monitor and a browser.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::harness::server::Server;
use crate::harness::webdriver::Chromium;
use crate::support::{App, Browser, Cloakroom, Port, Wire, eventually, on_disk};

#[test]
fn promtool_has_nothing_to_say_and_prometheus_scrapes_it() {
    let app = App::scripted();
    let own = Port::reserve();
    let config = format!("[admin]\naddress = \"{}\"", own.address);
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Set-A: 1"]);
    let at = own.address;
    let mut wire = Wire::patient(TcpStream::connect(at).expect("it listens"));
    wire.send(format!("GET /metrics HTTP/1.1\r\nhost: {at}\r\n\r\n"));
    let text = wire.answer(false).text();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool: `apt-get install prometheus`, or run tests/run");
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    let done = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.is_empty(), "{said}\n{text}");

    let port = Port::reserve();
    let _prometheus = Server::prometheus(&port, at);
    eventually("it was scraped", || {
        let Ok(stream) = TcpStream::connect(port.address) else { return false };
        let mut wire = Wire::patient(stream);
        wire.send(format!(
            "GET /api/v1/query?query=cloakroom_requests_total HTTP/1.1\r\nhost: {}\r\n\r\n",
            port.address
        ));
        wire.answer(false).text().contains("\"route\":\"*/\"")
    });
}

#[test]
fn on_the_dashboard_an_operator_finds_a_session_and_ends_it() {
    let app = App::scripted();
    let (state, port) = (tempfile::tempdir().expect("a folder"), Port::reserve());
    let config = format!("[admin]\naddress = \"{}\"\n{}", port.address, on_disk(state.path()));
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitors: Vec<_> = (0..2).map(|_| proxy.browser()).collect();
    for visitor in &mut visitors {
        visitor.answered("/", &["X-Session-Principal: alice", "X-Session-Set-Cart: <b>42</b>"]);
    }
    let token = fs::read_to_string(state.path().join("admin-token")).expect("a token");
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", port.address));
    // By keyboard alone, as far as one types.
    browser.enter("#token", "wrong\u{e007}");
    browser.shows("#token-error", "Wrong token.");
    browser.enter("#token", &format!("{}\u{e007}", token.trim()));
    browser.shows("#state-text", "ready");
    browser.shows("#sessions-count", "2 with data");
    browser.enter("#who", "alice");
    browser.enter("#realm", "host:127.0.0.1\u{e007}");
    browser.shows("#results tbody tr:nth-child(2) td:first-child", "alice");
    assert!(
        !browser.source().contains("42&lt;/b&gt;") && !browser.source().contains("<b>42"),
        "no value is shown"
    );
    // While somebody asks, the curves move.
    let curve = "return document.querySelectorAll('#rate-chart polyline, #latency-chart polyline').length";
    eventually("the curves move", || {
        assert_eq!(visitors[0].get("/").status, 200);
        browser.run(curve) == 2
    });
    let rate = browser.run("return document.getElementById('rate').textContent").to_string();
    assert_ne!(rate, "\"0.0\"");
    let first = browser.run("return document.querySelector('#results td:nth-child(3)').textContent");
    browser.click("#results tbody tr:first-child button");
    browser.click("#confirm button[value=no]");
    let shown = |visitor: &mut Browser| visitor.get("/").told("principal");
    assert!(visitors.iter_mut().all(|visitor| shown(visitor).is_some()), "asked, and not done");
    browser.click("#results tbody tr:first-child button");
    browser.click("#confirm button[value=yes]");
    browser.shows("#found", "1 session ended.");
    let left = visitors.iter_mut().filter_map(shown).count();
    assert_eq!(left, 1, "{first} is logged out, and the other is not");
    browser.click("#reload");
    browser.shows("#reload-outcome", "reloaded");
    let styled = "return getComputedStyle(document.querySelector('section')).borderTopLeftRadius";
    assert_eq!(browser.run(styled), "10px", "its style is let in by its policy");
    browser.run("const bad = document.createElement('script'); bad.textContent = 'window.evil = 1'; document.body.append(bad)");
    assert_eq!(browser.run("return window.evil === undefined"), true, "and nothing else is");
}

//! A real browser before cloakroom: what it keeps, what it sends, what it shows to whom comes next.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::harness::server::{Server, announced, spawn, stop};
use crate::harness::webdriver::Chromium;
use crate::support::{App, Cloakroom, Port, Reply, Request, key};

/// `cloakroom demo`, as anyone would try it.
struct Demo {
    child: Child,
    address: SocketAddr,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.arg("demo").stdout(Stdio::piped());
        let mut child = spawn(&mut command, "cloakroom");
        let address = announced(child.stdout.take().expect("its words"), |line| {
            line.trim().strip_prefix("http://127.0.0.1:")?.trim_end_matches('/').parse().ok()
        });
        Self { child, address: address.expect("where it listens") }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

const LOG_IN: &str = "form[action='/login'] button";
const LOG_OUT: &str = "form[action='/logout'] button";
const VISITS: &str = ".count span";

/// Logs in on the demo's page.
fn log_in(browser: &Chromium, name: &str) {
    browser.enter("#name", name);
    browser.click(LOG_IN);
}

#[test]
fn a_browser_goes_through_the_demo() {
    let demo = Demo::start();
    let url = format!("http://{}/", demo.address);
    let browser = Chromium::start();
    browser.open(&url);
    browser.shows(VISITS, "1");
    browser.reload();
    browser.shows(VISITS, "2");
    let stranger = browser.cookies();
    log_in(&browser, "Zoë");
    browser.shows("strong", "Zoë");
    browser.shows(VISITS, "3"); // a login keeps the session
    assert_ne!(browser.cookies()[0]["value"], stranger[0]["value"], "and renews the ticket");
    // A second tab is the same visitor.
    let first = browser.tab();
    browser.click(".items li:nth-child(3) button");
    browser.shows("ol", "Umbrella");
    browser.new_tab();
    browser.open(&url);
    browser.shows("strong", "Zoë");
    browser.shows("ol", "Umbrella");
    // Who logs out in one tab is logged out in the other.
    browser.click(LOG_OUT);
    browser.shows(VISITS, "1"); // nothing of Zoë is left
    browser.switch_to(&first);
    browser.reload();
    let page = browser.source();
    assert!(!page.contains("Zoë</strong>") && !page.contains("<li>Umbrella"), "{page}");
    browser.shows(LOG_IN, "Log in");
}

#[test]
fn the_back_button_shows_nothing_of_who_logged_out() {
    let app = pages();
    let proxy = Cloakroom::before(app.address).config("[session]\ncache = \"no-store\"").start();
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    let browser = Chromium::start();
    browser.open(&url("/login"));
    browser.open(&url("/account"));
    browser.shows("p", "active alice");
    browser.open(&url("/logout"));
    browser.back();
    browser.comes_to(&url("/account"));
    browser.shows("p", "active -");
    browser.back();
    browser.comes_to(&url("/login"));
    assert!(!browser.source().contains("alice"), "{}", browser.source());
}

#[test]
fn the_cookie_in_the_browser_is_as_configured() {
    let demo = Demo::start();
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", demo.address));
    let cookies = browser.cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let cookie = &cookies[0];
    assert_eq!(cookie["name"], "cloakroom");
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Lax")));
    assert_eq!((&cookie["path"], &cookie["domain"]), (&json!("/"), &json!("127.0.0.1")));
    assert_eq!((&cookie["secure"], cookie.get("expiry")), (&json!(false), None));
    assert_eq!(browser.run("return document.cookie"), "", "no script reads it");

    let app = pages();
    let proxy = Cloakroom::before(app.address)
        .config("[session.cookie]\nname = \"coat\"\nsame_site = \"Strict\"\nhttp_only = false\npath = \"/account\"")
        .start();
    browser.open(&format!("http://{}/account", proxy.address));
    let cookies = browser.cookies();
    let cookie = cookies.iter().find(|cookie| cookie["name"] == "coat").expect("the cookie");
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(false), &json!("Strict")));
    assert_eq!(cookie["path"], "/account");
    assert!(browser.run("return document.cookie").to_string().contains("coat="));
}

#[test]
fn by_https_the_browser_takes_the_host_prefix() {
    let app = pages();
    let proxy = Cloakroom::before(app.address).config("[process]\ntrusted_proxies = [\"127.0.0.1\"]").start();
    let port = Port::reserve();
    let lines = format!(
        "server {{ listen {}; location / {{ proxy_pass http://{}; proxy_set_header Host $http_host;\n\
         proxy_set_header X-Forwarded-Proto https; }} }}",
        port.address, proxy.address
    );
    let _nginx = Server::nginx(Server::folder(), &port, &lines);
    // Browsers take this machine itself for as safe as https, which no certificate is needed for.
    let url = |path: &str| format!("http://{}{path}", port.address);
    let browser = Chromium::start();
    browser.open(&url("/"));
    browser.open(&url("/login"));
    let cookies = browser.cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let cookie = &cookies[0];
    assert_eq!((&cookie["name"], &cookie["secure"]), (&json!("__Host-cloakroom"), &json!(true)));
    assert_eq!((&cookie["path"], &cookie["sameSite"]), (&json!("/"), &json!("Lax")));
    browser.open(&url("/"));
    browser.shows("p", "active alice");
}

/// Else browsers ask for one.
const NO_ICON: &str = "<!doctype html><link rel=icon href='data:,'>";

/// An app with a login by link, and a page that says who one is.
fn pages() -> App {
    App::start(|request| {
        let html = "Content-Type: text/html; charset=utf-8";
        let reply = Reply::text(told(request)).with(html);
        match request.path() {
            "/login" => reply.with("X-Session-Principal: alice"),
            "/logout" => reply.with("X-Session-Principal:"),
            "/acs" => reply.with("X-Session-Principal: bob"),
            "/return-and-on" => Reply::text("").status(303).with("Location: /"),
            _ => reply,
        }
    })
}

/// State and principal in one line, and a form that posts to the app itself.
fn told(request: &Request) -> String {
    let read = |name| request.header(name).unwrap_or_else(|| "-".to_owned());
    let who = format!("{} {}", read("x-session-state"), read("x-session-principal"));
    format!("{NO_ICON}<p>{who}</p><form method=post action=/own><button>own</button></form>")
}

#[test]
fn browser_keeps_all_parts_of_a_large_sealed_session() {
    let app = App::start(|request| {
        let held: usize = ('a'..='z')
            .filter_map(|name| request.header(&format!("x-session-{name}")))
            .map(|v| v.len())
            .sum();
        let reply = Reply::text(format!("{NO_ICON}<p>{held}</p>")).with("Content-Type: text/html");
        let wanted = request.path().trim_start_matches('/').parse().unwrap_or(0);
        ('a'..='z')
            .take(wanted)
            .fold(reply, |reply, name| reply.with(format!("X-Session-Set-{name}: {}", "x".repeat(1000))))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[session]\nmax_header_bytes = \"32 KiB\"\n[store]\nkind = \"cookie\"\n[keys]\ncurrent = {}",
        key(folder.path(), "key")
    );
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let browser = Chromium::start();
    let url = |path: &str| format!("http://{}/{path}", proxy.address);
    for (fields, cookies) in [(1, 1), (3, 2), (6, 3), (11, 4)] {
        browser.open(&url(&fields.to_string()));
        browser.open(&url(""));
        browser.shows("p", &(fields * 1000).to_string());
        assert_eq!(browser.cookies().len(), cookies, "{fields} kB");
    }
    // One more does not fit: the others stay.
    browser.open(&url("13"));
    browser.open(&url(""));
    browser.shows("p", "11000");
    assert!(proxy.log().contains("limit=\"[store] max_cookies\""), "{}", proxy.log());
}

/// A page of another site, with a form that posts back to this address; its own address is on another host.
fn elsewhere(to: String) -> (App, String) {
    let app = App::start(move |request| {
        let action = format!("{to}{}", request.path());
        Reply::text(format!(
            "{NO_ICON}<form method=post action='{action}'><input name=paid value=yes><button>pay</button></form>"
        ))
        .with("Content-Type: text/html")
    });
    let url = format!("http://localhost:{}", app.address.port());
    (app, url)
}

#[test]
fn who_comes_back_from_a_payment_page_is_still_logged_in() {
    let app = pages();
    let proxy = Cloakroom::before(app.address).start();
    let shop = format!("http://{}", proxy.address);
    let (_payment, payment) = elsewhere(shop.clone());
    let browser = Chromium::start();
    browser.open(&format!("{shop}/login"));
    let ticket = browser.cookies();
    // Lax keeps the cookie from a post of another site; nothing may be put in its place.
    browser.open(&format!("{payment}/return"));
    browser.click("button");
    browser.comes_to(&format!("{shop}/return"));
    browser.shows("p", "none -");
    let paid = app.received().into_iter().find(|request| request.path() == "/return");
    assert_eq!(paid.expect("the post").body, b"paid=yes");
    assert_eq!(browser.cookies(), ticket, "the ticket is the one from before");
    browser.open(&shop);
    browser.shows("p", "active alice");
    // The same where the app sends the visitor on at once.
    browser.open(&format!("{payment}/return-and-on"));
    browser.click("button");
    browser.comes_to(&format!("{shop}/"));
    browser.shows("p", "active alice");
    // A post that logs someone in, as SAML does, gets its session.
    browser.open(&format!("{payment}/acs"));
    browser.click("button");
    browser.comes_to(&format!("{shop}/acs"));
    browser.open(&shop);
    browser.shows("p", "active bob");
}

#[test]
fn browser_posts_pass_cross_site_block_as_configured() {
    let app = pages();
    let proxy = |trusted: &str| {
        Cloakroom::before(app.address)
            .config(&format!(
                "[[routes]]\nupstream = \"app\"\ncross_site = \"block\"\ntrusted_origins = [{trusted}]"
            ))
            .start()
    };
    let strict = proxy("");
    let shop = format!("http://{}", strict.address);
    let (_payment, payment) = elsewhere(shop.clone());
    let browser = Chromium::start();
    browser.open(&format!("{shop}/login"));
    browser.click("button");
    browser.comes_to(&format!("{shop}/own"));
    browser.shows("p", "active alice");
    browser.open(&format!("{payment}/return"));
    browser.click("button");
    browser.comes_to(&format!("{shop}/return"));
    assert!(app.received().iter().all(|request| request.path() != "/return"), "the app was not asked");

    let relay = Port::reserve();
    let lenient = proxy(&format!("\"http://localhost:{}\"", relay.address.port()));
    let shop = format!("http://{}", lenient.address);
    let lines = format!(
        "server {{ listen {}; location / {{ default_type text/html;\n\
         return 200 '<form method=post action=\"{shop}/return\"><button>pay</button></form>'; }} }}",
        relay.address
    );
    let _trusted = Server::nginx(Server::folder(), &relay, &lines);
    browser.open(&format!("http://localhost:{}/", relay.address.port()));
    browser.click("button");
    browser.shows("p", "none -");
}

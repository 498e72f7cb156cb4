//! Unmodified apps behind `preset = "vault"`, in a real browser: what works without cloakroom works with it, by http and by
//! https, and the browser holds no cookie of a login but ours.
//!
//! Each app has one flow: logging in, posting by form and by script, two tabs, leaving a page while its scripts still
//! post, coming back after the browser was closed, logging out, the back button. It is gone through three times.

mod back_after_logout;
mod mysql_tools;
mod news;
mod python;
mod rolling;
mod wikis;
mod wordpress;

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::harness::webdriver::Chromium;
use crate::support::{Authority, Cloakroom};

/// The one line that an operator writes.
const VAULT: &str = "[[cookies]]\npreset = \"vault\"";

/// How the browser comes to the app.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// To the app itself: the control.
    Direct,
    /// Through the vault, by http.
    Http,
    /// Through the vault, by https.
    Https,
}

/// One walk of a browser through an app.
struct Visit {
    browser: Chromium,
    /// Scheme, host and port.
    site: String,
    way: Way,
    proxy: Option<Cloakroom>,
    /// What is being tried, for who reads a failure.
    step: Cell<&'static str>,
    authority: Authority,
}

impl Visit {
    fn to(app: SocketAddr, way: Way) -> Self {
        let authority = Authority::new();
        authority.issue("site", &["localhost"]);
        let proxy = match way {
            Way::Direct => None,
            Way::Http => Some(Cloakroom::before(app).config(VAULT).start()),
            Way::Https => {
                Some(Cloakroom::before(app).config(VAULT).listen(&authority.toml(&["site"])).start())
            }
        };
        let port = proxy.as_ref().map_or(app, |proxy| proxy.address).port();
        let site = match way {
            Way::Https => format!("https://localhost:{port}"),
            _ => format!("http://127.0.0.1:{port}"),
        };
        let browser = Chromium::trusting(&authority.root());
        Self { browser, site, way, proxy, step: Cell::new("the start"), authority }
    }

    /// Says what comes now.
    fn step(&self, name: &'static str) {
        self.step.set(name);
    }

    fn open(&self, path: &str) {
        self.browser.open(&self.url(path));
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.site)
    }

    /// Waits until the page shows this text.
    fn shows(&self, text: &str) {
        self.browser.awaits(&format!("document.body?.innerText.includes({})", json!(text)));
    }

    /// Whether the page's source, scripts and all, has this text just now.
    fn holds(&self, text: &str) -> bool {
        self.browser.source().contains(text)
    }

    /// Waits until a selector finds something.
    fn finds(&self, css: &str) {
        self.browser.awaits(&format!("document.querySelector({})", json!(css)));
    }

    /// Clicks on it, whatever lies above it.
    fn press(&self, css: &str) {
        self.finds(css);
        self.browser.run(&format!("document.querySelector({}).click()", json!(css)));
    }

    /// What a script of the page posts, as a form; status and text of the answer.
    fn post(&self, path: &str, form: &[(&str, &str)]) -> (u64, String) {
        let script = "const [path, form, done] = arguments; \
             fetch(path, { method: 'POST', body: new URLSearchParams(form), credentials: 'same-origin' }) \
             .then(async answer => done([answer.status, await answer.text()])).catch(error => done([0, `${error}`]))";
        let answer = self.browser.run_until_done(script, &json!([path, form]));
        read_answer(&answer)
    }

    /// What a script of the page gets; status and text of the answer.
    fn get(&self, path: &str) -> (u64, String) {
        let script = "const [path, done] = arguments; fetch(path, { credentials: 'same-origin' }) \
             .then(async answer => done([answer.status, await answer.text()])).catch(error => done([0, `${error}`]))";
        read_answer(&self.browser.run_until_done(script, &json!([path])))
    }

    /// Twelve posts of the page's script, 30 ms apart, that nobody waits for; the page is left while they are under way.
    fn posts_and_leaves(&self, path: &str, form: &[(&str, &str)], leave: impl FnOnce()) {
        let script = "const [path, form, done] = arguments; let sent = 0; \
             const next = () => { \
               fetch(path, { method: 'POST', body: new URLSearchParams(form), credentials: 'same-origin' }).catch(() => {}); \
               sent += 1; if (sent == 6) done(); if (sent < 12) setTimeout(next, 30); \
             }; next()";
        self.browser.run_until_done(script, &json!([path, form]));
        leave();
    }

    /// Closes the browser and opens it again.
    fn restarts(&mut self) {
        self.browser.restart();
    }

    /// Names of the cookies that the browser holds for the page.
    fn cookie_names(&self) -> Vec<String> {
        let cookies = self.browser.cookies();
        let mut names: Vec<_> = cookies
            .iter()
            .map(|cookie| cookie.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Behind the vault the browser holds the ticket, and else only what the page's scripts wrote or must read.
    fn holds_no_login_but(&self, of_scripts: &[&str]) {
        let Some(proxy) = &self.proxy else { return };
        let ticket = if self.way == Way::Https { "__Host-cloakroom" } else { "cloakroom" };
        let names = self.cookie_names();
        assert!(names.iter().any(|name| name == ticket), "{names:?}");
        let is_known = |name: &String| *name == ticket || of_scripts.iter().any(|own| name.starts_with(own));
        assert!(names.iter().all(is_known), "the app's own cookies reached the browser: {names:?}");
        let log = proxy.log();
        assert!(!log.contains("WARN"), "healthy use is warned of:\n{log}");
    }
}

/// A file that one might upload.
#[expect(clippy::unwrap_used, reason = "a harness that cannot go on fails its test, with the place")]
fn file_of(suffix: &str, bytes: &[u8]) -> NamedTempFile {
    let file = tempfile::Builder::new().prefix("coat").suffix(suffix).tempfile().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

fn read_answer(answer: &Value) -> (u64, String) {
    let status = answer.get(0).and_then(Value::as_u64).unwrap_or_default();
    (status, answer.get(1).and_then(Value::as_str).unwrap_or_default().to_owned())
}

impl Drop for Visit {
    #[expect(clippy::print_stderr, reason = "what one would ask for after a failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, at the step: {}", self.way, self.step.get());
            eprintln!(
                "cookies: {:?} (certificates in {})",
                self.cookie_names(),
                self.authority.root().display()
            );
        }
    }
}

/// How many rounds those take that go on for as long as one likes: `tests/apps-in-vault` asks for more.
#[expect(clippy::disallowed_methods, reason = "the rule is for the program, not its tests")]
fn rounds() -> usize {
    let asked = std::env::var("CLOAKROOM_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(20)
}

/// Goes through a flow on every way.
fn on_every_way(app: SocketAddr, flow: impl Fn(&mut Visit)) {
    for way in [Way::Direct, Way::Http, Way::Https] {
        flow(&mut Visit::to(app, way));
    }
}

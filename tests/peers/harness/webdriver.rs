//! A real browser: headless Chromium, driven through chromedriver (`WebDriver`: HTTP and JSON).
#![expect(clippy::indexing_slicing, reason = "JSON that lacks what is asked for gives null")]

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::server::{announced, spawn, stop};
use crate::support::eventually_within;
use crate::support::wire::Wire;

/// A browser takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// How `WebDriver` names what refers to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser with an empty profile; closed when dropped.
pub(crate) struct Chromium {
    driver: Child,
    /// The browser's own process, once there is one.
    process: Option<u64>,
    address: SocketAddr,
    session: String,
    profile: TempDir,
}

impl Chromium {
    /// Opens an empty window.
    pub(crate) fn start() -> Self {
        Self::at_home_in(tempfile::tempdir().unwrap())
    }

    /// The same, and it trusts this CA as one that its owner has added.
    pub(crate) fn trusting(root: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join(".pki/nssdb");
        fs::create_dir_all(&store).unwrap();
        let store = format!("sql:{}", store.display());
        for words in [
            vec!["-N", "--empty-password"],
            vec!["-A", "-t", "C,,", "-n", "test", "-i", root.to_str().unwrap()],
        ] {
            let mut command = Command::new("certutil");
            command.args(["-d", &store]).args(words).stdout(Stdio::null());
            assert!(spawn(&mut command, "libnss3-tools").wait().unwrap().success());
        }
        Self::at_home_in(home)
    }

    fn at_home_in(profile: TempDir) -> Self {
        let (driver, address) = (0..9)
            .find_map(|_| Self::driver(profile.path()))
            .unwrap_or_else(|| panic!("chromedriver ended without naming its port"));
        let mut browser = Self { driver, process: None, address, session: String::new(), profile };
        browser.launch();
        browser
    }

    /// Closes the browser, and opens it again with the same profile: what lives as long as the browser is gone.
    pub(crate) fn restart(&mut self) {
        self.call("DELETE", &self.session, &Value::Null);
        self.launch();
    }

    fn launch(&mut self) {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--window-size=1400,1000",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &profile,
        ];
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": 10_000, "script": 60_000 },
            "unhandledPromptBehavior": "accept",
            "goog:chromeOptions": { "args": flags, "binary": "/usr/bin/chromium" },
        } } });
        let given = self.call("POST", "/session", &asked);
        self.process = given["capabilities"]["goog:processID"].as_u64();
        self.session = format!("/session/{}", given["sessionId"].as_str().unwrap());
    }

    /// chromedriver on a free port. It takes the same one in IPv4 and IPv6, and ends where only one of them is free.
    fn driver(home: &Path) -> Option<(Child, SocketAddr)> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", home).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = spawn(&mut command, "chromium chromium-driver");
        let address = announced(driver.stdout.take().unwrap(), |line| {
            line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let Some(address) = address else {
            drop(driver.wait());
            return None;
        };
        Some((driver, address))
    }

    /// Goes to an address, as if it were typed.
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The back button.
    pub(crate) fn back(&self) {
        self.post("/back", &json!({}));
    }

    /// The reload button.
    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Waits until the browser has come to this address.
    pub(crate) fn comes_to(&self, url: &str) {
        eventually_within(PATIENCE, &format!("the browser comes to {url}"), || self.get("/url") == url);
    }

    /// The page as it stands.
    pub(crate) fn source(&self) -> String {
        self.get("/source").as_str().unwrap().to_owned()
    }

    /// Waits until the first element that this CSS selector finds has this text.
    pub(crate) fn shows(&self, css: &str, text: &str) {
        let script =
            json!({ "script": "return document.querySelector(arguments[0])?.innerText", "args": [css] });
        let path = format!("{}/execute/sync", self.session);
        // On the way from one page to the next there is none to ask.
        let shown = || self.try_call("POST", &path, &script).unwrap_or_default();
        eventually_within(PATIENCE, &format!("{css} shows {text:?}"), || shown() == text);
    }

    /// Clicks on it; where that leads to another page, the page is there afterwards.
    pub(crate) fn click(&self, css: &str) {
        self.post(&format!("{}/click", self.find(css)), &json!({}));
    }

    /// Types into it.
    pub(crate) fn enter(&self, css: &str, text: &str) {
        self.post(&format!("{}/value", self.find(css)), &json!({ "text": text }));
    }

    /// Types into it instead of what it holds.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        self.post(&format!("{}/clear", self.find(css)), &json!({}));
        self.enter(css, text);
    }

    /// What a script on the page gives.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What a script on the page comes to: the last of its arguments takes the result.
    pub(crate) fn run_until_done(&self, script: &str, arguments: &Value) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": arguments }))
    }

    /// Waits until a script on the page gives something that counts as true.
    pub(crate) fn awaits(&self, script: &str) {
        let script = json!({ "script": format!("return !!({script})"), "args": [] });
        let path = format!("{}/execute/sync", self.session);
        let holds = || self.try_call("POST", &path, &script).is_ok_and(|value| value == true);
        eventually_within(PATIENCE, &format!("the page comes to {script}"), holds);
    }

    /// The text that the page shows.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The cookies that the browser would send to this page.
    pub(crate) fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").as_array().unwrap().clone()
    }

    /// The tab in front.
    pub(crate) fn tab(&self) -> Value {
        self.get("/window")
    }

    /// A new tab, which comes to the front.
    pub(crate) fn new_tab(&self) -> Value {
        let tab = self.post("/window/new", &json!({ "type": "tab" }))["handle"].clone();
        self.switch_to(&tab);
        tab
    }

    /// Brings a tab to the front.
    pub(crate) fn switch_to(&self, tab: &Value) {
        self.post("/window", &json!({ "handle": tab }));
    }

    fn find(&self, css: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }));
        format!("/element/{}", found[ELEMENT].as_str().unwrap())
    }

    fn get(&self, path: &str) -> Value {
        self.call("GET", &format!("{}{path}", self.session), &Value::Null)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).unwrap_or_else(|said| panic!("{method} {path}: {said}"))
    }

    /// One command; what it answered, or why not.
    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut wire = Wire::new(TcpStream::connect(self.address).unwrap());
        wire.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}", self.address);
        wire.send(format!("{head}\r\nconnection: close\r\n\r\n{body}"));
        let answer = wire.answer(false);
        let mut said: Value = serde_json::from_slice(&answer.body).unwrap();
        let said = said["value"].take();
        if answer.status == 200 { Ok(said) } else { Err(said["message"].to_string()) }
    }
}

impl Chromium {
    /// Where a failed test left the browser: its address, and a picture of the page.
    #[expect(clippy::print_stderr, reason = "what one would ask for after a failure")]
    fn tell(&self) {
        let ask = |path: &str| self.try_call("GET", &format!("{}{path}", self.session), &Value::Null);
        eprintln!("the browser is at {}", ask("/url").unwrap_or_default());
        let picture = ask("/screenshot").ok().and_then(|text| STANDARD.decode(text.as_str()?).ok());
        if let Some(picture) = picture {
            let path = format!("{}/browser-{}.png", env!("CARGO_TARGET_TMPDIR"), self.address.port());
            drop(fs::write(&path, picture));
            eprintln!("and shows what is in {path}");
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if thread::panicking() && !self.session.is_empty() {
            self.tell();
        }
        if !self.session.is_empty() && !thread::panicking() {
            self.call("DELETE", &self.session, &Value::Null);
        } else if let Some(process) = self.process {
            // In a failed test nobody talks to it any more, and without chromedriver it would stay.
            drop(Command::new("kill").arg(process.to_string()).status());
        }
        stop(&mut self.driver);
    }
}

//! The recipes of the documentation: static files behind a login, and all configurations as they stand there.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::legacy::Legacy;
use crate::harness::server::Server;
use crate::harness::webdriver::Chromium;
use crate::support::{App, Authority, Cloakroom, Port, Reply, key};

/// The README, and what lies in `docs`.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![fs::read_to_string(root.join("README.md")).expect("a README")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(fs::read_to_string(path).expect("a text"));
            }
        }
    }
    found
}

/// Their configurations; the README's smallest one first.
fn blocks() -> Vec<String> {
    let of = |text: &String| -> Vec<String> {
        let blocks = text.split("```toml\n").skip(1);
        blocks.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
    };
    documents().iter().flat_map(of).collect()
}

/// Files that nobody but nginx knows of, behind the login page of `login.php`: the recipe's own lines.
struct Site {
    proxy: Cloakroom,
    _nginx: Server,
    _login: Legacy,
}

impl Site {
    fn open() -> Self {
        let folder = Server::folder();
        fs::create_dir(folder.path().join("site")).expect("a folder");
        for (name, text) in [("index.html", "the front page"), ("report.html", "the report")] {
            let page = format!("<!doctype html><link rel=icon href='data:,'><p>{text}</p>");
            fs::write(folder.path().join("site").join(name), page).expect("a page");
        }
        let port = Port::reserve();
        let lines = format!(
            "server {{ listen {}; root {}/site; types {{ text/html html; }} }}",
            port.address,
            folder.path().display()
        );
        let nginx = Server::nginx(folder, &port, &lines);
        let login = Legacy::login();
        let recipe = blocks().into_iter().find(|block| block.contains("[upstreams.files]"));
        let recipe = recipe.expect("the recipe").replace("127.0.0.1:3001", &login.address.to_string());
        let recipe = recipe.replace("127.0.0.1:8000", &port.address.to_string());
        let proxy = Cloakroom::before(port.address)
            .upstream("session_fields = []\nsession_write = false\nsession_login = false");
        // The harness listens by itself.
        let recipe = recipe.split_once("[upstreams.files]").expect("the upstreams").1;
        let proxy = proxy.config(&format!("[upstreams.files]{recipe}")).start();
        Self { proxy, _nginx: nginx, _login: login }
    }
}

#[test]
fn static_files_are_there_for_those_who_logged_in() {
    let site = Site::open();
    let mut program = site.proxy.browser();
    let refused = program.get("/report.html");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Cookie")));
    let browser = Chromium::start();
    let url = |path: &str| format!("http://{}{path}", site.proxy.address);
    browser.open(&url("/report.html?page=2"));
    browser.comes_to(&url("/login?next=/report.html?page=2"));
    browser.enter("[name=name]", "zoë");
    browser.enter("[name=password]", "guessed");
    browser.click("button");
    browser.shows("h1", "Not you");
    browser.open(&url("/report.html?page=2"));
    browser.comes_to(&url("/login?next=/report.html?page=2"));
    browser.enter("[name=name]", "zoë");
    browser.enter("[name=password]", "sesame");
    browser.click("button");
    browser.comes_to(&url("/report.html?page=2"));
    browser.shows("p", "the report");
}

#[test]
fn gate_recipe_lets_in_who_logged_in_until_they_log_out() {
    let app = App::start(|request| Reply::text(request.header("x-session-principal").unwrap_or_default()));
    let login = Legacy::login();
    let recipe = blocks().into_iter().find(|block| block.contains("[upstreams.nagios]"));
    let recipe = recipe.expect("the recipe").replace("127.0.0.1:3001", &login.address.to_string());
    let recipe = recipe.replace("127.0.0.1:8000", &app.address.to_string());
    let own = recipe.split_once("[upstreams.nagios]").expect("the upstreams").1;
    let proxy = Cloakroom::before(app.address)
        .upstream("session_fields = []\nsession_write = false\nsession_login = false")
        .config(&format!("[upstreams.nagios]{own}"))
        .start();
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/status").status, 401);
    assert_eq!(visitor.post("/login", "name=zo%C3%AB&password=sesame").status, 303);
    assert_eq!(visitor.get("/status").text(), "zo%C3%AB");
    let answer = visitor.post("/logout", "");
    assert_eq!((answer.status, answer.header("location").as_deref()), (303, Some("/login")));
    assert_eq!(visitor.get("/status").status, 401);
}

#[test]
fn a_login_leads_to_no_other_site() {
    let site = Site::open();
    let form = "name=zo%C3%AB&password=sesame";
    for (next, wanted) in [
        ("/report.html", "/report.html"),
        ("//evil.test/", "/"),
        ("/%5Cevil.test/", "/"),
        ("https://evil.test/", "/"),
        ("", "/"),
    ] {
        let mut visitor = site.proxy.browser();
        let answer = visitor.post(&format!("/login?next={next}"), form);
        assert_eq!((answer.status, answer.header("location").as_deref()), (303, Some(wanted)), "{next}");
        assert!(visitor.get("/").text().contains("the front page"));
    }
}

#[test]
fn cookie_recipes_do_what_the_docs_show() {
    let documents = documents();
    let console = documents.iter().find_map(|text| text.split_once("```console\n")).expect("the session").1;
    let console = console.split_once("```").expect("its end").0.to_owned();
    let sets: Vec<String> =
        console.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect();
    assert_eq!(sets.len(), 3);
    let app = App::start(move |request| {
        let saw = request.header("cookie").unwrap_or_default();
        sets.iter().fold(Reply::text(saw), Reply::with)
    });
    let rules = blocks().into_iter().find(|block| block.contains("rename = ")).expect("the rules");
    let proxy = Cloakroom::before(app.address).config(&rules).start();
    for asked in console.split("$ ").skip(1) {
        let (command, answer) = asked.split_once('\n').expect("an answer");
        let command = command.replace("127.0.0.1:8080", &proxy.address.to_string());
        let done = Command::new("sh").args(["-c", &command]).output().expect("curl runs");
        let said = String::from_utf8_lossy(&done.stdout).replace('\r', "");
        assert_eq!(said.trim_end(), answer.trim_end(), "{command}");
    }
}

#[test]
fn every_configuration_of_the_documentation_passes_the_check() {
    // The files that they name lie beside them.
    let folder = Authority::new();
    folder.issue("own", &["localhost"]);
    for (made, named) in [("own.pem", "cert.pem"), ("own.key", "key.pem")] {
        fs::rename(folder.path(made), folder.path(named)).expect("a certificate");
    }
    fs::copy(folder.root(), folder.path("ca.pem")).expect("an authority");
    fs::create_dir(folder.path("pages")).expect("a folder");
    fs::write(folder.path("pages/502.html"), "<h1>Back soon</h1>").expect("a page");
    fs::write(folder.path("flask-secret"), "dev-secret-1").expect("a secret");
    key(&folder.path(""), "key");
    let file = folder.path("config.toml");
    for block in blocks() {
        // A part of a configuration stands for the whole.
        let whole = if block.contains("[[routes]]") {
            block
        } else {
            format!("{block}\n{}", blocks().first().expect("the smallest one"))
        };
        let whole = whole.replace("/etc/cloakroom", &folder.path("").display().to_string());
        fs::write(&file, &whole).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        let done = command.args(["check", "-c"]).arg(&file).output().expect("cloakroom runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && !said.contains("warning"), "{whole}\n{said}");
    }
}

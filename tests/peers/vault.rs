//! Real apps behind `preset = "vault"`: their own logins work, and the browser holds one cookie, which is not theirs.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::harness::legacy::Legacy;
use crate::harness::packaged::{PASSWORD, USER, django, dokuwiki};
use crate::harness::webdriver::Chromium;
use crate::support::{Browser, Cloakroom, Response};

const VAULT: &str = "[[cookies]]\npreset = \"vault\"";

fn vault(app: SocketAddr) -> Cloakroom {
    Cloakroom::before(app).config(VAULT).start()
}

/// A real app: where its form is, what the form is called, and how one sees who is logged in.
struct Real {
    login: &'static str,
    token: &'static str,
    post: &'static str,
    form: fn(&str) -> String,
    page: &'static str,
    greets: &'static str,
}

fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

const WIKI: Real = Real {
    login: "/doku.php?do=login&id=start",
    token: "sectok",
    post: "/doku.php",
    form: |token| format!("do=login&id=start&sectok={token}&u={USER}&p={}", encoded(PASSWORD)),
    page: "/doku.php?id=start",
    greets: "Logged in as:",
};

const ADMIN: Real = Real {
    login: "/admin/login/?next=/admin/",
    token: "csrfmiddlewaretoken",
    post: "/admin/login/?next=/admin/",
    form: |token| {
        format!("next=%2Fadmin%2F&csrfmiddlewaretoken={token}&username={USER}&password={}", encoded(PASSWORD))
    },
    page: "/admin/",
    greets: "Log out",
};

/// What a hidden field of the page holds.
fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or(("", ""));
    rest.split('"').next().unwrap_or_default().to_owned()
}

impl Real {
    fn log_in(&self, visitor: &mut Browser) -> Response {
        let page = visitor.get(self.login);
        let token = hidden(&page.text(), self.token);
        visitor.post(self.post, &(self.form)(&token))
    }

    fn knows(&self, visitor: &mut Browser) -> bool {
        visitor.get(self.page).text().contains(self.greets)
    }
}

/// Every line is the ticket's, or that of the token which Django's scripts read.
fn is_ours_alone(response: &Response) {
    for line in response.set_cookies() {
        let passes = line.starts_with("cloakroom=") || line.starts_with("csrftoken=");
        assert!(passes, "a cookie of the app reached the browser: {line}");
    }
}

fn works_behind_the_vault(app: &Real, proxy: &Cloakroom) {
    let mut visitor = proxy.browser();
    is_ours_alone(&visitor.get(app.page));
    let before = visitor.ticket();
    let answer = app.log_in(&mut visitor);
    assert_eq!(answer.status, 302, "{}", answer.text());
    is_ours_alone(&answer);
    assert_ne!(visitor.ticket(), before, "a login renews the ticket");
    let page = visitor.get(app.page);
    is_ours_alone(&page);
    assert!(page.text().contains(app.greets), "{}", page.text());
    let logins = visitor.jar.keys().filter(|name| *name != "csrftoken");
    assert_eq!(logins.collect::<Vec<_>>(), ["cloakroom"]);
    let mut other = proxy.browser();
    assert!(!app.knows(&mut other), "another visitor is another");
}

/// The attacker takes a ticket, plants it, waits for the victim to log in, and uses it.
fn fixation_fails(app: &Real, proxy: &Cloakroom) {
    let mut attacker = proxy.browser();
    attacker.get(app.login);
    attacker.get(app.page);
    let mut victim = attacker.clone();
    app.log_in(&mut victim);
    assert!(app.knows(&mut victim), "the victim is logged in");
    assert!(!app.knows(&mut attacker), "the ticket from before the login leads nowhere");
    assert!(app.knows(&mut victim), "whatever the attacker tried");
}

#[test]
fn dokuwiki_works_and_no_cookie_of_it_reaches_the_browser() {
    let (wiki, _folder) = dokuwiki();
    works_behind_the_vault(&WIKI, &vault(wiki.address));
}

#[test]
fn djangos_admin_works_and_its_token_alone_reaches_the_browser() {
    let admin = django();
    works_behind_the_vault(&ADMIN, &vault(admin.address));
}

#[test]
fn planted_ticket_is_spent_by_a_dokuwiki_login() {
    let (wiki, _folder) = dokuwiki();
    fixation_fails(&WIKI, &vault(wiki.address));
}

#[test]
fn planted_ticket_is_spent_by_a_django_login() {
    let admin = django();
    fixation_fails(&ADMIN, &vault(admin.address));
}

#[test]
fn planted_ticket_is_spent_when_the_app_renews_its_id() {
    let app = Legacy::regenerate();
    let proxy = vault(app.address);
    let mut attacker = proxy.browser();
    assert_eq!(attacker.get("/").text(), "nobody 1");
    let mut victim = attacker.clone();
    let answer = victim.post("/", "who=alice");
    is_ours_alone(&answer);
    assert_eq!(victim.get("/").text(), "alice 3");
    let stolen = attacker.get("/");
    assert_eq!(stolen.text(), "nobody 1", "a stranger with a session of the app's own");
    assert_eq!(victim.get("/").text(), "alice 4");
    // The same without the renewal: the attack is real, and it is the renewal that it fails on.
    let proxy = Cloakroom::before(app.address)
        .config("[[cookies]]\nname = \"*\"\naction = \"keep\"\nrenew = \"off\"")
        .start();
    let mut attacker = proxy.browser();
    attacker.get("/");
    attacker.clone().post("/", "who=alice");
    assert_eq!(attacker.get("/").text(), "alice 3");
}

#[test]
fn a_browser_logs_in_to_two_real_apps_and_holds_one_cookie() {
    let (wiki, _folder) = dokuwiki();
    let admin = django();
    let browser = Chromium::start();
    let proxy = vault(wiki.address);
    let url = |proxy: &Cloakroom, path: &str| format!("http://{}{path}", proxy.address);
    browser.open(&url(&proxy, "/doku.php?do=login&id=start"));
    browser.enter("#dw__login input[name=u]", USER);
    browser.enter("#dw__login input[name=p]", PASSWORD);
    browser.click("#dw__login button[type=submit]");
    browser.comes_to(&url(&proxy, "/doku.php?id=start"));
    assert!(browser.source().contains("Logged in as"), "{}", browser.source());
    browser.reload();
    assert!(browser.source().contains("Logged in as"), "{}", browser.source());
    // In whatever order the browser names them.
    let names = |browser: &Chromium| -> BTreeSet<String> {
        browser.cookies().iter().filter_map(|cookie| Some(cookie.get("name")?.as_str()?.to_owned())).collect()
    };
    let only = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(names(&browser), only(&["cloakroom"]));

    // Browsers know no port: the second app is on another name of this machine.
    let proxy = vault(admin.address);
    let url = |path: &str| format!("http://localhost:{}{path}", proxy.address.port());
    browser.open(&url("/admin/login/?next=/admin/"));
    browser.enter("#id_username", USER);
    browser.enter("#id_password", PASSWORD);
    browser.click("input[type=submit]");
    browser.comes_to(&url("/admin/"));
    assert!(browser.source().contains("Log out"), "{}", browser.source());
    // And the token that its scripts read.
    assert_eq!(names(&browser), only(&["cloakroom", "csrftoken"]));
}

//! Where a ticket that the browser has could not have come, or may not have been read: nothing takes its place.

use crate::support::{App, Browser, Cloakroom, Response, orders};

/// A request with these cookies, as a browser that holds more than one of our name sends them.
fn ask(proxy: &Cloakroom, path: &str, cookies: &str, lines: &[&str]) -> Response {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {cookies}\r\n{}\r\n",
        proxy.address,
        orders(lines)
    );
    proxy.browser().send_raw(head.as_bytes())
}

/// Puts a browser's cookie at stake: only its own identity counts, the cookie of this host and path.
fn takes(browser: &mut Browser, answer: &Response) {
    let own = |line: &String| {
        let mut parts = line.split("; ");
        !line.contains("Domain=") && parts.any(|part| part == "Path=/")
    };
    for line in answer.set_cookies().iter().filter(|line| own(line)) {
        let value = line.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default().1;
        browser.jar.insert("cloakroom".to_owned(), value.to_owned());
    }
}

fn alice(proxy: &Cloakroom) -> (Browser, String) {
    let mut alice = proxy.browser();
    alice.answered("/", &["X-Session-Principal: alice"]);
    let ticket = alice.ticket().unwrap_or_default();
    (alice, ticket)
}

const COUNTS: &str = "X-Session-Incr-Visits: 1";

#[test]
fn planted_cookies_beside_the_true_one_log_nobody_out() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    for lines in [&[][..], &[COUNTS]] {
        let (mut alice, ticket) = alice(&proxy);
        let mut mallory = proxy.browser();
        mallory.get("/");
        let good = mallory.ticket().unwrap_or_default();
        let many = "cloakroom=1; cloakroom=2; cloakroom=3; cloakroom=4".to_owned();
        for planted in [format!("cloakroom={good}"), many] {
            let answer = ask(&proxy, "/x/y", &format!("{planted}; cloakroom={ticket}"), lines);
            assert_eq!(answer.told("state").as_deref(), Some("none"), "{planted}");
            takes(&mut alice, &answer);
            assert_eq!(alice.shown(), "principal=alice", "{planted} {lines:?}");
        }
    }
    let (_, ticket) = alice(&proxy);
    let cookies = format!("cloakroom=1; cloakroom=2; cloakroom=3; cloakroom=4; cloakroom={ticket}");
    let mut bob = proxy.browser();
    takes(&mut bob, &ask(&proxy, "/", &cookies, &["X-Session-Principal: bob"]));
    assert_eq!(bob.shown(), "principal=bob", "a login is no accident");
}

#[test]
fn a_page_outside_of_the_cookies_path_logs_nobody_out() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session.cookie]\npath = \"/app\"");
    let mut alice = proxy.browser();
    alice.answered("/app/login", &["X-Session-Principal: alice"]);
    for path in ["/", "/application", "/ap"] {
        for lines in [&[][..], &[COUNTS]] {
            let elsewhere = proxy.browser().answered(path, lines);
            assert_eq!(elsewhere.told("state").as_deref(), Some("none"), "{path}");
            alice.remember(&elsewhere);
            assert_eq!(alice.get("/app/").fields(), "principal=alice", "{path} {lines:?}");
        }
    }
    let mut bob = proxy.browser();
    bob.answered("/login", &["X-Session-Principal: bob"]);
    assert_eq!(bob.get("/app").fields(), "principal=bob", "who logs in there is logged in here");
}

#[test]
fn a_link_on_a_foreign_page_logs_nobody_out_of_a_strict_site() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session.cookie]\nsame_site = \"Strict\"");
    let (mut alice, _) = alice(&proxy);
    // The browser keeps the Strict cookie back, and takes what such a navigation sets.
    let cross = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
    let answer = proxy.browser().answered_as("/", cross, &[COUNTS]);
    assert_eq!(answer.told("state").as_deref(), Some("none"));
    alice.remember(&answer);
    assert_eq!(alice.shown(), "principal=alice");
}

#[test]
fn realms_of_one_host_have_cookies_of_their_own() {
    let app = App::scripted();
    let route = |path: &str, realm: &str| {
        format!("[[routes]]\npath = \"{path}\"\nupstream = \"app\"\nrealm = \"{realm}\"\n")
    };
    let proxy = Cloakroom::with(&app, &[route("/", ""), route("/b", "b"), route("/c", "c")].concat());
    let mut visitor = proxy.browser();
    for (path, who) in [("/", "alice"), ("/b", "bob"), ("/c", "carol")] {
        visitor.answered(path, &[&format!("X-Session-Principal: {who}")]);
    }
    for (path, who) in [("/", "alice"), ("/b/x", "bob"), ("/c", "carol"), ("/", "alice")] {
        assert_eq!(visitor.get(path).fields(), format!("principal={who}"), "{path}");
        assert_eq!(app.last().header("cookie"), None, "none of them reaches an app");
    }
    assert_eq!(visitor.jar.keys().collect::<Vec<_>>(), ["cloakroom", "cloakroom-b", "cloakroom-c"]);
    visitor.answered("/b", &["X-Session-Action: destroy", "Set-Cookie: cloakroom-c=mine"]);
    assert_eq!(visitor.jar.keys().collect::<Vec<_>>(), ["cloakroom", "cloakroom-c"]);
    assert_eq!(visitor.get("/c").fields(), "principal=carol", "and no app sets another's");
}

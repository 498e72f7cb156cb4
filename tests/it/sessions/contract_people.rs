//! Principals: whose sessions they are, on which site, how many, and what a refused login leaves alone.

use std::time::Duration;

use crate::support::{App, Browser, Cloakroom, Response, SessionBench, eventually, key, login, orders};
use cloakroom::testing::{clock::Timestamp, session::SessionChanges, store::StoreError};

const DESTROY_ALL: &str = "X-Session-Action: destroy-principal";

/// A browser on one of the sites that a house serves.
struct Guest {
    browser: Browser,
    host: &'static str,
}

impl Guest {
    fn of(proxy: &Cloakroom, host: &'static str) -> Self {
        Self { browser: proxy.browser(), host }
    }

    fn ask(&mut self, lines: &[&str]) -> Response {
        let cookie = self.browser.ticket().map(|t| format!("cookie: cloakroom={t}\r\n")).unwrap_or_default();
        let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n{cookie}{}\r\n", self.host, orders(lines));
        self.browser.send_raw(head.as_bytes())
    }

    fn shown(&mut self) -> String {
        self.ask(&[]).fields()
    }
}

#[test]
fn a_name_on_one_site_is_nobody_on_another() {
    let app = App::scripted();
    let sites = "[session]\nmax_sessions_per_principal = 1\n[[routes]]\nhost = \"bank.test\"\nupstream = \"app\"\n\
                 [[routes]]\nhost = \"*.test\"\nupstream = \"app\"\n[[routes]]\nupstream = \"app\"\n";
    let proxy = Cloakroom::with(&app, sites);
    assert!(
        proxy.verb(&["check"]).1.contains("host = \"*.test\", host = \"bank.test\""),
        "of the route for all others"
    );
    assert!(
        proxy.verb(&["check"]).1.contains("The people of *.test, bank.test are not among them"),
        "and that whoever invents a host escapes theirs"
    );
    let mut bank = Guest::of(&proxy, "bank.test");
    let mut forum = Guest::of(&proxy, "forum.test");
    bank.ask(&["X-Session-Principal: admin"]);
    forum.ask(&["X-Session-Principal: admin"]);
    assert_eq!(bank.shown(), "principal=admin", "a login elsewhere takes no place of theirs");
    forum.ask(&[DESTROY_ALL]);
    assert_eq!(bank.shown(), "principal=admin", "and a logout everywhere is of that site");
    assert_eq!(forum.shown(), "");
    // The same name on the same site is one.
    Guest::of(&proxy, "bank.test").ask(&["X-Session-Principal: admin"]);
    assert_eq!(bank.shown(), "");
}

/// A route that names no host takes any that a visitor writes.
#[test]
fn invented_host_counts_as_the_same_principal() {
    for kind in ["memory", "disk"] {
        let (app, state) = (App::scripted(), tempfile::tempdir().unwrap());
        let toml = format!(
            "[session]\nmax_sessions_per_principal = 2\n[admin]\naddress = \"unix:{0}/admin.sock\"\n\
             [store]\nkind = \"{kind}\"\npath = \"{0}/store\"\n[keys]\ncurrent = {1}\n",
            state.path().display(),
            key(state.path(), "key")
        );
        let proxy = Cloakroom::with(&app, &toml);
        assert!(proxy.verb(&["check"]).1.contains("note: routes to `app` name no host"), "{kind}");
        let login = |host: &'static str| {
            let mut guest = Guest::of(&proxy, host);
            guest.ask(&["X-Session-Principal: alice"]);
            guest
        };
        let mut evil = login("evil.test");
        let mut shop = login("shop.test");
        assert_eq!([evil.shown(), shop.shown()], ["principal=alice"; 2], "{kind}");
        let mut elsewhere = Guest { browser: shop.browser.clone(), host: "evil.test" };
        assert_eq!(elsewhere.shown(), "", "{kind}: a ticket is worth something on its own host alone");
        let mut newest = login("shop.test");
        assert_eq!(evil.shown(), "", "{kind}: the oldest of two goes for a third");
        let mut evil = login("evil.test");
        newest.ask(&[DESTROY_ALL]);
        assert_eq!([evil.shown(), newest.shown()], [""; 2], "{kind}: the visitor's own");
        // A login within the millisecond of the end is ended with the others.
        eventually("alice may come again", || login("evil.test").shown() == "principal=alice");
        let ended = proxy.verb(&["sessions", "revoke", "--principal", "alice", "--realm", "host:shop.test"]);
        assert_eq!(ended, (true, "1 session ended\n".to_owned()), "{kind}: the admin's");
    }
}

/// Routes without a host share their tickets, whichever app they lead to; and a configuration may name a host later.
#[test]
fn whoever_shares_a_session_is_the_same_person() {
    let state = tempfile::tempdir().unwrap();
    let app = App::scripted();
    let rights = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true\n";
    let toml = format!(
        "[upstreams.idp]\nservers = [\"http://{1}\"]\n{rights}[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/sso\"\n\
         upstream = \"idp\"\n[admin]\naddress = \"unix:{0}/admin.sock\"\n[store]\nkind = \"memory\"\n",
        state.path().display(),
        app.address
    );
    let proxy = Cloakroom::before(app.address).upstream(rights).config(&toml).start();
    let login = || {
        let mut browser = proxy.browser();
        browser.answered("/", &["X-Session-Principal: alice"]);
        browser
    };
    let mut alice = login();
    proxy.browser().answered("/sso/backchannel", &["X-Session-Principal: alice", DESTROY_ALL]);
    assert_eq!(alice.shown(), "", "by another app's back channel");
    let host = proxy.address.ip().to_string();
    let revoke =
        || proxy.verb(&["sessions", "revoke", "--principal", "alice", "--realm", &format!("host:{host}")]).1;
    let mut alice = Browser::clone(&alice);
    eventually("alice may come again", || {
        alice.answered("/", &["X-Session-Principal: alice"]);
        alice.shown() == "principal=alice"
    });
    for (before, after) in [
        ("upstream = \"app\"", format!("host = \"{host}\"\nupstream = \"app\"")),
        ("host = ", "# host = ".to_owned()),
    ] {
        proxy.reload(|text| text.replacen(before, &after, 1));
        assert_eq!(alice.shown(), "principal=alice", "her ticket is as good");
        assert_eq!(revoke(), "1 session ended\n", "{after}: and it is found");
        assert_eq!(alice.shown(), "");
        eventually("alice may come again", || {
            alice.answered("/", &["X-Session-Principal: alice"]);
            alice.shown() == "principal=alice"
        });
    }
}

#[test]
fn back_channel_logs_a_principal_out_everywhere() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let mut alices: Vec<_> = (0..3).map(|_| proxy.browser()).collect();
    let mut bob = proxy.browser();
    for alice in &mut alices {
        alice.answered("/", &["X-Session-Principal: alice"]);
    }
    bob.answered("/", &["X-Session-Principal: bob"]);
    let told = proxy.browser().answered("/", &["X-Session-Principal: alice", DESTROY_ALL]);
    assert_eq!(told.set_cookies(), [""; 0], "who says so gets no session by it");
    for alice in &mut alices {
        assert_eq!(alice.shown(), "");
    }
    assert_eq!(bob.shown(), "principal=bob");
    eventually("alice may come again", || {
        alices[0].answered("/", &["X-Session-Principal: alice"]);
        alices[0].shown() == "principal=alice"
    });
}

#[test]
fn upstream_without_login_logs_nobody_out() {
    let app = App::scripted();
    let toml = format!(
        "[upstreams.part]\nservers = [\"http://{}\"]\nsession_fields = [\"*\"]\nsession_write = true\n\
         session_login = false\n[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/part\"\nupstream = \"part\"",
        app.address
    );
    let all = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true";
    let proxy = Cloakroom::before(app.address).upstream(all).config(&toml).start();
    let mut alice = proxy.browser();
    alice.answered("/", &["X-Session-Principal: alice"]);
    proxy.browser().answered("/part", &["X-Session-Principal: alice", DESTROY_ALL]);
    assert_eq!(alice.shown(), "principal=alice");
}

#[test]
fn a_login_that_is_refused_ends_nothing() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session]\nmax_sessions_per_principal = 1\non_too_many = \"refuse\"");
    let mut bob = proxy.browser();
    bob.answered("/", &["X-Session-Principal: bob"]);
    let mut alice = proxy.browser();
    alice.answered("/", &["X-Session-Principal: alice", "X-Session-Set-A: 1"]);
    let refused = alice.answered("/", &["X-Session-Principal: bob"]);
    assert_eq!((refused.status, refused.set_cookies()), (403, Vec::new()));
    assert_eq!(alice.shown(), "a=1 principal=alice", "she is still who she was");
    assert_eq!(bob.shown(), "principal=bob");
    // Her own session does not count against the one that follows it.
    assert_eq!(alice.answered("/", &["X-Session-Action: logout", "X-Session-Principal: alice"]).status, 200);
    assert_eq!(alice.shown(), "principal=alice");
}

#[test]
fn a_logout_is_never_refused_by_the_limit_on_new_sessions() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[limits]\nnew_sessions_per_address = 1");
    for farewell in ["X-Session-Principal:", "X-Session-Action: logout"] {
        let mut alice = proxy.browser();
        alice.answered("/", &["X-Session-Principal: alice"]);
        let begins = || {
            let mut visitor = proxy.browser();
            visitor.answered("/", &["X-Session-Set-A: 1"]);
            !visitor.shown().is_empty()
        };
        assert!((0..200).any(|_| !begins()), "the limit is reached");
        assert_eq!(alice.answered("/", &[farewell, "X-Session-Flash-Bye: bye"]).status, 200, "{farewell}");
        assert_eq!(alice.shown(), "bye=bye", "{farewell}");
    }
}

#[test]
fn a_straggler_evicts_nobody() {
    let desk = SessionBench::open("[session]\nmax_sessions_per_principal = 1");
    let at = |seconds| desk.opened.plus(Duration::from_secs(seconds));
    let first = desk.visit(None, login("alice"), at(0)).unwrap();
    let slow = desk.resolve(Some(&first), at(1));
    let second = desk.visit(None, login("alice"), at(2)).unwrap();
    assert_eq!(desk.principal(&first, at(3)), None, "the newer login evicted it");
    let again = SessionChanges { logout: true, ..login("alice") };
    assert_eq!(desk.commit(&slow, again, at(4)), Ok(None));
    assert_eq!(desk.principal(&second, at(5)).as_deref(), Some("alice"));
}

#[test]
fn who_logs_another_out_everywhere_stays() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let (mut admin, mut bob) = (proxy.browser(), proxy.browser());
    admin.answered("/", &["X-Session-Principal: admin"]);
    bob.answered("/", &["X-Session-Principal: bob"]);
    admin.answered("/", &["X-Session-Principal: bob", DESTROY_ALL, "X-Session-Set-Ended: bob"]);
    assert_eq!((admin.shown().as_str(), bob.shown().as_str()), ("ended=bob principal=admin", ""));
    admin.answered("/", &["X-Session-Principal: admin", DESTROY_ALL]);
    assert_eq!(admin.shown(), "", "who names themselves goes");
}

#[test]
fn a_logout_everywhere_for_another_version_ends_nothing() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session]\non_conflict = 409");
    let (mut alice, mut bob) = (proxy.browser(), proxy.browser());
    for (browser, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        browser.answered("/", &[&format!("X-Session-Principal: {name}")]);
    }
    let lines = ["X-Session-If-Version: 7", "X-Session-Principal: alice", DESTROY_ALL];
    for browser in [&mut proxy.browser(), &mut bob] {
        assert_eq!(browser.answered("/", &lines).status, 409);
        assert_eq!(alice.shown(), "principal=alice");
    }
}

#[test]
fn sessions_that_are_over_do_not_count() {
    for rule in ["refuse", "evict_oldest"] {
        let toml = format!(
            "[session]\nidle_timeout = \"1m\"\nmax_sessions_per_principal = 2\non_too_many = \"{rule}\""
        );
        let desk = SessionBench::open(&toml);
        let at = |seconds| desk.opened.plus(Duration::from_secs(seconds));
        let kept = desk.visit(None, login("alice"), at(0)).unwrap();
        desk.visit(None, login("alice"), at(1)).unwrap();
        assert_eq!(desk.principal(&kept, at(40)).as_deref(), Some("alice"), "the one stays in use");
        let third = desk.visit(None, login("alice"), at(70)).unwrap();
        for ticket in [&kept, &third] {
            assert_eq!(desk.principal(ticket, at(70)).as_deref(), Some("alice"), "{rule}");
        }
        let fourth = desk.resolve(None, at(71));
        let fourth = desk.commit(&fourth, login("alice"), at(71));
        assert_eq!(fourth.is_err(), rule == "refuse", "two are two");
    }
}

#[test]
fn login_without_a_session_honours_if_version() {
    let desk = SessionBench::open("[session]\non_conflict = 409");
    let now = desk.opened;
    let conditional = || SessionChanges { if_version: Some(7), ..login("bob") };
    let versioned = |ticket: Option<&str>, now: Timestamp| -> Result<Option<String>, StoreError> {
        desk.commit(&desk.resolve(ticket, now), conditional(), now)
    };
    assert_eq!(versioned(None, now), Ok(None), "a stranger has no version 7");
    let visitor = desk.visit(None, SessionChanges::default(), now).unwrap();
    let alice = desk.visit(Some(&visitor), login("alice"), now).unwrap();
    assert_eq!(versioned(Some(&visitor), now), Ok(None), "nor has a spent ticket");
    assert_eq!(desk.principal(&alice, now).as_deref(), Some("alice"));

    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session]\non_conflict = 409");
    let conditional = ["X-Session-If-Version: 7", "X-Session-Principal: bob"];
    let mut visitor = proxy.browser();
    visitor.get("/");
    let mut spent = visitor.clone();
    visitor.answered("/", &["X-Session-Principal: alice"]);
    for mut stranger in [proxy.browser(), spent.clone()] {
        assert_eq!(stranger.answered("/", &conditional).status, 409, "and is told so");
    }
    assert_eq!(spent.shown(), "");
}

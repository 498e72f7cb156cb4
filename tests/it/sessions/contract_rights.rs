//! What each upstream is shown and may do, how many sessions there may be, and what caches are told.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{App, Browser, Cloakroom, Response, eventually, orders};

/// Two upstreams: `/` may do all, `/part` what these rules say.
fn parted(app: &App, rules: &str, more: &str) -> Cloakroom {
    let all = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true";
    let toml = format!(
        "[upstreams.part]\nservers = [\"http://{}\"]\n{rules}\n[[routes]]\nupstream = \"app\"\n\
         [[routes]]\npath = \"/part\"\nupstream = \"part\"\n{more}",
        app.address
    );
    Cloakroom::before(app.address).upstream(all).config(&toml).start()
}

#[test]
fn an_upstream_is_shown_and_changes_only_its_own_fields() {
    let app = App::scripted();
    let rules = "session_fields = [\"cart-*\"]\nsession_write = true\nsession_login = true";
    let proxy = parted(&app, rules, "");
    for (line, all) in [
        ("X-Plain: nothing", "cart-id=1 principal=alice role=user"),
        ("X-Session-Set: cart-id=2&role=root", "cart-id=2 principal=alice role=user"),
        ("X-Session-Unset: cart-id, role", "principal=alice role=user"),
        ("X-Session-Action: clear", "principal=alice role=user"),
        ("X-Session-Incr-Cart-Id: 4", "cart-id=5 principal=alice role=user"),
        ("X-Session-Incr-Role-Count: 4", "cart-id=1 principal=alice role=user"),
        ("X-Session-Set-Json-Role: 1", "cart-id=1 principal=alice role=user"),
        ("X-Session-Flash-Role: root", "cart-id=1 principal=alice role=user"),
    ] {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Set: cart-id=1&role=user", "X-Session-Principal: alice"]);
        assert_eq!(visitor.answered("/part", &[line]).fields(), "cart-id=1 principal=alice", "{line}");
        assert_eq!(visitor.shown(), all, "{line}");
    }
}

#[test]
fn a_flash_waits_for_a_page_of_an_upstream_that_is_shown_it() {
    let app = App::scripted();
    let proxy = parted(&app, "session_fields = [\"cart-*\"]\nsession_write = true\nsession_login = true", "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Flash-Note: text", "X-Session-Flash-Cart-Note: cart"]);
    assert_eq!(visitor.get("/part").fields(), "cart-note=cart");
    assert_eq!(visitor.shown(), "note=text");
}

#[test]
fn an_upstream_that_may_not_write_or_log_in_does_not() {
    let app = App::scripted();
    for (write, login, line, wanted) in [
        (false, true, "X-Session-Set-A: 2", "a=1"),
        (false, true, "X-Session-Action: clear", "a=1"),
        (false, true, "X-Session-Incr-A: 1", "a=1"),
        (false, true, "X-Session-Unset: a", "a=1"),
        (false, true, "X-Session-Flash-B: 1", "a=1"),
        (false, true, "X-Session-Principal: alice", "a=1 principal=alice"),
        (true, false, "X-Session-Principal: alice", "a=1"),
        (true, false, "X-Session-Set-A: 2", "a=2"),
        (true, false, "X-Session-Action: clear", ""),
    ] {
        let rules = format!("session_fields = [\"*\"]\nsession_write = {write}\nsession_login = {login}");
        let proxy = parted(&app, &rules, "");
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Set-A: 1"]);
        assert_eq!(visitor.answered("/part", &[line]).status, 200);
        assert_eq!(visitor.shown(), wanted, "{rules}: {line}");
        assert_eq!(
            proxy.log().contains("session instructions were dropped"),
            wanted == "a=1",
            "{rules}: {line}"
        );
    }
}

#[test]
fn header_aliases_of_visitors_are_stripped_everywhere() {
    let app = App::scripted();
    let rules = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true\n\
                 header_aliases = { \"Remote-User\" = \"principal\", \"X-Role\" = { field = \"role\", encoding = \"percent\" }, \
                 \"X-Name\" = { field = \"role\" }, \"X-Sid\" = \"id\" }";
    let proxy = parted(&app, rules, "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Set-Role: a b", "X-Session-Principal: zo%C3%AB"]);
    visitor.get("/part");
    let told = app.last();
    // As other proxies write them, and Grafana, Gitea and Jenkins read them.
    assert_eq!(
        (told.all("remote-user"), told.all("x-name")),
        (vec!["zo\u{eb}".to_owned()], vec!["a b".to_owned()])
    );
    assert_eq!((told.all("x-role"), told.all("x-sid")), (vec!["a%20b".to_owned()], told.all("x-session-id")));
    for name in ["alice+x@example.com", "O'Brien", "a%20b", "\u{5f20}"] {
        visitor.answered(
            "/",
            &["X-Session-Principal: ", &format!("X-Session-Principal: {}", name.replace('%', "%25"))],
        );
        visitor.get("/part");
        assert_eq!(app.last().all("remote-user"), [name]);
    }
    visitor.get("/");
    assert_eq!(app.last().header("remote-user"), None, "only where it was asked for");
    for name in ["Remote-User", "remote_user", "REMOTE.USER", "Remote~User", "X_Role", "x!sid"] {
        for path in ["/", "/part"] {
            proxy.browser().get_with(path, &format!("{name}: mallory\r\nConnection: {name}\r\n"));
            let head = String::from_utf8_lossy(&app.last().head).into_owned();
            assert!(!head.contains("mallory"), "{name} on {path}: {head}");
            let mut known = visitor.clone();
            known.get_with(path, &format!("{name}: mallory\r\nConnection: Remote-User\r\n"));
            let told = app.last();
            assert!(!String::from_utf8_lossy(&told.head).contains("mallory"), "{name} on {path}");
            assert_eq!(told.all("remote-user").len(), usize::from(path == "/part"), "{name} on {path}");
        }
    }
}

#[test]
fn an_upstream_with_a_proof_gets_it_always_and_no_other_ever() {
    let app = App::scripted();
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let file = folder.path().join("proof");
    std::fs::write(&file, "open sesame").unwrap_or_else(|error| panic!("{error}"));
    let rules = format!(
        "session_fields = [\"*\"]\nsession_write = true\nsession_login = true\nproof = {{ file = \"{}\" }}",
        file.display()
    );
    let off = "[[routes]]\npath = \"/off\"\nupstream = \"part\"\nsession = \"off\"";
    let proxy = parted(&app, &rules, off);
    for _ in 0..2 {
        proxy.browser().get_with("/off", "X-Session-Meta-Proof: mine\r\n");
        assert_eq!(
            app.last().all("x-session-meta-proof"),
            ["open sesame"],
            "also where there are no sessions"
        );
        assert_eq!(app.last().header("x-session-state"), None);
        proxy.browser().get_with("/part", "X-Session-Meta-Proof: mine\r\nX_Session_Meta_Proof: mine\r\n");
        assert_eq!(app.last().all("x-session-meta-proof"), ["open sesame"]);
        proxy.browser().get_with("/", "X-Session-Meta-Proof: mine\r\n");
        assert_eq!(app.last().header("x-session-meta-proof"), None);
    }
    assert!(!proxy.log().contains("sesame"));
}

#[test]
fn create_on_write_mints_nothing_before() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[session]\ncreate = \"write\"");
    let mut visitor = proxy.browser();
    for _ in 0..2 {
        let first = visitor.get("/");
        assert_eq!((first.told("state").as_deref(), first.told("id")), (Some("none"), None));
        assert_eq!(first.set_cookies(), [""; 0]);
    }
    assert_eq!(visitor.answered("/", &["X-Session-Unset: a"]).set_cookies(), [""; 0], "nothing is kept");
    for line in
        ["X-Session-Set-A: 1", "X-Session-Flash-A: 1", "X-Session-Incr-A: 1", "X-Session-Principal: alice"]
    {
        let mut visitor = proxy.browser();
        assert_eq!(visitor.answered("/", &[line]).set_cookies().len(), 1, "{line}");
        assert_eq!(visitor.get("/").told("state").as_deref(), Some("active"), "{line}");
    }
}

/// Visitors begin sessions with this line until one is too many; the page that this one sees.
fn too_many(proxy: &Cloakroom, line: &str) -> (Browser, Response) {
    let mut visits = (0..200).map(|_| {
        let mut visitor = proxy.browser();
        let answer = visitor.answered("/", &[line]);
        (visitor.shown().is_empty(), visitor, answer)
    });
    let last = visits.find(|(was_dropped, ..)| *was_dropped);
    let (_, visitor, answer) = last.unwrap();
    (visitor, answer)
}

#[test]
fn new_sessions_per_address_are_limited_not_logins() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[limits]\nnew_sessions_per_address = 2");
    let mut early = proxy.browser();
    early.answered("/", &["X-Session-Set-A: 1"]);
    for line in ["X-Session-Set-A: 1", "X-Session-Flash-A: 1", "X-Session-Incr-A: 1"] {
        let (mut late, answer) = too_many(&proxy, line);
        assert_eq!(answer.status, 200, "{line}: the page is there, the change is not");
        assert_eq!(answer.told("state").as_deref(), Some("new"), "{line}");
        assert_eq!(late.get("/").told("state").as_deref(), Some("active"), "{line}: the ticket is");
        eventually("in the next second it is kept", || {
            late.answered("/", &["X-Session-Set-B: 1"]).status == 200 && late.shown() == "b=1"
        });
    }
    for _ in 0..5 {
        let mut alice = proxy.browser();
        assert_eq!(alice.answered("/", &["X-Session-Principal: alice", "X-Session-Set-A: 1"]).status, 200);
        assert_eq!(alice.shown(), "a=1 principal=alice");
    }
    early.answered("/", &["X-Session-Set-A: 2"]);
    assert_eq!(early.shown(), "a=2", "who is there already may write");
    assert_eq!(proxy.log().matches("too many new sessions").count(), 1, "it is told once a minute");
}

#[test]
fn what_one_address_has_too_many_is_not_what_others_lack() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[limits]\nnew_sessions_per_second = 40\n");
    let flooding = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while flooding.load(Ordering::Relaxed) {
                proxy.browser().answered("/", &["X-Session-Set-A: 1"]);
            }
        });
        eventually("a flood", || proxy.log().contains("too many new sessions"));
        for last in 1..=5 {
            let mut wire = proxy.dial_from(Ipv4Addr::new(127, 0, 1, last));
            let mut ask = |more: &str| {
                wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{more}\r\n"));
                wire.answer(false)
            };
            let answer = ask(&orders(&["X-Session-Set-B: 1"]));
            let cookies = answer.set_cookies();
            let cookie = cookies[0].split(';').next().unwrap();
            assert_eq!(ask(&format!("cookie: {cookie}\r\n")).fields(), "b=1", "the {last}th of the others");
        }
        flooding.store(false, Ordering::Relaxed);
    });
}

#[test]
fn a_principal_has_no_more_sessions_than_configured() {
    let app = App::scripted();
    let login = |proxy: &Cloakroom, name: &str| {
        let mut browser = proxy.browser();
        let status = browser.answered("/", &[&format!("X-Session-Principal: {name}")]).status;
        (browser, status)
    };
    let two = "[session]\nmax_sessions_per_principal = 2";
    let proxy = Cloakroom::with(&app, two);
    let mut all: Vec<_> = (0..3).map(|_| login(&proxy, "alice").0).collect();
    let shown: Vec<_> = all.iter_mut().map(Browser::shown).collect();
    assert_eq!(shown, ["", "principal=alice", "principal=alice"], "the oldest goes");
    all[1].answered("/", &["X-Session-Action: destroy"]);
    login(&proxy, "alice");
    assert_eq!(all[2].shown(), "principal=alice", "one that ended makes room");
    assert_eq!(login(&proxy, "bob").0.shown(), "principal=bob");

    let proxy = Cloakroom::with(&app, &format!("{two}\non_too_many = \"refuse\""));
    let mut all: Vec<_> = (0..2).map(|_| login(&proxy, "alice").0).collect();
    let (mut third, status) = login(&proxy, "alice");
    assert!(status >= 400, "{status}: an app's \"welcome\" must not go out");
    assert_eq!((third.shown().as_str(), all[0].shown().as_str()), ("", "principal=alice"));
    all[0].answered("/", &["X-Session-Principal: alice"]);
    assert_eq!(all[0].shown(), "principal=alice", "the same again is no other");
    all[0].answered("/", &["X-Session-Action: logout"]);
    third.answered("/", &["X-Session-Principal: alice"]);
    assert_eq!(third.shown(), "principal=alice");
}

#[test]
fn answer_with_a_dropped_change_stays_private() {
    let app = App::scripted();
    let full = "[store]\nkind = \"memory\"\nmax_bytes = \"1 MiB\"\n[session]\nmax_bytes = \"64 KiB\"\n\
                max_value_bytes = \"12 KiB\"\nmax_header_bytes = \"60 KiB\"\n[[routes]]\nupstream = \"app\"\n\
                on_store_failure = \"anonymous\"";
    let proxy = Cloakroom::with(&app, full);
    let mut alice = proxy.browser();
    alice.answered("/", &["X-Session-Principal: alice", "X-Session-Flash-Note: saved"]);
    let large = format!("X-Session-Set-A: {}", "x".repeat(9000));
    let refused = |n: &usize| {
        let name = format!("X-Session-Principal: p{n}");
        proxy.browser().answered("/", &[&name, &large]).status == 503
    };
    assert!((0..200).any(|n| refused(&n)), "the store is full");
    let dropped = alice.answered("/", &[&large]);
    assert_eq!((dropped.status, dropped.fields().as_str()), (200, "note=saved principal=alice"));
    assert_eq!(dropped.header("cache-control").as_deref(), Some("private"));
    assert_eq!(alice.shown(), "note=saved principal=alice", "and what it took for nothing is given back");
}

#[test]
fn personal_answer_is_not_for_shared_caches() {
    let app = App::scripted();
    for (toml, wanted) in
        [("", Some("private")), ("cache = \"no-store\"", Some("no-store")), ("cache = \"off\"", None)]
    {
        let proxy = Cloakroom::with(&app, &format!("[session]\n{toml}"));
        // Their id is told in any case.
        for (kept, personal) in [
            ("X-Session-Set-A: 1", true),
            ("X-Session-Principal: alice", true),
            ("X-Session-Flash-A: 1", true),
            ("X-Plain: 1", true),
        ] {
            let mut visitor = proxy.browser();
            visitor.answered("/", &[kept]);
            let told = visitor.get("/").header("cache-control");
            assert_eq!(told.as_deref(), wanted.filter(|_| personal), "{toml} {kept}");
            let own = "Cache-Control: max-age=5";
            visitor.answered("/", &[kept]);
            let told = visitor.answered("/", &[own]).header("cache-control");
            assert_eq!(told.as_deref(), Some("max-age=5"), "{toml} {kept}: the app has spoken");
        }
    }
}

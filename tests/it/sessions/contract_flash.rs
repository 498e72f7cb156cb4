//! What is delivered once: to the next page, to one page, and to nobody else.

use crate::support::{App, Cloakroom, RawUpstream, Request, obey};

const DOCUMENT: &str = "sec-fetch-dest: document\r\n";
const SCRIPT: &str = "sec-fetch-dest: script\r\nsec-fetch-site: same-origin\r\n";

#[test]
fn a_flash_is_shown_once_and_to_the_next_page_alone() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Flash-Note: Saved%21"]);
    let ahead = format!("{DOCUMENT}sec-purpose: prefetch;prerender\r\n");
    // By plain http browsers say only what they accept.
    let (picture, poll) = ("accept: image/avif,*/*;q=0.8\r\n", "accept: application/json\r\n");
    let script = "accept: text/html\r\nx-requested-with: XMLHttpRequest\r\n";
    for more in
        [SCRIPT, &ahead, "sec-fetch-dest: image\r\n", "sec-fetch-dest: empty\r\n", picture, poll, script]
    {
        assert_eq!(visitor.answered_as("/", more, &[]).fields(), "", "{more}");
    }
    assert_eq!(visitor.answered_as("/", DOCUMENT, &[]).fields(), "note=Saved!");
    assert_eq!(visitor.answered_as("/", DOCUMENT, &[]).fields(), "");
    // A client that does not say what it asks for is taken for a page.
    visitor.answered("/", &["X-Session-Flash-Note: a", "X-Session-Flash-Note: b", "X-Session-Flash-More: c"]);
    assert_eq!((visitor.shown(), visitor.shown()), ("more=c note=b".to_owned(), String::new()));
    // A flash and a field of one name.
    visitor.answered("/", &["X-Session-Set-Role: field", "X-Session-Flash-Role: flash"]);
    visitor.get("/");
    assert_eq!(app.last().all("x-session-role"), ["flash"], "one line, and the flash is the one");
    assert_eq!(visitor.shown(), "role=field");
    // clear takes them back.
    visitor.answered("/", &["X-Session-Flash-Note: a"]);
    visitor.answered_as("/", SCRIPT, &["X-Session-Action: clear"]);
    assert_eq!(visitor.shown(), "");
}

#[test]
fn a_flash_is_given_back_by_an_answer_that_shows_nothing() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    for (status, lines, given_back) in [
        ("200", vec![], false),
        ("404", vec![], false),
        ("301", vec![], true),
        ("302", vec![], true),
        ("303", vec!["X-Session-Set-A: 1"], true),
        ("307", vec!["X-Session-Principal: alice"], true),
        ("302", vec!["X-Session-Flash-Note: newer"], true),
        ("500", vec![], true),
        ("503", vec![], true),
        ("302", vec!["X-Session-Action: clear"], false),
        ("302", vec!["X-Session-Unset: note"], true),
    ] {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Flash-Note: text"]);
        let shown = visitor.answered_as("/", &format!("{DOCUMENT}x-status: {status}\r\n"), &lines);
        assert_eq!(shown.told("note").as_deref(), Some("text"), "{status}");
        let again = visitor.get("/").told("note");
        let newer = lines.iter().any(|line| line.contains("newer"));
        let wanted = given_back.then_some(if newer { "newer" } else { "text" });
        assert_eq!(again.as_deref(), wanted, "{status} {lines:?}");
    }
}

#[test]
fn flash_survives_a_late_redirect() {
    let app = App::scripted();
    for toml in ["", "[session]\non_conflict = 409"] {
        let proxy = Cloakroom::with(&app, toml);
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Flash-Note: text"]);
        let lines = ["X-Session-If-Version: 99", "X-Session-Set-A: 1"];
        visitor.answered_as("/", "x-status: 302\r\n", &lines);
        assert_eq!(visitor.shown(), "note=text", "{toml}");
    }
}

#[test]
fn a_flash_is_given_back_where_there_was_no_answer_at_all() {
    let app = App::start(|request| match request.path() {
        "/broken" => obey(request).with("content-length: 7"),
        _ => obey(request),
    });
    let proxy = Cloakroom::with(&app, "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Flash-Note: text"]);
    assert_eq!(visitor.get("/broken").status, 502);
    assert_eq!(visitor.shown(), "note=text");
}

#[test]
fn a_flash_of_one_person_never_reaches_the_next() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    for farewell in ["X-Session-Action: logout", "X-Session-Principal:", "X-Session-Principal: bob"] {
        for status in ["200", "302"] {
            let mut visitor = proxy.browser();
            visitor.answered("/", &["X-Session-Principal: alice", "X-Session-Flash-Secret: of alice"]);
            let more = format!("{DOCUMENT}x-status: {status}\r\n");
            visitor.answered_as("/", &more, &[farewell, "X-Session-Flash-Bye: bye"]);
            let next = visitor.get("/");
            assert_eq!(next.told("bye").as_deref(), Some("bye"), "{farewell} {status}: this answer's own");
            assert_eq!(next.told("secret"), None, "{farewell} {status}: {}", next.fields());
        }
    }
}

#[test]
fn of_two_pages_at_once_one_shows_the_flash() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    for round in 0..50 {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Flash-Note: text"]);
        let shown: usize = std::thread::scope(|scope| {
            let tabs: Vec<_> = (0..2)
                .map(|_| {
                    let mut tab = visitor.clone();
                    scope.spawn(move || usize::from(tab.shown() == "note=text"))
                })
                .collect();
            tabs.into_iter().filter_map(|tab| tab.join().ok()).sum()
        });
        assert_eq!(shown, 1, "round {round}");
        assert_eq!(visitor.shown(), "");
    }
}

#[test]
fn a_flash_waits_behind_a_gate() {
    let app = App::scripted();
    let toml = "[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/in\"\nupstream = \"app\"\n\
                require = \"principal\"\non_unauthorized = \"/login\"";
    let proxy = Cloakroom::with(&app, toml);
    for (lines, status) in [("", 401), ("sec-fetch-mode: navigate\r\n", 303)] {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Flash-Note: text"]);
        assert_eq!(visitor.get_with("/in", &format!("{DOCUMENT}{lines}")).status, status);
        assert_eq!(visitor.shown(), "note=text", "{status}: who was turned away is told at the next page");
    }
}

#[test]
fn clear_takes_the_flashes_that_its_upstream_is_shown() {
    let app = App::scripted();
    let toml = format!(
        "[upstreams.part]\nservers = [\"http://{}\"]\nsession_fields = [\"cart-*\"]\nsession_write = true\n\
         session_login = true\n[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/part\"\nupstream = \"part\"",
        app.address
    );
    let all = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true";
    let proxy = Cloakroom::before(app.address).upstream(all).config(&toml).start();
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Flash-Note: text", "X-Session-Flash-Cart-Note: cart"]);
    visitor.answered_as("/part", SCRIPT, &["X-Session-Action: clear"]);
    assert_eq!(visitor.shown(), "note=text");
}

#[test]
fn a_flash_whose_request_was_given_up_is_for_the_next_page() {
    let stage = RawUpstream::open();
    let toml = "[process]\nworkers = 1\n[limits]\nfinish_after_abort = \"200ms\"";
    let proxy = Cloakroom::before(stage.address()).config(toml).start();
    let asked = |cookie: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{cookie}\r\n"));
        let mut app = stage.accept();
        let told = Request::from(&mut app).header("x-session-note");
        (wire, app, told)
    };
    let (mut wire, mut app, _) = asked("");
    app.send(
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\nx-session-flash-note: saved\r\n\r\n",
    );
    let mut visitor = proxy.browser();
    visitor.remember(&wire.answer(false));
    let cookie = format!("cookie: cloakroom={}\r\n", visitor.ticket().unwrap_or_default());
    // The app is at work when the visitor goes, and is cut off.
    let (gone, mut app, told) = asked(&cookie);
    assert_eq!(told.as_deref(), Some("saved"));
    gone.reset();
    app.ending();
    let (_wire, _app, told) = asked(&cookie);
    assert_eq!(told.as_deref(), Some("saved"), "no answer showed it");
}

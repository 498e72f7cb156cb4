//! Where a session begins and where not, and what caches are told (`Sec-Fetch-*`, `Cache-Control`).

use crate::support::{App, Cloakroom, Reply};

/// An app that says what state it was told, adds the lines of `x-answer`, and keeps or logs in on request.
fn telling() -> App {
    App::start(|request| {
        let reply = Reply::text(request.header("x-session-state").unwrap_or_default());
        let reply = request.all("x-answer").into_iter().fold(reply, Reply::with);
        match request.path() {
            "/store" => reply.with("X-Session-Set-A: b"),
            "/login" => reply.with("X-Session-Principal: alice"),
            "/304" => reply.status(304),
            _ => reply,
        }
    })
}

/// A request of a stranger with this method, path and header lines: the state, and how many tickets came.
fn first(proxy: &Cloakroom, start: &str, lines: &str) -> (String, usize) {
    let head = format!("{start} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n{lines}\r\n");
    let answer = proxy.browser().send_raw(head.as_bytes());
    assert!(answer.status < 400, "{start} {lines}: {}", answer.status);
    (answer.text(), answer.set_cookies().len())
}

/// The Fetch Metadata of a request.
fn fetch(site: &str, mode: &str, dest: &str) -> String {
    format!("sec-fetch-site: {site}\r\nsec-fetch-mode: {mode}\r\nsec-fetch-dest: {dest}\r\n")
}

#[test]
fn session_begins_only_where_its_cookie_could_have_come() {
    let app = telling();
    let proxy = Cloakroom::before(app.address).start();
    let mut wrong = Vec::new();
    for (start, lines, state) in [
        ("GET /", String::new(), "new"),
        ("POST /", String::new(), "new"),
        ("GET /", fetch("none", "navigate", "document"), "new"),
        ("GET /", fetch("same-origin", "cors", "empty"), "new"),
        ("GET /", fetch("cross-site", "navigate", "document"), "new"),
        ("POST /", fetch("same-origin", "navigate", "document"), "new"),
        ("POST /", fetch("same-site", "navigate", "document"), "new"),
        ("POST /", fetch("cross-site", "navigate", "document"), "none"),
        ("GET /", fetch("cross-site", "cors", "empty"), "none"),
        ("GET /", fetch("cross-site", "no-cors", "empty"), "none"),
        ("GET /", fetch("cross-site", "navigate", "iframe"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "image"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "style"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "script"), "none"),
        ("GET /", fetch("same-origin", "cors", "font"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "audio"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "video"), "none"),
        ("GET /", fetch("same-origin", "no-cors", "track"), "none"),
        ("GET /", fetch("same-origin", "cors", "manifest"), "none"),
        ("GET /", "sec-purpose: prefetch\r\n".into(), "none"),
        ("GET /", "sec-purpose: prefetch;prerender\r\n".into(), "none"),
        ("GET /", "purpose: prefetch\r\n".into(), "none"),
        ("OPTIONS /", "origin: http://b\r\naccess-control-request-method: PUT\r\n".into(), "none"),
        ("OPTIONS /", String::new(), "new"),
    ] {
        let got = first(&proxy, start, &lines);
        if got != (state.to_owned(), usize::from(state == "new")) {
            wrong.push((start, lines, got));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn kept_cookie_begins_a_session_except_cross_site() {
    let app = telling();
    let proxy = Cloakroom::before(app.address).start();
    let image = fetch("same-origin", "no-cors", "image");
    let foreign = fetch("cross-site", "navigate", "document");
    for (start, lines, tickets) in [
        ("GET /store", &image, 1),
        ("POST /store", &image, 1),
        ("GET /store", &foreign, 1),
        ("POST /store", &foreign, 0),
        ("POST /login", &foreign, 1),
        ("GET /login", &image, 1),
    ] {
        assert_eq!(first(&proxy, start, lines).1, tickets, "{start} {lines}");
    }
}

#[test]
fn the_cookies_same_site_says_where_it_could_have_come() {
    let app = telling();
    let foreign = fetch("cross-site", "navigate", "document");
    for (config, get, posted) in [
        ("[session.cookie]\nsame_site = \"Strict\"", "none", "none"),
        ("[session.cookie]\nsame_site = \"Lax\"", "new", "none"),
        ("[session.cookie]\nsame_site = \"None\"\nsecure = true", "new", "new"),
        ("[[routes]]\nupstream = \"app\"\ncross_site_sessions = true", "new", "new"),
    ] {
        let proxy = Cloakroom::before(app.address).config(config).start();
        assert_eq!(first(&proxy, "GET /", &foreign).0, get, "{config}");
        assert_eq!(first(&proxy, "POST /", &foreign).0, posted, "{config}");
    }
}

#[test]
fn a_route_that_only_reads_begins_nothing_and_obeys_nothing() {
    let app = telling();
    let routes = "[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/poll\"\nsession = \"read_only\"\nupstream = \"app\"\n\
                  [[routes]]\npath = \"/login/poll\"\nsession = \"read_only\"\nupstream = \"app\"";
    let proxy = Cloakroom::before(app.address).config(routes).start();
    assert_eq!(first(&proxy, "GET /poll", ""), ("none".to_owned(), 0));
    let orders = "x-answer: X-Session-Set-A: b\r\nx-answer: X-Session-Principal: eve\r\nx-answer: X-Session-Action: destroy\r\n";
    assert_eq!(first(&proxy, "POST /poll", orders), ("none".to_owned(), 0));
    let mut visitor = proxy.browser();
    visitor.get("/login");
    let ticket = visitor.ticket();
    assert_eq!(visitor.get_with("/poll", orders).text(), "active");
    assert_eq!(app.last().header("x-session-principal").as_deref(), Some("alice"));
    visitor.get("/");
    assert_eq!(app.last().header("x-session-principal").as_deref(), Some("alice"), "still logged in");
    assert_eq!((app.last().header("x-session-a"), visitor.ticket()), (None, ticket));
}

#[test]
fn routes_of_one_realm_share_sessions_and_others_do_not() {
    let app = telling();
    let routes = "[[routes]]\nupstream = \"app\"\n[[routes]]\nhost = \"a.test\"\nrealm = \"both\"\nupstream = \"app\"\n\
                  [[routes]]\nhost = \"b.test\"\nrealm = \"both\"\nupstream = \"app\"\n\
                  [[routes]]\nhost = \"b.test\"\npath = \"/own\"\nrealm = \"own\"\nupstream = \"app\"";
    let proxy = Cloakroom::before(app.address).config(routes).start();
    let ask = |host: &str, path: &str, ticket: &str| {
        let mut browser = proxy.browser();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: cloakroom={ticket}; cloakroom-both={ticket}; cloakroom-own={ticket}\r\n\r\n"
        );
        let text = browser.send_raw(head.as_bytes()).text();
        (text, browser.jar.get("cloakroom-both").cloned())
    };
    let ticket = ask("a.test", "/login", "").1.unwrap_or_default();
    assert_eq!(ask("b.test", "/", &ticket).0, "active");
    assert_eq!(app.last().header("x-session-principal").as_deref(), Some("alice"));
    for (host, path) in [("b.test", "/own"), ("c.test", "/"), ("both", "/")] {
        assert_eq!(ask(host, path, &ticket).0, "new", "{host}{path}");
        assert_eq!(app.last().header("x-session-principal"), None);
    }
}

#[test]
fn a_ticket_never_lands_in_a_cache_that_serves_many() {
    let app = telling();
    let proxy = Cloakroom::before(app.address).start();
    for (path, lines, tickets, cache) in [
        ("/", "", 1, "private"),
        ("/", "Cache-Control: no-store", 1, "no-store"),
        ("/", "Cache-Control: private, max-age=60", 1, "private, max-age=60"),
        ("/", "Cache-Control: max-age=60", 1, "max-age=60, private"),
        // What can wait does.
        ("/", "Cache-Control: public, max-age=60", 0, "public, max-age=60"),
        ("/", "Cache-Control: max-age=60, S-MaxAge=60", 0, "max-age=60, S-MaxAge=60"),
        ("/", "CDN-Cache-Control: max-age=60", 0, ""),
        ("/", "Surrogate-Control: max-age=60", 0, ""),
        ("/304", "", 0, ""),
        // What cannot wait takes the markings out.
        ("/store", "Cache-Control: public, max-age=60", 1, "max-age=60, private"),
        ("/login", "Cache-Control: s-maxage=60", 1, "private"),
        ("/login", "CDN-Cache-Control: max-age=60", 1, "private"),
        ("/store", "Surrogate-Control: max-age=60", 1, "private"),
    ] {
        let header = if lines.is_empty() { String::new() } else { format!("x-answer: {lines}\r\n") };
        let answer = proxy.browser().get_with(path, &header);
        let told: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cache-control")).collect();
        let told: Vec<_> = told.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
        assert_eq!(
            (answer.set_cookies().len(), told.join(", ").as_str()),
            (tickets, cache),
            "{path} {lines}"
        );
        let shared = ["cdn-cache-control", "surrogate-control"].map(|name| answer.header(name).is_some());
        assert!(tickets == 0 || shared == [false, false], "{path} {lines}");
    }
}

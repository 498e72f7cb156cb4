//! Sessions as a visitor and an app see them.

use crate::support::{App, Cloakroom, Reply, Request, eventually};

/// An app that counts visits, logs in and out, and shows what it was told.
fn shop() -> App {
    App::start(|request| match request.path() {
        "/visit" => {
            let visits = request.header("x-session-visits").and_then(|value| value.parse().ok());
            let visits = visits.unwrap_or(0_u32) + 1;
            Reply::text(format!("visits={visits}")).with(format!("X-Session-Set-Visits: {visits}"))
        }
        "/login/alice" => Reply::text("in").with("X-Session-Principal: alice"),
        "/login/bob" => Reply::text("in").with("X-Session-Principal: bob"),
        "/logout" => Reply::text("out").with("X-Session-Principal:"),
        "/destroy" => Reply::text("gone").with("X-Session-Action: destroy"),
        _ => Reply::text(told(request)),
    })
}

/// State, principal and visits in one line.
fn told(request: &Request) -> String {
    let read = |name| request.header(name).unwrap_or_else(|| "-".to_owned());
    format!("{} {} {}", read("x-session-state"), read("x-session-principal"), read("x-session-visits"))
}

#[test]
fn visits_are_counted_through_set_visits() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    for count in 1..=3 {
        assert_eq!(visitor.get("/visit").text(), format!("visits={count}"));
    }
    assert_eq!(proxy.browser().get("/visit").text(), "visits=1", "another visitor has another count");
}

#[test]
fn a_visitor_is_new_once_and_then_active_under_the_same_id() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    let first = visitor.get("/");
    assert_eq!(first.text(), "new - -");
    assert_eq!(first.set_cookies().len(), 1, "{:?}", first.headers);
    let id = app.last().header("x-session-id");
    assert_eq!(visitor.get("/").text(), "active - -");
    assert!(id.is_some());
    assert_eq!(app.last().header("x-session-id"), id);
}

#[test]
fn the_ticket_never_reaches_the_app_and_other_cookies_do() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/");
    visitor.jar.insert("lang".to_owned(), "fr".to_owned());
    visitor.get("/");
    let ticket = visitor.ticket().expect("a ticket");
    assert_eq!(app.last().header("cookie").as_deref(), Some("lang=fr"));
    for request in app.received() {
        assert!(!String::from_utf8_lossy(&request.head).contains(&ticket));
    }
}

#[test]
fn the_instructions_of_the_app_never_reach_the_visitor() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let answer = proxy.browser().get("/visit");
    let leaked = answer.headers.iter().find(|(name, _)| name.to_ascii_lowercase().starts_with("x-session-"));
    assert_eq!(leaked, None);
}

#[test]
fn a_login_renews_the_ticket_and_the_old_ticket_is_a_stranger() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    let id = app.last().header("x-session-id");
    let mut thief = visitor.clone();
    visitor.get("/login/alice");
    assert_ne!(visitor.ticket(), thief.ticket(), "the ticket is replaced");
    assert_eq!(visitor.get("/").text(), "active alice 1");
    let own = app.last().header("x-session-id");
    let before = thief.ticket();
    let stolen = thief.get("/");
    assert!(stolen.text().ends_with(" - -"), "{}", stolen.text());
    assert_ne!(app.last().header("x-session-id"), own, "a stranger gets an id of its own");
    assert_eq!(thief.ticket(), before, "a straggler must not overwrite the login");
    assert_ne!(id, None);
    assert_eq!(visitor.get("/").text(), "active alice 1", "and the login goes on");
    // Logged in, then the same principal again: apps repeat themselves.
    let ticket = visitor.ticket();
    visitor.get("/login/alice");
    assert_eq!(visitor.ticket(), ticket);
}

#[test]
fn a_login_keeps_the_id_and_the_fields() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    visitor.get("/visit");
    let id = app.last().header("x-session-id");
    visitor.get("/login/alice");
    assert_eq!(visitor.get("/").text(), "active alice 2");
    assert_eq!(app.last().header("x-session-id"), id);
}

#[test]
fn a_destroyed_session_is_gone_for_every_ticket() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    visitor.get("/login/alice");
    let mut copy = visitor.clone();
    visitor.get("/destroy");
    assert_eq!(visitor.ticket(), None, "the browser is told to forget the ticket");
    assert_eq!(visitor.get("/").text(), "new - -");
    assert!(copy.get("/").text().ends_with(" - -"), "a copied ticket leads nowhere");
}

#[test]
fn bob_after_alice_sees_nothing_of_alice() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    visitor.get("/login/alice");
    visitor.get("/visit");
    let alice = app.last().header("x-session-id");
    visitor.get("/login/bob");
    assert_eq!(visitor.get("/").text(), "active bob -");
    assert_ne!(app.last().header("x-session-id"), alice);
    visitor.get("/visit");
    visitor.get("/logout");
    assert!(visitor.get("/").text().ends_with(" - -"), "nobody after bob sees nothing of bob");
}

#[test]
fn a_forged_ticket_gives_a_visitor() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    visitor.get("/login/alice");
    let good = visitor.ticket().expect("a ticket");
    let flip = |at: usize| {
        let swap = |letter| if letter == 'A' { 'B' } else { 'A' };
        good.chars().enumerate().map(|(i, c)| if i == at { swap(c) } else { c }).collect::<String>()
    };
    let mut forged: Vec<_> = (0..good.len() - 1).map(flip).collect();
    forged.extend(["", "x", "%00", "AAAAAAAA"].map(str::to_owned));
    forged.extend(["A".repeat(good.len()), good.repeat(2), good[1..].to_owned()]);
    for ticket in forged {
        let mut thief = proxy.browser();
        thief.jar.insert("cloakroom".to_owned(), ticket.clone());
        let answer = thief.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "new - -"), "{ticket}");
    }
    assert_eq!(visitor.get("/").text(), "active alice 1", "the true ticket is none the worse");
}

#[test]
fn forged_session_headers_never_reach_the_app() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut spellings = Vec::new();
    // Every character that a header name may hold and that CGI, WSGI or PHP may take for a dash.
    for dash in "!#$%&'*+-.^_`|~".chars() {
        spellings.push(format!("X{dash}Session{dash}Principal"));
        spellings.push(format!("x-session{dash}role"));
        spellings.push(format!("X{dash}SESSION-Meta-Version"));
    }
    spellings.extend(["X-Session-", "x-session-id", "X_SESSION-State"].map(str::to_owned));
    assert!(spellings.len() >= 40);
    for name in &spellings {
        let asked = app.received().len();
        let answer = proxy.browser().get_with("/", &format!("{name}: mallory\r\nX-Plain: kept\r\n"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(app.received().len(), asked + 1, "{name}");
    }
    for request in app.received() {
        let head = String::from_utf8_lossy(&request.head).into_owned();
        assert!(!head.contains("mallory"), "{head}");
        assert_eq!(request.header("x-plain").as_deref(), Some("kept"));
    }
}

#[test]
fn forged_session_trailers_never_reach_the_app() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let answer = proxy.browser().send_raw(
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-session-principal\r\n\r\n\
          2\r\nhi\r\n0\r\nX-Session-Principal: mallory\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let request = app.last();
    assert_eq!(request.body, b"hi");
    assert_eq!(request.header("x-session-principal"), None);
}

#[test]
fn a_visitor_cannot_nominate_our_headers_away() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let mut visitor = proxy.browser();
    visitor.get("/login/alice");
    let answer = visitor.get_with("/", "Connection: X-Session-Principal, X-Session-State\r\n");
    assert_eq!(answer.text(), "active alice -");
}

#[test]
fn a_posted_body_reaches_the_app_whole() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).start();
    let answer = proxy.browser().post("/", "name=Zo%C3%AB&x=1");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string()));
    assert_eq!(app.last().body, b"name=Zo%C3%AB&x=1");
}

#[test]
fn session_off_adds_nothing_and_strips_the_ticket() {
    let app = shop();
    let proxy = Cloakroom::before(app.address)
        .config("[[routes]]\nupstream = \"app\"\n\n[[routes]]\npath = \"/off\"\nupstream = \"app\"\nsession = \"off\"")
        .start();
    let mut visitor = proxy.browser();
    visitor.get("/visit");
    visitor.jar.insert("lang".to_owned(), "fr".to_owned());
    let answer = visitor.get_with("/off", "X-Session-Principal: mallory\r\n");
    assert_eq!(answer.text(), "- - -");
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(app.last().header("cookie").as_deref(), Some("lang=fr"));
}

#[test]
fn an_expired_ticket_gives_a_visitor_never_an_error() {
    let app = shop();
    let proxy = Cloakroom::before(app.address).config("[session]\nabsolute_timeout = \"1s\"").start();
    let mut visitor = proxy.browser();
    visitor.get("/login/alice");
    let mut copy = visitor.clone();
    let mut seen = String::new();
    // Each question is a request, and however often somebody asks: it ends when it must.
    eventually("the session ends", || {
        let answer = copy.get("/");
        assert_eq!(answer.status, 200);
        seen = answer.text();
        !seen.contains("alice")
    });
    assert!(seen.ends_with(" - -"), "{seen}");
    assert_eq!(visitor.get("/").status, 200);
    assert!(!visitor.get("/").text().contains("alice"));
}

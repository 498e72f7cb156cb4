//! Several cookies of our name: which one counts, and what becomes of the others.

use crate::support::{App, Cloakroom, Reply};

fn app() -> App {
    App::start(|request| match request.path() {
        "/login" => Reply::text("in").with("X-Session-Principal: alice"),
        _ => Reply::text(request.header("x-session-principal").unwrap_or_default()),
    })
}

/// The answer to a request for `/shop/cart` with this Cookie, and its Set-Cookie lines.
fn ask(proxy: &Cloakroom, host: &str, cookies: &str) -> (String, Vec<String>) {
    let mut wire = proxy.dial();
    wire.send(format!("GET /shop/cart HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\n\r\n"));
    let answer = wire.answer(false);
    (answer.text(), answer.set_cookies())
}

fn login(proxy: &Cloakroom, host: &str) -> String {
    let mut wire = proxy.dial();
    wire.send(format!("GET /login HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    let line = wire.answer(false).set_cookies().pop().unwrap_or_default();
    line.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn duplicate_tickets_beside_the_good_one_are_expired() {
    let app = app();
    let proxy = Cloakroom::before(app.address).start();
    let ticket = login(&proxy, "www.shop.test");
    let (who, lines) = ask(&proxy, "www.shop.test", &format!("cloakroom=planted; {ticket}"));
    assert_eq!(who, "alice", "a forged one beside it does no harm");
    let all = lines.join("\n");
    for wanted in ["Domain=shop.test", "Domain=www.shop.test", "Path=/shop", "Path=/shop/cart"] {
        assert!(all.contains(wanted), "{wanted} in\n{all}");
    }
    for line in &lines {
        assert!(line.starts_with("cloakroom=;") && line.contains("Max-Age=0"), "{line}");
        // Also as jars see it that know no cookie of a host alone (RFC 6265 section 5.3).
        let own = (!line.contains("Domain=") || line.contains("Domain=www.shop.test"))
            && line.split("; ").any(|part| part == "Path=/");
        assert!(!own, "our own identity is never expired: {line}");
        assert!(!line.contains("Domain=test"), "no public suffix: {line}");
    }
    assert_eq!(ask(&proxy, "www.shop.test", &ticket).1, [""; 0], "one alone is left in peace");
}

#[test]
fn fifth_ticket_is_found_once_the_others_are_expired() {
    let app = app();
    let proxy = Cloakroom::before(app.address).start();
    let ticket = login(&proxy, "a.test");
    let planted = "cloakroom=planted; ".repeat(4);
    let (who, lines) = ask(&proxy, "a.test", &format!("{planted}{ticket}"));
    assert_eq!(who, "");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("Max-Age=0")), "{lines:?}");
    assert_eq!(ask(&proxy, "a.test", &ticket).0, "alice", "nothing took its place");
}

#[test]
fn what_is_expired_fits_into_four_kibibytes() {
    let app = app();
    let proxy = Cloakroom::before(app.address).start();
    let ticket = login(&proxy, "a.test");
    let path = format!("/shop/{}", "x".repeat(3000));
    let mut wire = proxy.dial();
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\ncookie: cloakroom=x; {ticket}\r\n\r\n"));
    let lines = wire.answer(false).set_cookies();
    assert!(!lines.is_empty() && lines.iter().map(String::len).sum::<usize>() <= 4096, "{lines:?}");
}

#[test]
fn two_good_ones_of_different_sessions_are_nobodys() {
    let app = app();
    let proxy = Cloakroom::before(app.address).start();
    let (first, second) = (login(&proxy, "a.test"), login(&proxy, "a.test"));
    let (who, lines) = ask(&proxy, "a.test", &format!("{first}; {second}"));
    assert_eq!(who, "");
    assert!(lines.iter().any(|line| line.contains("Max-Age=0") && line.contains("Path=/shop")), "{lines:?}");
    let (who, _) = ask(&proxy, "a.test", &format!("{first}; {first}"));
    assert_eq!(who, "alice", "the same twice is one");
}

#[test]
fn a_nameless_cookie_of_the_app_is_not_ours_in_disguise() {
    let app = App::start(|_| {
        Reply::text("")
            .with("Set-Cookie: =cloakroom=planted; Path=/x")
            .with("Set-Cookie: =__Host-cloakroom=planted; Path=/x")
            .with("Set-Cookie: =other=fine")
    });
    let proxy = Cloakroom::before(app.address).start();
    let lines = proxy.browser().get("/").set_cookies();
    assert!(
        lines.iter().all(|line| !line.contains("planted")),
        "browsers send what comes after the =: {lines:?}"
    );
    assert!(lines.contains(&"=other=fine".to_owned()), "{lines:?}");
}

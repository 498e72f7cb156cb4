//! Cookies from before their rule: let in until the day that it says, and taken back where the app or the session ends
//! them.

use crate::support::{App, Browser, Cloakroom, line};

const KEEP: &str = "[[cookies]]\nname = \"k*\"\naction = \"keep\"\n";

fn sees(visitor: &mut Browser, path: &str) -> String {
    visitor.get(path).text()
}

/// A visitor with a login of the time before cloakroom.
fn with_old_login(proxy: &Cloakroom) -> Browser {
    let mut visitor = proxy.browser();
    visitor.jar.insert("k1".to_owned(), "old".to_owned());
    assert_eq!(sees(&mut visitor, "/"), "k1=old");
    visitor
}

#[test]
fn an_old_login_ends_when_the_app_takes_its_cookie_back() {
    let app = App::setting();
    for rule in [KEEP, "[[cookies]]\nname = \"k1\"\nrename = \"new-*\"\n"] {
        let proxy =
            Cloakroom::before(app.address).config(&format!("{rule}adopt_until = \"2999-01-31\"")).start();
        let mut visitor = with_old_login(&proxy);
        let answer = visitor.get_with("/shop/logout", &line("k1=; Path=/shop/; Domain=127.0.0.1; Max-Age=0"));
        let lines = answer.set_cookies();
        for identity in ["k1=; Path=/shop/; Domain=127.0.0.1; Max-Age=0", "k1=; Path=/; Max-Age=0"] {
            assert!(lines.iter().any(|line| line.starts_with(identity)), "{rule}: {identity}: {lines:?}");
        }
        assert_eq!(answer.header("cache-control"), Some("private".to_owned()), "{rule}");
        assert_eq!(sees(&mut visitor, "/"), "", "{rule}: logged out");
    }
}

#[test]
fn an_old_login_ends_when_its_session_does() {
    let app = App::setting();
    let config = format!("{KEEP}adopt_until = \"2999-01-31\"");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    for end in ["X-Session-Action: destroy", "X-Session-Action: logout", "X-Session-Principal: bob"] {
        let mut visitor = with_old_login(&proxy);
        visitor.get_with("/", "x-do: X-Session-Principal: alice\r\n");
        assert_eq!(sees(&mut visitor, "/"), "k1=old", "{end}: a login of its own takes nothing away");
        visitor.get_with("/", &format!("x-do: {end}\r\n"));
        assert_eq!(sees(&mut visitor, "/"), "", "{end}");
    }
}

#[test]
fn kept_cookie_is_taken_back_from_the_browser() {
    let app = App::setting();
    let config = format!("{KEEP}adopt_until = \"2999-01-31\"");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitor = with_old_login(&proxy);
    let answer = visitor.get_with("/", &line("k1=new; Path=/shop; SameSite=Strict"));
    assert!(answer.set_cookies().iter().any(|line| line.starts_with("k1=; Path=/shop; Max-Age=0")));
    assert!(!visitor.jar.contains_key("k1"));
    let link = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
    for (path, more, wanted) in [("/shop", "", "k1=new"), ("/", "", ""), ("/shop", link, "")] {
        let answer = visitor.get_with(path, &format!("cookie: k1=planted\r\n{more}"));
        assert_eq!(answer.text(), wanted, "{path} {more}");
        assert_eq!(answer.set_cookies(), [""; 0], "{path} {more}");
    }
}

#[test]
fn what_the_jar_does_not_take_the_browser_keeps() {
    let app = App::setting();
    let config = format!("{KEEP}adopt_until = \"2999-01-31\"\n[session]\njar = {{ max_cookies = 1 }}");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    // A jar that is full.
    let mut visitor = with_old_login(&proxy);
    visitor.get_with("/", &line("k2=2; Path=/"));
    let answer = visitor.get_with("/", &line("k1=new; Path=/"));
    assert!(answer.set_cookies().iter().any(|line| line.starts_with("k1=; Path=/; Max-Age=0")));
    assert_eq!(sees(&mut visitor, "/"), "k1=new", "what was used longest ago has gone for it");
    // What fits into no jar.
    let mut visitor = with_old_login(&proxy);
    let answer = visitor.get_with("/", &line(&format!("k1={}", "x".repeat(20_000))));
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(sees(&mut visitor, "/"), "k1=old");
    // An answer that came too late to change anything.
    let mut visitor = with_old_login(&proxy);
    let mut late = visitor.clone();
    visitor.get_with("/", "x-do: X-Session-Principal: alice\r\n");
    let answer = late.get_with("/", &line("k1=late; Path=/"));
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(sees(&mut visitor, "/"), "k1=old");
    // One that says what the jar holds already takes the copy back.
    visitor.get_with("/", &line("k1=new; Path=/"));
    visitor.jar.insert("k1".to_owned(), "old".to_owned());
    let answer = visitor.get_with("/", &line("k1=new; Path=/"));
    assert!(answer.set_cookies().iter().any(|line| line.starts_with("k1=; Path=/; Max-Age=0")));
}

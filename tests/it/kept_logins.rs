//! Logins of apps whose cookies are kept.

use crate::support::{App, Browser, Cloakroom, Response, line};

const VAULT: &str = "[[cookies]]\npreset = \"vault\"\n";

fn post(visitor: &mut Browser, path: &str, lines: &str) -> Response {
    let head = format!("POST {path} HTTP/1.1\r\n{}{lines}content-length: 0\r\n\r\n", visitor.lines());
    visitor.send_raw(head.as_bytes())
}

#[test]
fn the_form_that_another_site_sends_at_the_end_of_a_login_may_set_any_cookie() {
    let app = App::setting();
    let config = format!("{VAULT}[[routes]]\nupstream = \"app\"\nmint = \"always\"");
    let house = Cloakroom::before(app.address).config(&config).start();
    let from = |dest: &str| {
        format!("sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: {dest}\r\n")
    };
    for same_site in ["", "; SameSite=Lax", "; SameSite=Strict", "; SameSite=None"] {
        for known in [false, true] {
            let mut visitor = house.browser();
            if known {
                visitor.get_with("/", &line("PHPSESSID=before; Path=/"));
            }
            let set = line(&format!("PHPSESSID=saml; Path=/{same_site}"));
            let answer = post(&mut visitor, "/", &(set + &from("document")));
            assert_eq!((answer.text().as_str(), answer.set_cookies().len()), ("", 1), "{same_site} {known}");
            assert_eq!(visitor.get("/").text(), "PHPSESSID=saml", "{same_site} {known}");
        }
    }
    // In a frame it may not.
    let mut visitor = house.browser();
    post(&mut visitor, "/", &(line("PHPSESSID=framed; Path=/") + &from("iframe")));
    assert_eq!(visitor.get("/").text(), "");
}

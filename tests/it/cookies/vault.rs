//! `preset = "vault"`: the browser holds one cookie, besides those that scripts must have.

use crate::support::{App, Browser, Cloakroom, eventually, line, on_disk};

const HTTPS: &str = "x-forwarded-proto: https\r\n";
const DAYS: u64 = 86_400;
const VAULT: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[cookies]]\npreset = \"vault\"\n";

/// The app's cookies that the browser has.
fn held(visitor: &Browser) -> Vec<String> {
    let own = |name: &&String| !name.contains("cloakroom");
    visitor.jar.keys().filter(own).cloned().collect()
}

#[test]
fn scripts_read_the_tokens_that_the_app_means_for_them() {
    let app = App::setting();
    let proxy = Cloakroom::with(&app, VAULT);
    for name in ["csrftoken", "XSRF-TOKEN", "_xsrf", "my-CsrfToken", "_streamlit_xsrf"] {
        let mut visitor = proxy.browser();
        let set = |attributes: &str| format!("{HTTPS}{}", line(&format!("{name}={attributes}")));
        let answer = visitor.get_with("/", &set("1; Path=/"));
        let given = answer.set_cookies();
        let passed = given.iter().find(|line| line.starts_with(name)).map(String::as_str);
        assert_eq!(passed, Some(&*format!("{name}=1; Path=/; Secure; SameSite=Lax")), "{given:?}");
        assert_eq!(held(&visitor), [name]);
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=1"));
        // HttpOnly, so that no script is meant to read it: it is kept, and what the browser has does not count.
        visitor.get_with("/", &set("2; Path=/; HttpOnly"));
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=2"));
        visitor.jar.remove(name);
        assert_eq!(visitor.get_with("/", HTTPS).text(), format!("{name}=2"));
        visitor.get_with("/", &set("3; Path=/; HttpOnly"));
        assert_eq!(held(&visitor), [""; 0]);
        // Nor does what anybody plants for who comes anew, in whichever spelling.
        for spelling in [name.to_owned(), name.to_uppercase(), name.replace('_', "%5F").replace('-', "%2D")] {
            let planted = format!("cookie: {spelling}=evil\r\n");
            assert_eq!(proxy.browser().get_with("/", &planted).text(), "", "{spelling}");
        }
    }
}

#[test]
fn session_lasts_as_long_as_the_cookie_that_remembers() {
    let app = App::setting();
    let follows =
        |rule: &str| format!("[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[cookies]]\n{rule}\n");
    let vault = follows("preset = \"vault\"");
    let not = follows("preset = \"vault\"\nlifetime = \"session\"");
    let keep = follows("name = \"*\"\naction = \"keep\"");
    let named = follows("name = \"*\"\naction = \"keep\"\nlifetime = \"follow\"");
    for (toml, cookie, days) in [
        (&vault, "remember_me=1; Path=/; Max-Age=1209600", Some(14)),
        (&named, "remember_me=1; Path=/; Max-Age=1209600", Some(14)),
        (&vault, "wp=1; Path=/; HttpOnly; Max-Age=1209600", Some(14)),
        // Within `[session.permanent]`.
        (&vault, "remember_me=1; Path=/; Max-Age=31536000", Some(31)),
        // A preference, a cookie that ends with the browser, and rules that do not say so.
        (&vault, "lang=fr; Path=/; Max-Age=31536000", None),
        (&vault, "remember_me=1; Path=/", None),
        (&not, "remember_me=1; Path=/; Max-Age=1209600", None),
        (&keep, "remember_me=1; Path=/; Max-Age=1209600", None),
    ] {
        let proxy = Cloakroom::with(&app, toml);
        for method in ["GET", "POST"] {
            let mut visitor = proxy.browser();
            visitor.get("/");
            let mut ask = |text: &str| {
                let head = format!(
                    "{method} / HTTP/1.1\r\n{}{}content-length: 0\r\n\r\n",
                    visitor.lines(),
                    line(text)
                );
                visitor.send_raw(head.as_bytes()).set_cookies()
            };
            let lives = |lines: &[String]| -> Option<u64> {
                let (_, age) = lines.iter().find_map(|line| line.split_once("Max-Age="))?;
                age.split(';').next()?.parse().ok()
            };
            let given = ask(cookie);
            let what = format!("{method} {toml} {cookie}: {given:?}");
            // To the second in which it is answered.
            let wanted = days.map(|days: u64| days * DAYS);
            assert_eq!(lives(&given).map(|age| age.div_ceil(10) * 10), wanted, "{what}");
            // And ends with the browser again once it is gone.
            let name = cookie.split('=').next().unwrap_or_default();
            let given = ask(&format!("{name}=; Path=/; Max-Age=0"));
            assert_eq!(lives(&given), None, "{what}");
            assert!(days.is_none() || given.len() == 1, "{what}: {given:?}");
        }
    }
}

#[test]
fn what_scripts_write_reaches_the_app_and_is_told_once() {
    let app = App::setting();
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("{VAULT}{}", on_disk(&folder.path().join("s")));
    let proxy = Cloakroom::with(&app, &toml);
    let mut visitor = proxy.browser();
    // What the app sets is never the browser's to send, in no spelling, and a login is not whoever sets it.
    visitor.get_with("/", &line("cart=1; Path=/"));
    let sends = |visitor: &mut Browser, cookie: &str| {
        let mut other = visitor.clone();
        let (name, value) = cookie.split_once('=').unwrap();
        other.jar.insert(name.to_owned(), value.to_owned());
        other.get("/").text()
    };
    for _ in 0..3 {
        assert_eq!(sends(&mut visitor, "wp-settings-1=editor%3Dhtml"), "wp-settings-1=editor%3Dhtml; cart=1");
    }
    for planted in [
        "cart=2",
        "CART=2",
        "ca%72t=2",
        "cart[x]=2",
        "PHPSESSID=2",
        "my.sid=2",
        "remember_me=2",
        "x=1 cart=2",
    ] {
        assert_eq!(sends(&mut visitor, planted), "cart=1", "{planted}");
    }
    let told = || proxy.log().matches("cookie=wp-settings-1").count();
    eventually("it is told", || told() > 0);
    assert_eq!(told(), 1);
    drop(proxy);
    // And after a restart, before the app has set it again.
    let proxy = Cloakroom::with(&app, &toml);
    let mut visitor = proxy.browser();
    assert_eq!(sends(&mut visitor, "cart=2"), "");
    assert_eq!(sends(&mut visitor, "wp-settings-1=2"), "wp-settings-1=2");
}

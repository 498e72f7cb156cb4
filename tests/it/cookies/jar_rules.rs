//! Cookies that the session keeps: what reaches the app, what never reaches the browser, what renews the ticket.

use crate::support::{App, Browser, Cloakroom, eventually, line};

const TRUSTED: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const KEEP: &str = "[[cookies]]\nname = \"k*\"\naction = \"keep\"\n";

fn set(visitor: &mut Browser, text: &str) {
    let answer = visitor.get_with("/", &line(text));
    assert_eq!((answer.status, answer.set_cookies().concat().contains(text)), (200, false), "{text}");
}

fn sees(visitor: &mut Browser, path: &str) -> String {
    visitor.get(path).text()
}

#[test]
fn a_kept_cookie_is_sent_as_a_browser_would() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address).config(KEEP).start();
    let mut visitor = proxy.browser();
    for text in [
        "k1=one; Path=/",
        "k2=\"two, 2\"; Path=/shop; HttpOnly",
        "k3=3",
        "k4=4; Max-Age=0",
        "k5=5; SameSite=Strict",
    ] {
        set(&mut visitor, text);
    }
    assert_eq!(sees(&mut visitor, "/"), "k1=one; k3=3; k5=5");
    assert_eq!(sees(&mut visitor, "/shop/a"), "k2=\"two, 2\"; k1=one; k3=3; k5=5");
    assert_eq!(visitor.jar.keys().collect::<Vec<_>>(), ["cloakroom"]);
    // What the browser has of its own stands before it, byte for byte.
    visitor.jar.insert("a".to_owned(), "b=\"c".to_owned());
    assert_eq!(sees(&mut visitor, "/"), "a=b=\"c; k1=one; k3=3; k5=5");
    visitor.jar.remove("a");
    set(&mut visitor, "k1=other; Path=/");
    set(&mut visitor, "k3=; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(sees(&mut visitor, "/"), "k1=other; k5=5");
    // From another site's page: what is Strict stays.
    let link = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
    assert_eq!(visitor.get_with("/", link).text(), "k1=other");
    let other = proxy.browser().get("/").text();
    assert_eq!(other, "", "another visitor has none of it");
}

#[test]
fn old_logins_go_on_until_the_day_that_the_rule_says() {
    let app = App::setting();
    for (day, wanted) in [("2999-01-31", "k1=old"), ("2020-01-31", "")] {
        let proxy = Cloakroom::before(app.address).config(&format!("{KEEP}adopt_until = \"{day}\"")).start();
        // The app was seen to set it, for whomever.
        set(&mut proxy.browser(), "k1=other");
        let mut visitor = proxy.browser();
        assert_eq!(visitor.get_with("/", "cookie: k1=old\r\n").text(), wanted, "{day}");
        set(&mut visitor, "k1=new");
        assert_eq!(visitor.get_with("/", "cookie: k1=old\r\n").text(), "k1=new", "{day}");
    }
}

#[test]
fn kept_cookie_that_changes_renews_as_the_rule_says() {
    let app = App::setting();
    for (renew, by_get, by_post) in [("unsafe", false, true), ("always", true, true), ("off", false, false)] {
        let proxy = Cloakroom::before(app.address).config(&format!("{KEEP}renew = \"{renew}\"")).start();
        let mut visitor = proxy.browser();
        visitor.get("/");
        let mut renews = |method: &str, text: &str| {
            let before = visitor.ticket();
            let head =
                format!("{method} / HTTP/1.1\r\n{}{}content-length: 0\r\n\r\n", visitor.lines(), line(text));
            assert_eq!(visitor.send_raw(head.as_bytes()).status, 200);
            visitor.ticket() != before
        };
        assert_eq!(renews("GET", "k=1"), by_get, "{renew}");
        assert_eq!(renews("POST", "k=2"), by_post, "{renew}");
        assert!(!renews("POST", "k=2"), "{renew}: the same again changes nothing");
        assert_eq!(renews("PUT", "k=; Max-Age=0"), by_post, "{renew}: it goes");
        assert!(!renews("POST", "k=; Max-Age=0"), "{renew}: there is none");
        assert_eq!(sees(&mut visitor, "/"), "");
    }
}

#[test]
fn the_jar_of_one_app_is_not_anothers_unless_it_is_shared() {
    let (one, other) = (App::setting(), App::setting());
    for (share, wanted) in [("", ""), ("share = true", "k=1")] {
        let config = format!(
            "{KEEP}{share}\n[upstreams.other]\nservers = [\"http://{}\"]\nsession_fields = []\n\
             session_write = false\nsession_login = false\n\
             [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/other\"\nupstream = \"other\"",
            other.address
        );
        let proxy = Cloakroom::before(one.address)
            .upstream("session_fields = [\"*\"]\nsession_write = true\nsession_login = true")
            .config(&config)
            .start();
        let mut visitor = proxy.browser();
        set(&mut visitor, "k=1; Path=/");
        assert_eq!(sees(&mut visitor, "/other"), wanted, "{share}");
        assert_eq!(sees(&mut visitor, "/"), "k=1", "{share}");
    }
}

#[test]
fn a_logout_and_another_person_leave_nothing_in_the_jar() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address).config(KEEP).start();
    let act = |visitor: &mut Browser, what: &str| visitor.get_with("/", &format!("x-do: {what}\r\n"));
    for end in [
        "X-Session-Action: destroy",
        "X-Session-Action: logout",
        "X-Session-Principal:",
        "X-Session-Principal: bob",
    ] {
        let mut visitor = proxy.browser();
        act(&mut visitor, "X-Session-Principal: alice");
        set(&mut visitor, "k=secret");
        assert_eq!(sees(&mut visitor, "/"), "k=secret", "{end}");
        act(&mut visitor, "X-Session-Principal: alice");
        act(&mut visitor, "X-Session-Action: clear");
        assert_eq!(sees(&mut visitor, "/"), "k=secret", "fields are cleared, not the jar");
        act(&mut visitor, end);
        assert_eq!(sees(&mut visitor, "/"), "", "{end}");
    }
}

#[test]
fn read_only_routes_keep_cookies_in_known_sessions() {
    let app = App::setting();
    let config = format!(
        "{KEEP}[[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/poll\"\nupstream = \"app\"\nsession = \"read_only\"\n\
         [[routes]]\npath = \"/off\"\nupstream = \"app\"\nsession = \"off\""
    );
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut stranger = proxy.browser();
    let answer = stranger.get_with("/poll", &line("k=1; Path=/"));
    assert_eq!(answer.set_cookies(), [""; 0], "nothing is minted there, and nothing reaches the browser");
    let mut visitor = proxy.browser();
    visitor.get("/");
    let before = visitor.ticket();
    let head =
        format!("POST /poll HTTP/1.1\r\n{}{}content-length: 0\r\n\r\n", visitor.lines(), line("k=1; Path=/"));
    let answer = visitor.send_raw(head.as_bytes());
    assert_eq!(answer.set_cookies().len(), 1, "the renewal that the cookie asks for");
    assert_ne!(visitor.ticket(), before);
    assert_eq!(sees(&mut visitor, "/poll"), "k=1");
    assert_eq!(visitor.get_with("/off", &line("k=2; Path=/")).set_cookies(), [""; 0]);
    assert_eq!(sees(&mut visitor, "/"), "k=1", "without a session there is nothing to keep it in");
    eventually("the log tells", || proxy.log().contains("the route has no session"));
}

#[test]
fn what_cannot_be_kept_is_dropped_and_told() {
    let app = App::setting();
    let config = format!("{KEEP}[session]\njar = {{ max_cookies = 2, max_bytes = \"1 KiB\" }}");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitor = proxy.browser();
    let long = "x".repeat(1100);
    for (text, why) in [
        (format!("k1={long}"), "session.jar max_bytes"),
        ("k1=1; Domain=elsewhere.test".to_owned(), "its Domain is not"),
        ("k1=1; Secure".to_owned(), "plain http"),
        ("k1=1".to_owned(), ""),
        ("k2=2".to_owned(), ""),
        ("k3=3".to_owned(), "(session.jar max_cookies), and it was used longest ago"),
    ] {
        let answer = visitor.get_with("/", &line(&text));
        let passed = answer.set_cookies().iter().any(|line| line.starts_with('k'));
        assert!(!passed, "{text}");
        eventually(&text, || proxy.log().contains(why));
    }
    // The newest may be that of a login. k1 was sent with the request that set k3, k2 before: both as late.
    assert_eq!(sees(&mut visitor, "/"), "k2=2; k3=3");
    assert!(!proxy.log().contains(&long), "no value is logged");
}

/// All that a request is sent is used at the same moment: the login does not go because it was there first.
#[test]
fn full_jar_evicts_logins_last_and_no_other_app() {
    let (app, other) = (App::setting(), App::setting());
    let config = format!(
        "[[cookies]]\nname = \"*\"\naction = \"keep\"\n[session]\njar = {{ max_cookies = 5 }}\n[[routes]]\nupstream = \"app\"\n\
         [upstreams.other]\nservers = [\"http://{}\"]\nsession_fields = []\nsession_write = false\nsession_login = false\n\
         [[routes]]\npath = \"/other\"\nupstream = \"other\"",
        other.address
    );
    let proxy = Cloakroom::before(app.address)
        .upstream("session_fields = [\"*\"]\nsession_write = true\nsession_login = true")
        .config(&config)
        .start();
    let mut visitor = proxy.browser();
    visitor.get_with("/", &line("PHPSESSID=alice; Path=/"));
    for number in 0..12 {
        visitor.get_with("/", &line(&format!("viewed_{number}=1; Path=/")));
        assert!(sees(&mut visitor, "/").contains("PHPSESSID=alice"), "{number}");
    }
    let lines: String = (0..12).map(|number| line(&format!("junk_{number}=1; Path=/"))).collect();
    visitor.get_with("/other", &lines);
    let kept = sees(&mut visitor, "/");
    assert!(kept.contains("PHPSESSID=alice"), "{kept}");
}

#[test]
fn answer_whose_cookie_was_kept_is_for_no_shared_cache() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"k\"\naction = \"keep\"\n[[cookies]]\nname = \"d\"\naction = \"drop\"\n\
                  [[cookies]]\nname = \"s\"\naction = \"seal\"\nbind = \"session\"\n\
                  [[cookies]]\nname = \"r\"\nhttp_only = true\n\
                  [session]\ncache = \"off\"\n[[routes]]\nupstream = \"app\"\n\
                  [[routes]]\nupstream = \"app\"\npath = \"/off\"\nsession = \"off\"";
    let proxy = Cloakroom::before(app.address).config(config).start();
    let mut visitor = proxy.browser();
    visitor.get("/");
    let mut caching = |path: &str, text: &str, said: &str| {
        let answer = visitor.get_with(path, &(line(text) + &format!("x-do: {said}\r\n")));
        let lines = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>().join(", ")
    };
    for (path, text) in [
        ("/", "k=alice; Path=/"),
        ("/", "k=; Max-Age=0"),
        ("/", "k=alice; Domain=elsewhere.test"),
        ("/", "d=1"),
        ("/", "cloakroom=1"),
        ("/off", "k=alice"),
        ("/off", "s=alice"),
    ] {
        for (said, wanted) in [
            ("X-Nothing: said", "private"),
            ("Cache-Control: public, max-age=60", "max-age=60, private"),
            ("Cache-Control: no-store", "no-store"),
        ] {
            assert_eq!(caching(path, text, said), wanted, "{path} {text} {said}");
        }
    }
    for text in ["r=1", "s=sealed", "other=1"] {
        let public = "public, max-age=60";
        assert_eq!(caching("/", text, &format!("Cache-Control: {public}")), public, "{text} is there to see");
    }
}

#[test]
fn straggler_changes_no_jar_and_revives_no_session() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address).config(KEEP).start();
    let mut visitor = proxy.browser();
    set(&mut visitor, "k=before");
    let mut late = visitor.clone();
    let head = format!("POST / HTTP/1.1\r\n{}{}content-length: 0\r\n\r\n", visitor.lines(), line("k=login"));
    visitor.send_raw(head.as_bytes());
    let answer = late.get_with("/", &line("k=planted"));
    assert_eq!((answer.text().as_str(), answer.set_cookies().len()), ("", 0));
    assert_eq!(sees(&mut visitor, "/"), "k=login");
}

#[test]
fn a_hundred_answers_at_once_keep_every_cookie() {
    let app = App::setting();
    let config = format!("{KEEP}[session]\njar = {{ max_cookies = 200 }}");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut visitor = proxy.browser();
    set(&mut visitor, "k=0");
    std::thread::scope(|scope| {
        for worker in 0..10 {
            let mut tab = visitor.clone();
            scope.spawn(move || {
                for number in 0..10 {
                    tab.get_with("/", &line(&format!("k{worker}_{number}=v")));
                }
            });
        }
    });
    let seen = sees(&mut visitor, "/");
    assert_eq!(seen.split("; ").count(), 101, "{seen}");
}

#[test]
fn secure_cookies_are_kept_by_https_and_stay_over_http() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address)
        .config(&format!("{TRUSTED}{KEEP}[session.cookie]\nsecure = false"))
        .start();
    let mut visitor = proxy.browser();
    let https = "x-forwarded-proto: https\r\n";
    visitor.get_with("/", https);
    visitor.get_with("/", &(line("k=1; Secure") + https));
    assert_eq!(visitor.get_with("/", https).text(), "k=1");
    assert_eq!(sees(&mut visitor, "/"), "");
    visitor.get_with("/", &line("k=overwritten"));
    assert_eq!(visitor.get_with("/", https).text(), "k=1", "by plain http nobody overwrites it");
    let lines = app.received();
    assert!(lines[0].header("cookie").is_none());
}

#[test]
fn cross_site_link_keeps_a_strict_session() {
    let app = App::setting();
    let config = format!("{KEEP}[session.cookie]\nsame_site = \"Strict\"");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let link = "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
    // Strict keeps the ticket back, and the app takes the visitor for a new one.
    let answer = proxy.browser().get_with("/", &(line("k=new") + link));
    assert_eq!(answer.set_cookies(), [""; 0], "no ticket takes the place of the one that was kept back");
    let answer =
        proxy.browser().get_with("/", &(line("k=new") + link + "x-do: X-Session-Principal: alice\r\n"));
    assert_eq!(answer.set_cookies().len(), 1, "save where somebody logs in");
}

/// Chromium sends no `Sec-Fetch-Site` in the handshake of a WebSocket, and nobody does by plain http.
#[test]
fn a_strict_cookie_stays_where_the_origin_is_another_site() {
    let app = App::setting();
    let proxy = Cloakroom::before(app.address).config(KEEP).start();
    let mut visitor = proxy.browser();
    set(&mut visitor, "k1=1; SameSite=Strict");
    let own = format!("origin: http://{}\r\n", proxy.address);
    let all = sees(&mut visitor, "/");
    assert!(all.contains("k1=1"), "{all}");
    assert_eq!(visitor.get_with("/", &own).text(), all);
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for lines in ["origin: https://evil.test\r\n", "origin: null\r\n"] {
        let seen = visitor.get_with("/", &format!("{lines}{upgrade}")).text();
        assert!(!seen.contains("k1"), "{lines}: {seen}");
    }
}

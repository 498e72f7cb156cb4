//! Cookies on their way to the browser: the session's own as configured, the app's by their rules.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "whatever is missing fails its test, with the place"
)]

use crate::support::{App, Browser, Cloakroom, Reply, Response, eventually};

const TRUSTED: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const HTTPS: &str = "x-forwarded-proto: https\r\n";

/// An app that sets the cookies that it is sent, a line a header `x-line`, and logs in on request.
fn setting() -> App {
    App::start(|request| {
        let lines = request.all("x-line").into_iter();
        let reply = lines.fold(Reply::text(""), |reply, line| reply.with(format!("Set-Cookie: {line}")));
        match request.path().trim_start_matches("/shop") {
            "/permanent" => reply.with("X-Session-Set-A: b").with("X-Session-Action: permanent"),
            "/store" => reply.with("X-Session-Set-A: b"),
            "/destroy" => reply.with("X-Session-Action: destroy"),
            _ => reply.with(format!("X-Saw: {}", request.header("cookie").unwrap_or_default())),
        }
    })
}

/// What becomes of an app's line where these rules hold.
fn ruled(rules: &str, https: bool, lines: &[&str]) -> Vec<String> {
    let app = setting();
    let proxy = Cloakroom::before(app.address).config(&format!("{TRUSTED}{rules}")).start();
    let mut head = lines.iter().fold(String::new(), |head, line| head + "x-line: " + line + "\r\n");
    if https {
        head += HTTPS;
    }
    let mut cookies = proxy.browser().get_with("/", &head).set_cookies();
    cookies.retain(|line| !line.contains("cloakroom="));
    cookies
}

const ODD: [&str; 12] = [
    "a=b",
    "a=b; Path=/x; HttpOnly",
    "a=\"quoted, with comma\"; pAtH=/;httponly;SECURE",
    "a=b;;  ; Path = /y ;Foo=Bar; foo",
    "a=b; Expires=Sun, 06-Nov-94 08:49:37 GMT; Max-Age=no",
    "a=b; Expires=Fri, 31 Dec 9999 23:59:59 GMT; SameSite=Whatever",
    "noequals",
    "=nameless; Path=/",
    "a=b=c==; Domain=.Example.COM; Priority=High; Partitioned",
    "a={\"json\":[1,2]}; Path=/",
    "a=%00%zz; Version=1; Comment=\"x\"",
    "__Host-a=b; Secure; Path=/",
];

#[test]
fn a_logout_takes_cookies_back_as_browsers_accept_it() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"a\"\nsame_site = \"None\"\nsecure = true\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"b\"\naction = \"pass\"\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"__Host-c\"\naction = \"pass\"\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"d\"\npath = \"/app\"\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"e*\"\nrename = \"new-*\"\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"s\"\naction = \"seal\"\nbind = \"session\"\n";
    let proxy = Cloakroom::before(app.address).config(&format!("{TRUSTED}{config}")).start();
    let logged_out = |path: &str, cookies: &str, more: &str| {
        let mut visitor = proxy.browser();
        let alice = "x-do: X-Session-Principal: alice\r\n";
        let set = "x-line: b=1; Path=/; Secure; SameSite=none\r\nx-line: e1=1; Path=/deep\r\n";
        visitor.get_with("/deep/x", &format!("{alice}{set}"));
        visitor.jar.retain(|name, _| name == "cloakroom");
        let cookies = format!("{}; {cookies}", visitor.lines().trim_end());
        let end = "x-do: X-Session-Action: destroy\r\n";
        visitor
            .send_raw(format!("GET {path} HTTP/1.1\r\n{cookies}\r\n{more}{end}\r\n").as_bytes())
            .set_cookies()
    };
    let has = |lines: &[String], start: &str, end: &str| {
        assert!(lines.iter().any(|l| l.starts_with(start) && l.ends_with(end)), "{start} {end}: {lines:?}");
    };
    let lines = logged_out("/", "__Host-c=1", "");
    has(&lines, "__Host-c=; Path=/; Max-Age=0", "; Secure");
    // Those that did not come, and are known to be elsewhere.
    has(&lines, "d=; Path=/app; Max-Age=0", "");
    has(&lines, "new-e1=; Path=/deep; Max-Age=0", "");
    assert!(!lines.iter().any(|line| line.starts_with("a=") || line.starts_with("b=")), "{lines:?}");
    let lines = logged_out("/app/x", "", "");
    assert!(!lines.iter().any(|line| line.starts_with("d=")), "it would have come: {lines:?}");
    let lines = logged_out("/", "", "x-line: s=gone; Path=/x; Max-Age=0\r\n");
    has(&lines, "s=; Path=/x; Max-Age=0", "");

    // By https, in the pages of other sites too.
    let mut visitor = proxy.browser();
    let answer = visitor.get_with("/", &format!("{HTTPS}x-line: b=1; Path=/; Secure; SameSite=none\r\n"));
    let own = answer.set_cookies().iter().find(|line| line.contains("cloakroom")).unwrap().clone();
    let cookies = format!("cookie: a=1; b=1; {}\r\n", own.split(';').next().unwrap());
    let answer = visitor.get_with("/", &format!("{HTTPS}{cookies}x-do: X-Session-Action: destroy\r\n"));
    for name in ["a", "b"] {
        has(&answer.set_cookies(), &format!("{name}=; Path=/; Max-Age=0"), "; Secure; SameSite=None");
    }
}

#[test]
fn a_logout_with_many_cookies_fits_into_what_proxies_take() {
    let app = App::setting();
    let config = "[[cookies]]\npreset = \"vault\"\nadopt_until = \"2999-01-31\"";
    let proxy = Cloakroom::before(app.address).config(config).start();
    let mut visitor = proxy.browser();
    visitor.get("/");
    (0..160).for_each(|number| drop(visitor.jar.insert(format!("_ga_{number}"), "1".to_owned())));
    visitor.jar.insert("zPHPSESSID".to_owned(), "old".to_owned());
    let answer = visitor.get_with("/account/settings/logout", "x-do: X-Session-Action: destroy\r\n");
    let lines = answer.set_cookies();
    let bytes: usize = lines.iter().map(|line| "set-cookie: \r\n".len() + line.len()).sum();
    assert!(bytes < 2560, "{bytes} bytes in {} lines", lines.len());
    assert!(!visitor.jar.contains_key("zPHPSESSID") && !visitor.jar.contains_key("cloakroom"));
    eventually("the log tells", || proxy.log().contains("no room for more Set-Cookie lines"));
}

#[test]
fn cookies_without_a_rule_pass_byte_for_byte() {
    assert_eq!(ruled("", false, &ODD), ODD);
    assert_eq!(ruled("", true, &ODD), ODD);
    let other = "[[cookies]]\nname = \"other*\"\nsecure = true\npath = \"/\"\nmax_age = \"1h\"";
    assert_eq!(ruled(other, true, &ODD), ODD, "a rule for others");
}

#[test]
fn rules_set_attributes_in_place_and_leave_the_rest() {
    for (rule, line, wanted) in [
        ("domain = \"\"", "a=b; Domain=.x.test; Foo", "a=b; Foo"),
        ("domain = \"y.test\"", "a=b; domain=x.test; Foo", "a=b; domain=y.test; Foo"),
        ("domain = \"y.test\"", "a=b", "a=b; Domain=y.test"),
        ("path = \"/shop\"", "a=b; PATH=/;Foo=\"1\"", "a=b; PATH=/shop;Foo=\"1\""),
        ("path = \"\"", "a=b; Path=/x; path=/y; Foo", "a=b; Foo"),
        ("secure = true", "a=b; Foo", "a=b; Foo; Secure"),
        ("secure = false", "a=b; Secure; Foo", "a=b; Foo"),
        ("http_only = true", "a=\"x, y\"", "a=\"x, y\"; HttpOnly"),
        ("http_only = true", "a=b; httponly", "a=b; httponly"),
        ("http_only = false", "a=b; HttpOnly; Foo", "a=b; Foo"),
        ("same_site = \"Strict\"", "a=b; SameSite=none; Foo", "a=b; SameSite=Strict; Foo"),
        ("same_site = \"Lax\"", "a=b; samesite=LAX", "a=b; samesite=LAX"),
        ("max_age_limit = \"1h\"", "a=b; Max-Age=3601", "a=b; Max-Age=3600"),
        ("max_age_limit = \"1h\"", "a=b; Max-Age=3600", "a=b; Max-Age=3600"),
        ("max_age_limit = \"1h\"", "a=b", "a=b"),
        ("max_age_limit = \"1h\"", "a=b; Max-Age=0", "a=b; Max-Age=0"),
        (
            "max_age_limit = \"1h\"",
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
        ("max_age = \"1h\"", "a=; Max-Age=0", "a=; Max-Age=0"),
        ("same_site = \"None\"", "a=b", "a=b"),
        ("domain = \"y.test\"", "__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
    ] {
        let rules = format!("[[cookies]]\nname = \"*a\"\n{rule}");
        assert_eq!(ruled(&rules, false, &[line]), [wanted], "{rule}: {line}");
    }
}

#[test]
fn secure_follows_the_visitor_where_the_rule_says_auto() {
    let rules = "[[cookies]]\nname = \"*\"\nsecure = \"auto\"";
    let lines = ["a=b", "c=d; Secure"];
    assert_eq!(ruled(rules, false, &lines), lines);
    assert_eq!(ruled(rules, true, &lines), ["a=b; Secure", "c=d; Secure"]);
}

#[test]
fn a_life_that_a_rule_sets_is_told_in_both_ways() {
    let lines = ruled("[[cookies]]\nname = \"?\"\nmax_age = \"1h\"", false, &["a=b; Path=/", "ab=c"]);
    let (age, expires) = lines[0].split_once("; Expires=").unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!((age, expires.len()), ("a=b; Path=/; Max-Age=3600", 29));
    assert_eq!(lines[1], "ab=c", "? is one character");
    let far = "a=b; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=999999999";
    let limited = ruled("[[cookies]]\nname = \"a\"\nmax_age_limit = \"31d\"", false, &[far]);
    assert!(limited[0].ends_with("; Max-Age=2678400") && !limited[0].contains("9999"), "{limited:?}");
}

#[test]
fn the_first_rule_that_fits_is_the_only_one() {
    let rules = "[[cookies]]\nname = \"lang\"\npath = \"/\"\n[[cookies]]\nname = \"*\"\nhttp_only = true";
    assert_eq!(ruled(rules, false, &["lang=fr", "id=1"]), ["lang=fr; Path=/", "id=1; HttpOnly"]);
}

#[test]
fn the_app_can_neither_set_nor_see_a_cookie_of_our_name() {
    let app = setting();
    let proxy = Cloakroom::before(app.address).start();
    let ours = "x-line: cloakroom=stolen\r\nx-line: __Host-cloakroom=x; Secure; Path=/\r\nx-line: a=b\r\n";
    let answer = proxy.browser().get_with("/", ours);
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 2, "a ticket of ours and the app's a: {cookies:?}");
    assert!(!cookies.concat().contains("stolen"), "{cookies:?}");
    let line =
        "cookie: a=b; cloakroom=x;  c = d;__Host-cloakroom=y; __Secure-cloakroom=z; CLOAKROOM=own; e\r\n";
    let answer = proxy.browser().get_with("/", line);
    assert_eq!(answer.header("x-saw").as_deref(), Some("a=b;  c = d; CLOAKROOM=own; e"));
}

/// The session's own Set-Cookie of a first visit.
fn own(config: &str, path: &str, lines: &str) -> (Response, String) {
    let app = setting();
    let proxy = Cloakroom::before(app.address).config(&format!("{TRUSTED}{config}")).start();
    let answer = proxy.browser().get_with(path, lines);
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let (name, rest) = cookies[0].split_once('=').unwrap();
    let (value, attributes) = rest.split_once("; ").unwrap();
    assert!(
        value.len() > 60 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    );
    // In whatever order.
    let mut attributes: Vec<_> = attributes.split("; ").collect();
    attributes.sort_unstable();
    let line = format!("{name}; {}", attributes.join("; "));
    (answer, line)
}

#[test]
fn the_cookie_of_the_session_is_as_configured() {
    let cookie = "[session.cookie]\n";
    for (config, lines, wanted) in [
        ("", "", "cloakroom; HttpOnly; Path=/; SameSite=Lax"),
        ("", HTTPS, "__Host-cloakroom; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("name = \"sid\"", HTTPS, "__Host-sid; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("prefix = \"none\"", HTTPS, "cloakroom; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("path = \"/shop\"", HTTPS, "__Secure-cloakroom; HttpOnly; Path=/shop; SameSite=Lax; Secure"),
        (
            "domain = \"shop.test\"",
            HTTPS,
            "__Secure-cloakroom; Domain=shop.test; HttpOnly; Path=/; SameSite=Lax; Secure",
        ),
        ("domain = \"shop.test\"", "", "cloakroom; Domain=shop.test; HttpOnly; Path=/; SameSite=Lax"),
        ("secure = true", "", "__Host-cloakroom; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("secure = false", HTTPS, "cloakroom; HttpOnly; Path=/; SameSite=Lax"),
        ("http_only = false", "", "cloakroom; Path=/; SameSite=Lax"),
        ("same_site = \"Strict\"", "", "cloakroom; HttpOnly; Path=/; SameSite=Strict"),
        ("same_site = \"None\"", HTTPS, "__Host-cloakroom; HttpOnly; Path=/; SameSite=None; Secure"),
        (
            "partitioned = true",
            HTTPS,
            "__Host-cloakroom; HttpOnly; Partitioned; Path=/; SameSite=Lax; Secure",
        ),
    ] {
        let (answer, line) = own(&format!("{cookie}{config}"), "/shop/store", lines);
        assert_eq!(line, wanted, "{config}");
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("private")), "{config}");
    }
}

#[test]
fn permanent_cookie_lasts_as_long_as_its_session() {
    let app = setting();
    let proxy = Cloakroom::before(app.address).start();
    // Made permanent on a later visit, and with the very first answer, after which the ticket has yet to come back.
    for before in ["/", "/permanent"] {
        let mut visitor = proxy.browser();
        let mut lines = visitor.get(before).set_cookies();
        let after = if before == "/" { "/permanent" } else { "/" };
        lines.extend(visitor.get(after).set_cookies());
        let last = lines.pop().unwrap_or_default();
        assert!(
            last.contains("; Max-Age=2678400") && last.contains("; Expires="),
            "{before}, {after}: {last}"
        );
    }
}

#[test]
fn permanent_cookie_is_sent_again_over_time() {
    let app = setting();
    let proxy = Cloakroom::before(app.address).config("[session]\ntouch_interval = \"0s\"").start();
    // Whether the app keeps something in each answer or not.
    for path in ["/", "/store"] {
        let mut visitor = proxy.browser();
        visitor.get("/");
        visitor.get("/permanent");
        eventually(path, || visitor.get(path).set_cookies().concat().contains("; Max-Age="));
    }
}

/// Asks with a cookie of this name, by https or not; whether the session was known.
fn known(browser: &mut Browser, name: &str, value: &str, lines: &str) -> bool {
    browser.jar.clear();
    browser.jar.insert(name.to_owned(), value.to_owned());
    browser.get_with("/", lines).set_cookies().is_empty()
}

#[test]
fn on_https_only_the_prefixed_name_is_read() {
    let app = setting();
    let proxy = Cloakroom::before(app.address).config(TRUSTED).start();
    let mut browser = proxy.browser();
    browser.get_with("/store", HTTPS);
    let ticket = browser.jar.get("__Host-cloakroom").cloned().unwrap_or_else(|| panic!("{:?}", browser.jar));
    assert!(known(&mut browser, "__Host-cloakroom", &ticket, HTTPS));
    assert!(!known(&mut browser, "cloakroom", &ticket, HTTPS), "a name that anyone on the network can plant");
    assert!(!known(&mut browser, "__Secure-cloakroom", &ticket, HTTPS));
    assert!(!known(&mut browser, "__host-cloakroom", &ticket, HTTPS));
}

#[test]
fn an_expired_cookie_is_taken_back_where_it_was_given() {
    let app = setting();
    let config = format!("{TRUSTED}[session.cookie]\npath = \"/shop\"\ndomain = \"shop.test\"");
    let proxy = Cloakroom::before(app.address).config(&config).start();
    let mut browser = proxy.browser();
    browser.get_with("/shop/store", HTTPS);
    let answer = browser.get_with("/shop/destroy", HTTPS);
    let line = answer.set_cookies().concat();
    for part in ["__Secure-cloakroom=;", "Path=/shop", "Domain=shop.test", "Secure", "Max-Age=0"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(browser.jar.len(), 0);
}

#[test]
fn several_tickets_at_once_lead_to_one_session_or_to_none() {
    let app = App::start(|request| match request.path() {
        "/login" => Reply::text("").with("X-Session-Principal: alice"),
        _ => Reply::text(request.header("x-session-principal").unwrap_or_default()),
    });
    let proxy = Cloakroom::before(app.address).start();
    let login = || {
        let mut visitor = proxy.browser();
        visitor.get("/login");
        visitor.ticket().unwrap()
    };
    let (one, other) = (login(), login());
    let ours = |values: &[&str]| {
        let pairs: Vec<_> = values.iter().map(|value| format!("cloakroom={value}")).collect();
        format!("cookie: {}\r\n", pairs.join("; "))
    };
    for (lines, who) in [
        (ours(&[&one]), "alice"),
        (ours(&[&one, &one]), "alice"),
        (ours(&["x", "", &one]), "alice"),
        (ours(&[&one, "x"]), "alice"),
        (ours(&["x"]) + &ours(&[&one]), "alice"),
        (ours(&[&one, &other]), ""),
        (ours(&[&other]) + &ours(&[&one]), ""),
        (ours(&["1", "2", "3", "4", &one]), ""),
        (ours(&[&format!("\"{one}\"")]), ""),
        (format!("cookie: x=\"a; cloakroom={one}; b\"\r\n"), "alice"),
        (format!("cookie: $Version=1; cloakroom={one}; $Path=/\r\n"), "alice"),
        (format!("cookie: Cloakroom={one}\r\n"), ""),
    ] {
        assert_eq!(proxy.browser().get_with("/", &lines).text(), who, "{lines}");
    }
}

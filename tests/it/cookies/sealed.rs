//! Cookies that the browser holds and cannot read, or holds under another name; what is only reported; what goes at
//! logout.

use std::time::SystemTime;

use cloakroom::testing::{
    config::{CookieAction, CookieRule},
    cookies::{CookieRules, CookieScope, LineVerdict, NameWork, PairContext, SealedFor},
    crypto::KeySecrets,
    message::cookie::{RetainedLine, edit},
};

use crate::support::{App, Browser, Cloakroom, Wire, eventually, line};

const TRUSTED: &str = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const HTTPS: &str = "x-forwarded-proto: https\r\n";
const SEAL: &str = "[[cookies]]\nname = \"s*\"\naction = \"seal\"\n";

/// What the browser gets for these lines, without the session's own.
fn given(visitor: &mut Browser, head: &str) -> Vec<String> {
    let mut lines = visitor.get_with("/", head).set_cookies();
    lines.retain(|line| !line.contains("cloakroom="));
    lines
}

fn proxy(app: &App, config: &str) -> Cloakroom {
    Cloakroom::before(app.address).config(&format!("{TRUSTED}{config}")).start()
}

#[test]
fn sealed_value_is_opened_for_the_app_alone() {
    let app = App::setting();
    let proxy = proxy(&app, SEAL);
    let mut visitor = proxy.browser();
    for value in ["1", "user=alice", "\"quoted, with \\\" and comma\"", "", "ü"] {
        let lines = given(&mut visitor, &line(&format!("sid={value}; Path=/; Foo=\"bar\"")));
        let (sealed, rest) = lines[0].split_once(';').unwrap_or_default();
        assert_eq!(rest, " Path=/; Foo=\"bar\"");
        assert!(sealed.starts_with("sid=") && sealed.len() > 40 && !sealed.contains("alice"), "{sealed}");
        visitor.jar.insert("a".to_owned(), "1".to_owned());
        assert_eq!(visitor.get("/").text(), format!("a=1; sid={value}"));
    }
}

#[test]
fn sealed_cookies_with_a_bit_changed_never_pass() {
    let app = App::setting();
    let proxy = proxy(&app, SEAL);
    let mut visitor = proxy.browser();
    let mut sealed = Vec::new();
    // As many lines as an answer may have, twice.
    for half in [0..50, 50..100] {
        let lines: String = half.map(|number| line(&format!("s{number}=v{number}"))).collect();
        for line in given(&mut visitor, &lines) {
            let (name, value) = line.split_once('=').unwrap_or_default();
            sealed.push((name.to_owned(), value.to_owned()));
        }
    }
    assert_eq!(sealed.len(), 100);
    let ask = |wire: &mut Wire, cookie: &[u8]| {
        wire.send([b"GET / HTTP/1.1\r\nhost: a.test\r\ncookie: ", cookie, b"\r\n\r\n"].concat());
        wire.answer(false).text()
    };
    let mut seen = 0;
    for (number, (name, value)) in sealed.iter().enumerate() {
        let mut wire = proxy.dial();
        // Each bit of one letter in eight, another letter for each cookie: in all every letter and every bit.
        for at in (number % 8..value.len()).step_by(8) {
            for bit in 0..8 {
                let mut bent = value.clone().into_bytes();
                bent[at] ^= 1 << bit;
                // What no header can hold never comes so far.
                if bent[at] < b' ' || bent[at] == 0x7f {
                    continue;
                }
                let answer = ask(&mut wire, &[name.as_bytes(), b"=", &bent].concat());
                assert!(!answer.contains(name.as_str()), "{name}: letter {at}, bit {bit}: {answer}");
                seen += 1;
            }
        }
    }
    assert!(seen > 3000, "{seen}");
}

#[test]
fn sealed_cookie_is_bound_to_name_host_and_key() {
    let app = App::setting();
    let (one, other) = (proxy(&app, SEAL), proxy(&app, SEAL));
    let at = |proxy: &Cloakroom, host: &str, cookie: &str, more: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n{more}\r\n"));
        wire.answer(false)
    };
    let lines = at(&one, "a.test", "x=1", &line("sid=secret")).set_cookies();
    let sealed =
        lines.iter().find_map(|line| line.strip_prefix("sid=")).map(str::to_owned).unwrap_or_default();
    let wanted = "x=1; sid=secret";
    assert_eq!(at(&one, "a.test", &format!("x=1; sid={sealed}"), "").text(), wanted);
    for (proxy, host, name) in [
        (&one, "a.test", "sid2"),
        (&one, "a.test", "s"),
        (&one, "b.test", "sid"),
        (&one, "b.a.test", "sid"),
        (&other, "a.test", "sid"),
    ] {
        assert_eq!(at(proxy, host, &format!("x=1; {name}={sealed}"), "").text(), "x=1", "{host} {name}");
    }
    for plain in ["secret", "", "AAAA"] {
        assert_eq!(at(&one, "a.test", &format!("x=1; sid={plain}"), "").text(), "x=1", "{plain}");
    }
    assert_eq!(at(&one, "a.test", &format!("x=1; sid={sealed}="), "").text(), "x=1");
}

#[test]
fn a_key_that_was_replaced_still_opens_what_it_sealed() {
    let scope = CookieScope {
        host: "a.test",
        path: "/",
        request_paths: &[],
        upstream: "app",
        https: true,
        realm: (b'h', "a.test"),
        now: SystemTime::UNIX_EPOCH,
    };
    let rule = CookieRule { name: "*".into(), action: CookieAction::Seal, ..CookieRule::default() };
    let ring = |current, previous: &[[u8; 32]]| {
        CookieRules::build(std::slice::from_ref(&rule), &KeySecrets::new(current, previous.iter().copied()))
    };
    let (old, between) = (ring([1; 32], &[]), ring([2; 32], &[[1; 32]]));
    let after = ring([3; 32], &[[2; 32]]);
    for number in 0..1000 {
        let line = format!("sid=value{number}");
        let sealed = |rules: &CookieRules| match rules.apply(line.as_bytes(), &scope, SealedFor::Later) {
            LineVerdict::Rewritten(sealed) => sealed,
            other => panic!("{other:?}"),
        };
        let opened = |rules: &CookieRules, sealed: &[u8]| {
            let work = NameWork::default();
            let sent = PairContext::alone(&scope, &work);
            edit(sealed, |pair| rules.read(pair, &sent))
        };
        let wanted = RetainedLine::Changed(line.clone().into_bytes());
        assert_eq!(opened(&between, &sealed(&old)), wanted, "with the old key as a previous one");
        assert_eq!(opened(&after, &sealed(&between)), wanted, "the current one seals");
        assert_eq!(opened(&after, &sealed(&old)), RetainedLine::Empty, "without it");
    }
}

#[test]
fn a_cookie_bound_to_its_session_ends_with_it() {
    let app = App::setting();
    let proxy = proxy(&app, &format!("{SEAL}bind = \"session\""));
    let mut alice = proxy.browser();
    // In the very answer that begins the session.
    let lines = given(&mut alice, &line("sid=secret; Path=/x"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(alice.get("/").text(), "sid=secret");
    let mut thief = proxy.browser();
    thief.get("/");
    thief.jar.insert("sid".to_owned(), alice.jar["sid"].clone());
    assert_eq!(thief.get("/").text(), "", "in another session");
    thief.jar.remove("cloakroom");
    assert_eq!(thief.get("/").text(), "", "in none");
    let old = alice.jar["sid"].clone();
    let lines = alice.get_with("/x/out", "x-do: X-Session-Action: destroy\r\n").set_cookies();
    assert!(lines.iter().any(|line| line.starts_with("sid=; Path=/x; Max-Age=0")), "{lines:?}");
    alice.get("/");
    alice.jar.insert("sid".to_owned(), old);
    assert_eq!(alice.get("/").text(), "", "after its end");
    // Another person: what this answer sets is theirs.
    let mut shared = proxy.browser();
    given(&mut shared, "x-do: X-Session-Principal: alice\r\n");
    given(&mut shared, &(line("sid=alices") + &line("s2=alices")));
    let lines = given(&mut shared, &(line("sid=bobs") + "x-do: X-Session-Principal: bob\r\n"));
    assert!(lines.iter().any(|line| line.starts_with("s2=;")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("sid=;")), "what was set just now stays: {lines:?}");
    assert_eq!(shared.get("/").text(), "sid=bobs");
}

#[test]
fn what_cannot_be_sealed_never_passes_in_clear() {
    let app = App::setting();
    let proxy =
        proxy(&app, &format!("{SEAL}bind = \"session\"\n[[cookies]]\nname = \"t\"\naction = \"seal\""));
    let mut visitor = proxy.browser();
    visitor.get("/");
    let long = "y".repeat(3100);
    let nobody = "sec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\n";
    for (text, more, why) in [
        (format!("t={long}"), "", "longer than 4096 bytes"),
        ("t=1; Partitioned".to_owned(), "", "Partitioned needs Secure"),
        ("sid=secret".to_owned(), nobody, "no session to bind it to"),
    ] {
        let mut visitor = if more.is_empty() { visitor.clone() } else { proxy.browser() };
        assert_eq!(given(&mut visitor, &(line(&text) + more)), [""; 0], "{why}");
        eventually(why, || proxy.log().contains(why));
    }
    assert!(!proxy.log().contains("yyyy"));
}

#[test]
fn renamed_cookie_reaches_the_app_under_its_own_name() {
    let app = App::setting();
    let rename = "[[cookies]]\nname = \"sid\"\nrename = \"__Host-*\"\nhttp_only = true";
    let proxy = proxy(&app, rename);
    let mut visitor = proxy.browser();
    let lines = given(&mut visitor, &(line("sid=1; Domain=a.test; path=/shop; Foo") + HTTPS));
    assert_eq!(lines, ["__Host-sid=1; path=/; Foo; HttpOnly; Secure"]);
    for (cookie, more, wanted) in [
        ("__Host-sid=1; b=2", HTTPS, "sid=1; b=2"),
        ("sid=planted; __Host-sid=1;  b=2", HTTPS, "sid=1;  b=2"),
        ("sid=planted; b=2", HTTPS, "b=2"),
        ("sid=planted; b=2", "", "sid=planted; b=2"),
        ("__host-sid=1; __Host-other=2", HTTPS, "__host-sid=1; __Host-other=2"),
    ] {
        let answer = proxy.browser().get_with("/", &format!("cookie: {cookie}\r\n{more}"));
        assert_eq!(answer.text(), wanted, "{cookie} {more}");
    }
    assert_eq!(
        given(&mut visitor, &line("sid=1")),
        ["sid=1; HttpOnly"],
        "by plain http there is no such prefix"
    );
    let ours =
        Cloakroom::before(app.address).config("[[cookies]]\nname = \"*\"\nrename = \"cloak*\"").start();
    let lines = ours.browser().get_with("/", &(line("room=planted") + &line("a=1"))).set_cookies();
    assert!(!lines.concat().contains("planted") && lines.contains(&"cloaka=1".to_owned()), "{lines:?}");
    let both = format!("{rename}\naction = \"seal\"\nadopt_until = \"2999-01-01\"");
    let proxy = Cloakroom::before(app.address).config(&format!("{TRUSTED}{both}")).start();
    let mut visitor = proxy.browser();
    let lines = given(&mut visitor, &(line("sid=secret") + HTTPS));
    assert!(lines[0].starts_with("__Host-sid=") && !lines[0].contains("secret"), "{lines:?}");
    assert_eq!(visitor.get_with("/", HTTPS).text(), "sid=secret");
}

#[test]
fn what_is_dropped_or_passed_and_where_rules_hold() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"t*\"\nhost = \"*.shop.test\"\naction = \"drop\"\n\
                  [[cookies]]\nname = \"t*\"\nrequest_path = \"/a b\"\naction = \"pass\"\n\
                  [[cookies]]\nname = \"*\"\nupstream = \"app\"\nhttp_only = { default = true }\n";
    let proxy = proxy(&app, config);
    for (host, path, wanted) in [
        ("www.shop.test", "/", None),
        ("shop.test", "/", Some("t=1; HttpOnly")),
        ("shop.test", "/a%20b/c", Some("t=1")),
        ("shop.test", "/x/..//%61%20b", Some("t=1")),
        ("shop.test", "/a%20bc", Some("t=1; HttpOnly")),
    ] {
        let mut wire = proxy.dial();
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{}\r\n", line("t=1")));
        let lines = wire.answer(false).set_cookies();
        assert_eq!(
            lines.iter().find(|line| line.starts_with('t')).map(String::as_str),
            wanted,
            "{host}{path}"
        );
    }
}

#[test]
fn a_report_changes_nothing_and_tells_once_what_would_be() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"s\"\naction = \"keep\"\nreport = true\n\
                  [[cookies]]\nname = \"*\"\nsecure = true\nmax_age = \"1h\"\nrename = \"x-*\"\nreport = true\n";
    let proxy = proxy(&app, config);
    let mut visitor = proxy.browser();
    for _ in 0..3 {
        assert_eq!(
            given(&mut visitor, &(line("s=topsecret") + &line("t=topsecret; Path=/"))),
            ["s=topsecret", "t=topsecret; Path=/"]
        );
        assert_eq!(visitor.get("/").text(), "s=topsecret; t=topsecret");
    }
    for wanted in ["kept in the session", "named x-t, with Secure, with Max-Age=3600, with Expires"] {
        eventually(wanted, || proxy.log().contains(wanted));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        assert!((1..=workers).contains(&proxy.log().matches(wanted).count()), "once by each worker at most");
    }
    assert!(!proxy.log().contains("topsecret"));
}

#[test]
fn cookies_that_are_to_go_at_logout_go_and_others_stay() {
    let app = App::setting();
    let config = "[[cookies]]\nname = \"cart\"\naction = \"pass\"\nlogout = \"expire\"\n\
                  [[cookies]]\nname = \"id\"\nlogout = \"expire\"\nrename = \"id-*\"\npath = \"/x\"\ndomain = \"\"";
    let proxy = proxy(&app, config);
    let mut visitor = proxy.browser();
    given(&mut visitor, "x-do: X-Session-Principal: alice\r\n");
    given(
        &mut visitor,
        &(line("cart=1; Path=/deep/down; Domain=127.0.0.1") + &line("id=2") + &line("lang=fr")),
    );
    assert_eq!(visitor.get("/").text(), "cart=1; id=2; lang=fr");
    let lines = given(&mut visitor, "x-do: X-Session-Action: renew\r\n");
    assert_eq!(lines, [""; 0], "nothing ended");
    let answer = visitor.get_with("/deep/down/out", "x-do: X-Session-Principal:\r\n");
    let lines = answer.set_cookies();
    let gone = "Max-Age=0";
    for line in
        [format!("cart=; Path=/deep/down; Domain=127.0.0.1; {gone}"), format!("cart=; Path=/; {gone}")]
    {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    let id: Vec<_> = lines.iter().filter(|line| line.starts_with("id")).collect();
    assert_eq!(id, [&format!("id-id=; Path=/x; {gone}")], "the rule says where it is");
    assert_eq!(visitor.get("/").text(), "lang=fr");
}

#[test]
fn expire_at_logout_covers_all_identities_of_a_cookie() {
    let app = App::setting();
    let proxy = proxy(&app, "[[cookies]]\nname = \"remember\"\nlogout = \"expire\"\n");
    let (mut alice, mut bob) = (proxy.browser(), proxy.browser());
    for (visitor, name) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        let lines = line(&format!("remember=1; Path=/{name}"));
        visitor.get_with(&format!("/{name}/in"), &format!("{lines}x-do: X-Session-Principal: {name}\r\n"));
    }
    let answer = alice.get_with("/alice/out", "x-do: X-Session-Action: destroy\r\n");
    let lines: Vec<_> = answer.set_cookies().into_iter().filter(|l| l.starts_with("remember=")).collect();
    for path in ["/", "/alice", "/alice/"] {
        assert!(lines.iter().any(|line| line.contains(&format!("Path={path};"))), "{path}: {lines:?}");
    }
    assert!(!lines.iter().any(|line| line.contains("/bob")), "{lines:?}");
}

#[test]
fn findings_about_an_apps_cookies_are_told_once() {
    let app = App::setting();
    let proxy = proxy(&app, "");
    let mut visitor = proxy.browser();
    for number in 0..5 {
        given(&mut visitor, &(line(&format!("PHPSESSID=topsecret{number}; path=/")) + HTTPS));
    }
    for finding in ["no Secure", "no HttpOnly", "no SameSite"] {
        eventually(finding, || proxy.log().contains(finding));
        assert_eq!(proxy.log().matches(finding).count(), 1, "{}", proxy.log());
    }
    assert!(!proxy.log().contains("topsecret"));
}

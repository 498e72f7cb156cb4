//! Sessions that visitors carry themselves, sealed: what is refused, what fits, what outlives a process and a key.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{App, Browser, Cloakroom, KIND, Response, SessionBench, Wire, key, login};
use cloakroom::testing::{record::FieldValue, session::SessionChanges};

/// Tests of the contract that a session which travels cannot pass, and why.
const CANNOT: &[(&str, &str)] = &[
    // One cookie is not kept beside another, whichever answer comes last.
    ("contract_races::", "of two answers at a time the later one's copy is what the browser has"),
    ("jar_rules::a_hundred_answers_at_once_keep_every_cookie", "the same"),
    ("contract_flash::of_two_pages_at_once_one_shows_the_flash", "each has a copy with the flash"),
    // Nobody can be logged out who is not there.
    ("destroy_principal_ends_all_their_sessions", "nobody knows which sessions a principal has"),
    ("login_from_before_a_global_logout", "the same"),
    ("logs_a_principal_out_everywhere", "the same"),
    ("who_logs_another_out_everywhere_stays", "the same"),
    ("a_name_on_one_site_is_nobody_on_another", "the same"),
    ("a_login_that_is_refused_ends_nothing", "nobody counts them"),
    ("a_principal_has_no_more_sessions_than_configured", "the same"),
    ("invented_host_counts_as_the_same_principal", "the same; it says itself where sessions are kept"),
    // The cookie changes with what is in it, and with it go its Set-Cookie and `private`.
    (
        "a_key_of_mod_session_is_the_field_of_its_name_in_every_rule",
        "the test takes a new cookie for a renewal",
    ),
    ("kept_cookie_that_changes_renews_as_the_rule_says", "the same"),
    (
        "personal_answer_is_not_for_shared_caches",
        "an answer with a Set-Cookie is private, whatever `cache` says",
    ),
];

/// TOML for sessions that travel, under the key that [`key`] wrote as this.
pub(crate) fn sealed(more: &str, current: &str) -> String {
    format!("[store]\nkind = \"cookie\"\n{more}\n[keys]\ncurrent = {current}\n")
}

/// The lines of Set-Cookie that are the session's.
fn own(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("cloakroom")).collect()
}

fn set(name: &str, value: &str) -> String {
    format!("X-Session-Set-{name}: {value}")
}

/// Where the tests of the contract are.
const CONTRACT: &[&str] = &[
    "sessions::contract",
    "sessions::endings::",
    "sessions::events::",
    "sessions::new_sessions::",
    "sessions::withheld_cookies::",
    "cookies::jar_rules::",
    "cookies::kept_logins::",
    "routes::gates::",
    "http1::tunnels::tunnels_end",
    "http1::tunnels::a_login",
];

#[test]
fn contract_holds_for_client_side_sessions() {
    let this_program = |arguments: &[&str]| {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).args(arguments).env(KIND, "cookie").output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    let list = this_program(&["--list"]);
    let all: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    // A name that finds nothing is one that was changed elsewhere.
    for part in CONTRACT.iter().chain(CANNOT.iter().map(|(test, _)| test)) {
        assert!(all.iter().any(|name| name.contains(part)), "no test is named {part}");
    }
    let chosen = all.into_iter().filter(|name| {
        CONTRACT.iter().any(|start| name.starts_with(start))
            && !CANNOT.iter().any(|(test, _)| name.contains(test))
    });
    let arguments: Vec<&str> = std::iter::once("--exact").chain(chosen).collect();
    let text = this_program(&arguments);
    assert!(text.contains(&format!("test result: ok. {} passed", arguments.len() - 1)), "{text}");
}

#[test]
fn sealed_session_is_set_again_only_when_it_changes() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Cloakroom::with(&app, &sealed("", &key(folder.path(), "key")));
    let mut visitor = proxy.browser();
    let first = visitor.answered("/", &[&set("Cart", "forty-two"), "X-Session-Principal: alice"]);
    assert_eq!(own(&first.set_cookies()).len(), 1);
    let ticket = visitor.ticket().expect("a cookie");
    assert!(!ticket.contains("alice") && !ticket.contains("forty"), "{ticket}");
    for _ in 0..3 {
        let page = visitor.get("/");
        assert_eq!(page.fields(), "cart=forty-two principal=alice");
        assert_eq!(page.set_cookies(), [""; 0], "nothing changed");
        assert!(!String::from_utf8_lossy(&page.body).contains("cloakroom="));
    }
    let same = visitor.answered("/", &[&set("Cart", "forty-two")]);
    assert_eq!(same.set_cookies(), [""; 0], "the same again is no change");
    assert_eq!(own(&visitor.answered("/", &[&set("Cart", "43")]).set_cookies()).len(), 1);
    assert_eq!(visitor.shown(), "cart=43 principal=alice");
}

/// What an app is told of a visitor who shows this.
fn told(wire: &mut Wire, host: &str, cookie: &[u8]) -> (u16, String) {
    wire.send([b"GET / HTTP/1.1\r\nhost: ", host.as_bytes(), b"\r\ncookie: ", cookie, b"\r\n\r\n"].concat());
    let answer = wire.answer(false);
    (answer.status, answer.fields())
}

#[test]
fn sealed_sessions_with_a_bit_changed_are_refused() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Cloakroom::with(&app, &sealed("", &key(folder.path(), "key")));
    let mut tried = 0;
    for number in 0..100 {
        let mut visitor = proxy.browser();
        visitor.answered("/", &[&set("N", &number.to_string()), "X-Session-Principal: alice"]);
        let value = visitor.ticket().expect("a cookie");
        let mut wire = proxy.dial();
        let host = proxy.address.to_string();
        assert_eq!(
            told(&mut wire, &host, format!("cloakroom={value}").as_bytes()).1,
            format!("n={number} principal=alice")
        );
        // Each bit of one letter in twenty-five, another letter for each cookie: in all every letter and every bit.
        for at in (number % 25..value.len()).step_by(25) {
            for bit in 0..8 {
                let mut bent = value.clone().into_bytes();
                bent[at] ^= 1 << bit;
                // What no header can hold never comes so far.
                if bent[at] < b' ' || bent[at] == 0x7f {
                    continue;
                }
                let (status, fields) = told(&mut wire, &host, &[b"cloakroom=", &bent[..]].concat());
                assert_eq!((status, fields.as_str()), (200, ""), "cookie {number}, letter {at}, bit {bit}");
                tried += 1;
            }
        }
    }
    assert!(tried > 5_000, "{tried}");
    assert!(!proxy.log().contains("ERROR"), "{}", proxy.log());
}

#[test]
fn not_one_bit_of_a_hundred_sealed_sessions_can_be_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = SessionBench::open(&sealed("", &key(folder.path(), "key")));
    let now = desk.opened;
    for number in 0..100 {
        let mut changes = login("alice");
        changes.set.push(("n".into(), FieldValue::Text(number.to_string().into())));
        let value = desk.visit(None, changes, now).expect("a cookie");
        assert_eq!(desk.principal(&value, now).as_deref(), Some("alice"));
        for bit in 0..value.len() * 8 {
            let mut bent = value.clone().into_bytes();
            bent[bit / 8] ^= 1 << (bit % 8);
            // What is no text is no cookie.
            let Ok(bent) = String::from_utf8(bent) else { continue };
            assert_eq!(desk.principal(&bent, now), None, "cookie {number}, bit {bit}");
        }
    }
}

#[test]
fn lifetimes_hold_without_a_server_that_counts_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = "[session]\nidle_timeout = \"10m\"\nabsolute_timeout = \"1h\"\ntouch_interval = \"1m\"\n";
    let desk = SessionBench::open(&format!("{toml}{}", sealed("", &key(folder.path(), "key"))));
    let at = |seconds: u64| desk.opened.plus(Duration::from_secs(seconds));
    let first = desk.visit(None, login("alice"), at(0)).expect("a cookie");
    let again = |cookie: &str, seconds| {
        let resolved = desk.resolve(Some(cookie), at(seconds));
        desk.commit(&resolved, SessionChanges::default(), at(seconds)).expect("nothing fails")
    };
    assert_eq!(again(&first, 59), None, "its touch is not due");
    let second = again(&first, 61).expect("it is due: sealed anew");
    assert_eq!(desk.principal(&first, at(599)).as_deref(), Some("alice"));
    assert_eq!(desk.principal(&first, at(601)), None, "idle for ten minutes");
    assert_eq!(desk.principal(&second, at(660)).as_deref(), Some("alice"));
    let mut cookie = second;
    for minute in 2..60 {
        cookie = again(&cookie, minute * 60 + 2).unwrap_or(cookie);
        assert_eq!(desk.principal(&cookie, at(minute * 60 + 3)).as_deref(), Some("alice"), "minute {minute}");
    }
    assert_eq!(desk.principal(&cookie, at(3601)), None, "an hour is over");
}

/// Fields that make a session of this many bytes, in values of a thousand.
fn fill(bytes: usize, letter: char) -> Vec<String> {
    let value = |length: usize| letter.to_string().repeat(length);
    let whole = (0..bytes / 1000).map(|n| set(&format!("F{n}"), &value(1000)));
    whole.chain((!bytes.is_multiple_of(1000)).then(|| set("Rest", &value(bytes % 1000)))).collect()
}

const ROOMY: &str = "[session]\nmax_bytes = \"64 KiB\"\nmax_header_bytes = \"64 KiB\"\nmax_value_bytes = 2048\n[limits]\nhead_bytes = \"64 KiB\"\n";

fn answered(visitor: &mut Browser, lines: &[String]) -> Response {
    visitor.answered("/", &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn wrong_parts_of_a_sealed_session_are_refused() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Cloakroom::with(&app, &format!("{ROOMY}{}", sealed("", &key(folder.path(), "key"))));
    let host = proxy.address.to_string();
    let [alice, bob] = ['a', 'b'].map(|letter| {
        let mut visitor = proxy.browser();
        answered(&mut visitor, &fill(8000, letter));
        assert_eq!(visitor.jar.len(), 3, "{:?}", visitor.jar.keys());
        visitor.jar
    });
    let part = |of: &BTreeMap<String, String>, n: usize| of.values().nth(n).cloned().unwrap_or_default();
    let names: Vec<String> = alice.keys().cloned().collect();
    let mut wire = proxy.dial();
    let mut ask = |values: &[(usize, String)]| {
        let pairs: Vec<String> =
            values.iter().map(|(name, value)| format!("{}={value}", names[*name])).collect();
        let (status, fields) = told(&mut wire, &host, pairs.join("; ").as_bytes());
        assert_eq!(status, 200);
        fields.len()
    };
    let a = |n: usize| part(&alice, n);
    let b = |n: usize| part(&bob, n);
    assert!(ask(&[(0, a(0)), (1, a(1)), (2, a(2))]) > 8000);
    assert!(ask(&[(2, a(2)), (0, a(0)), (1, a(1))]) > 8000, "browsers may send them in any order");
    assert!(ask(&[(0, a(0)), (1, b(1)), (1, a(1)), (2, a(2))]) > 8000, "a planted part is passed over");
    for wrong in [
        vec![(0, a(0))],
        vec![(0, a(0)), (1, a(1))],
        vec![(0, a(0)), (2, a(2))],
        vec![(1, a(1)), (2, a(2))],
        vec![(0, a(0)), (1, a(2)), (2, a(1))],
        vec![(0, a(0)), (1, a(1)), (2, a(1))],
        vec![(0, a(1)), (1, a(0)), (2, a(2))],
        vec![(0, a(0)), (1, b(1)), (2, a(2))],
        vec![(0, a(0)), (1, b(1)), (2, b(2))],
        vec![(0, b(0)), (1, a(1)), (2, a(2))],
        vec![(0, a(0).replacen('3', "2", 1)), (1, a(1)), (2, a(2))],
        vec![(0, a(0).replacen('3', "1", 1))],
        vec![(0, a(0).replacen('3', "9", 1)), (1, a(1)), (2, a(2))],
    ] {
        assert_eq!(ask(&wrong), 0, "{:?}", wrong.iter().map(|(n, v)| (n, v.len())).collect::<Vec<_>>());
    }
}

#[test]
fn sealed_session_is_bound_to_name_host_and_key() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = ["one", "two"].map(|name| key(folder.path(), name));
    let https = "[process]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let proxy = Cloakroom::with(&app, &format!("{https}{}", sealed("", &one)));
    let renamed = Cloakroom::with(&app, &format!("[session.cookie]\nname = \"other\"\n{}", sealed("", &one)));
    let other = Cloakroom::with(&app, &sealed("", &two));
    let stored = Cloakroom::with(&app, &format!("[store]\nkind = \"memory\"\n[keys]\ncurrent = {one}\n"));
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Principal: alice"]);
    let (host, value) = (proxy.address.to_string(), visitor.ticket().expect("a cookie"));
    let shown = |proxy: &Cloakroom, host: &str, name: &str, more: &str| {
        let mut wire = proxy.dial();
        wire.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{more}cookie: {name}={value}\r\n\r\n"));
        wire.answer(false).fields()
    };
    assert_eq!(shown(&proxy, &host, "cloakroom", ""), "principal=alice");
    assert_eq!(shown(&proxy, "b.test", "cloakroom", ""), "", "another host");
    assert_eq!(
        shown(&proxy, &host, "__Host-cloakroom", "x-forwarded-proto: https\r\n"),
        "",
        "another scheme"
    );
    assert_eq!(shown(&renamed, &host, "other", ""), "", "another name");
    assert_eq!(shown(&other, &host, "cloakroom", ""), "", "another key");
    assert_eq!(shown(&stored, &host, "cloakroom", ""), "", "no ticket of a store");
    let mut there = stored.browser();
    there.answered("/", &["X-Session-Principal: bob"]);
    let ticket = there.ticket().expect("a ticket");
    let mut wire = proxy.dial();
    assert_eq!(told(&mut wire, &stored.address.to_string(), format!("cloakroom={ticket}").as_bytes()).1, "");
}

#[test]
fn sealed_session_of_any_size_is_whole_or_refused() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Cloakroom::with(&app, &format!("{ROOMY}{}", sealed("", &key(folder.path(), "key"))));
    let mut visitor = proxy.browser();
    let (mut most_parts, mut refused) = (0, 0);
    // Up and down: what a larger one left behind is taken back.
    for bytes in (0..=20_000).step_by(250).chain((0..=20_000).rev().step_by(1750)) {
        let lines: Vec<String> =
            std::iter::once("X-Session-Action: clear".to_owned()).chain(fill(bytes, 'x')).collect();
        let answer = answered(&mut visitor, &lines);
        assert_eq!(answer.status, 200);
        for line in answer.set_cookies() {
            let pair = line.split(';').next().unwrap_or_default();
            assert!(pair.len() - 1 <= 4096, "{bytes}: {} bytes", pair.len());
        }
        let shown: usize =
            visitor.shown().split(' ').filter_map(|field| field.split_once('=')).map(|(_, v)| v.len()).sum();
        most_parts = most_parts.max(visitor.jar.len());
        let parts = (bytes * 4 / 3) / 4096 + 1;
        assert!(visitor.jar.len() <= parts.max(1) + 1, "{bytes}: {:?}", visitor.jar.keys());
        if shown == bytes {
            continue;
        }
        refused += 1;
        assert!(bytes > 11_500, "{bytes} bytes have room in four cookies; {shown} came back");
        assert!(
            shown.is_multiple_of(1000) || shown % 1000 == bytes % 1000,
            "a field is stored whole or not at all"
        );
        assert!(proxy.log().contains("limit=\"[store] max_cookies\""), "{}", proxy.log());
    }
    assert_eq!(most_parts, 4);
    assert!(refused > 20, "{refused}");
    // Full as it is, somebody can log in.
    answered(&mut visitor, &fill(20_000, 'y'));
    let before = visitor.shown();
    assert_eq!(visitor.answered("/", &["X-Session-Principal: alice"]).status, 200);
    let shown = visitor.shown();
    assert!(shown.contains("principal=alice"), "{shown}");
    assert_eq!(shown.len(), before.len() + " principal=alice".len(), "and nothing went for it");
}

#[test]
fn sealed_sessions_hold_on_any_node_with_the_keys() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let one = key(folder.path(), "one");
    let mut first = Cloakroom::with(&app, &sealed("", &one));
    let second = Cloakroom::with(&app, &sealed("", &one));
    let mut visitors: Vec<Browser> = (0..20).map(|_| first.browser()).collect();
    let host = format!("host: {}\r\n", first.address);
    for (n, visitor) in visitors.iter_mut().enumerate() {
        visitor.answered("/", &[&format!("X-Session-Principal: user{n}")]);
        let there = ask_as(&second, visitor, &host);
        assert_eq!(there, format!("principal=user{n}"), "on the other node");
    }
    first.kill();
    first.exit();
    let again = Cloakroom::with(&app, &sealed("", &one));
    for (n, visitor) in visitors.iter().enumerate() {
        assert_eq!(ask_as(&again, visitor, &host), format!("principal=user{n}"), "after kill -9");
    }
}

/// What a house tells of a visitor who was at another: under the same name.
fn ask_as(proxy: &Cloakroom, visitor: &Browser, host: &str) -> String {
    let pairs: Vec<_> = visitor.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut wire = proxy.dial();
    wire.send(format!("GET / HTTP/1.1\r\n{host}cookie: {}\r\n\r\n", pairs.join("; ")));
    wire.answer(false).fields()
}

#[test]
fn a_cookie_that_was_logged_out_or_renewed_is_not_taken_again() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let one = key(folder.path(), "one");
    let disk = format!("revocations = \"disk\"\npath = \"{}\"", folder.path().join("state").display());
    for (more, here, after) in [
        ("", "", "principal=alice"),
        (&disk, "", ""),
        ("revocations = \"off\"", "principal=alice", "principal=alice"),
    ] {
        let mut proxy = Cloakroom::with(&app, &sealed(more, &one));
        let host = format!("host: {}\r\n", proxy.address);
        let mut stranger = proxy.browser();
        stranger.get("/");
        let mut visitor = stranger.clone();
        visitor.answered("/", &["X-Session-Principal: alice"]);
        let copied = visitor.clone();
        assert_eq!(ask_as(&proxy, &copied, &host), "principal=alice");
        let mut renewed = visitor.clone();
        renewed.answered("/", &["X-Session-Action: renew"]);
        assert_eq!(renewed.shown(), "principal=alice");
        assert_eq!(ask_as(&proxy, &copied, &host), here, "{more}: renewed meanwhile");
        let last = renewed.clone();
        let out = renewed.answered("/", &["X-Session-Action: destroy"]);
        assert!(out.set_cookies().iter().all(|line| line.contains("Max-Age=0")), "{:?}", out.set_cookies());
        assert_eq!(renewed.jar.len(), 0);
        for old in [&copied, &last] {
            assert_eq!(ask_as(&proxy, old, &host), here, "{more}: logged out");
        }
        proxy.kill();
        proxy.exit();
        let again = Cloakroom::with(&app, &sealed(more, &one));
        for old in [&copied, &last] {
            assert_eq!(ask_as(&again, old, &host), after, "{more}: after a restart");
        }
    }
}

#[test]
fn key_change_under_load_logs_nobody_out() {
    let app = App::scripted();
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two, three] = ["one", "two", "three"].map(|name| key(folder.path(), name));
    let proxy = Cloakroom::with(&app, &sealed("", &one));
    let mut visitors: Vec<Browser> = (0..8).map(|_| proxy.browser()).collect();
    for (n, visitor) in visitors.iter_mut().enumerate() {
        visitor.answered("/", &[&set("N", &n.to_string())]);
    }
    let keys = |current: &str, previous: &str| {
        let (current, previous) = (format!("current = {current}"), format!("previous = [{previous}]"));
        proxy.reload(|text| {
            let (head, _) = text.split_once("[keys]").unwrap_or((&text, ""));
            format!("{head}[keys]\n{current}\n{previous}\n")
        })
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let all: Vec<_> = visitors
            .iter_mut()
            .enumerate()
            .map(|(n, visitor)| {
                let done = &done;
                scope.spawn(move || {
                    let mut pages = 0;
                    while !done.load(Ordering::Relaxed) || pages < 20 {
                        assert_eq!(visitor.shown(), format!("n={n}"), "page {pages}");
                        pages += 1;
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            assert!(keys(&two, &format!("{one}, {three}")).contains("reloaded"));
            assert!(keys(&three, &format!("{two}, {one}")).contains("reloaded"));
            assert!(keys(&one, &format!("{three}, {two}")).contains("reloaded"));
        }
        done.store(true, Ordering::Relaxed);
        for thread in all {
            thread.join().expect("no visitor was logged out");
        }
    });
    // Whoever came since the last change has it under that key.
    for visitor in &mut visitors {
        visitor.get("/");
    }
    let idle = visitors[0].clone();
    assert!(keys(&two, &one).contains("reloaded"));
    let host = format!("host: {}\r\n", proxy.address);
    assert_eq!(ask_as(&proxy, &idle, &host), "n=0", "under a previous key");
    let mut stays = visitors[1].clone();
    assert_eq!(stays.get("/").set_cookies().len(), 1, "and sealed anew");
    assert!(keys(&two, "").contains("reloaded"));
    for visitor in &visitors {
        assert_eq!(ask_as(&proxy, visitor, &host), "", "its key is gone");
    }
    assert_eq!(stays.shown(), "n=1");
}

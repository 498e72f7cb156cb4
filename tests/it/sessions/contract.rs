//! Fields: every header by which an app sets, changes and takes them back, and every line that it must not write.

use crate::support::{App, Cloakroom, RawUpstream, Request};

/// What a fresh visitor's app is told of fields after these answers, one after the other.
fn after(proxy: &Cloakroom, answers: &[&[&str]]) -> String {
    let mut visitor = proxy.browser();
    for lines in answers {
        let answer = visitor.answered("/", lines);
        assert_eq!(answer.status, 200, "{lines:?}");
        let leaked =
            answer.headers.iter().find(|(name, _)| name.to_ascii_lowercase().starts_with("x-session"));
        assert_eq!(leaked, None, "{lines:?}");
    }
    visitor.shown()
}

/// Answers, and what the app is told after them.
type Row = (&'static [&'static [&'static str]], &'static str);

fn holds(rows: &[Row]) {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let wrong: Vec<_> = rows
        .iter()
        .map(|(answers, wanted)| (answers, after(&proxy, answers), *wanted))
        .filter(|(_, got, wanted)| got != wanted)
        .collect();
    assert_eq!(wrong, [], "answers, what the app was told, what it should have been told");
}

#[test]
fn a_field_is_set_changed_and_popped_alone_or_by_the_form() {
    holds(&[
        (&[&["X-Session-Set-Role: editor"]], "role=editor"),
        (&[&["X-Session-Set-Role:"]], "role="),
        (&[&["X-Session-Set-Cart_Id: 42"]], "cart-id=42"),
        (&[&["x-session-set-CART-ID: 42"]], "cart-id=42"),
        (&[&["X-Session-Set-A: 1"], &["X-Session-Set-A: 2"]], "a=2"),
        (&[&["X-Session-Set-A: 1", "X-Session-Set-A: 2"]], "a=2"),
        (&[&["X-Session-Set-A: 1"], &["X-Session-Set-B: 2"]], "a=1 b=2"),
        (&[&["X-Session-Set: a=1&b=2"]], "a=1 b=2"),
        (&[&["X-Session-Set: a=x+y&b=%26&C_d=&e"]], "a=x%20y b=%26 c-d= e="),
        (&[&["X-Session-Set: a=1&a=2"]], "a=2"),
        (&[&["X-Session-Set: a=1", "X-Session-Set: b=2"]], "a=1 b=2"),
        (&[&["X-Session-Set: a=1&b=2&c=3"], &["X-Session-Unset: a, C"]], "b=2"),
        (&[&["X-Session-Set: a=1&b-c=2"], &["X-Session-Unset: a", "X-Session-Unset: b_c"]], ""),
        (&[&["X-Session-Set-A: 1"], &["X-Session-Unset: never-there"]], "a=1"),
        (&[&["X-Session-Set: a=1&b=2"], &["X-Session-Action: clear"]], ""),
    ]);
}

#[test]
fn a_typed_value_comes_back_as_json() {
    holds(&[
        (&[&["X-Session-Set-Json-A: [1,2]"]], "a=%5B1%2C2%5D"),
        (&[&["X-Session-Set-Json-A: %5B1%2C2%5D"]], "a=%5B1%2C2%5D"),
        (&[&["X-Session-Set-Json-A: {\"b\":null}"]], "a=%7B%22b%22:null%7D"),
        (&[&["X-Session-Set-Json-A: 1.5"]], "a=1.5"),
        (&[&["X-Session-Set-Json-A: true"]], "a=true"),
        (&[&["X-Session-Set-Json-A: \"text\""]], "a=text"),
        (&[&["X-Session-Set-Json-A: \"zo\\u00eb\""]], "a=zo%C3%AB"),
        (&[&["X-Session-Set-Json-A: {\"a\":"]], ""),
        (&[&["X-Session-Set-Json-A:"]], ""),
        (&[&["X-Session-Set-A: old"], &["X-Session-Set-Json-A: nonsense"]], "a=old"),
    ]);
}

#[test]
fn a_number_is_added_to_whatever_whole_number_is_there() {
    holds(&[
        (&[&["X-Session-Incr-N: 1"]], "n=1"),
        (&[&["X-Session-Incr-N: -1"]], "n=-1"),
        (&[&["X-Session-Incr-N: 5"], &["X-Session-Incr-N: -7"]], "n=-2"),
        (&[&["X-Session-Set-N: 41"], &["X-Session-Incr-N: 1"]], "n=42"),
        (&[&["X-Session-Set-Json-N: 41"], &["X-Session-Incr-N: 1"]], "n=42"),
        (&[&["X-Session-Set-N: text"], &["X-Session-Incr-N: 1"]], "n=text"),
        (&[&["X-Session-Set-N:"], &["X-Session-Incr-N: 1"]], "n="),
        (&[&["X-Session-Set-Json-N: 1.5"], &["X-Session-Incr-N: 1"]], "n=1.5"),
        (&[&["X-Session-Set-Json-N: [1]"], &["X-Session-Incr-N: 1"]], "n=%5B1%5D"),
        (&[&["X-Session-Set-N: 9223372036854775807"], &["X-Session-Incr-N: 1"]], "n=9223372036854775807"),
        (&[&["X-Session-Set-N: 1"], &["X-Session-Incr-N: many", "X-Session-Set-A: b"]], "a=b n=1"),
        (&[&["X-Session-Incr-N: 1", "X-Session-Incr-N: 5"]], "n=5"),
    ]);
}

#[test]
fn what_one_answer_says_applies_in_the_order_of_the_contract() {
    holds(&[
        // clear, unset, set, incr: whatever the order of the lines.
        (&[&["X-Session-Set: a=1&b=2"], &["X-Session-Set-C: 3", "X-Session-Action: clear"]], "c=3"),
        (&[&["X-Session-Set-A: 1"], &["X-Session-Set-A: 2", "X-Session-Unset: a"]], "a=2"),
        (&[&["X-Session-Set-N: 9"], &["X-Session-Incr-N: 1", "X-Session-Unset: n"]], "n=1"),
        (&[&["X-Session-Incr-N: 1", "X-Session-Set-N: 10"]], "n=11"),
        (&[&["X-Session-Set-N: 9"], &["X-Session-Incr-N: 1", "X-Session-Action: clear"]], "n=1"),
        (&[&["X-Session-Set-A: 1", "X-Session-Set: a=2"]], "a=2"),
        (&[&["X-Session-Principal: alice", "X-Session-Set-A: 1"]], "a=1 principal=alice"),
        (&[&["X-Session-Set-A: 1"], &["X-Session-Set-A: 2", "X-Session-Action: destroy"]], ""),
        (&[&["X-Session-Action: destroy", "X-Session-Principal: alice"]], ""),
    ]);
}

#[test]
fn what_an_app_sends_is_read_leniently() {
    holds(&[
        (&[&["X-Session-Set-A: a b, \"c\"; d=e&f"]], "a=a%20b%2C%20%22c%22%3B%20d%3De%26f"),
        (&[&["X-Session-Set-A: 1+1"]], "a=1%2B1"),
        (&[&["X-Session-Set-A: %2B%25%00%41"]], ""),
        (&[&["X-Session-Set-A: zo\u{eb}"]], "a=zo%C3%AB"),
        (&[&["X-Session-Set-A: zo%EB"]], "a=zo%C3%AB"),
        (&[&["X-Session-Set-A: Az09-._~:/@!$*()"]], "a=Az09-._~:/@!$*()"),
        (&[&["X-Session-Set-A: %41z"]], "a=Az"),
    ]);
}

#[test]
fn raw_bytes_are_utf8_if_valid_and_else_latin1() {
    let stage = RawUpstream::open();
    let proxy = Cloakroom::before(stage.address()).config("[process]\nworkers = 1").start();
    for (raw, wanted) in
        [(&b"zo\xc3\xab"[..], "zo%C3%AB"), (b"zo\xeb", "zo%C3%AB"), (b"\xff\xc3\xab", "%C3%BF%C3%83%C2%AB")]
    {
        let mut visitor = proxy.dial();
        visitor.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut app = stage.accept();
        Request::from(&mut app);
        app.send([b"HTTP/1.1 204 No\r\nconnection: close\r\nx-session-set-a: ", raw, b"\r\n\r\n"].concat());
        let mut browser = proxy.browser();
        browser.remember(&visitor.answer(false));
        let ticket = browser.ticket().unwrap_or_default();
        visitor.send(format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: cloakroom={ticket}\r\n\r\n"));
        let mut app = stage.accept();
        assert_eq!(Request::from(&mut app).header("x-session-a").as_deref(), Some(wanted));
        app.send("HTTP/1.1 204 No\r\nconnection: close\r\n\r\n");
    }
}

#[test]
fn no_reserved_name_is_ever_a_field() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "[log]\nlevel = \"info\"");
    let names = [
        "id",
        "state",
        "principal",
        "set",
        "json",
        "unset",
        "action",
        "idle",
        "max",
        "if-version",
        "if_version",
        "meta-x",
        "Meta_Version",
        "meta-age",
        "set-x",
        "json-x",
        "incr-x",
        "flash-x",
        "set-json-x",
    ];
    for name in names {
        let mut visitor = proxy.browser();
        for line in [
            format!("X-Session-Set-{name}: mallory"),
            format!("X-Session-Set: {name}=mallory"),
            format!("X-Session-Incr-{name}: 1"),
            format!("X-Session-Flash-{name}: mallory"),
        ] {
            // `Set-Json-X: mallory` is no field, and no JSON either.
            visitor.answered("/", &[&line, "X-Session-Set-Good: 1"]);
            let answer = visitor.get("/");
            assert_eq!(
                (answer.fields().as_str(), answer.told("state").as_deref()),
                ("good=1", Some("active")),
                "{line}"
            );
        }
    }
}

#[test]
fn a_malformed_line_is_dropped_alone_and_told_in_the_log() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let long = format!("X-Session-Set-{}: 1", "a".repeat(64));
    let rows = [
        (long.as_str(), "x-session-set-a"),
        ("X-Session-Set-1a: 1", "x-session-set-1a"),
        ("X-Session-Set-a.b: 1", "x-session-set-a.b"),
        ("X-Session-Set-: 1", "x-session-set-"),
        ("X-Session-Set-Pa: 100%", "x-session-set-pa"),
        ("X-Session-Set-Pb: %zz", "x-session-set-pb"),
        ("X-Session-Set-Pc: %0d%0aSet-Cookie: a=b", "x-session-set-pc"),
        ("X-Session-Set-Pd: %00", "x-session-set-pd"),
        ("X-Session-Set: pe=%", "set"),
        ("X-Session-Set-Json-Pf: {", "x-session-set-json-pf"),
        ("X-Session-Unset: a b", "x-session-unset"),
        ("X-Session-Principal: %0aroot", "x-session-principal"),
        ("X-Session-Action: explode", "x-session-action"),
        ("X-Session-Idle: soon", "x-session-idle"),
        ("X-Session-Max: -1", "x-session-max"),
        ("X-Session-Incr-Pg: 1.5", "x-session-incr-pg"),
        ("X-Session-Flash-Ph: %1b[2J", "x-session-flash-ph"),
        ("X-Session-If-Version: latest", "x-session-if-version"),
        ("X-Session-Meta-Version: 99", "x-session-meta-version"),
        ("X-Session-Id: 1", "x-session-id"),
        ("X-Session-State: active", "x-session-state"),
        ("X-Session-Colour: red", "x-session-colour"),
    ];
    for (line, header) in rows {
        let mut visitor = proxy.browser();
        let answer = visitor.answered("/", &["X-Session-Set-Before: 1", line, "X-Session-Set-Good: 1"]);
        assert_eq!((answer.status, answer.set_cookies().len()), (200, 1), "{line}");
        assert_eq!(visitor.shown(), "before=1 good=1", "{line}");
        let told = proxy.log().lines().any(|l| l.contains("malformed") && l.contains(header));
        assert!(told, "{line}: not in the log");
    }
}

#[test]
fn instructions_count_on_every_status_and_under_every_method() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    for status in ["200", "201", "204", "302", "304", "307", "400", "404", "410", "500", "503"] {
        let mut visitor = proxy.browser();
        let status_line = format!("x-status: {status}\r\n");
        visitor.answered_as("/", &status_line, &["X-Session-Set-A: 1"]);
        assert_eq!(visitor.shown(), "a=1", "{status}");
    }
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let mut visitor = proxy.browser();
        let head = format!(
            "{method} / HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nx-answer: X-Session-Set-A: 1\r\n\r\n",
            proxy.address
        );
        visitor.send_raw(head.as_bytes());
        assert_eq!(visitor.shown(), "a=1", "{method}");
    }
}

//! Values on the wire: encodings, limits of size, and the headers of `mod_session`.

use crate::support::{App, Cloakroom};

/// What a house with this TOML tells an app after these answers.
fn after(toml: &str, answers: &[&[&str]]) -> String {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, toml);
    let mut visitor = proxy.browser();
    for lines in answers {
        assert_eq!(visitor.answered("/", lines).status, 200, "{toml} {lines:?}");
    }
    visitor.shown()
}

#[test]
fn a_value_stands_on_the_wire_as_its_field_is_configured() {
    let text = "a b+c/\u{eb}?";
    let encoded = "a%20b%2Bc%2Fzo%C3%AB";
    for (encoding, sent, shown) in [
        ("percent", encoded, "a%20b%2Bc/zo%C3%AB"),
        ("base64url", "YSBiK2Mvw6s_", "YSBiK2Mvw6s_"),
        ("base64url", "YSBiK2Mv", "YSBiK2Mv"),
        ("base64url", "eA==", "eA"),
        ("base64url", "a b", ""),
        ("base64url", "//8", ""),
        ("raw", text, text),
        ("raw", "100%, a=b; \"c\"", "100%, a=b; \"c\""),
        ("json", "\"a b\"", "\"a b\""),
        ("json", "[1, {\"a\": null}]", "[1, {\"a\": null}]"),
        ("json", "a b", ""),
    ] {
        for toml in [
            format!("[session.headers]\nencoding = \"{encoding}\""),
            format!("[session.headers]\nfields = {{ a = \"{encoding}\" }}"),
        ] {
            let line = format!("X-Session-Set-A: {sent}");
            let shown = if shown.is_empty() { String::new() } else { format!("a={shown}") };
            assert_eq!(after(&toml, &[&[&line]]), shown, "{toml}: {sent}");
        }
    }
}

#[test]
fn principal_and_flash_round_trip_in_every_encoding() {
    for (encoding, text) in
        [("percent", "zo%C3%AB"), ("base64url", "em_Dqw"), ("raw", "zoe"), ("json", "\"zo\\u00eb\"")]
    {
        let app = App::scripted();
        let proxy = Cloakroom::with(&app, &format!("[session.headers]\nencoding = \"{encoding}\""));
        let mut visitor = proxy.browser();
        let line = |name: &str| format!("X-Session-{name}: {text}");
        visitor.answered("/", &[&line("Principal"), &line("Set-A"), &line("Flash-B")]);
        assert_eq!(visitor.shown(), format!("a={text} b={text} principal={text}"));
        let ticket = visitor.ticket();
        visitor.answered("/", &[&line("Principal")]);
        assert_eq!(visitor.ticket(), ticket, "{encoding}: the same again is no login");
    }
}

#[test]
fn fields_with_an_encoding_of_their_own_leave_the_others_alone() {
    let toml = "[session.headers]\nfields = { plain = \"raw\", packed = \"base64url\" }";
    let lines = ["X-Session-Set: plain=a+b&packed=a+b&other=a+b"];
    assert_eq!(after(toml, &[&lines]), "other=a%20b packed=YSBi plain=a b");
}

#[test]
fn a_raw_field_never_carries_what_would_break_a_header() {
    let toml = "[session.headers]\nfields = { a = \"raw\" }";
    for value in ["x%0d%0aX-Session-Principal:%20root", "x%00", "x%7f"] {
        let form = format!("X-Session-Set: a={value}");
        assert_eq!(after(toml, &[&[&form, "X-Session-Set-B: 1"]]), "b=1", "{value}");
    }
    // White space at an end would be lost on its way.
    assert_eq!(after(toml, &[&["X-Session-Set: a=%20x&b=1"]]), "b=1");
}

#[test]
fn field_over_a_limit_is_dropped_alone_and_logged() {
    let app = App::scripted();
    let twenty = "x".repeat(20);
    let twelve = "x".repeat(12);
    let long = "%C3%AB".repeat(4);
    for (limit, first, lines, wanted) in [
        ("max_fields = 2", "a=1&b=2", vec!["X-Session-Set: b=3&c=3".to_owned()], "a=1 b=3".to_owned()),
        (
            "max_fields = 2",
            "a=1&b=2",
            vec!["X-Session-Unset: a".into(), "X-Session-Set-C: 3".into()],
            "b=2 c=3".into(),
        ),
        ("max_fields = 2", "a=1&b=2", vec!["X-Session-Incr-C: 3".into()], "a=1 b=2".into()),
        ("max_fields = 2", "a=1&b=2", vec!["X-Session-Flash-C: 3".into()], "a=1 b=2".into()),
        (
            "max_value_bytes = 16",
            "a=1",
            vec![format!("X-Session-Set-A: {twenty}"), format!("X-Session-Set-B: {twelve}")],
            format!("a=1 b={twelve}"),
        ),
        // As it stands on the wire: 4 letters, 24 bytes.
        ("max_value_bytes = 16", "a=1", vec![format!("X-Session-Set-B: {long}")], "a=1".into()),
        ("max_value_bytes = 16", "a=1", vec![format!("X-Session-Flash-B: {twenty}")], "a=1".into()),
        (
            "max_bytes = 32",
            "a=1",
            vec![
                format!("X-Session-Set-B: {twenty}"),
                format!("X-Session-Set-C: {twelve}"),
                "X-Session-Set-D: 1".into(),
            ],
            format!("a=1 b={twenty} d=1"),
        ),
        (
            "max_header_bytes = 64",
            "a=1",
            vec![
                format!("X-Session-Set-B: {twenty}"),
                format!("X-Session-Set-C: {twenty}"),
                "X-Session-Unset: never".into(),
            ],
            format!("a=1 b={twenty}"),
        ),
    ] {
        let proxy = Cloakroom::with(&app, &format!("[session]\n{limit}"));
        let mut visitor = proxy.browser();
        visitor.answered("/", &[&format!("X-Session-Set: {first}")]);
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(visitor.answered("/", &lines).status, 200, "the app's answer goes out");
        assert_eq!(visitor.shown(), wanted, "{limit}: {lines:?}");
        let told = proxy.log().contains("over the limit");
        assert_eq!(
            told,
            !lines.iter().any(|line| line.contains("Unset: a")),
            "{limit}: {lines:?}: {}",
            proxy.log()
        );
    }
}

const APACHE: &str = "[session.headers]\npreset = \"apache\"";

#[test]
fn mod_session_preset_speaks_its_headers() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, APACHE);
    let mut visitor = proxy.browser();
    for (lines, wanted) in [
        (vec!["X-Replace-Session: a=1&b=x+y"], "a=1&b=x%20y"),
        (vec!["X-Replace-Session: b=2"], "a=1&b=2"),
        (vec!["X-Replace-Session: a=&c=%C3%AB"], "b=2&c=%C3%AB"),
        (vec!["X-Session-Set-D: 4", "X-Session-Unset: c"], "b=2&d=4"),
        (vec!["X-Replace-Session: e=5", "X-Session-Principal: alice"], "b=2&d=4&e=5"),
    ] {
        let answer = visitor.answered("/", &lines);
        assert_eq!(answer.header("x-replace-session"), None, "{lines:?}");
        let next = visitor.get("/");
        assert_eq!(next.told("session").as_deref(), Some(wanted), "{lines:?}");
    }
    let last = visitor.get("/");
    assert_eq!((last.told("b").as_deref(), last.told("principal").as_deref()), (Some("2"), Some("alice")));
}

#[test]
fn a_key_of_mod_session_is_the_field_of_its_name_in_every_rule() {
    let app = App::scripted();
    let toml = format!(
        "{APACHE}\n[session]\nprivilege_fields = [\"user-role\"]\n\
         [upstreams.part]\nservers = [\"http://{}\"]\nsession_fields = [\"cart-*\"]\nsession_write = true\n\
         session_login = true\nheader_aliases = {{ \"Remote-User\" = \"cart-id\" }}\n\
         [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/part\"\nupstream = \"part\"",
        app.address
    );
    let all = "session_fields = [\"*\"]\nsession_write = true\nsession_login = true";
    let proxy = Cloakroom::before(app.address).upstream(all).config(&toml).start();
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Replace-Session: Cart_Id=1&User_Role=user"]);
    let old = visitor.ticket();
    assert_eq!(visitor.get("/part").fields(), "cart-id=1 remote-user=1 session=Cart_Id=1");
    visitor.answered("/part", &["X-Replace-Session: user-role=root&User_Role=root&cart-id=2"]);
    assert_eq!(visitor.get("/").told("session").as_deref(), Some("Cart_Id=2&User_Role=user"));
    assert_eq!(visitor.ticket(), old, "the cart is no privilege");
    visitor.answered("/", &["X-Replace-Session: User_Role=root"]);
    assert_ne!(visitor.ticket(), old, "the role is");
}

#[test]
fn mod_session_headers_keep_within_max_header_bytes() {
    let toml = format!("{APACHE}\n[session]\nmax_header_bytes = 200");
    let form = format!("X-Replace-Session: a={}&b={}", "x".repeat(60), "y".repeat(60));
    let told = after(&toml, &[&[&form]]);
    assert!(told.contains("xxx") && !told.contains("yyy"), "each stands there twice: {told}");
}

#[test]
fn mod_session_headers_of_visitors_are_stripped() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, APACHE);
    for name in ["Session", "session", "SESSION"] {
        let mut visitor = proxy.browser();
        let line = format!("{name}: user=root\r\nConnection: Session\r\n");
        assert_eq!(visitor.get_with("/", &line).told("session"), None, "{name}");
        visitor.answered("/", &["X-Replace-Session: a=1"]);
        assert_eq!(visitor.get_with("/", &line).told("session").as_deref(), Some("a=1"), "{name}");
        assert_eq!(app.last().all("session"), ["a=1"], "{name}");
    }
}

#[test]
fn mod_session_headers_pass_without_the_preset() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let mut visitor = proxy.browser();
    let answer = visitor.answered_as("/", "Session: mine\r\n", &["X-Replace-Session: a=1"]);
    assert_eq!((answer.told("session").as_deref(), visitor.shown().as_str()), (Some("mine"), ""));
}

//! The tables of `docs/threats.md` and `docs/rfc.md`: each of their tests is there. And those of them that no other file has.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::fs;
use std::path::Path;

use crate::support::{App, Cloakroom, SessionBench, login};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom::testing::{crypto::sha256, record::FieldValue, session::SessionChanges};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).unwrap()
}

/// The rows of a document's table: the first column, and what stands in backticks in the last.
fn rows(document: &str) -> Vec<(String, Vec<String>)> {
    let text = read(document);
    let table = text.lines();
    let cells = table.filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows =
        cells.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|row| !row.iter().all(|c| *c == "---"));
    let tests = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let named = |row: Vec<&str>| match row.as_slice() {
        [threat, _, cell] => (threat.to_string(), tests(cell)),
        odd => (format!("{odd:?} is no row"), Vec::new()),
    };
    rows.skip(1).map(named).collect()
}

/// Whether `module::name` of `tests/it`, `peers::module::name`, or `src/….rs::name`, is a test.
fn is_test(test: &str) -> bool {
    let Some((place, name)) = test.rsplit_once("::") else { return false };
    let rust = Path::new(place).extension().is_some_and(|extension| extension == "rs");
    let folder = if place.starts_with("peers::") { "tests" } else { "tests/it" };
    let file = if rust { place.to_owned() } else { format!("{folder}/{}.rs", place.replace("::", "/")) };
    let text = read(&file);
    let Some(at) = text.find(&format!("fn {name}(")) else { return false };
    let before = text[..at].trim_end();
    before
        .lines()
        .rev()
        .take_while(|line| line.trim_start().starts_with('#'))
        .any(|line| line.trim() == "#[test]")
}

#[test]
fn every_threat_and_every_rule_has_its_tests() {
    let (threats, rules) = (rows("docs/threats.md"), rows("docs/rfc.md"));
    assert!(threats.len() > 25 && rules.len() > 18, "the tables were not found whole");
    let rows = [threats, rules].concat();
    let missing: Vec<_> = rows
        .iter()
        .flat_map(|(threat, tests)| tests.iter().map(move |test| (threat, test)))
        .filter(|(_, test)| !is_test(test))
        .collect();
    assert!(missing.is_empty(), "rows, and tests that are not there: {missing:?}");
    let bare: Vec<_> = rows.iter().filter(|(_, tests)| tests.is_empty()).collect();
    assert!(bare.is_empty(), "rows without a test: {bare:?}");
    assert!(!is_test("threats::rows") && !is_test("threats::nobody"), "what is no test counts as none");
}

#[test]
fn a_copied_store_logs_nobody_in() {
    let desk = SessionBench::open("");
    let ticket = desk.visit(None, login("alice"), desk.opened).unwrap();
    let resolved = desk.resolve(Some(&ticket), desk.opened);
    let record = resolved.record().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
    let secret = &bytes[26..42];
    assert_eq!(record.secret, sha256(secret), "the store holds the hash");
    assert!(!record.secret.windows(16).any(|part| part == secret));
    let shown = format!("{resolved:?} {:?}", desk.plan.sessions);
    assert!(
        !shown.contains(&format!("{secret:?}")) && !shown.contains(&ticket),
        "nor does anything that is printed"
    );
    // Whoever has the record can write a ticket of it, and has neither the secret nor the key.
    let mut forged = bytes.clone();
    forged[26..42].copy_from_slice(&record.secret[..16]);
    assert_eq!(desk.principal(&URL_SAFE_NO_PAD.encode(&forged), desk.opened), None);
    let other = SessionBench::open("");
    assert_eq!(other.principal(&ticket, other.opened), None, "another key");
}

#[test]
fn a_foreign_page_that_posts_here_leaves_the_visitor_logged_in() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Set-A: 1", "X-Session-Principal: alice"]);
    for site in [
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n",
        "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: empty\r\n",
    ] {
        for orders in
            ["", "x-answer: X-Session-Set-Paid: yes\r\n", "x-answer: X-Session-Flash-Note: thanks\r\n"]
        {
            // SameSite=Lax: the browser leaves the cookie at home.
            let head = format!(
                "POST /paid HTTP/1.1\r\nhost: {}\r\n{site}{orders}content-length: 0\r\n\r\n",
                proxy.address
            );
            let answer = visitor.send_raw(head.as_bytes());
            assert_eq!((answer.status, answer.set_cookies()), (200, Vec::new()), "{site} {orders}");
        }
    }
    assert_eq!(visitor.shown(), "a=1 principal=alice");
}

#[test]
fn a_flood_of_anonymous_sessions_evicts_only_its_like() {
    let toml =
        "[store]\nkind = \"memory\"\nmax_bytes = \"1 MiB\"\n[limits]\nnew_sessions_per_second = \"off\"";
    let desk = SessionBench::open(toml);
    let now = desk.opened;
    let field = || SessionChanges {
        set: vec![("a".into(), FieldValue::Text("x".repeat(100).into()))],
        ..SessionChanges::default()
    };
    let people: Vec<_> =
        (0..100).map(|number| desk.visit(None, login(&format!("user-{number}")), now).unwrap()).collect();
    let regular = desk.visit(None, field(), now).unwrap();
    assert!(desk.resolve(Some(&regular), now).record().is_some(), "one who came back");
    for wave in 0..10 {
        for _ in 0..2000 {
            desk.visit(None, field(), now);
        }
        desk.plan.sessions.store().unwrap().sweep();
        assert!(desk.plan.sessions.store().unwrap().len() < 1000, "wave {wave}");
    }
    let lost = people.iter().filter(|ticket| desk.principal(ticket, now).is_none()).count();
    assert_eq!(lost, 0, "of a hundred who are logged in");
    assert!(
        desk.resolve(Some(&regular), now).record().is_some(),
        "who came back is not of their like either"
    );
    let late = desk.visit(None, login("late"), now).unwrap();
    assert_eq!(desk.principal(&late, now).as_deref(), Some("late"), "a login is not refused");
}

#[test]
fn no_quoting_hides_or_moves_a_cookie() {
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, "");
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Principal: alice"]);
    let ticket = visitor.ticket().unwrap();
    for (line, ours, rest) in [
        ("$Version=\"1\"; cloakroom=T", true, "$Version=\"1\""),
        ("a=\"; cloakroom=T; b=\"", true, "a=\"; b=\""),
        ("a=\"x\\\"; cloakroom=T; b=\\\"y\"", true, "a=\"x\\\"; b=\\\"y\""),
        ("cloakroom=T;a=b", true, "a=b"),
        ("cloakroom=\"T\"; a=b", false, "a=b"),
        ("Cloakroom=T; a=b", false, "a=b"),
        ("a=cloakroom=T", false, ""),
        ("a=b, cloakroom=T", false, ""),
        ("a=b, __Host-CLOAKROOM = T; c=d", false, "c=d"),
        ("a=cloakroom=1; b, cloakroom=x", false, "a=cloakroom=1; b, cloakroom=x"),
        ("xcloakroom=T; cloakroomx=T", false, "xcloakroom=T; cloakroomx=T"),
        ("cloakroo%6d=T", false, "cloakroo%6d=T"),
    ] {
        let mut browser = proxy.browser();
        let answer = browser.get_with("/", &format!("cookie: {}\r\n", line.replace('T', &ticket)));
        assert_eq!(answer.told("principal").is_some(), ours, "{line}");
        assert_eq!(app.last().header("cookie").unwrap_or_default(), rest.replace('T', &ticket), "{line}");
    }
}

#[test]
fn secrets_are_compared_in_constant_time_alone() {
    // What is compared byte by byte tells by its time how much was right.
    let secret = read("src/record/secret.rs");
    assert!(secret.matches("crypto::same(").count() >= 2, "secrets of a record");
    assert!(read("src/crypto/keyring.rs").contains("same(&mac("), "MACs");
    for file in [
        "src/record/mod.rs",
        "src/record/secret.rs",
        "src/record/ticket.rs",
        "src/session/resolve.rs",
        "src/session/apply_answer.rs",
        "src/session/commit.rs",
        "src/store/past_views.rs",
    ] {
        let text = read(file);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, _) in code.match_indices("==").chain(code.match_indices("!=")) {
            let left = code[..at].split_whitespace().next_back().unwrap_or_default();
            let right = code[at + 2..].split_whitespace().next().unwrap_or_default();
            let is_secret = |side: &str| side.contains("secret") || side.contains("hash()") || side == "mac";
            assert!(!is_secret(left) && !is_secret(right), "{file}: {left} is compared with {right}");
        }
    }
}

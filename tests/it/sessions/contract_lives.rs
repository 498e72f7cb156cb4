//! The life of a session: logins and ends, lifetimes, versions.

use crate::support::{App, Browser, Cloakroom, Gate, Response, eventually, obey};

fn proxy(app: &App) -> Cloakroom {
    Cloakroom::with(app, "")
}

fn number(answer: &Response, name: &str) -> u64 {
    answer.told(name).and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
}

/// A visitor with a field, logged in if a principal is named, and the session's id.
fn visitor(proxy: &Cloakroom, principal: &str) -> (Browser, Option<String>) {
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Set-Note: old"]);
    if !principal.is_empty() {
        visitor.answered("/", &[&format!("X-Session-Principal: {principal}")]);
    }
    let id = visitor.get("/").told("id");
    (visitor, id)
}

#[test]
fn actions_change_ticket_id_fields_and_principal() {
    let app = App::scripted();
    let proxy = proxy(&app);
    let destroy = "X-Session-Action: destroy";
    // A principal, an answer; what is shown then, whether the id stays, whether the old ticket still leads there.
    for (who, lines, shown, same_id, old_leads) in [
        ("", vec!["X-Session-Action: renew"], "note=old", true, false),
        ("alice", vec!["X-Session-Action: renew"], "note=old principal=alice", true, false),
        ("alice", vec!["X-Session-Action: clear"], "principal=alice", true, true),
        ("alice", vec!["X-Session-Action: logout"], "", false, false),
        ("alice", vec!["X-Session-Action: logout", "X-Session-Set-A: 1"], "a=1", false, false),
        ("alice", vec!["X-Session-Principal:"], "", false, false),
        ("alice", vec!["X-Session-Principal:", "X-Session-Set-A: 1"], "a=1", false, false),
        ("alice", vec!["X-Session-Principal: bob"], "principal=bob", false, false),
        ("alice", vec!["X-Session-Principal: bob", "X-Session-Set-A: 1"], "a=1 principal=bob", false, false),
        ("alice", vec!["X-Session-Principal: alice"], "note=old principal=alice", true, true),
        ("", vec!["X-Session-Principal: alice"], "note=old principal=alice", true, false),
        ("", vec!["X-Session-Principal:"], "note=old", true, true),
        ("alice", vec![destroy], "", false, false),
        ("alice", vec![destroy, "X-Session-Set-A: 1", "X-Session-Principal: bob"], "", false, false),
        ("alice", vec!["X-Session-Action: permanent, destroy, renew"], "", false, false),
        ("alice", vec!["X-Session-Action: destroy-principal"], "", false, false),
        ("", vec!["X-Session-Action: logout"], "", false, false),
    ] {
        let (mut visitor, id) = visitor(&proxy, who);
        let mut copy = visitor.clone();
        visitor.answered("/", &lines);
        let after = visitor.get("/");
        assert_eq!(after.fields(), shown, "{who} {lines:?}");
        assert_eq!(after.told("id") == id, same_id, "{who} {lines:?}: the id");
        assert_eq!(copy.get("/").told("id") == id, old_leads, "{who} {lines:?}: the old ticket");
    }
}

#[test]
fn destroy_principal_ends_all_their_sessions_and_no_others() {
    let app = App::scripted();
    let proxy = proxy(&app);
    let mut alices: Vec<_> = (0..5).map(|_| visitor(&proxy, "alice").0).collect();
    let mut bob = visitor(&proxy, "bob").0;
    let mut nobody = visitor(&proxy, "").0;
    nobody.answered("/", &["X-Session-Action: destroy-principal"]);
    assert_eq!(nobody.shown(), "", "its own session ends");
    assert_eq!(alices[3].shown(), "note=old principal=alice", "nobody's is nobody's");
    alices[0].answered("/", &["X-Session-Action: destroy-principal"]);
    for (place, alice) in alices.iter_mut().enumerate() {
        assert_eq!(alice.shown(), "", "session {place}");
    }
    assert_eq!(bob.shown(), "note=old principal=bob");
    // Times are whole milliseconds, and the one in which they were ended is not over at once.
    eventually("they may come again", || visitor(&proxy, "alice").0.shown() == "note=old principal=alice");
}

#[test]
fn login_from_before_a_global_logout_does_not_count() {
    let door = Gate::closed();
    let held = std::sync::Arc::clone(&door);
    let app = App::start(move |request| {
        if request.path() == "/held" {
            held.pass();
        }
        obey(request)
    });
    let proxy = proxy(&app);
    let mut alice = visitor(&proxy, "alice").0;
    let mut late = visitor(&proxy, "").0;
    std::thread::scope(|scope| {
        let login = scope.spawn(|| late.answered("/held", &["X-Session-Principal: alice"]).status);
        door.reached(1);
        alice.answered("/", &["X-Session-Action: destroy-principal"]);
        door.open();
        assert_eq!(login.join().ok(), Some(200));
    });
    assert_eq!(late.shown(), "note=old", "the visitor is not logged in, and keeps what was theirs");
    eventually("who logs in afterwards is", || {
        late.answered("/", &["X-Session-Principal: alice"]);
        late.shown() == "note=old principal=alice"
    });
}

#[test]
fn the_version_counts_fields_and_principal_and_nothing_else() {
    let app = App::scripted();
    let proxy = proxy(&app);
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/").told("meta-version").as_deref(), Some("0"));
    for (line, version) in [
        ("X-Session-Set-A: 1", 1),
        ("X-Session-Set-A: 1", 1),
        ("X-Session-Set-A: 2", 2),
        ("X-Session-Unset: never", 2),
        ("X-Session-Unset: a", 3),
        ("X-Session-Incr-N: 1", 4),
        ("X-Session-Action: renew", 4),
        ("X-Session-Action: permanent", 4),
        ("X-Session-Idle: 600", 4),
        ("X-Session-Principal: alice", 5),
        ("X-Session-Principal: alice", 5),
        ("X-Session-Action: clear", 6),
    ] {
        visitor.answered("/", &[line]);
        assert_eq!(number(&visitor.get("/"), "meta-version"), version, "{line}");
    }
}

#[test]
fn if_version_applies_all_or_nothing() {
    let app = App::scripted();
    for (toml, refused) in
        [("", 200), ("[session]\non_conflict = \"drop\"", 200), ("[session]\non_conflict = 409", 409)]
    {
        let proxy = Cloakroom::with(&app, toml);
        for (lines, holds, shown) in [
            (["X-Session-If-Version: 1", "X-Session-Set-A: 2"], true, "a=2"),
            (["X-Session-If-Version: 0", "X-Session-Set-A: 2"], false, "a=1"),
            (["X-Session-If-Version: 2", "X-Session-Set-A: 2"], false, "a=1"),
            (["X-Session-If-Version: 2", "X-Session-Principal: alice"], false, "a=1"),
            (["X-Session-If-Version: 2", "X-Session-Action: destroy"], false, "a=1"),
            (["X-Session-If-Version: 1", "X-Session-Action: destroy"], true, ""),
        ] {
            let mut visitor = proxy.browser();
            visitor.answered("/", &["X-Session-Set-A: 1"]);
            let status = visitor.answered("/", &lines).status;
            assert_eq!(status, if holds { 200 } else { refused }, "{toml} {lines:?}");
            assert_eq!(visitor.shown(), shown, "{toml} {lines:?}");
        }
        // A session without data is at version 0.
        let mut fresh = proxy.browser();
        fresh.get("/");
        fresh.answered("/", &["X-Session-If-Version: 0", "X-Session-Set-A: 1"]);
        assert_eq!(fresh.shown(), "a=1", "{toml}");
    }
}

#[test]
fn lifetimes_are_what_the_app_says_within_bounds() {
    let app = App::scripted();
    let proxy = proxy(&app);
    let (half_hour, month) = (30 * 60, 31 * 24 * 3600);
    for (lines, wanted) in [
        (vec![], half_hour),
        (vec!["X-Session-Idle: 600"], 600),
        (vec!["X-Session-Idle: 60"], 60),
        (vec!["X-Session-Idle: 59"], half_hour),
        (vec!["X-Session-Idle: 0"], half_hour),
        (vec!["X-Session-Idle: 2678400"], 12 * 3600),
        (vec!["X-Session-Idle: 2678401"], half_hour),
        (vec!["X-Session-Max: 600"], 600),
        (vec!["X-Session-Max: 59"], half_hour),
        (vec!["X-Session-Max: 15552001"], half_hour),
        (vec!["X-Session-Idle: 3600", "X-Session-Max: 600"], 600),
        (vec!["X-Session-Action: permanent"], month),
        (vec!["X-Session-Action: temporary, permanent"], half_hour),
        (vec!["X-Session-Action: permanent", "X-Session-Idle: 600"], 600),
    ] {
        let mut visitor = proxy.browser();
        visitor.answered("/", &["X-Session-Set-A: 1"]);
        let permanent = lines.contains(&"X-Session-Action: permanent");
        let given = visitor.answered("/", &lines).set_cookies().concat();
        assert_eq!(given.contains("Max-Age=") && given.contains("GMT"), permanent, "{lines:?}: {given}");
        let told = visitor.get("/");
        let (left, age) = (number(&told, "meta-idle-left"), number(&told, "meta-age"));
        // Seconds go by in a slow run.
        assert!(
            left <= wanted && left + 10 > wanted && age < 10,
            "{lines:?}: {left}, not {wanted}; age {age}"
        );
    }
    let mut visitor = proxy.browser();
    visitor.answered("/", &["X-Session-Action: permanent"]);
    visitor.answered("/", &["X-Session-Action: temporary"]);
    assert!(number(&visitor.get("/"), "meta-idle-left") <= half_hour, "temporary takes permanent back");
}

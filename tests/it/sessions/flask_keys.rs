//! Keys of Flask's session, where they are not simply fields: nobody's names, names that meet, the one that logs in; and
//! whose its cookie is.

use super::flask::{held, shared, signed, text};
use crate::support::{App, Browser, Cloakroom, scripted_app::line};
use cloakroom::testing::record::FieldValue;

fn json(value: &str) -> FieldValue {
    FieldValue::Json(value.into())
}

/// A visitor whose cookie holds this.
fn visitor(proxy: &Cloakroom, values: &[(&str, FieldValue)]) -> Browser {
    let mut visitor = proxy.browser();
    visitor.jar.insert("session".to_owned(), signed(values));
    visitor
}

#[test]
fn a_key_that_names_nobody_is_no_login_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let gate = "[[routes]]\npath = \"/staff\"\nupstream = \"app\"\nrequire = \"principal\"\n\
                [[routes]]\nupstream = \"app\"\n";
    let proxy = Cloakroom::with(&app, &format!("{}{gate}", shared(folder.path(), "principal = \"_who\"")));
    for nobody in [json("null"), json("false"), text(""), json("[]"), json("{}")] {
        let mut visitor = visitor(&proxy, &[("_who", nobody.clone()), ("a", text("1"))]);
        assert_eq!(visitor.shown(), "a=1", "{nobody:?}");
        assert_eq!(visitor.get("/staff").status, 401, "{nobody:?}");
        visitor.answered("/", &["X-Session-Set-A: 2"]);
        let document = held(&visitor).expect("a cookie");
        assert_eq!((document.get("a"), document.contains("_who")), (Some(text("2")), true), "{nobody:?}");
        visitor.answered("/", &["X-Session-Principal: zoe"]);
        assert_eq!(visitor.get("/staff").status, 200, "{nobody:?}");
        assert_eq!(held(&visitor).expect("a cookie").get("_who"), Some(text("zoe")));
    }
    // Somebody may have the number 0.
    assert_eq!(visitor(&proxy, &[("_who", json("0"))]).shown(), "principal=0");
}

#[test]
fn of_keys_that_make_one_field_only_the_shown_one_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, &shared(folder.path(), ""));
    let cart = |visitor: &Browser| {
        let document = held(visitor).expect("a cookie");
        ["CART_ID", "Cart-Id", "cart_id"].map(|key| document.get(key).map(|value| value.text().to_owned()))
    };
    let whole = |last: &str| [Some("1".to_owned()), Some("2".to_owned()), Some(last.to_owned())];
    let mut visitor =
        visitor(&proxy, &[("CART_ID", text("1")), ("Cart-Id", text("2")), ("cart_id", text("3"))]);
    assert_eq!(visitor.shown(), "cart-id=3");
    visitor.answered("/", &["X-Session-Set-Other: x"]);
    assert_eq!(cart(&visitor), whole("3"), "another field was set");
    visitor.answered("/", &["X-Session-Set-Cart-Id: 4"]);
    assert_eq!((cart(&visitor), visitor.shown().as_str()), (whole("4"), "cart-id=4 other=x"));
    visitor.answered("/", &["X-Session-Unset: cart-id"]);
    assert_eq!((cart(&visitor), visitor.shown().as_str()), ([None, None, None], "other=x"));
}

#[test]
fn who_is_logged_in_is_changed_by_a_login_and_by_no_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    for more in ["principal = \"user\"", "export = { \"_user_id\" = \"user\" }"] {
        let proxy = Cloakroom::with(&app, &shared(folder.path(), more));
        let key = if more.starts_with("export") { "_user_id" } else { "user" };
        let mut visitor = visitor(&proxy, &[(key, json("7")), ("_kept", text("k"))]);
        assert_eq!(visitor.shown(), "principal=7 user=7");
        for line in ["X-Session-Set-User: 1", "X-Session-Incr-User: 1", "X-Session-Unset: user"] {
            visitor.answered("/", &[line]);
            assert_eq!(held(&visitor).expect("a cookie").get(key), Some(json("7")), "{more} {line}");
        }
        visitor.answered("/", &["X-Session-Action: clear"]);
        assert_eq!(visitor.shown(), "principal=7 user=7", "{more}");
        assert!(proxy.log().contains("who is logged in"), "{}", proxy.log());
        let mut stranger = proxy.browser();
        stranger.answered("/", &["X-Session-Set-User: 1"]);
        assert_eq!((stranger.shown().as_str(), stranger.jar.len()), ("", 0), "{more}");
    }
}

#[test]
fn flask_cookie_reaches_flask_alone_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::setting();
    let off = "[[routes]]\npath = \"/account\"\nupstream = \"app\"\nsession = \"off\"\n\
               [[routes]]\nupstream = \"app\"\n";
    let proxy = Cloakroom::with(&app, &format!("{}{off}", shared(folder.path(), "")));
    let mut visitor = visitor(&proxy, &[("_user_id", text("7"))]);
    let sent = format!("other=1; session={}; Session=2", visitor.jar["session"]);
    let cookies = format!("cookie: {sent}\r\n");
    visitor.jar.clear();
    let sets = "session=of.the.app; Path=/; HttpOnly; X-Unknown";
    let flask = visitor.get_with("/account/x", &(cookies.clone() + &line(sets)));
    assert_eq!((flask.text(), flask.set_cookies()), (sent, vec![sets.to_owned()]));
    visitor.jar.clear();
    let other = visitor.get_with("/x", &(cookies + &line(sets)));
    assert_eq!((other.text().as_str(), other.set_cookies().len()), ("other=1; Session=2", 0));
}

#[test]
fn no_rule_for_cookies_gets_between_flask_and_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::setting();
    for action in ["seal", "drop", "keep", "rewrite\"\nrename = \"app-*"] {
        let toml = format!(
            "{}[[routes]]\npath = \"/account\"\nupstream = \"app\"\nsession = \"off\"\n\
             [[routes]]\nupstream = \"app\"\n[[cookies]]\nname = \"s*\"\naction = \"{action}\"\n",
            shared(folder.path(), "")
        );
        let proxy = Cloakroom::with(&app, &toml);
        let mut visitor = visitor(&proxy, &[("_user_id", text("7"))]);
        let sent = format!("session={}", visitor.jar["session"]);
        assert_eq!(visitor.get("/account").text(), sent, "{action}");
        let sets = format!("{sent}; Path=/; HttpOnly");
        assert_eq!(visitor.get_with("/account", &line(&sets)).set_cookies(), [sets], "{action}");
        // Another cookie falls under its rule.
        let other = visitor.get_with("/account", &line("side=1; Path=/; Secure")).set_cookies();
        assert_ne!(other, ["side=1; Path=/; Secure"], "{action}");
    }
    // Nor does a rule make another cookie into it.
    let rename = "[[cookies]]\nname = \"i*\"\nrename = \"sess*\"\n";
    let off = "[[routes]]\nupstream = \"app\"\nsession = \"off\"\n";
    let proxy = Cloakroom::with(&app, &format!("{}{off}{rename}", shared(folder.path(), "")));
    assert_eq!(proxy.browser().get_with("/", &line("ion=1")).set_cookies(), [""; 0]);
}

#[test]
fn a_session_that_is_destroyed_takes_its_cookie_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, &shared(folder.path(), ""));
    for action in ["destroy", "logout", "destroy-principal"] {
        let mut visitor = visitor(&proxy, &[("_user_id", text("7")), ("_kept", text("k"))]);
        let answer = visitor.answered("/", &[&format!("X-Session-Action: {action}")]);
        assert!(answer.set_cookies().iter().any(|line| line.starts_with("session=;")), "{action}");
        assert_eq!((visitor.jar.len(), visitor.shown().as_str()), (0, ""), "{action}");
    }
    // Who logs in in another's place gets nothing of what was theirs.
    let mut visitor = visitor(&proxy, &[("_user_id", text("7")), ("_kept", text("k")), ("cart", text("c"))]);
    visitor.answered("/", &["X-Session-Principal: 8"]);
    let document = held(&visitor).expect("a cookie");
    assert_eq!(document.names().collect::<Vec<_>>(), ["_user_id"]);
    assert_eq!(visitor.shown(), "principal=8");
}

#[test]
fn flask_secret_rotation_by_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, &shared(folder.path(), ""));
    let old = folder.path().join("secret").display().to_string();
    let new = folder.path().join("new").display().to_string();
    std::fs::write(&new, "dev-secret-2").expect("a file");
    let mut visitors: Vec<_> = (0..20).map(|_| visitor(&proxy, &[("_user_id", text("7"))])).collect();
    let named = format!("secret_key = {{ file = \"{old}\" }}");
    let both = format!("secret_key = {{ file = \"{new}\" }}\nfallbacks = [{{ file = \"{old}\" }}]");
    let told = proxy.reload(|toml| toml.replace(&named, &both));
    assert!(!told.contains("restart") && !told.contains("not reloaded"), "{told}");
    for visitor in &mut visitors {
        assert_eq!(visitor.shown(), "principal=7", "nobody is logged out");
    }
    let (changed, left) = visitors.split_at_mut(10);
    for visitor in &mut *changed {
        visitor.answered("/", &["X-Session-Set-A: 1"]);
    }
    proxy.reload(|toml| toml.replace(&both, &format!("secret_key = {{ file = \"{new}\" }}")));
    assert!(changed.iter_mut().all(|visitor| visitor.shown() == "a=1 principal=7"), "signed anew");
    assert!(left.iter_mut().all(|visitor| visitor.shown().is_empty()), "signed by none that is named");
    // Another kind waits for the restart, and what runs goes on.
    let told = proxy.reload(|toml| toml.replace("kind = \"flask\"", "kind = \"memory\""));
    assert!(told.contains("needs_restart=\"[store]"), "{told}");
    assert!(changed.iter_mut().all(|visitor| visitor.shown() == "a=1 principal=7"));
    let told = proxy.reload(|toml| {
        let line = format!("secret_key = {{ file = \"{new}\" }}\n");
        assert!(toml.contains(&line), "{toml}");
        toml.replace(&line, "")
    });
    assert!(told.contains("needs_restart=\"[store]"), "{told}");
    assert!(changed.iter_mut().all(|visitor| visitor.shown() == "a=1 principal=7"));
}

//! Sessions in Flask's own cookie: a Flask app and another one that share a login.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails, with the place")]

use std::iter;
use std::path::Path;
use std::time::Duration;

use crate::support::{App, Browser, Cloakroom};
use cloakroom::testing::{
    clock::Timestamp,
    record::{
        FieldValue,
        flask_format::{FlaskCodec, FlaskDocument, LIFETIME},
    },
};

const SECRET: &str = "dev-secret-1";

/// TOML for sessions in the cookie of an app with this secret.
pub(crate) fn shared(folder: &Path, more: &str) -> String {
    let path = folder.join("secret");
    std::fs::write(&path, SECRET).expect("a file");
    format!(
        "[session.cookie]\nname = \"session\"\nprefix = \"none\"\n\
         [store]\nkind = \"flask\"\nsecret_key = {{ file = \"{}\" }}\n{more}\n",
        path.display()
    )
}

fn codec(secret: &str) -> FlaskCodec {
    FlaskCodec::new(secret.as_bytes(), iter::empty(), LIFETIME)
}

/// What Flask would send for this.
pub(crate) fn signed(values: &[(&str, FieldValue)]) -> String {
    let mut document = FlaskDocument::default();
    for (name, value) in values {
        assert!(document.set(name, value));
    }
    codec(SECRET).seal(&document, Timestamp::now())
}

pub(crate) fn text(value: &str) -> FieldValue {
    FieldValue::Text(value.into())
}

/// What a visitor's cookie holds.
pub(crate) fn held(visitor: &Browser) -> Option<FlaskDocument> {
    let cookie = visitor.jar.get("session")?;
    Some(codec(SECRET).open(cookie.as_bytes(), Timestamp::now()).expect("signed as Flask does").document)
}

#[test]
fn flask_export_shows_some_keys_and_keeps_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let cookie = [
        ("_user_id", text("7")),
        ("_fresh", FieldValue::Json("true".into())),
        ("cart_id", FieldValue::Json("[1, 2]".into())),
        ("Größe", text("no field")),
    ];
    for (more, told) in [
        ("", "cart-id=%5B1%2C2%5D principal=7"),
        (
            "export = { \"_user_id\" = \"user-id\", \"_fresh\" = \"fresh\" }",
            "fresh=true principal=7 user-id=7",
        ),
        ("principal = \"cart_id\"\nexport = {}", "principal=%5B1%2C2%5D"),
    ] {
        let proxy = Cloakroom::with(&app, &shared(folder.path(), more));
        let mut visitor = proxy.browser();
        visitor.jar.insert("session".to_owned(), signed(&cookie));
        let before = held(&visitor);
        let page = visitor.get("/");
        assert_eq!(page.fields(), told, "{more}");
        assert_eq!(page.told("state").as_deref(), Some("active"));
        for none in ["id", "version", "meta-version", "meta-age", "meta-idle-left"] {
            assert_eq!(page.told(none), None, "{none}");
        }
        assert_eq!(page.header("vary").as_deref(), Some("Cookie"));
        assert_eq!((page.set_cookies().len(), held(&visitor)), (0, before), "nothing changed");
    }
    let proxy = Cloakroom::with(&app, &shared(folder.path(), ""));
    let mut visitor = proxy.browser();
    visitor.jar.insert("session".to_owned(), signed(&cookie));
    assert_eq!(
        visitor.answered("/", &["X-Session-Set-Cart-Id: 9", "X-Session-Set-New-One: a"]).set_cookies().len(),
        1
    );
    let document = held(&visitor).expect("a cookie");
    let mut names: Vec<_> = document.names().collect();
    names.sort();
    assert_eq!(names, ["Größe", "_fresh", "_user_id", "cart_id", "new_one"]);
    assert_eq!(document.get("cart_id"), Some(text("9")));
    visitor.answered("/", &["X-Session-Unset: cart-id"]);
    assert!(!held(&visitor).expect("a cookie").contains("cart_id"));
    assert_eq!(visitor.shown(), "new-one=a principal=7");
}

#[test]
fn flask_cookie_needs_a_key_or_a_fallback() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    std::fs::write(folder.path().join("old"), "dev-secret-0").expect("a file");
    let fallbacks = format!("fallbacks = [{{ file = \"{}\" }}]", folder.path().join("old").display());
    let proxy = Cloakroom::with(&app, &shared(folder.path(), &fallbacks));
    let mut document = FlaskDocument::default();
    assert!(document.set("_user_id", &text("7")));
    let hour = Duration::from_hours(1);
    let past = |ago: Duration| Timestamp(Timestamp::now().0 - ago.as_millis() as u64);
    for (secret, when, told) in [
        (SECRET, past(hour), "principal=7"),
        ("dev-secret-0", past(hour), "principal=7"),
        ("dev-secret-2", past(hour), ""),
        (SECRET, past(LIFETIME + hour), ""),
        (SECRET, Timestamp::now().plus(hour), ""),
    ] {
        let mut visitor = proxy.browser();
        visitor.jar.insert("session".to_owned(), codec(secret).seal(&document, when));
        let page = visitor.get("/");
        assert_eq!((page.status, page.fields().as_str()), (200, told), "{secret}");
        assert_eq!(
            page.set_cookies(),
            [""; 0],
            "Flask sends it anew when something changes, and so it is here"
        );
    }
    // Of several, both read the first.
    let mut visitor = proxy.browser();
    let wrong = codec("x").seal(&document, past(hour));
    let right = codec(SECRET).seal(&document, past(hour));
    let page = visitor.get_with("/", &format!("cookie: session={wrong}; session={right}\r\n"));
    assert_eq!(page.fields(), "");
}

#[test]
fn a_cookie_is_sent_again_when_flask_would_send_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let permanent = ("_permanent", FieldValue::Json("true".into()));
    for (more, cookie, sent) in [
        ("", vec![("_user_id", text("7")), permanent.clone()], 1),
        ("", vec![("_user_id", text("7"))], 0),
        ("refresh_each_request = false", vec![("_user_id", text("7")), permanent.clone()], 0),
        ("write = false", vec![("_user_id", text("7")), permanent], 0),
    ] {
        let proxy = Cloakroom::with(&app, &shared(folder.path(), more));
        let mut visitor = proxy.browser();
        visitor.jar.insert("session".to_owned(), signed(&cookie));
        let lines = visitor.get("/").set_cookies();
        assert_eq!(lines.len(), sent, "{more} {cookie:?}");
        assert!(
            lines.iter().all(|line| line.contains("Max-Age=2678400") && line.contains("HttpOnly")),
            "{lines:?}"
        );
    }
    let proxy = Cloakroom::with(&app, &shared(folder.path(), ""));
    let mut visitor = proxy.browser();
    assert_eq!(visitor.get("/").set_cookies(), [""; 0], "a session begins when something is in it");
    visitor.answered("/", &["X-Session-Set-A: 1", "X-Session-Action: permanent"]);
    assert!(held(&visitor).expect("a cookie").is_permanent());
    visitor.answered("/", &["X-Session-Action: temporary"]);
    assert!(!held(&visitor).expect("a cookie").is_permanent());
    let last = visitor.answered("/", &["X-Session-Unset: a"]);
    assert!(last.set_cookies()[0].contains("Max-Age=0"), "{:?}", last.set_cookies());
    assert_eq!(visitor.jar.len(), 0);
}

#[test]
fn flask_read_only_drops_and_logs_instructions() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let proxy = Cloakroom::with(&app, &shared(folder.path(), "write = false"));
    let mut visitor = proxy.browser();
    visitor.jar.insert("session".to_owned(), signed(&[("_user_id", text("7"))]));
    for line in [
        "X-Session-Set-A: 1",
        "X-Session-Principal: bob",
        "X-Session-Principal:",
        "X-Session-Action: destroy",
    ] {
        let answer = visitor.answered("/", &[line]);
        assert_eq!((answer.status, answer.set_cookies().len()), (200, 0), "{line}");
    }
    assert_eq!(visitor.shown(), "principal=7");
    assert!(proxy.log().contains("write = false: Flask alone writes"), "{}", proxy.log());
}

#[test]
fn what_flasks_cookie_has_no_place_for_is_dropped_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = App::scripted();
    let proxy = Cloakroom::with(
        &app,
        &format!(
            "[session]\nmax_header_bytes = \"32 KiB\"\nmax_value_bytes = \"8 KiB\"\n{}",
            shared(folder.path(), "")
        ),
    );
    let mut visitor = proxy.browser();
    visitor.jar.insert("session".to_owned(), signed(&[("_user_id", text("7")), ("a", text("1"))]));
    let page =
        visitor.answered("/", &["X-Session-Flash-Note: x", "X-Session-Set-B: 2", "X-Session-Idle: 120"]);
    assert_eq!((page.status, visitor.shown().as_str()), (200, "a=1 b=2 principal=7"));
    // Of letters that cannot be deflated to many fewer.
    let random: String = (0..250).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let fits = random.get(..1900).expect("letters");
    visitor.answered("/", &[&format!("X-Session-Set-C: {fits}")]);
    assert!(visitor.shown().contains(fits));
    visitor.answered("/", &[&format!("X-Session-Set-D: {random}")]);
    assert!(
        visitor.shown().contains(fits) && !visitor.shown().contains(" d="),
        "refused, and nothing else is lost"
    );
    let pair = "session".len() + visitor.jar["session"].len();
    assert!(pair <= 4096, "{pair}");
    let log = proxy.log();
    assert!(
        log.contains("Flask's cookie has no place") && log.contains("4096 bytes of Flask's cookie"),
        "{log}"
    );
}

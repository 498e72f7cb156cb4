//! What sessions that visitors carry themselves (`[store] kind = "cookie"` or `"flask"`) need, and what they cannot hold.

use super::{
    CookieAction, CookiePrefix, CookieRule, KeysConfig, RequestLimits, SessionConfig, StoreConfig, StoreKind,
    diagnostic::Diagnostic, value::TableReader,
};

/// Bytes of a browser's cookie, and of the rest of a head.
const COOKIE: usize = 4096;
const REST: usize = 8 * 1024;

/// Notes what does not go together.
pub(super) fn check(
    root: &TableReader<'_>,
    (store, keys): (&StoreConfig, &KeysConfig),
    session: &SessionConfig,
    cookies: &[CookieRule],
    limits: &RequestLimits,
) {
    let (store_table, session_table) = (root.section("store"), root.section("session"));
    let kind = store_table.span("kind");
    match store.kind {
        StoreKind::Cookie => {}
        StoreKind::Flask => return flask(root, store, session, cookies),
        StoreKind::Disk | StoreKind::Memory => return,
    }
    if keys.current.is_none() {
        let error =
            Diagnostic::error("`store.kind` = \"cookie\" needs a key", kind.clone(), "nothing to seal under");
        root.notes().push(error.help(
            "`cloakroom key generate` makes one; name it in [keys] current = { file = \"…\" }: every node needs the same",
        ));
    }
    let warn = |message: &str, span, label: &str| {
        root.notes().push(Diagnostic::warning(message, span, label));
    };
    if session.max_sessions_per_principal.is_some()
        && session_table.span("max_sessions_per_principal").is_some()
    {
        warn(
            "`session.max_sessions_per_principal` has no effect: visitors carry their sessions",
            session_table.span("max_sessions_per_principal"),
            "nobody knows how many there are",
        );
    }
    if cookies.iter().any(|rule| rule.action == CookieAction::Keep && !rule.report) {
        let room = usize::from(store.max_cookies) * COOKIE / 4 * 3;
        warn(
            "kept cookies travel with the session: what does not fit is lost",
            kind,
            &format!("cookies, fields and all have about {} KiB together", room / 1024),
        );
    }
    let needed = usize::from(store.max_cookies) * COOKIE + REST;
    if limits.head_bytes.is_some_and(|most| most < needed) {
        warn(
            "`limits.head_bytes` is less than a large session's cookies and a head may take",
            root.section("limits").span("head_bytes").or_else(|| store_table.span("max_cookies")),
            &format!("{} cookies of 4096 bytes: such visitors are answered 431", store.max_cookies),
        );
    }
}

/// What `kind = "flask"` needs, and what Flask's cookie has no place for.
fn flask(root: &TableReader<'_>, store: &StoreConfig, session: &SessionConfig, cookies: &[CookieRule]) {
    let (store_table, session_table) = (root.section("store"), root.section("session"));
    let (kind, cookie) = (store_table.span("kind"), session_table.section("cookie"));
    let notes = root.notes();
    if store.flask.secret_key.is_none() {
        let message = "`store.kind` = \"flask\" needs the app's SECRET_KEY";
        let error = Diagnostic::error(message, kind.clone(), "nothing to read its cookie with");
        notes.push(
            error.help(
                "name the place: secret_key = { credential = \"flask-secret\" } or { file = \"/PATH\" }",
            ),
        );
    }
    if session.cookie.prefix != CookiePrefix::None || session.cookie.name == "cloakroom" {
        let span = cookie.span("name").or_else(|| cookie.span("prefix")).or_else(|| kind.clone());
        let warning =
            Diagnostic::warning("the session's cookie has not Flask's name", span, "Flask reads another one");
        notes.push(
            warning
                .help("[session.cookie] name = \"session\", prefix = \"none\": as SESSION_COOKIE_NAME says"),
        );
    }
    if session.max_sessions_per_principal.is_some()
        && session_table.span("max_sessions_per_principal").is_some()
    {
        let span = session_table.span("max_sessions_per_principal");
        let message = "`session.max_sessions_per_principal` has no effect: visitors carry their sessions";
        notes.push(Diagnostic::warning(message, span, "nobody knows how many there are"));
    }
    // Two that are alone on their hosts have the same cookie, too: whoever copies it is logged in at both.
    for realm in root.sections("routes").iter().filter_map(|route| route.span("realm")) {
        let message = "`realm` keeps no visitor apart: Flask's cookie names none";
        let label = "who is logged in by Flask's secret is so in every realm";
        notes.push(Diagnostic::warning(message, Some(realm), label));
    }
    if cookies.iter().any(|rule| (rule.action == CookieAction::Keep || rule.bound) && !rule.report) {
        let message =
            "cookies that are kept, or bound to a session, are lost: Flask's has no place for them and no id";
        notes.push(Diagnostic::warning(message, kind, "choose another kind, or `seal` without `bind`"));
    }
}

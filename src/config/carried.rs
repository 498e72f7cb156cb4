//! What sessions that visitors carry themselves (`[store] kind = "cookie"`) need, and what they cannot hold.

use super::{
    CookieAction, CookieRule, Keys, Limits, Session, Store, StoreKind, diagnostic::Diagnostic, value::Reader,
};

/// Bytes of a browser's cookie, and of the rest of a head.
const COOKIE: usize = 4096;
const REST: usize = 8 * 1024;

/// Notes what does not go together.
pub(super) fn check(
    root: &Reader<'_>,
    (store, keys): (&Store, &Keys),
    session: &Session,
    cookies: &[CookieRule],
    limits: &Limits,
) {
    if store.kind != StoreKind::Cookie {
        return;
    }
    let (store_table, session_table) = (root.section("store"), root.section("session"));
    let kind = store_table.span("kind");
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
    if session.max_sessions_per_principal.is_some() {
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

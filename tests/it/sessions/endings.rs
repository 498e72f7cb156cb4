//! An ending counts, though something else renewed the ticket while it was under way; and one from before a login logs
//! nobody out who has come since.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::sync::Arc;
use std::thread;

use tempfile::TempDir;

use crate::support::{App, Browser, Cloakroom, Gate, key, obey};

/// All that ends a session.
const ENDINGS: [&str; 4] = [
    "X-Session-Action: destroy",
    "X-Session-Action: logout",
    "X-Session-Principal:",
    "X-Session-Action: destroy-principal",
];
/// All that renews a ticket and is no login.
const RENEWALS: [&str; 3] =
    ["X-Session-Action: renew", "X-Session-Set-Role: editor", "Set-Cookie: theme=dark; Path=/"];
const KEPT: &str = "Set-Cookie: PHPSESSID=a; Path=/; HttpOnly";
const TAKEN: &str = "Set-Cookie: PHPSESSID=; Path=/; Max-Age=0";

/// A cloakroom that keeps every cookie, and an app that holds back what is asked for below `/held`.
struct Scene {
    door: Arc<Gate>,
    _app: App,
    proxy: Cloakroom,
    kind: &'static str,
    _folder: TempDir,
}

fn scenes() -> impl Iterator<Item = Scene> {
    ["memory", "disk", "cookie"].into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        let door = Gate::closed();
        let held = Arc::clone(&door);
        let app = App::start(move |request| {
            if request.path() == "/held" {
                held.pass();
            }
            let cookies = request.header("cookie").unwrap_or_default();
            obey(request).with(format!("X-Cookies: {cookies}"))
        });
        let keys = key(folder.path(), "key");
        let path = if kind == "memory" { String::new() } else { format!("path = \"{}/s\"\n", folder.path().display()) };
        let toml = format!(
            "[session]\nprivilege_fields = [\"role\"]\n[store]\nkind = \"{kind}\"\n{path}[keys]\ncurrent = {keys}\n\
             [[cookies]]\nname = \"*\"\naction = \"keep\"\nrenew = \"always\"\n"
        );
        Scene { proxy: Cloakroom::with(&app, &toml), door, _app: app, kind, _folder: folder }
    })
}

impl Scene {
    /// A visitor who has been answered so.
    fn visitor(&self, lines: &[&str]) -> Browser {
        let mut visitor = self.proxy.browser();
        visitor.answered("/", lines);
        visitor
    }

    /// Another tab of this visitor asks for what is answered so, and `meanwhile` happens here.
    fn overtake(&self, visitor: &mut Browser, lines: &[&str], meanwhile: &[&str]) -> Browser {
        let mut late = visitor.clone();
        let before = visitor.ticket();
        thread::scope(|scope| {
            let answer = scope.spawn(|| drop(late.answered("/held", lines)));
            self.door.reached(1);
            visitor.answered("/", meanwhile);
            assert_ne!(visitor.ticket(), before, "{}: {meanwhile:?} renews", self.kind);
            self.door.open();
            answer.join().unwrap();
        });
        self.door.close();
        late
    }
}

fn who(visitor: &mut Browser) -> Option<String> {
    visitor.get("/").told("principal")
}

#[test]
fn logout_counts_though_the_ticket_was_renewed() {
    for scene in scenes() {
        for ending in ENDINGS {
            for renewal in RENEWALS {
                let mut visitor = scene.visitor(&["X-Session-Principal: alice", KEPT]);
                let mut late = scene.overtake(&mut visitor, &[ending], &[renewal]);
                let what = format!("{}: {ending} overtaken by {renewal}", scene.kind);
                let answer = visitor.get("/");
                assert_eq!(answer.told("principal"), None, "{what}");
                assert_eq!(answer.header("x-cookies").as_deref(), Some(""), "{what}");
                assert_eq!(who(&mut late), None, "{what}: the tab that logged out");
            }
        }
    }
}

#[test]
fn a_session_without_a_name_ends_as_well() {
    for scene in scenes() {
        for ending in ["X-Session-Action: destroy", "X-Session-Action: logout"] {
            for renewal in ["X-Session-Action: renew", "Set-Cookie: theme=dark; Path=/"] {
                let mut visitor = scene.visitor(&["X-Session-Set-A: 1", KEPT]);
                // Who came into it before the request began is no newcomer.
                visitor.answered("/", &["X-Session-Set-Login: alice", "X-Session-Action: renew"]);
                scene.overtake(&mut visitor, &[ending], &[renewal]);
                let what = format!("{}: {ending} overtaken by {renewal}", scene.kind);
                assert_eq!(visitor.get("/").told("login"), None, "{what}");
            }
        }
    }
}

#[test]
fn late_cookie_removal_counts_after_a_renewal() {
    for scene in scenes() {
        for (renewal, left) in [
            ("X-Session-Action: renew", ""),
            ("Set-Cookie: PHPSESSID=b; Path=/; HttpOnly", ""),
            ("Set-Cookie: theme=dark; Path=/", "theme=dark"),
        ] {
            let mut visitor = scene.visitor(&["X-Session-Set-A: 1"]);
            visitor.answered("/", &["X-Session-Set-Login: alice", KEPT]);
            let held = visitor.get("/").header("x-cookies");
            assert_eq!(held.as_deref(), Some("PHPSESSID=a"), "{}", scene.kind);
            scene.overtake(&mut visitor, &[TAKEN], &[renewal]);
            let cookies = visitor.get("/").header("x-cookies").unwrap();
            // What visitors carry cannot be changed in a copy that is on its way to them: there all of it ends.
            let left = if scene.kind == "cookie" { "" } else { left };
            assert_eq!(cookies, left, "{}: {renewal}", scene.kind);
        }
    }
}

#[test]
fn an_answer_from_before_a_login_ends_nothing() {
    let named = ["X-Session-Principal: alice"];
    let unnamed = ["X-Session-Set-Login: alice", "X-Session-Action: renew"];
    for scene in scenes() {
        for ending in [ENDINGS.as_slice(), &[TAKEN]].concat() {
            for login in [named.as_slice(), &unnamed] {
                let mut visitor = scene.visitor(&["X-Session-Set-A: 1", KEPT]);
                let mut late = scene.overtake(&mut visitor, &[ending], login);
                let answer = visitor.get("/");
                let inside = answer.told("principal").or(answer.told("login"));
                assert_eq!(inside.as_deref(), Some("alice"), "{}: {ending} before {login:?}", scene.kind);
                assert_eq!(answer.header("x-cookies").as_deref(), Some("PHPSESSID=a"), "{ending}");
                assert_eq!(late.get("/").fields(), "", "{}: no ticket of it", scene.kind);
            }
        }
    }
}

/// An app that gives each visitor a session of its own, as PHP does: at a login it changes, and nothing is new.
#[test]
fn answer_from_before_an_unnamed_login_ends_nothing() {
    let logins = ["Set-Cookie: PHPSESSID=victim; Path=/; HttpOnly", "X-Session-Set-Role: admin"];
    for scene in scenes() {
        for ending in ["X-Session-Action: destroy", "X-Session-Action: logout"] {
            for login in logins {
                let mut visitor = scene.visitor(&["X-Session-Set-Role: guest", KEPT]);
                let mut late = scene.overtake(&mut visitor, &[ending], &[login]);
                let answer = visitor.get("/");
                let what = format!("{}: {ending} before {login}", scene.kind);
                assert_eq!(answer.told("state").as_deref(), Some("active"), "{what}");
                assert!(
                    answer.told("role").is_some()
                        && answer.header("x-cookies").is_some_and(|c| !c.is_empty()),
                    "{what}"
                );
                assert_eq!(late.get("/").fields(), "", "{what}: no ticket of it");
            }
        }
    }
}

#[test]
fn late_destroy_principal_still_ends_the_others() {
    for scene in scenes().filter(|scene| scene.kind != "cookie") {
        let mut elsewhere = scene.visitor(&["X-Session-Principal: alice"]);
        let mut visitor = scene.visitor(&["X-Session-Principal: alice"]);
        scene.overtake(&mut visitor, &["X-Session-Action: destroy-principal"], &["X-Session-Action: logout"]);
        assert_eq!(who(&mut elsewhere), None, "{}", scene.kind);
    }
}

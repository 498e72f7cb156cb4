//! Apps that say by their own cookies alone that somebody has left, in answers that something else overtook.
#![expect(clippy::unwrap_used, reason = "whatever is missing fails its test, with the place")]

use std::sync::Arc;
use std::thread;

use tempfile::TempDir;

use crate::support::{App, Browser, Cloakroom, Gate, Response, key, obey, orders};

const FORM: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n";
const SCRIPT: &str = "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n";

/// A cloakroom that keeps every cookie, and an app that holds back what is asked for as `/first` and `/second`.
struct Scene {
    first: Arc<Gate>,
    second: Arc<Gate>,
    _app: App,
    proxy: Cloakroom,
    kind: &'static str,
    _folder: TempDir,
}

fn scenes() -> impl Iterator<Item = Scene> {
    ["memory", "disk", "cookie"].into_iter().map(|kind| {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Gate::closed(), Gate::closed());
        let (one, two) = (Arc::clone(&first), Arc::clone(&second));
        let app = App::start(move |request| {
            match request.path().trim_start_matches("/read").trim_start_matches("/two") {
                "/first" => one.pass(),
                "/second" => two.pass(),
                _ => {}
            }
            let cookies = request.header("cookie").unwrap_or_default();
            obey(request).with(format!("X-Cookies: {cookies}"))
        });
        let keys = key(folder.path(), "key");
        let path = if kind == "memory" { String::new() } else { format!("path = \"{}/s\"\n", folder.path().display()) };
        let toml = format!(
            "[store]\nkind = \"{kind}\"\n{path}[keys]\ncurrent = {keys}\n\
             [[routes]]\nupstream = \"app\"\n[[routes]]\npath = \"/two\"\nupstream = \"two\"\n\
             [upstreams.two]\nservers = [\"http://{}\"]\nsession_fields = []\nsession_write = false\nsession_login = false\n\
             [[routes]]\npath = \"/read\"\nsession = \"read_only\"\nupstream = \"app\"\n\
             [[cookies]]\nname = \"*\"\naction = \"keep\"\n",
            app.address
        );
        Scene { proxy: Cloakroom::with(&app, &toml), first, second, _app: app, kind, _folder: folder }
    })
}

/// A request, by which means it is sent, and what its answer says.
#[derive(Debug, Clone, Copy)]
struct Asked(&'static str, &'static str, &'static [&'static str]);

fn send(visitor: &mut Browser, path: &str, asked: Asked) -> Response {
    let Asked(method, means, lines) = asked;
    let lines = orders(lines) + means + if method == "POST" { "content-length: 0\r\n" } else { "" };
    let head = format!("{method} {path} HTTP/1.1\r\n{}{lines}\r\n", visitor.lines());
    visitor.send_raw(head.as_bytes())
}

/// What the app is sent of the cookies that are kept, and who is named.
fn seen(visitor: &mut Browser) -> String {
    let answer = visitor.get("/");
    let name = answer.told("principal").map(|name| format!(" {name}")).unwrap_or_default();
    answer.header("x-cookies").unwrap_or_default() + &name
}

const CLEAR: &str = "Set-Cookie: sid=; Path=/; Max-Age=0";
const FORGET: &str = "Set-Cookie: remember_token=; Path=/; Max-Age=0";

/// What was logged in, what is under way, and what came meanwhile; what the app sees afterwards of the visitor, where
/// sessions are kept and where they travel, and of the one who had asked first, likewise.
type Case = (&'static [&'static str], Asked, Asked, [&'static str; 2], [&'static str; 2]);

#[test]
fn late_answer_removes_what_it_does_not_set_anew() {
    const LOGGED: &[&str] = &["Set-Cookie: sid=A; Path=/", "Set-Cookie: remember_token=R; Path=/"];
    const NAMED: &[&str] = &["Set-Cookie: sid=A; Path=/", "X-Session-Principal: alice"];
    const ROLLS: &[&str] = &[CLEAR, "Set-Cookie: sid=B; Path=/"];
    const LEAVES: &[&str] = &[FORGET, "Set-Cookie: sid=ANON; Path=/"];
    const LATER: &[&str] = &["Set-Cookie: sid=C; Path=/"];
    const RENEWS: &[&str] = &["X-Session-Action: renew"];
    const LOGS_IN: &[&str] = &[FORGET, "X-Session-Principal: alice"];
    const ONE: &[&str] = &["Set-Cookie: sid=A; Path=/"];
    const NOBODYS: &[&str] = &["Set-Cookie: sid=ANON; Path=/"];
    const FOR_VERSION: &[&str] = &[CLEAR, "X-Session-If-Version: 1"];
    const CHANGES: &[&str] = &["X-Session-Set-N: 1", "X-Session-Action: renew"];
    let cases: [Case; 10] = [
        // Cleared and set in one answer: it was never away. What a script got spends no ticket, so the last answer counts,
        // as it does in a browser.
        (ONE, Asked("GET", FORM, ROLLS), Asked("POST", SCRIPT, LATER), ["sid=B", "sid=C"], ["sid=B"; 2]),
        (ONE, Asked("POST", SCRIPT, ROLLS), Asked("POST", SCRIPT, LATER), ["sid=B", "sid=C"], ["sid=B"; 2]),
        (NAMED, Asked("GET", FORM, ROLLS), Asked("GET", "", RENEWS), ["sid=A alice"; 2], [""; 2]),
        // A logout that begins a session of nobody's is one all the same.
        (LOGGED, Asked("POST", FORM, LEAVES), Asked("POST", SCRIPT, LATER), [""; 2], ["", "sid=ANON"]),
        (LOGGED, Asked("POST", SCRIPT, LEAVES), Asked("POST", SCRIPT, LATER), [""; 2], ["", "sid=ANON"]),
        // And once it was said, a form that was under way logs nobody in.
        (LOGGED, Asked("POST", FORM, LATER), Asked("POST", FORM, LEAVES), ["sid=ANON"; 2], [""; 2]),
        (ONE, Asked("POST", FORM, LATER), Asked("POST", SCRIPT, NOBODYS), [""; 2], ["sid=C"; 2]),
        // A login of the app's own, since the request began, is not undone; by name it is another matter.
        (NAMED, Asked("GET", FORM, &[CLEAR]), Asked("POST", FORM, LATER), ["sid=C alice"; 2], [""; 2]),
        // Meant for another version.
        (NAMED, Asked("GET", FORM, FOR_VERSION), Asked("GET", "", CHANGES), ["sid=A alice"; 2], [""; 2]),
        // Who is named where a cookie goes is logged in, in a session of their own.
        (LOGGED, Asked("POST", FORM, LOGS_IN), Asked("GET", "", RENEWS), ["sid=A", ""], [" alice"; 2]),
    ];
    for scene in scenes() {
        for (before, late, meanwhile, wanted, of_late) in cases {
            let mut visitor = scene.proxy.browser();
            visitor.get("/");
            send(&mut visitor, "/", Asked("POST", FORM, before));
            let mut other = visitor.clone();
            thread::scope(|scope| {
                let answer = scope.spawn(|| drop(send(&mut other, "/first", late)));
                scene.first.reached(1);
                send(&mut visitor, "/", meanwhile);
                scene.first.open();
                answer.join().unwrap();
            });
            scene.first.close();
            let what = format!("{}: {late:?} overtaken by {meanwhile:?}", scene.kind);
            let travels = usize::from(scene.kind == "cookie");
            assert_eq!(seen(&mut visitor), wanted[travels], "{what}");
            assert_eq!(seen(&mut other), of_late[travels], "{what}: who asked first");
        }
    }
}

#[test]
fn late_logout_stands_against_requests_under_way() {
    for scene in scenes() {
        for means in [FORM, SCRIPT] {
            let mut visitor = scene.proxy.browser();
            visitor.get("/");
            send(&mut visitor, "/", Asked("POST", FORM, &["Set-Cookie: sid=A; Path=/"]));
            let mut leaving = visitor.clone();
            thread::scope(|scope| {
                let farewell =
                    scope.spawn(|| drop(send(&mut leaving, "/first", Asked("POST", FORM, &[CLEAR]))));
                scene.first.reached(1);
                visitor.answered("/", &["X-Session-Action: renew"]);
                let mut tab = visitor.clone();
                let rolled = scope.spawn(move || {
                    send(&mut tab, "/second", Asked("POST", means, &["Set-Cookie: sid=B; Path=/"]));
                    seen(&mut tab)
                });
                scene.second.reached(1);
                scene.first.open();
                farewell.join().unwrap();
                scene.second.open();
                assert_eq!(rolled.join().unwrap(), "", "{}: {means}", scene.kind);
            });
            scene.first.close();
            scene.second.close();
            assert_eq!(seen(&mut visitor), "", "{}: {means}", scene.kind);
        }
    }
}

#[test]
fn upstream_without_login_ends_no_session_by_its_cookie() {
    for scene in scenes() {
        let mut visitor = scene.proxy.browser();
        visitor.get("/");
        let login = &["X-Session-Principal: alice", "Set-Cookie: sid=A; Path=/"];
        send(&mut visitor, "/", Asked("POST", FORM, login));
        send(&mut visitor, "/two", Asked("POST", FORM, &["Set-Cookie: two_sid=B; Path=/two"]));
        let mut late = visitor.clone();
        let gone = Asked("GET", FORM, &["Set-Cookie: two_sid=; Path=/two; Max-Age=0"]);
        thread::scope(|scope| {
            let answer = scope.spawn(|| drop(send(&mut late, "/two/first", gone)));
            scene.first.reached(1);
            visitor.answered("/", &["X-Session-Action: renew"]);
            scene.first.open();
            answer.join().unwrap();
        });
        scene.first.close();
        assert_eq!(seen(&mut visitor), "sid=A alice", "{}", scene.kind);
    }
}

#[test]
fn on_a_route_that_only_reads_no_late_answer_begins_a_session() {
    for scene in scenes() {
        let mut visitor = scene.proxy.browser();
        visitor.get("/");
        let login = Asked("POST", FORM, &["Set-Cookie: sid=A; Path=/"]);
        let mut late = visitor.clone();
        thread::scope(|scope| {
            let answer = scope.spawn(|| send(&mut late, "/read/first", login).set_cookies());
            scene.first.reached(1);
            send(&mut visitor, "/", login);
            scene.first.open();
            assert_eq!(answer.join().unwrap(), [""; 0], "{}", scene.kind);
        });
        scene.first.close();
    }
}

//! Apps that set their cookie anew in every answer: whatever of it is lost on the way, nobody is logged out by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Visit, Way, rounds};
use crate::harness::legacy::Legacy;
use crate::harness::php_apps::laravel;
use crate::support::{App, Reply};

/// Twelve posts 30 ms apart. A quarter of them are given up a moment later, as the dice say; and so is the page itself,
/// after one of them or, in a third of all rounds, never. What those said that came to an answer is the result.
const ROUND: &str = "const [dice, done] = arguments; \
    const token = decodeURIComponent(document.cookie.match(/XSRF-TOKEN=([^;]+)/)?.[1] ?? ''); \
    const said = []; let sent = 0; const last = dice % 18; \
    const next = () => { \
      const given_up = new AbortController(); \
      const post = fetch('/touch', { method: 'POST', headers: { 'X-XSRF-TOKEN': token }, signal: given_up.signal }) \
        .then(answer => answer.text()).then(name => said.push(name), () => {}); \
      if ((dice * 7 + sent * 5) % 4 == 0) setTimeout(() => given_up.abort(), (dice + sent * 11) % 50); \
      sent += 1; \
      if (sent == last) return done(said); \
      if (sent < 12) setTimeout(next, 30); else post.then(() => done(said)); \
    }; next()";

/// Goes through so many rounds; who is logged in stays so, for the page and for each of its posts.
fn stays_logged_in(app: SocketAddr) {
    for way in [Way::Direct, Way::Http, Way::Https] {
        let visit = Visit::to(app, way);
        visit.open("/who");
        visit.shows("nobody");
        visit.open("/login?name=zoe");
        visit.shows("logged in");
        visit.open("/who");
        let times = if way == Way::Direct { 3 } else { rounds() };
        let mut posts = 0;
        for round in 0..times {
            let dice = round * 31 + 7;
            let said = visit.browser.run_until_done(ROUND, &json!([dice]));
            for name in said.as_array().into_iter().flatten() {
                assert_eq!(name, &Value::from("zoe"), "{way:?}, round {round}: a post");
                posts += 1;
            }
            visit.open("/who");
            assert_eq!(visit.browser.text(), "zoe", "{way:?}, round {round}: the page after it");
        }
        assert!(posts > times, "{posts} posts came to an answer");
        visit.holds_no_login_but(&["XSRF-TOKEN"]);
    }
}

#[test]
fn laravel_loses_no_session() {
    let app = laravel();
    stays_logged_in(app.address);
}

#[test]
fn permanent_session_of_flask_is_not_lost() {
    let app = Legacy::rolling_flask();
    stays_logged_in(app.address);
}

#[test]
fn rolling_session_of_express_is_not_lost() {
    let app = Legacy::rolling_express();
    stays_logged_in(app.address);
}

/// The worst of its kind: a value of its own for each answer, each of which goes on for good.
#[test]
fn app_with_another_id_in_each_answer_loses_no_session() {
    let ids = Arc::new(AtomicU64::new(1));
    let app = App::start(move |request| {
        // Browsers ask for it beside the page: an answer from before a login would undo that, in any browser.
        if request.path() == "/favicon.ico" {
            return Reply::text("").status(404);
        }
        let held = request.header("cookie").unwrap_or_default();
        let logs_in = request.path() == "/login?name=zoe";
        let is_in = logs_in || held.contains("id=in");
        let kind = if is_in { "in" } else { "out" };
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let said = match (logs_in, is_in) {
            (true, _) => "logged in",
            (_, true) => "zoe",
            _ => "nobody",
        };
        Reply::text(said)
            .with(format!("Set-Cookie: id={kind}{id}; HttpOnly; Path=/"))
            .with("Content-Type: text/html")
    });
    stays_logged_in(app.address);
}

//! The back button after a logout: browsers throw pages that are not to be stored out of their memory when a cookie
//! changes, and the only cookie that they have is ours.

use super::wikis::log_in_to_dokuwiki;
use super::{Visit, Way};
use crate::harness::php_apps::dokuwiki;
use crate::support::{App, Reply};

/// How often it is tried.
const TIMES: usize = 20;

#[test]
fn back_shows_nothing_of_who_logged_out_by_link() {
    let wiki = dokuwiki();
    let visit = Visit::to(wiki.address, Way::Http);
    for time in 0..TIMES {
        // Whether it remembers who one is has to do with which of its cookies go.
        log_in_to_dokuwiki(&visit, time % 2 == 0);
        visit.open("/doku.php?id=start");
        visit.shows("Logged in as");
        // Tickets are stamped by the second, and nobody logs out in the second of their login.
        visit.browser.awaits("performance.now() > 1000");
        visit.browser.click("a.logout, .logout a");
        visit.browser.awaits("!document.body.innerText.includes('Logged in as')");
        visit.browser.back();
        visit.browser.awaits("document.readyState == 'complete'");
        assert!(!visit.browser.text().contains("Logged in as"), "time {time}: {}", visit.browser.text());
    }
}

/// An app that knows nothing but its own cookie, which a form sets and another takes away.
fn forms() -> App {
    App::start(|request| {
        let to_page = Reply::text("").status(303).with("Location: /");
        match request.path() {
            "/in" => to_page.with("Set-Cookie: sid=zoe; HttpOnly; Path=/"),
            "/out" => to_page.with("Set-Cookie: sid=; HttpOnly; Path=/; Max-Age=0"),
            _ => {
                let is_in = request.header("cookie").is_some_and(|held| held.contains("sid=zoe"));
                let (who, way) = if is_in { ("zoe", "out") } else { ("nobody", "in") };
                let page =
                    format!("<p>{who}</p><form method=post action=/{way}><button>{way}</button></form>");
                Reply::text(page).with("Content-Type: text/html").with("Cache-Control: no-store")
            }
        }
    })
}

#[test]
fn back_shows_nothing_of_who_logged_out_by_form() {
    let app = forms();
    let visit = Visit::to(app.address, Way::Http);
    visit.open("/");
    for time in 0..TIMES {
        visit.browser.shows("p", "nobody");
        visit.browser.click("button");
        visit.browser.shows("p", "zoe");
        visit.browser.click("button");
        visit.browser.shows("p", "nobody");
        visit.browser.back();
        visit.browser.awaits("document.readyState == 'complete'");
        assert!(!visit.browser.text().contains("zoe"), "time {time}: {}", visit.browser.text());
        visit.open("/");
    }
}

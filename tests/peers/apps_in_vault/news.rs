//! Tiny Tiny RSS: one page that is all script, and posts for everything.

use serde_json::json;

use super::{Visit, on_every_way};
use crate::harness::php_apps::tt_rss;

#[test]
fn tt_rss_is_as_it_is_without_cloakroom() {
    let news = tt_rss();
    on_every_way(news.address, walk);
}

/// The user that it brings.
const ADMIN: (&str, &str) = ("admin", "password");

fn log_in(visit: &Visit) {
    visit.open("/index.php");
    // Its form is another one once the scripts have been over it.
    visit.browser.awaits(
        "document.querySelector('.dijitTextBox input[name=login], input[name=login].dijitInputInner')",
    );
    visit.browser.fill("input[name=login]", ADMIN.0);
    visit.browser.enter("input[name=password]", ADMIN.1);
    visit.browser.run("document.querySelector('input[name=remember_me], #remember_me')?.click()");
    visit.browser.run("document.querySelector('form').requestSubmit()");
    is_in(visit);
}

/// It has come up, which takes some posts of its scripts.
fn is_in(visit: &Visit) {
    visit.browser.awaits("typeof App != 'undefined' && App.getInitParam?.('csrf_token') && !document.querySelector('#overlay')?.offsetParent");
}

/// One call of its interface, by its own token; what it answered.
fn call(visit: &Visit, call: &[(&str, &str)]) -> (u64, String) {
    let token = visit.browser.run("return App.getInitParam('csrf_token')");
    let form = [call, &[("csrf_token", token.as_str().unwrap_or_default())]].concat();
    visit.post("/backend.php", &form)
}

fn walk(visit: &mut Visit) {
    visit.step("logging in");
    log_in(visit);
    visit.holds_no_login_but(&["ttrss_"]);
    visit.step("posts of its scripts");
    let set = [("op", "rpc"), ("method", "setpref"), ("key", "COMBINED_DISPLAY_MODE"), ("value", "true")];
    for _ in 0..3 {
        let (status, said) = call(visit, &set);
        assert!(status == 200 && said.contains("COMBINED_DISPLAY_MODE"), "{status} {said}");
    }
    visit.step("leaving a page while its scripts post");
    let token = visit.browser.run("return App.getInitParam('csrf_token')");
    let form = [&set[..], &[("csrf_token", token.as_str().unwrap_or_default())]].concat();
    visit.posts_and_leaves("/backend.php", &form, || visit.open("/prefs.php"));
    is_in(visit);
    let (status, said) = call(visit, &set);
    assert!(status == 200 && said.contains("COMBINED_DISPLAY_MODE"), "{status} {said}");
    visit.step("an upload");
    let upload = "const done = arguments[0]; const form = new FormData(); form.append('op', 'dlg'); \
        form.append('method', 'importOpml'); form.append('csrf_token', App.getInitParam('csrf_token')); \
        form.append('opml_file', new Blob(['<opml version=\"1.0\"><body><outline text=\"Coats\"/></body></opml>']), 'a.opml'); \
        fetch('backend.php', { method: 'POST', body: form }).then(async answer => done([answer.status, await answer.text()]))";
    let answer = visit.browser.run_until_done(upload, &json!([]));
    assert_eq!(answer.get(0), Some(&json!(200)), "{answer}");
    assert!(answer.to_string().contains("category: Coats"), "{answer}");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/index.php");
    is_in(visit);
    visit.browser.switch_to(&first);
    let (status, said) = call(visit, &set);
    assert!(status == 200 && said.contains("COMBINED_DISPLAY_MODE"), "{status} {said}");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/index.php");
    is_in(visit);
    visit.holds_no_login_but(&["ttrss_"]);
    visit.step("logging out, and back");
    visit.browser.run("App.postCurrentWindow('public.php', { op: 'logout', csrf_token: __csrf_token })");
    visit.finds("input[name=password]");
    visit.browser.back();
    visit.browser.reload();
    visit.finds("input[name=password]");
    visit.step("logging in again");
    log_in(visit);
}

//! `DokuWiki` and `MediaWiki`: a login cookie beside the session's, tokens in forms and for scripts, drafts, uploads.

use super::{Visit, file_of, on_every_way};
use crate::harness::packaged::{PASSWORD, USER};
use crate::harness::php_apps::{dokuwiki, mediawiki};

#[test]
fn dokuwiki_is_as_it_is_without_cloakroom() {
    let wiki = dokuwiki();
    on_every_way(wiki.address, walk_through_dokuwiki);
}

#[test]
fn mediawiki_is_as_it_is_without_cloakroom() {
    let wiki = mediawiki();
    on_every_way(wiki.address, walk_through_mediawiki);
}

/// The smallest picture there is.
const PICTURE: [u8; 70] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0,
    0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63,
    0xfc, 0xcf, 0xc0, 0x50, 0x0f, 0, 4, 0x85, 1, 0x80, 0x84, 0xa9, 0x8c, 0x21, 0, 0, 0, 0, 0x49, 0x45, 0x4e,
    0x44, 0xae, 0x42, 0x60, 0x82,
];

/// By the form.
pub(super) fn log_in_to_dokuwiki(visit: &Visit, is_to_be_remembered: bool) {
    visit.open("/doku.php?id=start&do=login");
    visit.browser.enter("#dw__login input[name=u]", USER);
    visit.browser.enter("#dw__login input[name=p]", PASSWORD);
    if is_to_be_remembered {
        visit.browser.click("#remember__me");
    }
    visit.browser.click("#dw__login button[type=submit]");
    visit.shows("Logged in as");
}

fn walk_through_dokuwiki(visit: &mut Visit) {
    visit.step("logging in");
    log_in_to_dokuwiki(visit, true);
    visit.holds_no_login_but(&["DOKU_PREFS"]);
    visit.step("a draft that a script saves");
    visit.open("/doku.php?id=notes&do=edit");
    visit.browser.enter("#wiki__text", "One umbrella. ");
    visit.browser.run("dw_locktimer.lasttime = new Date(0); dw_locktimer.refresh()");
    visit.browser.awaits("document.querySelector('#draft__status')?.innerText.includes('Draft')");
    visit.browser.click("#edbtn__save");
    visit.browser.awaits("!document.querySelector('#wiki__text')");
    visit.shows("One umbrella.");
    visit.step("a setting that a script keeps in a cookie");
    visit.browser.run("DokuCookie.setValue('list', 'rows')");
    visit.open("/doku.php?id=start&do=media");
    visit.finds("#mediamanager__page ul.rows, #mediamanager__page .rows");
    visit.step("an upload");
    visit.open("/doku.php?id=start&do=media&tab_files=upload");
    let file = file_of(".png", &PICTURE);
    visit.browser.enter("input[type=file]", &file.path().display().to_string());
    visit.browser.click("#mediamanager__upload_button");
    visit.browser.awaits("document.querySelector('#mediamanager__done_form, .qq-upload-success')");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/doku.php?id=start");
    visit.shows("Logged in as");
    visit.step("leaving a page while its scripts post");
    let call = [("call", "linkwiz"), ("q", "no")];
    visit.posts_and_leaves("/lib/exe/ajax.php", &call, || visit.open("/doku.php?id=notes&do=edit"));
    visit.browser.enter("#wiki__text", "And a hat. ");
    visit.browser.click("#edbtn__save");
    visit.shows("And a hat.");
    visit.browser.switch_to(&first);
    visit.open("/doku.php?id=notes");
    visit.shows("Logged in as");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/doku.php?id=start");
    visit.shows("Logged in as");
    visit.holds_no_login_but(&["DOKU_PREFS"]);
    visit.step("logging out, and back");
    visit.browser.click("a.logout, .logout a");
    visit.browser.awaits("!document.body.innerText.includes('Logged in as')");
    visit.browser.back();
    visit.browser.awaits("document.readyState == 'complete'");
    assert!(!visit.browser.text().contains("Logged in as"), "{}", visit.browser.text());
    visit.step("logging in again");
    log_in_to_dokuwiki(visit, true);
}

fn log_in_to_mediawiki(visit: &Visit) {
    visit.open("/index.php?title=Special:UserLogin&returnto=Main_Page");
    visit.browser.fill("#wpName1", "Alice");
    visit.browser.enter("#wpPassword1", PASSWORD);
    visit.browser.click("#wpRemember");
    visit.browser.click("#wpLoginAttempt");
    visit.finds("#pt-logout");
}

/// What its scripts post to its interface; the first word of what came of it.
fn by_script(visit: &Visit, action: &str) -> String {
    let script = "const [action, done] = arguments; \
        mw.loader.using('mediawiki.api').then(() => new mw.Api().postWithToken('csrf', JSON.parse(action))) \
        .then(() => done('done'), code => done(`${code}`))";
    let result = visit.browser.run_until_done(script, &serde_json::json!([action]));
    result.as_str().unwrap_or_default().to_owned()
}

fn walk_through_mediawiki(visit: &mut Visit) {
    visit.step("logging in");
    log_in_to_mediawiki(visit);
    visit.holds_no_login_but(&[]);
    visit.step("a page that is written by form, and by script");
    visit.open("/index.php?title=Notes&action=edit");
    visit.browser.enter("#wpTextbox1", "One umbrella. ");
    visit.browser.click("#wpSave");
    visit.browser.awaits("!document.querySelector('#wpTextbox1')");
    visit.shows("One umbrella.");
    let edit = r#"{"action": "edit", "title": "Notes", "appendtext": "And a hat. "}"#;
    assert_eq!(by_script(visit, edit), "done");
    visit.step("an upload");
    visit.open("/index.php?title=Special:Upload");
    let file = file_of(".png", &PICTURE);
    visit.browser.enter("#wpUploadFile", &file.path().display().to_string());
    let name = format!("Coat {:?}.png", visit.way);
    visit.browser.run(&format!("document.querySelector('#wpDestFile').value = '{name}'"));
    visit.browser.run("document.querySelector('#wpIgnoreWarning').checked = true");
    visit.browser.click("input[name=wpUpload]");
    visit.finds("#file, .fullImageLink");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/index.php?title=Special:Preferences");
    visit.finds("#pt-logout");
    visit.step("leaving a page while its scripts post");
    let call = [("action", "query"), ("meta", "tokens"), ("format", "json")];
    visit.posts_and_leaves("/api.php", &call, || visit.open("/index.php?title=Notes&action=edit"));
    visit.browser.enter("#wpTextbox1", "And a stick. ");
    visit.browser.click("#wpSave");
    visit.browser.awaits("!document.querySelector('#wpTextbox1')");
    visit.shows("And a stick.");
    visit.browser.switch_to(&first);
    visit.open("/index.php?title=Notes");
    assert_eq!(by_script(visit, edit), "done");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/index.php?title=Notes");
    visit.finds("#pt-logout");
    visit.holds_no_login_but(&[]);
    visit.step("logging out, and back");
    visit.open("/index.php?title=Special:UserLogout");
    visit.browser.click("#mw-content-text button[type=submit], #mw-content-text input[type=submit]");
    visit.finds("#pt-login");
    visit.browser.back();
    visit.browser.reload();
    visit.finds("#pt-login");
    visit.step("logging in again");
    log_in_to_mediawiki(visit);
}

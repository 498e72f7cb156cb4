//! `phpMyAdmin`, which encrypts its cookies anew in every answer, and Adminer: tools whose pages are built by scripts, with a
//! token in every form.

use super::{Visit, file_of, on_every_way};
use crate::harness::packaged::{PASSWORD, USER};
use crate::harness::php_apps::{adminer, phpmyadmin};

#[test]
fn phpmyadmin_is_as_it_is_without_cloakroom() {
    let tool = phpmyadmin();
    on_every_way(tool.address, walk_through_phpmyadmin);
}

#[test]
fn adminer_is_as_it_is_without_cloakroom() {
    let tool = adminer();
    on_every_way(tool.address, walk_through_adminer);
}

fn log_in_to_phpmyadmin(visit: &Visit) {
    visit.open("/index.php");
    visit.browser.fill("#input_username", USER);
    visit.browser.enter("#input_password", PASSWORD);
    visit.browser.click("#input_go");
    visit.finds("#pma_navigation");
}

/// Runs SQL in the editor, whose script posts it.
fn query(visit: &Visit, sql: &str) {
    visit.open("/index.php?route=/database/sql&db=shop");
    visit.browser.awaits("window.codeMirrorEditor && window.AJAX && !AJAX.active");
    visit.browser.run(&format!("codeMirrorEditor.setValue({sql:?})"));
    visit.press("#button_submit_query");
}

fn walk_through_phpmyadmin(visit: &mut Visit) {
    visit.step("logging in");
    log_in_to_phpmyadmin(visit);
    visit.holds_no_login_but(&[]);
    visit.step("a table that a script's post makes");
    query(
        visit,
        "CREATE OR REPLACE TABLE hats (id INT PRIMARY KEY, size INT); INSERT INTO hats VALUES (1, 58)",
    );
    visit
        .browser
        .awaits("document.querySelector('#sqlqueryresultsouter')?.innerText.includes('1 row inserted')");
    visit.step("rows by form");
    visit.open("/index.php?route=/sql&db=shop&table=coats&pos=0");
    visit.shows("green");
    visit.browser.click("#topmenu a[href*='route=/table/change']");
    visit.browser.enter("textarea[id^=field_2], input[id^=field_2]", "blue");
    visit.press("#buttonYes");
    visit.browser.awaits("document.body.innerText.includes('1 row inserted')");
    visit.step("clicking on while its scripts post");
    for _ in 0..3 {
        let token = visit.browser.run("return CommonParams.get('token')");
        let form = [("ajax_request", "1"), ("db", "shop"), ("token", token.as_str().unwrap_or_default())];
        visit.posts_and_leaves("/index.php?route=/navigation", &form, || {
            visit.open("/index.php?route=/sql&db=shop&table=coats&pos=0");
        });
        visit.shows("green");
    }
    visit.step("an upload");
    visit.open("/index.php?route=/database/import&db=shop");
    let file = file_of(".sql", b"CREATE OR REPLACE TABLE gloves (pair INT);");
    visit.browser.enter("#input_import_file", &file.path().display().to_string());
    visit.press("#buttonGo");
    visit.shows("Import has been successfully finished");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/index.php?route=/database/structure&db=shop");
    visit.shows("gloves");
    visit.browser.switch_to(&first);
    query(visit, "DELETE FROM hats");
    visit.shows("1 row deleted");
    visit.holds_no_login_but(&[]);
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/index.php");
    // It remembers who one is, and not that one is logged in.
    visit.browser.awaits("document.querySelector('#input_username')?.value == 'alice' || document.querySelector('#pma_navigation')");
    visit.step("logging out, and back");
    if !visit.holds("pma_navigation_header") {
        log_in_to_phpmyadmin(visit);
    }
    visit.open("/index.php?route=/sql&db=shop&table=coats&pos=0");
    visit.shows("green");
    visit.press("a.logout, a[href*='route=/logout']");
    visit.finds("#input_username");
    visit.browser.back();
    visit.browser.awaits("document.readyState == 'complete'");
    assert!(!visit.browser.text().contains("green"), "{}", visit.browser.text());
    visit.step("logging in again");
    log_in_to_phpmyadmin(visit);
}

fn log_in_to_adminer(visit: &Visit) {
    visit.open("/");
    visit.browser.fill("input[name='auth[username]']", USER);
    visit.browser.enter("input[name='auth[password]']", PASSWORD);
    visit.browser.click("input[name='auth[permanent]']");
    visit.browser.click("input[type=submit]");
    visit.finds("#logout");
}

fn walk_through_adminer(visit: &mut Visit) {
    visit.step("logging in");
    log_in_to_adminer(visit);
    visit.holds_no_login_but(&["adminer_version", "adminer_schema"]);
    visit.step("a query by form");
    visit.open("/?username=alice&db=shop&sql=");
    visit.browser.run("document.querySelector('textarea[name=query]').value = 'SELECT colour FROM coats'");
    visit.browser.click("#form input[type=submit]");
    visit.shows("green");
    visit.step("a setting that a script keeps in a cookie");
    visit.browser.run("cookie('adminer_schema-shop=' + encodeURIComponent('coats:7x7'), 30)");
    visit.open("/?username=alice&db=shop&schema=");
    visit.browser.awaits("document.querySelector('#schema .table')?.style.top == '7em'");
    visit.step("an upload");
    visit.open("/?username=alice&db=shop&import=");
    let file = file_of(
        ".sql",
        b"DROP TABLE IF EXISTS gloves; CREATE TABLE gloves (pair INT); INSERT INTO gloves VALUES (7);",
    );
    visit.browser.enter("input[type=file]", &file.path().display().to_string());
    visit.browser.click("input[type=submit][value=Execute]");
    visit.shows("queries executed OK");
    visit.step("leaving a page while its scripts post");
    let call = [("script", "no")];
    visit.posts_and_leaves("/?username=alice&db=shop&script=db", &call, || {
        visit.open("/?username=alice&db=shop&edit=coats");
    });
    visit.browser.enter("input[name='fields[colour]']", "blue");
    visit.browser.click("input[type=submit][value=Save]");
    visit.shows("has been inserted");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/?username=alice&db=shop&select=coats");
    visit.shows("green");
    visit.browser.switch_to(&first);
    visit.open("/?username=alice&db=shop&select=coats");
    visit.shows("green");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/?username=alice&db=shop&select=coats");
    visit.shows("green");
    visit.holds_no_login_but(&["adminer_version", "adminer_schema"]);
    visit.step("logging out, and back");
    visit.browser.click("#logout");
    visit.finds("input[name='auth[username]']");
    visit.browser.back();
    // Its pages do not ask browsers to forget them: without cloakroom, too, the page is there until it is loaded again.
    visit.browser.reload();
    visit.finds("input[name='auth[username]']");
    visit.step("logging in again");
    log_in_to_adminer(visit);
}

//! `WordPress`: cookies in three paths and by name of the site, nonces in every form, settings that its scripts keep in
//! cookies, autosave, a heartbeat.

use super::{Visit, file_of, on_every_way};
use crate::harness::packaged::{PASSWORD, USER};
use crate::harness::php_apps::wordpress;

#[test]
fn wordpress_is_as_it_is_without_cloakroom() {
    let blog = wordpress();
    on_every_way(blog.address, walk);
}

fn log_in(visit: &Visit) {
    visit.open("/wp-login.php");
    visit.browser.enter("#user_login", USER);
    visit.browser.enter("#user_pass", PASSWORD);
    visit.browser.click("#rememberme");
    visit.browser.click("#wp-submit");
    visit.finds("#wpadminbar");
}

fn walk(visit: &mut Visit) {
    visit.step("logging in");
    log_in(visit);
    visit.holds_no_login_but(&["wp-settings-"]);
    visit.step("a setting that a script keeps in a cookie");
    visit.browser.run("window.setUserSetting('editor', 'html')");
    visit.open("/wp-admin/upload.php");
    let kept = "return window.userSettings && window.getUserSetting('editor')";
    assert_eq!(visit.browser.run(kept), "html");
    visit.step("an upload");
    let file = file_of(".txt", b"a coat");
    visit.open("/wp-admin/media-new.php?browser-uploader");
    visit.browser.enter("#async-upload", &file.path().display().to_string());
    visit.browser.click("#html-upload");
    visit.browser.awaits("location.pathname.endsWith('upload.php')");
    visit.step("a draft that is saved by itself");
    visit.open("/wp-admin/post-new.php");
    visit.browser.awaits("window.wp?.data?.select('core/editor')?.getCurrentPostId()");
    visit.browser.run(
        "wp.data.dispatch('core/editor').editPost({ title: 'Lost and found' }); \
         wp.data.dispatch('core/editor').savePost()",
    );
    visit.browser.awaits(
        "!wp.data.select('core/editor').isSavingPost() && !wp.data.select('core/editor').isEditedPostDirty()",
    );
    visit.browser.run(
        "wp.data.dispatch('core/editor').editPost({ content: 'One umbrella.' }); \
         wp.data.dispatch('core/editor').autosave()",
    );
    visit.browser.awaits("!wp.data.select('core/editor').isAutosavingPost()");
    visit.open("/wp-admin/edit.php");
    visit.shows("Lost and found");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/wp-admin/profile.php");
    visit.finds("#wpadminbar");
    visit.step("leaving a page while its scripts post");
    visit.posts_and_leaves("/wp-admin/admin-ajax.php", &[("action", "logged-in")], || {
        visit.open("/wp-admin/profile.php");
    });
    visit.browser.click("#submit");
    visit.shows("Profile updated");
    visit.browser.switch_to(&first);
    visit.open("/wp-admin/options-general.php");
    visit.browser.click("#submit");
    visit.shows("Settings saved");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/wp-admin/");
    visit.finds("#wpadminbar");
    visit.holds_no_login_but(&["wp-settings-"]);
    visit.step("logging out, and back");
    visit.open("/wp-admin/profile.php");
    let leave = visit.browser.run("return document.querySelector('#wp-admin-bar-logout a').href");
    visit.browser.open(leave.as_str().unwrap_or_default());
    visit.finds("#loginform");
    visit.browser.back();
    // Its pages do not ask browsers to forget them: without cloakroom, too, the page is there until it is loaded again.
    visit.browser.reload();
    visit.finds("#loginform");
    visit.step("logging in again");
    log_in(visit);
}

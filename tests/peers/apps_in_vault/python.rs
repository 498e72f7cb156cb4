//! Apps from Python's index: `JupyterLab` with a password and Streamlit, which want a token of their scripts back, and
//! Flask-Login, of whose pages twenty are fetched at a time.

use serde_json::{Value, json};

use super::{Visit, file_of, on_every_way};
use crate::harness::legacy::{Legacy, file};
use crate::harness::packaged::PASSWORD;
use crate::harness::python_apps::{jupyterlab, streamlit};
use crate::support::flask_python;

#[test]
fn jupyterlab_is_as_it_is_without_cloakroom() {
    let notebooks = jupyterlab();
    on_every_way(notebooks.address, walk_through_jupyterlab);
}

#[test]
fn streamlit_is_as_it_is_without_cloakroom() {
    let page = "import streamlit as st\n\
        st.session_state.setdefault('count', 0)\n\
        if st.button('Add'): st.session_state.count += 1\n\
        st.write(f'count {st.session_state.count}')\n\
        given = st.file_uploader('File')\n\
        if given: st.write(f'got {given.name} of {given.size}')\n";
    let app = streamlit(page);
    on_every_way(app.address, walk_through_streamlit);
}

#[test]
fn flask_login_is_as_it_is_without_cloakroom() {
    let mut command = std::process::Command::new(flask_python());
    let app = Legacy::said(
        command.arg(file("flask_login_app.py")).env("SECRET_KEY", "dev-secret-1"),
        "flask-login",
    );
    on_every_way(app.address, walk_through_flask_login);
}

fn log_in_to_jupyterlab(visit: &Visit) {
    visit.open("/login?next=%2Flab");
    visit.browser.enter("input[name=password]", PASSWORD);
    visit.browser.click("#login_submit");
    visit.finds("#jp-main-dock-panel");
}

/// A notebook's own calls: a file that is written, a kernel that is started, and a line that it runs over a websocket.
const COMPUTE: &str = "const done = arguments[0]; (async () => { \
    const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1]; \
    const headers = { 'X-XSRFToken': token, 'Content-Type': 'application/json' }; \
    const call = async (method, path, body) => { \
      const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) }); \
      if (!answer.ok) throw `${method} ${path} ${answer.status} ${await answer.text()}`; \
      return answer.status == 204 ? null : answer.json(); }; \
    await call('PUT', '/api/contents/coats.txt', { type: 'file', format: 'text', content: 'one umbrella' }); \
    const kernel = await call('POST', '/api/kernels', { name: 'python3' }); \
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/api/kernels/${kernel.id}/channels?session_id=a`); \
    const said = await new Promise((found, failed) => { \
      socket.onerror = () => failed('no websocket'); \
      socket.onopen = () => socket.send(JSON.stringify({ channel: 'shell', parent_header: {}, metadata: {}, buffers: [], \
        header: { msg_id: 'm', msg_type: 'execute_request', session: 'a', username: '', version: '5.3' }, \
        content: { code: '6 * 7', silent: false, store_history: true, user_expressions: {}, allow_stdin: false, \
          stop_on_error: true } })); \
      socket.onmessage = event => { if (typeof event.data != 'string') return; const message = JSON.parse(event.data); \
        if (message.msg_type == 'execute_result') found(message.content.data['text/plain']); }; }); \
    socket.close(); \
    await call('DELETE', `/api/kernels/${kernel.id}`); \
    return said; })().then(done, error => done(`${error}`))";

fn walk_through_jupyterlab(visit: &mut Visit) {
    visit.step("logging in");
    log_in_to_jupyterlab(visit);
    visit.holds_no_login_but(&["_xsrf"]);
    visit.step("a file, and a kernel over a websocket");
    assert_eq!(visit.browser.run_until_done(COMPUTE, &json!([])), "42");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/lab/workspaces/second");
    visit.finds("#jp-main-dock-panel");
    assert_eq!(visit.browser.run_until_done(COMPUTE, &json!([])), "42");
    visit.browser.switch_to(&first);
    visit.step("leaving a page while its scripts post");
    visit.posts_and_leaves("/api/sessions", &[("name", "none")], || visit.open("/lab"));
    visit.finds("#jp-main-dock-panel");
    assert_eq!(visit.browser.run_until_done(COMPUTE, &json!([])), "42");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/lab");
    visit.finds("#jp-main-dock-panel");
    visit.holds_no_login_but(&["_xsrf"]);
    visit.step("logging out");
    visit.open("/logout");
    visit.open("/lab");
    visit.finds("input[name=password]");
    visit.step("logging in again");
    log_in_to_jupyterlab(visit);
}

fn walk_through_streamlit(visit: &mut Visit) {
    visit.step("a page that lives on a websocket");
    visit.open("/");
    visit.shows("count 0");
    visit.browser.click("[data-testid=stButton] button, .stButton button");
    visit.shows("count 1");
    visit.step("an upload, which wants a token");
    let given = file_of(".txt", b"one umbrella");
    visit.browser.enter("input[type=file]", &given.path().display().to_string());
    visit.shows("of 12");
    visit.step("a second tab");
    let first = visit.browser.tab();
    visit.browser.new_tab();
    visit.open("/");
    visit.shows("count 0");
    visit.browser.switch_to(&first);
    visit.browser.click("[data-testid=stButton] button, .stButton button");
    visit.shows("count 2");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/");
    visit.shows("count 0");
    visit.browser.enter("input[type=file]", &given.path().display().to_string());
    visit.shows("of 12");
}

/// How many of twenty fetches at a time come as zoe.
const TWENTY: &str = "const done = arguments[0]; \
    Promise.all([...Array(20)].map(() => fetch('/account/who').then(answer => answer.text()))) \
    .then(names => done(names.filter(name => name == 'zoe').length))";

fn walk_through_flask_login(visit: &mut Visit) {
    visit.step("logging in by link");
    visit.open("/account/login?name=zoe&permanent&remember");
    visit.shows("logged in");
    visit.holds_no_login_but(&[]);
    visit.step("twenty fetches at a time");
    for _ in 0..5 {
        assert_eq!(visit.browser.run_until_done(TWENTY, &json!([])), Value::from(20));
    }
    visit.step("a login by script, and twenty fetches at a time");
    visit.get("/account/logout");
    assert_eq!(visit.get("/account/who"), (200, "nobody".to_owned()));
    visit.get("/account/login?name=zoe&permanent&remember");
    assert_eq!(visit.browser.run_until_done(TWENTY, &json!([])), Value::from(20));
    visit.step("leaving a page while its scripts post");
    visit.posts_and_leaves("/account/touch", &[], || visit.open("/account/who"));
    visit.shows("zoe");
    visit.step("a second tab");
    visit.browser.new_tab();
    visit.open("/account/who");
    visit.shows("zoe");
    visit.step("the browser closed and opened again");
    visit.restarts();
    visit.open("/account/who");
    visit.shows("zoe");
    visit.holds_no_login_but(&[]);
    visit.step("logging out, and back");
    visit.open("/account/logout");
    visit.shows("logged out");
    visit.browser.back();
    visit.browser.reload();
    visit.shows("nobody");
}

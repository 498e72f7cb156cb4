//! Active health checks: who is not well is not asked, and asked again once well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::{App, Authority, Cloakroom, RawUpstream, Reply, eventually};

/// An app that says how it is, and serves all the same.
fn patient(name: &'static str, health: &Arc<AtomicU16>) -> App {
    let health = Arc::clone(health);
    App::start(move |request| match request.path() {
        "/healthz?deep" => Reply::text("").status(health.load(Ordering::Relaxed)),
        _ => Reply::text(name),
    })
}

const CHECKED: &str =
    "health = { path = \"/healthz?deep\", interval = \"100ms\", timeout = \"400ms\", rise = 2, fall = 2 }\n";

fn before(servers: &[String], more: &str) -> Cloakroom {
    Cloakroom::before_servers(&servers.join(", ")).upstream(&format!("{CHECKED}{more}")).start()
}

fn http(app: &App) -> String {
    format!("\"http://{}\"", app.address)
}

/// Whom the next requests reach.
fn reached(proxy: &Cloakroom) -> Vec<String> {
    let mut names: Vec<_> = (0..10).map(|_| proxy.browser().get("/").text()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_server_that_says_it_is_not_well_is_left_alone_until_it_is() {
    let healths = [200, 200].map(|status| Arc::new(AtomicU16::new(status)));
    let apps = [patient("one", &healths[0]), patient("two", &healths[1])];
    let proxy = before(&[http(&apps[0]), http(&apps[1])], "");
    assert_eq!(reached(&proxy), ["one", "two"]);
    healths[1].store(503, Ordering::Relaxed);
    eventually("it is taken out", || proxy.log().contains("health checks fail"));
    assert!(proxy.log().contains("reason=\"it answered 503 Service Unavailable\""), "{}", proxy.log());
    assert_eq!(reached(&proxy), ["one"]);
    healths[1].store(302, Ordering::Relaxed);
    eventually("it is used again", || proxy.log().contains("health checks succeed"));
    assert_eq!(reached(&proxy), ["one", "two"]);
    // Where none is well, all are asked.
    for health in &healths {
        health.store(500, Ordering::Relaxed);
    }
    eventually("both are out", || proxy.log().matches("health checks fail").count() == 3);
    assert_eq!(reached(&proxy), ["one", "two"]);
    assert!(proxy.access().iter().all(|line| !line.contains("healthz")), "a check is no visitor");
}

#[test]
fn a_check_is_a_request_of_ours_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("proof");
    std::fs::write(&proof, "it-is-me").unwrap();
    let app = patient("app", &Arc::new(AtomicU16::new(200)));
    let more = format!("host = \"app.internal:8\"\nproof = {{ file = \"{}\" }}", proof.display());
    let _house = before(&[http(&app)], &more);
    eventually("two checks came", || app.received().len() >= 2);
    let check = app.last();
    assert_eq!(check.start, "GET /healthz?deep HTTP/1.1");
    for (name, wanted) in [
        ("host", "app.internal:8"),
        ("user-agent", "cloakroom (health check)"),
        ("connection", "close"),
        ("x-session-meta-proof", "it-is-me"),
    ] {
        assert_eq!(check.all(name), [wanted], "{name}");
    }
    assert_eq!((check.header("x-session-state"), check.body.len()), (None, 0));
}

#[test]
fn health_check_fails_without_answer_or_certificate() {
    let authority = Authority::new();
    let stranger = Authority::new();
    stranger.issue("app", &["127.0.0.1"]);
    let server = stranger.server("app");
    let secure = App::start_by(move |stream| server.shake(stream).ok(), |_| Reply::text("never"));
    let well = patient("well", &Arc::new(AtomicU16::new(204)));
    let silent = RawUpstream::open();
    let servers =
        [http(&well), format!("\"http://{}\"", silent.address()), format!("\"https://{}\"", secure.address)];
    let proxy = before(&servers, &format!("tls = {{ ca = \"{}\" }}", authority.root().display()));
    eventually("both are out", || proxy.log().matches("health checks fail").count() == 2);
    for reason in ["no answer within health.timeout", "no TLS with 127.0.0.1"] {
        assert!(proxy.log().contains(reason), "{}", proxy.log());
    }
    assert_eq!(reached(&proxy), ["well"]);
}

#[test]
fn checks_do_not_hold_up_a_stop() {
    let silent = RawUpstream::open();
    let mut proxy = before(&[format!("\"http://{}\"", silent.address())], "");
    silent.accept();
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
}

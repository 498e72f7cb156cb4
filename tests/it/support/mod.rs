//! The harness: the real binary, real upstreams and real clients, on ports that the kernel chose.
#![expect(clippy::unwrap_used, reason = "a harness that cannot go on fails its test, with the place")]
#![expect(clippy::panic, reason = "a harness that cannot go on fails its test, with the reason")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rules for clock and tasks are for the program, not its tests"
)]

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod cloakroom;
pub(crate) mod conformance;
pub(crate) mod corpus;
pub(crate) mod http2;
pub(crate) mod http2_app;
pub(crate) mod manager;
pub(crate) mod raw_upstream;
pub(crate) mod response;
pub(crate) mod scripted_app;
pub(crate) mod session_bench;
pub(crate) mod steady;
pub(crate) mod strict;
pub(crate) mod tls;
pub(crate) mod tool;
pub(crate) mod tunnel;
pub(crate) mod wire;

pub(crate) use app::{App, Reply, Request};
pub(crate) use browser::Browser;
pub(crate) use cloakroom::{Cloakroom, KIND, STREAMED, key, on_disk};
pub(crate) use raw_upstream::{Gate, Port, RawUpstream};
pub(crate) use response::Response;
pub(crate) use scripted_app::{line, obey, orders};
pub(crate) use session_bench::{SessionBench, login};
pub(crate) use tls::{Authority, Caller};
pub(crate) use tool::{flask_python, tool};
pub(crate) use wire::{Ending, Framing, Wire};

use std::sync::mpsc::channel;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ::cloakroom::testing::cookies::CookieScope;

/// How long anything in a test may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A cookie of example.com's app, by https, in the year 2027.
pub(crate) fn scope() -> CookieScope<'static> {
    CookieScope {
        host: "example.com",
        path: "/",
        request_paths: &[],
        upstream: "app",
        https: true,
        realm: (b'h', "example.com"),
        now: UNIX_EPOCH + Duration::from_hours(500_000),
    }
}

/// Waits until something holds that nobody announces: a line in a log, a port that is closed.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, holds);
}

/// The same for what may take longer.
pub(crate) fn eventually_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    let (_silent, nothing) = channel::<()>();
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        let _ = nothing.recv_timeout(Duration::from_millis(5));
    }
}

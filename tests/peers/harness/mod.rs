//! Neighbours that are started for a test: servers, apps in the server that their language brings along, a browser.
#![expect(clippy::unwrap_used, reason = "a harness that cannot go on fails its test, with the place")]
#![expect(clippy::panic, reason = "a harness that cannot go on fails its test, with the reason")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rules for clock and tasks are for the program, not its tests"
)]

pub(crate) mod database;
pub(crate) mod hints;
pub(crate) mod legacy;
pub(crate) mod packaged;
pub(crate) mod php_apps;
pub(crate) mod python_apps;
pub(crate) mod server;
pub(crate) mod stalled;
pub(crate) mod webdriver;

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
pub(crate) mod legacy;
pub(crate) mod wire;

pub(crate) use app::{App, Reply, Request};
pub(crate) use browser::Browser;
pub(crate) use cloakroom::Cloakroom;
pub(crate) use legacy::Legacy;

use std::time::Duration;

/// How long anything in a test may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

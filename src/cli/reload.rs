//! `cloakroom reload`: has the one that runs read its configuration anew, and waits for what comes of it.

use std::{path::Path, process::ExitCode};

use super::remote::{cell, tell};

/// Runs the verb.
pub(super) fn reload(file: &Path, json: bool) -> ExitCode {
    tell(file, ("POST", "/api/reload"), json, |outcome| cell(outcome, "message"))
}

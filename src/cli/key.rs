//! `cloakroom key generate`: a new secret key.

use std::process::ExitCode;

use crate::config::KeysConfig;

/// Prints a key that was never seen before.
pub(super) fn generate() -> ExitCode {
    anstream::print!("{}", KeysConfig::generate());
    ExitCode::SUCCESS
}

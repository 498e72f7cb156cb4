//! The command line.

pub mod demo;

use std::process::ExitCode;

/// Reads the command line and runs the verb it names.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}

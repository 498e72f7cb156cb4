//! `cloakroom check`: every mistake at once, with its place.

use std::{path::Path, process::ExitCode};

use super::{WRONG, print};
use crate::{
    clock::Timestamp,
    config::{Config, Diagnostics},
    listen::{Entrance, Tickets},
    plan::Plan,
    upstream,
};

/// Reads, validates, and builds the plan without running it. What is expanded goes to standard output alone, so that it
/// can be put into a file.
pub(super) fn check(file: &Path, expand: bool) -> ExitCode {
    match Config::load(file) {
        Ok((config, warnings)) => {
            let warnings = with_certificates(&config, warnings);
            print(&warnings);
            if warnings.has_errors() {
                return ExitCode::from(WRONG);
            }
            // Whether they can be read, not which: a key that is not there yet is made by `run`.
            let keys = config.keys.secrets(|| Ok([0; 32]));
            let keys = keys.map_err(|error| format!("[keys]: {error}"));
            if let Err(error) = Plan::build(&config).map_err(|e| e.to_string()).and(keys) {
                anstream::eprintln!("error: {error}\n  --> {}", file.display());
                return ExitCode::from(WRONG);
            }
            let verdict = match warnings.list.len() {
                0 => "no mistakes".to_owned(),
                1 => "one warning, no errors".to_owned(),
                many => format!("{many} warnings, no errors"),
            };
            if expand {
                for rule in &config.cookies {
                    anstream::println!("{rule}");
                }
                anstream::eprintln!("{}: {verdict}", file.display());
            } else {
                anstream::println!("{}: {verdict}", file.display());
            }
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            print(&mistakes);
            ExitCode::from(WRONG)
        }
    }
}

/// The very look at certificates that `run` takes.
fn with_certificates(config: &Config, mut found: Diagnostics) -> Diagnostics {
    if let Ok(tickets) = Tickets::new() {
        found.list.extend(Entrance::all(&config.listen, &tickets, Timestamp::now()).1);
    }
    found.list.extend(upstream::look(&config.upstreams));
    Diagnostics::new(found.source, found.list)
}

//! `cloakroom run`: from a file, or from two flags.

use std::{path::Path, process::ExitCode};

use super::{FAILED, WRONG, print};
use crate::{
    app::{self, RunOptions},
    config::Config,
};

/// From a file.
pub(super) fn from_file(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok((config, warnings)) => {
            print(&warnings);
            let options = RunOptions {
                file: Some(file.to_owned()),
                text: warnings.source.text,
                ..RunOptions::default()
            };
            run(&config, options)
        }
        Err(mistakes) => {
            print(&mistakes);
            ExitCode::from(WRONG)
        }
    }
}

/// From flags alone.
pub(super) fn from_flags(listen: &str, upstream: &str) -> ExitCode {
    match Config::from_flags(listen, upstream) {
        Ok(config) => {
            anstream::eprintln!(
                "sessions are kept in memory, under a key made now: they end with this process"
            );
            run(&config, RunOptions::default())
        }
        Err(mistakes) => {
            print(&mistakes);
            ExitCode::from(WRONG)
        }
    }
}

fn run(config: &Config, options: RunOptions) -> ExitCode {
    app::start_logging(config.log.level);
    let result = app::run(config, options, |names| {
        tracing::info!(addresses = %names.join(", "), workers = config.process.workers, "listening");
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cloakroom cannot run");
            // What a restart cannot mend exits with 2, at which the unit does not restart it again
            // and again.
            ExitCode::from(if error.is_lasting() { WRONG } else { FAILED })
        }
    }
}

//! `cloakroom run`: from a file, or from two flags.

use std::{path::Path, process::ExitCode};

use super::{FAILED, WRONG, print};
use crate::{
    app::{self, Options},
    config::Config,
};

/// From a file.
pub(super) fn from_file(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok((config, warnings)) => {
            print(&warnings);
            run(&config, Some(file))
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
            run(&config, None)
        }
        Err(mistakes) => {
            print(&mistakes);
            ExitCode::from(WRONG)
        }
    }
}

fn run(config: &Config, file: Option<&Path>) -> ExitCode {
    app::start_logging(config.log.level);
    let options = Options { file: file.map(Path::to_owned), ..Options::default() };
    let result = app::run(config, options, |names| {
        tracing::info!(workers = config.process.workers, "listening on {}", names.join(", "));
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(if error.is_lasting() { WRONG } else { FAILED })
        }
    }
}

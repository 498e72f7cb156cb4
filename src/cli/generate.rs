//! `cloakroom generate`: manual pages and completions, for whoever packages it.

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};

use super::{CommandLine, FAILED};

/// Runs the verb.
pub(super) fn generate(folder: &Path) -> ExitCode {
    match write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {}: {error}", folder.display());
            ExitCode::from(FAILED)
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Each page of help would have a page of its own.
    let mut command = CommandLine::command().disable_help_subcommand(true);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "cloakroom", folder)?;
    }
    clap_mangen::generate_to(command, folder)
}

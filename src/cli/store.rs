//! `cloakroom store`: looks after the disk store; what changes it wants that no cloakroom runs on it.

use std::{
    io::{self, BufWriter, IsTerminal},
    path::Path,
    process::ExitCode,
};

use clap::Subcommand;

use super::{FAILED, WRONG, print};
use crate::{
    app::state,
    config::{Config, StoreKind},
    store::disk::{CheckReport, SalvageResult, StoreMaintenance},
};

#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Open every row; exits with 1 where any is damaged. Also beside a cloakroom that runs
    Verify,
    /// Write all sessions to standard output, as JSON lines: keep them as you keep the store. Also beside a cloakroom that
    /// runs
    Export,
    /// Read sessions from standard input; what is there already stays as it is
    Import {
        /// Also an export that is so old that sessions which ended since may come back
        #[arg(long)]
        force: bool,
    },
    /// Give room back to the filesystem
    Compact,
}

/// Runs the verb.
pub(super) fn run(file: &Path, verb: &StoreVerb) -> ExitCode {
    let config = match Config::load(file) {
        Ok((config, warnings)) => {
            print(&warnings);
            config
        }
        Err(mistakes) => {
            print(&mistakes);
            return ExitCode::from(WRONG);
        }
    };
    if config.store.kind != StoreKind::Disk {
        anstream::eprintln!("error: [store] kind is not \"disk\": there is nothing to look after");
        return ExitCode::from(WRONG);
    }
    match act(&config, verb) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn act(config: &Config, verb: &StoreVerb) -> anyhow::Result<ExitCode> {
    let folder = config.store.folder();
    if !StoreMaintenance::is_in(&folder) && !matches!(verb, StoreVerb::Import { .. }) {
        anyhow::bail!("there is no store in {}", folder.display());
    }
    let secrets = state::secrets(config, &state::OwnKey::default())?;
    let maintenance = match verb {
        // Without the lock, and without writing: a running cloakroom goes on meanwhile.
        StoreVerb::Verify | StoreVerb::Export => StoreMaintenance::look(&folder, &secrets)?,
        StoreVerb::Import { .. } | StoreVerb::Compact => StoreMaintenance::open(&folder, &secrets)?,
    };
    if let Some(SalvageResult { copied, missing, kept }) = maintenance.salvaged() {
        anstream::eprintln!(
            "the store was damaged: {copied} sessions were copied into a new one, at least {missing} are missing; \
             the damaged one is kept in {}",
            kept.display()
        );
    }
    let progress = &mut progress;
    match verb {
        StoreVerb::Verify => {
            let found = maintenance.verify(progress)?;
            anstream::println!(
                "{} sessions whole, {} damaged, {} set aside before; {} ended ones remembered",
                found.sessions,
                found.damaged,
                found.aside,
                found.ended
            );
            return Ok(verdict(&found));
        }
        StoreVerb::Export => {
            let found = maintenance.export(BufWriter::new(io::stdout().lock()), progress)?;
            if found.damaged > 0 {
                anstream::eprintln!("{} damaged sessions were left out", found.damaged);
            }
            return Ok(verdict(&found));
        }
        StoreVerb::Import { force } => {
            let found = maintenance.import(io::stdin().lock(), &config.session, *force, progress)?;
            anstream::eprintln!(
                "{} sessions read in, {} left as they were; {} ended ones remembered",
                found.sessions,
                found.left,
                found.ended
            );
        }
        StoreVerb::Compact => {
            let (before, after) = maintenance.compact()?;
            let size = bytesize::ByteSize;
            anstream::println!("{} before, {} now", size(before), size(after));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(found: &CheckReport) -> ExitCode {
    if found.missing > 0 {
        anstream::eprintln!("at least {} sessions are missing: the store itself is damaged", found.missing);
    }
    if found.locked > 0 {
        anstream::eprintln!(
            "{} sessions are sealed under a key that [keys] does not have: give it among previous",
            found.locked
        );
    }
    if found.beginning {
        anstream::eprintln!(
            "the first page of the database is damaged: it was put right in a copy, which was read here; the next start, \
             or compact, makes a new database"
        );
    }
    if found.forgets {
        anstream::eprintln!("not all ended sessions could be read: the store itself is damaged");
    }
    // A backup script must notice that its export is not all there was.
    if found.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// A bar, for whoever watches.
fn progress(done: u64, total: u64) {
    const WIDTH: usize = 40;
    if !io::stderr().is_terminal() {
        return;
    }
    // How many there are is not known of what is read in.
    let Some(full) = (done * WIDTH as u64).checked_div(total) else {
        anstream::eprint!("\r{done}");
        return;
    };
    let bar = "#".repeat(usize::try_from(full).unwrap_or(WIDTH));
    let end = if done == total { "\n" } else { "" };
    anstream::eprint!("\r[{bar:<WIDTH$}] {done} of {total}{end}");
}

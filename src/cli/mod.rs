//! The command line: one verb a file.
//!
//! Here lives what is printed and the exit code: 0 done, 1 failed while running, 2 wrong usage or configuration.

mod check;
pub mod demo;
mod explain;
mod generate;
mod key;
mod reload;
mod remote;
mod request_text;
mod run;
mod sessions;
mod status;
mod store;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// A reverse proxy that adds sessions to web apps that have none.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct CommandLine {
    /// The configuration file.
    #[arg(short, long, global = true, env = "CLOAKROOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answers as JSON, where a verb asks a cloakroom that runs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: CommandVerb,
}

#[derive(Debug, Subcommand)]
enum CommandVerb {
    /// Run the proxy, from a file or from two flags
    Run {
        /// Where to listen, as `127.0.0.1:8080` or `unix:/run/cloakroom/http.sock`
        #[arg(long, value_name = "ADDR", requires = "upstream")]
        listen: Option<String>,
        /// The app, as `http://127.0.0.1:3000` or `unix:/run/app.sock`
        #[arg(long, value_name = "URL", requires = "listen")]
        upstream: Option<String>,
    },
    /// Read the configuration and tell every mistake with its place
    Check {
        /// The file to check, instead of that of `-c`
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print the rules of `[[cookies]]` as they are applied, every preset spelt out
        #[arg(long)]
        expand: bool,
    },
    /// Tell what would become of a request: its route, its session, what the app would get, and why
    Explain(explain::ExplainArguments),
    /// Keys, for the section `keys`
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Tell how the cloakroom that runs is
    Status,
    /// Have the cloakroom that runs read its configuration anew, and tell what came of it
    Reload,
    /// Look at sessions of the cloakroom that runs, and end them
    Sessions {
        #[command(subcommand)]
        verb: sessions::SessionsVerb,
    },
    /// Look after the sessions on disk (import and compact: while no cloakroom runs)
    Store {
        #[command(subcommand)]
        verb: store::StoreVerb,
    },
    /// Write manual pages and completions of bash, zsh and fish into a folder
    #[command(hide = true)]
    Generate {
        /// Where to
        folder: PathBuf,
    },
    /// Start a small legacy app and cloakroom before it, and tell what to try
    Demo,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Print a new secret key, for a file or a credential that only cloakroom may read
    Generate,
}

const DEFAULT: &str = "/etc/cloakroom/config.toml";

/// Failed while running.
const FAILED: u8 = 1;
/// Wrong usage or configuration.
const WRONG: u8 = 2;

/// Reads the command line and runs the verb it names.
pub fn main() -> ExitCode {
    let arguments = CommandLine::parse();
    let file = arguments.config.unwrap_or_else(|| PathBuf::from(DEFAULT));
    match arguments.verb {
        CommandVerb::Run { listen: Some(listen), upstream: Some(upstream) } => {
            run::from_flags(&listen, &upstream)
        }
        CommandVerb::Run { .. } => run::from_file(&file),
        CommandVerb::Check { file: other, expand } => check::check(&other.unwrap_or(file), expand),
        CommandVerb::Explain(asked) => explain::explain(&file, &asked, arguments.json),
        CommandVerb::Key { verb: KeyVerb::Generate } => key::generate(),
        CommandVerb::Status => status::status(&file, arguments.json),
        CommandVerb::Reload => reload::reload(&file, arguments.json),
        CommandVerb::Sessions { verb } => sessions::run(&file, &verb, arguments.json),
        CommandVerb::Store { verb } => store::run(&file, &verb),
        CommandVerb::Generate { folder } => generate::generate(&folder),
        CommandVerb::Demo => demo::run(),
    }
}

/// Prints diagnostics, in colour on a terminal.
fn print(diagnostics: &crate::config::Diagnostics) {
    use std::io::IsTerminal;
    if !diagnostics.is_empty() {
        anstream::eprintln!("{}", diagnostics.render(std::io::stderr().is_terminal()));
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_verb_is_well_formed() {
        super::CommandLine::command().debug_assert();
    }
}

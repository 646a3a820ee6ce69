//! `auditgate config`: checks a configuration, or shows it.

use super::settings::Source;
use super::{Done, Error, print, say};
use crate::config;
use crate::server;

/// Check the configuration, or show it with where each value came from
///
/// `check` and `show` take what `serve` takes, read what it would read, and start
/// nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what is wrong with it, and with the keys and certificates that it names
    #[command(after_help = "Examples:
  auditgate config check --config auditgate.toml
  auditgate config check --listen 0.0.0.0:50051 --insecure

Exit status: 0 if the configuration is valid; 2 if it is not.")]
    Check(Source),
    /// Print what is in force as TOML, without secrets
    #[command(after_help = "Examples:
  auditgate config show --config auditgate.toml
  auditgate config show --config auditgate.toml --ring-bytes 1GiB

Exit status: 0 if the configuration is valid; 2 if it is not.")]
    Show(Source),
    /// Print the reference of all keys in Markdown: docs/configuration.md
    #[command(hide = true)]
    Reference,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Done, Error> {
    match &args.command {
        Command::Check(source) => {
            server::check(&source.load()?.settings)?;
            say("the configuration is valid");
            Ok(Done::All)
        }
        Command::Show(source) => print(&config::shown(&source.load()?)),
        Command::Reference => print(&config::reference()),
    }
}

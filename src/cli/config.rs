//! `auditgate config`: checks a configuration, or shows it.

use super::settings::ConfigSource;
use super::{Error, ExitKind, print, say};
use crate::config;
use crate::server;

/// Check the configuration, or show it with the origin of each value
///
/// `check` and `show` take the same flags as `serve` and read the same files, but
/// do not start the gateway.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Validate the configuration and the keys and certificates that it names
    #[command(after_help = "Examples:
  auditgate config check --config auditgate.toml
  auditgate config check --listen 0.0.0.0:50051 --insecure

Exit status: 0 if the configuration is valid; 2 if it is not.")]
    Check(ConfigSource),
    /// Print the effective configuration as TOML, without secrets
    #[command(after_help = "Examples:
  auditgate config show --config auditgate.toml
  auditgate config show --config auditgate.toml --ring-bytes 1GiB

Exit status: 0 if the configuration is valid; 2 if it is not.")]
    Show(ConfigSource),
    /// Print the reference of all keys in Markdown: docs/configuration.md
    #[command(hide = true)]
    Reference,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    match &args.command {
        ConfigCommand::Check(source) => {
            let warnings = server::check(&source.load()?.settings)?;
            warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
            say("the configuration is valid");
            Ok(ExitKind::All)
        }
        ConfigCommand::Show(source) => print(&config::display(&source.load()?)),
        ConfigCommand::Reference => print(&config::reference()),
    }
}

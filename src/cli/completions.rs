//! `auditgate completions`: what a shell needs to complete arguments.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Error, ExitKind, print};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate completions bash > ~/.local/share/bash-completion/completions/auditgate
  auditgate completions zsh > ~/.zfunc/_auditgate
  auditgate completions fish > ~/.config/fish/completions/auditgate.fish

Exit status: 0.")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "auditgate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

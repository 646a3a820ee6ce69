//! `auditgate man`: writes the man pages of all commands.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::{Cli, Error, ExitKind};

/// Write the man pages of all commands into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate man ~/.local/share/man/man1 && man auditgate-search
  auditgate man /usr/local/share/man/man1

Exit status: 0 if all pages were written; 2 if not.")]
pub struct Args {
    /// Directory for the pages; created if it does not exist
    dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .map_err(|error| Error::WriteFile { file: args.dir.display().to_string(), error })?;
    Ok(ExitKind::All)
}

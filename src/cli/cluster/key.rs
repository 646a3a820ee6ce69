//! `auditgate cluster key`: a new cluster key, to change keys.

use std::path::PathBuf;

use super::usage;
use crate::cli::new_file::{PRIVATE, write_new};
use crate::cli::{Error, ExitKind, say};
use crate::log::shared::cluster_key::ClusterSecrets;

/// Write a new cluster key, to replace one that others may know
///
/// The cluster key authenticates the messages of the gateways. Its file may hold several
/// keys, one a line: the first authenticates what a gateway publishes, all are accepted. See
/// docs/CLUSTER.md for the steps.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster key --out next.key

Exit status: 0 if the file was written; 2 if not: a file that exists is left as it is.")]
pub struct Args {
    /// File for the key; only its owner can read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let secrets = ClusterSecrets::generate().map_err(usage)?;
    write_new(&args.out, &secrets.encoded(), PRIVATE)?;
    say(&format!("the cluster key is in {}: keep it secret", args.out.display()));
    Ok(ExitKind::All)
}

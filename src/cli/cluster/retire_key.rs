//! `auditgate cluster retire-key`: a new signing key for a log whose former key has signed what
//! is lost.

use std::path::PathBuf;

use super::usage;
use crate::cli::{Error, ExitKind, say};
use crate::proof::tile_store::retired::set_aside;

/// Set the tree of a data directory aside, so that a new signing key can begin another
///
/// For a log that has lost records of which a checkpoint was signed: the former key signs
/// nothing any more, since whoever kept that checkpoint must be able to show the loss. Stop all
/// gateways, write a new key (`auditgate keygen`), run this on the data directory of each, and
/// start them with the new key. The records stay; tiles, checkpoint and minimum index move
/// to the folder `retired` of the directory, and are kept there as evidence. See
/// docs/cluster-loss.md for all steps.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster retire-key --data-dir /var/lib/auditgate

Exit status: 0 if the tree was set aside; 2 if not.")]
pub struct Args {
    /// Data directory of a stopped gateway
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let aside = set_aside(&args.data_dir).map_err(usage)?;
    say(&format!(
        "the tree of {} is in {} now: keep it, it shows what was signed
when this was done for each gateway, start them with the new key (--signing-key); gateways
without it get the new verifier key, and the former one in the same file as a second line",
        args.data_dir.display(),
        aside.display(),
    ));
    Ok(ExitKind::All)
}

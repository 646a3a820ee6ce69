//! `auditgate verify`: checks proofs, logs and data directories.

#[cfg(feature = "server")]
mod offline;
mod online;
mod proof_file;

use std::path::PathBuf;

use super::client::GatewayArgs;
use super::trusted_keys::KeyArg;
use super::{Error, ExitKind, interruptible, say};
use crate::proof::key::SignatureKind;

pub use online::is_denial;

/// Check that no record of a log was altered, reordered, dropped or added
///
/// --proof: check that a record is in a log. This needs the proof file and the
/// verifier key of the log, and no gateway.
///
/// --since: check that the log of a running gateway begins with the records of a
/// checkpoint that you kept.
///
/// --data-dir: check every frame, hash, tile and checkpoint of a data directory that no
/// gateway has open, or of a copy. With --since, also check that its log begins with
/// the records of a checkpoint that you kept.
///
/// The report goes to standard output: what was checked, and what is wrong.
#[derive(Debug, clap::Args)]
#[command(override_usage = "\
auditgate verify --verifier-key <KEY> --proof <FILE> [OPTIONS]
       auditgate verify --verifier-key <KEY> --since <FILE> [OPTIONS]
       auditgate verify --verifier-key <KEY> --data-dir <DIR> [OPTIONS]")]
#[command(
    group = clap::ArgGroup::new("what").required(true).multiple(true).args(["proof", "since", "data_dir"]),
    after_help = "Examples:
  auditgate verify --proof login.tlog-proof --verifier-key prod.key.pub
  auditgate verify --since monday.checkpoint --verifier-key prod.key.pub --out today.checkpoint
  auditgate verify --proof login.tlog-proof --verifier-key prod.key.pub --witness witness.key.pub
  auditgate verify --data-dir audit --verifier-key prod.key.pub --since monday.checkpoint

Exit status: 0 if all checks succeeded; 1 if one failed; 2 if the check is not possible:
the arguments are wrong, a file cannot be read, or the gateway cannot be reached or
makes no proof; 130 after Ctrl-C."
)]
pub struct Args {
    /// Check this proof file, as `auditgate receipt` writes it
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Check this data directory
    #[cfg(feature = "server")]
    #[arg(long, value_name = "DIR", conflicts_with = "proof")]
    data_dir: Option<PathBuf>,
    /// Check that the log begins with the records of this checkpoint, as
    /// `auditgate checkpoint` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    since: Option<PathBuf>,
    /// Verifier key of the log, or a file with it. Get it from a source that you trust,
    /// not from the gateway
    #[arg(id = "verifier-key", long = "verifier-key", value_name = "KEY")]
    key: KeyArg,
    /// Verifier key of a witness, or a file with it: the checkpoint must also carry the
    /// signature of this witness; may be repeated
    #[arg(long, value_name = "KEY")]
    witness: Vec<KeyArg>,
    /// With --since: save the current checkpoint in FILE if the check succeeds
    #[arg(long, value_name = "FILE", requires = "since", conflicts_with = "data_dir")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: GatewayArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let key = args.key.key(SignatureKind::Log)?;
    let witnesses = args.witness.iter().map(|key| key.key(SignatureKind::Cosignature));
    let witnesses = witnesses.collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = &args.proof {
        return proof_file::check(file, &key, &witnesses);
    }
    #[cfg(feature = "server")]
    if let Some(folder) = &args.data_dir {
        return offline::check(folder, &key, &witnesses, args.since.as_ref());
    }
    let since = args.since.ok_or_else(|| {
        Error::Usage("nothing to check: pass --proof, --since or --data-dir".to_owned())
    })?;
    interruptible(online::check(&since, &key, args.out.as_deref(), &args.server)).await
}

/// Prints that a check failed, and ends the command.
fn report_failure(what: &str) -> Result<ExitKind, Error> {
    say(&format!("BAD: {what}"));
    Ok(ExitKind::Some)
}

//! `auditgate checkpoint`: fetches a signed checkpoint.

use super::client::GatewayArgs;
use super::trusted_keys::FetchedProof;
use super::{Error, ExitKind, interruptible, say};
use crate::proof::SignedCheckpoint;

/// Fetch a signed checkpoint of the log
///
/// A checkpoint commits the log to every record up to now. Keep it where the operator
/// of the gateway cannot change it. `auditgate verify --since FILE` then shows at any
/// later time whether the log still begins with the same records.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate checkpoint --verifier-key prod.key.pub --out monday.checkpoint
  auditgate verify --since monday.checkpoint --verifier-key prod.key.pub

Exit status: 0 if it was fetched and, with --verifier-key, its signature is valid; 1 if the
signature is not valid; 2 if the arguments are wrong, or the gateway cannot be reached or
makes no checkpoint; 130 after Ctrl-C.")]
pub struct Args {
    #[command(flatten)]
    fetched: FetchedProof,
    #[command(flatten)]
    server: GatewayArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    interruptible(fetch(args)).await
}

async fn fetch(args: Args) -> Result<ExitKind, Error> {
    let key = args.fetched.key()?;
    let response = args.server.client().await?.get_checkpoint().await?;
    let text = response.checkpoint;
    match &key {
        Some(key) => match SignedCheckpoint::verify(&text, key) {
            Ok(signed) => say(&format!(
                "the log {} has {} records: signed by its key",
                signed.origin(),
                signed.size()
            )),
            Err(error) => {
                say(&format!("the checkpoint of the gateway is not valid: {error}"));
                return Ok(ExitKind::Some);
            }
        },
        None => say(&format!(
            "the signature was not verified, since no --verifier-key was given; the gateway says that its key is {}",
            response.verifier_key
        )),
    }
    args.fetched.write(&text)
}

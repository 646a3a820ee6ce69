//! `auditgate receipt`: fetches a proof that the log has a record.

use std::path::{Path, PathBuf};

use super::client::GatewayArgs;
use super::trusted_keys::{FetchedProof, read_checkpoint};
use super::{Error, ExitKind, interruptible, say};
use crate::proof::proof_file::ProofFile;
use crate::proof::{Hash, SignedCheckpoint, VerifierKey};
use crate::proto::pb::get_inclusion_proof_request::Key;

/// Fetch a proof that the log has an event
///
/// The proof contains the record, its position in the log, and a checkpoint signed by
/// the log. Anyone with the verifier key of the log can check it with `auditgate
/// verify --proof FILE`, without a gateway and without its data. The format is
/// C2SP tlog-proof.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate receipt 3f0f5d5e-1 --verifier-key prod.key.pub > login.tlog-proof
  auditgate verify --proof login.tlog-proof --verifier-key prod.key.pub
  auditgate receipt --sequence 17 --out 17.tlog-proof
  auditgate receipt 3f0f5d5e-1 --verifier-key prod.key.pub --checkpoint prod.cosigned

Exit status: 0 if the proof was fetched and, with --verifier-key, is valid; 1 if it is not
valid; 2 if the arguments are wrong, there is no such event, or the gateway cannot be
reached or makes no proof; 130 after Ctrl-C.")]
pub struct Args {
    /// Id of the event
    #[arg(value_name = "ID", required_unless_present = "sequence")]
    id: Option<String>,
    /// Sequence of the record, instead of the event id
    #[arg(long, conflicts_with = "id")]
    sequence: Option<u64>,
    /// Prove against the checkpoint in FILE, such as one that `auditgate witness` wrote;
    /// needs --verifier-key
    #[arg(long, value_name = "FILE", requires = "verifier-key")]
    checkpoint: Option<PathBuf>,
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
    let wanted = args.id.map(Key::Id).or(args.sequence.map(Key::Sequence));
    let wanted = wanted
        .ok_or_else(|| Error::Usage("no event given: pass its id, or --sequence".to_owned()))?;
    let held = args
        .checkpoint
        .as_deref()
        .map(|file| read_own_checkpoint(file, key.as_ref()))
        .transpose()?;
    let size = held.as_ref().map_or(0, SignedCheckpoint::size);
    let response = args.server.client().await?.get_inclusion_proof(wanted, size).await?;
    let hashes: Option<Vec<Hash>> = response.hashes.iter().map(|hash| hash_of(hash)).collect();
    let Some(hashes) = hashes else {
        say("the proof of the gateway is not valid: its hashes are not 32 bytes long");
        return Ok(ExitKind::Some);
    };
    let receipt = ProofFile {
        record: response.record,
        index: response.leaf_index,
        hashes,
        checkpoint: held.map_or(response.checkpoint, |held| held.text().to_owned()),
    };
    match key.map(|key| receipt.check(&key)) {
        Some(Ok(signed)) => say(&format!(
            "record {} is in the log {}: checked against its signed checkpoint of {} records",
            receipt.index + 1,
            signed.origin(),
            signed.size()
        )),
        Some(Err(error)) => {
            say(&format!("the proof of the gateway is not valid: {error}"));
            return Ok(ExitKind::Some);
        }
        None => say("the proof was not checked, since no --verifier-key was given"),
    }
    args.fetched.write(&receipt.encoded())
}

/// Reads a checkpoint from a file, and verifies its signature.
fn read_own_checkpoint(file: &Path, key: Option<&VerifierKey>) -> Result<SignedCheckpoint, Error> {
    let key = key.ok_or_else(|| Error::Usage("--checkpoint needs --verifier-key".to_owned()))?;
    read_checkpoint(file, key)
}

/// The hash in bytes of a response, if the length is right.
pub fn hash_of(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}

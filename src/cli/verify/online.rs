//! Checks the log of a running gateway against an earlier checkpoint.

use std::path::Path;

use super::report_failure;
use crate::cli::client::{GatewayArgs, error_text};
use crate::cli::receipt::hash_of;
use crate::cli::trusted_keys::{read_checkpoint, replace};
use crate::cli::{Error, ExitKind, print};
use crate::client;
use crate::proof::{Hash, SignedCheckpoint, VerifierKey, check_consistency};

/// Checks that the log begins with the records of the checkpoint in a file, and saves the newer
/// checkpoint.
pub async fn check(
    since: &Path,
    key: &VerifierKey,
    out: Option<&Path>,
    server: &GatewayArgs,
) -> Result<ExitKind, Error> {
    let old = read_checkpoint(since, key)?;
    let response = match server.client().await?.get_consistency_proof(old.size()).await {
        Ok(response) => response,
        Err(error) if is_denial(&error) => {
            return report_failure(&format!(
                "the gateway cannot show that its log begins with the {} records of {}: {}",
                old.size(),
                since.display(),
                error_text(&error)
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let new = match SignedCheckpoint::verify(&response.checkpoint, key) {
        Ok(new) => new,
        Err(error) => return report_failure(&format!("the gateway's checkpoint: {error}")),
    };
    let hashes: Option<Vec<Hash>> = response.hashes.iter().map(|hash| hash_of(hash)).collect();
    let hashes = hashes.unwrap_or_default();
    if let Err(error) = check_consistency(old.checkpoint(), new.checkpoint(), &hashes) {
        return report_failure(&format!(
            "{error}; the two signed checkpoints, which show it, are {} and this one:\n{}",
            since.display(),
            new.text()
        ));
    }
    if let Some(out) = out {
        replace(out, new.text())?;
    }
    print(&format!(
        "proven: the log {origin} has {now} records, and the first {then} are those of {file}\n",
        origin = new.origin(),
        now = new.size(),
        then = old.size(),
        file = since.display(),
    ))
}

/// Whether the gateway itself reports that the log does not match what was signed.
pub fn is_denial(error: &client::Error) -> bool {
    /// Reasons by which a gateway admits it.
    const REASONS: [&str; 2] = ["OLD_SIZE_AHEAD", "PROOF_BROKEN"];
    let reason = error.refusal().and_then(|refusal| refusal.reason.as_deref());
    reason.is_some_and(|reason| REASONS.contains(&reason))
}

//! `auditgate witness`: follows a log, and cosigns its checkpoints.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;

use super::client::{GatewayArgs, error_text};
use super::keygen::read_signing_key;
use super::receipt::hash_of;
use super::trusted_keys::{KeyArg, read_checkpoint, replace};
use super::verify::is_denial;
use super::{Error, ExitKind, interruptible, print, say, times};
use crate::client::Client;
use crate::proof::key::SignatureKind;
use crate::proof::{Hash, SignedCheckpoint, SigningKey, VerifierKey, check_consistency};

/// Default interval between checks.
const INTERVAL: &str = "10s";

/// Follow a log, check that it only grows, and cosign its checkpoints
///
/// A witness remembers the newest checkpoint that it saw. For each later checkpoint it
/// checks that the log still begins with the same records; then it signs the
/// checkpoint (C2SP tlog-cosignature). Run the witness where the operator of the
/// gateway has no access. It then detects a log that was rewritten or rolled back,
/// and the gateway cannot show different histories to different readers.
///
/// The witness writes its state before it signs. So it never signs two histories,
/// even if it is stopped at any time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate keygen --witness --name w1.example.org --out witness.key
  auditgate witness --log prod.key.pub --signing-key witness.key --state prod.state \\
    --out prod.cosigned
  auditgate witness --log prod.key.pub --signing-key witness.key --state prod.state --once

Exit status: 0 with --once, if the check succeeded; 1 if the log was rewritten or rolled
back (the two checkpoints that prove it are printed), or a checkpoint is not signed by it;
2 if the arguments are wrong, a file cannot be read or written, or, with --once, the
gateway cannot be reached or makes no proof; 130 after Ctrl-C.")]
pub struct Args {
    /// Verifier key of the log, or a file with it
    #[arg(long, value_name = "KEY")]
    log: KeyArg,
    /// File with the signing key of the witness, as `auditgate keygen --witness`
    /// writes it
    #[arg(id = "signing-key", long = "signing-key", value_name = "FILE")]
    key: PathBuf,
    /// File for the newest checkpoint that the witness saw; if it does not exist, the
    /// witness trusts the first checkpoint and creates it
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// File for the newest cosigned checkpoint
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Interval between checks
    #[arg(long, value_name = "TIME", default_value = INTERVAL, value_parser = times::parse_duration)]
    interval: SignedDuration,
    /// Check once, then exit
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    server: GatewayArgs,
}

/// The result of a check.
enum CheckResult {
    /// The log is unchanged, or has only grown.
    Good(SignedCheckpoint),
    /// The log was rewritten or rolled back.
    Bad(String),
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let log = args.log.key(SignatureKind::Log)?;
    let key = read_signing_key(&args.key, SignatureKind::Cosignature)?;
    interruptible(watch(&args, &log, &key)).await
}

async fn watch(args: &Args, log: &VerifierKey, key: &SigningKey) -> Result<ExitKind, Error> {
    let mut state = match args.state.exists() {
        true => Some(read_checkpoint(&args.state, log)?),
        false => None,
    };
    let mut is_lost = false;
    loop {
        match look(args, log, key, state.as_ref()).await {
            Ok(CheckResult::Good(signed)) => {
                if is_lost || state.as_ref().is_none_or(|old| old.size() != signed.size()) {
                    say(&progress(state.as_ref(), &signed));
                }
                is_lost = false;
                state = Some(signed);
            }
            Ok(CheckResult::Bad(what)) => {
                say(&format!("ALARM: {what}"));
                print(&evidence(state.as_ref()))?;
                return Ok(ExitKind::Some);
            }
            // An unreachable gateway proves nothing about its log.
            Err(Error::Client(error)) if !args.once => {
                if !is_lost {
                    say(&format!(
                        "cannot fetch the checkpoint of the log: {}; retrying",
                        error_text(&error)
                    ));
                }
                is_lost = true;
            }
            Err(error) => return Err(error),
        }
        if args.once {
            return Ok(ExitKind::All);
        }
        tokio::time::sleep(args.interval.unsigned_abs().max(INTERVAL_MIN)).await;
    }
}

/// The shortest interval between checks.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Checks the log once: checks, saves its state, signs, in this order.
async fn look(
    args: &Args,
    log: &VerifierKey,
    key: &SigningKey,
    old: Option<&SignedCheckpoint>,
) -> Result<CheckResult, Error> {
    let client = args.server.client().await?;
    let signed = match checked(&client, log, old).await? {
        CheckResult::Good(signed) => signed,
        bad @ CheckResult::Bad(_) => return Ok(bad),
    };
    replace(&args.state, signed.text())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let cosigned = signed.cosign(key, now.as_secs());
    let cosigned = cosigned.map_err(|error| Error::Usage(error.to_string()))?;
    if let Some(out) = &args.out {
        replace(out, cosigned.text())?;
    }
    Ok(CheckResult::Good(signed))
}

/// The newest checkpoint, if it begins with the older one.
async fn checked(
    client: &Client,
    log: &VerifierKey,
    old: Option<&SignedCheckpoint>,
) -> Result<CheckResult, Error> {
    let Some(old) = old else {
        let first = client.get_checkpoint().await?;
        return Ok(match SignedCheckpoint::verify(&first.checkpoint, log) {
            Ok(signed) => CheckResult::Good(signed),
            Err(error) => CheckResult::Bad(format!("the first checkpoint: {error}")),
        });
    };
    let response = match client.get_consistency_proof(old.size()).await {
        Ok(response) => response,
        Err(error) if is_denial(&error) => {
            return Ok(CheckResult::Bad(format!(
                "the gateway cannot show that its log begins with the {} records that this witness saw: {}",
                old.size(),
                error_text(&error)
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let new = match SignedCheckpoint::verify(&response.checkpoint, log) {
        Ok(new) => new,
        Err(error) => return Ok(CheckResult::Bad(format!("the newest checkpoint: {error}"))),
    };
    let hashes: Option<Vec<Hash>> = response.hashes.iter().map(|hash| hash_of(hash)).collect();
    let shown = check_consistency(old.checkpoint(), new.checkpoint(), &hashes.unwrap_or_default());
    Ok(match shown {
        Ok(()) => CheckResult::Good(new),
        Err(error) => CheckResult::Bad(format!("{error}; the newer checkpoint is\n{}", new.text())),
    })
}

fn progress(old: Option<&SignedCheckpoint>, new: &SignedCheckpoint) -> String {
    match old {
        None => format!(
            "begins with {} records of {}; their earlier history is not witnessed",
            new.size(),
            new.origin()
        ),
        Some(old) => format!(
            "{} records of {}, which begin with the {} seen before: cosigned",
            new.size(),
            new.origin(),
            old.size()
        ),
    }
}

/// The earlier checkpoint, as evidence.
fn evidence(old: Option<&SignedCheckpoint>) -> String {
    old.map_or_else(String::new, |old| {
        format!("the checkpoint that this witness saw before is\n{}", old.text())
    })
}

//! `auditgate cluster accept-loss`: goes on after the stream has lost messages.

use std::path::PathBuf;

use super::init::plan;
use super::{cluster_keys, connect, usage};
use crate::cli::keygen::read_signing_key;
use crate::cli::settings::SharedSource;
use crate::cli::{Error, ExitKind, say};
use crate::config::{ByteSize, Period};
use crate::log::shared::shared_log::{AcceptedLoss, LossAcceptance, accept_loss, log_id_of};
use crate::log::shared::stream::Stream as _;
use crate::log::shared::stream::jetstream::{self, JetStream};
use crate::proof::key::SignatureKind;
use crate::proof::sign_epoch;
use crate::proof::tile_store::disk::read_checkpoint;

/// Accept that the stream has lost messages, and go on with the records of one gateway
///
/// Gateways stop when the stream lacks messages that they have applied: it was restored
/// from a backup, or made anew. Nothing is changed until an operator decides. Stop all
/// gateways, choose the one with the most records (`auditgate cluster status`, or the last
/// line of each gateway's log), and run this with its data directory. The log goes on with
/// all of its records. Other gateways begin the new epoch when they are started: they set
/// aside records that the chosen one does not have, in the folder `lost` of their data
/// directory, and readers that had seen these get a gap with the reason ROLLED_BACK. A
/// gateway without some of the records says so and is seeded with `auditgate cluster join`.
///
/// The message is signed with the log's signing key: a gateway alone cannot begin an epoch.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster accept-loss --config gateway.toml --signing-key signing.key --data-dir /var/lib/auditgate
  auditgate cluster accept-loss --config gateway.toml --signing-key signing.key --data-dir /var/lib/auditgate --create --replicas 3

Exit status: 0 if the loss is accepted; 2 if nothing was changed.")]
pub struct Args {
    #[command(flatten)]
    source: SharedSource,
    /// Data directory of the stopped gateway with whose records the log goes on
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// File with the signing key of the log
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
    /// Make the stream if it was deleted, for the log of the data directory
    #[arg(long)]
    create: bool,
    /// With --create: on how many servers each message is stored
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=5))]
    replicas: u32,
    /// With --create: how long records are stored; without it and --retain-bytes, all are. At
    /// least 1m
    #[arg(long, value_name = "TIME")]
    retain_age: Option<Period>,
    /// With --create: the most bytes that the stream takes on each server. At least 64MiB
    #[arg(long, value_name = "BYTES")]
    retain_bytes: Option<ByteSize>,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let shared = args.source.load()?;
    let key = read_signing_key(&args.signing_key, SignatureKind::Log)?;
    let log_id = log_id_of(&args.data_dir).map_err(usage)?;
    // A key that is not the log's is refused before anything is made.
    let signed = read_checkpoint(&args.data_dir, &key.verifier()).map_err(usage)?;
    if args.create {
        let (servers, subjects) = (shared.connection()?, shared.subjects()?);
        let plan = plan(args.replicas, args.retain_age, args.retain_bytes)?;
        match JetStream::create(&servers, &subjects, plan, log_id).await {
            Ok(_) | Err(jetstream::Error::Exists(_)) => {}
            Err(error) => return Err(usage(error)),
        }
    }
    let stream = connect(&shared).await?;
    let keys = cluster_keys(&shared, stream.settings().log_id)?;
    let wanted = LossAcceptance {
        directory: &args.data_dir,
        keys: &keys,
        key: &key.verifier(),
        sign: &|change, log_id| sign_epoch(change, log_id, &key),
        checkpoint: signed.map_or_else(String::new, |signed| signed.text().to_owned()),
    };
    let accepted = accept_loss(wanted, &stream).await.map_err(usage)?;
    let AcceptedLoss { epoch, records, position } = accepted;
    say(&format!(
        "accepted: epoch {epoch} of log {log_id} begins after record {records}, with message {position} of the stream
start the gateway of {} first, then the others",
        args.data_dir.display()
    ));
    Ok(ExitKind::All)
}

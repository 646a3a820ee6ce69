//! `auditgate cluster`: the log that several gateways share.

mod accept_loss;
mod init;
mod join;
mod key;
mod retire_key;
mod status;

use std::path::Path;

use uuid::Uuid;

use super::{Error, ExitKind};
use crate::config::SharedSettings;
use crate::log::shared::cluster_key::ClusterSecrets;
use crate::log::shared::message::ClusterKeys;
use crate::log::shared::stream::jetstream::JetStream;

/// Manage a log that several gateways share
///
/// The log is kept in a replicated stream of NATS JetStream: see docs/CLUSTER.md. The
/// commands take the same file, variables and flags as `serve` to find it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClusterCommand {
    Init(Box<init::Args>),
    Status(Box<status::Args>),
    Join(Box<join::Args>),
    AcceptLoss(Box<accept_loss::Args>),
    Key(key::Args),
    RetireKey(retire_key::Args),
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    match args.command {
        ClusterCommand::Init(args) => init::run(*args).await,
        ClusterCommand::Status(args) => status::run(*args).await,
        ClusterCommand::Join(args) => join::run(*args).await,
        ClusterCommand::AcceptLoss(args) => accept_loss::run(*args).await,
        ClusterCommand::Key(args) => key::run(&args),
        ClusterCommand::RetireKey(args) => retire_key::run(&args),
    }
}

/// Connects to the stream.
async fn connect(shared: &SharedSettings) -> Result<JetStream, Error> {
    let (servers, subjects) = (shared.connection()?, shared.subjects()?);
    JetStream::open(&servers, &subjects).await.map_err(usage)
}

/// Makes an error of a command that changed nothing.
fn usage(error: impl std::fmt::Display) -> Error {
    Error::Usage(error.to_string())
}

/// The keys that authenticate the messages of a log.
fn cluster_keys(shared: &SharedSettings, log_id: Uuid) -> Result<ClusterKeys, Error> {
    let Some(file) = &shared.cluster_key else {
        let what = "--cluster-key is missing: give the file cluster.key that `auditgate cluster init` wrote";
        return Err(Error::Usage(what.to_owned()));
    };
    Ok(ClusterSecrets::read(Path::new(file)).map_err(usage)?.keys(log_id))
}

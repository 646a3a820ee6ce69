//! `auditgate cluster`: the log that several gateways share.

mod init;

use super::{Error, ExitKind};

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
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    match args.command {
        ClusterCommand::Init(args) => init::run(*args).await,
    }
}

//! `auditgate cluster join`: the data directory of a new gateway, from another gateway's.

use std::path::PathBuf;

use super::{connect, usage};
use crate::cli::settings::SharedSource;
use crate::cli::{Error, ExitKind, say};
use crate::log::shared::seed::seed;
use crate::log::shared::stream::Stream as _;

/// Seed the data directory of a new gateway with a copy of another gateway's
///
/// A new gateway reads the log from the stream. Where the stream does not hold all records
/// any more, or an operator has accepted a loss, the gateway needs a copy of what another
/// one has: stop that one, or take a backup of its data directory. Keys and the state of
/// deliveries are not copied. The copy gets its name when it is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate cluster join --config gateway.toml --from /mnt/backup/gateway-1 --to /var/lib/auditgate
  auditgate cluster join --shared nats://n1,nats://n2 --from old --to new

Exit status: 0 if the directory was seeded; 2 if not, and then there is none.")]
pub struct Args {
    #[command(flatten)]
    source: SharedSource,
    /// Data directory of a gateway of this log that does not run, or a backup of one
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Data directory of the new gateway; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let stream = connect(&args.source.load()?).await?;
    let log_id = stream.settings().log_id;
    let (from, to) = (args.from.clone(), args.to.clone());
    let seeded = tokio::task::spawn_blocking(move || seed(&from, &to, log_id)).await;
    let seeded = seeded.map_err(usage)?.map_err(usage)?;
    say(&format!(
        "copied {} files, {} bytes, of log {log_id} up to message {} of the stream to {}
start the gateway there:
  auditgate serve --data-dir {} ...",
        seeded.files,
        seeded.bytes,
        seeded.position,
        args.to.display(),
        args.to.display(),
    ));
    Ok(ExitKind::All)
}

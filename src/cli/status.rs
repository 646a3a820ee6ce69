//! `auditgate status`: shows the log, the rates and the subscribers of a gateway.

mod accounts;
mod problems;
mod table;
mod units;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use jiff::SignedDuration;

use super::client::GatewayArgs;
use super::{Error, ExitKind, escape, interruptible, terminal, times};
use crate::json::{self, reflect};
use crate::proto::pb;

/// How often `--watch` asks, unless told otherwise.
const WATCH_INTERVAL: &str = "2s";
/// Clears a terminal and goes to its top left.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Show the gateway's log, rates and subscribers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate status
  auditgate status --watch
  auditgate status -o json

Exit status: 0 if it answers; 2 if the arguments are wrong, or the gateway cannot be
reached; 130 after Ctrl-C.")]
pub struct Args {
    /// Repeat every 2 seconds, or at the given interval
    #[arg(long, value_name = "INTERVAL", value_parser = interval, num_args = 0..=1, default_missing_value = WATCH_INTERVAL, require_equals = true)]
    watch: Option<SignedDuration>,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = StatusFormat::Pretty)]
    output: StatusFormat,
    #[command(flatten)]
    color: terminal::Args,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    utc: bool,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// Table
    Pretty,
    /// GetStatusResponse as JSON; one line each with --watch
    Json,
}

fn interval(text: &str) -> Result<SignedDuration, String> {
    /// Shorter intervals are not worth the calls.
    const INTERVAL_MIN: SignedDuration = SignedDuration::from_millis(100);
    let interval = times::parse_duration(text)?;
    if interval < INTERVAL_MIN {
        return Err(format!("{text} is too short: at least 100ms"));
    }
    Ok(interval)
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let client = args.server.client().await?;
    interruptible(async {
        loop {
            let status = client.get_status().await?;
            show(&args, &status)?;
            let Some(interval) = args.watch else { return Ok(ExitKind::All) };
            tokio::time::sleep(Duration::from_secs_f64(interval.as_secs_f64())).await;
        }
    })
    .await
}

fn show(args: &Args, status: &pb::GetStatusResponse) -> Result<(), Error> {
    let terminal = std::io::stdout().is_terminal();
    let text = match args.output {
        StatusFormat::Pretty => {
            let (zone, color) = (terminal::zone(args.utc), args.color.resolve(terminal));
            let table = table::draw(status, terminal::width(), &zone, color);
            match args.watch {
                Some(_) if terminal => format!("{CLEAR}{table}"),
                Some(_) => format!("{table}\n"),
                None => table,
            }
        }
        StatusFormat::Json => {
            let status = reflect("GetStatusResponse", status);
            let text = match args.watch {
                Some(_) => json::line(&status),
                None => json::indented(&status),
            };
            format!("{}\n", escape::json(&text))
        }
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

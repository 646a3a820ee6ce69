//! `auditgate status`: shows the log, the rates and the subscribers of a gateway.

mod accounts;
mod disconnects;
mod operations;
mod problems;
mod shared;
mod subscribers;
mod table;
mod watch;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::client::GatewayArgs;
use super::terminal::Color;
use super::{Error, ExitKind, escape, interruptible, terminal, times};
use crate::json::{self, reflect};
use crate::proto::pb;
use watch::QuitKey;

pub use problems::damaged;

/// Default interval of `--watch`.
const WATCH_INTERVAL: &str = "2s";
/// Moves to the top left of a terminal.
const HOME: &str = "\u{1b}[H";
/// Clears the rest of a line, and of a terminal.
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// Show the gateway's log, rates, connections and subscribers
///
/// Problems come first. On a terminal, the tables are cut to fit. With --watch, press q to end.
/// `auditgate doctor` says what to do about problems.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate status
  auditgate status --watch
  auditgate status -o json

Exit status: 0 if the gateway answers; 2 if the arguments are wrong, or the gateway cannot be
reached; 130 after Ctrl-C.")]
pub struct Args {
    /// Repeat every 2 seconds, or at the given interval
    #[arg(long, value_name = "INTERVAL", value_parser = interval, num_args = 0..=1, default_missing_value = WATCH_INTERVAL)]
    watch: Option<SignedDuration>,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = StatusFormat::Pretty)]
    output: StatusFormat,
    #[command(flatten)]
    page: terminal::PageArgs,
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

/// The area in which a status is drawn.
#[derive(Debug, Clone)]
pub struct Screen {
    /// Width in columns; `None` cuts no row.
    pub width: Option<usize>,
    /// Height in lines; `None` shows all rows.
    pub height: Option<usize>,
    /// The time zone in which times are shown.
    pub zone: TimeZone,
    /// Whether to use colours.
    pub color: Color,
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
        let is_screen = args.output == StatusFormat::Pretty && std::io::stdout().is_terminal();
        let mut quit = QuitKey::watch(args.watch.is_some() && is_screen);
        loop {
            let status = client.get_status().await?;
            show(&args, &status, quit.is_on())?;
            let Some(interval) = args.watch else { return Ok(ExitKind::All) };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(interval.as_secs_f64())) => {}
                () = quit.pressed() => return Ok(ExitKind::All),
            }
        }
    })
    .await
}

fn show(args: &Args, status: &pb::GetStatusResponse, has_quit_key: bool) -> Result<(), Error> {
    let terminal = std::io::stdout().is_terminal();
    let text = match args.output {
        StatusFormat::Pretty => {
            // One line is reserved for the prompt, or for the line that says how to end.
            let height = terminal::height().filter(|_| terminal);
            let height = height.map(|height| height.saturating_sub(1));
            let (zone, color) = (args.page.zone(), args.page.color(terminal));
            let screen = Screen { width: terminal::width(), height, zone, color };
            let table = table::draw(status, &screen);
            match args.watch {
                Some(_) if terminal => on_screen(&table, has_quit_key),
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

/// Overwrites the terminal line by line, which avoids flicker.
fn on_screen(table: &str, has_quit_key: bool) -> String {
    let lines = table.replace('\n', &format!("{CLEAR_LINE}\n"));
    let hint = if has_quit_key { "q ends it" } else { "Ctrl-C ends it" };
    format!("{HOME}{lines}{CLEAR_BELOW}{hint}")
}

//! `auditgate tail`: shows records as they arrive.

mod cursor_file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use prost_types::Timestamp as Stamp;
use tokio::time::Instant;

use super::client::{GatewayArgs, error_text};
use super::follow::{StopCondition, follow};
use super::output::{self, RecordPrinter};
use super::times::{self, TimeArg, stamp};
use super::{Error, ExitKind, filter, interruptible};
use crate::client::{Client, Start};
use crate::proto::pb;

/// Default number of last matches that are shown first.
const LAST_RECORDS: u32 = 10;

/// Show the last matching records, then new ones as they arrive
///
/// After a lost connection, tail resumes where it stopped. Missing records are reported
/// as a gap: they were evicted, are damaged, or were lost when the log was reopened.
/// Records go to standard output. With json, ndjson, ocsf, ecs and cef, gaps appear there
/// in their place; with other formats they go to standard error.
///
/// With --cursor-file, tail saves its position in a file. It writes the cursor after
/// it has written the records before it. So a restarted tail misses no record, and
/// repeats at most the records that it wrote after the last cursor.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate tail
  auditgate tail --failed --severity warning
  auditgate tail --type 'session.*' --user alice -n 100
  auditgate tail --since 1h --no-follow -o csv --fields time,type,user.name
  auditgate tail --from earliest --cursor-file ship.cursor -o ndjson | ship

Exit status: 0 if it ended at the requested record or time, or its reader closed the pipe;
1 if records were missing; 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Show this many of the last matches first [default: 10]
    #[arg(
        short = 'n',
        long = "limit",
        visible_alias = "lines",
        value_name = "COUNT",
        conflicts_with_all = ["from", "since"]
    )]
    last: Option<u32>,
    /// Start at: earliest, latest, a time, or a cursor
    #[arg(
        long,
        value_name = "START",
        value_parser = parse_start,
        conflicts_with = "since",
        allow_hyphen_values = true
    )]
    from: Option<TailStart>,
    /// Exit after the newest record
    #[arg(long)]
    no_follow: bool,
    /// Save the cursor in FILE, and resume from it if FILE exists
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    #[command(flatten)]
    filter: filter::Args,
    #[command(flatten)]
    output: output::Args,
    #[command(flatten, next_help_heading = None)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, PartialEq)]
enum TailStart {
    Earliest,
    Latest,
    Time(TimeArg),
    Cursor(String),
}

fn parse_start(text: &str) -> Result<TailStart, String> {
    /// Cursors are longer, and times are shorter, in bytes.
    const CURSOR_BYTES_MIN: usize = 32;
    match text {
        "earliest" => Ok(TailStart::Earliest),
        "latest" => Ok(TailStart::Latest),
        _ => match times::parse(text) {
            Ok(time) => Ok(TailStart::Time(time)),
            Err(_) if text.len() >= CURSOR_BYTES_MIN => Ok(TailStart::Cursor(text.to_owned())),
            Err(error) => Err(format!("{error}, earliest, latest or a cursor")),
        },
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let kept = match args.cursor_file.as_deref() {
        Some(file) => cursor_file::open(file)?,
        None => None,
    };
    let of_file = args.cursor_file.as_deref().filter(|_| kept.is_some());
    let (since, until) = args.filter.range(&args.output.zone())?;
    let start = match (kept, &args.from, since) {
        (Some(cursor), ..) => Some(Start::Cursor(cursor)),
        (None, Some(from), _) => Some(match from {
            TailStart::Earliest => Start::Earliest,
            TailStart::Latest => Start::Latest,
            TailStart::Cursor(cursor) => Start::Cursor(cursor.clone()),
            TailStart::Time(when) => Start::Since(
                when.resolve(Timestamp::now(), &args.output.zone())
                    .map_err(|error| Error::Usage(format!("--from: {error}")))?,
            ),
        }),
        (None, None, Some(since)) => Some(Start::Since(since)),
        (None, None, None) => None,
    };
    let client = args.server.client().await?;
    let mut printer = args.output.open(&client).await?;
    let tail = TailCommand { args: &args, client, until };
    let done = interruptible(tail.run(start, &mut printer)).await;
    printer.finish()?;
    match done.map_err(|error| name_cursor_file(error, of_file))? {
        ExitKind::All if printer.is_lacking() => Ok(ExitKind::Some),
        done => Ok(done),
    }
}

/// Adds the name of the cursor file to an error about an invalid cursor.
fn name_cursor_file(error: Error, file: Option<&Path>) -> Error {
    /// A name of `auditgate.v1.ErrorReason`.
    const CURSOR_INVALID: &str = "CURSOR_INVALID";
    let (Error::Client(refused), Some(file)) = (&error, file) else { return error };
    let reason = refused.refusal().and_then(|refusal| refusal.reason.as_deref());
    if reason != Some(CURSOR_INVALID) {
        return error;
    }
    let file = file.display();
    Error::Usage(format!("{file}: {}\ndelete the file to start anew", error_text(refused)))
}

struct TailCommand<'a> {
    args: &'a Args,
    client: Client,
    until: Option<Stamp>,
}

impl TailCommand<'_> {
    async fn run(
        &self,
        start: Option<Start>,
        printer: &mut RecordPrinter,
    ) -> Result<ExitKind, Error> {
        let start = match start {
            Some(start) => start,
            None => {
                let cursor = self.show_last(printer).await?;
                printer.flush()?;
                self.keep(&cursor)?;
                if self.args.no_follow {
                    return Ok(ExitKind::All);
                }
                Start::Cursor(cursor)
            }
        };
        let subscriber = self.client.subscribe(self.args.filter.filter(), start);
        follow(subscriber, printer, |cursor| self.keep(cursor), self.end()).await
    }

    /// Shows the last matches, oldest first; returns the cursor behind them.
    async fn show_last(&self, printer: &mut RecordPrinter) -> Result<String, Error> {
        let count = self.args.last.unwrap_or(LAST_RECORDS) as usize;
        let request = pb::SearchRequest {
            filter: Some(self.args.filter.filter()),
            end_time: self.until,
            page_size: i32::try_from(count.clamp(1, 1_000)).unwrap_or(1_000),
            ..Default::default()
        };
        let mut results = self.client.search(request);
        let mut last = Vec::new();
        while last.len() < count {
            let Some(record) = results.next().await? else { break };
            last.push(record);
        }
        for gap in results.take_gaps() {
            printer.gap(&gap)?;
        }
        for record in last.iter().rev() {
            printer.record(record)?;
        }
        // With a count of 0, no request was made yet.
        if results.cursor().is_none() {
            results.next().await?;
        }
        Ok(results.cursor().unwrap_or_default().to_owned())
    }

    fn keep(&self, cursor: &str) -> Result<(), Error> {
        match &self.args.cursor_file {
            Some(file) => cursor_file::write(file, cursor),
            None => Ok(()),
        }
    }

    fn end(&self) -> StopCondition {
        let Some(until) = self.until else {
            return if self.args.no_follow {
                StopCondition::CaughtUp
            } else {
                StopCondition::Never
            };
        };
        let now = stamp(Timestamp::now());
        if self.args.no_follow || (until.seconds, until.nanos) <= (now.seconds, now.nanos) {
            return StopCondition::CaughtUpOrAccepted(until);
        }
        let seconds = u64::try_from(until.seconds - now.seconds).unwrap_or_default();
        StopCondition::At(until, Instant::now() + Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_a_time_or_a_cursor() {
        assert_eq!(parse_start("earliest"), Ok(TailStart::Earliest));
        assert_eq!(parse_start("latest"), Ok(TailStart::Latest));
        assert!(matches!(parse_start("2h"), Ok(TailStart::Time(TimeArg::Ago(_)))));
        assert!(matches!(parse_start("2026-01-01T00:00:00Z"), Ok(TailStart::Time(TimeArg::At(_)))));
        let cursor = "AWMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(parse_start(cursor), Ok(TailStart::Cursor(cursor.into())));
        let refused = parse_start("erliest").unwrap_err();
        assert!(refused.ends_with("earliest, latest or a cursor"), "{refused}");
    }
}

//! `auditgate tail`: records as they come.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use prost_types::Timestamp as Stamp;
use tokio::time::Instant;

use super::client::Server;
use super::output::{self, Printer};
use super::times::{self, When, stamp};
use super::{Done, Error, filter, interruptible, say};
use crate::client::{Client, Item, Refusal, Start, Subscriber};
use crate::proto::pb;

/// How many of the last matches are shown first, unless told otherwise.
const LAST_RECORDS: u32 = 10;

/// Show the last records that match, and then those that come
///
/// A lost connection is taken up again where it broke; records that are missing
/// because they were evicted meanwhile are told as a gap. Standard output holds
/// records only.
///
/// With --cursor-file the place is kept in a file: the cursor is written after
/// the records before it have been handed on, so that a restarted tail misses
/// nothing, and repeats no more than what it wrote since.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate tail
  auditgate tail --failed --severity warning
  auditgate tail --type 'session.*' --user alice -n 100
  auditgate tail --since 1h --no-follow -o csv --fields time,type,user.name
  auditgate tail --from earliest --cursor-file ship.cursor -o ndjson | ship

Exit status: 0 if it ended as it was asked to, or its reader closed the pipe; 1 if
records were missing; 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Show so many of the last matches first [default: 10]
    #[arg(short = 'n', long = "lines", value_name = "COUNT", conflicts_with_all = ["from", "since"])]
    last: Option<u32>,
    /// Start there: earliest, latest, a time, or a cursor
    #[arg(long, value_name = "START", value_parser = parse_start, conflicts_with = "since")]
    from: Option<From>,
    /// End when the newest record has been shown
    #[arg(long)]
    no_follow: bool,
    /// Keep the cursor in this file, and start from it if it is there
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    #[command(flatten)]
    filter: filter::Args,
    #[command(flatten)]
    output: output::Args,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, PartialEq)]
enum From {
    Earliest,
    Latest,
    Time(When),
    Cursor(String),
}

fn parse_start(text: &str) -> Result<From, String> {
    /// Cursors are longer, and times are shorter, in bytes.
    const CURSOR_BYTES_MIN: usize = 32;
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        _ => match times::parse(text) {
            Ok(time) => Ok(From::Time(time)),
            Err(_) if text.len() >= CURSOR_BYTES_MIN => Ok(From::Cursor(text.to_owned())),
            Err(error) => Err(format!("{error}, earliest, latest or a cursor")),
        },
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<Done, Error> {
    let kept = args.cursor_file.as_deref().map(read_cursor).transpose()?.flatten();
    let (since, until) = args.filter.range(&args.output.zone())?;
    let start = match (kept, &args.from, since) {
        (Some(cursor), ..) => Some(Start::Cursor(cursor)),
        (None, Some(from), _) => Some(match from {
            From::Earliest => Start::Earliest,
            From::Latest => Start::Latest,
            From::Cursor(cursor) => Start::Cursor(cursor.clone()),
            From::Time(when) => Start::Since(
                when.resolve(Timestamp::now(), &args.output.zone())
                    .map_err(|error| Error::Usage(format!("--from: {error}")))?,
            ),
        }),
        (None, None, Some(since)) => Some(Start::Since(since)),
        (None, None, None) => None,
    };
    let client = args.server.client().await?;
    let mut printer = args.output.open()?;
    let tail = Tail { args: &args, client, until };
    let done = interruptible(tail.run(start, &mut printer)).await;
    printer.finish()?;
    match done? {
        Done::All if printer.is_lacking() => Ok(Done::Some),
        done => Ok(done),
    }
}

struct Tail<'a> {
    args: &'a Args,
    client: Client,
    until: Option<Stamp>,
}

impl Tail<'_> {
    async fn run(&self, start: Option<Start>, printer: &mut Printer) -> Result<Done, Error> {
        let start = match start {
            Some(start) => start,
            None => {
                let cursor = self.show_last(printer).await?;
                printer.flush()?;
                self.keep(&cursor)?;
                if self.args.no_follow {
                    return Ok(Done::All);
                }
                Start::Cursor(cursor)
            }
        };
        let subscriber = self.client.subscribe(self.args.filter.filter(), start);
        follow(subscriber, printer, |cursor| self.keep(cursor), self.end()).await
    }

    /// Shows the last matches, oldest first; returns the cursor behind them.
    async fn show_last(&self, printer: &mut Printer) -> Result<String, Error> {
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
        // With a count of 0 nothing was asked for yet.
        if results.cursor().is_none() {
            results.next().await?;
        }
        Ok(results.cursor().unwrap_or_default().to_owned())
    }

    fn keep(&self, cursor: &str) -> Result<(), Error> {
        match &self.args.cursor_file {
            Some(file) => write_cursor(file, cursor),
            None => Ok(()),
        }
    }

    fn end(&self) -> End {
        let Some(until) = self.until else {
            return if self.args.no_follow { End::CaughtUp } else { End::Never };
        };
        let now = stamp(Timestamp::now());
        if self.args.no_follow || (until.seconds, until.nanos) <= (now.seconds, now.nanos) {
            return End::CaughtUpOrAccepted(until);
        }
        let seconds = u64::try_from(until.seconds - now.seconds).unwrap_or_default();
        End::At(until, Instant::now() + Duration::from_secs(seconds))
    }
}

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Never,
    /// When the newest record has been shown.
    CaughtUp,
    /// Then, or at a record that was accepted at this time or later.
    CaughtUpOrAccepted(Stamp),
    /// At a record accepted at this time or later, or when the clock says so.
    At(Stamp, Instant),
}

impl End {
    fn is_past(self, record: &pb::Record) -> bool {
        let (End::CaughtUpOrAccepted(until) | End::At(until, _)) = self else { return false };
        let accepted = record.accept_time.unwrap_or_default();
        (accepted.seconds, accepted.nanos) >= (until.seconds, until.nanos)
    }

    async fn come(self) {
        match self {
            End::At(_, instant) => tokio::time::sleep_until(instant).await,
            _ => std::future::pending().await,
        }
    }
}

/// Writes what a subscriber gets. `keep` is told each cursor after what it covers
/// has been handed on.
pub async fn follow(
    mut subscriber: Subscriber,
    printer: &mut Printer,
    keep: impl Fn(&str) -> Result<(), Error>,
    end: End,
) -> Result<Done, Error> {
    let mut trouble = Trouble::default();
    let mut caught_up = false;
    loop {
        let item = tokio::select! {
            item = subscriber.next() => item?,
            () = end.come() => return Ok(Done::All),
        };
        match item {
            Item::Record(record) if end.is_past(&record) => return Ok(Done::All),
            Item::Record(record) => printer.record(&record)?,
            Item::Gap(gap) => printer.gap(&gap)?,
            Item::CaughtUp => caught_up = true,
            Item::Checkpoint(cursor) => {
                printer.flush()?;
                keep(&cursor)?;
                if caught_up && matches!(end, End::CaughtUp | End::CaughtUpOrAccepted(_)) {
                    return Ok(Done::All);
                }
            }
            Item::Lost { reason, retry_in } => trouble.tell(&reason, retry_in),
            Item::Regained => trouble.over(),
        }
    }
}

/// Tells of a lost connection once, however many attempts it takes.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<String>,
}

impl Trouble {
    fn tell(&mut self, reason: &Refusal, retry_in: Duration) {
        let reason = reason.to_string();
        if self.told.as_ref() != Some(&reason) {
            say(&format!(
                "connection lost: {reason}; trying again in {:.1} s, and until it is back",
                retry_in.as_secs_f64()
            ));
            self.told = Some(reason);
        }
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            say("connected again");
        }
    }
}

/// The cursor in a file; none if it is not there yet.
fn read_cursor(file: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|cursor| !cursor.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Read { file: file.display().to_string(), error }),
    }
}

/// Replaces the file as a whole: whoever reads it, and after whatever crash,
/// finds the old cursor or the new one.
fn write_cursor(file: &Path, cursor: &str) -> Result<(), Error> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let written = std::fs::File::create(&beside).and_then(|mut new| {
        writeln!(new, "{cursor}")?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    });
    written.map_err(|error| Error::WriteFile { file: file.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_a_time_or_a_cursor() {
        assert_eq!(parse_start("earliest"), Ok(From::Earliest));
        assert_eq!(parse_start("latest"), Ok(From::Latest));
        assert!(matches!(parse_start("2h"), Ok(From::Time(When::Ago(_)))));
        assert!(matches!(parse_start("2026-01-01T00:00:00Z"), Ok(From::Time(When::At(_)))));
        let cursor = "AWMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(parse_start(cursor), Ok(From::Cursor(cursor.into())));
        assert!(parse_start("erliest").is_err());
    }

    #[test]
    fn a_cursor_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cursor");
        assert_eq!(read_cursor(&file).expect("no error"), None);
        write_cursor(&file, "one").expect("it is written");
        write_cursor(&file, "two").expect("it is written");
        assert_eq!(read_cursor(&file).expect("it is read"), Some("two".into()));
        let names = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "nothing is left beside it");
        assert!(write_cursor(&folder.path().join("absent/cursor"), "x").is_err());
    }
}

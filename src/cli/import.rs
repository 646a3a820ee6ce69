//! `auditgate import`: sends the lines of another log to the gateway.

pub(super) mod lines;
mod report;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::GatewayArgs;
use super::progress::Progress;
use super::{Error, ExitKind, ExternalFormat, retry_notice};
use crate::client::Options;
use crate::proto::pb;
use crate::teleport::{self, LineOrdinals};
use lines::{LineRead, LineReader};
use report::ImportReport;
use sink::{EventSink, LineOutcome, LinePosition, ReadLine, settle};

/// The read buffer, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// The reason for a line that is not an event, in the summary.
const NO_EVENT: &str = "line";
/// The reason for a line of a refused type, in the summary.
const UNKNOWN_TYPE: &str = "unknown type";
/// How long an event waits for others to share its request.
const LINGER: Duration = Duration::from_millis(200);
/// The maximum number of awaited lines.
const LINES_AWAITED: usize = 10_000;
/// The file name that stands for standard input.
const STDIN: &str = "-";

/// Import events from the log of another system
///
/// No part of a line is lost: keys without a field go into `unmapped`, and
/// `auditgate export` writes them back. Importing the same lines again stores nothing
/// twice: a line without an id gets an id derived from its content and from the
/// number of equal lines before it.
///
/// Import sends a line at most 200 ms after it was read. So `tail -F FILE | auditgate
/// import` is a live feed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate import --format teleport events.log
  auditgate import --format teleport --unknown-types refuse 2026-*.log
  tail -F events.log | auditgate import --format teleport -

Exit status: 0 if every line was stored, now or before; 1 if some lines were
not, each of which is reported with its reason; 2 if the arguments are wrong, a
file cannot be read, or the gateway cannot be reached; 130 after a second Ctrl-C:
the first one ends the reading.")]
pub struct Args {
    /// Format of the files
    #[arg(long, value_enum)]
    format: ExternalFormat,
    /// How to treat events of unknown types
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = UnknownTypes::Custom)]
    unknown_types: UnknownTypes,
    #[command(flatten)]
    server: GatewayArgs,
    /// Files to import, in order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// How to treat events of unknown types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum UnknownTypes {
    /// Store them as custom events
    Custom,
    /// Report the lines as invalid
    Refuse,
}

/// An event, and its type if it is not in the catalog.
type MappedEvent = (pb::Event, Option<String>);

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let ExternalFormat::Teleport = args.format;
    let progress = Progress::of_bytes(total_bytes(&args.files));
    let telling = progress.clone();
    let mut report = ImportReport::new(Box::new(move |text| telling.say(text)));
    let options = Options { linger: LINGER, ..Options::default() };
    let (lines, read) = mpsc::channel(LINES_AWAITED);
    let gateway = args.server.client().await?.emitter(options);
    let telling = progress.clone();
    let outage = gateway.outage();
    tokio::spawn(
        async move { retry_notice::report_retries(outage, |text| telling.say(text)).await },
    );
    let import = Importer {
        gateway,
        unknown_types: args.unknown_types,
        ordinals: LineOrdinals::default(),
        lines,
        progress: progress.clone(),
        interrupted: CancellationToken::new(),
    };
    tokio::spawn(watch_interrupts(import.interrupted.clone()));
    let done = import.run(&args.files, read, &mut report).await;
    progress.clear();
    report.summarize();
    done?;
    Ok(if report.has_bad_lines() { ExitKind::Some } else { ExitKind::All })
}

/// The total size of the files; `None` if it is unknown.
fn total_bytes(files: &[String]) -> Option<u64> {
    files
        .iter()
        .map(|file| std::fs::metadata(file).ok().filter(|file| file.is_file()))
        .try_fold(0, |total, file| Some(total + file?.len()))
}

/// Stops reading at the first Ctrl-C, and ends the process at the second.
async fn watch_interrupts(interrupted: CancellationToken) {
    /// The exit status of a process that SIGINT ended, as shells have it.
    const INTERRUPTED: i32 = 130;
    if tokio::signal::ctrl_c().await.is_ok() {
        interrupted.cancel();
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(INTERRUPTED);
    }
}

/// A running import.
struct Importer<G: EventSink> {
    gateway: G,
    unknown_types: UnknownTypes,
    ordinals: LineOrdinals,
    /// Lines that were read, in order, to be reported.
    lines: mpsc::Sender<ReadLine<G::Receipt>>,
    progress: Progress,
    /// Stops reading, but not storing lines that were read.
    interrupted: CancellationToken,
}

impl<G: EventSink> Importer<G> {
    /// Imports the files, in order, until they end or the user interrupts.
    async fn run(
        mut self,
        files: &[String],
        read: mpsc::Receiver<ReadLine<G::Receipt>>,
        report: &mut ImportReport,
    ) -> Result<(), Error> {
        let progress = self.progress.clone();
        let reading = async {
            let outcome = self.read_files(files).await;
            let Self { gateway, lines, .. } = self;
            drop(lines);
            // Lines that were read before a file failed are imported.
            gateway.close().await;
            Ok(outcome)
        };
        // If the gateway fails, reading ends.
        let (outcome, ()) = tokio::try_join!(reading, settle(read, report, &progress))?;
        outcome
    }

    async fn read_files(&mut self, files: &[String]) -> Result<(), Error> {
        for file in files {
            if file == STDIN {
                self.read(file, tokio::io::stdin()).await?;
            } else {
                let opened = tokio::fs::File::open(file).await;
                let opened = opened.map_err(|error| Error::Read { file: file.clone(), error })?;
                self.read(file, opened).await?;
            }
            if self.interrupted.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    async fn read(&mut self, file: &str, input: impl AsyncRead + Unpin) -> Result<(), Error> {
        let interrupted = self.interrupted.clone();
        let file: Arc<str> = file.into();
        let mut lines = LineReader::new(BufReader::with_capacity(READ_BYTES, input));
        loop {
            let next = tokio::select! {
                next = lines.next() => next,
                () = interrupted.cancelled() => return Ok(()),
            };
            let error = |error| Error::Read { file: file.to_string(), error };
            let Some((number, line)) = next.map_err(error)? else { return Ok(()) };
            let place = LinePosition { file: file.clone(), line: number };
            // And the end of the line.
            self.progress.advance(line.bytes() + 1);
            let fate = match self.map(line) {
                None => continue,
                Some(Ok((event, unknown_type))) => {
                    LineOutcome::Sent { receipt: self.gateway.send(event).await?, unknown_type }
                }
                Some(Err((kind, reason))) => LineOutcome::Bad { kind, reason },
            };
            // Nobody takes it where the import failed, which ends this, too.
            let _ = self.lines.send(ReadLine { place, fate }).await;
        }
    }

    /// The event of a line, and its type if the catalog lacks it; or what the line
    /// is instead and why. `None` for an empty line.
    fn map(&mut self, line: LineRead<'_>) -> Option<Result<MappedEvent, (&'static str, String)>> {
        let text = match line {
            LineRead::Text(text) if text.trim().is_empty() => return None,
            LineRead::Text(text) => text,
            LineRead::Bad(bad) => return Some(Err((NO_EVENT, bad.to_string()))),
        };
        Some(match teleport::import_line(text, &mut self.ordinals) {
            Err(error) => Err((NO_EVENT, error.to_string())),
            Ok(imported) => match (imported.unknown_type, self.unknown_types) {
                (Some(name), UnknownTypes::Refuse) => {
                    Err((UNKNOWN_TYPE, format!("unknown event type {name:?}")))
                }
                (unknown_type, _) => Ok((imported.event, unknown_type)),
            },
        })
    }
}

#[cfg(test)]
mod tests;

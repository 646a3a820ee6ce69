//! `auditgate import`: sends the lines of another log to the gateway.

mod input;
mod items;
pub(super) mod lines;
mod report;
mod sink;
mod wrapped;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncBufRead;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::GatewayArgs;
use super::progress::Progress;
use super::{Error, ExitKind, ExternalFormat, INTERRUPTED, retry_notice};
use crate::client::Options;
use crate::teleport::{self, ImportedEvent, LineOrdinals};
use items::ItemReader;
use lines::{LINE_BYTES_MAX, LineRead};
use report::ImportReport;
use sink::{EventSink, LineOutcome, ReadLine, ResendRules, SentEvent, Settler};
use wrapped::{LineContent, LineUnwrapper};

/// Summary reason of a line that is not an event.
const NO_EVENT: &str = "line";
/// Summary reason of a line whose time is refused.
const TIME: &str = "time";
/// Summary reason of an event without a time.
const TIME_MISSING: &str = "missing or unusable";
/// Summary reason of a line of a refused type.
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
/// Files may be compressed (gzip, zstd) and hold lines or JSON arrays. An event is found
/// behind a prefix, such as those of container logs; lines without a JSON object are skipped
/// and counted. A line without a usable time becomes an event without a time.
///
/// Import sends a line at most 200 ms after it was read. So `tail -F FILE | auditgate
/// import` is a live feed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate import --format teleport events.log
  auditgate import --format teleport --unknown-types refuse 2026-*.log.gz
  kubectl logs deployment/teleport-auth | auditgate import --format teleport -
  tail -F events.log | auditgate import --format teleport -

Exit status: 0 if every line was stored, now or before; 1 if some lines were not
(each is reported with its reason); 2 if the arguments are wrong, a
file cannot be read, or the gateway cannot be reached; 130 after a second Ctrl-C:
the first one ends the reading.")]
pub struct Args {
    /// Format of the files
    #[arg(long, value_enum)]
    format: ExternalFormat,
    /// How to treat events of unknown types
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = UnknownTypes::Custom)]
    unknown_types: UnknownTypes,
    /// How to treat an event whose uid another event has
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = RepeatedUids::Refuse)]
    repeated_uids: RepeatedUids,
    /// Report lines without a usable time, or without a JSON object, as invalid
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    server: GatewayArgs,
    /// Files to import, in order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// The position of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePosition {
    /// Name of the file, `-` for standard input.
    pub file: Arc<str>,
    /// Number of the line, from 1.
    pub line: u64,
}

impl fmt::Display for LinePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How to treat events of unknown types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum UnknownTypes {
    /// Store them as custom events
    Custom,
    /// Report the lines as invalid
    Refuse,
}

/// How to treat an event whose uid another event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RepeatedUids {
    /// Report the line as invalid
    Refuse,
    /// Store it with the id UID#2, UID#3 and so on
    Number,
}

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
    let notices = tokio::spawn(async move {
        retry_notice::report_retries(outage, |text| telling.say(text)).await;
    });
    let import = Importer {
        gateway: &gateway,
        unknown_types: args.unknown_types,
        is_strict: args.strict,
        ordinals: LineOrdinals::default(),
        unwrapper: LineUnwrapper::default(),
        lines,
        progress: progress.clone(),
        interrupted: CancellationToken::new(),
    };
    tokio::spawn(watch_interrupts(import.interrupted.clone()));
    let settler = Settler {
        gateway: &gateway,
        rules: ResendRules {
            without_time: !args.strict,
            numbered: args.repeated_uids == RepeatedUids::Number,
        },
        report: &mut report,
        progress: &progress,
        resent: VecDeque::new(),
    };
    let done = import_all(import, &args.files, settler, read).await;
    if done.is_ok() {
        gateway.close().await;
        // Notices about the gateway come before the summary.
        let _ = notices.await;
    }
    progress.clear();
    report.summarize();
    done?;
    Ok(if report.has_bad_lines() { ExitKind::Some } else { ExitKind::All })
}

/// Imports files, and reports the outcome of each line.
async fn import_all<G: EventSink>(
    import: Importer<'_, G>,
    files: &[String],
    settler: Settler<'_, G>,
    read: mpsc::Receiver<ReadLine<G::Receipt>>,
) -> Result<(), Error> {
    let gateway = import.gateway;
    let reading = async {
        let outcome = import.run(files).await;
        // Lines that were read before a file failed are imported.
        gateway.flush().await;
        Ok(outcome)
    };
    // If the gateway fails, reading ends.
    let (outcome, ()) = tokio::try_join!(reading, settler.run(read))?;
    outcome
}

/// The total size of the files; `None` if it is unknown.
fn total_bytes(files: &[String]) -> Option<u64> {
    if files.iter().any(|file| input::is_packed(file)) {
        return None;
    }
    files
        .iter()
        .map(|file| std::fs::metadata(file).ok().filter(|file| file.is_file()))
        .try_fold(0, |total, file| Some(total + file?.len()))
}

/// Stops reading at the first Ctrl-C, and ends the process at the second.
async fn watch_interrupts(interrupted: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        interrupted.cancel();
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(INTERRUPTED.into());
    }
}

/// A running import.
struct Importer<'g, G: EventSink> {
    gateway: &'g G,
    unknown_types: UnknownTypes,
    is_strict: bool,
    ordinals: LineOrdinals,
    unwrapper: LineUnwrapper,
    /// Lines that were read, in order, to be reported.
    lines: mpsc::Sender<ReadLine<G::Receipt>>,
    progress: Progress,
    /// Stops reading, but not storing lines that were read.
    interrupted: CancellationToken,
}

/// The classification of a line.
enum LineRole {
    /// It is empty, or a part of a longer line.
    Nothing,
    /// It has no JSON object.
    NoObject,
    /// It is not an event: the reason for the summary, and as a sentence.
    Invalid(&'static str, String),
    Event(ImportedEvent),
}

impl<G: EventSink> Importer<'_, G> {
    /// Imports the files, in order, until they end or the user interrupts.
    async fn run(mut self, files: &[String]) -> Result<(), Error> {
        for file in files {
            if file == STDIN {
                self.read(file, input::standard()).await?;
            } else {
                let opened = input::file(file);
                let opened = opened.map_err(|error| Error::Read { file: file.clone(), error })?;
                self.read(file, opened).await?;
            }
            if self.interrupted.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    async fn read(&mut self, file: &str, input: impl AsyncBufRead + Unpin) -> Result<(), Error> {
        let interrupted = self.interrupted.clone();
        let file: Arc<str> = file.into();
        let mut items = ItemReader::new(input);
        let mut last = 1;
        loop {
            let next = tokio::select! {
                next = items.next() => next,
                () = interrupted.cancelled() => return Ok(()),
            };
            let error = |error| Error::Read { file: file.to_string(), error };
            let Some((number, item)) = next.map_err(error)? else { break };
            last = number;
            let place = LinePosition { file: file.clone(), line: number };
            // Plus the line break.
            self.progress.advance(item.bytes() + 1);
            let role = self.role(item);
            self.take(place, role).await?;
        }
        if self.unwrapper.forget() {
            let reason = "the input ends within a line that came in pieces".to_owned();
            let place = LinePosition { file, line: last };
            self.take(place, LineRole::Invalid(NO_EVENT, reason)).await?;
        }
        Ok(())
    }

    async fn take(&self, place: LinePosition, role: LineRole) -> Result<(), Error> {
        let fate = match role {
            LineRole::Nothing => return Ok(()),
            LineRole::NoObject => LineOutcome::Skipped,
            LineRole::Invalid(kind, reason) => LineOutcome::Bad { kind, reason },
            LineRole::Event(imported) => {
                let ImportedEvent { id, encoded, unknown_type, time_fault } = imported;
                let without_time = time_fault.is_some().then_some(TIME_MISSING);
                let receipt = self.gateway.send(id, encoded.clone()).await?;
                LineOutcome::Sent(SentEvent {
                    receipt,
                    encoded,
                    unknown_type,
                    without_time,
                    number: None,
                })
            }
        };
        // The receiver is gone if the import failed, which ends the reader, too.
        let _ = self.lines.send(ReadLine { place, fate }).await;
        Ok(())
    }

    /// Classifies a line.
    fn role(&mut self, line: LineRead<'_>) -> LineRole {
        let text = match line {
            LineRead::Text(text) => text,
            LineRead::Bad(bad) => return LineRole::Invalid(NO_EVENT, bad.to_string()),
        };
        let text = match self.unwrapper.content(text) {
            LineContent::Object(text) => text,
            LineContent::Nothing => return LineRole::Nothing,
            LineContent::NoObject if self.is_strict => {
                return LineRole::Invalid(NO_EVENT, "the line has no JSON object".to_owned());
            }
            LineContent::NoObject => return LineRole::NoObject,
            LineContent::TooLong => {
                let reason = format!("the pieces of the line have over {LINE_BYTES_MAX} bytes");
                return LineRole::Invalid(NO_EVENT, reason);
            }
        };
        let imported = match teleport::import_line(&text, &mut self.ordinals) {
            Ok(imported) => imported,
            Err(error) => return LineRole::Invalid(NO_EVENT, error.to_string()),
        };
        match (&imported.unknown_type, &imported.time_fault) {
            (Some(name), _) if self.unknown_types == UnknownTypes::Refuse => {
                LineRole::Invalid(UNKNOWN_TYPE, format!("unknown event type {name:?}"))
            }
            (_, Some(fault)) if self.is_strict => LineRole::Invalid(TIME, fault.to_string()),
            _ => LineRole::Event(imported),
        }
    }
}

#[cfg(test)]
mod tests;

//! `auditgate import`: lines of another log into the gateway.

mod batch;
pub(super) mod lines;
mod report;

use std::sync::Arc;

use tokio::io::{AsyncRead, BufReader};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::Server;
use super::progress::Progress;
use super::{Done, Error, Format};
use crate::client::{self, Client};
use crate::proto::pb;
use crate::teleport::{self, Ordinals};
use batch::{Batch, Gateway, Pending, Place, deliver};
use lines::{Line, Lines};
use report::Report;

/// How much of a file is read ahead, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// What the summary calls a line that is no event.
const NO_EVENT: &str = "line";
/// What the summary calls a line whose type is refused.
const UNKNOWN_TYPE: &str = "unknown type";
/// The file name that stands for standard input.
const STDIN: &str = "-";

/// Import events that another system logged
///
/// Nothing of a line is lost: what has no field goes into `unmapped`, and
/// `auditgate export` returns it. Importing the same lines again stores nothing
/// twice: a line without an id gets one made of its content and of how many
/// equal lines the run has seen.
///
/// A line is stored 200 ms after it was read at the latest, so that `tail -F
/// events.log | auditgate import --format teleport -` is a live feed.
///
/// Exit status: 0 if every line was stored, now or before; 1 if some lines were
/// not, each of which is reported with its reason; 2 if the arguments are wrong, a
/// file cannot be read, or the gateway cannot be reached.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// What the files hold
    #[arg(long, value_enum)]
    format: Format,
    /// What becomes of events whose type the gateway does not know
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = UnknownTypes::Custom)]
    unknown_types: UnknownTypes,
    #[command(flatten)]
    server: Server,
    /// The files, in order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// What becomes of events whose type the gateway does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum UnknownTypes {
    /// Store them as custom events
    Custom,
    /// Report the lines as bad
    Refuse,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<Done, Error> {
    let Format::Teleport = args.format;
    let progress = Progress::of_bytes(total_bytes(&args.files));
    let telling = progress.clone();
    let mut import = Import {
        gateway: args.server.client().await?,
        unknown_types: args.unknown_types,
        ordinals: Ordinals::default(),
        batch: Batch::default(),
        report: Report::new(Box::new(move |text| telling.say(text))),
        progress: progress.clone(),
        interrupted: CancellationToken::new(),
    };
    tokio::spawn(watch_interrupts(import.interrupted.clone()));
    let read = import.read_files(&args.files).await;
    progress.clear();
    import.report.summarize();
    read?;
    Ok(if import.report.has_bad_lines() { Done::Some } else { Done::All })
}

/// What the files hold together; `None` where that is not known beforehand.
fn total_bytes(files: &[String]) -> Option<u64> {
    files
        .iter()
        .map(|file| std::fs::metadata(file).ok().filter(|file| file.is_file()))
        .try_fold(0, |total, file| Some(total + file?.len()))
}

/// Ends the reading at the first Ctrl-C, and the process at the second.
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

/// An import under way.
struct Import<G> {
    gateway: G,
    unknown_types: UnknownTypes,
    ordinals: Ordinals,
    batch: Batch,
    report: Report,
    progress: Progress,
    /// Ends the reading, but not the storing of what was read.
    interrupted: CancellationToken,
}

impl<G: Gateway> Import<G> {
    /// Reads the files until they end or the user interrupts, and stores what
    /// was read.
    async fn read_files(&mut self, files: &[String]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for file in files {
            outcome = if file == STDIN {
                self.read(file, tokio::io::stdin()).await
            } else {
                match tokio::fs::File::open(file).await {
                    Ok(opened) => self.read(file, opened).await,
                    Err(error) => Err(Error::Read { file: file.clone(), error }),
                }
            };
            if outcome.is_err() || self.interrupted.is_cancelled() {
                break;
            }
        }
        // What was read before a file failed is good; but where the gateway
        // failed, it would fail again.
        match outcome {
            Err(Error::Stopped { .. }) => outcome,
            _ => self.flush().await.and(outcome),
        }
    }

    async fn read(&mut self, file: &str, input: impl AsyncRead + Unpin) -> Result<(), Error> {
        let interrupted = self.interrupted.clone();
        let file: Arc<str> = file.into();
        let mut lines = Lines::new(BufReader::with_capacity(READ_BYTES, input));
        loop {
            let due = self.batch.due();
            let next = tokio::select! {
                next = lines.next() => next,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.flush().await?;
                    continue;
                }
                () = interrupted.cancelled() => return Ok(()),
            };
            let error = |error| Error::Read { file: file.to_string(), error };
            let Some((number, line)) = next.map_err(error)? else { return Ok(()) };
            let place = Place { file: file.clone(), line: number };
            // And the end of the line.
            self.progress.advance(line.bytes() + 1);
            match self.map(line) {
                None => {}
                Some(Ok(event)) => self.add(Pending { event, place }).await?,
                Some(Err((kind, reason))) => self.report.bad(&place, kind, &reason),
            }
        }
    }

    /// The event of a line, or what it is instead and why. `None` for an empty
    /// line.
    fn map(&mut self, line: Line<'_>) -> Option<Result<pb::Event, (&'static str, String)>> {
        let text = match line {
            Line::Text(text) if text.trim().is_empty() => return None,
            Line::Text(text) => text,
            Line::Bad(bad) => return Some(Err((NO_EVENT, bad.to_string()))),
        };
        Some(match teleport::import_line(text, &mut self.ordinals) {
            Err(error) => Err((NO_EVENT, error.to_string())),
            Ok(imported) => match (imported.unknown_type, self.unknown_types) {
                (Some(name), UnknownTypes::Refuse) => {
                    Err((UNKNOWN_TYPE, format!("unknown event type {name:?}")))
                }
                (Some(name), UnknownTypes::Custom) => {
                    self.report.unknown(name);
                    Ok(imported.event)
                }
                (None, _) => Ok(imported.event),
            },
        })
    }

    async fn add(&mut self, pending: Pending) -> Result<(), Error> {
        if !self.batch.has_room_for(&pending) {
            self.flush().await?;
        }
        self.batch.push(pending);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let delivered = deliver(&mut self.gateway, self.batch.take(), &mut self.report).await;
        self.progress.events(self.report.events());
        delivered
    }
}

impl Gateway for Client {
    async fn emit(&mut self, events: Vec<pb::Event>) -> Result<Vec<pb::Receipt>, client::Error> {
        self.emit_batch(&pb::EmitBatchRequest { events, validate_only: false }).await
    }
}

#[cfg(test)]
mod tests;

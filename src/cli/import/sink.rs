//! How events get into the gateway, and what becomes of them.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Code;

use super::super::Error;
use super::super::client::error_text;
use super::super::progress::Progress;
use super::report::ImportReport;
use crate::client::{self, Emitter, Pending};
use crate::proto::pb;

/// The reason for a refused event without a field to blame, in the summary.
const EVENT: &str = "event";

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

/// Receives events in order, and returns a receipt or an error for each.
pub trait EventSink {
    /// The future receipt.
    type Receipt: Future<Output = Result<pb::Receipt, client::Error>>;

    /// Sends an event; waits only for space in the queue.
    fn send(
        &mut self,
        event: pb::Event,
    ) -> impl Future<Output = Result<Self::Receipt, client::Error>>;

    /// Waits until all events have an outcome.
    fn close(self) -> impl Future<Output = ()>;
}

impl EventSink for Emitter {
    type Receipt = Pending;

    async fn send(&mut self, event: pb::Event) -> Result<Pending, client::Error> {
        Emitter::send(self, event).await
    }

    async fn close(self) {
        Emitter::close(self).await;
    }
}

/// A line that was read.
#[derive(Debug)]
pub struct ReadLine<R> {
    /// Its position.
    pub place: LinePosition,
    /// Its outcome.
    pub fate: LineOutcome<R>,
}

/// The outcome of a line.
#[derive(Debug)]
pub enum LineOutcome<R> {
    /// The line is not an event.
    Bad {
        /// The reason in the summary.
        kind: &'static str,
        /// In a sentence.
        reason: String,
    },
    /// The event was sent.
    Sent {
        /// The future receipt.
        receipt: R,
        /// Its type, if it is not in the catalog.
        unknown_type: Option<String>,
    },
}

/// Reports lines, in the order in which they were read, until there are no more.
///
/// # Errors
/// If the gateway fails without an event to blame.
pub async fn settle<R>(
    mut lines: mpsc::Receiver<ReadLine<R>>,
    report: &mut ImportReport,
    progress: &Progress,
) -> Result<(), Error>
where
    R: Future<Output = Result<pb::Receipt, client::Error>>,
{
    while let Some(ReadLine { place, fate }) = lines.recv().await {
        let receipt = match fate {
            LineOutcome::Bad { kind, reason } => {
                report.bad(&place, kind, &reason);
                continue;
            }
            LineOutcome::Sent { receipt, unknown_type } => {
                unknown_type.into_iter().for_each(|name| report.unknown(name));
                receipt.await
            }
        };
        match receipt {
            Ok(receipt) => {
                report.stored(&receipt);
                progress.events(report.events());
            }
            Err(error) if is_about_events(&error) => {
                let violation = error.refusal().and_then(|refusal| refusal.violations.first());
                let (kind, reason) = match violation {
                    Some(blamed) => (blamed.field.as_str(), blamed.description.clone()),
                    None => (EVENT, error_text(&error)),
                };
                report.bad(&place, kind, &reason);
            }
            Err(error) => {
                return Err(Error::Stopped {
                    place: place.to_string(),
                    reason: error_text(&error),
                });
            }
        }
    }
    Ok(())
}

/// Whether the content of the request caused the refusal.
fn is_about_events(error: &client::Error) -> bool {
    let client::Error::Refused(refusal) = error else { return false };
    matches!(
        refusal.code,
        Code::InvalidArgument
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::ResourceExhausted
    )
}

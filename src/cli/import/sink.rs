//! Sends events to the gateway in order, and settles the outcome of each line.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::Code;

use super::super::Error;
use super::super::client::error_text;
use super::super::progress::Progress;
use super::LinePosition;
use super::report::ImportReport;
use crate::client::{self, Emitter, Pending};
use crate::proto::pb;
use crate::teleport;

/// The reason for a refused event without a field to blame, in the summary.
const EVENT: &str = "event";
/// The name in `auditgate.v1.ErrorReason` of a refused time.
const TIME_REFUSED: &str = "TIME_OUT_OF_RANGE";
/// Summary reason of a refused time.
const TIME_REFUSED_KIND: &str = "refused by the gateway";
/// The name in `auditgate.v1.ErrorReason` of an id that another event has.
const ID_TAKEN: &str = "ID_CONFLICT";
/// The number of the second event with an id.
const NUMBER_FIRST: u32 = 2;
/// The most events with one id: each needs one more call than the one before.
const NUMBER_LAST: u32 = 100;
/// The most resent events that wait for their outcome.
const RESENT_MAX: usize = 1_000;

/// Receives events in order, and returns a receipt or an error for each.
pub trait EventSink {
    /// The future receipt.
    type Receipt: Future<Output = Result<pb::Receipt, client::Error>>;

    /// Sends an encoded event; waits only for space in the queue.
    fn send(
        &self,
        id: String,
        encoded: Bytes,
    ) -> impl Future<Output = Result<Self::Receipt, client::Error>>;

    /// Waits until all events that were sent before have an outcome.
    fn flush(&self) -> impl Future<Output = ()>;
}

impl EventSink for Emitter {
    type Receipt = Pending;

    async fn send(&self, id: String, encoded: Bytes) -> Result<Pending, client::Error> {
        self.send_encoded(id, encoded).await
    }

    async fn flush(&self) {
        Emitter::flush(self).await;
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
        /// The reason as a sentence.
        reason: String,
    },
    /// The line has no JSON object.
    Skipped,
    /// The event was sent.
    Sent(SentEvent<R>),
}

/// An event that was sent.
#[derive(Debug)]
pub struct SentEvent<R> {
    /// The future receipt.
    pub receipt: R,
    /// The event, to be sent again.
    pub encoded: Bytes,
    /// Its type, if it is not in the catalog.
    pub unknown_type: Option<String>,
    /// Summary reason if it lacks the time of its line.
    pub without_time: Option<&'static str>,
    /// The number in its id, if it has one.
    pub number: Option<u32>,
}

/// The changes with which a refused event may be resent.
#[derive(Debug, Clone, Copy)]
pub struct ResendRules {
    /// Its time may be left out.
    pub without_time: bool,
    /// Its id may get a number.
    pub numbered: bool,
}

/// Reports lines, in the order in which they were read, until there are no more. Events that
/// are sent again are reported later.
pub struct Settler<'a, G: EventSink> {
    /// Where events are sent again.
    pub gateway: &'a G,
    /// The changes with which they may be resent.
    pub rules: ResendRules,
    /// The report.
    pub report: &'a mut ImportReport,
    /// Shows the number of stored events.
    pub progress: &'a Progress,
    /// Events that were sent again.
    pub resent: VecDeque<(LinePosition, SentEvent<G::Receipt>)>,
}

impl<G: EventSink> Settler<'_, G> {
    /// Settles lines until there are no more.
    ///
    /// # Errors
    /// If the gateway fails without an event to blame.
    pub async fn run(
        mut self,
        mut lines: mpsc::Receiver<ReadLine<G::Receipt>>,
    ) -> Result<(), Error> {
        while let Some(ReadLine { place, fate }) = lines.recv().await {
            match fate {
                LineOutcome::Bad { kind, reason } => {
                    self.report.count_invalid(&place, kind, &reason)
                }
                LineOutcome::Skipped => self.report.skipped(),
                LineOutcome::Sent(sent) => self.settle(place, sent).await?,
            }
            if self.resent.len() > RESENT_MAX {
                self.settle_resent().await?;
            }
        }
        self.gateway.flush().await;
        while !self.resent.is_empty() {
            self.settle_resent().await?;
            if self.resent.len() == 1 {
                self.gateway.flush().await;
            }
        }
        Ok(())
    }

    /// Settles the first event that was sent again.
    async fn settle_resent(&mut self) -> Result<(), Error> {
        match self.resent.pop_front() {
            Some((place, sent)) => self.settle(place, sent).await,
            None => Ok(()),
        }
    }

    async fn settle(
        &mut self,
        place: LinePosition,
        sent: SentEvent<G::Receipt>,
    ) -> Result<(), Error> {
        let SentEvent { receipt, encoded, unknown_type, without_time, number } = sent;
        let error = match receipt.await {
            Ok(receipt) => {
                unknown_type.into_iter().for_each(|name| self.report.unknown(name));
                without_time.into_iter().for_each(|why| self.report.without_time(why));
                number.into_iter().for_each(|_| self.report.numbered());
                self.report.stored(&receipt);
                self.progress.events(self.report.events());
                return Ok(());
            }
            Err(error) => error,
        };
        let Some(refusal) = error.refusal().filter(|_| is_about_events(&error)) else {
            return Err(Error::Stopped { place: place.to_string(), reason: error_text(&error) });
        };
        let next = match refusal.reason.as_deref() {
            Some(TIME_REFUSED) if self.rules.without_time => teleport::without_time(&encoded)
                .map(|(id, encoded)| (id, encoded, Some(TIME_REFUSED_KIND), number)),
            Some(ID_TAKEN) if self.rules.numbered => {
                let number = number.map_or(NUMBER_FIRST, |number| number + 1);
                Some(number)
                    .filter(|number| *number <= NUMBER_LAST)
                    .and_then(|number| teleport::with_numbered_id(&encoded, number))
                    .map(|(id, encoded)| (id, encoded, without_time, Some(number)))
            }
            _ => None,
        };
        if let Some((id, encoded, without_time, number)) = next {
            let receipt = self.gateway.send(id, encoded.clone()).await?;
            let again = SentEvent { receipt, encoded, unknown_type, without_time, number };
            self.resent.push_back((place, again));
            return Ok(());
        }
        let (kind, reason) = match refusal.violations.first() {
            Some(blamed) => (blamed.field.as_str(), blamed.description.clone()),
            None => (EVENT, error_text(&error)),
        };
        self.report.count_invalid(&place, kind, &reason);
        Ok(())
    }
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

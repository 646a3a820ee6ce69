//! Batches of events, and how they get into the gateway.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::Code;

use super::super::Error;
use super::super::client::told;
use super::report::Report;
use crate::client;
use crate::proto::pb;

/// Most events of a batch. The gateway takes ten times as many.
const EVENTS_MAX: usize = 1_000;
/// Most bytes of a batch of several events: half of what the gateway takes.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Key and length of an event in a request, at most, in bytes.
const FRAME_BYTES: usize = 11;
/// How long an event waits for others.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file, `-` for standard input.
    pub file: Arc<str>,
    /// Number of the line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An event that is to be stored.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The event.
    pub event: pb::Event,
    /// The line that it was.
    pub place: Place,
}

/// Events that wait to be stored together.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Pending>,
    bytes: usize,
    due: Option<Instant>,
}

impl Batch {
    /// When the first event has waited long enough; `None` for an empty batch.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether an event may join.
    pub fn has_room_for(&self, pending: &Pending) -> bool {
        self.events.len() < EVENTS_MAX && self.bytes + size(pending) <= BYTES_MAX
    }

    /// Adds an event, even one that alone is larger than a batch should be.
    pub fn push(&mut self, pending: Pending) {
        self.bytes += size(&pending);
        self.due.get_or_insert_with(|| Instant::now() + WAIT_MAX);
        self.events.push(pending);
    }

    /// Takes all events out.
    pub fn take(&mut self) -> Vec<Pending> {
        std::mem::take(self).events
    }
}

fn size(pending: &Pending) -> usize {
    pending.event.encoded_len() + FRAME_BYTES
}

/// What stores events, all of them or none.
pub trait Gateway {
    /// Stores the events; a receipt for each.
    fn emit(
        &mut self,
        events: Vec<pb::Event>,
    ) -> impl Future<Output = Result<Vec<pb::Receipt>, client::Error>>;
}

/// Stores all events but those that the gateway refuses, which are reported.
///
/// A refused batch is sent again without the events that the refusal names; one
/// that names none is halved until the event to blame is alone. After a refusal
/// batches are smaller for a while, so that a file of nothing but bad lines costs
/// about one call a line.
///
/// # Errors
/// Where the gateway fails in a way that no event is to blame for.
pub async fn deliver<G: Gateway>(
    gateway: &mut G,
    mut pending: Vec<Pending>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut size_max = pending.len();
    while let Some(first) = pending.first() {
        let size = size_max.clamp(1, pending.len());
        let events = pending.iter().take(size).map(|pending| pending.event.clone()).collect();
        match gateway.emit(events).await {
            Ok(receipts) => {
                report.stored(&receipts);
                pending.drain(..size);
                size_max = size_max.saturating_mul(2);
            }
            Err(error) if is_about_events(&error) => {
                let mut blamed = blamed(&error, size);
                if blamed.is_empty() && size == 1 {
                    blamed.insert(0, Blame { kind: "event".to_owned(), reason: told(&error) });
                }
                for (position, blame) in &blamed {
                    if let Some(pending) = pending.get(*position) {
                        report.bad(&pending.place, &blame.kind, &blame.reason);
                    }
                }
                let mut position = 0;
                pending.retain(|_| {
                    position += 1;
                    !blamed.contains_key(&(position - 1))
                });
                size_max = size / 2;
            }
            Err(error) => {
                let place = first.place.to_string();
                return Err(Error::Stopped { place, reason: told(&error) });
            }
        }
    }
    Ok(())
}

/// Whether a refusal is due to what was sent.
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

/// What is wrong with an event.
struct Blame {
    /// The field, such as `event.time`.
    kind: String,
    /// In a sentence.
    reason: String,
}

/// Positions of the events that a refusal names, below `size`, with the reasons.
fn blamed(error: &client::Error, size: usize) -> BTreeMap<usize, Blame> {
    let violations = error.refusal().into_iter().flat_map(|refusal| &refusal.violations);
    violations
        .filter_map(|violation| {
            let position = violation.event_position().filter(|position| *position < size)?;
            let within = violation.field.split_once(']').map_or("", |(_, within)| within);
            let kind = format!("event{within}");
            Some((position, Blame { kind, reason: violation.description.clone() }))
        })
        .collect()
}

//! Positions that clients send: cursors, page tokens and sequences. Another gateway of a
//! shared log may have given them out, and this one may not have their records yet.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::hub::Hub;
use crate::log::{Error, Log, TailKind};
use crate::record::Sequence;

/// How long a reader waits for a record that the log has, and this gateway does not have
/// yet.
pub const POSITION_WAIT_MAX: Duration = Duration::from_secs(5);
/// The most readers that wait at a time.
const WAITERS_MAX: usize = 1_024;
/// The shortest time between two questions for the tail of the whole log.
const TAIL_QUERY_INTERVAL: Duration = Duration::from_millis(10);

/// A position in the log that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The epoch that gave it out, if the client says so.
    pub epoch: Option<u64>,
    /// The record.
    pub sequence: Sequence,
}

/// Where a position lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This gateway has come so far.
    Here,
    /// The whole log has not: its newest record is this one.
    Beyond(Sequence),
}

/// Readers that wait for a position, and what was done for them.
pub(super) struct PositionWaits {
    places: Semaphore,
    tail: TailQueries,
    /// Waits that ended at the record, ...
    reached: AtomicU64,
    /// ... beyond the log, ...
    beyond: AtomicU64,
    /// ... and without either.
    given_up: AtomicU64,
}

/// How waits for positions went, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PositionReport {
    /// Readers that wait at the moment.
    pub waiting: usize,
    /// Waits that ended with the record.
    pub reached: u64,
    /// Positions that the log does not have.
    pub beyond: u64,
    /// Waits that were given up.
    pub given_up: u64,
    /// How often the tail of the whole log was asked for.
    pub tail_queries: u64,
}

impl From<Sequence> for LogPosition {
    fn from(sequence: Sequence) -> Self {
        Self { epoch: None, sequence }
    }
}

impl PositionWaits {
    pub fn new() -> Self {
        Self {
            places: Semaphore::new(WAITERS_MAX),
            tail: TailQueries::new(),
            reached: AtomicU64::default(),
            beyond: AtomicU64::default(),
            given_up: AtomicU64::default(),
        }
    }
}

impl Hub {
    /// Whether a reader may have to wait for this position: other gateways append to the
    /// log, and this one does not have its record.
    pub fn must_wait_for(&self, position: LogPosition) -> bool {
        self.log.is_shared() && !self.has(position)
    }

    /// Where a position lies. If the log has its record, returns once this gateway has it,
    /// too.
    ///
    /// # Errors
    /// [`Error::Behind`] if that takes longer than [`POSITION_WAIT_MAX`], or the log cannot
    /// be asked; of a log to which only this process appends, as [`Sequencer::tail`].
    ///
    /// [`Sequencer::tail`]: crate::log::Sequencer::tail
    pub async fn reach(&self, position: LogPosition) -> Result<Reach, Error> {
        if !self.log.is_shared() {
            let last = self.log.extent().last;
            if position.sequence <= last {
                return Ok(Reach::Here);
            }
            let tail = last.max(self.log.tail(TailKind::Consistent).await?);
            let is_here = position.sequence <= tail;
            return Ok(if is_here { Reach::Here } else { Reach::Beyond(tail) });
        }
        if self.has(position) {
            return Ok(Reach::Here);
        }
        let reach = self.wait_for(position).await;
        let ended = match &reach {
            Ok(Reach::Here) => &self.positions.reached,
            Ok(Reach::Beyond(_)) => &self.positions.beyond,
            Err(_) => &self.positions.given_up,
        };
        ended.fetch_add(1, Ordering::Relaxed);
        reach
    }

    /// How waits for positions went.
    pub fn position_report(&self) -> PositionReport {
        let waits = &self.positions;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PositionReport {
            waiting: WAITERS_MAX.saturating_sub(waits.places.available_permits()),
            reached: count(&waits.reached),
            beyond: count(&waits.beyond),
            given_up: count(&waits.given_up),
            tail_queries: count(&waits.tail.begun),
        }
    }

    async fn wait_for(&self, position: LogPosition) -> Result<Reach, Error> {
        let behind = |why: &str| Error::Behind { sequence: position.sequence, why: why.to_owned() };
        let Ok(_place) = self.positions.places.try_acquire() else {
            return Err(behind("too many readers wait for records already"));
        };
        let asked = async {
            let tail = self.positions.tail.ask(&*self.log).await;
            let tail = tail.map_err(|error| behind(&error.to_string()))?;
            if position.sequence <= tail && self.is_of_known_epoch(position) {
                pending().await
            }
            Ok(Reach::Beyond(tail))
        };
        tokio::select! {
            // The record decides, whatever else is known.
            biased;
            () = self.arrival(position) => Ok(Reach::Here),
            beyond = asked => beyond,
            () = self.stopping.cancelled() => Err(behind("the gateway is stopping")),
            () = sleep(POSITION_WAIT_MAX) => Err(behind("its copy of the log is behind")),
        }
    }

    /// Returns once this gateway has come to a position.
    async fn arrival(&self, position: LogPosition) {
        // Before the first look: what changes after it is not missed.
        let (mut changes, mut identity) = (self.log.changes(), self.identity.clone());
        while !self.has(position) {
            let changed = tokio::select! {
                changed = changes.changed() => changed.is_ok(),
                changed = identity.changed() => changed.is_ok(),
            };
            if !changed {
                pending().await
            }
        }
    }

    fn has(&self, position: LogPosition) -> bool {
        position.sequence <= self.log.extent().last && self.is_of_known_epoch(position)
    }

    /// Whether the epoch of a position is not one that this gateway has not heard of yet.
    fn is_of_known_epoch(&self, position: LogPosition) -> bool {
        position.epoch.is_none_or(|epoch| epoch <= self.identity().epoch)
    }
}

/// Asks for the tail of the whole log: one question at a time, for all that came before it
/// began.
struct TailQueries {
    /// How many questions have begun.
    begun: AtomicU64,
    line: Mutex<TailAnswer>,
}

/// The last answer.
struct TailAnswer {
    /// The number of its question.
    number: u64,
    tail: Result<Sequence, Error>,
    /// When the last question began.
    asked: Option<Instant>,
}

impl TailQueries {
    fn new() -> Self {
        let tail = Ok(Sequence::ZERO);
        Self {
            begun: AtomicU64::new(0),
            line: Mutex::new(TailAnswer { number: 0, tail, asked: None }),
        }
    }

    /// The tail at some time after this was called. An answer to an earlier question would
    /// not do: the log may have given out the position after that.
    async fn ask(&self, log: &dyn Log) -> Result<Sequence, Error> {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        let mut answer = self.line.lock().await;
        if answer.number < wanted {
            if let Some(asked) = answer.asked {
                sleep_until(asked + TAIL_QUERY_INTERVAL).await;
            }
            answer.asked = Some(Instant::now());
            let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            // Whoever is dropped here leaves the question to the next in line.
            answer.tail = log.tail(TailKind::Consistent).await;
            answer.number = number;
        }
        answer.tail.clone()
    }
}

#[cfg(test)]
mod tests;

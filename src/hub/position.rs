//! Waits for positions that clients send: cursors, page tokens and sequences. Another gateway of a
//! shared log may have issued them, and this one may not have their records yet.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::hub::Hub;
use crate::log::{Error, Log, TailKind};
use crate::record::Sequence;

/// How long a reader waits for a record of the log that this gateway does not have yet.
pub const POSITION_WAIT_MAX: Duration = Duration::from_secs(5);
/// The most readers that wait at a time.
const WAITERS_MAX: usize = 1_024;
/// The shortest time between two queries for the tail of the whole log.
const TAIL_QUERY_INTERVAL: Duration = Duration::from_millis(10);

/// A position in the log that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The epoch in which it was issued, if the client sent it.
    pub epoch: Option<u64>,
    /// The record.
    pub sequence: Sequence,
}

/// Whether the log has a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This gateway has the position.
    Here,
    /// The whole log does not have it; this is its newest record.
    Beyond(Sequence),
}

/// Counts of readers that wait for a position, and of the outcomes.
pub(super) struct PositionWaits {
    places: Semaphore,
    tail: TailQueries,
    /// Waits that ended because the record arrived.
    reached: AtomicU64,
    /// Waits that ended because the log does not have the position.
    beyond: AtomicU64,
    /// Waits that were given up.
    given_up: AtomicU64,
}

/// The outcomes of waits for positions since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PositionReport {
    /// Readers that wait now.
    pub waiting: usize,
    /// Waits that ended with the record.
    pub reached: u64,
    /// Positions that the log does not have.
    pub beyond: u64,
    /// Waits that were given up.
    pub given_up: u64,
    /// The number of queries for the tail of the whole log.
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
    /// Whether a reader may have to wait for this position, because other gateways append to the
    /// log and this one does not have the record.
    pub fn must_wait_for(&self, position: LogPosition) -> bool {
        self.log.is_shared() && !self.has(position)
    }

    /// Whether the log has a position. If it does, returns once this gateway has the record, too.
    ///
    /// # Errors
    /// [`Error::Behind`] if that takes longer than [`POSITION_WAIT_MAX`], or the tail is
    /// unavailable; the errors of [`Sequencer::tail`] if only this process appends to the log.
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

    /// The outcomes of waits for positions.
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
            // The record decides, if it has arrived meanwhile.
            biased;
            () = self.arrival(position) => Ok(Reach::Here),
            beyond = asked => beyond,
            () = self.stopping.cancelled() => Err(behind("the gateway is stopping")),
            () = sleep(POSITION_WAIT_MAX) => Err(behind("its copy of the log is behind")),
        }
    }

    /// Returns once this gateway has a position.
    async fn arrival(&self, position: LogPosition) {
        // Subscribed before the first check, so that no change is missed.
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

    /// Whether this gateway knows the epoch of a position.
    fn is_of_known_epoch(&self, position: LogPosition) -> bool {
        position.epoch.is_none_or(|epoch| epoch <= self.identity().epoch)
    }
}

/// Queries the tail of the whole log: one query at a time, for all readers that came before it
/// began.
struct TailQueries {
    /// The number of queries that have begun.
    begun: AtomicU64,
    line: Mutex<TailAnswer>,
}

/// The last answer.
struct TailAnswer {
    /// The number of its query.
    number: u64,
    tail: Result<Sequence, Error>,
    /// When the last query began.
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

    /// The tail at some time after the call. The answer to an earlier query is not enough, because
    /// the log may have issued the position after that.
    async fn ask(&self, log: &dyn Log) -> Result<Sequence, Error> {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        let mut answer = self.line.lock().await;
        if answer.number < wanted {
            if let Some(asked) = answer.asked {
                sleep_until(asked + TAIL_QUERY_INTERVAL).await;
            }
            answer.asked = Some(Instant::now());
            let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            // If this future is dropped here, the next one in the queue makes the query.
            answer.tail = log.tail(TailKind::Consistent).await;
            answer.number = number;
        }
        answer.tail.clone()
    }
}

#[cfg(test)]
mod tests;

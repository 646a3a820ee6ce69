//! The state of a running delivery, for status, metrics and retention.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::histogram::{Histogram, HistogramSnapshot};
use crate::record::Sequence;
use crate::time::Time;

/// Totals since the start.
#[derive(Debug, Default)]
pub struct DeliveryCounters {
    /// Records and gaps that the destination accepted.
    pub delivered: AtomicU64,
    /// Their bytes, as items.
    pub bytes: AtomicU64,
    /// Batches that the destination accepted.
    pub batches: AtomicU64,
    /// Failed attempts that were retried.
    pub retries: AtomicU64,
    /// Records and gaps that became dead letters.
    pub rejected: AtomicU64,
    /// Records that the destination reported as duplicates.
    pub repeated: AtomicU64,
    /// Gaps that were found.
    pub gaps: AtomicU64,
    /// Records in these gaps.
    pub missed: AtomicU64,
}

/// The phase of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryPhase {
    /// It delivers, or waits for records.
    Running,
    /// The destination is unavailable, and the batch is retried.
    Retrying,
    /// Nothing can be delivered before a person changes something. It retries every minute.
    Blocked,
    /// An operator paused it.
    Paused,
    /// An operator must say where to begin.
    Undecided,
    /// It has ended.
    Ended,
    /// Another gateway of a shared log runs it.
    Elsewhere,
}

impl DeliveryPhase {
    /// The phases of a delivery that this gateway runs.
    pub const OWN: [Self; 6] =
        [Self::Running, Self::Retrying, Self::Blocked, Self::Paused, Self::Undecided, Self::Ended];

    /// The name in metrics and status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Undecided => "undecided",
            Self::Ended => "ended",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// The state of one delivery, shared by its runner, status, metrics and retention.
#[derive(Debug)]
pub struct DeliveryState {
    name: String,
    /// Totals since the start.
    pub counters: DeliveryCounters,
    /// The newest record that is delivered or excluded by the filter.
    position: AtomicU64,
    /// When the oldest undelivered record was accepted; [`NONE`] if there is none.
    oldest: AtomicI64,
    /// When all records were last delivered.
    caught_up: AtomicI64,
    /// Memory of the batches, in bytes.
    held_bytes: AtomicU64,
    in_flight: AtomicU64,
    dead_letters: AtomicU64,
    dead_letter_bytes: AtomicU64,
    /// From acceptance to acknowledgement, of the oldest record of each batch.
    latency: Histogram,
    trouble: Mutex<Option<Trouble>>,
    control: watch::Sender<Control>,
    last_success: AtomicI64,
}

/// Value of a time that is not set.
const NONE: i64 = i64::MIN;

/// Why a delivery does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its phase.
    pub phase: DeliveryPhase,
    /// The reason.
    pub why: String,
    /// Since when.
    pub since: Time,
}

/// The requests of an operator that are in force.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// Whether the delivery is paused.
    pub paused: bool,
    /// Incremented to retry at once.
    pub attempt: u64,
}

impl DeliveryState {
    /// The state of the delivery `name`.
    pub fn new(name: String, paused: bool) -> Self {
        Self {
            name,
            counters: DeliveryCounters::default(),
            position: AtomicU64::new(0),
            oldest: AtomicI64::new(NONE),
            caught_up: AtomicI64::new(Time::now().0),
            held_bytes: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            dead_letter_bytes: AtomicU64::new(0),
            latency: Histogram::default(),
            trouble: Mutex::new(None),
            control: watch::Sender::new(Control { paused, attempt: 0 }),
            last_success: AtomicI64::new(NONE),
        }
    }

    /// The name of the delivery.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The newest record that is delivered or excluded by the filter.
    pub fn position(&self) -> Sequence {
        Sequence(self.position.load(Ordering::Relaxed))
    }

    /// Sets the newest record that is delivered or excluded.
    pub fn set_position(&self, position: Sequence) {
        self.position.store(position.0, Ordering::Relaxed);
    }

    /// When the oldest undelivered record was accepted.
    pub fn oldest(&self) -> Option<Time> {
        time(&self.oldest)
    }

    /// Sets when the oldest undelivered record was accepted; `None` if there is none.
    pub fn set_oldest(&self, oldest: Option<Time>) {
        self.oldest.store(oldest.map_or(NONE, |time| time.0), Ordering::Relaxed);
    }

    /// Notes that all records are delivered.
    pub fn set_caught_up(&self) {
        self.caught_up.store(Time::now().0, Ordering::Relaxed);
    }

    /// The age of the oldest undelivered record, in a log whose newest record is `last`. If that
    /// record was not read yet, the time since all records were delivered.
    pub fn lag(&self, last: Sequence) -> Duration {
        if self.position() >= last {
            return Duration::ZERO;
        }
        let since = self.oldest().unwrap_or(Time(self.caught_up.load(Ordering::Relaxed)));
        let nanos = Time::now().0.saturating_sub(since.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Memory of the batches, in bytes, and the number of batches in flight.
    pub fn held(&self) -> (u64, u64) {
        (self.held_bytes.load(Ordering::Relaxed), self.in_flight.load(Ordering::Relaxed))
    }

    /// Sets the memory of the batches, in bytes, and the number of batches in flight.
    pub fn set_held(&self, bytes: usize, in_flight: usize) {
        self.held_bytes.store(bytes as u64, Ordering::Relaxed);
        self.in_flight.store(in_flight as u64, Ordering::Relaxed);
    }

    /// The number of dead letters, and their bytes.
    pub fn dead_letters(&self) -> (u64, u64) {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        (read(&self.dead_letters), read(&self.dead_letter_bytes))
    }

    /// Sets the number of dead letters, and their bytes.
    pub fn set_dead_letters(&self, count: u64, bytes: u64) {
        self.dead_letters.store(count, Ordering::Relaxed);
        self.dead_letter_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Times from acceptance to acknowledgement.
    pub fn latency(&self) -> HistogramSnapshot {
        self.latency.snapshot()
    }

    /// Notes that a batch is acknowledged whose oldest record was accepted at this time.
    pub fn record_latency(&self, accepted: Time) {
        let nanos = Time::now().0.saturating_sub(accepted.0);
        self.latency.record(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
    }

    /// When the destination last accepted a batch.
    pub fn last_success(&self) -> Option<Time> {
        time(&self.last_success)
    }

    /// Notes that the destination accepted a batch, which ends any trouble.
    pub fn succeeded(&self) {
        self.last_success.store(Time::now().0, Ordering::Relaxed);
        self.recovered();
    }

    /// Notes that the trouble is over.
    pub fn recovered(&self) {
        if let Some(trouble) = self.trouble.lock().take() {
            let Trouble { phase, .. } = trouble;
            tracing::info!(delivery = %self.name, was = phase.name(), "delivers again");
        }
    }

    /// Notes that the delivery cannot continue. Logs it if the reason is new.
    pub fn fail(&self, phase: DeliveryPhase, why: String) {
        let mut trouble = self.trouble.lock();
        let before = trouble.as_ref().map(|trouble| trouble.phase);
        let since = match trouble.as_ref() {
            Some(before) if before.phase == phase => before.since,
            _ => Time::now(),
        };
        if before != Some(phase) {
            let name = &self.name;
            match phase {
                DeliveryPhase::Retrying => {
                    tracing::warn!(delivery = %name, "cannot deliver, and tries again: {why}");
                }
                DeliveryPhase::Ended => {}
                _ => {
                    tracing::error!(delivery = %name, "ALARM: delivery is {}: {why}", phase.name())
                }
            }
        }
        *trouble = Some(Trouble { phase, why, since });
    }

    /// Why the delivery does not run, if it does not.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }

    /// Its phase, and the reason.
    pub fn phase(&self) -> (DeliveryPhase, String) {
        let trouble = self.trouble.lock();
        match trouble.as_ref() {
            Some(Trouble { phase: DeliveryPhase::Ended, why, .. }) => {
                (DeliveryPhase::Ended, why.clone())
            }
            _ if self.control().paused => (DeliveryPhase::Paused, "by an operator".to_owned()),
            Some(trouble) => (trouble.phase, trouble.why.clone()),
            None => (DeliveryPhase::Running, String::new()),
        }
    }

    /// The requests of an operator that are in force.
    pub fn control(&self) -> Control {
        *self.control.borrow()
    }

    /// Watches the requests of an operator.
    pub fn controls(&self) -> watch::Receiver<Control> {
        self.control.subscribe()
    }

    /// Pauses or resumes. Resuming also retries at once.
    pub fn set_paused(&self, paused: bool) {
        self.control.send_modify(|control| {
            control.paused = paused;
            control.attempt += u64::from(!paused);
        });
    }
}

fn time(nanos: &AtomicI64) -> Option<Time> {
    let nanos = nanos.load(Ordering::Relaxed);
    (nanos != NONE).then_some(Time(nanos))
}

/// Adds to a total.
pub fn add(total: &AtomicU64, count: usize) {
    total.fetch_add(count as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_trouble_and_an_operators_pause_goes_first() {
        let state = DeliveryState::new("siem".into(), false);
        assert_eq!(state.phase().0, DeliveryPhase::Running);
        state.fail(DeliveryPhase::Retrying, "refused".into());
        let since = state.trouble().expect("there is trouble").since;
        state.fail(DeliveryPhase::Retrying, "still refused".into());
        assert_eq!(state.trouble().expect("there is trouble").since, since);
        assert_eq!(state.phase(), (DeliveryPhase::Retrying, "still refused".into()));
        state.set_paused(true);
        assert_eq!(state.phase().0, DeliveryPhase::Paused);
        state.set_paused(false);
        state.succeeded();
        assert_eq!(state.phase().0, DeliveryPhase::Running);
        assert_eq!(state.control(), Control { paused: false, attempt: 1 });
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_record() {
        let state = DeliveryState::new("siem".into(), false);
        state.set_position(Sequence(5));
        assert_eq!(state.lag(Sequence(5)), Duration::ZERO);
        state.set_oldest(Some(Time(Time::now().0 - 3_000_000_000)));
        let lag = state.lag(Sequence(6));
        assert!(lag >= Duration::from_secs(3) && lag < Duration::from_secs(30), "{lag:?}");
    }
}

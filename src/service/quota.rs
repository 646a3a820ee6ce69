//! Quotas of principals: rates, streams, and memory for slow clients.
//!
//! Without authentication, and before it has succeeded, the network address takes the
//! place of the principal.

mod compression_slots;
mod rate_limiter;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::service::Error;
use compression_slots::CompressionSlots;
pub use compression_slots::CompressionWork;
pub use rate_limiter::RateLimiter;

/// Principals that use nothing are forgotten when there are more than this.
const PRINCIPALS_KEPT: usize = 1_024;

/// How much one principal may use, and all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Calls a second of one principal; 0 for any number.
    pub calls_per_second: u64,
    /// Events a second of one principal; 0 for any number.
    pub events_per_second: u64,
    /// Bytes of requests a second of one principal, as sent; 0 for any number.
    pub bytes_per_second: u64,
    /// Open subscriptions of one principal.
    pub subscribers: usize,
    /// Open emit streams of one principal.
    pub emit_streams: usize,
    /// Searches and counts of one principal that run, or whose answer waits to be
    /// read. Others wait their turn.
    pub reads: usize,
    /// Searches and counts of all principals.
    pub reads_in_all: usize,
    /// Bytes of unfinished requests of one principal, and as many again of events on
    /// streams that wait for the log.
    pub receiving_bytes: usize,
    /// Bytes of unfinished requests of all principals.
    pub receiving_bytes_in_all: usize,
    /// Bytes of responses that wait for clients that do not read.
    pub waiting_bytes_in_all: usize,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// Calls.
    Calls,
    /// Events.
    Events,
    /// Bytes of requests.
    Bytes,
}

impl RateKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Events, Self::Bytes];

    /// What is counted, in the plural.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Events => "events",
            Self::Bytes => "bytes",
        }
    }
}

/// What a principal has too many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// Open subscriptions.
    Subscribers,
    /// Open emit streams.
    EmitStreams,
    /// Bytes of unfinished requests.
    ReceivingBytes,
}

impl HeldKind {
    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribers => "open subscriptions",
            Self::EmitStreams => "open emit streams",
            Self::ReceivingBytes => "bytes of unfinished requests",
        }
    }
}

/// The quotas of all principals.
#[derive(Debug)]
pub struct Quotas {
    limits: QuotaLimits,
    by_principal: Mutex<HashMap<String, Arc<Quota>>>,
    reads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    turns: CompressionSlots,
    receiving: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
    limited: Arc<LimitedCounters>,
}

/// How often a rate was over its limit.
#[derive(Debug, Default)]
pub struct LimitedCounters([AtomicU64; RateKind::ALL.len()]);

impl LimitedCounters {
    /// How often, for this rate.
    pub fn count(&self, rate: RateKind) -> u64 {
        self.0.get(rate as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn add(&self, rate: RateKind) {
        if let Some(count) = self.0.get(rate as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The quota of one principal.
#[derive(Debug)]
pub struct Quota {
    limits: QuotaLimits,
    calls: RateLimiter,
    events: RateLimiter,
    bytes: RateLimiter,
    subscribers: Arc<AtomicUsize>,
    emit_streams: Arc<AtomicUsize>,
    reads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    turns: CompressionSlots,
    receiving: Arc<AtomicUsize>,
    all: QuotaTotals,
}

/// What all quotas share.
#[derive(Debug, Clone)]
struct QuotaTotals {
    reads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    turns: CompressionSlots,
    receiving: Arc<AtomicUsize>,
    limited: Arc<LimitedCounters>,
}

/// One of a limited number, until it is dropped.
#[derive(Debug)]
pub struct QuotaSlot(Arc<AtomicUsize>);

impl Drop for QuotaSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A share of what is there for one principal and for all, until it is dropped.
#[derive(Debug)]
pub struct ResourceShare {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Quotas {
    /// Nobody has used anything.
    pub fn new(limits: QuotaLimits) -> Self {
        Self {
            limits,
            by_principal: Mutex::default(),
            reads: Arc::new(Semaphore::new(limits.reads_in_all)),
            queue: Arc::new(Semaphore::new(limits.receiving_bytes_in_all)),
            turns: CompressionSlots::of_all(),
            receiving: Arc::default(),
            waiting: Arc::default(),
            limited: Arc::default(),
        }
    }

    /// The quota of a principal.
    pub fn of(&self, principal: &str) -> Arc<Quota> {
        let mut all = self.by_principal.lock();
        if let Some(quota) = all.get(principal) {
            return Arc::clone(quota);
        }
        if all.len() >= PRINCIPALS_KEPT {
            all.retain(|_, quota| Arc::strong_count(quota) > 1 || !quota.is_unused());
        }
        let quota = Arc::new(self.fresh());
        all.insert(principal.to_owned(), Arc::clone(&quota));
        quota
    }

    /// How often rates were over their limits.
    pub fn limited(&self) -> &LimitedCounters {
        &self.limited
    }

    /// What is allowed.
    pub fn limits(&self) -> QuotaLimits {
        self.limits
    }

    /// Bytes of unfinished requests.
    pub fn receiving_bytes(&self) -> usize {
        self.receiving.load(Ordering::Relaxed)
    }

    /// Counts bytes of responses that wait for clients to read them.
    pub fn waiting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.waiting)
    }

    /// Bytes of responses that wait for clients to read them.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn fresh(&self) -> Quota {
        let limits = self.limits;
        Quota {
            limits,
            calls: RateLimiter::new(limits.calls_per_second),
            events: RateLimiter::new(limits.events_per_second),
            bytes: RateLimiter::new(limits.bytes_per_second),
            subscribers: Arc::default(),
            emit_streams: Arc::default(),
            reads: Arc::new(Semaphore::new(limits.reads)),
            queue: Arc::new(Semaphore::new(limits.receiving_bytes)),
            turns: CompressionSlots::of_one(),
            receiving: Arc::default(),
            all: QuotaTotals {
                reads: Arc::clone(&self.reads),
                queue: Arc::clone(&self.queue),
                turns: self.turns.clone(),
                receiving: Arc::clone(&self.receiving),
                limited: Arc::clone(&self.limited),
            },
        }
    }
}

impl Quota {
    /// Counts a call.
    ///
    /// # Errors
    /// If calls, events or bytes came too fast.
    pub fn call(&self) -> Result<(), Error> {
        let now = Instant::now();
        self.take(RateKind::Calls, 1, now)?;
        // Events and bytes are known only later, and leave a debt.
        self.take(RateKind::Events, 0, now)?;
        self.take(RateKind::Bytes, 0, now)
    }

    /// Counts events that were received.
    pub fn events(&self, events: usize) {
        self.events.charge(events as u64);
    }

    /// Counts bytes that were received.
    pub fn bytes(&self, bytes: usize) {
        self.bytes.charge(bytes as u64);
    }

    /// How long a stream has to pause until its rates are kept; `None` if they
    /// are.
    pub fn pause(&self) -> Option<Duration> {
        let now = Instant::now();
        let events = self.take(RateKind::Events, 0, now);
        let bytes = self.take(RateKind::Bytes, 0, now);
        [events, bytes].into_iter().filter_map(|taken| taken.err()?.retry_delay()).max()
    }

    /// Takes one of the subscriptions.
    ///
    /// # Errors
    /// If all are taken.
    pub fn subscriber(&self) -> Result<QuotaSlot, Error> {
        slot(&self.subscribers, self.limits.subscribers, HeldKind::Subscribers)
    }

    /// Takes one of the emit streams.
    ///
    /// # Errors
    /// If all are taken.
    pub fn emit_stream(&self) -> Result<QuotaSlot, Error> {
        slot(&self.emit_streams, self.limits.emit_streams, HeldKind::EmitStreams)
    }

    /// Waits for the turn of a search or count.
    pub async fn read(&self) -> ResourceShare {
        share(&self.reads, &self.all.reads, 1).await
    }

    /// Waits for room for so many bytes of events that wait for the log.
    pub async fn room(&self, bytes: usize) -> ResourceShare {
        let limits = self.limits;
        let bytes = bytes.min(limits.receiving_bytes).min(limits.receiving_bytes_in_all);
        share(&self.queue, &self.all.queue, bytes as u32).await
    }

    /// Waits for a turn at this. Principals take turns, however much work one of them has
    /// waiting.
    pub async fn turn(&self, work: CompressionWork) -> ResourceShare {
        share(self.turns.at(work), self.all.turns.at(work), 1).await
    }

    /// Counts bytes of an unfinished request.
    ///
    /// # Errors
    /// If there are too many.
    pub fn receive(&self, bytes: usize) -> Result<(), Error> {
        let own = self.receiving.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.all.receiving.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limits = self.limits;
        if own > limits.receiving_bytes {
            let limit = limits.receiving_bytes;
            return Err(Error::TooMany { what: HeldKind::ReceivingBytes, limit, total: false });
        }
        if all > limits.receiving_bytes_in_all {
            let limit = limits.receiving_bytes_in_all;
            return Err(Error::TooMany { what: HeldKind::ReceivingBytes, limit, total: true });
        }
        Ok(())
    }

    /// So many bytes of [`Quota::receive`] are finished with.
    pub fn received(&self, bytes: usize) {
        self.receiving.fetch_sub(bytes, Ordering::Relaxed);
        self.all.receiving.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take(&self, rate: RateKind, units: u64, now: Instant) -> Result<(), Error> {
        let (bucket, limit) = match rate {
            RateKind::Calls => (&self.calls, self.limits.calls_per_second),
            RateKind::Events => (&self.events, self.limits.events_per_second),
            RateKind::Bytes => (&self.bytes, self.limits.bytes_per_second),
        };
        bucket.take(units, now).map_err(|wait| {
            self.all.limited.add(rate);
            Error::TooFast { rate, limit, wait }
        })
    }

    fn is_unused(&self) -> bool {
        [&self.calls, &self.events, &self.bytes].into_iter().all(RateLimiter::is_full)
    }
}

async fn share(own: &Arc<Semaphore>, all: &Arc<Semaphore>, permits: u32) -> ResourceShare {
    let own = Arc::clone(own).acquire_many_owned(permits).await;
    let all = Arc::clone(all).acquire_many_owned(permits).await;
    ResourceShare {
        _own: own.expect("the semaphore is never closed"),
        _all: all.expect("the semaphore is never closed"),
    }
}

fn slot(count: &Arc<AtomicUsize>, limit: usize, what: HeldKind) -> Result<QuotaSlot, Error> {
    let slot = QuotaSlot(Arc::clone(count));
    if count.fetch_add(1, Ordering::Relaxed) >= limit {
        return Err(Error::TooMany { what, limit, total: false });
    }
    Ok(slot)
}

#[cfg(test)]
mod tests;

//! Quotas: the rates, streams, memory and turns of each client.
//!
//! A client is a principal. Without a principal, the network of the address is the client: see
//! [`ClientKey`].

mod account;
mod client;
pub mod fair;
mod heavy_work;
mod rate_limiter;
mod room;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::counters::{Counters, countable};
use crate::service::Error;
use account::Accounts;
pub use account::{Account, Holding, MemoryCharge, MemoryKind, hold};
pub use client::ClientKey;
use fair::{Member, Pool, Share};
pub use heavy_work::{HeavyWork, in_turn};
use heavy_work::{HeavyWorkSlots, OwnTurns};
use parking_lot::{Mutex, MutexGuard};
pub use rate_limiter::RateLimiter;
pub use room::{ReadMemory, WorkRoom};
pub use turns::{InTurns, PollTurns};

/// The number of clients beyond which unused ones are forgotten.
const CLIENTS_KEPT: usize = 1_024;

/// The most running searches and counts of one client; twice as many of all clients.
const READING_OF_ONE_MAX: usize = 4;

/// The limits of one client, and of all clients together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Calls a second of one client; 0 for any number.
    pub calls_per_second: u64,
    /// Events a second of one client; 0 for any number.
    pub events_per_second: u64,
    /// Bytes of requests a second of one client, as sent; 0 for any number.
    pub bytes_per_second: u64,
    /// Open subscriptions of one client.
    pub subscribers: usize,
    /// Open emit streams of one client.
    pub emit_streams: usize,
    /// Searches and counts of one client that run, or whose answer is unread. Others wait for their
    /// turn.
    pub reads: usize,
    /// Searches and counts of all clients.
    pub reads_in_all: usize,
    /// Bytes of incomplete requests of one client that arrive before there is room for the whole
    /// request.
    pub receiving_bytes: usize,
    /// Bytes of incomplete requests of all clients.
    pub receiving_bytes_in_all: usize,
    /// Room of one client, in bytes: for requests in work, and for unread answers.
    pub waiting_bytes: usize,
    /// Room of all clients.
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

    /// The plural of the unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Events => "events",
            Self::Bytes => "bytes",
        }
    }
}

/// A resource of which a client may hold a limited amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// Open subscriptions.
    Subscribers,
    /// Open emit streams.
    EmitStreams,
    /// Bytes of open calls.
    CallBytes,
    /// Bytes of unfinished requests.
    ReceivingBytes,
    /// Bytes of filters.
    FilterBytes,
}

impl HeldKind {
    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribers => "open subscriptions",
            Self::EmitStreams => "open emit streams",
            Self::CallBytes => "bytes of open calls",
            Self::ReceivingBytes => "bytes of unfinished requests",
            Self::FilterBytes => "bytes of filters of subscriptions",
        }
    }
}

/// The quotas of all clients.
#[derive(Debug)]
pub struct Quotas {
    limits: QuotaLimits,
    by_client: Mutex<HashMap<ClientKey, Arc<Quota>>>,
    accounts: Accounts,
    reads: Pool,
    reading: Pool,
    turns: HeavyWorkSlots,
    limited: Arc<Counters<RateKind>>,
}

/// The memory and streams of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReport {
    /// Whose account it is.
    pub client: ClientKey,
    /// Its memory.
    pub holding: Holding,
    /// Its open subscriptions.
    pub subscribers: usize,
    /// Its open emit streams.
    pub emit_streams: usize,
}

countable!(RateKind);

/// The quota of one client.
#[derive(Debug)]
pub struct Quota {
    client: ClientKey,
    limits: QuotaLimits,
    calls: RateLimiter,
    events: RateLimiter,
    bytes: RateLimiter,
    subscribers: Arc<AtomicUsize>,
    emit_streams: Arc<AtomicUsize>,
    account: Arc<Account>,
    reads: Member,
    reading: Member,
    turns: OwnTurns,
    emitting: PollTurns,
    limited: Arc<Counters<RateKind>>,
}

/// One of a limited number, until it is dropped.
#[derive(Debug)]
pub struct QuotaSlot(Arc<AtomicUsize>);

impl Drop for QuotaSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Quotas {
    /// Quotas without clients.
    pub fn new(limits: QuotaLimits) -> Self {
        Self {
            limits,
            by_client: Mutex::default(),
            accounts: Accounts::new(limits),
            reads: Pool::new(limits.reads_in_all, limits.reads),
            reading: Pool::new(2 * READING_OF_ONE_MAX, READING_OF_ONE_MAX),
            turns: HeavyWorkSlots::new(),
            limited: Arc::default(),
        }
    }

    /// The quota of a client.
    pub fn of(&self, client: &ClientKey) -> Arc<Quota> {
        let mut all = self.lock();
        if let Some(quota) = all.get(client) {
            return Arc::clone(quota);
        }
        if all.len() >= CLIENTS_KEPT {
            all.retain(|_, quota| Arc::strong_count(quota) > 1 || !quota.is_unused());
        }
        let quota = Arc::new(self.fresh(client.clone()));
        all.insert(client.clone(), Arc::clone(&quota));
        quota
    }

    /// The number of times that rates exceeded their limits.
    pub fn limited(&self) -> &Counters<RateKind> {
        &self.limited
    }

    /// The limits.
    pub fn limits(&self) -> QuotaLimits {
        self.limits
    }

    /// The memory limits of one client; 0 for a kind without its own limit.
    pub fn memory_limits(&self) -> Holding {
        self.accounts.limits()
    }

    /// The memory of all clients.
    pub fn holding(&self) -> Holding {
        self.accounts.holding()
    }

    /// The clients with the most memory, in descending order, and the number of clients with any.
    pub fn largest(&self, at_most: usize) -> (Vec<AccountReport>, usize) {
        let holds = |quota: &&Arc<Quota>| quota.account.holding().total() > 0;
        let mut holders: Vec<_> =
            self.lock().values().filter(holds).map(|quota| quota.report()).collect();
        let count = holders.len();
        holders.sort_by(|one, other| {
            let by_size = other.holding.total().cmp(&one.holding.total());
            by_size.then(one.client.cmp(&other.client))
        });
        holders.truncate(at_most);
        (holders, count)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientKey, Arc<Quota>>> {
        self.by_client.lock()
    }

    fn fresh(&self, client: ClientKey) -> Quota {
        let limits = self.limits;
        Quota {
            client,
            limits,
            calls: RateLimiter::new(limits.calls_per_second),
            events: RateLimiter::new(limits.events_per_second),
            bytes: RateLimiter::new(limits.bytes_per_second),
            subscribers: Arc::default(),
            emit_streams: Arc::default(),
            account: self.accounts.open(),
            reads: self.reads.member(),
            reading: self.reading.member(),
            turns: self.turns.of_one(),
            emitting: PollTurns::default(),
            limited: Arc::clone(&self.limited),
        }
    }
}

impl Quota {
    /// The memory and streams of the client.
    pub fn report(&self) -> AccountReport {
        AccountReport {
            client: self.client.clone(),
            holding: self.account.holding(),
            subscribers: self.subscribers.load(Ordering::Relaxed),
            emit_streams: self.emit_streams.load(Ordering::Relaxed),
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// If calls, events or bytes exceed their rate.
    pub fn call(&self) -> Result<(), Error> {
        let now = Instant::now();
        self.take(RateKind::Calls, 1, now)?;
        // Events and bytes are known only later, and may leave a debt.
        self.take(RateKind::Events, 0, now)?;
        self.take(RateKind::Bytes, 0, now)
    }

    /// Counts events that were received.
    pub fn events(&self, events: usize) {
        self.events.charge_since_take(events as u64);
    }

    /// Counts bytes that were received.
    pub fn bytes(&self, bytes: usize) {
        self.bytes.charge_since_take(bytes as u64);
    }

    /// How long a stream has to pause because of its rates; `None` if it need not.
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

    /// The memory account of the client.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The units of room to request for up to `bytes` bytes: never so many that the request would
    /// have to wait until the client holds nothing else.
    pub fn room_units(&self, bytes: usize) -> usize {
        bytes.min(self.limits.waiting_bytes / 2).min(self.limits.waiting_bytes_in_all / 2)
    }

    /// Waits for the place of a search or count.
    pub async fn read(&self) -> Share {
        self.reads.acquire(1).await
    }

    /// Waits until a search or count may run. Few run at once, so that a small one competes with
    /// few others.
    pub async fn reading(&self) -> Share {
        self.reading.acquire(1).await
    }

    /// Waits for a turn for this work. Clients take turns, however much work one of them has
    /// waiting.
    pub async fn turn(&self, work: HeavyWork) -> Share {
        self.turns.at(work).acquire(1).await
    }

    /// The turns in which the emit streams of the client are polled.
    pub fn emitting(&self) -> &PollTurns {
        &self.emitting
    }

    fn take(&self, rate: RateKind, units: u64, now: Instant) -> Result<(), Error> {
        let (bucket, limit) = match rate {
            RateKind::Calls => (&self.calls, self.limits.calls_per_second),
            RateKind::Events => (&self.events, self.limits.events_per_second),
            RateKind::Bytes => (&self.bytes, self.limits.bytes_per_second),
        };
        bucket.take(units, now).map_err(|wait| {
            self.limited.increment(rate);
            Error::TooFast { rate, limit, wait }
        })
    }

    fn is_unused(&self) -> bool {
        let buckets = [&self.calls, &self.events, &self.bytes];
        buckets.into_iter().all(RateLimiter::is_full) && self.account.holding().total() == 0
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

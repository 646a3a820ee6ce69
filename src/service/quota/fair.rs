//! Shares a limited number of units among clients, max-min fair.
//!
//! A semaphore serves requests in order, so one client with a thousand requests makes all others
//! wait. A [`Pool`] serves the waiting client that holds least. Each client waits in a queue of its
//! own, in the order of its requests, and no client exceeds its own limit.
//!
//! A client that holds nothing does not wait for long: after [`FIRST_WAIT`] it gets its first share even
//! if all units are taken, as long as another client holds two shares or more. Such shares exceed the capacity
//! at most by `OVERDRAFT_FACTOR`.
//!
//! A unit may be a byte, a processor or one of a number of places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

/// The longest wait of a client that holds nothing while another one holds two shares.
pub const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The most units that are lent, as a multiple of the capacity, when clients get their first shares.
const OVERDRAFT_FACTOR: usize = 2;

/// Units that clients share. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool(Arc<PoolShared>);

#[derive(Debug)]
struct PoolShared {
    /// The number of units.
    capacity: usize,
    /// The number of units that one client may hold.
    capacity_of_one: usize,
    /// The number of lent units. Changes under the lock of the state.
    used: AtomicUsize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    next_member: u64,
    next_ticket: u64,
    /// The number of clients with two shares or more.
    holders_of_two: usize,
    /// The waiting clients, by number.
    queues: BTreeMap<u64, MemberQueue>,
}

/// The waiting requests of one client, by ticket; at least one.
#[derive(Debug)]
struct MemberQueue {
    member: Member,
    waiters: BTreeMap<u64, PendingRequest>,
}

#[derive(Debug)]
struct PendingRequest {
    units: usize,
    sender: oneshot::Sender<Share>,
}

/// One client of a pool. Clones are the same client.
#[derive(Debug, Clone)]
pub struct Member {
    pool: Pool,
    holder: Arc<MemberState>,
}

/// What one client holds. Changes under the lock of the pool's state.
#[derive(Debug)]
struct MemberState {
    number: u64,
    units: AtomicUsize,
    shares: AtomicUsize,
}

/// Units that a client holds until this is dropped.
#[derive(Debug)]
pub struct Share {
    member: Member,
    units: usize,
}

impl Pool {
    /// A pool of `capacity` units, of which one client may hold `capacity_of_one`.
    pub fn new(capacity: usize, capacity_of_one: usize) -> Self {
        let state = Mutex::default();
        Self(Arc::new(PoolShared { capacity, capacity_of_one, used: AtomicUsize::new(0), state }))
    }

    /// A new client.
    pub fn member(&self) -> Member {
        let mut state = self.lock();
        let number = state.next_member;
        state.next_member += 1;
        drop(state);
        let holder =
            MemberState { number, units: AtomicUsize::new(0), shares: AtomicUsize::new(0) };
        Member { pool: self.clone(), holder: Arc::new(holder) }
    }

    /// The number of lent units.
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.0.state.lock()
    }

    fn has_room(&self, units: usize, capacity: usize) -> bool {
        // A request above the capacity is served when nothing else is lent.
        self.used() == 0 || self.used() + units <= capacity
    }

    /// Serves waiting clients while there are units, the one that holds least first.
    fn serve(&self, state: &mut PoolState) -> Served {
        let mut served = Served::default();
        loop {
            let next = state.queues.values().filter_map(|queue| {
                let (ticket, waiter) = queue.waiters.first_key_value()?;
                let eligible = queue.member.may_hold(waiter.units);
                eligible.then(|| ((queue.member.held(), *ticket), queue.member.holder.number))
            });
            let Some((_, number)) = next.min() else { return served };
            if !served.serve_first(self, state, number, self.0.capacity) {
                return served;
            }
        }
    }
}

/// Shares that go to waiting requests once the state is unlocked: a request that is gone drops its share,
/// which locks the state.
#[derive(Default)]
struct Served(Vec<(oneshot::Sender<Share>, Share)>);

impl Served {
    /// Serves the first request of a client if it fits into `capacity` units.
    fn serve_first(
        &mut self,
        pool: &Pool,
        state: &mut PoolState,
        number: u64,
        capacity: usize,
    ) -> bool {
        let Some(queue) = state.queues.get_mut(&number) else { return false };
        let Some(first) = queue.waiters.first_entry() else { return false };
        if !pool.has_room(first.get().units, capacity) {
            return false;
        }
        let PendingRequest { units, sender } = first.remove();
        let member = queue.member.clone();
        if queue.waiters.is_empty() {
            state.queues.remove(&number);
        }
        self.0.push((sender, member.lend(state, units)));
        true
    }

    fn hand_out(self) {
        for (sender, share) in self.0 {
            // If the request no longer waits, its share is dropped, which returns it.
            let _ = sender.send(share);
        }
    }
}

impl Member {
    /// Waits for `units` units. Requests of one client are served in order. A client that holds
    /// nothing is served even if the request exceeds its limit.
    pub async fn acquire(&self, units: usize) -> Share {
        let mut waiting = match self.acquire_or_queue(units) {
            Ok(share) => return share,
            Err(waiting) => waiting,
        };
        loop {
            match tokio::time::timeout(FIRST_WAIT, &mut waiting.receiver).await {
                Ok(share) => {
                    return share.expect("a request that waits has its sender in the queue");
                }
                Err(_) => self.insist(waiting.ticket),
            }
        }
    }

    /// Takes `units` units now, or none.
    pub fn try_acquire(&self, units: usize) -> Option<Share> {
        let mut state = self.pool.lock();
        self.may_take_now(&state, units).then(|| self.lend(&mut state, units))
    }

    /// Takes units even beyond the capacity, for memory that is in use already.
    pub fn force(&self, units: usize) -> Share {
        self.lend(&mut self.pool.lock(), units)
    }

    /// The number of units that the client holds.
    pub fn held(&self) -> usize {
        self.holder.units.load(Relaxed)
    }

    /// Whether the client holds more than it may, or all clients together do and it holds something.
    pub fn is_over(&self) -> bool {
        let held = self.held();
        held > self.pool.0.capacity_of_one || held > 0 && self.pool.used() > self.pool.0.capacity
    }

    fn may_hold(&self, units: usize) -> bool {
        self.held() == 0 || self.held() + units <= self.pool.0.capacity_of_one
    }

    fn may_take_now(&self, state: &PoolState, units: usize) -> bool {
        state.queues.is_empty()
            && self.may_hold(units)
            && self.pool.has_room(units, self.pool.0.capacity)
    }

    fn acquire_or_queue(&self, units: usize) -> Result<Share, QueuedRequest<'_>> {
        let mut state = self.pool.lock();
        if self.may_take_now(&state, units) {
            return Ok(self.lend(&mut state, units));
        }
        let (sender, receiver) = oneshot::channel();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let queue = state.queues.entry(self.holder.number);
        let queue =
            queue.or_insert_with(|| MemberQueue { member: self.clone(), waiters: BTreeMap::new() });
        queue.waiters.insert(ticket, PendingRequest { units, sender });
        let served = self.pool.serve(&mut state);
        drop(state);
        served.hand_out();
        Err(QueuedRequest { member: self, ticket, receiver })
    }

    /// Serves this request if it is the client's first share, and another client holds two.
    fn insist(&self, ticket: u64) {
        let mut served = Served::default();
        let mut state = self.pool.lock();
        let is_first = self.held() == 0
            && state.queues.get(&self.holder.number).is_some_and(|queue| {
                queue.waiters.first_key_value().is_some_and(|(first, _)| *first == ticket)
            });
        if is_first && state.holders_of_two > 0 {
            let most = self.pool.0.capacity.saturating_mul(OVERDRAFT_FACTOR);
            served.serve_first(&self.pool, &mut state, self.holder.number, most);
        }
        drop(state);
        served.hand_out();
    }

    fn lend(&self, state: &mut PoolState, units: usize) -> Share {
        self.pool.0.used.fetch_add(units, Relaxed);
        self.holder.units.fetch_add(units, Relaxed);
        self.share(state, units)
    }

    /// Makes another share of units that the client holds.
    fn share(&self, state: &mut PoolState, units: usize) -> Share {
        if self.holder.shares.fetch_add(1, Relaxed) == 1 {
            state.holders_of_two += 1;
        }
        Share { member: self.clone(), units }
    }

    fn give_back(&self, units: usize, share: bool) {
        let mut state = self.pool.lock();
        self.pool.0.used.fetch_sub(units, Relaxed);
        self.holder.units.fetch_sub(units, Relaxed);
        if share && self.holder.shares.fetch_sub(1, Relaxed) == 2 {
            state.holders_of_two -= 1;
        }
        if state.queues.is_empty() {
            return;
        }
        let served = self.pool.serve(&mut state);
        drop(state);
        served.hand_out();
    }
}

/// A request in the queue. Leaves it when dropped.
struct QueuedRequest<'a> {
    member: &'a Member,
    ticket: u64,
    receiver: oneshot::Receiver<Share>,
}

impl Drop for QueuedRequest<'_> {
    fn drop(&mut self) {
        let pool = &self.member.pool;
        let number = self.member.holder.number;
        let mut state = pool.lock();
        let Some(queue) = state.queues.get_mut(&number) else { return };
        if queue.waiters.remove(&self.ticket).is_none() {
            return;
        }
        if queue.waiters.is_empty() {
            state.queues.remove(&number);
        }
        // It may have blocked other requests.
        let served = pool.serve(&mut state);
        drop(state);
        served.hand_out();
    }
}

impl Share {
    /// The number of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Returns units above `units`, or takes missing ones even beyond the capacity.
    pub fn resize(&mut self, units: usize) {
        if let Some(more) = units.checked_sub(self.units).filter(|more| *more > 0) {
            self.member.pool.0.used.fetch_add(more, Relaxed);
            self.member.holder.units.fetch_add(more, Relaxed);
        } else if units < self.units {
            self.member.give_back(self.units - units, false);
        }
        self.units = units;
    }

    /// Splits off up to `units` units.
    pub fn split(&mut self, units: usize) -> Share {
        let units = units.min(self.units);
        self.units -= units;
        self.member.share(&mut self.member.pool.lock(), units)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.member.give_back(self.units, true);
    }
}

#[cfg(test)]
mod tests;

//! Wakes the subscriptions that an appended record may concern, and no others.
//!
//! A subscription at the end of the log arms its [`WaitSlot`] and sleeps. One task, the
//! notifier, reads the columns of new records in order and sets in each slot the first
//! record that may match. So appending costs the same for any number of subscriptions,
//! and a subscription whose slot was not set may skip all of these records. While there
//! is no subscription, the notifier sleeps, and appended records do not wake it.
//!
//! # Why no record is missed
//! - The notifier stores how far it is about to read (`claimed`) before it looks at any
//!   slot. A subscription arms its slot before it loads `claimed`. All operations are
//!   sequentially consistent: either the notifier finds the slot armed, or the
//!   subscription sees the claim and reads the log instead of sleeping.
//! - A slot that is armed at `next` while `claimed` is below `next` is armed for every
//!   record from `next` on. If it is still armed when the notifier has processed all
//!   records up to `told`, none of them concerns the subscription.
//! - A new subscription is registered first, and then wakes the notifier if it sleeps.
//!   The notifier claims the records that it slept through, and wakes all subscriptions
//!   to check the log themselves.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Poll, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, TypeId};
use crate::filter::{Filter, TypeSet};
use crate::log::{ReadContent, ReadHint, ReadResult, ScanOrder, SegmentView, Store};
use crate::record::{RecordColumns, Sequence};

/// Value of an armed slot: no record may have matched since it was armed.
const ARMED: u64 = u64::MAX;

/// The registered waiters, and the progress of the notifier task.
pub(super) struct Notifier {
    lists: Mutex<WaitLists>,
    /// The notifier has begun to process the records up to here.
    claimed: AtomicU64,
    /// The notifier has processed all records up to here.
    told: AtomicU64,
    /// Signalled when a waiter registers.
    listened: Notify,
}

/// A registered waiter; dropping it removes the registration.
pub(super) struct Waiter {
    notifier: Arc<Notifier>,
    slot: Arc<WaitSlot>,
    keys: Option<Vec<InterestKey>>,
}

struct WaitSlot {
    /// The first record that may match since the slot was armed, or [`ARMED`].
    first: AtomicU64,
    waker: AtomicWaker,
    /// The types that its subscriber may read: no other record wakes it.
    readable: Arc<TypeSet>,
}

/// A column value that a record must have to match a waiter's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum InterestKey {
    Session(u32),
    /// As user or as impersonator.
    User(u32),
    Server(u32),
    Type(TypeId),
    Result(u8),
}

#[derive(Default)]
struct WaitLists {
    /// Waiters that every record may match.
    every: Vec<Arc<WaitSlot>>,
    /// Waiters that records with a key may match.
    by_key: HashMap<InterestKey, Vec<Arc<WaitSlot>>, foldhash::fast::RandomState>,
}

/// The most looks at slots and rows before the notifier lets other tasks run and
/// releases the lock.
const LOOKS_MAX: usize = 16 * 1024;

impl Notifier {
    /// Starts the notifier task without waiters. It runs until `stopping` is cancelled;
    /// then it wakes all waiters for good.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(log: Arc<dyn Store>, stopping: CancellationToken) -> Arc<Self> {
        let last = log.extent().last;
        let notifier = Arc::new(Self {
            lists: Mutex::default(),
            claimed: AtomicU64::new(last.0),
            told: AtomicU64::new(last.0),
            listened: Notify::new(),
        });
        tokio::spawn(run_notifier(log, Arc::clone(&notifier), stopping));
        notifier
    }

    /// Registers a waiter for records that this filter may match.
    pub fn register(self: &Arc<Self>, filter: &Filter) -> Arc<Waiter> {
        let keys = keys(filter);
        let slot = Arc::new(WaitSlot {
            first: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            readable: Arc::clone(filter.readable()),
        });
        self.lock().add(keys.as_deref(), &slot);
        self.listened.notify_one();
        Arc::new(Waiter { notifier: Arc::clone(self), slot, keys })
    }

    fn lock(&self) -> MutexGuard<'_, WaitLists> {
        self.lists.lock()
    }

    fn is_empty(&self) -> bool {
        let lists = self.lock();
        lists.every.is_empty() && lists.by_key.is_empty()
    }

    /// Wakes all waiters without reading the records from `next` to `last`.
    fn notify_all(&self, next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.notify_all(next, woken));
        self.told.store(last.0, SeqCst);
    }

    /// Reads the records from `next` to `last`, and wakes the waiters that they may
    /// match.
    async fn notify(&self, log: &dyn Store, mut next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.notify_every(next, woken));
        while next <= last && !self.lock().by_key.is_empty() {
            let hint =
                ReadHint { content: ReadContent::Columns, ..ReadHint::all(ScanOrder::Ascending) };
            let Ok(Some(ReadResult::Records(segment))) = log.read(next, hint).await else {
                // Each waiter must check the log itself.
                self.wake(|lists, woken| lists.notify_all(next, woken));
                break;
            };
            let view = segment.view(last);
            if view.base > next {
                // Evicted before the notifier came by.
                self.wake(|lists, woken| lists.notify_all(next, woken));
            }
            let mut position = view.position(next);
            while position < view.len() {
                self.wake(|lists, woken| position = lists.notify(&view, position, woken));
                if position < view.len() {
                    tokio::task::yield_now().await;
                }
            }
            next = view.end().max(next.next());
        }
        self.told.store(last.0, SeqCst);
    }

    /// Wakes all waiters, and lets none sleep again.
    fn close(&self) {
        self.claimed.store(u64::MAX, SeqCst);
        self.wake(|lists, woken| lists.notify_all(Sequence::ZERO, woken));
    }

    /// Wakes the waiters that `notify` chooses, outside of the lock: they may run at once.
    fn wake(&self, notify: impl FnOnce(&WaitLists, &mut Vec<Waker>)) {
        let mut woken = Vec::new();
        notify(&self.lock(), &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Notifies waiters of appended records.
async fn run_notifier(log: Arc<dyn Store>, notifier: Arc<Notifier>, stopping: CancellationToken) {
    let mut changes = None;
    let mut told = Sequence(notifier.told.load(SeqCst));
    loop {
        let slept = notifier.is_empty();
        if slept {
            // The log tells nobody meanwhile.
            changes = None;
            if stopping.run_until_cancelled(notifier.listened.notified()).await.is_none() {
                return notifier.close();
            }
        }
        let changes = changes.get_or_insert_with(|| log.changes());
        changes.mark_unchanged();
        let last = log.extent().last;
        if last > told {
            match slept {
                true => notifier.notify_all(told.next(), last),
                false => notifier.notify(log.as_ref(), told.next(), last).await,
            }
            told = last;
        }
        // Waiters that register meanwhile are in the lists when the next record arrives.
        let changed = stopping.run_until_cancelled(changes.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return notifier.close();
        }
    }
}

impl Waiter {
    /// Waits until a record at or after `next` may match, and returns where to continue
    /// reading: no record before that matches. Returns at once if it is unknown whether
    /// there is such a record.
    pub async fn wait(&self, next: Sequence) -> Sequence {
        let first = &self.slot.first;
        first.store(ARMED, SeqCst);
        if self.notifier.claimed.load(SeqCst) >= next.0 {
            first.store(next.0, SeqCst);
            return next;
        }
        let found = poll_fn(|context| {
            self.slot.waker.register(context.waker());
            match first.load(SeqCst) {
                ARMED => Poll::Pending,
                found => Poll::Ready(Sequence(found)),
            }
        });
        found.await.max(next)
    }

    /// What it takes in memory, in bytes, about: each key has a list of its own at worst.
    pub fn held_bytes(&self) -> usize {
        /// A key here and in the table, its list, and the list's first entries.
        const KEY_BYTES: usize = 2 * size_of::<InterestKey>() + 2 * size_of::<Vec<()>>() + 32;
        size_of::<WaitSlot>() + self.keys.as_ref().map_or(0, Vec::len) * KEY_BYTES
    }

    /// Where somebody who has read up to `next` has to read on.
    pub fn skip(&self, next: Sequence) -> Sequence {
        // In this order: a slot that is armed afterwards was armed before.
        let told = Sequence(self.notifier.told.load(SeqCst));
        match self.slot.first.load(SeqCst) {
            ARMED => next.max(told.next()),
            found => next.max(Sequence(found)),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.notifier.lock().remove(self.keys.as_deref(), &self.slot);
    }
}

impl WaitSlot {
    fn notify(&self, first: Sequence, woken: &mut Vec<Waker>) {
        // The load before the exchange avoids a write to a slot that is already set, as those
        // of slow subscribers are.
        if self.first.load(SeqCst) == ARMED
            && self.first.compare_exchange(ARMED, first.0, SeqCst, SeqCst).is_ok()
        {
            woken.extend(self.waker.take());
        }
    }
}

impl WaitLists {
    fn add(&mut self, keys: Option<&[InterestKey]>, slot: &Arc<WaitSlot>) {
        match keys {
            None => self.every.push(Arc::clone(slot)),
            Some(keys) => {
                for key in keys {
                    self.by_key.entry(*key).or_default().push(Arc::clone(slot));
                }
            }
        }
    }

    fn remove(&mut self, keys: Option<&[InterestKey]>, slot: &Arc<WaitSlot>) {
        let take = |list: &mut Vec<Arc<WaitSlot>>| {
            if let Some(place) = list.iter().position(|other| Arc::ptr_eq(other, slot)) {
                list.swap_remove(place);
            }
        };
        let Some(keys) = keys else { return take(&mut self.every) };
        for key in keys {
            if let Some(list) = self.by_key.get_mut(key) {
                take(list);
                if list.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
    }

    fn notify_every(&self, first: Sequence, woken: &mut Vec<Waker>) {
        self.every.iter().for_each(|slot| slot.notify(first, woken));
    }

    fn notify_all(&self, first: Sequence, woken: &mut Vec<Waker>) {
        self.notify_every(first, woken);
        self.by_key.values().flatten().for_each(|slot| slot.notify(first, woken));
    }

    /// Notifies the waiters that the records of a view from `position` on may match.
    /// Returns the position to go on at: the work of one call is bounded.
    fn notify(&self, view: &SegmentView<'_>, position: usize, woken: &mut Vec<Waker>) -> usize {
        let mut looks = 0;
        for position in position..view.len() {
            let Some(row) = view.columns.get(position) else { return view.len() };
            if looks >= LOOKS_MAX {
                return position;
            }
            looks += 1;
            // Only the record of a custom event has the name of its type.
            let name = row.type_id.is_custom().then(|| view.record(position).type_name);
            for slot in keys_of(row).filter_map(|key| self.by_key.get(&key)).flatten() {
                looks += 1;
                if slot.readable.contains(row.type_id, name.unwrap_or_default()) {
                    slot.notify(view.sequence(position), woken);
                }
            }
        }
        view.len()
    }
}

/// The keys of a record.
fn keys_of(row: &RecordColumns) -> impl Iterator<Item = InterestKey> {
    [
        InterestKey::Type(row.type_id),
        InterestKey::Result(row.result),
        InterestKey::Session(row.session),
        InterestKey::Server(row.server),
        InterestKey::User(row.user),
        InterestKey::User(row.impersonator),
    ]
    .into_iter()
}

/// Keys of which a record must have one to match, from the field that usually leaves the
/// fewest records. `None` if every record may match, or if so many match that waking for
/// each is cheaper.
fn keys(filter: &Filter) -> Option<Vec<InterestKey>> {
    fn all<T: Copy>(
        values: Option<&Vec<T>>,
        key: fn(T) -> InterestKey,
    ) -> Option<Vec<InterestKey>> {
        values.map(|values| values.iter().map(|value| key(*value)).collect())
    }
    let selection = filter.selection();
    // A record that may not be read wakes nobody, however many types may be.
    let reads_all = filter.readable().is_all();
    let rare_types =
        |types: &&Vec<TypeId>| !reads_all || types.len() <= catalog::EVENT_TYPES.len() / 2;
    all(selection.sessions.as_ref(), InterestKey::Session)
        .or_else(|| all(selection.users.as_ref(), InterestKey::User))
        .or_else(|| all(selection.servers.as_ref(), InterestKey::Server))
        .or_else(|| all(selection.types.as_ref().filter(rare_types), InterestKey::Type))
        .or_else(|| all(selection.results.as_ref(), InterestKey::Result))
}

//! Who waits for which records: what is appended wakes the subscribers whose
//! filter may match it, and nobody else.
//!
//! A subscriber at the end of the log arms its [`WaitSlot`] and sleeps. One task, the
//! notifier, looks at the columns of what has become readable, in order, and tells
//! each slot of the first record that concerns it. So emitters pay for none of
//! it, however many subscribers there are; and a subscriber that was told of
//! nothing knows that it may skip all of it. While nobody subscribes, the notifier
//! sleeps, and what is appended does not wake it.
//!
//! # Why no record is missed
//! - The notifier says how far it is about to look (`claimed`) before it looks at
//!   any slot. A subscriber arms its slot before it reads `claimed`. All of this
//!   is sequentially consistent: either the notifier finds the slot armed, or the
//!   subscriber sees the claim and reads the log instead of sleeping.
//! - A slot that is armed at `next` while `claimed` is below `next` is armed for
//!   every record from `next` on. If it is still armed when the notifier has looked
//!   at all up to `told`, none of them concerns it.
//! - Who begins to listen is listed, and then wakes the notifier if it sleeps. It
//!   claims what it slept through, and tells everyone to see for himself.

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
use crate::filter::{Filter, Selection};
use crate::log::{Log, ReadContent, ReadHint, ReadResult, ScanOrder, SegmentView};
use crate::record::{RecordColumns, Sequence};

/// In a slot: nothing has concerned it since it was armed.
const ARMED: u64 = u64::MAX;

/// All who wait.
pub(super) struct Notifier {
    lists: Mutex<WaitLists>,
    /// The notifier looks at records up to here, or has done so.
    claimed: AtomicU64,
    /// The notifier has looked at all records up to here.
    told: AtomicU64,
    /// Somebody has begun to listen.
    listened: Notify,
}

/// One who waits, until it is dropped.
pub(super) struct Waiter {
    notifier: Arc<Notifier>,
    slot: Arc<WaitSlot>,
    keys: Option<Vec<InterestKey>>,
}

struct WaitSlot {
    /// The first record that concerns it since it was armed, or [`ARMED`].
    first: AtomicU64,
    waker: AtomicWaker,
}

/// A value of a column that a record must have to concern somebody.
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
    /// Those whom every record concerns.
    every: Vec<Arc<WaitSlot>>,
    /// Those whom the records with a key concern.
    by_key: HashMap<InterestKey, Vec<Arc<WaitSlot>>, foldhash::fast::RandomState>,
}

impl Notifier {
    /// Nobody waits yet. The notifier runs until `stopping` is cancelled, which
    /// wakes everyone for good.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(log: Arc<dyn Log>, stopping: CancellationToken) -> Arc<Self> {
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

    /// Lets somebody wait for records that this filter may match.
    pub fn register(self: &Arc<Self>, filter: &Filter) -> Arc<Waiter> {
        let keys = keys(filter.selection());
        let slot = Arc::new(WaitSlot { first: AtomicU64::new(0), waker: AtomicWaker::new() });
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

    /// Wakes everyone, without a look at the records from `next` to `last`.
    fn notify_all(&self, next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.notify_all(next, woken));
        self.told.store(last.0, SeqCst);
    }

    /// Looks at the records from `next` to `last`, and wakes whom they concern.
    async fn notify(&self, log: &dyn Log, mut next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.notify_every(next, woken));
        while next <= last && !self.lock().by_key.is_empty() {
            let hint =
                ReadHint { content: ReadContent::Columns, ..ReadHint::all(ScanOrder::Ascending) };
            let Ok(Some(ReadResult::Records(segment))) = log.read(next, hint).await else {
                // Each of them is to see for itself.
                self.wake(|lists, woken| lists.notify_all(next, woken));
                break;
            };
            let view = segment.view(last);
            self.wake(|lists, woken| lists.notify(&view, next, woken));
            next = view.end().max(next.next());
        }
        self.told.store(last.0, SeqCst);
    }

    /// Wakes everyone, and lets nobody sleep again.
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
async fn run_notifier(log: Arc<dyn Log>, notifier: Arc<Notifier>, stopping: CancellationToken) {
    let mut changes = log.changes();
    let mut told = Sequence(notifier.told.load(SeqCst));
    loop {
        let slept = notifier.is_empty();
        if slept && stopping.run_until_cancelled(notifier.listened.notified()).await.is_none() {
            return notifier.close();
        }
        changes.mark_unchanged();
        let last = log.extent().last;
        if last > told {
            match slept {
                true => notifier.notify_all(told.next(), last),
                false => notifier.notify(log.as_ref(), told.next(), last).await,
            }
            told = last;
        }
        // Who listens meanwhile is found in the lists, once there is something to tell.
        let changed = stopping.run_until_cancelled(changes.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return notifier.close();
        }
    }
}

impl Waiter {
    /// Waits until a record at `next` or behind it may match, and returns where
    /// to read on: what lies before that does not match. Returns at once if it
    /// is not known whether there is one.
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

    /// Where somebody who has read up to `next` has to read on.
    pub fn skip(&self, next: Sequence) -> Sequence {
        // In this order: a slot that is armed afterwards was so before.
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
        // The look before the exchange keeps the memory of a slot that was told
        // already, as those of slow subscribers are, where it is.
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

    /// Tells those whom the records of a view from `next` on concern.
    fn notify(&self, view: &SegmentView<'_>, next: Sequence, woken: &mut Vec<Waker>) {
        if view.base > next {
            // Evicted before the notifier came by.
            self.notify_all(next, woken);
        }
        for position in view.position(next)..view.len() {
            let Some(row) = view.columns.get(position) else { return };
            for slot in keys_of(row).filter_map(|key| self.by_key.get(&key)).flatten() {
                slot.notify(view.sequence(position), woken);
            }
        }
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

/// The keys that a record must have one of to match; by the field that leaves the
/// fewest records, as a rule. `None` where every record may match, or where so
/// many do that it is cheaper to wake for each.
fn keys(selection: &Selection) -> Option<Vec<InterestKey>> {
    fn all<T: Copy>(
        values: Option<&Vec<T>>,
        key: fn(T) -> InterestKey,
    ) -> Option<Vec<InterestKey>> {
        values.map(|values| values.iter().map(|value| key(*value)).collect())
    }
    let rare_types = |types: &&Vec<TypeId>| types.len() <= catalog::EVENT_TYPES.len() / 2;
    all(selection.sessions.as_ref(), InterestKey::Session)
        .or_else(|| all(selection.users.as_ref(), InterestKey::User))
        .or_else(|| all(selection.servers.as_ref(), InterestKey::Server))
        .or_else(|| all(selection.types.as_ref().filter(rare_types), InterestKey::Type))
        .or_else(|| all(selection.results.as_ref(), InterestKey::Result))
}

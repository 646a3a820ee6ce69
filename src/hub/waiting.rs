//! Who waits for which records: what is appended wakes the subscribers whose
//! filter may match it, and nobody else.
//!
//! A subscriber at the end of the log arms its [`Slot`] and sleeps. One task, the
//! herald, looks at the columns of what has become readable, in order, and tells
//! each slot of the first record that concerns it. So emitters pay for none of
//! it, however many subscribers there are; and a subscriber that was told of
//! nothing knows that it may skip all of it. While nobody subscribes, the herald
//! sleeps, and what is appended does not wake it.
//!
//! # Why no record is missed
//! - The herald says how far it is about to look (`claimed`) before it looks at
//!   any slot. A subscriber arms its slot before it reads `claimed`. All of this
//!   is sequentially consistent: either the herald finds the slot armed, or the
//!   subscriber sees the claim and reads the log instead of sleeping.
//! - A slot that is armed at `next` while `claimed` is below `next` is armed for
//!   every record from `next` on. If it is still armed when the herald has looked
//!   at all up to `told`, none of them concerns it.
//! - Who begins to listen is listed, and then wakes the herald if it sleeps. It
//!   claims what it slept through, and tells everyone to see for himself.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, TypeId};
use crate::filter::{Filter, Selection};
use crate::log::{Content, Found, Log, Order, View, Want};
use crate::record::{Columns, Sequence};

/// In a slot: nothing has concerned it since it was armed.
const ARMED: u64 = u64::MAX;

/// All who wait.
pub(super) struct Waiting {
    lists: Mutex<Lists>,
    /// The herald looks at records up to here, or has done so.
    claimed: AtomicU64,
    /// The herald has looked at all records up to here.
    told: AtomicU64,
    /// Somebody has begun to listen.
    listened: Notify,
}

/// One who waits, until it is dropped.
pub(super) struct Listener {
    waiting: Arc<Waiting>,
    slot: Arc<Slot>,
    keys: Option<Vec<Key>>,
}

struct Slot {
    /// The first record that concerns it since it was armed, or [`ARMED`].
    first: AtomicU64,
    waker: AtomicWaker,
}

/// A value of a column that a record must have to concern somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Session(u32),
    /// As user or as impersonator.
    User(u32),
    Server(u32),
    Type(TypeId),
    Result(u8),
}

#[derive(Default)]
struct Lists {
    /// Those whom every record concerns.
    every: Vec<Arc<Slot>>,
    /// Those whom the records with a key concern.
    by_key: HashMap<Key, Vec<Arc<Slot>>, foldhash::fast::RandomState>,
}

impl Waiting {
    /// Nobody waits yet. The herald runs until `stopping` is cancelled, which
    /// wakes everyone for good.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(log: Arc<dyn Log>, stopping: CancellationToken) -> Arc<Self> {
        let last = log.extent().last;
        let waiting = Arc::new(Self {
            lists: Mutex::default(),
            claimed: AtomicU64::new(last.0),
            told: AtomicU64::new(last.0),
            listened: Notify::new(),
        });
        tokio::spawn(herald(log, Arc::clone(&waiting), stopping));
        waiting
    }

    /// Lets somebody wait for records that this filter may match.
    pub fn listen(self: &Arc<Self>, filter: &Filter) -> Arc<Listener> {
        let keys = keys(filter.selection());
        let slot = Arc::new(Slot { first: AtomicU64::new(0), waker: AtomicWaker::new() });
        self.lock().add(keys.as_deref(), &slot);
        self.listened.notify_one();
        Arc::new(Listener { waiting: Arc::clone(self), slot, keys })
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        let lists = self.lock();
        lists.every.is_empty() && lists.by_key.is_empty()
    }

    /// Wakes everyone, without a look at the records from `next` to `last`.
    fn tell_all(&self, next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.tell_all(next, woken));
        self.told.store(last.0, SeqCst);
    }

    /// Looks at the records from `next` to `last`, and wakes whom they concern.
    async fn tell(&self, log: &dyn Log, mut next: Sequence, last: Sequence) {
        self.claimed.store(last.0, SeqCst);
        self.wake(|lists, woken| lists.tell_every(next, woken));
        while next <= last && !self.lock().by_key.is_empty() {
            let want = Want { content: Content::Columns, ..Want::all(Order::Ascending) };
            let Ok(Some(Found::Records(segment))) = log.read(next, want).await else {
                // Each of them is to see for itself.
                self.wake(|lists, woken| lists.tell_all(next, woken));
                break;
            };
            let view = segment.view(last);
            self.wake(|lists, woken| lists.tell(&view, next, woken));
            next = view.end().max(next.next());
        }
        self.told.store(last.0, SeqCst);
    }

    /// Wakes everyone, and lets nobody sleep again.
    fn close(&self) {
        self.claimed.store(u64::MAX, SeqCst);
        self.wake(|lists, woken| lists.tell_all(Sequence::ZERO, woken));
    }

    /// Wakes whom `tell` chooses, outside of the lock: they may run at once.
    fn wake(&self, tell: impl FnOnce(&Lists, &mut Vec<Waker>)) {
        let mut woken = Vec::new();
        tell(&self.lock(), &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Tells of what is appended.
async fn herald(log: Arc<dyn Log>, waiting: Arc<Waiting>, stopping: CancellationToken) {
    let mut changes = log.changes();
    let mut told = Sequence(waiting.told.load(SeqCst));
    loop {
        let slept = waiting.is_empty();
        if slept && stopping.run_until_cancelled(waiting.listened.notified()).await.is_none() {
            return waiting.close();
        }
        changes.mark_unchanged();
        let last = log.extent().last;
        if last > told {
            match slept {
                true => waiting.tell_all(told.next(), last),
                false => waiting.tell(log.as_ref(), told.next(), last).await,
            }
            told = last;
        }
        // Who listens meanwhile is found in the lists, once there is something to tell.
        let changed = stopping.run_until_cancelled(changes.changed()).await;
        if !matches!(changed, Some(Ok(()))) {
            return waiting.close();
        }
    }
}

impl Listener {
    /// Waits until a record at `next` or behind it may match, and returns where
    /// to read on: what lies before that does not match. Returns at once if it
    /// is not known whether there is one.
    pub async fn heard(&self, next: Sequence) -> Sequence {
        let first = &self.slot.first;
        first.store(ARMED, SeqCst);
        if self.waiting.claimed.load(SeqCst) >= next.0 {
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
        let told = Sequence(self.waiting.told.load(SeqCst));
        match self.slot.first.load(SeqCst) {
            ARMED => next.max(told.next()),
            found => next.max(Sequence(found)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.waiting.lock().remove(self.keys.as_deref(), &self.slot);
    }
}

impl Slot {
    fn tell(&self, first: Sequence, woken: &mut Vec<Waker>) {
        // The look before the exchange keeps the memory of a slot that was told
        // already, as those of slow subscribers are, where it is.
        if self.first.load(SeqCst) == ARMED
            && self.first.compare_exchange(ARMED, first.0, SeqCst, SeqCst).is_ok()
        {
            woken.extend(self.waker.take());
        }
    }
}

impl Lists {
    fn add(&mut self, keys: Option<&[Key]>, slot: &Arc<Slot>) {
        match keys {
            None => self.every.push(Arc::clone(slot)),
            Some(keys) => {
                for key in keys {
                    self.by_key.entry(*key).or_default().push(Arc::clone(slot));
                }
            }
        }
    }

    fn remove(&mut self, keys: Option<&[Key]>, slot: &Arc<Slot>) {
        let take = |list: &mut Vec<Arc<Slot>>| {
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

    fn tell_every(&self, first: Sequence, woken: &mut Vec<Waker>) {
        self.every.iter().for_each(|slot| slot.tell(first, woken));
    }

    fn tell_all(&self, first: Sequence, woken: &mut Vec<Waker>) {
        self.tell_every(first, woken);
        self.by_key.values().flatten().for_each(|slot| slot.tell(first, woken));
    }

    /// Tells those whom the records of a view from `next` on concern.
    fn tell(&self, view: &View<'_>, next: Sequence, woken: &mut Vec<Waker>) {
        if view.base > next {
            // Evicted before the herald came by.
            self.tell_all(next, woken);
        }
        for position in view.position(next)..view.len() {
            let Some(row) = view.columns.get(position) else { return };
            for slot in keys_of(row).filter_map(|key| self.by_key.get(&key)).flatten() {
                slot.tell(view.sequence(position), woken);
            }
        }
    }
}

/// The keys of a record.
fn keys_of(row: &Columns) -> impl Iterator<Item = Key> {
    [
        Key::Type(row.type_id),
        Key::Result(row.result),
        Key::Session(row.session),
        Key::Server(row.server),
        Key::User(row.user),
        Key::User(row.impersonator),
    ]
    .into_iter()
}

/// The keys that a record must have one of to match; by the field that leaves the
/// fewest records, as a rule. `None` where every record may match, or where so
/// many do that it is cheaper to wake for each.
fn keys(selection: &Selection) -> Option<Vec<Key>> {
    fn all<T: Copy>(values: Option<&Vec<T>>, key: fn(T) -> Key) -> Option<Vec<Key>> {
        values.map(|values| values.iter().map(|value| key(*value)).collect())
    }
    let rare_types = |types: &&Vec<TypeId>| types.len() <= catalog::EVENT_TYPES.len() / 2;
    all(selection.sessions.as_ref(), Key::Session)
        .or_else(|| all(selection.users.as_ref(), Key::User))
        .or_else(|| all(selection.servers.as_ref(), Key::Server))
        .or_else(|| all(selection.types.as_ref().filter(rare_types), Key::Type))
        .or_else(|| all(selection.results.as_ref(), Key::Result))
}

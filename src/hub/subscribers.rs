//! The registry of open subscriptions, for GetStatus.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::filter::shorten;
use crate::hub::notifier::Waiter;
use crate::proto::pb;
use crate::record::Sequence;
use crate::time::Time;

/// The approximate most bytes of a filter that are kept to be shown.
const FILTER_SHOWN_BYTES_MAX: usize = 2 * 1024;

/// The public state of one open subscription.
pub struct SubscriberState {
    /// The principal; empty if authentication is off.
    pub principal: String,
    /// Network address.
    pub peer: String,
    /// Its filter, shortened if it is long.
    pub filter: pb::Filter,
    /// Whether the shown filter lacks values.
    pub filter_shortened: bool,
    /// Digest of the whole filter.
    pub(super) filter_digest: [u8; 32],
    /// When it began.
    pub started: Time,
    waiter: ArcSwapOption<Waiter>,
    sequence: AtomicU64,
    delivered: AtomicU64,
    expression_errors: AtomicU64,
}

impl SubscriberState {
    /// A subscriber at `peer` with this filter. Only the beginning of a long filter is kept.
    pub fn new(peer: String, filter: &pb::Filter) -> Self {
        let filter_digest = Sha256::digest(filter.encode_to_vec()).into();
        let shown = shorten(filter, FILTER_SHOWN_BYTES_MAX);
        let filter_shortened = matches!(shown, Cow::Owned(_));
        // A copy of the shown part, because the decoded one may have spare capacity.
        let filter = shown.into_owned();
        Self {
            principal: String::new(),
            peer,
            filter,
            filter_shortened,
            filter_digest,
            started: Time::now(),
            waiter: ArcSwapOption::empty(),
            sequence: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            expression_errors: AtomicU64::new(0),
        }
    }

    /// Sets the principal.
    pub fn named(self, principal: &str) -> Self {
        Self { principal: principal.to_owned(), ..self }
    }

    /// The last record that it received or that its filter excluded.
    pub fn sequence(&self) -> Sequence {
        let next = Sequence(self.sequence.load(Ordering::Relaxed)).next();
        self.waiter.load().as_ref().map_or(next, |waiter| waiter.skip(next)).previous()
    }

    /// Estimated memory that it takes, in bytes.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.peer.len() + self.principal.len() + 2 * self.filter.encoded_len()
    }

    /// The number of records that it was sent.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// The number of records on which its expression failed.
    pub fn expression_errors(&self) -> u64 {
        self.expression_errors.load(Ordering::Relaxed)
    }

    /// Sets the waiter, which knows the records that were skipped.
    pub(super) fn set_waiter(&self, waiter: Arc<Waiter>) {
        self.waiter.store(Some(waiter));
    }

    pub(super) fn advance(&self, sequence: Sequence, delivered: u64, expression_errors: u64) {
        self.sequence.store(sequence.0, Ordering::Relaxed);
        self.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.expression_errors.fetch_add(expression_errors, Ordering::Relaxed);
    }
}

/// The open subscriptions.
#[derive(Default)]
pub(super) struct SubscriberRegistry {
    open: Mutex<OpenSubscriptions>,
}

#[derive(Default)]
struct OpenSubscriptions {
    next: u64,
    subscribers: BTreeMap<u64, Arc<SubscriberState>>,
}

/// Keeps a subscriber in the registry until it is dropped.
pub(super) struct Registration {
    registry: Arc<SubscriberRegistry>,
    number: u64,
    subscriber: Arc<SubscriberState>,
}

impl SubscriberRegistry {
    pub fn register(
        self: &Arc<Self>,
        subscriber: SubscriberState,
        waiter: Arc<Waiter>,
    ) -> Registration {
        let subscriber = Arc::new(subscriber);
        subscriber.set_waiter(waiter);
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.subscribers.insert(number, Arc::clone(&subscriber));
        drop(open);
        Registration { registry: Arc::clone(self), number, subscriber }
    }

    pub fn list(&self) -> Vec<Arc<SubscriberState>> {
        self.lock().subscribers.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, OpenSubscriptions> {
        self.open.lock()
    }
}

impl std::ops::Deref for Registration {
    type Target = SubscriberState;

    fn deref(&self) -> &SubscriberState {
        &self.subscriber
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().subscribers.remove(&self.number);
    }
}

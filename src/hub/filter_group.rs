//! Subscriptions with equal filters share their work: the matches in a range of the log
//! are searched once and encoded once for all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};

use crate::hub::SubscribeMessage;
use crate::log::ScanQuery;
use crate::record::Sequence;
use crate::time::Time;

/// The maximum number of cached batches for one query.
const STRETCHES_MAX: usize = 16;
/// The maximum size of cached messages for all queries together, in bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The filter groups of all open subscriptions.
#[derive(Default)]
pub(super) struct FilterGroups {
    open: Mutex<HashMap<GroupKey, Weak<FilterGroup>, foldhash::fast::RandomState>>,
    /// The bytes of all cached batches.
    bytes: AtomicUsize,
}

/// A digest of a filter as it was asked for and of what those who ask may read, and the
/// times of the query.
type GroupKey = ([u8; 32], Time, Time);

/// The subscriptions with equal filters and rights.
pub(super) struct FilterGroup {
    groups: Arc<FilterGroups>,
    key: GroupKey,
    query: ScanQuery,
    kept: Mutex<VecDeque<CachedBatch>>,
}

/// The encoded matches in a range of the log.
#[derive(Clone)]
pub(super) struct CachedBatch {
    /// The first sequence of the range.
    pub from: Sequence,
    /// The sequence after the range.
    pub next: Sequence,
    /// The range ended at the newest record. When there is a newer one, later members should
    /// get more records at once.
    pub is_newest: bool,
    /// Records on which the expression failed.
    pub expression_errors: u64,
    /// The message; `None` if no record matches.
    pub message: Option<SubscribeMessage>,
}

impl FilterGroups {
    /// The group of this query; `filter` is the digest of the filter from which it was
    /// compiled.
    pub fn join(self: &Arc<Self>, filter: &[u8; 32], query: ScanQuery) -> Arc<FilterGroup> {
        let mut digest = Sha256::new();
        digest.update(filter);
        // Subscribers with other read grants find other records for the same filter.
        digest.update(query.filter.readable().identity());
        let key = (digest.finalize().into(), query.start, query.end);
        let mut open = self.open.lock();
        if let Some(group) = open.get(&key).and_then(Weak::upgrade) {
            return group;
        }
        let group =
            Arc::new(FilterGroup { groups: Arc::clone(self), key, query, kept: Mutex::default() });
        open.insert(key, Arc::downgrade(&group));
        group
    }
}

impl FilterGroup {
    /// The query of the group.
    pub fn query(&self) -> &ScanQuery {
        &self.query
    }

    /// The batch that another member found from `from` on, if it is still complete
    /// while `last` is the newest record.
    pub fn find(&self, from: Sequence, last: Sequence) -> Option<CachedBatch> {
        let serves =
            |kept: &&CachedBatch| kept.from == from && (!kept.is_newest || kept.next > last);
        self.lock().iter().rev().find(serves).cloned()
    }

    /// Caches a batch for the other members.
    pub fn keep(self: &Arc<Self>, batch: CachedBatch) {
        if Arc::strong_count(self) == 1 {
            return;
        }
        let mut kept = self.lock();
        kept.retain(|other| {
            let other_is_kept = other.from != batch.from;
            if !other_is_kept {
                self.release(other);
            }
            other_is_kept
        });
        let bytes = &self.groups.bytes;
        bytes.fetch_add(batch.byte_size(), Ordering::Relaxed);
        kept.push_back(batch);
        while kept.len() > STRETCHES_MAX || bytes.load(Ordering::Relaxed) > KEPT_BYTES_MAX {
            let Some(oldest) = kept.pop_front() else { break };
            self.release(&oldest);
        }
    }

    fn release(&self, batch: &CachedBatch) {
        self.groups.bytes.fetch_sub(batch.byte_size(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<CachedBatch>> {
        self.kept.lock()
    }
}

impl CachedBatch {
    fn byte_size(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.response.byte_size())
    }
}

/// The last member removes the group.
impl Drop for FilterGroup {
    fn drop(&mut self) {
        self.lock().iter().for_each(|kept| self.release(kept));
        let mut open = self.groups.open.lock();
        // Another subscription may have opened a new group meanwhile.
        if open.get(&self.key).is_some_and(|group| group.strong_count() == 0) {
            open.remove(&self.key);
        }
    }
}

//! The log in memory: a ring and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use uuid::Uuid;

use crate::filter::TypeSet;
use crate::log::read::{self, ReadFuture};
use crate::log::ring::{AppendAttempt, Bounds, Comparer, RingReader, RingStart, RingWriter};
use crate::log::{
    Append, Appended, BoxFuture, Error, Extent, HoldReport, Holds, Identity, ReadHint, ReadResult,
    RetentionHold, Sequencer, State, Store, TailKind,
};
use crate::record::{Draft, Sequence};
use crate::time::Time;

/// The largest segment, in bytes of records. A search visits each segment that may have a match, so
/// there should be few. The append that fills one waits some milliseconds for its index.
const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A log that keeps its newest records in memory while the process runs.
pub struct MemoryLog {
    identity: watch::Sender<Identity>,
    state: watch::Sender<State>,
    closed: AtomicBool,
    holds: Holds,
    bounds: Bounds,
    writer: Mutex<RingWriter>,
    shared: RingReader,
    comparer: Comparer,
    changed: watch::Sender<()>,
}

impl MemoryLog {
    /// An empty log with a new identity.
    ///
    /// # Panics
    /// If a bound is below its minimum.
    pub fn new(bounds: Bounds) -> Self {
        let identity = Identity { id: Uuid::now_v7(), epoch: 1, kind: "memory" };
        let writer = RingWriter::new(bounds, bounds.sizes(SEGMENT_BYTES_MAX), RingStart::default());
        Self {
            identity: watch::Sender::new(identity),
            state: watch::Sender::new(State::Ready),
            closed: AtomicBool::new(false),
            holds: Holds::default(),
            bounds,
            shared: RingReader::new(&writer),
            writer: Mutex::new(writer),
            comparer: Comparer::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Replaces the id.
    #[cfg(test)]
    pub fn with_id(self, id: Uuid) -> Self {
        self.identity.send_modify(|identity| identity.id = id);
        self
    }

    fn lock(&self) -> MutexGuard<'_, RingWriter> {
        // A panic while appending leaves only whole records: unpublished ones are overwritten.
        self.writer.lock()
    }

    /// Wakes the receivers of changes, if there are any.
    fn notify(&self) {
        // Between publishing a record and looking for receivers; see `changes`.
        fence(Ordering::SeqCst);
        if self.changed.receiver_count() > 0 {
            self.changed.send_replace(());
        }
    }

    async fn append_all(&self, drafts: &[Draft], append: Append) -> Result<Vec<Appended>, Error> {
        self.bounds.check_size(drafts)?;
        let mut comparison = self.comparer.begin(drafts);
        let mut known = comparison.within().await;
        known.check(drafts, append)?;
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            let attempt = self.lock().append(drafts, &known, append, &self.shared, &self.holds);
            match attempt {
                AppendAttempt::Done { appended, sealed } => {
                    if !append.validate_only() {
                        self.notify();
                    }
                    // Outside of the lock, because it takes milliseconds.
                    sealed.iter().for_each(|segment| segment.seal());
                    return Ok(appended);
                }
                AppendAttempt::Refused(conflict) => return Err(conflict.into()),
                AppendAttempt::Wait(hold, first) => hold.released(first).await,
                AppendAttempt::Compare(pairs) => {
                    let refused =
                        comparison.with_ring(&mut known, pairs, &self.shared, append).await;
                    if let Some(conflict) = refused.filter(|_| append.is_all_or_nothing()) {
                        return Err(conflict.into());
                    }
                }
            }
        }
    }
}

impl Sequencer for MemoryLog {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        Box::pin(self.append_all(drafts, append))
    }

    fn tail(&self, _tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        // No other process appends, and all written records are readable.
        Box::pin(std::future::ready(Ok(self.shared.last())))
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.identity.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        Box::pin(std::future::ready(()))
    }
}

impl Store for MemoryLog {
    fn extent(&self) -> Extent {
        // The segments are read before the newest record, so a segment that is dropped in between
        // makes the extent smaller, never larger.
        let first = self.shared.first();
        let last = self.shared.last();
        Extent {
            first,
            last,
            synced: last,
            bytes: self.shared.byte_size(),
            bytes_max: self.bounds.bytes,
            records_max: self.bounds.records,
            in_memory: (last.0 + 1).saturating_sub(first.0),
            evicted_until: self.shared.evicted_until(),
            last_accepted: self.shared.last_accepted(),
        }
    }

    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a> {
        read::at_once(self.shared.read(at, &hint).map(ReadResult::Records))
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        let found = self.shared.accepted_since(time);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        let found = self.lock().find(id, types, self.shared.last());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn changes(&self) -> watch::Receiver<()> {
        let changes = self.changed.subscribe();
        // Who appends sees this receiver, or this receiver sees what was appended.
        fence(Ordering::SeqCst);
        changes
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.holds.add(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.holds.report()
    }
}

//! The contract of a log, as the one on disk implements it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::Either;
use tokio::sync::watch;

use crate::filter::TypeSet;
use crate::log::disk::{DiskLog, DiskLogInner};
use crate::log::read::{self, ReadFuture};
use crate::log::{
    Append, Appended, BoxFuture, DamagedRange, Error, Extent, HoldReport, Identity, ReadHint,
    ReadResult, RetentionHold, Segment, Sequencer, State, StorageReport, Store, TailKind,
};
use crate::record::{Draft, Sequence};
use crate::time::Time;

impl Sequencer for DiskLog {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        Box::pin(self.append_all(drafts, append))
    }

    fn tail(&self, _tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        // Nobody else appends.
        let tail = self.inner.lock().writer.last();
        Box::pin(std::future::ready(Ok(tail)))
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.inner.announced.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let thread = self.begin_closing();
        Box::pin(async move {
            // It writes and syncs: off the runtime. A panic there has been printed, and has
            // left the log as a crash would: the next opening puts it in order.
            if let Some(thread) = thread {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            self.inner.refuse_all();
        })
    }
}

impl Store for DiskLog {
    fn extent(&self) -> Extent {
        let inner = &*self.inner;
        // The oldest record before the newest: see the log in memory.
        let first = inner.first();
        let synced = Sequence(inner.synced.load(Ordering::Acquire));
        let in_memory = inner.shared.first();
        let last = inner.shared.last();
        let removed_until = Time(inner.removed_until.load(Ordering::Acquire) as i64);
        Extent {
            first,
            last,
            synced: synced.min(last),
            bytes: inner.shared.byte_size(),
            bytes_max: inner.config.ring.bytes,
            records_max: inner.config.ring.records,
            in_memory: (last.0 + 1).saturating_sub(in_memory.0),
            evicted_until: (removed_until != Time::MIN).then_some(removed_until),
            last_accepted: inner.shared.last_accepted(),
        }
    }

    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a> {
        match self.inner.shared.read(at, &hint) {
            None => read::at_once(None),
            Some(segment) if segment.base() <= at => {
                read::at_once(Some(ReadResult::Records(segment)))
            }
            Some(segment) => Either::Right(Box::pin(self.inner.read_before(segment, at, hint))),
        }
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        Box::pin(async move {
            let inner = &*self.inner;
            let in_ring = inner.shared.accepted_since(time);
            if in_ring > inner.shared.first() {
                return Ok(in_ring);
            }
            let on_disk = inner.sealed.accepted_since(time).await?;
            Ok(on_disk.map_or(in_ring, |on_disk| on_disk.min(in_ring)).max(inner.first()))
        })
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        let (id, types) = (id.to_owned(), Arc::clone(types));
        Box::pin(async move {
            let inner = &*self.inner;
            let first = inner.shared.first();
            let in_ring = inner.lock().writer.find(&id, &types, inner.shared.last());
            let found = match in_ring {
                Some(found) => Some(found),
                None => inner.sealed.find(&id, &types, first).await?,
            };
            Ok(found.filter(|found| *found >= inner.first()))
        })
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.inner.holds.add(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.inner.holds.report()
    }

    fn kept_of_epoch(&self, epoch: u64) -> Option<Sequence> {
        self.inner.lock_durable().kept_of_epoch(epoch)
    }

    fn storage(&self) -> Option<StorageReport> {
        let inner = &*self.inner;
        Some(StorageReport {
            sync: inner.config.sync.to_string(),
            bytes: inner.disk_bytes(),
            bytes_max: inner.config.retain.bytes,
            damage: inner.damage(),
            syncs: inner.syncs.snapshot(),
        })
    }
}

impl DiskLogInner {
    /// Records that cannot be read.
    fn damage(&self) -> Vec<DamagedRange> {
        let mut damage = self.sealed.damage();
        let begins = self.sealed.first().unwrap_or(self.shared.first());
        if self.first() < begins {
            damage.insert(0, DamagedRange { first: self.first(), last: begins.previous() });
        }
        damage
    }

    /// What lies before the oldest segment of the ring.
    async fn read_before(
        &self,
        mut oldest: Arc<Segment>,
        at: Sequence,
        hint: ReadHint<'_>,
    ) -> Result<Option<ReadResult>, Error> {
        loop {
            if let Some(found) = self.read_sealed(at, hint).await? {
                return Ok(Some(found));
            }
            // What was oldest in the ring a moment ago.
            if self.shared.first() == oldest.base() {
                return Ok(Some(ReadResult::Records(oldest)));
            }
            match self.shared.read(at, &hint) {
                None => return Ok(None),
                Some(segment) if segment.base() <= at => {
                    return Ok(Some(ReadResult::Records(segment)));
                }
                Some(segment) => oldest = segment,
            }
        }
    }

    /// What lies before the ring.
    async fn read_sealed(
        &self,
        at: Sequence,
        hint: ReadHint<'_>,
    ) -> Result<Option<ReadResult>, Error> {
        let at = at.max(self.first());
        let found = self.sealed.read(at, hint).await?;
        // Before the first file: it was there, and is not any more.
        let begins = self.sealed.first().unwrap_or(self.shared.first());
        if at < begins && begins > self.first() {
            return Ok(Some(ReadResult::Damaged { first: self.first(), last: begins.previous() }));
        }
        Ok(found)
    }
}

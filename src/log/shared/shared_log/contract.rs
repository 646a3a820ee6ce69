//! The contract of a log, as a shared one implements it: the copy answers what is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::SharedLog;
use crate::filter::TypeSet;
use crate::log::{
    Append, Appended, BoxFuture, CheckpointExchange, Error, Extent, HoldReport, Identity,
    ReadFuture, ReadHint, ReplicationReport, RetentionHold, Sequencer, State, StorageReport, Store,
    TailKind,
};
use crate::record::{Draft, Sequence};
use crate::time::Time;

/// Who asks for the consistent tail waits so long at most until the copy has it.
const TAIL_TIME_MAX: Duration = Duration::from_secs(5);
/// A stream that has nothing new is asked again after so long.
const DOUBT_TIME: Duration = Duration::from_millis(300);
/// Closing waits so long at most for what is on its way.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(12);

impl Sequencer for SharedLog {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        Box::pin(self.inner.append_all(drafts, append))
    }

    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        let inner = &*self.inner;
        Box::pin(async move {
            if tail == TailKind::Fast {
                return Ok(Sequence(inner.applied.borrow().count));
            }
            let away = |why: String| Error::Away { why };
            let ask = async || inner.stream.ends().await.map_err(|error| away(error.to_string()));
            let known = inner.applied.borrow().position;
            let mut ends = ask().await?;
            if ends.last <= known {
                // A leader that was suspended answers before it learns that there is another one.
                tokio::time::sleep(DOUBT_TIME).await;
                ends = ask().await?;
            }
            inner.lock().tail.told(ends.last, std::time::Instant::now());
            inner.wake.notify_one();
            let mut applied = inner.applied.subscribe();
            let reached = applied.wait_for(|state| state.position >= ends.last);
            match tokio::time::timeout(TAIL_TIME_MAX, reached).await {
                Ok(Ok(state)) => Ok(Sequence(state.count)),
                Ok(Err(_)) => Err(Error::Closed),
                Err(_) => Err(away(format!(
                    "the copy has not reached message {} of the stream in time",
                    ends.last
                ))),
            }
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.inner.identity.subscribe()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }

    fn replication(&self) -> Option<ReplicationReport> {
        let report = self.report();
        let stream = self.inner.stream.report();
        Some(ReplicationReport {
            stream: stream.name,
            server: stream.server,
            replicas: stream.replicas,
            position: report.position,
            end: report.stream_end,
            in_flight: report.in_flight,
            pending: report.pending,
            repeats: report.repeats,
            seen: report.seen,
            void: report.void,
            stale: report.stale,
            invalid: report.invalid,
            disagreements: report.disagreements,
            disagreement: report.disagreement.map(|found| found.to_string()),
            warnings: stream.warnings,
            differences: report.differences,
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.is_closing.store(true, Ordering::Release);
        self.inner.wake.notify_one();
        let driver = self.driver.lock().take();
        Box::pin(async move {
            if let Some(mut driver) = driver
                && tokio::time::timeout(CLOSE_TIME_MAX, &mut driver).await.is_err()
            {
                driver.abort();
            }
        })
    }
}

impl Store for SharedLog {
    fn extent(&self) -> Extent {
        self.inner.disk.extent()
    }

    fn read<'a>(&'a self, at: Sequence, hint: ReadHint<'a>) -> ReadFuture<'a> {
        self.inner.disk.read(at, hint)
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.inner.disk.accepted_since(time)
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        self.inner.disk.find(id, types)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.inner.disk.changes()
    }

    fn kept_of_epoch(&self, epoch: u64) -> Option<Sequence> {
        self.inner.disk.kept_of_epoch(epoch)
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.inner.disk.hold(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.inner.disk.holds()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointExchange>> {
        Some(Arc::clone(&self.inner) as _)
    }

    fn storage(&self) -> Option<StorageReport> {
        self.inner.disk.storage()
    }
}

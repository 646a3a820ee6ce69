//! Applying a message: the machine decides, the copy gets the records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Driver, Failure, StreamReply, in_time};
use crate::log::disk::FrameRun;
use crate::log::shared::machine::{Applied, Placement};
use crate::log::shared::message::{MessageContent, SharedMessage};
use crate::log::shared::publisher::{Ended, UnitOutcome};
use crate::log::shared::shared_log::Waiter;
use crate::log::shared::stream::StreamEntry;
use crate::log::{Error, ReadHint, ReadResult, Store as _};
use crate::record::{Acceptance, FrameScratch, Record, Sequence, UnplacedRecord};

/// While the copy has no space, it is tried again after so long.
const SPACE_PAUSE: Duration = Duration::from_millis(500);

impl Driver {
    /// Applies the message that comes next.
    pub(super) async fn apply(&mut self, entry: StreamEntry) -> Result<(), Failure> {
        let inner = self.inner.clone();
        let own = inner.lock().publisher.own(&entry.bytes).map(Ok);
        let decoded = own.unwrap_or_else(|| SharedMessage::decode(&entry.bytes, &inner.keys));
        let message = match decoded {
            Ok(message) => message,
            // One replica may have damaged it.
            Err(fault)
                if fault.is_skipped()
                    && inner.lock().tail.doubt(entry.position, Instant::now()) =>
            {
                return Ok(());
            }
            Err(fault) if fault.is_skipped() => {
                inner.counts.invalid.fetch_add(1, Ordering::Relaxed);
                inner.machine.lock().skip(entry.position).map_err(|error| error.to_string())?;
                self.note(&entry);
                return Ok(());
            }
            Err(fault) => {
                return Err(format!("message {} of the stream: {fault}", entry.position));
            }
        };
        if let MessageContent::Epoch(change) = message.content {
            return self.begin_epoch(&entry, change).await;
        }
        let mut frames = FrameRun::default();
        let mut scratch = FrameScratch::default();
        let applied =
            inner.machine.lock().apply(entry.position, entry.timestamp, &message, |new| {
                let parts =
                    UnplacedRecord { head: new.head, event: new.event, is_untimed: new.is_untimed };
                let accepted = Acceptance { time: new.accept_time, clock: new.timestamp };
                parts.frame(new.sequence, accepted, &mut scratch, |part| frames.extend(part));
                crc32c::crc32c(frames.end_frame())
            });
        let applied = applied.map_err(|error| error.to_string())?;
        let is_own = {
            let mut core = inner.lock();
            if applied.disagreement.is_some() {
                core.disagreement = applied.disagreement;
                inner.counts.disagreements.fetch_add(1, Ordering::Relaxed);
            }
            message.sender == core.publisher.sender()
        };
        self.store(&frames).await?;
        // From now on, ids of the message are found.
        self.note(&entry);
        self.keepalive.applied(Instant::now());
        if is_own {
            self.condition.is_taken();
            self.count(&applied);
            let ended = inner.lock().publisher.applied(message.counter, &applied, Instant::now());
            self.end_when_readable(ended, &applied);
        }
        self.take_announcement(&entry, message, &applied);
        Ok(())
    }

    /// Gives those who wait for a message their receipts as soon as its records are readable: one
    /// wait for all of them.
    fn end_when_readable(&mut self, ended: Ended<Waiter>, applied: &Applied) {
        let sequence = |placement: &Placement| match placement {
            Placement::Stored(sequence) => Some(*sequence),
            Placement::Seen | Placement::Void | Placement::Stale => None,
        };
        let Some(newest) = applied.placements.iter().rev().find_map(sequence) else {
            return self.inner.end(ended);
        };
        let inner = Arc::clone(&self.inner);
        self.committing += 1;
        self.work.spawn(async move {
            match inner.disk.committed(newest).await {
                Ok(()) => inner.end(ended),
                Err(error) => {
                    let unknown = UnitOutcome::Unknown(error.to_string());
                    let waiters = ended.into_iter().map(|(waiter, _)| (waiter, unknown.clone()));
                    inner.end(waiters.collect());
                }
            }
            StreamReply::Readable
        });
    }

    /// The copy has all up to this message.
    pub(super) fn note(&mut self, entry: &StreamEntry) {
        self.mark.state = self.inner.machine.lock().state();
        self.mark.timestamp = entry.timestamp;
        self.mark.checksum = crc32c::crc32c(&entry.bytes);
        self.inner.applied.send_replace(self.mark.state);
    }

    /// Adds records to the copy, however long that takes.
    async fn store(&mut self, frames: &FrameRun) -> Result<(), Failure> {
        if frames.is_empty() {
            return Ok(());
        }
        self.compare(frames).await?;
        loop {
            match self.inner.disk.push(frames).await {
                Ok(()) => {
                    self.condition.has_space();
                    return Ok(());
                }
                Err(Error::Full { why }) => {
                    self.condition.lacks_space(why);
                    self.show_condition();
                    if self.inner.is_closing.load(Ordering::Acquire) {
                        return Err("the log was closed while its copy had no space".to_owned());
                    }
                    tokio::time::sleep(SPACE_PAUSE).await;
                    // Meanwhile it shows how far the copy falls behind.
                    if let Ok(ends) = in_time(self.inner.stream.ends()).await {
                        self.inner.lock().tail.told(ends.last, Instant::now());
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// What the copy has already, since it stopped after its mark, must be the same.
    async fn compare(&self, frames: &FrameRun) -> Result<(), Failure> {
        let extent = self.inner.disk.extent();
        for place in 0..frames.len() {
            let Some(frame) = frames.get(place) else { break };
            let sequence = Record::read_frame(frame).sequence;
            if sequence > extent.last {
                break;
            }
            if sequence >= extent.first && !self.has(sequence, frame).await {
                return Err(format!(
                    "record {sequence} of the copy is not the one of the stream: empty the data \
                     directory to join anew"
                ));
            }
        }
        Ok(())
    }

    /// Whether a record of the copy is the same; one that cannot be read counts as such.
    async fn has(&self, sequence: Sequence, frame: &[u8]) -> bool {
        let read = self.inner.disk.read(sequence, ReadHint::one()).await;
        let Ok(Some(ReadResult::Records(segment))) = read else { return true };
        let view = segment.view(sequence);
        !view.holds(sequence) || view.frame(view.position(sequence)) == frame
    }

    /// Counts the records of this gateway that are looked up again.
    fn count(&self, applied: &Applied) {
        let counts = &self.inner.counts;
        let add = |count: &AtomicU64, wanted: Placement| {
            let found = applied.placements.iter().filter(|placement| **placement == wanted);
            count.fetch_add(found.count() as u64, Ordering::Relaxed);
        };
        add(&counts.seen, Placement::Seen);
        add(&counts.void, Placement::Void);
        add(&counts.stale, Placement::Stale);
    }
}

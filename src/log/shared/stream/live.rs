//! The live messages of a stream on their way to a gateway. Whoever may publish to the stream
//! can make them as large as a message may be, so they are bounded by count and by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{LIVE_ENTRIES_MAX, READ_BYTES_MAX, StreamEntry};

/// Live messages that wait take so many bytes at most, unless one is larger.
pub const LIVE_BYTES_MAX: usize = 4 * READ_BYTES_MAX;

/// Hands live messages over.
#[derive(Debug)]
pub struct LiveSender {
    sender: mpsc::Sender<StreamEntry>,
    bytes: Arc<AtomicUsize>,
}

/// Live messages as they come.
#[derive(Debug)]
pub struct LiveReceiver {
    receiver: mpsc::Receiver<StreamEntry>,
    bytes: Arc<AtomicUsize>,
}

/// A channel for live messages: at most `LIVE_ENTRIES_MAX` and `LIVE_BYTES_MAX` wait.
pub fn live_channel() -> (LiveSender, LiveReceiver) {
    let (sender, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    (LiveSender { sender, bytes: Arc::clone(&bytes) }, LiveReceiver { receiver, bytes })
}

impl LiveSender {
    /// Hands a message over. One for which there is no room is dropped: it is read later.
    /// Returns whether somebody still receives.
    pub fn send(&self, entry: StreamEntry) -> bool {
        let len = entry.bytes.len();
        let waiting = self.bytes.load(Ordering::Acquire);
        if waiting > 0 && waiting + len > LIVE_BYTES_MAX {
            return !self.sender.is_closed();
        }
        self.bytes.fetch_add(len, Ordering::AcqRel);
        match self.sender.try_send(entry) {
            Ok(()) => true,
            Err(error) => {
                self.bytes.fetch_sub(len, Ordering::AcqRel);
                matches!(error, TrySendError::Full(_))
            }
        }
    }

    /// Ends when nobody receives any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl LiveReceiver {
    /// The next message; `None` when there are no more. Dropping the future loses none.
    pub async fn recv(&mut self) -> Option<StreamEntry> {
        let entry = self.receiver.recv().await?;
        Some(self.received(entry))
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<StreamEntry> {
        let entry = self.receiver.try_recv().ok()?;
        Some(self.received(entry))
    }

    fn received(&self, entry: StreamEntry) -> StreamEntry {
        self.bytes.fetch_sub(entry.bytes.len(), Ordering::AcqRel);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn entry(position: u64, len: usize) -> StreamEntry {
        StreamEntry { position, timestamp: Time(0), bytes: vec![0; len].into() }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_count_and_by_bytes() {
        let (sender, mut receiver) = live_channel();
        for position in 0..2 * LIVE_ENTRIES_MAX as u64 {
            assert!(sender.send(entry(position, 1)));
        }
        let received = std::iter::from_fn(|| receiver.try_recv());
        assert!(received.map(|entry| entry.position).eq(0..LIVE_ENTRIES_MAX as u64));
        for position in 0..100 {
            assert!(sender.send(entry(position, LIVE_BYTES_MAX / 4)));
        }
        assert_eq!(sender.bytes.load(Ordering::Relaxed), LIVE_BYTES_MAX);
        let received = std::iter::from_fn(|| receiver.try_recv());
        assert!(received.map(|entry| entry.position).eq(0..4));
        assert_eq!(sender.bytes.load(Ordering::Relaxed), 0);
        // One that is larger than all is handed over alone.
        assert!(sender.send(entry(7, LIVE_BYTES_MAX + 1)) && sender.send(entry(8, 1)));
        assert_eq!(receiver.recv().await.map(|entry| entry.position), Some(7));
        assert_eq!(receiver.try_recv(), None);
        drop(receiver);
        assert!(!sender.send(entry(9, 1)));
        sender.closed().await;
    }
}

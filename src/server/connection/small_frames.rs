//! Counts and charges small DATA frames that were read from a connection, but not yet by their
//! calls.
//!
//! h2 stores each frame separately, with the same overhead for one byte or hundreds, in a table
//! that does not shrink while the connection is open. Flow-control windows count only the payload,
//! so they hardly bound small frames: 130,000 frames of a byte held 45 MiB. This module counts
//! them, and charges them to the client's account.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Connection;
use super::lazy_timer::LazyTimer;
use crate::service::quota::{MemoryCharge, MemoryKind};

/// DATA frames with a smaller payload are small, in bytes.
pub const SMALL_FRAME_BYTES: usize = 256;
/// Memory of a frame in h2 beside its payload, in bytes, measured.
const HELD_BYTES: usize = 360;
/// The most unread small frames; beyond it, reading from the connection pauses.
const UNREAD_MAX: u64 = 8_000;
/// The number that is not charged: it is covered by the buffers that a connection is charged for.
const UNCHARGED_MAX: u64 = 64;
/// The number beyond which reads are short, because a read of 64 KiB may have 6,500 frames of a
/// byte.
const UNREAD_MANY: u64 = UNREAD_MAX / 2;
/// How many are forgotten a second while reading pauses, because frames of ended calls are never
/// read.
const FORGOTTEN_PER_SECOND: f64 = 500.0;
/// How often a paused connection is checked.
const PAUSE: Duration = Duration::from_millis(10);
/// The size of short reads, in bytes.
const READ_BYTES_MAX: usize = 4 * 1024;

/// The number of unread small frames.
#[derive(Debug, Default)]
pub struct UnreadFrames(AtomicU64);

impl UnreadFrames {
    /// Adds frames that were read from the connection.
    pub fn add(&self, frames: u64) {
        self.0.fetch_add(frames, Relaxed);
    }

    /// Removes frames that were read by a call, or dropped.
    fn remove(&self, frames: u64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(frames)));
    }

    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Pauses reading from a connection while too many small frames are unread.
#[derive(Default)]
pub struct SmallFrameLimit {
    /// The charge for the most unread frames so far.
    charge: Option<MemoryCharge>,
    /// Since when reading pauses.
    paused_since: Option<Instant>,
    timer: LazyTimer,
}

impl SmallFrameLimit {
    /// Whether reading from the connection must pause; the task is woken again.
    pub fn holds_back(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let frames = &connection.unread_frames;
        let mut unread = frames.count();
        if unread <= UNCHARGED_MAX {
            self.paused_since = None;
            return false;
        }
        if !connection.has_calls() {
            // h2 drops unread frames of ended calls.
            frames.remove(unread);
            unread = 0;
        }
        if self.charge(connection, unread) && unread <= UNREAD_MAX {
            self.paused_since = None;
            return false;
        }
        let now = Instant::now();
        let since = self.paused_since.get_or_insert(now);
        let forgotten = ((now - *since).as_secs_f64() * FORGOTTEN_PER_SECOND) as u64;
        if forgotten > 0 {
            frames.remove(forgotten);
            *since = now;
        }
        !self.timer.is_over(now + PAUSE, cx)
    }

    /// The most bytes of the next read.
    pub fn read_bytes(&self, connection: &Connection) -> usize {
        if connection.unread_frames.count() > UNREAD_MANY { READ_BYTES_MAX } else { usize::MAX }
    }

    /// Charges h2's table of this many frames. Returns false if that is too much.
    fn charge(&mut self, connection: &Connection, unread: u64) -> bool {
        let Some(quota) = connection.quota.get() else { return true };
        let places = (unread as usize).next_power_of_two();
        let charge =
            self.charge.get_or_insert_with(|| quota.account().charge(MemoryKind::Receiving, 0));
        let bytes = places * HELD_BYTES;
        bytes <= charge.bytes() || charge.try_set(bytes).is_ok()
    }
}

/// A request body that counts the small frames that are read.
pub struct CountedBody<B> {
    body: B,
    connection: Arc<Connection>,
}

impl<B> CountedBody<B> {
    /// A body of a call on this connection.
    pub fn new(body: B, connection: Arc<Connection>) -> Self {
        Self { body, connection }
    }
}

impl<B: Body<Data = bytes::Bytes> + Unpin> Body for CountedBody<B> {
    type Data = bytes::Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && is_small(data.len())
        {
            self.connection.unread_frames.remove(1);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a DATA frame with this payload is small.
pub fn is_small(bytes: usize) -> bool {
    bytes > 0 && bytes < SMALL_FRAME_BYTES
}

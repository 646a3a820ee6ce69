//! Small DATA frames that were read from a connection, and not yet by the calls that they belong to.
//!
//! h2 keeps each of them apart, in as much memory whether it carries a byte or hundreds, and in a table that does
//! not shrink while the connection is open. Windows count what frames carry, and so bound small ones by little:
//! 130,000 frames of a byte held 45 MiB. Here they are counted, and are on the account of the client.

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

/// DATA frames that carry less are small, in bytes.
pub const SMALL_FRAME_BYTES: usize = 256;
/// What h2 keeps of a frame beside what it carries, in bytes, by measure.
const HELD_BYTES: usize = 360;
/// How many may be unread before nothing more is read from the connection.
const UNREAD_MAX: u64 = 8_000;
/// So many are not counted: they take as much as the buffers that a connection is charged for.
const UNCHARGED_MAX: u64 = 64;
/// Beyond so many, little is read at once: a read of 64 KiB may hold 6,500 frames of a byte.
const UNREAD_MANY: u64 = UNREAD_MAX / 2;
/// How many are forgotten in a second while nothing is read: those of calls that have ended are never read.
const FORGOTTEN_PER_SECOND: f64 = 500.0;
/// How often it is looked whether reading may go on.
const PAUSE: Duration = Duration::from_millis(10);
/// How much is read at once while many are unread, in bytes.
const READ_BYTES_MAX: usize = 4 * 1024;

/// How many are unread.
#[derive(Debug, Default)]
pub struct UnreadFrames(AtomicU64);

impl UnreadFrames {
    /// So many were read from the connection.
    pub fn add(&self, frames: u64) {
        self.0.fetch_add(frames, Relaxed);
    }

    /// So many were read by a call, or are no longer there.
    fn remove(&self, frames: u64) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(frames)));
    }

    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Holds a connection back while too many small frames are unread.
#[derive(Default)]
pub struct SmallFrameLimit {
    /// The most that were unread so far are on the account of the client.
    charge: Option<MemoryCharge>,
    /// Since when nothing is read.
    paused_since: Option<Instant>,
    timer: LazyTimer,
}

impl SmallFrameLimit {
    /// Whether nothing may be read from the connection for now; the task is woken again.
    pub fn holds_back(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let frames = &connection.unread_frames;
        let mut unread = frames.count();
        if unread <= UNCHARGED_MAX {
            self.paused_since = None;
            return false;
        }
        if !connection.has_calls() {
            // What calls leave unread, h2 drops with them.
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

    /// How much may be read at once.
    pub fn read_bytes(&self, connection: &Connection) -> usize {
        if connection.unread_frames.count() > UNREAD_MANY { READ_BYTES_MAX } else { usize::MAX }
    }

    /// Charges the table in which h2 keeps so many frames; false if that is too much.
    fn charge(&mut self, connection: &Connection, unread: u64) -> bool {
        let Some(quota) = connection.quota.get() else { return true };
        let places = (unread as usize).next_power_of_two();
        let charge =
            self.charge.get_or_insert_with(|| quota.account().charge(MemoryKind::Receiving, 0));
        let bytes = places * HELD_BYTES;
        bytes <= charge.bytes() || charge.try_set(bytes).is_ok()
    }
}

/// A request body that tells which small frames were read.
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

/// Whether a DATA frame that carries so much is a small one.
pub fn is_small(bytes: usize) -> bool {
    bytes > 0 && bytes < SMALL_FRAME_BYTES
}

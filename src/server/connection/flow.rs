//! Tracks the data that waits on a connection for its client, and since when.
//!
//! A response is passed to the transport in pieces. Each piece is dropped when the transport has
//! written it to the socket, which is the progress of its stream and of its connection. A client
//! that does not open the window of a stream, or does not read its socket, takes no pieces.
//!
//! A connection is stalled if data waits on it for too long and none is taken. On a connection with
//! progress, a stream is stalled if it takes nothing for as long although the others took so much
//! that its turn would have come twice: streams that share a slow connection are not to blame.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::clock::ConnectionClock;
use crate::service::quota::fair::Share;

/// The most bytes of a piece: two frames of the usual size. A client that takes 64 KiB a second takes two
/// pieces a second.
pub const PIECE_BYTES_MAX: usize = 32 * 1024;

/// Aborts the task of a stream, once it is known. h2 then resets the stream, and frees its memory.
pub type Reset = Arc<OnceLock<AbortHandle>>;

/// The responses of one connection.
#[derive(Debug)]
pub struct Flows {
    clock: Arc<ConnectionClock>,
    begun: Instant,
    next: AtomicU64,
    /// The number of bytes taken.
    taken: AtomicU64,
    /// When bytes were last taken, in milliseconds after the beginning.
    moved_at: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Flow>, RandomState>>,
}

/// One response.
#[derive(Debug)]
pub struct Flow {
    flows: Arc<Flows>,
    number: u64,
    reset: Option<Reset>,
    /// Bytes of pieces that the transport holds.
    bytes: AtomicUsize,
    /// Whether there is nothing to send now.
    idle: AtomicBool,
    /// Whether no more pieces will follow.
    ended: AtomicBool,
    /// Whether it was reset.
    is_reset: AtomicBool,
    /// When a piece was last taken, or the first one began to wait, in milliseconds.
    moved_at: AtomicU64,
    /// How many bytes the connection had taken by then.
    taken_at: AtomicU64,
}

/// What is stalled on a connection.
#[derive(Debug)]
pub enum Stalled {
    /// Nothing.
    Nothing,
    /// These streams.
    Streams(Vec<Arc<Flow>>),
    /// The whole of it.
    All,
}

impl Flows {
    /// The flows of a connection with this clock.
    pub fn new(clock: Arc<ConnectionClock>) -> Arc<Self> {
        Arc::new(Self {
            begun: clock.recent(),
            clock,
            next: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            moved_at: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    /// Adds a response, which waits to be taken from now on.
    pub fn open(self: &Arc<Self>, reset: Option<Reset>) -> Arc<Flow> {
        let flow = Arc::new(Flow {
            flows: Arc::clone(self),
            number: self.next.fetch_add(1, SeqCst),
            reset,
            bytes: AtomicUsize::new(0),
            idle: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            moved_at: AtomicU64::new(self.millis(self.clock.now())),
            taken_at: AtomicU64::new(self.taken.load(SeqCst)),
        });
        self.lock().insert(flow.number, Arc::clone(&flow));
        flow
    }

    /// The stalled streams; a client may take nothing for at most `limit`.
    pub fn stalled(&self, limit: Duration) -> Stalled {
        let (now, limit) = (self.millis(self.clock.now()), limit.as_millis() as u64);
        let waiting: Vec<Arc<Flow>> =
            self.lock().values().filter(|flow| flow.waits()).cloned().collect();
        let is_old = |moved_at: &AtomicU64| now.saturating_sub(moved_at.load(SeqCst)) >= limit;
        let count = waiting.len() as u64;
        let mut stalled: Vec<Arc<Flow>> = waiting;
        stalled.retain(|flow| is_old(&flow.moved_at));
        if stalled.is_empty() {
            return Stalled::Nothing;
        }
        if is_old(&self.moved_at) {
            return Stalled::All;
        }
        let passed_over = 2 * count * PIECE_BYTES_MAX as u64;
        let taken = self.taken.load(SeqCst);
        stalled.retain(|flow| taken.saturating_sub(flow.taken_at.load(SeqCst)) >= passed_over);
        // If a reset did not help, the whole connection is stalled.
        match stalled.iter().any(|flow| flow.is_reset.load(SeqCst) || flow.reset.is_none()) {
            true => Stalled::All,
            false if stalled.is_empty() => Stalled::Nothing,
            false => Stalled::Streams(stalled),
        }
    }

    /// Converts a time to milliseconds after the beginning.
    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Flow>, RandomState>> {
        self.open.lock()
    }
}

impl Flow {
    /// Adds a piece, which waits until the transport drops it.
    pub fn piece(self: &Arc<Self>, bytes: Bytes, share: Option<Share>) -> Bytes {
        if self.idle.swap(false, SeqCst) && self.bytes.load(SeqCst) == 0 {
            self.moved(self.flows.clock.now());
        }
        self.bytes.fetch_add(bytes.len(), SeqCst);
        Bytes::from_owner(Piece { bytes, flow: Arc::clone(self), _share: share })
    }

    /// Notes that there is nothing to send until the next piece.
    pub fn idle(&self) {
        self.idle.store(true, SeqCst);
    }

    /// Notes that no piece will follow.
    pub fn end(&self) {
        self.ended.store(true, SeqCst);
        self.leave();
    }

    /// Resets the stream.
    pub fn reset(&self) {
        self.is_reset.store(true, SeqCst);
        if let Some(task) = self.reset.as_ref().and_then(|reset| reset.get()) {
            task.abort();
        }
    }

    /// Whether the stream was reset.
    pub fn was_reset(&self) -> bool {
        self.is_reset.load(SeqCst)
    }

    fn waits(&self) -> bool {
        let ended = self.ended.load(SeqCst) || self.idle.load(SeqCst);
        !ended || self.bytes.load(SeqCst) > 0
    }

    fn moved(&self, at: Instant) {
        self.moved_at.store(self.flows.millis(at), SeqCst);
        self.taken_at.store(self.flows.taken.load(SeqCst), SeqCst);
    }

    /// Removes the flow if no piece waits or will follow.
    fn leave(&self) {
        if self.ended.load(SeqCst) && self.bytes.load(SeqCst) == 0 {
            self.flows.lock().remove(&self.number);
        }
    }
}

/// A part of a response that the transport holds.
struct Piece {
    bytes: Bytes,
    flow: Arc<Flow>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let (flow, flows) = (&self.flow, &self.flow.flows);
        flows.taken.fetch_add(self.bytes.len() as u64, SeqCst);
        // The transport has written it, during a poll of the connection.
        let now = flows.clock.recent();
        flows.moved_at.store(flows.millis(now), SeqCst);
        flow.moved(now);
        flow.bytes.fetch_sub(self.bytes.len(), SeqCst);
        flow.leave();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);
    const SECOND: Duration = Duration::from_secs(1);

    fn piece(flow: &Arc<Flow>) -> Bytes {
        flow.piece(Bytes::from(vec![0; PIECE_BYTES_MAX]), None)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_stalled_and_who_has_nothing_to_take_is_not() {
        let flows = Flows::new(ConnectionClock::start());
        let flow = flows.open(None);
        advance(LIMIT - SECOND).await;
        assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing));
        advance(SECOND).await;
        assert!(matches!(flows.stalled(LIMIT), Stalled::All), "the head alone waits");
        let piece = piece(&flow);
        drop(piece);
        flow.idle();
        advance(10 * LIMIT).await;
        assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing), "there is nothing to take");
        let piece = self::piece(&flow);
        flow.idle();
        advance(LIMIT - SECOND).await;
        assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing), "it has waited for 7 s");
        advance(SECOND).await;
        assert!(matches!(flows.stalled(LIMIT), Stalled::All));
        flow.end();
        assert!(matches!(flows.stalled(LIMIT), Stalled::All), "it was not taken");
        drop(piece);
        assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing));
        assert!(flows.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_a_slow_connection_are_not_stalled() {
        let flows = Flows::new(ConnectionClock::start());
        let streams: Vec<_> = (0..40).map(|_| flows.open(Some(Reset::default()))).collect();
        // The connection takes two pieces a second, of each stream in turn: one in 20 s.
        for turn in 0..200 {
            drop(piece(&streams[turn % streams.len()]));
            advance(SECOND / 2).await;
            assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing), "turn {turn}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_stream_of_a_connection_that_goes_on_is_reset_alone() {
        let flows = Flows::new(ConnectionClock::start());
        let (closed, busy) = (flows.open(Some(Reset::default())), flows.open(None));
        let held = piece(&closed);
        for _ in 0..8 {
            drop(piece(&busy));
            drop(piece(&busy));
            assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing));
            advance(SECOND).await;
        }
        match flows.stalled(LIMIT) {
            Stalled::Streams(stalled) => assert_eq!(stalled.len(), 1),
            other => panic!("{other:?}"),
        }
        closed.reset();
        assert!(matches!(flows.stalled(LIMIT), Stalled::All), "the reset was of no use");
        drop(held);
        assert!(matches!(flows.stalled(LIMIT), Stalled::Nothing));
    }
}

//! Records reads. The first read of a kind is recorded before it is answered; equal reads within a
//! minute are counted and become one record.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use prost::Message as _;
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::AuditorInner;
use super::allowance::{Allowances, Rate};
use crate::proto::pb::{self, event::Payload};

/// How long equal reads are counted after the first one.
pub const READ_WINDOW: Duration = Duration::from_secs(60);
/// How many distinct reads one client may make.
const READS: Rate = Rate { burst: 2_000, per_second: 100 };
/// The most windows at a time. Beyond that, the oldest window closes early.
const WINDOWS_MAX: usize = 8_192;
/// The most closed windows that wait to be recorded.
const CLOSED_MAX: usize = 1_024;
/// Memory of a window beside its event, in bytes, at most.
const WINDOW_BYTES: usize = 512;

/// Counts reads.
pub(super) struct Reads {
    state: Mutex<ReadWindows>,
    /// Wakes the recorder when a window has closed early.
    closed: Notify,
}

struct ReadWindows {
    windows: HashMap<ReadKey, ReadWindow, foldhash::fast::RandomState>,
    /// The windows, in the order in which they opened.
    order: VecDeque<(Instant, ReadKey)>,
    /// Records of closed windows, to be appended.
    closed: Vec<pb::Event>,
    allowances: Allowances,
    bytes: usize,
}

/// The key of equal reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ReadKey {
    /// The principal, or the address if there is none.
    pub client: Arc<str>,
    /// Path of the call.
    pub rpc: &'static str,
    /// Digest of what was read.
    pub digest: [u8; 32],
}

/// Equal reads, from the first one on.
struct ReadWindow {
    /// The event of the first read.
    event: Bytes,
    recorded: Arc<OnceCell<()>>,
    repeats: u64,
    /// Keeps the window's memory on the account of the client.
    _held: Option<HeldMemory>,
}

/// Memory on the account of a client, until this is dropped.
pub type HeldMemory = Box<dyn Send + Sync>;

/// A read that was noted.
pub(super) struct NotedRead {
    /// Becomes set when the first read of the window is recorded; no equal read is answered before
    /// that.
    pub recorded: Arc<OnceCell<()>>,
    /// The event to record, if this read is the first of its window.
    pub event: Bytes,
    /// Whether this read is the first of its window.
    pub is_first: bool,
}

impl Reads {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(ReadWindows {
                windows: HashMap::default(),
                order: VecDeque::new(),
                closed: Vec::new(),
                allowances: Allowances::new(READS),
                bytes: 0,
            }),
            closed: Notify::new(),
        }
    }

    /// Counts a read. `event` makes the event of the first read of a window, and `hold` charges
    /// bytes to the account of the client.
    ///
    /// # Errors
    /// How long to wait, if the client made too many distinct reads lately.
    pub fn note(
        &self,
        key: ReadKey,
        event: impl FnOnce() -> pb::Event,
        hold: impl FnOnce(usize) -> Option<HeldMemory>,
    ) -> Result<NotedRead, Duration> {
        let mut state = self.lock();
        if let Some(window) = state.windows.get_mut(&key) {
            window.repeats += 1;
            let (recorded, event) = (Arc::clone(&window.recorded), window.event.clone());
            return Ok(NotedRead { recorded, event, is_first: false });
        }
        state.allowances.take(&key.client)?;
        if state.windows.len() >= WINDOWS_MAX && state.close_oldest() {
            self.closed.notify_one();
        }
        let event = Bytes::from(event().encode_to_vec());
        let recorded = Arc::new(OnceCell::new());
        let bytes = event.len() + WINDOW_BYTES;
        state.bytes += bytes;
        state.order.push_back((Instant::now(), key.clone()));
        let window = ReadWindow {
            event: event.clone(),
            recorded: Arc::clone(&recorded),
            repeats: 0,
            _held: hold(bytes),
        };
        state.windows.insert(key, window);
        Ok(NotedRead { recorded, event, is_first: true })
    }

    /// The number of open windows.
    pub fn windows(&self) -> usize {
        self.lock().windows.len()
    }

    /// The most memory that the windows take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Closes all windows, and returns the events to record.
    pub fn drain(&self) -> Vec<pb::Event> {
        let mut state = self.lock();
        while state.close_oldest() {}
        std::mem::take(&mut state.closed)
    }

    /// Closes the windows whose time is over. Returns the events to record, and when the next
    /// window closes.
    fn take_due(&self) -> (Vec<pb::Event>, Option<Instant>) {
        let mut state = self.lock();
        let now = Instant::now();
        while state.next_end().is_some_and(|end| end <= now) {
            state.close_oldest();
        }
        let next = state.next_end();
        (std::mem::take(&mut state.closed), next)
    }

    fn lock(&self) -> MutexGuard<'_, ReadWindows> {
        self.state.lock()
    }
}

impl ReadWindows {
    fn next_end(&self) -> Option<Instant> {
        self.order.front().map(|(began, _)| *began + READ_WINDOW)
    }

    /// Closes the oldest window. Returns whether there was one.
    fn close_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        let Some(window) = self.windows.remove(&key) else { return true };
        self.bytes -= window.event.len() + WINDOW_BYTES;
        if window.repeats == 0 {
            return true;
        }
        if self.closed.len() >= CLOSED_MAX {
            tracing::warn!(
                repeats = window.repeats,
                "the log accepts no records: a count of reads is lost"
            );
            return true;
        }
        match pb::Event::decode(window.event) {
            Ok(mut event) => {
                if let Some(Payload::AuditgateRead(read)) = &mut event.payload {
                    read.repeats = Some(window.repeats);
                }
                self.closed.push(event);
            }
            Err(error) => tracing::error!(%error, "a record of a read does not decode"),
        }
        true
    }
}

/// Records the counts of closed windows, until `stopping` is cancelled.
pub(super) async fn record(on: Arc<AuditorInner>, stopping: CancellationToken) {
    loop {
        let (closed, next) = on.reads.take_due();
        for event in closed {
            on.append(event).await;
        }
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                // A window that opens meanwhile closes later than this.
                None => tokio::time::sleep(READ_WINDOW).await,
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = on.reads.closed.notified() => {}
            () = due => {}
        }
    }
}

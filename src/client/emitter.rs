//! Sending many events: on a stream, in order, each stored once.

mod stream;
mod worker;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{Client, Error, Refusal};
use crate::proto::pb;
use worker::Worker;

/// The overhead of an event in the queue, in bytes.
const QUEUED_BYTES: usize = size_of::<QueuedEvent>();

/// The options of an [`Emitter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The maximum number of events in a request. Default 1,000; a gateway accepts 10,000.
    pub batch_events: usize,
    /// The maximum size of a request, in bytes, except for a single larger event. Default 1
    /// MiB; a gateway accepts 4 MiB.
    pub batch_bytes: usize,
    /// How long an event waits for others to share its request. Default 10 ms.
    pub linger: Duration,
    /// The maximum size of events without a receipt, in bytes; [`Emitter::send`] waits for
    /// space. Default 16 MiB; at most 4 GiB.
    pub queue_bytes: usize,
    /// Validate the events without storing them. Default false.
    pub validate_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_events: 1_000,
            batch_bytes: 1024 * 1024,
            linger: Duration::from_millis(10),
            queue_bytes: 16 * 1024 * 1024,
            validate_only: false,
        }
    }
}

/// Sends events on a stream, in the order of [`Emitter::send`], without waiting for receipts.
///
/// An event without an id gets a UUIDv7, and the present as its time if it has none. An event with
/// an id is not changed, so that it can be sent again. If the stream breaks or the gateway stops,
/// events without a receipt are sent again under the same ids, with growing waits, for a minute. A
/// refused event does not affect the others.
///
/// A dropped emitter continues to send its events in the background, as long as the runtime
/// lives; [`Emitter::close`] waits for that.
///
/// # Examples
///
/// ```no_run
/// # async fn run(client: auditgate::client::Client) -> Result<(), auditgate::client::Error> {
/// use auditgate::client::Options;
/// use auditgate::proto::pb;
///
/// let emitter = client.emitter(Options::default());
/// let mut pending = Vec::new();
/// for name in ["alice", "bob"] {
///     let event = pb::Event {
///         user: Some(pb::User { name: Some(name.into()), ..Default::default() }),
///         payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
///         ..Default::default()
///     };
///     pending.push(emitter.send(event).await?);
/// }
/// for receipt in pending {
///     println!("stored as record {}", receipt.await?.sequence);
/// }
/// emitter.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Emitter {
    commands: mpsc::UnboundedSender<WorkerCommand>,
    room: Arc<Semaphore>,
    queue_bytes: u32,
    outage: watch::Receiver<Option<Refusal>>,
    worker: JoinHandle<()>,
}

/// A command for the worker.
#[derive(Debug)]
enum WorkerCommand {
    Emit(QueuedEvent),
    /// Reply when all events before are settled.
    Flush(oneshot::Sender<()>),
}

/// A queued event.
#[derive(Debug)]
struct QueuedEvent {
    id: String,
    /// The event.
    encoded: Bytes,
    since: Instant,
    settled: oneshot::Sender<Result<pb::Receipt, Error>>,
    /// Returns the queue space when the event is settled.
    _room: OwnedSemaphorePermit,
}

/// The future receipt of a sent event. Dropping it does not cancel the event.
///
/// # Errors
/// [`Error::Refused`] if the gateway refuses this event; [`Error::GaveUp`] if the gateway was
/// unavailable for too long: then the event may have been stored, and can be resent with its
/// id.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<pb::Receipt, Error>>);

impl Emitter {
    pub(super) fn start(client: Client, options: Options) -> Self {
        // A permit is a byte; semaphores count to 2^32 - 1 at once.
        let queue_bytes = u32::try_from(options.queue_bytes).unwrap_or(u32::MAX).max(1);
        let (commands, queue) = mpsc::unbounded_channel();
        let (told, outage) = watch::channel(None);
        let worker = tokio::spawn(Worker::new(client, options, queue, told).run());
        let room = Arc::new(Semaphore::new(queue_bytes as usize));
        Self { commands, room, queue_bytes, outage, worker }
    }

    /// Queues an event; waits only for space in the queue.
    ///
    /// # Errors
    /// [`Error::Closed`] if the runtime of the emitter has ended.
    pub async fn send(&self, mut event: pb::Event) -> Result<Pending, Error> {
        complete(&mut event);
        let encoded = event.encode_to_vec().into();
        self.send_encoded(event.id.unwrap_or_default(), encoded).await
    }

    /// Queues an encoded event, whose id is `id`; waits only for space in the queue. The event is
    /// sent unchanged.
    ///
    /// # Errors
    /// [`Error::Closed`] if the runtime of the emitter has ended.
    pub async fn send_encoded(&self, id: String, encoded: Bytes) -> Result<Pending, Error> {
        // An event that is larger than the queue has it to itself.
        let cost = u32::try_from(encoded.len() + id.len() + QUEUED_BYTES)
            .unwrap_or(u32::MAX)
            .min(self.queue_bytes);
        let room = Arc::clone(&self.room);
        let room = room.acquire_many_owned(cost).await.map_err(|_| Error::Closed)?;
        let (settled, receipt) = oneshot::channel();
        let queued = QueuedEvent { id, encoded, since: Instant::now(), settled, _room: room };
        self.commands.send(WorkerCommand::Emit(queued)).map_err(|_| Error::Closed)?;
        Ok(Pending(receipt))
    }

    /// Waits until every event that was sent before has its receipt or was
    /// refused. Does not wait for the batch to fill.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.commands.send(WorkerCommand::Flush(done)).is_ok() {
            // A worker that has ended has no unsettled events.
            let _ = flushed.await;
        }
    }

    /// Why the emitter currently retries, if it does. The channel closes when the emitter has
    /// ended.
    pub fn outage(&self) -> watch::Receiver<Option<Refusal>> {
        self.outage.clone()
    }

    /// Waits until every event has its receipt or was refused, and the stream has ended
    /// properly.
    pub async fn close(self) {
        drop(self.commands);
        // A worker whose runtime has ended settled its events with an error.
        let _ = self.worker.await;
    }
}

impl Future for Pending {
    type Output = Result<pb::Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|settled| settled.unwrap_or(Err(Error::Closed)))
    }
}

/// Sets the id of an event without one, and then also the time if that is absent. An event with an
/// id may be sent again after a restart with the same content, so the gateway sets its time.
pub(super) fn complete(event: &mut pb::Event) {
    if event.id().is_empty() {
        event.id = Some(Uuid::now_v7().to_string());
        event.time.get_or_insert_with(|| SystemTime::now().into());
    }
}

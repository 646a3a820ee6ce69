//! Emit, EmitBatch and EmitStream against a bare tonic service.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use auditgate::hub::Hub;
use auditgate::log::Bounds;
use auditgate::proto::pb;
use bytes::Bytes;
use prost::Message as _;
use tokio::task::JoinSet;

use crate::bare::Sink;
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, median};
use crate::stage::{self, Client, Door, EMIT, EMIT_BATCH, EMIT_STREAM, Served, Stage};
use crate::{Result, Scale, ensure, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["emit_unary", "emit_unary_serial", "emit_batch", "emit_stream"];

/// Connections, each from a client of its own.
pub const CONNECTIONS: usize = 4;
/// Calls in flight on each connection.
pub const IN_FLIGHT: usize = 64;
/// Events of a batch.
const BATCH: usize = 256;
/// Events of a message of a stream.
const STREAMED: usize = 64;
const PEER: &str = "bare tonic, decoding with prost";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let served = stage.gateway(Bounds::default())?;
    let bare = Sink::default();
    let address = stage.bare(bare.routes())?;
    let mut bench = Emitters { stage, served, bare: (bare, address), next: 0 };
    wanted.iter().map(|name| bench.measure(name, scale)).collect()
}

struct Emitters {
    stage: Stage,
    served: Served,
    bare: (Sink, SocketAddr),
    /// Number of the next event: none is sent twice.
    next: u64,
}

/// How one round sends its events.
type Round = fn(&Stage, &Target<'_>, Range<u64>) -> Result<Sample>;

/// Who is sent to.
struct Target<'a> {
    address: SocketAddr,
    accepted: &'a dyn Fn() -> u64,
}

impl Emitters {
    fn measure(&mut self, name: &str, scale: Scale) -> Result<Row> {
        let (duel, round, events): (Duel, Round, usize) = match name {
            "emit_unary" => (
                Duel { name: "emit_unary", unit: "events/s", better: Better::More, peer: PEER },
                unary_rate,
                scale.pick(60_000, 600),
            ),
            "emit_unary_serial" => (
                Duel {
                    name: "emit_unary_serial",
                    unit: "us p50",
                    better: Better::Less,
                    peer: PEER,
                },
                serial_latency,
                scale.pick(3_000, 50),
            ),
            "emit_stream" => (
                Duel { name: "emit_stream", unit: "events/s", better: Better::More, peer: PEER },
                stream_rate,
                scale.pick(400 * 1_024, CONNECTIONS * STREAMED),
            ),
            _ => (
                Duel { name: "emit_batch", unit: "events/s", better: Better::More, peer: PEER },
                batch_rate,
                scale.pick(400 * 1_024, 4 * BATCH),
            ),
        };
        let hub = Arc::clone(self.served.gateway.hub());
        let (bare, bare_address) = &self.bare;
        let ours = Target { address: self.served.address, accepted: &|| accepted(&hub) };
        let peer = Target { address: *bare_address, accepted: &|| bare.accepted() };
        let (stage, next) = (&self.stage, std::cell::Cell::new(self.next));
        let play = |target: &Target<'_>| {
            let numbers = next.get()..next.get() + events as u64;
            next.set(numbers.end);
            let before = (target.accepted)();
            let value = round(stage, target, numbers)?;
            let kept = (target.accepted)() - before;
            ensure(kept == events as u64, || format!("{kept} of {events} events were accepted"))?;
            Ok(value)
        };
        let row = duel.run(scale.rounds(), || play(&ours), || play(&peer));
        self.next = next.get();
        row
    }
}

/// How many events a gateway has accepted that it had not before.
pub fn accepted(hub: &Hub) -> u64 {
    hub.counters().accepted.load(Ordering::Relaxed)
}

/// Emits events one a call, many calls at a time; gives events a second.
fn unary_rate(stage: &Stage, target: &Target<'_>, numbers: Range<u64>) -> Result<Sample> {
    let requests = events::emit_requests(numbers);
    stage.run(emit_all(target.address, requests))
}

/// Emits all requests, [`CONNECTIONS`] times [`IN_FLIGHT`] at a time; gives
/// events a second.
///
/// # Errors
/// If one is not acknowledged.
pub async fn emit_all(door: impl Into<Door>, requests: Vec<Bytes>) -> Result<Sample> {
    emit_all_to(&[door.into()], requests).await
}

/// The same, with the connections spread over several gateways.
///
/// # Errors
/// If one is not acknowledged.
pub async fn emit_all_to(doors: &[Door], requests: Vec<Bytes>) -> Result<Sample> {
    let count = requests.len();
    let queue = Arc::new(Queue::new(requests));
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for door in doors.iter().cycle().take(CONNECTIONS) {
        clients.push(stage::connect(door.clone()).await?);
    }
    let mut workers = JoinSet::new();
    let watch = Stopwatch::start();
    for client in &clients {
        for _ in 0..IN_FLIGHT {
            workers.spawn(emit_from(Arc::clone(&queue), client.clone()));
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(watch.stop().rate(count as f64))
}

async fn emit_from(queue: Arc<Queue>, mut client: Client) -> Result<()> {
    while let Some(request) = queue.take() {
        check_receipt(client.unary(EMIT, request).await?)?;
    }
    Ok(())
}

/// Emits events one after the other; gives the median time of a call in
/// microseconds.
fn serial_latency(stage: &Stage, target: &Target<'_>, numbers: Range<u64>) -> Result<Sample> {
    let requests = events::emit_requests(numbers);
    let address = target.address;
    stage.run(async move {
        let mut client = stage::connect(address).await?;
        let mut times = Vec::with_capacity(requests.len());
        let watch = Stopwatch::start();
        for request in requests {
            let started = Instant::now();
            let response = client.unary(EMIT, request).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            check_receipt(response)?;
        }
        Ok(watch.stop().calls(median(&times)))
    })
}

/// Emits batches, one at a time on each connection; gives events a second.
fn batch_rate(stage: &Stage, target: &Target<'_>, numbers: Range<u64>) -> Result<Sample> {
    let count = numbers.end - numbers.start;
    let requests = events::batch_requests(numbers, BATCH);
    let address = target.address;
    stage.run(async move {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            clients.push(stage::connect(address).await?);
        }
        let watch = Stopwatch::start();
        emit_batches(clients, requests).await?;
        Ok(watch.stop().rate(count as f64))
    })
}

/// Emits batches, one at a time on the connection of each client.
///
/// # Errors
/// If one is refused.
pub async fn emit_batches(clients: Vec<Client>, requests: Vec<Bytes>) -> Result<()> {
    let queue = Arc::new(Queue::new(requests));
    let mut workers = JoinSet::new();
    for mut client in clients {
        let queue = Arc::clone(&queue);
        workers.spawn(async move {
            while let Some(request) = queue.take() {
                client.unary(EMIT_BATCH, request).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Emits on a stream on each connection; gives events a second.
fn stream_rate(stage: &Stage, target: &Target<'_>, numbers: Range<u64>) -> Result<Sample> {
    stage.run(stream_all(target.address, numbers))
}

/// Emits events on a stream on each of [`CONNECTIONS`] connections, without waiting
/// for anything before the last answer; gives events a second.
///
/// # Errors
/// If one is not answered.
pub async fn stream_all(address: SocketAddr, numbers: Range<u64>) -> Result<Sample> {
    let count = numbers.end - numbers.start;
    let share = count / CONNECTIONS as u64;
    let shares: Vec<Vec<Bytes>> = (0..CONNECTIONS as u64)
        .map(|place| numbers.start + place * share)
        .map(|first| events::batch_requests(first..first + share, STREAMED))
        .collect();
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for requests in shares {
        streams.push((stage::connect(address).await?, requests));
    }
    let watch = Stopwatch::start();
    let mut workers = JoinSet::new();
    for (mut client, requests) in streams {
        workers.spawn(async move {
            let requests = futures_util::stream::iter(requests);
            let mut answers = client.duplex(EMIT_STREAM, requests).await?;
            let mut answered = 0;
            while let Some(answer) = answers.message().await? {
                answered = pb::EmitStreamResponse::decode(answer)?.answered;
            }
            Result::Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(ended) = workers.join_next().await {
        answered += ended??;
    }
    let sample = watch.stop().rate(count as f64);
    ensure(answered == count, || format!("{answered} of {count} events were answered"))?;
    Ok(sample)
}

fn check_receipt(response: Bytes) -> Result<()> {
    let response = pb::EmitResponse::decode(response)?;
    let receipt = response.receipt.unwrap_or_default();
    ensure(receipt.sequence > 0 && !receipt.duplicate, || format!("no receipt: {receipt:?}"))
}

/// Requests from which several workers take.
struct Queue {
    requests: Vec<Bytes>,
    next: AtomicUsize,
}

impl Queue {
    fn new(requests: Vec<Bytes>) -> Self {
        Self { requests, next: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<Bytes> {
        self.requests.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

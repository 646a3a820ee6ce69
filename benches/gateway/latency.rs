//! How long a record takes from emitter to subscriber, at a steady rate, against
//! the round trip of a bare call.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use auditgate::log::Bounds;
use auditgate::record::Record;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Streaming;
use uuid::Uuid;

use crate::bare::Sink;
use crate::rounds::{Better, Duel, Row, Sample, quantile};
use crate::stage::{self, Client, EMIT, SUBSCRIBE, Stage};
use crate::{Result, Scale, events, fanout};

/// The measures of this file.
pub const NAMES: &[&str] = &["latency"];

/// Events a second.
const RATE: u32 = 10_000;
/// Connections over which they are emitted.
const CONNECTIONS: usize = 4;
const PEER: &str = "round trip of a bare tonic call";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(_: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let served = stage.gateway(Bounds::default())?;
    let bare = stage.bare(Sink::default().routes())?;
    let count = scale.pick(2 * RATE as usize, 200);
    let next = std::cell::Cell::new(0);
    let requests = || {
        let first = next.replace(next.get() + count as u64);
        (first, events::emit_requests(first..first + count as u64))
    };
    let ours = || {
        let (first, requests) = requests();
        stage.run(to_subscriber(served.address, first, requests))
    };
    let peer = || stage.run(round_trip(bare, requests().1));
    let duel = Duel { name: "latency", unit: "us p99", better: Better::Less, peer: PEER };
    Ok(vec![duel.run(scale.rounds(), ours, peer)?])
}

/// The time from call to delivery, p99 in microseconds.
async fn to_subscriber(address: SocketAddr, first: u64, requests: Vec<Bytes>) -> Result<Sample> {
    let sent: Arc<[OnceLock<Instant>]> = requests.iter().map(|_| OnceLock::new()).collect();
    let stream = stage::connect(address).await?.stream(SUBSCRIBE, Bytes::new()).await?;
    let receiver = tokio::spawn(receive(stream, first, Arc::clone(&sent)));
    let emitted = emit_steadily(address, RATE, requests, move |position| {
        if let Some(sent) = sent.get(position) {
            sent.get_or_init(Instant::now);
        }
    });
    emitted.await?;
    Ok(p99(&receiver.await??))
}

/// The time from call to answer, p99 in microseconds.
async fn round_trip(address: SocketAddr, requests: Vec<Bytes>) -> Result<Sample> {
    Ok(p99(&emit_steadily(address, RATE, requests, |_| {}).await?))
}

/// The 99th percentile of these times.
pub fn p99(times: &[f64]) -> Sample {
    // Most of the processor time goes by waiting for the clock.
    Sample { value: quantile(times, 0.99), cpu: None }
}

/// The delays of all records, in microseconds.
async fn receive(
    mut stream: Streaming<Bytes>,
    first: u64,
    sent: Arc<[OnceLock<Instant>]>,
) -> Result<Vec<f64>> {
    let mut delays = Vec::with_capacity(sent.len());
    while delays.len() < sent.len() {
        let message = stream.message().await?.ok_or("the stream ended")?;
        let now = Instant::now();
        for record in fanout::records(&message) {
            let id = Record::read(record).envelope().id.unwrap_or_default();
            let position = (Uuid::parse_str(id)?.as_u64_pair().1 - first) as usize;
            let sent = sent.get(position).and_then(OnceLock::get);
            let sent = sent.ok_or_else(|| format!("event {id} came before it was sent"))?;
            delays.push((now - *sent).as_secs_f64() * 1e6);
        }
    }
    Ok(delays)
}

/// Calls Emit `rate` times a second, whether or not the answers keep up;
/// gives the time of each call in microseconds.
///
/// # Errors
/// If a call fails.
pub async fn emit_steadily(
    address: SocketAddr,
    rate: u32,
    requests: Vec<Bytes>,
    on_send: impl Fn(usize) + Clone + Send + 'static,
) -> Result<Vec<f64>> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(stage::connect(address).await?);
    }
    let count = requests.len();
    let mut due = paced(vec![(); count], f64::from(rate));
    let mut calls = JoinSet::new();
    let turns = clients.iter().cycle();
    for ((position, request), client) in requests.into_iter().enumerate().zip(turns) {
        due.recv().await.ok_or("the clock stopped")?;
        let (client, on_send) = (client.clone(), on_send.clone());
        calls.spawn(async move {
            on_send(position);
            call(client, request).await
        });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(ended) = calls.join_next().await {
        times.push(ended??);
    }
    Ok(times)
}

async fn call(mut client: Client, request: Bytes) -> Result<f64> {
    let started = Instant::now();
    client.unary(EMIT, request).await?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}

/// Gives these items, so many a second, from a thread of its own: tokio's timer counts in
/// milliseconds.
pub fn paced<T: Send + 'static>(items: Vec<T>, rate: f64) -> mpsc::UnboundedReceiver<T> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let started = Instant::now();
    std::thread::spawn(move || {
        for (number, item) in items.into_iter().enumerate() {
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(item).is_err() {
                break;
            }
        }
    });
    receiver
}

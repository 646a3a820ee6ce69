//! Fan-out: a fixed number of records to many subscribers, who count them
//! without decoding them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use auditgate::log::Bounds;
use auditgate::wire::{self, WireValue};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::bare::{Broadcaster, Repeater};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, Took};
use crate::stage::{self, Door, SUBSCRIBE, Stage};
use crate::tally::Tally;
use crate::{Result, Scale, emit, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["fanout_1", "fanout_10", "fanout_100", "fanout_1000", "fanout_raw"];

/// Subscribers of the measure against raw bytes.
const RAW_SUBSCRIBERS: usize = 100;
/// Records of the measure with 100 subscribers.
pub const HUNDRED_RECORDS: usize = 20_000;
/// Events of a batch in which the records are emitted.
const BATCH: usize = 256;
/// Connections over which they are emitted, one batch at a time on each: whoever
/// serves has something to do while an answer is on its way.
const EMITTERS: usize = 4;
/// About what a record takes, in bytes.
const RECORD_BYTES: usize = 370;
const BROADCAST: &str = "tokio broadcast of the prost message, encoded by tonic for each";
const RAW: &str = "tonic streaming a constant message of the same size";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    wanted.iter().map(|name| measure(&stage, name, scale)).collect()
}

fn measure(stage: &Stage, name: &'static str, scale: Scale) -> Result<Row> {
    let (subscribers, records) = match name {
        "fanout_1" => (1, scale.pick(100_000, 1_000)),
        "fanout_10" => (10, scale.pick(50_000, 1_000)),
        "fanout_100" => (100, scale.pick(HUNDRED_RECORDS, 500)),
        "fanout_1000" => (scale.pick(1_000, 50), scale.pick(2_000, 100)),
        _ => return against_raw(stage, name, scale),
    };
    let served = stage.gateway(Bounds::default())?;
    let broadcaster = Broadcaster::new(records);
    let peer = stage.bare(broadcaster.routes())?;
    let requests = Requests::new(records);
    let rate = |address: SocketAddr| {
        let round = fan_out(address, subscribers, requests.take(), records);
        stage.run(round).map(|outcome| outcome.took.rate(outcome.records as f64))
    };
    let duel = Duel { name, unit: "deliveries/s", better: Better::More, peer: BROADCAST };
    duel.run(scale.rounds(), || rate(served.address), || rate(peer))
}

/// A hundred subscribers against as many who get the bytes of one message again
/// and again.
fn against_raw(stage: &Stage, name: &'static str, scale: Scale) -> Result<Row> {
    let records = scale.pick(HUNDRED_RECORDS, 500);
    let served = stage.gateway(Bounds::default())?;
    let requests = Requests::new(records);
    let last = std::cell::Cell::new(None);
    let ours = || {
        let round = fan_out(served.address, RAW_SUBSCRIBERS, requests.take(), records);
        let outcome = stage.run(round)?;
        last.set(Some((outcome.bytes / RAW_SUBSCRIBERS, outcome.largest)));
        Ok(outcome.megabytes_per_second())
    };
    let raw = || {
        let (each, largest) = last.take().ok_or("our round comes first")?;
        let message = response_of(largest);
        let repeater = Repeater {
            times: each.div_ceil(message.len()),
            message,
            start: CancellationToken::new(),
        };
        let start = repeater.start.clone();
        let address = stage.bare(repeater.routes())?;
        Ok(stage.run(drain_all(address, RAW_SUBSCRIBERS, start))?.megabytes_per_second())
    };
    let duel = Duel { name, unit: "MB/s", better: Better::More, peer: RAW };
    duel.run(scale.rounds(), ours, raw)
}

/// A response of about this size, of fields as large as records, but without a
/// sequence.
fn response_of(bytes: usize) -> Bytes {
    /// A field that responses do not have.
    const UNKNOWN: u32 = 15;
    let mut response = Vec::new();
    while response.len() < bytes {
        wire::put_bytes_field(&mut response, UNKNOWN, &[0; RECORD_BYTES]);
    }
    response.into()
}

/// What subscribers got, all together.
#[derive(Default)]
pub struct Outcome {
    /// How long it took.
    pub took: Took,
    /// How many records all of them got.
    pub records: usize,
    bytes: usize,
    /// The bytes of the largest message.
    largest: usize,
}

impl Outcome {
    fn megabytes_per_second(&self) -> Sample {
        self.took.rate(self.bytes as f64 / 1e6)
    }

    fn of(took: Took, read: &[(Tally, Body)]) -> Self {
        let mut outcome = Self { took, ..Self::default() };
        for (tally, _) in read {
            outcome.records += tally.records;
            outcome.bytes += tally.bytes;
            outcome.largest = outcome.largest.max(tally.largest);
        }
        outcome
    }
}

/// Requests with events that were not sent before.
pub struct Requests {
    events: usize,
    next: AtomicUsize,
}

impl Requests {
    /// Each time so many.
    pub fn new(events: usize) -> Self {
        Self { events, next: AtomicUsize::new(0) }
    }

    /// The next ones, in batches.
    pub fn take(&self) -> Vec<Bytes> {
        let from = self.next.fetch_add(self.events, Ordering::Relaxed) as u64;
        events::batch_requests(from..from + self.events as u64, BATCH)
    }
}

/// Emits batches to subscribers until each of them has got every record.
///
/// # Errors
/// If a record is missing.
pub async fn fan_out(
    door: impl Into<Door>,
    subscribers: usize,
    requests: Vec<Bytes>,
    records: usize,
) -> Result<Outcome> {
    let door = door.into();
    let streams = open(&door, subscribers).await?;
    let mut emitters = Vec::with_capacity(EMITTERS);
    for _ in 0..EMITTERS {
        emitters.push(stage::connect(door.clone()).await?);
    }
    let watch = Stopwatch::start();
    let reading = read_all(streams, Some(records));
    // A reader would wait for ever for what was not emitted.
    let ((), read) = tokio::try_join!(emit::emit_batches(emitters, requests), reading)?;
    Ok(Outcome::of(watch.stop(), &read))
}

/// Opens streams, starts them and reads them to their end.
async fn drain_all(
    address: SocketAddr,
    subscribers: usize,
    start: CancellationToken,
) -> Result<Outcome> {
    let streams = open(&address.into(), subscribers).await?;
    let watch = Stopwatch::start();
    start.cancel();
    let read = read_all(streams, None).await?;
    Ok(Outcome::of(watch.stop(), &read))
}

/// Reads all streams, and gives them back with what came of each: to close a
/// connection takes longer than to deliver some records, and is not measured.
async fn read_all(streams: Vec<Body>, records: Option<usize>) -> Result<Vec<(Tally, Body)>> {
    let mut readers = JoinSet::new();
    for mut stream in streams {
        readers.spawn(async move {
            let tally = Tally::default().read(&mut stream, records).await?;
            Result::Ok((tally, stream))
        });
    }
    let mut read = Vec::with_capacity(readers.len());
    while let Some(ended) = readers.join_next().await {
        read.push(ended??);
    }
    Ok(read)
}

/// Opens streams, each on a connection of its own.
async fn open(door: &Door, subscribers: usize) -> Result<Vec<Body>> {
    let mut streams = Vec::with_capacity(subscribers);
    for _ in 0..subscribers {
        let mut client = stage::connect(door.clone()).await?;
        streams.push(client.body(SUBSCRIBE, &[]).await?);
    }
    Ok(streams)
}

/// The sequences of the records in a response: the first field of each.
pub fn sequences(response: &[u8]) -> impl Iterator<Item = u64> {
    records(response).filter_map(|record| match wire::trusted(record).next() {
        Some((1, WireValue::Varint(sequence))) => Some(sequence),
        _ => None,
    })
}

/// The records in a response, encoded.
pub fn records(response: &[u8]) -> impl Iterator<Item = &[u8]> {
    wire::trusted(response).filter_map(|(number, value)| match value {
        WireValue::Bytes(record) if number == 1 => Some(record),
        _ => None,
    })
}

//! What a crowd of subscribers, each of whom waits for something rare, costs the
//! emitters.

use std::net::SocketAddr;

use auditgate::log::Bounds;
use auditgate::proto::pb;
use bytes::Bytes;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Streaming;

use crate::rounds::{Better, Duel, Row, Sample};
use crate::stage::{self, EMIT, SUBSCRIBE, Stage};
use crate::{Result, Scale, emit, ensure, events, fanout};

/// The measures of this file.
pub const NAMES: &[&str] = &["fanout_filtered"];

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(_: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let stage = Stage::new()?;
    let crowded = stage.gateway(Bounds::default())?;
    let lonely = stage.gateway(Bounds::default())?;
    let subscribers = scale.pick(1_000, 40);
    let emitted = scale.pick(20_000, 500);
    let mut streams = stage.run(open(crowded.address, subscribers))?;
    let next = std::cell::Cell::new(0);
    let numbers = |count: u64| next.replace(next.get() + count)..next.get();
    let row = Duel {
        name: "fanout_filtered",
        unit: "events/s",
        better: Better::More,
        peer: "the same without subscribers",
    }
    .run(
        scale.rounds(),
        || {
            let requests = events::emit_requests(numbers(emitted));
            let rare = numbers(events::UNUSED_TYPES.len() as u64);
            stage.run(crowded_round(crowded.address, &mut streams, requests, rare.start))
        },
        || stage.run(emit::emit_all(lonely.address, events::emit_requests(numbers(emitted)))),
    )?;
    Ok(vec![row])
}

/// Emits while the subscribers wait; then one event of each type for which they
/// wait, which each of them must get, and nothing before it.
async fn crowded_round(
    address: SocketAddr,
    streams: &mut Vec<Streaming<Bytes>>,
    requests: Vec<Bytes>,
    rare: u64,
) -> Result<Sample> {
    let mut waiting = JoinSet::new();
    for stream in streams.drain(..) {
        waiting.spawn(wait(stream));
    }
    let sample = emit::emit_all(address, requests).await?;
    let mut client = stage::connect(address).await?;
    for (number, name) in (rare..).zip(events::UNUSED_TYPES) {
        client.unary(EMIT, events::emit_request(&events::bare(number, name))).await?;
    }
    while let Some(ended) = waiting.join_next().await {
        streams.push(ended??);
    }
    Ok(sample)
}

async fn open(address: SocketAddr, subscribers: usize) -> Result<Vec<Streaming<Bytes>>> {
    let mut streams = Vec::with_capacity(subscribers);
    for name in events::UNUSED_TYPES.into_iter().cycle().take(subscribers) {
        let filter = pb::Filter { types: vec![name.into()], ..Default::default() };
        let request = pb::SubscribeRequest { filter: Some(filter), ..Default::default() };
        let mut client = stage::connect(address).await?;
        streams.push(client.stream(SUBSCRIBE, request.encode_to_vec().into()).await?);
    }
    Ok(streams)
}

/// Waits for exactly one record.
async fn wait(mut stream: Streaming<Bytes>) -> Result<Streaming<Bytes>> {
    loop {
        let message = stream.message().await?.ok_or("the stream ended")?;
        let records = fanout::sequences(&message).count();
        ensure(records <= 1, || format!("{records} records at once, though one was emitted"))?;
        if records == 1 {
            return Ok(stream);
        }
    }
}

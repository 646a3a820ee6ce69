//! How long a record takes from the stream's timestamp to a subscriber at another gateway,
//! while events come at half of the highest rate.

use std::net::SocketAddr;

use auditgate::record::Record;
use auditgate::time::Time;
use bytes::Bytes;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::{Place, row};
use crate::durable::{MESSAGE_EVENTS, emit_stream};
use crate::rounds::{Row, median, quantile};
use crate::stage::{self, EMIT_STREAM, SUBSCRIBE};
use crate::{Result, Scale, events, fanout, latency};

/// Emits at one gateway and subscribes at another one.
pub fn lag(place: &Place, scale: Scale) -> Result<Row> {
    let (first, second) = (place.gateway("lag")?, place.gateway("lag")?);
    let messages = scale.pick(2_000, 20);
    let next = events::numbers();
    let mut rounds = Vec::new();
    for _ in 0..scale.pick(5, 1) {
        let requests = || events::batch_requests(next(messages * MESSAGE_EVENTS), MESSAGE_EVENTS);
        let highest = place.stage.run(emit_stream(first.served.address, requests()))?.value;
        let rate = highest / 2.0 / MESSAGE_EVENTS as f64;
        let addresses = (first.served.address, second.served.address);
        let delays = place.stage.run(delays(addresses, requests(), rate))?;
        eprintln!(
            "shared_lag: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms at {:.0} events/s",
            quantile(&delays, 0.5),
            quantile(&delays, 0.99),
            quantile(&delays, 1.0),
            highest / 2.0
        );
        rounds.push(quantile(&delays, 0.99));
    }
    Ok(row("shared_lag", "ms p99", &rounds, median(&rounds)))
}

/// The delays of all records, in milliseconds. Both gateways, the servers and the
/// subscriber have one clock.
async fn delays(
    (emitting, delivering): (SocketAddr, SocketAddr),
    requests: Vec<Bytes>,
    rate: f64,
) -> Result<Vec<f64>> {
    let count = requests.len() * MESSAGE_EVENTS;
    let stream = stage::connect(delivering).await?.stream(SUBSCRIBE, Bytes::new()).await?;
    let receiver = tokio::spawn(receive(stream, count));
    let messages = latency::paced(requests, rate);
    let mut client = stage::connect(emitting).await?;
    let mut answers = client.duplex(EMIT_STREAM, UnboundedReceiverStream::new(messages)).await?;
    while answers.message().await?.is_some() {}
    receiver.await?
}

async fn receive(mut stream: Streaming<Bytes>, count: usize) -> Result<Vec<f64>> {
    let mut delays = Vec::with_capacity(count);
    while delays.len() < count {
        let message = stream.message().await?.ok_or("the stream ended")?;
        let now = Time::now();
        for record in fanout::records(&message) {
            let accepted = Record::read(record).accept_time;
            delays.push((now.0 - accepted.0) as f64 / 1e6);
        }
    }
    Ok(delays)
}

//! Fan-out against core NATS: what a broker that knows nothing of events makes of
//! the same bytes.

use auditgate::log::Bounds;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use crate::fanout::{HUNDRED_RECORDS, Requests, fan_out};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, wall};
use crate::stage::Stage;
use crate::{Result, Scale, ensure, events, nats};

/// The measures of this file.
pub const NAMES: &[&str] = &["fanout_nats"];

const SUBSCRIBERS: usize = 100;
const SUBJECT: &str = "records";

/// Runs the measures of these names; none where there is no NATS server.
///
/// # Errors
/// If one fails.
pub fn run(_: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let Some(program) = nats::program_or_skip("fanout_nats") else { return Ok(Vec::new()) };
    let nats = nats::server(&program, "")?;
    let records = scale.pick(HUNDRED_RECORDS, 500);
    let stage = Stage::new()?;
    let served = stage.gateway(Bounds::default())?;
    let requests = Requests::new(records);
    let ours = || {
        let round = fan_out(served.address, SUBSCRIBERS, requests.take(), records);
        let outcome = stage.run(round)?;
        Ok(wall(outcome.took.rate(outcome.records as f64)))
    };
    let payloads: Vec<Bytes> = events::encoded(0..records as u64).collect();
    let peer = || stage.run(publish(nats.url().to_owned(), payloads.clone())).map(wall);
    let duel = Duel {
        name: "fanout_nats",
        unit: "deliveries/s",
        better: Better::More,
        peer: "core NATS, its server a process of its own",
    };
    Ok(vec![duel.run(scale.rounds(), ours, peer)?])
}

/// Publishes all messages to subscribers, each on a connection of its own, until
/// each of them has got all.
async fn publish(url: String, payloads: Vec<Bytes>) -> Result<Sample> {
    let mut subscribers = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let client = async_nats::connect(&url).await?;
        let subscriber = client.subscribe(SUBJECT).await?;
        // The server knows of it when this returns.
        client.flush().await?;
        subscribers.push((client, subscriber));
    }
    let publisher = async_nats::connect(&url).await?;
    let count = payloads.len();
    let mut readers = JoinSet::new();
    let watch = Stopwatch::start();
    for (client, mut subscriber) in subscribers {
        readers.spawn(async move {
            let mut bytes = 0;
            for _ in 0..count {
                bytes += subscriber.next().await.ok_or("the subscription ended")?.payload.len();
            }
            // Closed later: that is not measured.
            Result::Ok((bytes, client, subscriber))
        });
    }
    let expected: usize = payloads.iter().map(Bytes::len).sum();
    for payload in payloads {
        publisher.publish(SUBJECT, payload).await?;
    }
    publisher.flush().await?;
    let mut ended = Vec::with_capacity(SUBSCRIBERS);
    while let Some(reader) = readers.join_next().await {
        ended.push(reader??);
    }
    let sample = watch.stop().rate((count * SUBSCRIBERS) as f64);
    for (read, _, _) in ended {
        ensure(read == expected, || format!("{read} of {expected} bytes"))?;
    }
    Ok(sample)
}

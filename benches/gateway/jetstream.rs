//! The log on disk against JetStream: what a broker that keeps its messages makes of
//! the same events, each of them synced before it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::Client;
use auditgate::log::disk::{Config, DiskLog};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::durable::{MESSAGE_EVENTS, MESSAGES_IN_FLIGHT, emit_stream, folder};
use crate::emit::{CONNECTIONS, IN_FLIGHT, emit_all};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, wall};
use crate::stage::Stage;
use crate::{Result, Scale, ensure, events, nats};

/// The measures of this file.
pub const NAMES: &[&str] = &["durable_nats_unary", "durable_nats_stream"];

const REPLY: &str = "acknowledgements";
/// Servers that do not make a stream after so long have failed.
const CREATE_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs the measures of these names; none where there is no NATS server.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let Some(program) = nats::program_or_skip("durable_nats") else { return Ok(Vec::new()) };
    let stage = Stage::new()?;
    let own = folder()?;
    let (log, _) = DiskLog::open(own.path(), Config::default())?;
    let served = stage.gateway_on(Arc::new(log))?;
    let nats = nats::server(&program, "jetstream { STORE, sync_interval: always }")?;
    let stream = stage.run(BrokerStream::create("records", &[nats.url().to_owned()], 1))?;
    let take = events::numbers();
    let duel = |name| Duel {
        name,
        unit: "events/s",
        better: Better::More,
        peer: "JetStream, file, one replica, sync_interval always",
    };
    let rounds = scale.rounds();
    let mut rows = Vec::new();
    for name in wanted {
        rows.push(if *name == "durable_nats_unary" {
            let (ours, theirs) = (scale.pick(20_000, 600), scale.pick(2_000, 300));
            let emit = || {
                let requests = events::emit_requests(take(ours));
                stage.run(emit_all(served.address, requests)).map(wall)
            };
            let publish = || {
                let payloads = events::encoded(take(theirs)).collect();
                let peer = publish_each(&stream, payloads, CONNECTIONS, IN_FLIGHT);
                stage.run(peer).map(wall)
            };
            duel(name).run(rounds, emit, publish)?
        } else {
            let (ours, theirs) = (scale.pick(2_000 * MESSAGE_EVENTS, 640), scale.pick(20_000, 640));
            let emit = || {
                let requests = events::batch_requests(take(ours), MESSAGE_EVENTS);
                stage.run(emit_stream(served.address, requests)).map(wall)
            };
            let publish = || {
                let payloads = events::encoded(take(theirs)).collect();
                stage
                    .run(publish_ahead(&stream, payloads, MESSAGES_IN_FLIGHT * MESSAGE_EVENTS))
                    .map(wall)
            };
            duel(name).run(rounds, emit, publish)?
        });
    }
    Ok(rows)
}

/// A stream whose messages are events: on disk, without a bound.
#[derive(Clone)]
pub struct BrokerStream {
    /// The stream, and its subject.
    name: &'static str,
    servers: Vec<String>,
}

impl BrokerStream {
    /// Makes a stream with its messages on so many servers.
    ///
    /// # Errors
    /// If the servers refuse.
    pub async fn create(name: &'static str, servers: &[String], replicas: u32) -> Result<Self> {
        let stream = Self { name, servers: servers.to_vec() };
        let client = stream.connect().await?;
        let config = serde_json::json!({
            "name": name, "subjects": [name], "storage": "file", "num_replicas": replicas,
            "retention": "limits", "discard": "old", "max_consumers": -1, "max_msgs": -1,
            "max_bytes": -1, "max_age": 0,
        });
        let config = Bytes::from(serde_json::to_vec(&config)?);
        let begun = Instant::now();
        loop {
            let subject = format!("$JS.API.STREAM.CREATE.{name}");
            // Servers that have just started refuse for a while.
            let answer = client.request(subject, config.clone()).await;
            if answer.as_ref().is_ok_and(|answer| !contains(&answer.payload, "\"error\"")) {
                return Ok(stream);
            }
            ensure(begun.elapsed() < CREATE_TIME_MAX, || format!("no stream: {answer:?}"))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// If there is none.
    pub async fn connect(&self) -> Result<Client> {
        Ok(async_nats::connect(self.servers.clone()).await?)
    }

    /// Publishes a message and waits for its acknowledgement.
    ///
    /// # Errors
    /// If it is not acknowledged.
    pub async fn publish(&self, client: &Client, payload: Bytes) -> Result<()> {
        check(&client.request(self.name, payload).await?.payload)
    }
}

/// Publishes messages one by one, waiting for the acknowledgement of each, over so many
/// connections, so many in flight on each; gives messages a second.
///
/// # Errors
/// If one is not acknowledged.
pub async fn publish_each(
    stream: &BrokerStream,
    payloads: Vec<Bytes>,
    connections: usize,
    in_flight: usize,
) -> Result<Sample> {
    let count = payloads.len();
    let queue = Arc::new((payloads, AtomicUsize::new(0)));
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(stream.connect().await?);
    }
    let mut workers = JoinSet::new();
    let watch = Stopwatch::start();
    for client in &clients {
        for _ in 0..in_flight {
            workers.spawn(publish_from(Arc::clone(&queue), stream.clone(), client.clone()));
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(watch.stop().rate(count as f64))
}

async fn publish_from(
    queue: Arc<(Vec<Bytes>, AtomicUsize)>,
    stream: BrokerStream,
    client: Client,
) -> Result<()> {
    let (payloads, next) = &*queue;
    while let Some(payload) = payloads.get(next.fetch_add(1, Ordering::Relaxed)) {
        stream.publish(&client, payload.clone()).await?;
    }
    Ok(())
}

/// Publishes messages, so many of them ahead of their acknowledgements; gives messages a
/// second.
///
/// # Errors
/// If one is not acknowledged.
pub async fn publish_ahead(
    stream: &BrokerStream,
    payloads: Vec<Bytes>,
    in_flight: usize,
) -> Result<Sample> {
    let client = stream.connect().await?;
    let mut answers = client.subscribe(REPLY).await?;
    client.flush().await?;
    let window = Arc::new(Semaphore::new(in_flight));
    let count = payloads.len();
    let (room, subject) = (Arc::clone(&window), stream.name);
    let watch = Stopwatch::start();
    let sending = tokio::spawn(async move {
        for payload in payloads {
            room.acquire().await?.forget();
            client.publish_with_reply(subject, REPLY, payload).await?;
        }
        client.flush().await?;
        Result::Ok(client)
    });
    for _ in 0..count {
        check(&answers.next().await.ok_or("the subscription ended")?.payload)?;
        window.add_permits(1);
    }
    let sample = watch.stop().rate(count as f64);
    sending.await??;
    Ok(sample)
}

fn check(answer: &[u8]) -> Result<()> {
    ensure(contains(answer, "\"seq\""), || {
        format!("not acknowledged: {}", String::from_utf8_lossy(answer))
    })
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

//! The log on disk against JetStream: what a broker that keeps its messages makes of
//! the same events, each of them synced before it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::Client;
use auditgate::log::disk::{Config, DiskLog};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::durable::{MESSAGE_EVENTS, MESSAGES_IN_FLIGHT, emit_stream, folder};
use crate::emit::{CONNECTIONS, IN_FLIGHT, emit_all};
use crate::nats::Nats;
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch};
use crate::stage::Stage;
use crate::{Result, Scale, ensure, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["durable_nats_unary", "durable_nats_stream"];

const SUBJECT: &str = "records";
const REPLY: &str = "acknowledgements";
const CREATE: &str = "$JS.API.STREAM.CREATE.records";
/// One replica, on disk; no bound.
const STREAM: &str = r#"{"name":"records","subjects":["records"],"storage":"file","num_replicas":1,"retention":"limits","discard":"old","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0}"#;

/// Runs the measures of these names; none where there is no NATS server.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let Some(program) = Nats::program() else {
        eprintln!(
            "durable_nats is skipped: there is no nats-server, `make bench-tools` installs it"
        );
        return Ok(Vec::new());
    };
    let stage = Stage::new()?;
    let (own, store) = (folder()?, folder()?);
    let (log, _) = DiskLog::open(own.path(), Config::default())?;
    let served = stage.gateway_on(Arc::new(log))?;
    let settings = store.path().join("nats.conf");
    let path = store.path().display();
    std::fs::write(
        &settings,
        format!("jetstream {{ store_dir: \"{path}\", sync_interval: always }}\n"),
    )?;
    let nats = Nats::start(program, &["--config", &settings.display().to_string()])?;
    let url = nats.url().to_owned();
    stage.run(create(&url))?;
    let next = std::cell::Cell::new(0);
    let take = |count: usize| {
        let numbers = next.get()..next.get() + count as u64;
        next.set(numbers.end);
        numbers
    };
    // Processor time says nothing here: that of the server is another process's.
    let wall = |sample: Sample| Sample { cpu: None, ..sample };
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
                stage.run(publish_each(&url, payloads)).map(wall)
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
                stage.run(publish_ahead(&url, payloads)).map(wall)
            };
            duel(name).run(rounds, emit, publish)?
        });
    }
    Ok(rows)
}

async fn create(url: &str) -> Result<()> {
    let client = async_nats::connect(url).await?;
    let answer = client.request(CREATE, STREAM.into()).await?;
    ensure(!contains(&answer.payload, "\"error\""), || {
        format!("no stream: {}", String::from_utf8_lossy(&answer.payload))
    })
}

/// Publishes messages one by one, waiting for the acknowledgement of each, with as many
/// connections and as many in flight as [`emit_all`] has; gives messages a second.
async fn publish_each(url: &str, payloads: Vec<Bytes>) -> Result<Sample> {
    let count = payloads.len();
    let queue = Arc::new((payloads, AtomicUsize::new(0)));
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(async_nats::connect(url).await?);
    }
    let mut workers = JoinSet::new();
    let watch = Stopwatch::start();
    for client in &clients {
        for _ in 0..IN_FLIGHT {
            workers.spawn(publish_from(Arc::clone(&queue), client.clone()));
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(watch.stop().rate(count as f64))
}

async fn publish_from(queue: Arc<(Vec<Bytes>, AtomicUsize)>, client: Client) -> Result<()> {
    let (payloads, next) = &*queue;
    while let Some(payload) = payloads.get(next.fetch_add(1, Ordering::Relaxed)) {
        check(&client.request(SUBJECT, payload.clone()).await?.payload)?;
    }
    Ok(())
}

/// Publishes messages, as many of them ahead of their acknowledgements as
/// [`emit_stream`] has events; gives messages a second.
async fn publish_ahead(url: &str, payloads: Vec<Bytes>) -> Result<Sample> {
    let client = async_nats::connect(url).await?;
    let mut answers = client.subscribe(REPLY).await?;
    client.flush().await?;
    let window = Arc::new(Semaphore::new(MESSAGES_IN_FLIGHT * MESSAGE_EVENTS));
    let count = payloads.len();
    let room = Arc::clone(&window);
    let watch = Stopwatch::start();
    let sending = tokio::spawn(async move {
        for payload in payloads {
            room.acquire().await?.forget();
            client.publish_with_reply(SUBJECT, REPLY, payload).await?;
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

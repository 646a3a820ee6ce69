//! The ring by itself, without a network: records in and out.

use std::sync::Arc;

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::filter::Filter;
use auditgate::hub::{Hub, MESSAGE_BYTES_MAX, SubscriberState, SubscriptionStart};
use auditgate::log::{Append, Bounds, Log, MemoryLog, ScanQuery};
use auditgate::proto::pb;
use auditgate::record::{Draft, EmitterIdentity};
use auditgate::time::Time;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, Took};
use crate::{Result, Scale, ensure, events};

/// The measures of this file.
pub const NAMES: &[&str] = &["append", "read"];

/// Events appended at once.
pub const BATCH: usize = 256;

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let count = scale.pick(200_000, 2_000);
    // One thread does the work: its time leaves out what else the machine does.
    let sample =
        |took: Took| Sample { value: took.cpu.as_nanos() as f64 / count as f64, cpu: None };
    let unit = "ns/record";
    let better = Better::Less;
    let events = || events::in_batches(0..count, BATCH);
    let mut rows = Vec::new();
    for name in wanted {
        rows.push(if *name == "append" {
            let ours = || {
                let log = MemoryLog::new(Bounds::default());
                runtime.block_on(append(&log, events())).map(sample)
            };
            let peer = || Ok(sample(copy_in(&events()).1));
            Duel { name: "append", unit, better, peer: "copies the events into buffers" }.run(
                scale.rounds(),
                ours,
                peer,
            )?
        } else {
            let ours = || {
                let took = runtime.block_on(async {
                    let log = Arc::new(MemoryLog::new(Bounds::default()));
                    append(log.as_ref(), events()).await?;
                    read(log, count).await
                });
                took.map(sample)
            };
            let peer = || Ok(sample(copy_out(&copy_in(&events()).0)));
            Duel { name: "read", unit, better, peer: "copies the events into messages" }.run(
                scale.rounds(),
                ours,
                peer,
            )?
        });
    }
    Ok(rows)
}

/// Copies events one behind the other into buffers as large as the segments of a ring, and
/// does nothing else; tells how long it takes.
fn copy_in(events: &[Bytes]) -> (Vec<Vec<u8>>, Took) {
    const BUFFER_BYTES: usize = 8 * 1024 * 1024;
    let watch = Stopwatch::start();
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    for event in events {
        match buffers.last_mut().filter(|last| last.capacity() - last.len() >= event.len()) {
            Some(last) => last.extend_from_slice(event),
            None => {
                let mut buffer = Vec::with_capacity(BUFFER_BYTES);
                buffer.extend_from_slice(event);
                buffers.push(buffer);
            }
        }
    }
    std::hint::black_box(&buffers);
    (buffers, watch.stop())
}

/// Copies what is in the buffers into messages as large as those of a subscription.
fn copy_out(buffers: &[Vec<u8>]) -> Took {
    let watch = Stopwatch::start();
    for message in buffers.iter().flat_map(|buffer| buffer.chunks(MESSAGE_BYTES_MAX)) {
        std::hint::black_box(message.to_vec());
    }
    watch.stop()
}

/// Checks and appends events; tells how long it takes.
///
/// # Errors
/// If one is refused.
pub async fn append(log: &dyn Log, events: Vec<Bytes>) -> Result<Took> {
    let emitter = emitter();
    let (before, count) = (log.extent().last.0, events.len());
    let watch = Stopwatch::start();
    for batch in events.chunks(BATCH) {
        log.append(&drafts(batch, &emitter)?, Append::AllOrNothing { validate_only: false })
            .await?;
    }
    let took = watch.stop();
    let kept = log.extent().last.0 - before;
    ensure(kept == count as u64, || format!("{kept} of {count} events were appended"))?;
    Ok(took)
}

/// Who emits here.
pub fn emitter() -> EmitterIdentity {
    pb::Emitter { principal: String::new(), peer: "127.0.0.1:50000".into() }.into()
}

/// Checks events and makes drafts of them.
///
/// # Errors
/// If one is refused.
pub fn drafts(events: &[Bytes], emitter: &EmitterIdentity) -> Result<Vec<Draft>> {
    let now = Time::now();
    let mut drafts = Vec::with_capacity(events.len());
    for event in events {
        drafts.push(Draft::new(Event::check(event.clone(), now, EVENT_BYTES_MAX)?, emitter));
    }
    Ok(drafts)
}

/// Reads all records as a subscriber gets them; tells how long it takes.
///
/// # Errors
/// If one is missing.
pub async fn read(log: Arc<dyn Log>, count: u64) -> Result<Took> {
    let hub = Hub::new(log, CancellationToken::new());
    let filter = pb::Filter::default();
    let query = ScanQuery::new(Arc::new(Filter::compile(&filter)?));
    let subscriber = SubscriberState::new(String::new(), &filter);
    let watch = Stopwatch::start();
    let mut subscription = hub.subscribe(query, SubscriptionStart::Earliest, subscriber).await?;
    loop {
        let message = subscription.next().await?.ok_or("the stream ended")?;
        std::hint::black_box(&message.response);
        if message.caught_up {
            break;
        }
    }
    let took = watch.stop();
    let read = subscription_delivered(&hub);
    ensure(read == count, || format!("{read} of {count} records were read"))?;
    Ok(took)
}

fn subscription_delivered(hub: &Hub) -> u64 {
    hub.subscribers().iter().map(|subscriber| subscriber.delivered()).sum()
}

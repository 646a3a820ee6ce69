//! Appending in the process, without a gateway around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use auditgate::log::Appended;
use auditgate::log::Sequencer as _;
use auditgate::log::shared::shared_log::SharedLog;
use auditgate::record::Draft;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{BROKER, EACH, Place};
use crate::jetstream::{BrokerStream, publish_ahead, publish_each};
use crate::ring::{drafts, emitter};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, median, wall};
use crate::{Result, Scale, ensure, events};

/// Appends that wait at any time, one record each.
const IN_FLIGHT: usize = 1_024;

/// Many appends of one record each, against as many tasks that publish a message each and
/// wait for its acknowledgement.
pub fn append(place: &Place, scale: Scale) -> Result<Row> {
    let each =
        |peer: &BrokerStream, payloads| place.stage.run(publish_each(peer, payloads, 1, IN_FLIGHT));
    append_and(
        "shared_append",
        "async-nats, each waits for its acknowledgement",
        place,
        scale,
        each,
    )
}

/// The same, against one task that publishes as many messages ahead of their
/// acknowledgements.
pub fn append_ahead(place: &Place, scale: Scale) -> Result<Row> {
    let ahead =
        |peer: &BrokerStream, payloads| place.stage.run(publish_ahead(peer, payloads, IN_FLIGHT));
    append_and("shared_append_ahead", "async-nats, one task publishes ahead", place, scale, ahead)
}

fn append_and(
    name: &'static str,
    what: &'static str,
    place: &Place,
    scale: Scale,
    publish: impl Fn(&BrokerStream, Vec<Bytes>) -> Result<Sample>,
) -> Result<Row> {
    let member = place.member(name)?;
    let peer = place.broker("peer_append")?;
    let count = scale.pick(60_000, 2_000);
    let next = events::numbers();
    let duel = Duel { name, unit: "records/s", better: Better::More, peer: what };
    let ours = || {
        let events: Vec<Bytes> = events::encoded(next(count)).collect();
        let drafts = drafts(&events, &emitter())?;
        place.stage.run(append_all(Arc::clone(&member.log), drafts)).map(wall)
    };
    let theirs = || publish(&peer, events::encoded(next(count)).collect()).map(wall);
    duel.run(scale.rounds(), ours, theirs)
}

/// One append at a time, against one message at a time.
pub fn alone(place: &Place, scale: Scale) -> Result<Row> {
    let member = place.member("alone")?;
    let peer = place.broker("peer_alone")?;
    let count = scale.pick(1_000, 50);
    let next = events::numbers();
    let duel = Duel { name: "shared_alone", unit: "us p50", better: Better::Less, peer: BROKER };
    let ours = || {
        let events: Vec<Bytes> = events::encoded(next(count)).collect();
        let drafts = drafts(&events, &emitter())?;
        let log = &member.log;
        place.stage.run(async {
            let mut times = Vec::with_capacity(count);
            for draft in &drafts {
                let started = Instant::now();
                check(&log.append(std::slice::from_ref(draft), EACH).await?)?;
                times.push(started.elapsed().as_secs_f64() * 1e6);
            }
            Ok(Sample { value: median(&times), cpu: None })
        })
    };
    let theirs = || {
        let payloads: Vec<Bytes> = events::encoded(next(count)).collect();
        place.stage.run(async {
            let client = peer.connect().await?;
            let mut times = Vec::with_capacity(count);
            for payload in payloads {
                let started = Instant::now();
                peer.publish(&client, payload).await?;
                times.push(started.elapsed().as_secs_f64() * 1e6);
            }
            Ok(Sample { value: median(&times), cpu: None })
        })
    };
    duel.run(scale.rounds(), ours, theirs)
}

async fn append_all(log: Arc<SharedLog>, drafts: Vec<Draft>) -> Result<Sample> {
    let count = drafts.len();
    let queue = Arc::new((drafts, AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..IN_FLIGHT {
        let (log, queue) = (Arc::clone(&log), Arc::clone(&queue));
        workers.spawn(async move {
            let (drafts, next) = &*queue;
            while let Some(draft) = drafts.get(next.fetch_add(1, Ordering::Relaxed)) {
                check(&log.append(std::slice::from_ref(draft), EACH).await?)?;
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(watch.stop().rate(count as f64))
}

/// The record is new, and stored.
fn check(appended: &[Appended]) -> Result<()> {
    let is_stored = matches!(appended, [Ok(receipt)] if !receipt.duplicate);
    ensure(is_stored, || format!("no receipt: {appended:?}"))
}

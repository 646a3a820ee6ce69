//! How long emitters wait for a receipt when a server goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use auditgate::log::{Error, Sequencer as _};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{EACH, Member, Place, row};
use crate::nats::NatsCluster;
use crate::ring::{drafts, emitter};
use crate::rounds::{Row, median};
use crate::{Result, Scale, ensure, events};

/// Emitters at a time.
const EMITTERS: u64 = 8;
/// Emitters get receipts for so long before a server goes, and after it has come back.
const CALM_TIME: Duration = Duration::from_secs(2);
/// It goes for so long.
const GONE_TIME: Duration = Duration::from_secs(10);
/// An emitter emits fewer events in a round.
const ROUND_EVENTS_MAX: u64 = 100_000;
/// A server that has come back has the whole stream after so long at the latest.
const CURRENT_TIME_MAX: Duration = Duration::from_secs(60);
/// After a refusal, an emitter waits so long.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Lets a server go and come back, some times; the longest wait of any emitter. A server goes when
/// all have the whole stream: NATS may hand a stream over to one that is behind, which then takes
/// as long as it has to catch up.
pub fn failover(place: &mut Place, name: &'static str, scale: Scale) -> Result<Row> {
    let member = place.member(name)?;
    let mut rounds = Vec::new();
    for round in 0..scale.pick(5, 1) {
        let emitters = Emitters::start(place, &member, round);
        std::thread::sleep(scale.pick(CALM_TIME, CALM_TIME / 10));
        let leader = place.stage.run(leader_of_current(&place.servers, name))?;
        let victim = match name {
            "shared_failover_follower" => (leader + 1) % place.servers.len(),
            _ => leader,
        };
        match name {
            "shared_failover_stopped" => place.servers.terminate(victim)?,
            _ => place.servers.kill(victim)?,
        }
        std::thread::sleep(scale.pick(GONE_TIME, GONE_TIME));
        place.servers.restore(victim)?;
        std::thread::sleep(scale.pick(CALM_TIME, CALM_TIME / 10));
        let longest = place.stage.run(emitters.end())?;
        rounds.push(longest.as_secs_f64() * 1e3);
    }
    let longest = rounds.iter().copied().fold(0.0, f64::max);
    eprintln!("{name}: {:.0} ms in the median of the rounds", median(&rounds));
    Ok(row(name, "ms, longest", &rounds, longest))
}

/// The leader of the log's stream, once all other servers have what it has.
async fn leader_of_current(servers: &NatsCluster, log: &str) -> Result<usize> {
    let stream = format!("AUDIT_{log}");
    let begun = Instant::now();
    loop {
        let info = servers.info(&stream).await?;
        let replicas = info.pointer("/cluster/replicas").and_then(Value::as_array);
        let is_current = |replica: &Value| replica.get("current").and_then(Value::as_bool);
        let are_current = replicas.is_some_and(|replicas| {
            replicas.iter().all(|replica| is_current(replica) == Some(true))
        });
        if let Some(leader) = servers.leader(&stream).await?.filter(|_| are_current) {
            return Ok(leader);
        }
        ensure(begun.elapsed() < CURRENT_TIME_MAX, || format!("a server is behind: {info}"))?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Emitters that go on until they are told to end.
struct Emitters {
    is_over: Arc<AtomicBool>,
    receipts: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Result<Duration>>>,
}

impl Emitters {
    fn start(place: &Place, member: &Member, round: u64) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let receipts = Arc::new(AtomicUsize::new(0));
        let task = |number: u64| {
            let (log, is_over) = (Arc::clone(&member.log), Arc::clone(&is_over));
            let receipts = Arc::clone(&receipts);
            async move {
                let mut longest = Duration::ZERO;
                let first = (round * EMITTERS + number) * ROUND_EVENTS_MAX;
                for event in first.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let events: Vec<_> = events::encoded(event..event + 1).collect();
                    let drafts = drafts(&events, &emitter())?;
                    let started = Instant::now();
                    // The same event again and again, as a client does.
                    loop {
                        match log.append(&drafts, EACH).await {
                            Ok(_) => break,
                            Err(Error::Away { .. } | Error::OutcomeUnknown { .. }) => {
                                tokio::time::sleep(RETRY_PAUSE).await;
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                    longest = longest.max(started.elapsed());
                    receipts.fetch_add(1, Ordering::Relaxed);
                }
                Ok(longest)
            }
        };
        let tasks =
            place.stage.serve(async { (0..EMITTERS).map(|n| tokio::spawn(task(n))).collect() });
        Self { is_over, receipts, tasks }
    }

    /// The longest wait of any of them.
    async fn end(self) -> Result<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for task in self.tasks {
            longest = longest.max(task.await??);
        }
        let receipts = self.receipts.load(Ordering::Relaxed);
        ensure(receipts > 0, || "no emitter got a receipt".to_owned())?;
        Ok(longest)
    }
}

//! Killed: at every write, sync, rename and removal, and at random moments.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::emitter::{Known, batches, emit};
use crate::gateway::{Gateway, Place, read};
use crate::{is_long, skip};

/// What the log does to its files.
const STEPS: [&str; 6] = ["pwritev", "fdatasync", "fsync", "rename", "unlink", "ftruncate"];
/// Every so many steps one is tried in a bounded run.
const STRIDE: usize = 6;
/// Steps of one kind and one thread are fewer than this.
const STEPS_MAX: usize = 400;

/// Whether processes can be traced here.
pub fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    traced.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_step_the_log_keeps_what_it_acknowledged() {
    if !can_trace() {
        return skip("killed_at_every_step", "strace cannot run here");
    }
    let stride = if is_long() { 1 } else { STRIDE };
    let mut kills = 0;
    for step in STEPS {
        for when in (1..STEPS_MAX).step_by(stride) {
            if !killed_at(step, when).await {
                break;
            }
            kills += 1;
        }
    }
    eprintln!("killed at {kills} steps: nothing lost, invented or doubled");
    assert!(kills > 10, "the steps are where they are looked for");
}

/// Starts, emits and stops, killed at a step. Returns whether it came to that.
async fn killed_at(step: &str, when: usize) -> bool {
    let place = Place::new();
    let trace = format!("trace={step}");
    let inject = format!("inject={step}:signal=SIGKILL:when={when}");
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let mut known = Known::default();
    let mut killed = true;
    if let Some(mut gateway) = Gateway::start(&place, &place.data(), &tracer) {
        let (one, two) = tokio::join!(
            emit(gateway.address, batches("a", 12)),
            emit(gateway.address, batches("b", 12))
        );
        known.merge(one);
        known.merge(two);
        killed = !known.open.is_empty() || !gateway.is_running();
        gateway.kill();
    }
    known.check(&read(&place.data()).await);
    // What was in flight is sent again, to a gateway that is left alone.
    let gateway = Gateway::start(&place, &place.data(), &[]).unwrap();
    let open = std::mem::take(&mut known.open);
    let again = emit(gateway.address, open).await;
    assert!(again.open.is_empty());
    gateway.kill();
    known.sent.extend(
        again.sent.iter().filter(|batch| !known.sent.contains(batch)).cloned().collect::<Vec<_>>(),
    );
    known.acknowledged.extend(again.acknowledged);
    known.check(&read(&place.data()).await);
    killed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_moments_the_log_keeps_what_it_acknowledged() {
    const EMITTERS: usize = 4;
    let rounds = if is_long() { 200 } else { 20 };
    let place = Place::new();
    let mut known = Known::default();
    let mut open: Vec<Vec<Vec<String>>> = vec![Vec::new(); EMITTERS];
    for round in 0..rounds {
        let gateway = Gateway::start(&place, &place.data(), &[]).unwrap();
        let address = gateway.address;
        let emitters = open.iter_mut().enumerate().map(|(number, open)| {
            let mut work = std::mem::take(open);
            work.extend(batches(&format!("{round}-{number}"), 400));
            tokio::spawn(emit(address, work))
        });
        let emitters: Vec<_> = emitters.collect();
        // When, and so where in its work, is left to chance.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..250))).await;
        gateway.kill();
        for (emitter, open) in emitters.into_iter().zip(&mut open) {
            let mut told = emitter.await.unwrap();
            // What never left is another round's; what did is sent again.
            *open = std::mem::take(&mut told.open)
                .into_iter()
                .filter(|batch| told.sent.contains(batch))
                .collect();
            told.sent.retain(|batch| !known.sent.contains(batch));
            known.merge(told);
        }
        known.check(&read(&place.data()).await);
    }
    eprintln!(
        "killed {rounds} times under load: {} acknowledged, nothing lost, invented or doubled",
        known.acknowledged.len()
    );
    assert!(known.acknowledged.len() > 10 * rounds);
}

//! Servers and gateways are killed, stopped in order and suspended at random moments.

use std::time::Duration;

use fastrand::Rng;
use tokio::task::block_in_place;

use crate::copies::agreed;
use crate::is_long;
use crate::load::{Load, subscribe};
use crate::scene::{MEMBERS, Scene};

const EMITTERS: usize = 6;
/// Batches that must be acknowledged after each fault.
const PROGRESS: usize = 40;
/// The seed of another run, which prints it.
const SEED_VARIABLE: &str = "AUDITGATE_FAULT_SEED";

/// What happens to a process.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Terminate,
    Suspend,
}

/// What it happens to: the first ones are servers, the others gateways.
type Victim = usize;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_whoever_fails() {
    let Some(mut scene) = Scene::start("nothing_is_lost_or_doubled_whoever_fails", &[]) else {
        return;
    };
    let rounds = if is_long() { 200 } else { 10 };
    let seed = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("cluster: {rounds} rounds, {SEED_VARIABLE}={seed}");
    let mut random = Rng::with_seed(seed);
    let load = Load::start(scene.doors(), "random", EMITTERS);
    let subscribers: Vec<_> = (0..MEMBERS)
        .map(|number| (number == 1, subscribe(scene.doors(), number, number == 1)))
        .collect();
    load.progress(PROGRESS).await;
    let mut faults = Vec::new();
    let mut longest = Duration::ZERO;
    for round in 1..=rounds {
        if faults.is_empty() {
            faults = all_faults();
            random.shuffle(&mut faults);
        }
        let (fault, victim) = faults.pop().unwrap();
        let gone = Duration::from_millis(random.u64(100..3_000));
        block_in_place(|| fail(&mut scene, fault, victim));
        let leader = scene.servers.leader(crate::scene::STREAM).await;
        tokio::time::sleep(gone).await;
        block_in_place(|| restore(&mut scene, victim));
        let took = load.progress(PROGRESS).await;
        longest = longest.max(gone + took);
        eprintln!(
            "{round}: {fault:?} {} for {gone:?}, then {took:?}; leader {leader:?}",
            name(victim)
        );
    }
    let receipts = load.end().await;
    let last = receipts.values().copied().max().unwrap();
    scene.caught_up(last).await;
    scene.roots_agree(last).await;
    let mut told = Vec::new();
    for (only_alices, subscriber) in subscribers {
        told.push((only_alices, subscriber.await.unwrap()));
    }
    let ids = agreed(&mut scene, &receipts).await;
    for (only_alices, told) in &told {
        told.check(&ids, *only_alices);
    }
    let failovers: usize = told.iter().map(|(_, told)| told.failovers).sum();
    eprintln!(
        "cluster: {rounds} faults, {} acknowledged, nothing lost, invented or doubled; {failovers} \
         failovers of subscribers, who got exactly what matches; the copies and their roots are equal; after \
         {longest:?} at most, {PROGRESS} batches were acknowledged",
        receipts.len()
    );
}

/// Each fault of each process.
fn all_faults() -> Vec<(Fault, Victim)> {
    let kinds = [Fault::Kill, Fault::Terminate, Fault::Suspend];
    (0..2 * MEMBERS).flat_map(|victim| kinds.map(|kind| (kind, victim))).collect()
}

fn name(victim: Victim) -> String {
    match victim.checked_sub(MEMBERS) {
        None => format!("server {victim}"),
        Some(gateway) => format!("gateway {gateway}"),
    }
}

fn fail(scene: &mut Scene, fault: Fault, victim: Victim) {
    if let Some(gateway) = victim.checked_sub(MEMBERS) {
        let gateway = &mut scene.gateways[gateway];
        match fault {
            Fault::Kill => gateway.kill(),
            Fault::Terminate => gateway.terminate(),
            Fault::Suspend => gateway.suspend(),
        }
    } else {
        match fault {
            Fault::Kill => scene.servers.kill(victim).unwrap(),
            Fault::Terminate => scene.servers.terminate(victim).unwrap(),
            Fault::Suspend => scene.servers.suspend(victim).unwrap(),
        }
    }
}

fn restore(scene: &mut Scene, victim: Victim) {
    match victim.checked_sub(MEMBERS) {
        Some(gateway) => scene.gateways[gateway].restore(),
        None => scene.servers.restore(victim).unwrap(),
    }
}

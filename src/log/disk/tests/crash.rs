//! Crashes of the machine, simulated: what was not synced is forgotten, or kept in
//! another order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{SMALL, as_log, config};
use crate::log::conformance::{ALL, draft, read_all};
use crate::log::disk::storage::crashing::CrashingStorage;
use crate::log::disk::{Config, DiskLog, Retention, SyncPolicy};
use crate::log::{Receipt, Sequencer as _, Store as _};
use crate::record::Sequence;

/// How many seeds are tried; each is replayed by `AUDITGATE_FAULT_SEED=SEED`.
const SEEDS: u64 = 60;
/// How many with `AUDITGATE_FAULTS=long`.
const SEEDS_LONG: u64 = 1_000;
/// How often the machine crashes under one seed.
const CRASHES: usize = 3;

/// What the emitters know: which ids they sent, in which batch, and what they were
/// told.
#[derive(Default)]
struct EmitterView {
    batches: Vec<Vec<String>>,
    acknowledged: BTreeMap<String, Receipt>,
}

#[test]
fn no_crash_loses_invents_or_doubles_what_was_acknowledged() {
    let only = std::env::var("AUDITGATE_FAULT_SEED").ok().map(|seed| seed.parse().unwrap());
    let is_long = std::env::var("AUDITGATE_FAULTS").is_ok_and(|how| how == "long");
    let all = 0..if is_long { SEEDS_LONG } else { SEEDS };
    let seeds = only.map_or(all, |seed: u64| seed..seed + 1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| runtime.block_on(live_and_crash(seed)));
        if let Err(panic) = run {
            eprintln!("seed {seed}: replay it with AUDITGATE_FAULT_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

async fn live_and_crash(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let sync = if seed % 4 == 3 { SyncPolicy::None } else { SyncPolicy::Always };
    let retain = Retention { bytes: (seed % 5 == 4).then_some(150 * 1024), age: None };
    let config = Config { ring: SMALL, sync, retain, ..config() };
    let mut folder = tempfile::tempdir().unwrap();
    let mut known = EmitterView::default();
    for life in 0..CRASHES {
        let storage = Arc::new(CrashingStorage::of(folder.path()));
        let (log, notices) = DiskLog::open_on(folder.path(), config, storage.clone()).unwrap();
        let log = Arc::new(log);
        assert!(notices.iter().all(|notice| !notice.text.contains("damaged")), "{notices:?}");
        check(&log, &mut known, sync).await;
        let target = tempfile::tempdir().unwrap();
        let folders = (folder.path(), target.path());
        live(&log, &storage, folders, life, &mut known, &mut random).await;
        drop(log);
        folder = target;
    }
    let (log, _) = DiskLog::open(folder.path(), config).unwrap();
    check(&Arc::new(log), &mut known, sync).await;
}

/// Emits from two tasks until the machine crashes, at any moment.
async fn live(
    log: &Arc<DiskLog>,
    storage: &Arc<CrashingStorage>,
    (source, target): (&Path, &Path),
    life: usize,
    known: &mut EmitterView,
    random: &mut fastrand::Rng,
) {
    let crashed = Arc::new(AtomicBool::new(false));
    let emitters = (0..2).map(|task| {
        let (log, crashed) = (Arc::clone(log), Arc::clone(&crashed));
        let mut random = random.fork();
        tokio::spawn(async move {
            let mut own = EmitterView::default();
            for number in 0..30 {
                let size = random.usize(1..5);
                let ids = (0..size).map(|place| format!("{life}-{task}-{number}-{place}"));
                let ids: Vec<String> = ids.collect();
                own.batches.push(ids.clone());
                let length = random.usize(..2_000);
                let drafts: Vec<_> = ids.iter().map(|id| draft(id, &"x".repeat(length))).collect();
                let placed = log.append(&drafts, ALL).await;
                // What is told after the crash is told to nobody.
                if crashed.load(Ordering::SeqCst) {
                    break;
                }
                own.acknowledged.extend(ids.into_iter().zip(placed.unwrap().into_iter().flatten()));
            }
            own
        })
    });
    let emitters: Vec<_> = emitters.collect();
    for _ in 0..random.usize(..60) {
        let mut changes = log.changes();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(2), changes.changed()).await;
    }
    // Whoever was acknowledged before this was so before the crash.
    crashed.store(true, Ordering::SeqCst);
    storage.crash(source, target, random);
    for emitter in emitters {
        let own = emitter.await.unwrap();
        known.batches.extend(own.batches);
        known.acknowledged.extend(own.acknowledged);
    }
}

/// What the log has, against what the emitters know.
async fn check(log: &Arc<DiskLog>, known: &mut EmitterView, sync: SyncPolicy) {
    let extent = log.extent();
    let all = read_all(&as_log(log)).await;
    let gapless =
        all.iter().zip(extent.first.0..).all(|((sequence, ..), wanted)| sequence.0 == wanted);
    assert!(gapless && all.len() as u64 == extent.records(), "{extent:?}");
    assert!(all.is_sorted_by_key(|(_, accepted, _)| *accepted));
    let kept: BTreeMap<&str, Sequence> =
        all.iter().map(|(sequence, _, id)| (id.as_str(), *sequence)).collect();
    assert_eq!(kept.len(), all.len(), "none is doubled");
    let sent: std::collections::BTreeSet<&str> =
        known.batches.iter().flatten().map(String::as_str).collect();
    assert!(kept.keys().all(|id| sent.contains(id)), "none is invented");
    if sync == SyncPolicy::Always {
        for (id, placed) in &known.acknowledged {
            let removed = placed.sequence < extent.first;
            assert!(removed || kept.get(id.as_str()) == Some(&placed.sequence), "{id}: {placed:?}");
        }
    } else {
        known.acknowledged.clear();
    }
    for batch in &known.batches {
        let found = batch.iter().filter(|id| kept.contains_key(id.as_str())).count();
        let oldest = kept.values().next().is_none_or(|_| extent.first == Sequence::FIRST);
        assert!(found == 0 || found == batch.len() || !oldest, "a batch in part: {batch:?}");
    }
}

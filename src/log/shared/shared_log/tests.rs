//! Several gateways on one simulated stream, with their copies on disk.

mod altered;
mod copy;
mod epochs;
mod faults;
mod hostile;
mod nats;
mod nats_loss;
mod reconfigured;
mod replays;
mod settings;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::log::conformance::{ALL, EACH, draft, draft_by, make_private, run};
use crate::log::shared::machine::WindowLimits;
use crate::log::shared::mark::FOLLOWER;
use crate::log::shared::message::{AuthenticationKey, SharedMessage};
use crate::log::shared::stream::simulated::{Faults, SimulatedStream};
use crate::log::{
    Append, Bounds, ConflictReason, Log, Receipt, Sequencer as _, Store as _, TailKind,
};
use crate::record::Sequence;

const RING: Bounds = Bounds { bytes: 8 * 1024 * 1024, records: 100_000 };
/// What a message has room for beside a unit, in bytes.
const SPARE: usize = 64 * 1024;
const LOG_ID: Uuid = Uuid::from_u128(0x5a5a);

pub fn settings() -> StreamSettings {
    let window = WindowLimits::default();
    StreamSettings { log_id: LOG_ID, window, message_bytes_max: 8 * 1024 * 1024 }
}

pub fn keys() -> ClusterKeys {
    keys_of(LOG_ID)
}

fn keys_of(log_id: Uuid) -> ClusterKeys {
    ClusterKeys::new(AuthenticationKey::new(&[5; 32], log_id), Vec::new())
}

fn config(ring: Bounds) -> Config {
    let times = PublishTimes {
        repeat: Duration::from_millis(100),
        retry: Duration::from_millis(20),
        give_up: Duration::from_secs(20),
    };
    let disk = disk::Config { ring, ..disk::Config::default() };
    Config { disk, keys: keys(), times, epoch_key: epochs::epoch_key() }
}

/// Waits until the log accepts events.
async fn ready(log: &SharedLog) {
    let mut state = log.state();
    let ready = state.wait_for(|state| *state == State::Ready);
    let ready = tokio::time::timeout(Duration::from_secs(30), ready).await;
    assert!(ready.is_ok_and(|ready| ready.is_ok()), "{:?}", log.state().borrow());
}

pub async fn open(folder: &TempDir, ring: Bounds, stream: Arc<dyn Stream>) -> Arc<SharedLog> {
    let config = Config { keys: keys_of(stream.settings().log_id), ..config(ring) };
    let opened = SharedLog::open(folder.path(), config, stream).await;
    let (log, notices) = opened.expect("a log");
    assert_eq!(notices, []);
    ready(&log).await;
    Arc::new(log)
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    make_private(&folder);
    folder
}

/// A gateway and its directory.
struct Gateway {
    log: Arc<SharedLog>,
    folder: TempDir,
}

async fn gateway(stream: &Arc<SimulatedStream>) -> Gateway {
    let folder = folder();
    let log = open(&folder, RING, Arc::clone(stream) as Arc<dyn Stream>).await;
    Gateway { log, folder }
}

async fn receipt(log: &SharedLog, id: &str, command: &str) -> Receipt {
    let appended = log.append(&[draft(id, command)], ALL).await.expect("accepted");
    *appended[0].as_ref().expect("a receipt")
}

/// Waits until the copy has all that the stream has.
async fn caught_up(log: &SharedLog) -> Sequence {
    for _ in 0..20 {
        if let Ok(tail) = log.tail(TailKind::Consistent).await {
            if tail > Sequence::ZERO {
                log.inner.disk.committed(tail).await.expect("readable");
            }
            return tail;
        }
    }
    panic!("{:?}", log.state().borrow())
}

/// All frames that a copy has.
async fn frames(log: &Arc<SharedLog>) -> Vec<Vec<u8>> {
    caught_up(log).await;
    let log = Arc::clone(log) as Arc<dyn Log>;
    let extent = log.extent();
    let (mut next, mut frames) = (extent.first, Vec::new());
    while next <= extent.last {
        let segment = run(&log, next).await;
        let view = segment.view(extent.last);
        let positions = view.position(next)..view.len();
        frames.extend(positions.map(|position| view.frame(position).to_vec()));
        next = view.end();
    }
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_come_to_the_same_log() {
    const EVENTS: usize = 150;
    for seed in 0..2 {
        let stream = SimulatedStream::new(seed, Faults::UNNOTICED, settings());
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(gateway(&stream).await);
        }
        // Each id is emitted at two gateways.
        let tasks = (0..6).map(|task: usize| {
            let log = Arc::clone(&gateways[task % 3].log);
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                for number in 0..EVENTS / 3 {
                    let ids: Vec<_> =
                        (0..3).map(|n| format!("{}-{}", task / 2, number * 3 + n)).collect();
                    let drafts: Vec<_> = ids.iter().map(|id| draft(id, "ls")).collect();
                    let how = if (number + task).is_multiple_of(2) { ALL } else { EACH };
                    let appended = log.append(&drafts, how).await.expect("accepted");
                    let appended = appended.into_iter().map(|one| one.expect("no conflict"));
                    receipts.extend(ids.into_iter().zip(appended));
                }
                receipts
            })
        });
        let mut receipts = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            receipts.extend(task.await.expect("no panic"));
        }
        let all = frames(&gateways[0].log).await;
        assert_eq!(all.len(), 3 * EVENTS);
        for other in &gateways[1..] {
            assert!(frames(&other.log).await == all, "the same bytes");
        }
        let new: Vec<_> = receipts.iter().filter(|(_, receipt)| !receipt.duplicate).collect();
        assert_eq!(new.len(), 3 * EVENTS, "each is new to one of them");
        let mut by_id = HashMap::new();
        for (id, receipt) in &receipts {
            let frame = &all[receipt.sequence.0 as usize - 1];
            let record = crate::record::Record::read_frame(frame);
            assert_eq!(record.envelope().id, Some(id.as_str()));
            assert_eq!(Some(record.accept_time), receipt.accept_time);
            let first = *by_id.entry(id).or_insert(receipt.sequence);
            assert_eq!(first, receipt.sequence);
        }
        for gateway in gateways {
            let report = gateway.log.report();
            assert_eq!((report.disagreements, report.invalid), (0, 0), "{report:?}");
            gateway.log.close().await;
            drop(gateway.folder);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_contents_under_one_id_one_wins_everywhere() {
    let stream = SimulatedStream::new(3, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    for number in 0..40 {
        let id = number.to_string();
        let others = [draft(&id, "rm"), draft(&format!("{id}-other"), "ls")];
        let own = [draft(&id, "ls")];
        let how = if number % 2 == 0 { ALL } else { EACH };
        let (first, second) = tokio::join!(one.log.append(&own, ALL), two.log.append(&others, how));
        let second = second.map(|appended| appended.into_iter().map(|one| one.is_ok()).collect());
        match (first, second) {
            (Ok(first), second) if first[0].is_ok() => {
                let expected: Result<Vec<bool>, ()> =
                    if number % 2 == 0 { Err(()) } else { Ok(vec![false, true]) };
                assert_eq!(second.map_err(|_| ()), expected, "{number}");
            }
            (Err(Refusal::Conflict(_)), second) => assert_eq!(second, Ok(vec![true, true])),
            other => panic!("{other:?}"),
        }
    }
    assert!(frames(&one.log).await == frames(&two.log).await);
    // Principals are told apart.
    let appended = two.log.append(&[draft_by("0", "vi", "other")], ALL).await.expect("accepted");
    assert!(!appended[0].as_ref().expect("a receipt").duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_goes_on_where_it_stopped() {
    let stream = SimulatedStream::new(4, Faults::UNNOTICED, settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    let mut gone = two;
    for round in 0..3 {
        for number in 0..20 {
            receipt(&one.log, &format!("{round}-{number}"), "ls").await;
            receipt(&gone.log, &format!("{round}-{number}-other"), "ls").await;
        }
        // With and without a word.
        if round != 1 {
            gone.log.close().await;
            let late = gone.log.append(&[draft("late", "ls")], EACH).await;
            assert_eq!(late, Err(Refusal::Closed));
        }
        let Gateway { log, folder } = gone;
        let inner = Arc::downgrade(&log.inner);
        drop(log);
        while inner.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for number in 0..20 {
            receipt(&one.log, &format!("{round}-{number}-missed"), "ls").await;
        }
        let log = open(&folder, RING, Arc::clone(&stream) as Arc<dyn Stream>).await;
        assert!(receipt(&log, &format!("{round}-3-other"), "ls").await.duplicate);
        gone = Gateway { log, folder };
    }
    let all = frames(&one.log).await;
    assert_eq!(all.len(), 3 * 60);
    assert!(frames(&gone.log).await == all);
    assert_eq!(gone.log.report().disagreement, None);
    assert_eq!(gone.log.identity().borrow().epoch, 1, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_joins_a_trimmed_stream_and_is_read_only_for_a_while() {
    let stream = SimulatedStream::new(5, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    // Two gateways do not wait for each other: soon a message was made before what is left then.
    let mut count = 0;
    let oldest = loop {
        let tasks = (0..6).map(|task| {
            let log = Arc::clone(if task % 2 == 0 { &one.log } else { &two.log });
            tokio::spawn(async move {
                for number in count..count + 10 {
                    receipt(&log, &format!("{task}-{number}"), "ls").await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        count += 10;
        let entries: Vec<_> = stream.with(|simulation| simulation.at_once(1, u64::MAX).collect());
        let early = entries.iter().skip(10).find(|entry| {
            let message = SharedMessage::decode(&entry.bytes, &keys()).expect("its own");
            message.basis.position + 1 < entry.position
        });
        match early {
            Some(early) => break early.position,
            None => assert!(count < 300, "no two messages were on their way at once"),
        }
    };
    let count = 6 * count;
    caught_up(&one.log).await;
    stream.with(|simulation| simulation.trim(oldest));
    let folder = folder();
    let (late, _) = SharedLog::open(folder.path(), config(RING), Arc::clone(&stream) as _)
        .await
        .expect("a state to join with");
    let late = Arc::new(late);
    let all = frames(&one.log).await;
    let joined = frames(&late).await;
    assert!(!joined.is_empty() && joined.len() < count && all.ends_with(&joined));
    let mut state = late.state();
    let joined_late =
        |state: &State| matches!(state, State::Away(why) if why.contains("joined late"));
    assert!(state.wait_for(joined_late).await.is_ok());
    let refused = late.append(&[draft("new", "ls")], ALL).await;
    assert!(matches!(&refused, Err(Refusal::Away { why }) if why.contains("joined late")));
    // What it lacks goes from the stream.
    stream.with(|simulation| simulation.trim(simulation.ends().last));
    ready(&late).await;
    assert_eq!(receipt(&late, "new", "ls").await.sequence, Sequence(count as u64 + 1));
    let last = crate::record::Record::read_frame(all.last().expect("records"));
    let last = last.envelope().id.expect("an id").to_owned();
    assert!(receipt(&late, &last, "ls").await.duplicate);
    assert!(receipt(&one.log, "new", "ls").await.duplicate);
    let ids: HashSet<_> = frames(&one.log).await.into_iter().collect();
    assert_eq!(ids.len(), count + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consistent_tail_knows_what_others_appended() {
    let stream = SimulatedStream::new(6, Faults { missed: 1_000, ..Faults::default() }, settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    for number in 1..=5 {
        let sequence = receipt(&one.log, &number.to_string(), "ls").await.sequence;
        assert_eq!(two.log.tail(TailKind::Consistent).await, Ok(sequence));
        assert_eq!(two.log.tail(TailKind::Fast).await, Ok(sequence));
    }
    let checked = two.log.append(&[draft("5", "rm")], Append::Each { validate_only: true }).await;
    let conflict = checked.expect("checked").remove(0).unwrap_err();
    assert_eq!(conflict.reason, ConflictReason::Content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_records_of_a_call_go_in_several_messages_and_keep_their_order() {
    const DRAFTS: u64 = 2_500;
    let faults = Faults { lost: 250, ..Faults::UNNOTICED };
    let message_bytes_max = SPARE + 128 * 1024;
    let settings = StreamSettings { message_bytes_max, ..settings() };
    let stream = SimulatedStream::new(7, faults, settings);
    let one = gateway(&stream).await;
    for call in 0..3 {
        let drafts: Vec<_> =
            (0..DRAFTS).map(|n| draft(&format!("{call}-{n}"), &"ls ".repeat(50))).collect();
        let appended = one.log.append(&drafts, EACH).await.expect("accepted");
        let sequences = appended.iter().map(|one| one.as_ref().expect("a receipt").sequence.0);
        assert!(sequences.eq(call * DRAFTS + 1..=(call + 1) * DRAFTS), "in their order");
        let together = one.log.append(&drafts[1..], ALL).await.expect("they are stored");
        assert!(together.iter().all(|one| one.as_ref().is_ok_and(|one| one.duplicate)));
        let fresh: Vec<_> =
            (0..DRAFTS).map(|n| draft(&format!("{call}-{n}-all"), &"ls ".repeat(50))).collect();
        let refused = one.log.append(&fresh, ALL).await;
        assert!(matches!(refused, Err(Refusal::TooManyBytes { .. })), "one message has all");
    }
}

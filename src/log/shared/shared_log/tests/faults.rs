//! What a gateway does when the stream is not what it should be.

use bytes::Bytes;

use super::altered::AlteredStream;
use super::*;
use crate::log::shared::message::group::MessageGroup;
use crate::log::shared::message::{MessageContent, SharedMessage};

/// Waits until the log has failed; why.
pub async fn failure(log: &SharedLog) -> String {
    let mut state = log.state();
    let failed = state.wait_for(|state| matches!(state, State::Failed(_)));
    let failed = tokio::time::timeout(Duration::from_secs(30), failed).await;
    match failed.expect("in time").expect("a state").clone() {
        State::Failed(why) => why,
        state => panic!("{state:?}"),
    }
}

pub async fn try_open(folder: &TempDir, stream: &Arc<impl Stream>) -> Result<SharedLog, String> {
    let config = Config { keys: keys_of(stream.settings().log_id), ..config(RING) };
    let opened = SharedLog::open(folder.path(), config, Arc::clone(stream) as _).await;
    opened.map(|(log, _)| log).map_err(|error| error.to_string())
}

/// Closes a gateway and returns its directory.
pub async fn closed(gateway: Gateway) -> TempDir {
    let Gateway { log, folder } = gateway;
    log.close().await;
    folder
}

/// A server that was suspended while it led the stream, or has just started, may say that the
/// stream ends earlier than it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_messages_for_a_moment_is_not_believed() {
    let stream = SimulatedStream::new(12, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    for id in ["1", "2", "3"] {
        receipt(&one.log, id, "ls").await;
    }
    caught_up(&two.log).await;
    stream.forget(1);
    assert_eq!(two.log.tail(TailKind::Consistent).await, Ok(Sequence(3)));
    let two = closed(two).await;
    receipt(&one.log, "4", "ls").await;
    stream.forget(3);
    let two = try_open(&two, &stream).await.unwrap();
    assert_eq!(two.tail(TailKind::Consistent).await, Ok(Sequence(4)));
    ready(&two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_leader_a_gateway_is_away_and_comes_back() {
    let stream = SimulatedStream::new(11, Faults::default(), settings());
    let folder = folder();
    let mut config = config(RING);
    config.times.give_up = Duration::from_millis(600);
    let (log, _) = SharedLog::open(folder.path(), config, Arc::clone(&stream) as _).await.unwrap();
    ready(&log).await;
    receipt(&log, "before", "ls").await;
    stream.stall(true);
    let open = log.append(&[draft("meanwhile", "ls")], ALL).await;
    assert!(matches!(open, Err(Refusal::OutcomeUnknown { .. })), "{open:?}");
    // The append and the state learn of it one after the other.
    let mut state = log.state();
    let away = state.wait_for(|state| matches!(state, State::Away(_)));
    tokio::time::timeout(Duration::from_secs(30), away).await.expect("in time").expect("a state");
    let refused = log.append(&[draft("late", "ls")], ALL).await;
    assert!(matches!(refused, Err(Refusal::Away { .. })), "{refused:?}");
    assert!(matches!(log.tail(TailKind::Consistent).await, Err(Refusal::Away { .. })));
    assert_eq!(log.extent().last, Sequence(1), "what there is can be read");
    stream.stall(false);
    ready(&log).await;
    let again = receipt(&log, "meanwhile", "ls").await;
    assert_eq!(again.sequence, Sequence(2));
    assert_eq!(receipt(&log, "late", "ls").await.sequence, Sequence(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_and_recovers() {
    let stream = SimulatedStream::new(12, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipt(&one.log, "before", "ls").await;
    stream.fill(true);
    for _ in 0..2 {
        let refused = one.log.append(&[draft("meanwhile", "ls")], ALL).await;
        assert!(matches!(refused, Err(Refusal::Full { .. })), "{refused:?}");
    }
    assert!(matches!(&*one.log.state().borrow(), State::Full(_)));
    stream.fill(false);
    ready(&one.log).await;
    assert_eq!(receipt(&one.log, "meanwhile", "ls").await.sequence, Sequence(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_without_a_cluster_key_are_passed_over() {
    let stream = SimulatedStream::new(13, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    receipt(&one.log, "a", "ls").await;
    let replayed = stream.with(|simulation| simulation.at_once(1, 100).last()).unwrap().bytes;
    let mut changed = replayed.to_vec();
    changed[70] ^= 1;
    for bytes in [Bytes::new(), Bytes::from_static(&[0; 200]), changed.into(), replayed] {
        stream.inject(bytes);
    }
    receipt(&two.log, "b", "ls").await;
    assert!(receipt(&one.log, "b", "ls").await.duplicate);
    assert!(frames(&one.log).await == frames(&two.log).await);
    assert_eq!(one.log.extent().last, Sequence(2));
    assert_eq!((one.log.report().invalid, two.log.report().invalid), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_says_stops_applying() {
    let stream = SimulatedStream::new(14, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipt(&one.log, "a", "ls").await;
    let content = MessageContent::Group(MessageGroup::of(&[]));
    let basis = one.log.inner.machine.lock().state();
    let message = SharedMessage { sender: 1, counter: 1, basis, content };
    let mut bytes = message.encode(&keys());
    bytes.truncate(bytes.len() - 20);
    bytes[3] = b'2';
    keys().authenticate(&mut bytes);
    stream.inject(bytes.into());
    let why = failure(&one.log).await;
    assert!(why.contains("version 50") && why.contains("newer auditgate"), "{why}");
    let refused = one.log.append(&[draft("b", "ls")], ALL).await;
    assert!(matches!(refused, Err(Refusal::Failed { .. } | Refusal::Closed)), "{refused:?}");
    assert_eq!(one.log.extent().last, Sequence(1), "what there is can be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_rolled_back_is_noticed() {
    let stream = SimulatedStream::new(15, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    for number in 0..10 {
        receipt(&one.log, &number.to_string(), "ls").await;
    }
    caught_up(&two.log).await;
    let two = closed(two).await;
    stream.with(|simulation| {
        let last = simulation.ends().last;
        simulation.roll_back(last - 3);
    });
    let why = try_open(&two, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("ends at"), "{why}");
    // The other one goes on, and its message comes where it had another.
    let drafts = [draft("new", "ls")];
    let lost = one.log.append(&drafts, ALL);
    let (lost, why) = tokio::join!(lost, failure(&one.log));
    assert!(matches!(lost, Err(Refusal::OutcomeUnknown { .. })), "{lost:?}");
    assert!(why.contains("rolled back"), "{why}");
    // The place of the last message was taken by another one.
    for _ in 0..20 {
        stream.inject(Bytes::from_static(b"other"));
    }
    let why = try_open(&two, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("is not the one that this gateway has applied"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_away_for_too_long_is_told_so() {
    let stream = SimulatedStream::new(16, Faults::default(), settings());
    let (one, two) = (gateway(&stream).await, gateway(&stream).await);
    let two = closed(two).await;
    for number in 0..10 {
        receipt(&one.log, &number.to_string(), "ls").await;
    }
    stream.with(|simulation| simulation.trim(8));
    let why = try_open(&two, &stream).await.map(|_| ()).unwrap_err();
    assert!(why.contains("begins at 8"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_no_log_of_its_own_and_the_other_way_round() {
    let stream = SimulatedStream::new(17, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipt(&one.log, "a", "ls").await;
    let one = closed(one).await;
    let refused = disk::DiskLog::open(one.path(), disk::Config::default());
    let refused = refused.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("is a copy of a shared log"), "{refused}");
    let settings = StreamSettings { log_id: Uuid::from_u128(1), ..settings() };
    let other = SimulatedStream::new(18, Faults::default(), settings);
    other.with(|simulation| {
        stream.with(|from| {
            from.at_once(1, 100).for_each(|entry| drop(simulation.store(entry.bytes)))
        });
    });
    let refused = try_open(&one, &other).await.err().unwrap();
    assert!(refused.contains("connect the gateway to the stream of its log"), "{refused}");
    let own = folder();
    drop(disk::DiskLog::open(own.path(), disk::Config::default()).unwrap());
    let refused = try_open(&own, &stream).await.map(|_| ()).unwrap_err();
    assert!(refused.contains("is a log of its own"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_with_another_record_is_not_continued() {
    let stream = SimulatedStream::new(19, Faults::default(), settings());
    let one = gateway(&stream).await;
    receipt(&one.log, "a", "ls").await;
    let folder = closed(one).await;
    // As if it had stopped before the mark was written, and the stream had been made anew.
    let start = FollowerMark::new(LOG_ID);
    std::fs::write(folder.path().join(FOLLOWER), start.encode()).unwrap();
    let log = open(&folder, RING, Arc::clone(&stream) as _).await;
    assert!(receipt(&log, "a", "ls").await.duplicate, "the same record is no fault");
    log.close().await;
    drop(log);
    std::fs::write(folder.path().join(FOLLOWER), start.encode()).unwrap();
    let other = SimulatedStream::new(20, Faults::default(), settings());
    let two = gateway(&other).await;
    receipt(&two.log, "a", "rm").await;
    let log = try_open(&folder, &other).await.unwrap();
    let why = failure(&log).await;
    assert!(why.contains("record 1 of the copy is not the one of the stream"), "{why}");
}

/// A bit that is flipped on one replica, or on the way: the leader is asked before a message
/// is skipped. What is forged is skipped by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_one_replica_damages_is_not_skipped() {
    let faults = Faults { flipped: 300, missed: 200, ..Faults::default() };
    let stream = SimulatedStream::new(5, faults, settings());
    let folders = [folder(), folder()];
    let mut logs = Vec::new();
    for folder in &folders {
        logs.push(open(folder, RING, Arc::clone(&stream) as Arc<dyn Stream>).await);
    }
    for number in 0..60 {
        let log = &logs[number % 2];
        let drafts = [draft(&format!("{number}"), "ls")];
        log.append(&drafts, ALL).await.expect("appended")[0].as_ref().expect("a receipt");
    }
    stream.inject(Bytes::from_static(b"forged"));
    let end = stream.with(|stream| stream.ends().last);
    for log in &logs {
        log.tail(TailKind::Consistent).await.expect("reached");
        let report = log.report();
        assert_eq!((report.position, report.invalid, report.disagreements), (end, 1, 0));
    }
    assert!(frames(&logs[0]).await == frames(&logs[1]).await, "the same bytes");
    assert_eq!(logs[0].extent().last, Sequence(60));
}

/// Retention removes all but the newest messages of a stream to which nobody appends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_keeps_a_basis_to_join_from() {
    let stream = SimulatedStream::new(6, Faults::default(), settings());
    stream.keep_for(Duration::from_secs(4));
    let (first, second) = (folder(), folder());
    let log = open(&first, RING, Arc::clone(&stream) as Arc<dyn Stream>).await;
    log.append(&[draft("one", "ls")], ALL).await.expect("appended");
    let trimming = Arc::clone(&stream);
    let trimming = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            trimming.with(|stream| stream.trim((stream.ends().last + 1).saturating_sub(3)));
        }
    });
    let first_kept = async || stream.with(|stream| stream.ends().first);
    let begun = Instant::now();
    while first_kept().await < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody publishes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It joins behind the record, and accepts events once the stream has nothing that it lacks.
    let joined = open(&second, RING, Arc::clone(&stream) as Arc<dyn Stream>).await;
    assert_eq!(joined.extent().first, Sequence(2));
    let appended = joined.append(&[draft("two", "ls")], ALL).await.expect("appended");
    assert_eq!(appended[0].as_ref().expect("a receipt").sequence, Sequence(2));
    trimming.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_another_cluster_key_does_not_start() {
    let stream = SimulatedStream::new(8, Faults::default(), settings());
    let (first, second) = (folder(), folder());
    let log = open(&first, RING, Arc::clone(&stream) as Arc<dyn Stream>).await;
    log.append(&[draft("one", "ls")], ALL).await.expect("appended");
    stream.inject(Bytes::from_static(b"forged"));
    let with = async |keys| {
        let config = Config { keys, ..config(RING) };
        SharedLog::open(second.path(), config, Arc::clone(&stream) as _).await.map(drop)
    };
    let key = |byte| AuthenticationKey::new(&[byte; 32], LOG_ID);
    let refused = with(ClusterKeys::new(key(6), vec![])).await.unwrap_err().to_string();
    assert!(refused.contains("none of the newest") && refused.contains("another key"), "{refused}");
    // While keys are changed, a gateway knows both.
    with(ClusterKeys::new(key(6), vec![key(5)])).await.expect("it opens");
}

/// While an answer is on its way, more is applied: that is no roll-back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_a_busy_stream_has_outrun_are_no_roll_back() {
    let stream = SimulatedStream::new(13, Faults::default(), settings());
    let ends_time = Duration::from_millis(200);
    let stream = Arc::new(AlteredStream { stream, first: Mutex::default(), ends_time });
    let folder = folder();
    let log = try_open(&folder, &stream).await.unwrap();
    ready(&log).await;
    let begun = tokio::time::Instant::now();
    for number in 0.. {
        receipt(&log, &number.to_string(), "ls").await;
        if begun.elapsed() > Duration::from_secs(13) {
            break;
        }
    }
    assert_eq!(*log.state().borrow(), State::Ready);
}

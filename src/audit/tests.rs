//! What the gateway records of itself, as time passes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::audit::reads::READ_WINDOW;
use crate::log::{Bounds, MemoryLog, ReadHint, ReadResult, ScanOrder, Store as _};
use crate::record::Sequence;

struct Scene {
    log: Arc<MemoryLog>,
    auditor: Auditor,
    stopping: CancellationToken,
    /// What is on the accounts of clients.
    held: Arc<AtomicUsize>,
}

/// So many bytes on an account.
struct HeldBytes(Arc<AtomicUsize>, usize);

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Scene {
    fn new() -> Self {
        Self::redacting(ActivePolicy::default())
    }

    fn redacting(policy: ActivePolicy) -> Self {
        let log = Arc::new(MemoryLog::new(Bounds::default()));
        let stopping = CancellationToken::new();
        let hub = Hub::new(Arc::clone(&log) as Arc<_>, stopping.clone());
        let auditor = Auditor::start(&hub, policy, stopping.clone());
        Self { auditor, log, stopping, held: Arc::default() }
    }

    async fn search(&self, principal: &str, user: &str) -> Result<Charge, Duration> {
        let asked = pb::Filter { users: vec![user.to_owned()], ..Default::default() };
        self.read(principal, "Search", ReadTarget::Filter(&asked)).await
    }

    async fn read(
        &self,
        principal: &str,
        rpc: &'static str,
        target: ReadTarget<'_>,
    ) -> Result<Charge, Duration> {
        let peer = "10.0.0.1:5000";
        let hold = &|bytes| {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            Some(Box::new(HeldBytes(Arc::clone(&self.held), bytes)) as HeldMemory)
        };
        let read =
            ReadCall { principal, peer, rpc, target, start_time: None, end_time: None, hold };
        self.auditor.read(read).await
    }

    /// All records, each with its size.
    async fn records(&self) -> Vec<(pb::Record, usize)> {
        let mut records = Vec::new();
        let mut next = Sequence::FIRST;
        while let Some(ReadResult::Records(segment)) =
            self.log.read(next, ReadHint::all(ScanOrder::Ascending)).await.expect("readable")
        {
            let view = segment.view(self.log.extent().last);
            for position in 0..view.len() {
                let bytes = view.record_bytes(position);
                records.push((pb::Record::decode(bytes).expect("a record"), bytes.len()));
            }
            next = view.end();
        }
        records
    }

    async fn reads(&self) -> Vec<(String, pb::AuditgateRead)> {
        let events = self.records().await.into_iter().filter_map(|(record, _)| record.event);
        events
            .filter_map(|event| match event.payload {
                Some(Payload::AuditgateRead(read)) => {
                    Some((event.user.map(|user| user.name().to_owned()).unwrap_or_default(), read))
                }
                _ => None,
            })
            .collect()
    }
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn equal_reads_of_a_minute_are_two_records() {
    let scene = Scene::new();
    for number in 0..1_000 {
        let charge = scene.search("alice", "bob").await.expect("let through");
        assert_eq!(charge.0 > 0, number == 0, "the caller is charged once");
        assert_eq!(scene.reads().await.len(), 1, "the first is there before its answer");
    }
    scene.search("carol", "bob").await.expect("let through");
    scene.search("alice", "dave").await.expect("let through");
    assert_eq!(scene.auditor.open_reads(), 3);
    let held = scene.held.load(Ordering::Relaxed);
    assert!(held > 0 && held == scene.auditor.held_bytes(), "{held} bytes on accounts");
    tokio::time::sleep(READ_WINDOW + Duration::from_secs(1)).await;
    settle().await;
    let reads = scene.reads().await;
    let shown: Vec<_> =
        reads.iter().map(|(user, read)| (user.as_str(), read.filter(), read.repeats)).collect();
    let (bob, dave) = (r#"{"users":["bob"]}"#, r#"{"users":["dave"]}"#);
    assert_eq!(
        shown,
        [
            ("alice", bob, None),
            ("carol", bob, None),
            ("alice", dave, None),
            ("alice", bob, Some(999))
        ]
    );
    assert_eq!((scene.auditor.open_reads(), scene.auditor.held_bytes()), (0, 0));
    assert_eq!(scene.held.load(Ordering::Relaxed), 0);
    scene.search("alice", "bob").await.expect("let through");
    assert_eq!(scene.reads().await.len(), 5, "a new window begins with a record");
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_is_written_at_drain() {
    let scene = Scene::new();
    for _ in 0..3 {
        scene
            .read("alice", "GetRecord", ReadTarget::Record(RecordKey::Sequence(Sequence(7))))
            .await
            .expect("ok");
        scene
            .read("alice", "GetRecord", ReadTarget::Record(RecordKey::Id("e-1")))
            .await
            .expect("ok");
    }
    scene.stopping.cancel();
    scene.auditor.drain().await;
    let reads = scene.reads().await;
    let shown: Vec<_> = reads
        .iter()
        .map(|(_, read)| (read.record_sequence, read.record_id.as_deref(), read.repeats))
        .collect();
    assert_eq!(
        shown,
        [
            (Some(7), None, None),
            (None, Some("e-1"), None),
            (Some(7), None, Some(2)),
            (None, Some("e-1"), Some(2))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_filter_leaves_its_beginning_and_a_digest() {
    let scene = Scene::new();
    let users: Vec<String> =
        (0..1_000).map(|number| format!("{number}{}", "x".repeat(900))).collect();
    let mut asked = pb::Filter { users, ..Default::default() };
    scene.read("alice", "Search", ReadTarget::Filter(&asked)).await.expect("let through");
    asked.users.pop();
    scene.read("alice", "Search", ReadTarget::Filter(&asked)).await.expect("let through");
    let id = "i".repeat(1_000_000);
    scene
        .read("alice", "GetRecord", ReadTarget::Record(RecordKey::Id(&id)))
        .await
        .expect("let through");
    for (record, bytes) in scene.records().await {
        assert!(bytes < 1_200, "{bytes} bytes: {record:?}");
    }
    let reads = scene.reads().await;
    let [(_, one), (_, other), (_, by_id)] = reads.as_slice() else { panic!("{reads:?}") };
    assert_eq!(one.filter(), other.filter());
    assert!(one.filter().ends_with('…') && one.filter_byte_size() > 900_000);
    assert_ne!(one.filter_digest(), other.filter_digest());
    assert!(by_id.record_id().ends_with('…') && by_id.filter_digest().len() == 64);
}

/// A reader cannot fill the log with records of its reads.
#[tokio::test(start_paused = true)]
async fn who_reads_too_many_different_things_has_to_wait() {
    let scene = Scene::new();
    let mut refused = None;
    let mut read = 0;
    for number in 0..10_000 {
        match scene.search("alice", &number.to_string()).await {
            Ok(_) => read += 1,
            Err(wait) => refused = Some(wait),
        }
    }
    assert_eq!(read, 2_000);
    assert_eq!(scene.reads().await.len(), read, "each of them is recorded");
    scene.search("bob", "1").await.expect("others are not held up");
    scene.search("alice", "1").await.expect("nor is what is counted");
    tokio::time::sleep(refused.expect("refused")).await;
    scene.search("alice", "later").await.expect("let through");
    assert!(scene.auditor.held_bytes() < 8 * 1024 * 1024);
}

/// The whole log could be filled by who has no credentials.
#[tokio::test(start_paused = true)]
async fn callers_that_are_not_known_cause_a_mebibyte_of_records_a_day() {
    let scene = Scene::new();
    let day = Duration::from_secs(24 * 60 * 60);
    let denial = |principal: &str| Denial {
        principal: principal.to_owned(),
        peer: "10.0.0.1:5000".to_owned(),
        rpc: "/x".repeat(100_000),
        reason: "CREDENTIALS_INVALID".to_owned(),
        message: "ä".repeat(100_000),
    };
    let began = tokio::time::Instant::now();
    let mut denied = 0_u64;
    while began.elapsed() < day - Duration::from_secs(60) {
        for _ in 0..2 {
            scene.auditor.denied("", || denial(""));
            denied += 1;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let records = scene.records().await;
    let bytes: usize = records.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes <= 1024 * 1024, "{bytes} bytes");
    assert!(bytes > 800 * 1024, "{bytes} bytes: what is allowed is used");
    let told: u64 = records
        .iter()
        .map(|(record, _)| match record.event.as_ref().and_then(|event| event.payload.as_ref()) {
            Some(Payload::AuditgateDenied(own)) => 1 + own.suppressed(),
            other => panic!("{other:?}"),
        })
        .sum();
    let an_hour_of_them = 2 * 60 * 60 / 5;
    assert!(denied - told <= an_hour_of_them + 10, "{told} of {denied} are told of");
    // Principals are told of all the while, and callers that are not known again the next day.
    scene.auditor.denied("alice", || denial("alice"));
    settle().await;
    assert_eq!(scene.records().await.len(), records.len() + 1);
    tokio::time::sleep(Duration::from_secs(120)).await;
    scene.auditor.denied("", || denial(""));
    scene.auditor.denied("", || denial(""));
    settle().await;
    assert!(scene.records().await.len() >= records.len() + 3);
}

#[tokio::test(start_paused = true)]
async fn events_of_the_gateway_are_redacted() {
    use crate::content::{Config, ContentPolicy};
    let config = Config { secrets: true, ..Config::default() };
    let policy = ContentPolicy::compile(config).expect("valid");
    let scene = Scene::redacting(ActivePolicy::new(policy));
    let asked = pb::Filter { text: "PGPASSWORD=hunter2 psql".to_owned(), ..Default::default() };
    scene.read("alice", "Search", ReadTarget::Filter(&asked)).await.expect("recorded");
    let reads = scene.reads().await;
    let filter = reads.first().expect("a read").1.filter();
    assert!(filter.contains("PGPASSWORD=[redacted]") && !filter.contains("hunter2"), "{filter}");
    let (record, _) = scene.records().await.pop().expect("a record");
    assert_eq!(record.amendments.len(), 1, "{record:?}");
}

//! What the gateway records of itself while the log accepts no events.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::super::reads::READ_WINDOW;
use super::super::{Auditor, Charge, ConfigChange, Denial, ReadCall, ReadTarget};
use super::*;
use crate::content::ActivePolicy;
use crate::hub::Hub;
use crate::log::fake::{AppendFault, FakeSharedLog};
use crate::log::{ReadHint, ReadResult, ScanOrder, Store as _};
use crate::record::Sequence;

struct Scene {
    log: Arc<FakeSharedLog>,
    auditor: Auditor,
    stopping: CancellationToken,
}

impl Scene {
    fn new() -> Self {
        let log = Arc::new(FakeSharedLog::new(1));
        let stopping = CancellationToken::new();
        let hub = Hub::new(Arc::clone(&log) as Arc<_>, stopping.clone());
        let auditor = Auditor::start(&hub, ActivePolicy::default(), stopping.clone());
        Self { log, auditor, stopping }
    }

    fn away(&self) {
        let why = "the stream has no leader".to_owned();
        self.log.state.send_replace(State::Away(why.clone()));
        self.log.fail(Some(AppendFault::Refused(Error::Away { why })));
    }

    async fn back(&self) {
        self.log.fail(None);
        self.log.state.send_replace(State::Ready);
        tokio::time::sleep(2 * RETRY_INTERVAL).await;
    }

    /// A read. Returns how long it took.
    async fn read(&self, principal: &str, user: &str) -> Duration {
        let filter = pb::Filter { users: vec![user.to_owned()], ..Default::default() };
        let (rpc, target) = ("Search", ReadTarget::Filter(&filter));
        let peer = "10.0.0.1:5000";
        let (start_time, end_time, hold) = (None, None, &|_| None);
        let read = ReadCall { principal, peer, rpc, target, start_time, end_time, hold };
        let began = Instant::now();
        let Charge(bytes) = self.auditor.read(read).await.expect("let through");
        assert!(bytes > 0, "a record to come is charged, too");
        began.elapsed()
    }

    fn deny(&self, principal: &str) {
        self.auditor.denied(principal, || Denial {
            principal: principal.to_owned(),
            peer: "10.0.0.1:5000".to_owned(),
            rpc: "/x".to_owned(),
            reason: "CALL_FORBIDDEN".to_owned(),
            message: "no role allows it".to_owned(),
        });
    }

    /// All events, in order.
    async fn events(&self) -> Vec<pb::Event> {
        let (mut events, mut next) = (Vec::new(), Sequence::FIRST);
        let hint = || ReadHint::all(ScanOrder::Ascending);
        while let Some(ReadResult::Records(segment)) =
            self.log.read(next, hint()).await.expect("readable")
        {
            let view = segment.view(self.log.extent().last);
            for position in 0..view.len() {
                let record = pb::Record::decode(view.record_bytes(position)).expect("a record");
                events.extend(record.event);
            }
            next = view.end();
        }
        events
    }

    async fn reads(&self) -> Vec<(String, pb::AuditgateRead)> {
        let events = self.events().await.into_iter();
        let read = |event: pb::Event| match event.payload {
            Some(Payload::AuditgateRead(read)) => {
                Some((event.user.unwrap_or_default().name().to_owned(), read))
            }
            _ => None,
        };
        events.filter_map(read).collect()
    }
}

fn name(event: &pb::Event) -> &'static str {
    match &event.payload {
        Some(Payload::AuditgateRead(_)) => "read",
        Some(Payload::AuditgateDenied(_)) => "denied",
        Some(Payload::AuditgateConfigChange(_)) => "config_change",
        Some(Payload::AuditgateStart(_)) => "start",
        _ => "other",
    }
}

#[tokio::test(start_paused = true)]
async fn readers_do_not_wait_for_a_log_that_is_away_or_full() {
    for full in [false, true] {
        let scene = Scene::new();
        scene.away();
        if full {
            let why = "no space".to_owned();
            scene.log.state.send_replace(State::Full(why.clone()));
            scene.log.fail(Some(AppendFault::Refused(Error::Full { why })));
        }
        let before = std::time::SystemTime::now();
        scene.auditor.started("127.0.0.1:1", false).await;
        assert_eq!(scene.read("alice", "bob").await, Duration::ZERO);
        scene.deny("mallory");
        let change = ConfigChange { changed_keys: vec!["redact".into()], ..Default::default() };
        scene.auditor.changed(change).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(scene.log.appends.load(std::sync::atomic::Ordering::Relaxed), 0);
        assert_eq!(scene.auditor.backlog(), BacklogReport { waiting: 4, dropped: 0 });
        assert!(scene.auditor.held_bytes() > 4 * 100);
        let over = std::time::SystemTime::now();
        std::thread::sleep(Duration::from_millis(20));
        scene.back().await;
        let events = scene.events().await;
        let names: Vec<_> = events.iter().map(name).collect();
        assert_eq!(names, ["read", "denied", "start", "config_change"]);
        for event in &events {
            // When it happened, not when it was published.
            let time = event.time.expect("a time");
            let stamp = |time| prost_types::Timestamp::from(time);
            let order = |time: prost_types::Timestamp| (time.seconds, time.nanos);
            assert!(order(stamp(before)) <= order(time) && order(time) <= order(stamp(over)));
        }
        assert_eq!(scene.auditor.backlog(), BacklogReport::default());
        tokio::time::sleep(READ_WINDOW).await;
        assert_eq!(scene.auditor.held_bytes(), 0);
    }
}

/// The log is found out to be away only after a while.
#[tokio::test(start_paused = true)]
async fn a_log_that_falls_silent_is_waited_for_a_second_once_published() {
    for is_stored in [false, true] {
        let scene = Scene::new();
        scene.log.fail(Some(AppendFault::Silent { is_stored }));
        // Timers are exact to a millisecond.
        assert_eq!(scene.read("alice", "bob").await.as_millis() / 10, 100);
        scene.back().await;
        let reads = scene.reads().await;
        assert_eq!(reads.len(), 1, "stored: {is_stored}; the event is one record");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.auditor.backlog().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_what_does_not_fit_is_counted() {
    let scene = Scene::new();
    scene.away();
    // One of them reads more than all others, and does not take their room.
    for number in 0..1_000 {
        scene.read("mallory", &number.to_string()).await;
    }
    for reader in 0..10 {
        for number in 0..100 {
            scene.read(&format!("reader-{reader}"), &number.to_string()).await;
        }
    }
    scene.deny("carol");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = scene.auditor.backlog();
    let dropped = 2_000 - WAITING_MAX;
    assert_eq!(report, BacklogReport { waiting: WAITING_MAX + 1, dropped: dropped as u64 });
    assert!(scene.auditor.held_bytes() < 2_000_000, "{}", scene.auditor.held_bytes());
    scene.back().await;
    let mut of_each = BTreeMap::new();
    let mut told = 0;
    for (principal, read) in scene.reads().await {
        *of_each.entry(principal).or_insert(0) += 1;
        told += 1 + read.suppressed();
    }
    assert_eq!(told, 2_000, "each is recorded or counted");
    assert_eq!(of_each.get("mallory"), Some(&WAITING_OF_ONE_MAX));
    assert_eq!(of_each.get("reader-0"), Some(&100));
    let denied = scene.events().await.iter().filter(|event| name(event) == "denied").count();
    assert_eq!(denied, 1);
}

#[tokio::test(start_paused = true)]
async fn equal_reads_are_counted_while_the_log_is_away() {
    let scene = Scene::new();
    scene.away();
    scene.read("alice", "bob").await;
    let filter = pb::Filter { users: vec!["bob".to_owned()], ..Default::default() };
    for _ in 0..9 {
        let target = ReadTarget::Filter(&filter);
        let (principal, peer, rpc) = ("alice", "10.0.0.1:5000", "Search");
        let (start_time, end_time, hold) = (None, None, &|_| None);
        let read = ReadCall { principal, peer, rpc, target, start_time, end_time, hold };
        assert_eq!(scene.auditor.read(read).await, Ok(Charge(0)));
    }
    tokio::time::sleep(2 * READ_WINDOW).await;
    scene.back().await;
    let repeats: Vec<_> = scene.reads().await.into_iter().map(|(_, read)| read.repeats).collect();
    assert_eq!(repeats, [None, Some(9)]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_comes_and_goes_gets_each_event_once() {
    let scene = Scene::new();
    scene.away();
    for number in 0..300 {
        scene.read(&format!("reader-{}", number % 7), &number.to_string()).await;
    }
    for _ in 0..5 {
        // It says that it is ready, and answers nothing.
        scene.log.fail(Some(AppendFault::Silent { is_stored: true }));
        scene.log.state.send_replace(State::Ready);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        scene.away();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    scene.back().await;
    let filters: std::collections::BTreeSet<_> =
        scene.reads().await.into_iter().map(|(_, read)| read.filter().to_owned()).collect();
    assert_eq!((scene.reads().await.len(), filters.len()), (300, 300));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_publishes_what_it_can() {
    let scene = Scene::new();
    scene.away();
    scene.read("alice", "bob").await;
    scene.stopping.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.auditor.drain().await;
    assert_eq!(scene.auditor.backlog().waiting, 1, "it is away");
    scene.log.fail(None);
    scene.auditor.drain().await;
    assert_eq!(scene.reads().await.len(), 1);
}

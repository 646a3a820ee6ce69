//! Subscribers who wait at the end of the log: what concerns one wakes it, what
//! does not lets it sleep, and none of them misses or gets anything for that.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{self, pb};
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::filter::{Filter, TypeSet};
use auditgate::hub::{
    Gap, Hub, PROGRESS_INTERVAL, SubscriberState, Subscription, SubscriptionStart,
};
use auditgate::log::{
    Append, Appended, Bounds, BoxFuture, Error, Extent, HoldReport, Identity, Log, MemoryLog,
    ReadFuture, ReadHint, RetentionHold, ScanQuery, Sequencer, State, Store, TailKind,
};
use auditgate::record::{Draft, EmitterIdentity, Sequence};
use auditgate::time::Time;
use proptest::prelude::*;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Small enough that records leave while somebody sleeps.
const RECORDS_MAX: usize = 32;
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const SESSIONS: [&str; 2] = ["s-1", "s-2"];
/// How often a task may have to be run before all of them sleep.
const TURNS: usize = 200;

fn hub() -> Arc<Hub> {
    let log = MemoryLog::new(Bounds { bytes: 1024 * 1024, records: RECORDS_MAX });
    Hub::new(Arc::new(log), CancellationToken::new())
}

async fn append(hub: &Hub, events: Vec<pb::Event>) {
    let check = |event: pb::Event| {
        Event::check(event.encode_to_vec().into(), Time::now(), EVENT_BYTES_MAX).unwrap()
    };
    let emitter = EmitterIdentity::from(pb::Emitter::default());
    let drafts: Vec<_> =
        events.into_iter().map(|event| Draft::new(check(event), &emitter)).collect();
    hub.append(&drafts, Append::AllOrNothing { validate_only: false }).await.unwrap();
}

async fn subscribe(hub: &Arc<Hub>, filter: pb::Filter) -> Subscription {
    let query = ScanQuery::new(Arc::new(Filter::compile(&filter).expect("a filter")));
    let subscriber = SubscriberState::new(String::new(), &filter);
    let mut subscription =
        hub.subscribe(query, SubscriptionStart::Latest, subscriber).await.unwrap();
    let first = subscription.next().await.unwrap().expect("the hub runs");
    assert!(first.caught_up);
    subscription
}

fn exec(number: usize, user: &str, session: Option<&str>) -> pb::Event {
    let id = session.map(str::to_owned);
    pb::Event {
        id: Some(format!("e-{number}")),
        user: Some(pb::User { name: Some(user.to_owned()), ..Default::default() }),
        session: Some(pb::Session { id, ..Default::default() }),
        payload: Some(pb::event::Payload::Exec(pb::Exec::default())),
        ..Default::default()
    }
}

/// Lets the other tasks run until they sleep; no time passes.
async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_concern_a_subscriber_lets_it_sleep() {
    let users = |name: &str| pb::Filter { users: vec![name.to_owned()], ..Default::default() };
    let sessions = pb::Filter { session_ids: vec!["s-1".into()], ..Default::default() };
    let types = pb::Filter { types: vec!["user.*".into()], ..Default::default() };
    let failures = pb::Filter { results: vec![pb::Result::Failure.into()], ..Default::default() };
    let filters = [
        (users("alice"), support::login("it", "alice")),
        (sessions, exec(0, "bob", Some("s-1"))),
        (types, support::login("it", "bob")),
        (
            failures,
            pb::Event {
                outcome: Some(pb::Outcome { success: Some(false), ..Default::default() }),
                ..exec(0, "bob", None)
            },
        ),
    ];
    for (filter, concerns) in filters {
        let hub = hub();
        let mut subscription = subscribe(&hub, filter.clone()).await;
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let reading = tokio::spawn(async move {
            let mut next = pin!(subscription.next());
            poll_fn(|context| {
                counted.fetch_add(1, Ordering::Relaxed);
                next.as_mut().poll(context)
            })
            .await
        });
        settle().await;
        let before = polls.load(Ordering::Relaxed);
        for number in 1..=100 {
            append(&hub, vec![exec(number, "bob", Some("s-2"))]).await;
            settle().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), before, "{filter:?}");
        // It is up to date all the same.
        assert_eq!(hub.subscribers()[0].sequence().0, 100);
        let began = Instant::now();
        append(&hub, vec![concerns]).await;
        let message = reading.await.unwrap().unwrap().expect("the hub runs");
        assert_eq!(began.elapsed(), std::time::Duration::ZERO, "it is told at once");
        assert_eq!((message.records, message.cursor.sequence.0), (1, 101));
        // What left meanwhile was not for it.
        assert_eq!(message.gap, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_wakes_those_who_sleep() {
    let rare = pb::Filter { users: vec!["nobody".into()], ..Default::default() };
    for filter in [pb::Filter::default(), rare] {
        let stopping = CancellationToken::new();
        let log = MemoryLog::new(Bounds { bytes: 1024 * 1024, records: RECORDS_MAX });
        let hub = Hub::new(Arc::new(log), stopping.clone());
        let mut subscription = subscribe(&hub, filter).await;
        let reading = tokio::spawn(async move { subscription.next().await });
        settle().await;
        let began = Instant::now();
        stopping.cancel();
        assert!(reading.await.unwrap().unwrap().is_none());
        assert_eq!(began.elapsed(), std::time::Duration::ZERO);
    }
}

/// A log that counts how often somebody asks how far it reaches.
struct Watched(MemoryLog, AtomicUsize);

impl Sequencer for Watched {
    fn append<'a>(
        &'a self,
        drafts: &'a [Draft],
        append: Append,
    ) -> BoxFuture<'a, Result<Vec<Appended>, Error>> {
        self.0.append(drafts, append)
    }

    fn tail(&self, tail: TailKind) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.0.tail(tail)
    }

    fn identity(&self) -> watch::Receiver<Identity> {
        self.0.identity()
    }

    fn state(&self) -> watch::Receiver<State> {
        self.0.state()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.0.close()
    }
}

impl Store for Watched {
    fn extent(&self) -> Extent {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.extent()
    }

    fn read<'a>(&'a self, at: Sequence, want: ReadHint<'a>) -> ReadFuture<'a> {
        self.0.read(at, want)
    }

    fn accepted_since(&self, time: Time) -> BoxFuture<'_, Result<Sequence, Error>> {
        self.0.accepted_since(time)
    }

    fn find(
        &self,
        id: &str,
        types: &Arc<TypeSet>,
    ) -> BoxFuture<'_, Result<Option<Sequence>, Error>> {
        self.0.find(id, types)
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.0.changes()
    }

    fn hold(&self, hold: Arc<dyn RetentionHold>) {
        self.0.hold(hold);
    }

    fn holds(&self) -> Vec<HoldReport> {
        self.0.holds()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_wakes_nobody_where_nobody_subscribes() {
    let log = MemoryLog::new(Bounds { bytes: 1024 * 1024, records: RECORDS_MAX });
    let log = Arc::new(Watched(log, AtomicUsize::new(0)));
    let hub = Hub::new(Arc::clone(&log) as Arc<dyn Log>, CancellationToken::new());
    let mut numbers = 0..;
    for filter in [pb::Filter::default(), pb::Filter { users: vec!["bob".into()], ..filled() }] {
        // What the last subscriber left behind is seen to once.
        append(&hub, vec![exec(numbers.next().unwrap(), "bob", None)]).await;
        settle().await;
        let before = log.1.load(Ordering::Relaxed);
        for number in numbers.by_ref().take(2 * RECORDS_MAX) {
            append(&hub, vec![exec(number, "bob", None)]).await;
            settle().await;
        }
        assert_eq!(log.1.load(Ordering::Relaxed), before, "the hub looked at the log");
        let mut subscription = subscribe(&hub, filter).await;
        for number in numbers.by_ref().take(3) {
            let reading = tokio::spawn(async move {
                let message = subscription.next().await.unwrap().expect("the hub runs");
                (subscription, message)
            });
            settle().await;
            append(&hub, vec![exec(number, "bob", None)]).await;
            let message;
            (subscription, message) = reading.await.unwrap();
            assert_eq!((message.records, message.gap), (1, None));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, Option<usize>)>),
    /// So many turns for the readers.
    Run(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let event = (0..USERS.len(), prop::option::of(0..SESSIONS.len()));
    prop_oneof![
        2 => prop::collection::vec(event, 1..8).prop_map(Step::Append),
        1 => (1..4_usize).prop_map(Step::Run),
    ]
}

/// What a reader has got.
#[derive(Default)]
struct Got {
    sequences: Vec<u64>,
    gaps: Vec<Gap>,
    cursor: u64,
}

fn read(mut subscription: Subscription) -> Arc<Mutex<Got>> {
    let got = Arc::new(Mutex::new(Got::default()));
    let shared = Arc::clone(&got);
    tokio::spawn(async move {
        while let Some(message) = subscription.next().await.unwrap() {
            let response = message.response.message();
            let response = pb::SubscribeResponse::decode(response).expect("a response");
            let mut got = shared.lock().unwrap();
            got.gaps.extend(message.gap);
            got.sequences.extend(support::sequences(&response.records));
            assert!(message.cursor.sequence.0 >= got.cursor);
            got.cursor = message.cursor.sequence.0;
        }
    });
    got
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whoever_waits_gets_what_matches_or_a_gap(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let hub = hub();
            let mut accepted: Vec<(usize, Option<usize>)> = Vec::new();
            // Two of each, who share what is found.
            let mut readers = Vec::new();
            for number in 0..2 * (USERS.len() + SESSIONS.len() + 1) {
                let kind = number / 2;
                let mut filter = pb::Filter::default();
                if kind < USERS.len() {
                    filter.users.push(USERS[kind].to_owned());
                } else if kind < USERS.len() + SESSIONS.len() {
                    filter.session_ids.push(SESSIONS[kind - USERS.len()].to_owned());
                }
                readers.push((kind, read(subscribe(&hub, filter).await)));
            }
            for step in steps {
                match step {
                    Step::Append(events) => {
                        let numbered = (accepted.len()..).zip(&events);
                        let events_now = numbered.map(|(number, (user, session))| {
                            exec(number, USERS[*user], session.map(|session| SESSIONS[session]))
                        });
                        append(&hub, events_now.collect()).await;
                        accepted.extend(events);
                    }
                    Step::Run(turns) => {
                        for _ in 0..turns {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
            let began = Instant::now();
            settle().await;
            assert_eq!(began.elapsed(), std::time::Duration::ZERO);
            let first_kept = hub.extent().first.0;
            for (kind, got) in readers {
                let got = got.lock().unwrap();
                let matches = |(user, session): &(usize, Option<usize>)| {
                    kind == *user
                        || session.is_some_and(|session| kind == USERS.len() + session)
                        || kind == USERS.len() + SESSIONS.len()
                };
                let in_gap = |sequence: &u64| {
                    got.gaps.iter().any(|gap| (gap.first.0..=gap.last.0).contains(sequence))
                };
                let expected: Vec<u64> = (1..)
                    .zip(&accepted)
                    .filter(|(_, event)| matches(event))
                    .map(|(sequence, _)| sequence)
                    .filter(|sequence| !in_gap(sequence))
                    .collect();
                assert_eq!(got.sequences, expected, "kind {kind}, gaps {:?}", got.gaps);
                assert!(got.gaps.iter().all(|gap| gap.last.0 < first_kept), "{:?}", got.gaps);
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_wake_up_is_lost_between_reading_and_sleeping() {
    const RECORDS: usize = 3_000;
    let hub = hub();
    for filter in [pb::Filter { users: vec!["alice".into()], ..Default::default() }, filled()] {
        let mut subscription = subscribe(&hub, filter).await;
        let (told, mut heard) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let records = subscription.next().await.unwrap().expect("the hub runs").records;
                if records > 0 && told.send(records).await.is_err() {
                    return;
                }
            }
        });
        let first = hub.extent().last.0 as usize;
        for number in first..first + RECORDS {
            append(&hub, vec![exec(number, "alice", None)]).await;
            let soon = tokio::time::timeout(PROGRESS_INTERVAL / 3, heard.recv()).await;
            assert_eq!(soon.expect("it does not sleep over it"), Some(1));
        }
    }
}

fn filled<T: Default>() -> T {
    T::default()
}

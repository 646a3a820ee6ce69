//! Append, read, search, count, subscribe, idempotency and eviction against a
//! plain `Vec`: whatever the sequence of calls, what a reader gets is
//! filter(log), or an explicit gap. The log is in memory; or on disk, with a ring
//! that holds little of it, closed and opened again now and then; or shared, with two gateways
//! that append in turn, of which one is read and opened again.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use auditgate::event::Event;
use auditgate::filter::{Filter, TypeSet};
use auditgate::hub::search::{ALL_SEQUENCES, SearchRequest, query_digest};
use auditgate::hub::{
    CountRequest, Gap, GapReason, Group, Hub, Reach, RecordKey, SubscriberState, Subscription,
    SubscriptionStart,
};
use auditgate::log::cursor::{Cursor, PageToken};
use auditgate::log::disk::{Config, DiskLog, SyncPolicy};
use auditgate::log::{Append, Bounds, Error, Log, MemoryLog, ScanOrder, ScanQuery};
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::record::{Draft, Sequence};
use auditgate::time::Time;
use proptest::prelude::*;
use prost::Message as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::shared::{self, MemoryStream};

const RECORDS_MAX: usize = 32;
/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// An event, small enough that ids, users and contents meet again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Small {
    id: u8,
    kind: u8,
    user: u8,
    failed: bool,
}

#[derive(Debug, Clone, Default)]
struct SmallFilter {
    kind: Option<u8>,
    user: Option<u8>,
    failed: bool,
    text: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Small>),
    Search {
        filter: SmallFilter,
        newest_first: bool,
        page_size: usize,
        meanwhile: Vec<Small>,
    },
    Count(SmallFilter),
    Resume {
        filter: SmallFilter,
        from: u8,
    },
    /// The subscriber that is open all the time reads on.
    ReadOn,
    /// The log is closed and opened again, if it is on disk.
    Reopen,
}

const TYPES: [&str; 3] = ["user.login", "exec", "custom.probe"];

impl Small {
    fn event(&self) -> pb::Event {
        let payload = match self.kind % 3 {
            0 => Payload::UserLogin(pb::UserLogin::default()),
            1 => Payload::Exec(pb::Exec::default()),
            _ => Payload::Custom(pb::Custom { name: Some("probe".into()), data: None }),
        };
        pb::Event {
            id: Some(format!("id-{}", self.id)),
            time: Some(self.time().timestamp()),
            user: Some(pb::User { name: Some(self.user_name()), ..Default::default() }),
            outcome: Some(pb::Outcome { success: Some(!self.failed), ..Default::default() }),
            payload: Some(payload),
            ..Default::default()
        }
    }

    fn time(&self) -> Time {
        Time(i64::from(self.id) * SECOND)
    }

    fn user_name(&self) -> String {
        format!("User-{}", self.user)
    }

    fn type_name(&self) -> &'static str {
        TYPES[usize::from(self.kind % 3)]
    }
}

impl SmallFilter {
    fn filter(&self) -> pb::Filter {
        pb::Filter {
            types: self.kind.iter().map(|kind| TYPES[usize::from(kind % 3)].to_owned()).collect(),
            users: self.user.iter().map(|user| format!("User-{user}")).collect(),
            results: if self.failed { vec![pb::Result::Failure.into()] } else { Vec::new() },
            text: if self.text { "uSER-1".into() } else { String::new() },
            ..Default::default()
        }
    }

    fn matches(&self, event: &Small) -> bool {
        self.kind.is_none_or(|kind| kind % 3 == event.kind % 3)
            && self.user.is_none_or(|user| user == event.user)
            && (!self.failed || event.failed)
            && (!self.text || event.user == 1)
    }

    fn query(&self) -> ScanQuery {
        ScanQuery::new(Arc::new(Filter::compile(&self.filter()).expect("valid")))
    }
}

fn small() -> impl Strategy<Value = Small> {
    (0..60_u8, 0..3_u8, 0..3_u8, any::<bool>()).prop_map(|(id, kind, user, failed)| Small {
        id,
        kind,
        user,
        failed,
    })
}

/// Mostly new ids, so that batches go through.
fn batch() -> impl Strategy<Value = Vec<Small>> {
    prop::collection::vec(small(), 1..4)
}

fn small_filter() -> impl Strategy<Value = SmallFilter> {
    (prop::option::of(0..3_u8), prop::option::of(0..3_u8), any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(kind, user, failed, text)| SmallFilter { kind, user, failed, text })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => batch().prop_map(Step::Append),
        2 => (small_filter(), any::<bool>(), 1..6_usize, batch()).prop_map(
            |(filter, newest_first, page_size, meanwhile)| Step::Search { filter, newest_first, page_size, meanwhile }
        ),
        1 => small_filter().prop_map(Step::Count),
        1 => (small_filter(), any::<u8>()).prop_map(|(filter, from)| Step::Resume { filter, from }),
        1 => Just(Step::ReadOn),
        1 => Just(Step::Reopen),
    ]
}

/// Where the log is.
enum Place {
    Memory,
    Disk(TempDir),
    /// On a stream, with the copies of two gateways.
    Shared(Arc<MemoryStream>, [TempDir; 2]),
}

/// A gateway's log; of a shared one, that of this gateway.
async fn open(place: &Place, gateway: usize) -> Arc<Hub> {
    let ring = Bounds { bytes: 1024 * 1024, records: RECORDS_MAX };
    let log: Arc<dyn Log> = match place {
        Place::Memory => Arc::new(MemoryLog::new(ring)),
        Place::Shared(stream, folders) => {
            let config = Config { ring, ..Config::default() };
            shared::open(&folders[gateway], shared::link(stream), config).await
        }
        Place::Disk(folder) => {
            let config = Config { ring, sync: SyncPolicy::None, ..Config::default() };
            // The log warns of a directory that others may read.
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path(), private).expect("its owner sets its mode");
            let (log, notices) = DiskLog::open(folder.path(), config).expect("it can be opened");
            assert_eq!(notices, []);
            Arc::new(log)
        }
    };
    Hub::new(log, CancellationToken::new())
}

/// Gateway and model, side by side.
struct Pair {
    hub: Arc<Hub>,
    place: Place,
    /// Another gateway of a shared log; else the same one.
    other: Arc<Hub>,
    /// Every event ever accepted: the one with the sequence n is at n - 1.
    accepted: Vec<Small>,
    /// The subscriber that is open all the time, and what it has got.
    open: Subscription,
    open_filter: SmallFilter,
    got: Vec<u64>,
    gaps: Vec<Gap>,
}

impl Pair {
    async fn new(open_filter: SmallFilter, place: Place) -> Self {
        let hub = open(&place, 0).await;
        let other = match &place {
            Place::Shared(..) => open(&place, 1).await,
            Place::Memory | Place::Disk(_) => Arc::clone(&hub),
        };
        let subscriber = SubscriberState::new(String::new(), &open_filter.filter());
        let open = hub
            .subscribe(open_filter.query(), SubscriptionStart::Latest, subscriber)
            .await
            .expect("readable");
        let (accepted, got, gaps) = (Vec::new(), Vec::new(), Vec::new());
        Self { hub, place, other, accepted, open, open_filter, got, gaps }
    }

    /// Closes the log, opens it, and lets the subscriber resume.
    async fn reopen(&mut self) {
        if matches!(self.place, Place::Memory) {
            return;
        }
        let cursor = self.open.cursor();
        // The lock goes with the last handle: of this log, nobody keeps one.
        self.hub = Hub::new(
            Arc::new(MemoryLog::new(Bounds { bytes: 1024 * 1024, records: 1 })),
            CancellationToken::new(),
        );
        if matches!(self.place, Place::Disk(_)) {
            self.other = Arc::clone(&self.hub);
        }
        self.resubscribe(SubscriptionStart::Latest).await;
        // What the hub had running lets go of the log when it runs next.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        self.hub = open(&self.place, 0).await;
        if matches!(self.place, Place::Disk(_)) {
            self.other = Arc::clone(&self.hub);
        }
        self.await_last().await;
        self.resubscribe(SubscriptionStart::Cursor(cursor)).await;
        assert_eq!(self.hub.extent().last.0, self.last());
    }

    async fn resubscribe(&mut self, start: SubscriptionStart) {
        let subscriber = SubscriberState::new(String::new(), &self.open_filter.filter());
        let open = self.hub.subscribe(self.open_filter.query(), start, subscriber).await;
        self.open = open.expect("readable");
    }

    /// Returns once the gateway that is read has all that was accepted.
    async fn await_last(&self) {
        let reach = self.hub.reach(Sequence(self.last()).into()).await;
        assert_eq!(reach, Ok(Reach::Here), "record {}", self.last());
    }

    fn first_kept(&self) -> u64 {
        self.hub.extent().first.0
    }

    fn last(&self) -> u64 {
        self.accepted.len() as u64
    }

    fn matching(&self, filter: &SmallFilter, range: impl Iterator<Item = u64>) -> Vec<u64> {
        range.filter(|sequence| filter.matches(&self.accepted[*sequence as usize - 1])).collect()
    }

    async fn append(&mut self, batch: &[Small]) {
        let first = self.first_kept();
        let mut model = self.accepted.clone();
        let mut expected = Vec::new();
        let mut conflict = None;
        for (position, event) in batch.iter().enumerate() {
            let kept = model.iter().zip(1_u64..).filter(|(_, sequence)| *sequence >= first);
            match kept.filter(|(other, _)| other.id == event.id).last() {
                Some((other, sequence)) if other == event => expected.push((sequence, true)),
                Some(_) => {
                    conflict.get_or_insert(position);
                }
                None => {
                    model.push(event.clone());
                    expected.push((model.len() as u64, false));
                }
            }
        }
        let emitter = pb::Emitter::default().into();
        let drafts = batch.iter().map(|event| {
            let bytes = event.event().encode_to_vec();
            Draft::new(Event::check(bytes.into(), Time::now(), 4096).expect("valid"), &emitter)
        });
        // In turn.
        let hub = if self.accepted.len().is_multiple_of(2) { &self.hub } else { &self.other };
        match (
            hub.append(&drafts.collect::<Vec<_>>(), Append::AllOrNothing { validate_only: false })
                .await,
            conflict,
        ) {
            (Ok(appended), None) => {
                let receipts = appended.iter().flatten();
                let receipts: Vec<_> =
                    receipts.map(|receipt| (receipt.sequence.0, receipt.duplicate)).collect();
                assert_eq!(receipts, expected);
                self.accepted = model;
            }
            (Err(Error::Conflict(_)), Some(_)) => {}
            (outcome, conflict) => panic!("{outcome:?}, expected conflict at {conflict:?}"),
        }
        self.await_last().await;
        assert_eq!(self.hub.extent().last.0, self.last());
        if matches!(self.place, Place::Memory) {
            assert!(self.hub.extent().records() <= RECORDS_MAX as u64);
        }
    }

    async fn search(
        &mut self,
        filter: &SmallFilter,
        newest_first: bool,
        page_size: usize,
        meanwhile: &[Small],
    ) {
        let (first, last) = (self.first_kept(), self.last());
        let order = if newest_first { ScanOrder::Descending } else { ScanOrder::Ascending };
        let digest = query_digest(&pb::SearchRequest {
            filter: Some(filter.filter()),
            ..Default::default()
        });
        let mut token: Option<PageToken> = None;
        let mut found = Vec::new();
        let mut gaps = Vec::new();
        loop {
            let search = SearchRequest {
                query: filter.query(),
                sequences: ALL_SEQUENCES,
                order,
                page_size,
                digest,
                token,
            };
            let page = self.hub.search(&search).await.expect("a valid token");
            let decoded =
                pb::SearchResponse::decode(page.frames.as_slice()).expect("frames are records");
            assert!(decoded.records.len() <= page_size);
            assert_eq!(page.cursor.sequence, Sequence(last), "pinned at the first page");
            found.extend(decoded.records.iter().map(|record| self.checked(record)));
            gaps.extend(page.gaps);
            token = page.next;
            if token.is_none() {
                break;
            }
            self.append(meanwhile).await;
        }
        let mut expected = self.matching(filter, first..=last);
        if newest_first {
            expected.reverse();
        }
        self.assert_covers(&expected, &found, &gaps);
    }

    /// What was found is what was expected, but for what lies in gaps; and what
    /// lies in gaps is gone.
    fn assert_covers(&self, expected: &[u64], found: &[u64], gaps: &[Gap]) {
        for gap in gaps {
            assert_eq!(gap.reason, GapReason::Evicted);
            assert!(gap.first <= gap.last && gap.last.0 < self.first_kept(), "{gap:?}");
        }
        let in_gap =
            |sequence: u64| gaps.iter().any(|gap| (gap.first.0..=gap.last.0).contains(&sequence));
        let reachable: Vec<u64> =
            expected.iter().copied().filter(|sequence| !in_gap(*sequence)).collect();
        assert_eq!(found, reachable, "gaps {gaps:?}");
    }

    /// The sequence of a record, which must be as the model has it.
    fn checked(&self, record: &pb::Record) -> u64 {
        let event = &self.accepted[record.sequence as usize - 1];
        assert_eq!(record.event.as_ref(), Some(&event.event()));
        assert_eq!(record.r#type, event.type_name());
        record.sequence
    }

    async fn count(&self, filter: &SmallFilter) {
        for bucket in [None, Some(7 * SECOND)] {
            let counted = self
                .hub
                .count(&CountRequest { query: filter.query(), bucket, group: Group::Type }, &())
                .await;
            let mut expected: BTreeMap<Time, BTreeMap<String, i64>> = BTreeMap::new();
            for sequence in self.matching(filter, self.first_kept()..=self.last()) {
                let event = &self.accepted[sequence as usize - 1];
                let begin = bucket.map_or(0, |length| event.time().0 / length * length);
                let counts = expected.entry(Time(begin)).or_default();
                *counts.entry(event.type_name().to_owned()).or_default() += 1;
            }
            assert_eq!(counted.expect("few buckets").buckets, expected);
        }
    }

    async fn resume(&mut self, filter: &SmallFilter, from: u8) {
        let after = u64::from(from) % (self.last() + 1);
        let cursor = Cursor::new(self.hub.identity(), Sequence(after));
        let subscriber = SubscriberState::new(String::new(), &filter.filter());
        let mut subscription = self
            .hub
            .subscribe(filter.query(), SubscriptionStart::Cursor(cursor), subscriber)
            .await
            .expect("readable");
        let mut found = Vec::new();
        let mut gaps = Vec::new();
        self.read_to_the_edge(&mut subscription, &mut found, &mut gaps).await;
        let expected = self.matching(filter, after + 1..=self.last());
        self.assert_covers(&expected, &found, &gaps);
        assert_eq!(subscription.cursor().sequence.0, self.last());
    }

    async fn read_to_the_edge(
        &self,
        subscription: &mut Subscription,
        found: &mut Vec<u64>,
        gaps: &mut Vec<Gap>,
    ) {
        loop {
            let message = subscription.next().await.expect("readable").expect("the gateway runs");
            let before = found.last().copied().unwrap_or(0);
            let response = pb::SubscribeResponse::decode(message.response.message());
            let response = response.expect("a response");
            assert_eq!(response.records.len() as u64, message.records);
            let each = message.each_record().map(|record| record.sequence.0);
            assert!(each.eq(response.records.iter().map(|record| record.sequence)));
            assert_eq!(response.gap, message.gap.map(pb::Gap::from));
            assert_eq!(response.caught_up, message.caught_up);
            assert_eq!(response.cursor, message.cursor.to_string());
            found.extend(response.records.iter().map(|record| self.checked(record)));
            if let Some(gap) = message.gap {
                assert!(gap.first.0 > before, "a gap precedes the records of its message");
                gaps.push(gap);
            }
            assert!(found.last().is_none_or(|newest| *newest <= message.cursor.sequence.0));
            if message.caught_up {
                return;
            }
        }
    }

    async fn read_on(&mut self) {
        if matches!(self.place, Place::Shared(..)) {
            // Time is not paused there: one that waits for a match would wait for seconds.
            self.resubscribe(SubscriptionStart::Cursor(self.open.cursor())).await;
        }
        let (mut got, mut gaps) = (std::mem::take(&mut self.got), std::mem::take(&mut self.gaps));
        let placeholder = SubscriberState::new(String::new(), &pb::Filter::default());
        let other = self
            .hub
            .subscribe(SmallFilter::default().query(), SubscriptionStart::Latest, placeholder)
            .await;
        let mut open = std::mem::replace(&mut self.open, other.expect("readable"));
        self.read_to_the_edge(&mut open, &mut got, &mut gaps).await;
        (self.open, self.got, self.gaps) = (open, got, gaps);
        let expected = self.matching(&self.open_filter, 1..=self.last());
        self.assert_covers(&expected, &self.got, &self.gaps);
    }

    async fn every_kept_record_is_found(&self) {
        let types = Arc::new(TypeSet::all());
        for sequence in 1..=self.last() {
            let kept = sequence >= self.first_kept();
            let key = RecordKey::Sequence(Sequence(sequence));
            let frame = self.hub.record(key, &types).await.expect("readable");
            assert_eq!(frame.is_some(), kept, "record {sequence}");
            let event = &self.accepted[sequence as usize - 1];
            if let Some(frame) = frame {
                let response = pb::GetRecordResponse::decode(frame).expect("a frame is a response");
                assert_eq!(self.checked(&response.record.expect("a record")), sequence);
                let id = format!("id-{}", event.id);
                let by_id = self.hub.record(RecordKey::Id(&id), &types).await.expect("readable");
                assert!(by_id.is_some());
            }
        }
    }
}

async fn run(open_filter: SmallFilter, steps: Vec<Step>, place: Place) {
    let mut pair = Pair::new(open_filter, place).await;
    for step in &steps {
        match step {
            Step::Append(batch) => pair.append(batch).await,
            Step::Search { filter, newest_first, page_size, meanwhile } => {
                pair.search(filter, *newest_first, *page_size, meanwhile).await;
            }
            Step::Count(filter) => pair.count(filter).await,
            Step::Resume { filter, from } => pair.resume(filter, *from).await,
            Step::ReadOn => pair.read_on().await,
            Step::Reopen => pair.reopen().await,
        }
    }
    pair.read_on().await;
    pair.every_kept_record_is_found().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_gateway_does_as_a_vec_would(
        open_filter in small_filter(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        // With time paused, a subscriber that waits is at once ten seconds on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(open_filter, steps, Place::Memory));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_gateway_on_disk_does_as_a_vec_would(
        open_filter in small_filter(),
        steps in prop::collection::vec(step(), 40..100),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        // Whatever the umask is: a log warns where others may read it.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(folder.path(), private).expect("it is our own");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(open_filter, steps, Place::Disk(folder)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn gateways_of_a_shared_log_do_as_a_vec_would(
        open_filter in small_filter(),
        steps in prop::collection::vec(step(), 40..80),
    ) {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let place = Place::Shared(MemoryStream::new(), folders);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(run(open_filter, steps, place));
    }
}

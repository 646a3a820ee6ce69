//! Records whose storage is damaged: readers get the others, and are told which
//! ones they lack.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use auditgate::event::Event;
use auditgate::filter::{Filter, TypeSet};
use auditgate::hub::search::ALL_SEQUENCES;
use auditgate::hub::{
    CountRequest, Gap, GapReason, Group, Hub, RecordKey, SearchRequest, SubscriberState,
    SubscriptionStart,
};
use auditgate::log::cursor::PageToken;
use auditgate::log::disk::{Config, DiskLog, SyncPolicy};
use auditgate::log::{
    Append, Bounds, Conflict, Error, ReadHint, ReadResult, ScanOrder, ScanQuery, Sequencer as _,
    Store as _,
};
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::record::{Draft, Sequence};
use auditgate::time::Time;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

const RECORDS: u64 = 400;
/// They are of two segments, and two of them are neighbours.
const DAMAGED: [u64; 4] = [3, 77, 78, 130];

fn draft(number: u64) -> Draft {
    draft_of(number, &format!("user-{}", number % 3))
}

fn draft_of(number: u64, user: &str) -> Draft {
    let event = pb::Event {
        id: Some(format!("event-{number:04}.")),
        user: Some(pb::User { name: Some(user.to_owned()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let event = Event::check(event.encode_to_vec().into(), Time::now(), 4096).expect("valid");
    Draft::new(event, &pb::Emitter::default().into())
}

fn open(folder: &Path) -> Arc<DiskLog> {
    let ring = Bounds { bytes: 1024 * 1024, records: 160 };
    let config = Config { ring, sync: SyncPolicy::None, ..Config::default() };
    Arc::new(DiskLog::open(folder, config).expect("it can be opened").0)
}

/// Changes a byte of each record that is to be damaged.
fn damage(folder: &Path) {
    change(folder, "event");
}

/// Changes it back.
fn mend(folder: &Path) {
    change(folder, "dvent");
}

fn change(folder: &Path, id: &str) {
    let mut count = 0;
    for entry in fs::read_dir(folder.join("segments")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let mut bytes = fs::read(&path).expect("readable");
        for number in DAMAGED {
            let id = format!("{id}-{number:04}.").into_bytes();
            if let Some(at) = bytes.windows(id.len()).position(|window| window == id) {
                bytes[at] ^= 1;
                count += 1;
            }
        }
        fs::write(&path, bytes).expect("writable");
    }
    assert_eq!(count, DAMAGED.len());
}

/// A hub on a log of which some records are damaged: before it is opened, so
/// that this is known; or while it is open, so that readers find out.
async fn hub(folder: &Path, while_open: bool) -> Arc<Hub> {
    let log = open(folder);
    for number in 1..=RECORDS {
        log.append(&[draft(number)], Append::AllOrNothing { validate_only: false })
            .await
            .expect("acceptable");
    }
    drop(log);
    let mut log = open(folder);
    damage(folder);
    if !while_open {
        drop(log);
        log = open(folder);
    }
    Hub::new(log, CancellationToken::new())
}

fn query(user: &str) -> ScanQuery {
    let users = if user.is_empty() { Vec::new() } else { vec![user.to_owned()] };
    let filter = pb::Filter { users, ..Default::default() };
    ScanQuery::new(Arc::new(Filter::compile(&filter).expect("valid")))
}

/// What lies in the gaps, which all tell of damage.
fn lacking(gaps: &[Gap]) -> Vec<u64> {
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Damaged), "{gaps:?}");
    let mut lacking: Vec<u64> = gaps.iter().flat_map(|gap| gap.first.0..=gap.last.0).collect();
    lacking.sort_unstable();
    lacking
}

fn others() -> Vec<u64> {
    (1..=RECORDS).filter(|number| !DAMAGED.contains(number)).collect()
}

async fn search(hub: &Hub, query: ScanQuery, order: ScanOrder) -> (Vec<u64>, Vec<Gap>) {
    let (mut found, mut gaps) = (Vec::new(), Vec::new());
    let mut token: Option<PageToken> = None;
    loop {
        let query = query.clone();
        let search = SearchRequest {
            query,
            sequences: ALL_SEQUENCES,
            order,
            page_size: 7,
            digest: Default::default(),
            token,
        };
        let page = hub.search(&search).await.expect("readable");
        let page_of = pb::SearchResponse::decode(page.frames.as_slice()).expect("frames");
        found.extend(page_of.records.iter().map(|record| record.sequence));
        gaps.extend(page.gaps);
        token = page.next;
        if token.is_none() {
            return (found, gaps);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_go_around_damage_and_tell_of_it() {
    for while_open in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let hub = hub(folder.path(), while_open).await;
        for order in [ScanOrder::Ascending, ScanOrder::Descending] {
            let (mut found, gaps) = search(&hub, query(""), order).await;
            if order == ScanOrder::Descending {
                found.reverse();
            }
            assert_eq!((found, lacking(&gaps)), (others(), DAMAGED.to_vec()));
            // Only what may match is read: no more is told than what was met.
            let (found, _) = search(&hub, query("user-1"), order).await;
            let wanted = others().into_iter().filter(|number| number % 3 == 1).count();
            assert_eq!(found.len(), wanted);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_a_gap_for_damage() {
    for while_open in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let hub = hub(folder.path(), while_open).await;
        let subscriber = SubscriberState::new(String::new(), &pb::Filter::default());
        let start = SubscriptionStart::Earliest;
        let mut subscription = hub.subscribe(query(""), start, subscriber).await.expect("readable");
        let (mut found, mut gaps) = (Vec::new(), Vec::new());
        loop {
            let message = subscription.next().await.expect("readable").expect("it runs");
            let newest = found.last().copied().unwrap_or(0);
            if let Some(gap) = message.gap {
                assert_eq!(gap.first.0, newest + 1, "it is told in its place");
                found.extend(gap.first.0..=gap.last.0);
                gaps.push(gap);
            }
            let response = pb::SubscribeResponse::decode(message.response.message());
            let records = response.expect("a response").records;
            found.extend(records.iter().map(|record| record.sequence));
            if message.caught_up {
                break;
            }
        }
        assert_eq!(found, (1..=RECORDS).collect::<Vec<_>>());
        assert_eq!(lacking(&gaps), DAMAGED);
        let delivered: u64 = hub.subscribers().iter().map(|open| open.delivered()).sum();
        assert_eq!(delivered, RECORDS - DAMAGED.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_was_found_is_known_when_the_log_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder.path(), private).expect("it is our own");
    let strict = Config { strict: true, ..Config::default() };
    let log = open(folder.path());
    for number in 1..=RECORDS {
        log.append(&[draft(number)], Append::AllOrNothing { validate_only: false })
            .await
            .expect("acceptable");
    }
    drop(log);
    let log = open(folder.path());
    damage(folder.path());
    assert_eq!(log.storage().expect("a log on disk").damage, []);
    assert_eq!(met(&log).await, DAMAGED);
    drop(log);

    let refused = DiskLog::open(folder.path(), strict);
    let said = "records 3, 77 to 78, 130 are damaged on disk and cannot be read";
    assert_eq!(refused.err().map(|error| error.to_string()).as_deref(), Some(said));
    let log = open(folder.path());
    let known = log.storage().expect("a log on disk").damage;
    let known: Vec<u64> = known.iter().flat_map(|range| range.first.0..=range.last.0).collect();
    assert_eq!(known, DAMAGED);
    // The index still has what is damaged.
    let refused = log.append(&[draft(77)], Append::AllOrNothing { validate_only: false }).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert_eq!(met(&log).await, DAMAGED);
    drop(log);

    // What is put back is served again.
    mend(folder.path());
    let (log, notices) = DiskLog::open(folder.path(), strict).expect("it is whole");
    assert_eq!(log.storage().expect("a log on disk").damage, []);
    let told: Vec<_> = notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(matches!(told[..], [told] if told.starts_with("rebuilt 3 sidecars")), "{told:?}");
    assert_eq!(met(&log).await, [0; 0]);
}

/// The damaged records that a reader of all records meets.
async fn met(log: &DiskLog) -> Vec<u64> {
    let (mut at, mut met) = (Sequence(1), Vec::new());
    loop {
        match log.read(at, ReadHint::all(ScanOrder::Ascending)).await.expect("readable") {
            None => return met,
            Some(ReadResult::Damaged { first, last }) => {
                met.extend(first.0..=last.0);
                at = last.next();
            }
            Some(ReadResult::Records(records)) => {
                let view = records.view(log.extent().last);
                assert!(view.holds(at), "it begins at {at}");
                at = Sequence(view.base.0 + view.len() as u64);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_that_is_asked_for_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = hub(folder.path(), true).await;
    let sequence = Sequence(77);
    let types = Arc::new(TypeSet::all());
    let asked = hub.record(RecordKey::Sequence(sequence), &types).await;
    assert_eq!(asked, Err(Error::Damaged { sequence }));
    assert!(
        hub.record(RecordKey::Sequence(Sequence(76)), &types).await.expect("readable").is_some()
    );
    assert_eq!(hub.record(RecordKey::Id("event-0077."), &types).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_record_is_damaged_is_not_stored_twice() {
    for while_open in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let hub = hub(folder.path(), while_open).await;
        let refused = hub
            .append(&[draft(400), draft(77)], Append::AllOrNothing { validate_only: false })
            .await;
        let Err(Error::Conflict(conflict)) = refused else { panic!("{refused:?}") };
        let said = "id \"event-0077.\" was accepted before as record 77, which is damaged on disk: \
                    it is not stored twice";
        assert_eq!((conflict.to_string().as_str(), conflict.position), (said, 1));
        let drafts = vec![draft(77), draft(76), draft(RECORDS + 1)];
        let each = hub
            .append(&drafts, Append::Each { validate_only: false })
            .await
            .expect("each by itself");
        assert_eq!(each[0], Err(Conflict { position: 0, ..conflict }));
        let placed = |at: usize| each[at].clone().expect("stored").sequence.0;
        assert_eq!((placed(1), placed(2)), (76, RECORDS + 1));
        // Another event, by what the index has of the damaged one, though the id's
        // key is the same.
        let other = hub
            .append(&[draft_of(77, "mallory")], Append::AllOrNothing { validate_only: false })
            .await
            .expect("new");
        let receipt = other[0].as_ref().expect("no conflict");
        assert_eq!((receipt.sequence.0, receipt.duplicate), (RECORDS + 2, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_tells_of_damage_that_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = hub(folder.path(), false).await;
    // Columns are kept apart from the records, so what a count reads is whole;
    // somebody else meets the damage.
    let (_, gaps) = search(&hub, query(""), ScanOrder::Ascending).await;
    assert_eq!(lacking(&gaps), DAMAGED);
    let counted = hub
        .count(&CountRequest { query: query(""), bucket: None, group: Group::Type }, &())
        .await
        .expect("readable");
    let total: i64 = counted.buckets.values().flat_map(|counts| counts.values()).sum();
    assert_eq!(total as u64, RECORDS - DAMAGED.len() as u64);
    assert_eq!(lacking(&counted.gaps), DAMAGED);
}

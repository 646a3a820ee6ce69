//! The conformance tests: one suite, run against every kind of log.
//!
//! Each test is a function with an argument `open`, which opens an empty log with the given bounds.
//! `conformance!(name, open)` runs them all. A log that keeps no more than its ring runs
//! `eviction!`, too.

pub mod clock;
mod eviction;
mod ids;
mod repeats;
mod state;

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message as _;

use crate::event::Event;
use crate::log::{
    Append, Bounds, Conflict, ConflictReason, Log, ReadHint, ReadResult, Receipt, ScanOrder,
    Segment, Store as _,
};
use crate::proto::pb;
use crate::proto::pb::event::Payload;
use crate::record::{Draft, Record, Sequence};
use crate::time::Time;

use clock::{a_clock_that_went_back_is_noted, accept_times_never_decrease};
use eviction::{
    a_batch_that_the_log_cannot_keep_is_refused, a_record_larger_than_a_segment_is_kept,
    an_evicted_id_may_come_again, the_oldest_go_when_there_are_too_many,
    the_oldest_go_when_they_are_too_large,
};
pub use ids::find;
use ids::{records_are_found_by_id, the_same_id_of_another_principal_is_another_event};
use repeats::{
    a_comparison_is_bounded_by_what_was_handed_in, a_large_repeat_in_another_order_is_a_repeat,
    drafts_with_one_key_are_each_compared_with_the_record,
    small_repeats_of_a_large_record_are_cheap,
};
use state::{a_closed_log_is_read_and_accepts_nothing, a_log_says_what_it_is};

macro_rules! conformance {
    ($name:ident, $open:expr) => {
        conformance!($name, $open, if always);
    };
    ($name:ident, $open:expr, if $when:ident) => {
        mod $name {
            use super::*;

            conformance!(@each $open, if $when,
                sequences_are_gapless_from_one,
                a_receipt_means_readable,
                accept_times_never_decrease,
                a_conflict_in_a_batch_stores_nothing,
                a_conflict_among_drafts_by_themselves_is_left_out,
                a_repeat_gets_the_first_receipt,
                a_repeat_within_a_batch_gets_the_first_receipt,
                the_order_of_fields_makes_no_other_content,
                a_conflict_within_a_batch_is_noticed,
                the_same_id_of_another_principal_is_another_event,
                checking_stores_nothing,
                records_are_found_by_id,
                a_batch_that_the_log_cannot_keep_is_refused,
                a_record_larger_than_a_segment_is_kept,
                appending_is_announced,
                appends_at_once_are_each_stored_once,
                a_log_says_what_it_is,
                a_closed_log_is_read_and_accepts_nothing,
                drafts_with_one_key_are_each_compared_with_the_record,
                a_large_repeat_in_another_order_is_a_repeat,
                small_repeats_of_a_large_record_are_cheap,
                a_comparison_is_bounded_by_what_was_handed_in,
            );
        }
    };
    (@each $open:expr, if $when:ident, $($test:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if $when() {
                    super::$test($open).await;
                }
            }
        )+
    };
}

macro_rules! eviction {
    ($name:ident, $open:expr) => {
        mod $name {
            use super::*;

            conformance!(@each $open, if always,
                the_oldest_go_when_there_are_too_many,
                the_oldest_go_when_they_are_too_large,
                an_evicted_id_may_come_again,
            );
        }
    };
}

/// Tests of logs whose order is decided in this process, by its clock.
macro_rules! own_clock {
    ($name:ident, $open:expr) => {
        mod $name {
            use super::*;

            conformance!(@each $open, if always, a_clock_that_went_back_is_noted);
        }
    };
}

mod kinds;

/// For kinds of logs that can always be tested.
fn always() -> bool {
    true
}

/// Makes a directory private, whatever the umask is; otherwise a log warns.
pub fn make_private(folder: &tempfile::TempDir) {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder.path(), private).expect("it is our own");
}

pub const ALL: Append = Append::AllOrNothing { validate_only: false };
pub const EACH: Append = Append::Each { validate_only: false };
pub const CHECK_ALL: Append = Append::AllOrNothing { validate_only: true };
pub const CHECK_EACH: Append = Append::Each { validate_only: true };
const ROOMY: Bounds = Bounds { bytes: 64 * 1024 * 1024, records: 100_000 };

fn event(id: &str, command: &str) -> pb::Event {
    pb::Event {
        id: Some(id.into()),
        time: Some(Time(1_000_000_000).timestamp()),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        payload: Some(Payload::Exec(pb::Exec {
            command: Some(pb::Command { line: Some(command.into()), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn draft_of(bytes: Vec<u8>, principal: &str) -> Draft {
    let event = Event::check(bytes.into(), Time::now(), 4 * 1024 * 1024).expect("valid");
    Draft::new(event, &pb::Emitter { principal: principal.into(), peer: String::new() }.into())
}

pub fn draft(id: &str, command: &str) -> Draft {
    draft_of(event(id, command).encode_to_vec(), "")
}

/// A draft of this principal.
pub fn draft_by(id: &str, command: &str, principal: &str) -> Draft {
    draft_of(event(id, command).encode_to_vec(), principal)
}

pub async fn append(log: &Arc<dyn Log>, drafts: Vec<Draft>) -> Vec<Receipt> {
    let appended = log.append(&drafts, ALL).await.expect("acceptable");
    appended.into_iter().collect::<Result<_, _>>().expect("a conflict refuses all")
}

/// Reads a run of records from `at`.
pub async fn run(log: &Arc<dyn Log>, at: Sequence) -> Arc<Segment> {
    match log.read(at, ReadHint::all(ScanOrder::Ascending)).await.expect("readable") {
        Some(ReadResult::Records(segment)) => segment,
        Some(ReadResult::Damaged { first, last }) => panic!("{first} to {last} are damaged"),
        None => panic!("{at} is past the newest record"),
    }
}

/// Everything that is kept: sequence, accept time and event id.
pub async fn read_all(log: &Arc<dyn Log>) -> Vec<(Sequence, Time, String)> {
    let extent = log.extent();
    let mut next = extent.first;
    let mut all = Vec::new();
    while next <= extent.last {
        let segment = run(log, next).await;
        let view = segment.view(extent.last);
        for position in view.position(next)..view.len() {
            let record: Record<'_> = view.record(position);
            let id = record.envelope().id.unwrap_or_default().to_owned();
            all.push((record.sequence, record.accept_time, id));
        }
        next = view.end();
    }
    all
}

pub async fn sequences_are_gapless_from_one(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    assert_eq!(log.extent().records(), 0);
    assert_eq!((log.extent().first, log.extent().last), (Sequence(1), Sequence(0)));
    for round in 0..50_u64 {
        let drafts = (0..=round % 3).map(|n| draft(&format!("{round}-{n}"), "ls")).collect();
        append(&log, drafts).await;
    }
    let sequences: Vec<u64> =
        read_all(&log).await.iter().map(|(sequence, ..)| sequence.0).collect();
    assert_eq!(sequences, (1..=log.extent().last.0).collect::<Vec<_>>());
    assert_eq!(log.extent().records(), sequences.len() as u64);
}

pub async fn a_receipt_means_readable(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    for number in 0..300 {
        let id = number.to_string();
        let [placed] = append(&log, vec![draft(&id, "ls")]).await[..] else {
            panic!("one receipt")
        };
        let segment = run(&log, placed.sequence).await;
        let view = segment.view(log.extent().last);
        let record = view.record(view.position(placed.sequence));
        assert_eq!(record.envelope().id, Some(id.as_str()));
        assert_eq!(Some(record.accept_time), placed.accept_time);
    }
}

pub async fn a_conflict_in_a_batch_stores_nothing(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    let refused = log.append(&[draft("b", "ls"), draft("a", "rm"), draft("c", "ls")], ALL).await;
    let wanted = Conflict {
        position: 1,
        id: "a".into(),
        sequence: Some(Sequence(1)),
        reason: ConflictReason::Content,
    };
    assert_eq!(refused, Err(wanted.into()));
    assert_eq!(log.extent().last, Sequence(1));
    assert_eq!(append(&log, vec![draft("b", "other")]).await[0].sequence, Sequence(2));
}

pub async fn a_conflict_among_drafts_by_themselves_is_left_out(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    let drafts = vec![
        draft("b", "ls"),
        draft("a", "rm"),
        draft("c", "ls"),
        draft("b", "rm"),
        draft("c", "ls"),
        draft("a", "ls"),
    ];
    let placed = log.append(&drafts, EACH).await.expect("conflicts are told one by one");
    let places: Vec<_> = placed
        .iter()
        .map(|placed| placed.as_ref().map(|placed| (placed.sequence.0, placed.duplicate)))
        .collect();
    let taken = Conflict {
        position: 1,
        id: "a".into(),
        sequence: Some(Sequence(1)),
        reason: ConflictReason::Content,
    };
    let within =
        Conflict { position: 3, id: "b".into(), sequence: None, reason: ConflictReason::Content };
    assert_eq!(
        places[..5],
        [Ok((2, false)), Err(&taken), Ok((3, false)), Err(&within), Ok((3, true))]
    );
    assert_eq!(log.extent().last, Sequence(3));
}

pub async fn a_repeat_gets_the_first_receipt(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    let first = append(&log, vec![draft("a", "ls")]).await[0];
    append(&log, vec![draft("b", "ls")]).await;
    let again = append(&log, vec![draft("c", "ls"), draft("a", "ls")]).await;
    assert_eq!(again[0].sequence, Sequence(3));
    assert_eq!(again[1], Receipt { duplicate: true, ..first });
    assert_eq!(log.extent().last, Sequence(3));
}

pub async fn a_repeat_within_a_batch_gets_the_first_receipt(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    let placed = append(&log, vec![draft("a", "ls"), draft("b", "ls"), draft("a", "ls")]).await;
    assert_eq!(placed[2], Receipt { duplicate: true, ..placed[0] });
    assert_eq!(log.extent().last, Sequence(2));
}

pub async fn the_order_of_fields_makes_no_other_content(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    // The same event, its id encoded last.
    let mut bytes = pb::Event { id: None, ..event("a", "ls") }.encode_to_vec();
    bytes.extend_from_slice(
        &pb::Event { id: Some("a".into()), ..Default::default() }.encode_to_vec(),
    );
    assert_ne!(bytes, event("a", "ls").encode_to_vec());
    let placed = append(&log, vec![draft_of(bytes, "")]).await;
    assert!(placed[0].duplicate);
    assert_eq!(log.extent().last, Sequence(1));
}

pub async fn a_conflict_within_a_batch_is_noticed(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    let refused = log.append(&[draft("a", "ls"), draft("a", "rm")], ALL).await;
    assert_eq!(
        refused,
        Err(Conflict {
            position: 1,
            id: "a".into(),
            sequence: None,
            reason: ConflictReason::Content
        }
        .into())
    );
    assert_eq!(log.extent().last, Sequence(0));
}

pub async fn checking_stores_nothing(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    append(&log, vec![draft("a", "ls")]).await;
    let checked =
        log.append(&[draft("a", "ls"), draft("b", "ls")], CHECK_ALL).await.expect("acceptable");
    assert!(checked[0].as_ref().is_ok_and(|receipt| receipt.duplicate));
    let new = Receipt { sequence: Sequence::ZERO, accept_time: None, duplicate: false };
    assert_eq!(checked[1], Ok(new));
    let refused = log.append(&[draft("a", "rm")], CHECK_ALL).await;
    assert!(matches!(refused, Err(crate::log::Error::Conflict(_))), "{refused:?}");
    let each = vec![draft("a", "rm"), draft("b", "ls"), draft("b", "rm")];
    let each = log.append(&each, CHECK_EACH).await.expect("conflicts are told one by one");
    assert_eq!(each[1], Ok(new));
    for position in [0, 2] {
        let conflict = each[position].as_ref().expect_err("another content");
        assert_eq!((conflict.position, conflict.reason), (position, ConflictReason::Content));
    }
    assert_eq!(log.extent().last, Sequence(1));
}

pub async fn appending_is_announced(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    let mut changes = log.changes();
    let waiting = tokio::spawn(async move { changes.changed().await.is_ok() });
    append(&log, vec![draft("a", "ls")]).await;
    let announced = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    assert!(announced.expect("in time").expect("no panic"));
}

pub async fn appends_at_once_are_each_stored_once(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    const TASKS: u64 = 8;
    const EVENTS: u64 = 200;
    let log = open(ROOMY).await;
    // Each event is emitted by two tasks.
    let tasks = (0..TASKS).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut new = 0;
            for number in 0..EVENTS {
                let id = format!("{}-{number}", task / 2);
                new += u64::from(!append(&log, vec![draft(&id, "ls")]).await[0].duplicate);
                tokio::task::yield_now().await;
            }
            new
        })
    });
    let mut new = 0;
    for task in tasks.collect::<Vec<_>>() {
        new += task.await.expect("no panic");
    }
    assert_eq!(new, TASKS / 2 * EVENTS);
    let all = read_all(&log).await;
    assert_eq!(all.len() as u64, new);
    assert_eq!(all.iter().map(|(.., id)| id).collect::<HashSet<_>>().len() as u64, new);
    assert!(all.iter().enumerate().all(|(place, (sequence, ..))| sequence.0 == place as u64 + 1));
}

//! Conformance tests of events that are too large or too many for the ring.

use std::sync::Arc;

use super::{ALL, ROOMY, append, draft, find, read_all, run};
use crate::log::{Bounds, Error, Log};
use crate::record::Sequence;

pub async fn the_oldest_go_when_there_are_too_many(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(Bounds { records: 100, ..ROOMY }).await;
    for number in 0..1_000_u64 {
        append(&log, vec![draft(&number.to_string(), "ls")]).await;
        let extent = log.extent();
        assert!(extent.records() <= 100, "{extent:?}");
        assert!(extent.records() >= (number + 1).min(90), "no more goes than must: {extent:?}");
    }
    let all = read_all(&log).await;
    assert_eq!(all.last().map(|(sequence, ..)| *sequence), Some(Sequence(1_000)));
    assert!(all.iter().all(|(sequence, _, id)| *id == (sequence.0 - 1).to_string()));
    let oldest = run(&log, Sequence(1)).await;
    assert_eq!(oldest.base(), log.extent().first);
    assert!(log.extent().evicted_until.is_some());
    assert_eq!(find(&*log, "3").await, None);
}

pub async fn the_oldest_go_when_they_are_too_large(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let bounds = Bounds { bytes: 1024 * 1024, records: 100_000 };
    let log = open(bounds).await;
    for number in 0..3_000_usize {
        append(&log, vec![draft(&number.to_string(), &"x".repeat(number % 4_000))]).await;
        assert!(log.extent().bytes <= bounds.bytes, "{:?}", log.extent());
    }
    let extent = log.extent();
    assert!(extent.bytes > bounds.bytes / 2, "most of the room is used: {extent:?}");
    assert_eq!(read_all(&log).await.len() as u64, extent.records());
}

pub async fn an_evicted_id_may_come_again(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(Bounds { records: 16, ..ROOMY }).await;
    append(&log, vec![draft("a", "ls")]).await;
    for number in 0..100 {
        append(&log, vec![draft(&number.to_string(), "ls")]).await;
    }
    let again = append(&log, vec![draft("a", "rm")]).await;
    assert_eq!((again[0].sequence, again[0].duplicate), (Sequence(102), false));
}

pub async fn a_batch_that_the_log_cannot_keep_is_refused(
    open: impl AsyncFn(Bounds) -> Arc<dyn Log>,
) {
    let log = open(Bounds { bytes: 1024 * 1024, records: 16 }).await;
    let many: Vec<_> = (0..17).map(|number| draft(&number.to_string(), "ls")).collect();
    assert!(matches!(log.append(&many, ALL).await, Err(Error::TooManyRecords { records: 17, .. })));
    let large = vec![draft("large", &"x".repeat(1024 * 1024))];
    assert!(matches!(log.append(&large, ALL).await, Err(Error::TooManyBytes { .. })));
    assert_eq!(log.extent().last, Sequence(0));
    // An accepted batch is kept as a whole.
    append(&log, (0..10).map(|number| draft(&format!("a{number}"), "ls")).collect()).await;
    let placed =
        append(&log, (0..15).map(|number| draft(&number.to_string(), "ls")).collect()).await;
    assert!(log.extent().first <= placed[0].sequence);
}

pub async fn a_record_larger_than_a_segment_is_kept(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(Bounds { bytes: 1024 * 1024, records: 1_000 }).await;
    append(&log, vec![draft("small", "ls")]).await;
    append(&log, vec![draft("large", &"x".repeat(300 * 1024))]).await;
    append(&log, vec![draft("after", "ls")]).await;
    let ids: Vec<String> = read_all(&log).await.into_iter().map(|(.., id)| id).collect();
    assert_eq!(ids, ["small", "large", "after"]);
}

//! What a log does that keeps no more than its ring.

use std::sync::Arc;

use super::{ROOMY, append, draft, find, read_all, run};
use crate::log::{Bounds, Log};
use crate::record::Sequence;

pub async fn the_oldest_go_when_there_are_too_many(open: impl Fn(Bounds) -> Arc<dyn Log>) {
    let log = open(Bounds { records: 100, ..ROOMY });
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

pub async fn the_oldest_go_when_they_are_too_large(open: impl Fn(Bounds) -> Arc<dyn Log>) {
    let bounds = Bounds { bytes: 1024 * 1024, records: 100_000 };
    let log = open(bounds);
    for number in 0..3_000_usize {
        append(&log, vec![draft(&number.to_string(), &"x".repeat(number % 4_000))]).await;
        assert!(log.extent().bytes <= bounds.bytes, "{:?}", log.extent());
    }
    let extent = log.extent();
    assert!(extent.bytes > bounds.bytes / 2, "most of the room is used: {extent:?}");
    assert_eq!(read_all(&log).await.len() as u64, extent.records());
}

pub async fn an_evicted_id_may_come_again(open: impl Fn(Bounds) -> Arc<dyn Log>) {
    let log = open(Bounds { records: 16, ..ROOMY });
    append(&log, vec![draft("a", "ls")]).await;
    for number in 0..100 {
        append(&log, vec![draft(&number.to_string(), "ls")]).await;
    }
    let again = append(&log, vec![draft("a", "rm")]).await;
    assert_eq!((again[0].sequence, again[0].duplicate), (Sequence(102), false));
}

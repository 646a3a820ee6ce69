//! One segment after the other: also where a head is replaced that has no record.

use futures_util::FutureExt as _;

use super::*;
use crate::filter::Filter;
use crate::log::ScanQuery;
use crate::proto::pb;

/// More than a segment of these rings takes, unless it was begun for them.
const MANY: u64 = 20;

fn drafts(numbers: std::ops::Range<u64>) -> Vec<crate::record::Draft> {
    numbers.map(|number| draft(&format!("id-{number}"), "ls")).collect()
}

/// Leaves an empty head that has too little room for [`MANY`]: a call asked for it,
/// and did not wait.
async fn leave_an_empty_head(log: &Arc<DiskLog>) {
    let drafts = drafts(1_000_000..1_000_001);
    let asking = log.append(&drafts, ALL);
    assert!(asking.now_or_never().is_none(), "the head is full");
    let rolled = async {
        while log.inner.lock().roll.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), rolled).await.unwrap();
    assert_eq!(log.inner.lock().writer.head().len(), 0);
}

/// Three times, a segment that is full, an empty head, and what does not fit that:
/// so many records.
pub async fn fill_with_empty_heads(log: &Arc<DiskLog>) -> u64 {
    let mut next = 0;
    for _ in 0..3 {
        fill(log, next..next + 10).await;
        leave_an_empty_head(log).await;
        append(&as_log(log), drafts(next + 10..next + 10 + MANY)).await;
        next += 10 + MANY;
    }
    next
}

fn assert_in_order(log: &Arc<DiskLog>) {
    let files = log.inner.sealed.list();
    let wrong = files
        .iter()
        .zip(&files[1..])
        .find(|(one, next)| one.base >= one.end || one.end != next.base || !one.path.exists());
    assert_eq!(wrong, None);
}

/// What of `all` a reader finds that goes through the log and knows what it wants.
async fn found(log: &Arc<DiskLog>, order: ScanOrder) -> u64 {
    let filter = pb::Filter { users: vec!["alice".to_owned()], ..Default::default() };
    let query = ScanQuery::new(Arc::new(Filter::compile(&filter).unwrap()));
    let extent = log.extent();
    let mut place = match order {
        ScanOrder::Ascending => extent.first,
        ScanOrder::Descending => extent.last,
    };
    let mut found = 0;
    while place >= extent.first && place <= extent.last {
        let read = log.read(place, ReadHint::matching(&query, order)).await.unwrap();
        let Some(ReadResult::Records(segment)) = read else { panic!("{place} is there") };
        let view = segment.view(extent.last);
        place = match order {
            ScanOrder::Ascending => {
                found += (view.len() - view.position(place)) as u64;
                view.end()
            }
            ScanOrder::Descending => {
                found += view.position(place.next()) as u64;
                view.base.previous()
            }
        };
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_head_becomes_no_segment() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    let last = fill_with_empty_heads(&log).await;
    assert_in_order(&log);
    // These are then on disk only.
    fill(&log, last..last + 200).await;
    assert!(log.inner.shared.first() > Sequence(last));
    let all = last + 200;
    assert_eq!(ids(&log).await, wanted(0..all));
    for order in [ScanOrder::Ascending, ScanOrder::Descending] {
        assert_eq!(found(&log, order).await, all, "{order:?}");
    }
    for number in 0..all {
        assert_eq!(find(&*log, &format!("id-{number}")).await, Some(Sequence(number + 1)));
    }
    let again = append(&as_log(&log), drafts(0..MANY)).await;
    assert!(again.iter().all(|placed| placed.duplicate));
    drop(log);
    let log = open(&folder, config());
    assert_in_order(&log);
    assert_eq!(ids(&log).await, wanted(0..all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_all_sizes_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    let batch = |size: u64, number: u64| {
        let ids = (0..size).map(|place| format!("{size}-{number}-{place}"));
        // The fewer they are, the larger.
        ids.map(|id| draft(&id, &"x".repeat(40_000 / size as usize))).collect()
    };
    let sizes = [1, 3, MANY, 2 * MANY];
    let emitters = sizes.map(|size| {
        let log = as_log(&log);
        tokio::spawn(async move {
            for number in 0..40 {
                append(&log, batch(size, number)).await;
            }
        })
    });
    for emitter in emitters {
        emitter.await.unwrap();
    }
    let all = 40 * sizes.iter().sum::<u64>();
    assert_in_order(&log);
    assert_eq!(ids(&log).await.len() as u64, all);
    for order in [ScanOrder::Ascending, ScanOrder::Descending] {
        assert_eq!(found(&log, order).await, all, "{order:?}");
    }
    for size in sizes {
        let again = append(&as_log(&log), batch(size, 0)).await;
        assert!(again.iter().all(|placed| placed.duplicate), "{size}");
    }
}

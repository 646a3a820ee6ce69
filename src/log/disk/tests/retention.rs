//! The oldest segments go, once nobody needs them.

use super::rolls::fill_with_empty_heads;
use super::*;
use crate::log::{BoxFuture, RetentionHold};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_segments_go_when_the_log_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let retain = Retention { bytes: Some(180 * 1024), age: None };
    let log = open(&folder, Config { retain, ..config() });
    let hold = Arc::new(Needs(AtomicU64::new(0)));
    log.hold(hold.clone());
    fill(&log, 0..400).await;
    hold.0.store(u64::MAX, Ordering::Release);
    assert_eq!(log.extent().first, Sequence(1), "all of it is needed");
    fill(&log, 400..420).await;
    log.close().await;
    let extent = log.extent();
    assert!(extent.first > Sequence(250), "{extent:?}");
    assert!(extent.evicted_until.is_some());
    assert_eq!(ids(&log).await, wanted(extent.first.0 - 1..420));
    assert_eq!(find(&*log, "id-3").await, None);
    drop(log);
    let log = open(&folder, Config { retain, ..config() });
    assert_eq!(log.extent().first, extent.first);
    assert_eq!(log.extent().evicted_until, extent.evicted_until);
    // A file that a crash left behind is removed at last.
    let base = format!("segments/{:020}.log", 1);
    fs::copy(&files(folder.path())[0], folder.path().join(&base)).unwrap();
    drop(log);
    let log = open(&folder, Config { retain, ..config() });
    assert!(!folder.path().join(base).exists());
    assert_eq!(log.extent().first, extent.first);
}

/// Needs the records from this one on.
struct Needs(AtomicU64);

impl RetentionHold for Needs {
    fn name(&self) -> &str {
        "test"
    }

    fn position(&self) -> Sequence {
        Sequence(self.0.load(Ordering::Acquire)).previous()
    }

    fn records_max(&self) -> Option<u64> {
        None
    }

    fn is_over(&self) -> bool {
        false
    }

    fn release(&self, first: Sequence) -> bool {
        first.0 <= self.0.load(Ordering::Acquire)
    }

    fn released(&self, _first: Sequence) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_when_they_are_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let retain = Retention { bytes: None, age: Some(Duration::from_millis(1)) };
    let log = open(&folder, Config { retain, ..config() });
    fill(&log, 0..35).await;
    let gone = async {
        while log.extent().first < Sequence(31) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(ids(&log).await, wanted(30..35), "the segment that is written stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_took_the_place_of_an_empty_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let retain = Retention { bytes: Some(1), age: None };
    let log = open(&folder, Config { retain, ..config() });
    // The first segment is not needed; an empty one behind it would not be, either.
    log.hold(Arc::new(Needs(AtomicU64::new(11))));
    fill_with_empty_heads(&log).await;
    log.close().await;
    assert_eq!(log.extent().first, Sequence(11));
    let lost = log.inner.sealed.list().into_iter().find(|file| !file.path.exists());
    assert_eq!(lost, None);
}

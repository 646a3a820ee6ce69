//! The copy on disk, whose storage is full or slow.

use super::*;
use crate::log::disk::storage::faulty::{Faults as StorageFaults, FaultyStorage};

async fn open_on(
    folder: &TempDir,
    stream: &Arc<SimulatedStream>,
    storage: &Arc<FaultyStorage>,
) -> Arc<SharedLog> {
    let (stream, storage) = (Arc::clone(stream), Arc::clone(storage));
    let opened = SharedLog::open_on(folder.path(), config(RING), stream, storage).await;
    let log = Arc::new(opened.expect("a log").0);
    ready(&log).await;
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_copy_is_full_waits_for_space() {
    let stream = SimulatedStream::new(61, Faults::default(), settings());
    let storage = Arc::new(FaultyStorage::new(StorageFaults::full()));
    let folder = folder();
    let (one, two) = (open_on(&folder, &stream, &storage).await, gateway(&stream).await);
    let appending = Arc::clone(&one);
    let appending = tokio::spawn(async move { appending.append(&[draft("one", "ls")], ALL).await });
    let mut state = one.state();
    let full = state.wait_for(|state| !matches!(state, State::Ready));
    let full = tokio::time::timeout(Duration::from_secs(30), full).await.expect("in time");
    assert!(matches!(&*full.expect("it runs"), State::Full(_)), "{:?}", one.state().borrow());
    let refused = one.append(&[draft("two", "ls")], ALL).await;
    assert!(matches!(refused, Err(Refusal::Full { .. })), "{refused:?}");
    // The stream has it, and so have the others; this one says how far it is behind.
    receipt(&two.log, "two", "ls").await;
    assert_eq!(frames(&two.log).await.len(), 2);
    let behind = async {
        while one.report().stream_end < two.log.report().position {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), behind).await.expect("in time");
    assert!(!appending.is_finished(), "its copy does not have it");
    storage.set(StorageFaults::default());
    ready(&one).await;
    let appended = appending.await.expect("no panic").expect("accepted");
    assert!(!appended[0].as_ref().expect("a receipt").duplicate);
    assert!(receipt(&one, "two", "ls").await.duplicate);
    assert_eq!(frames(&one).await, frames(&two.log).await);
}

/// A receipt says that the record can be read at the gateway that gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_is_given_when_the_copy_has_the_record() {
    let stream = SimulatedStream::new(62, Faults::default(), settings());
    let slow = StorageFaults::slow_writes(Duration::from_millis(30));
    let storage = Arc::new(FaultyStorage::new(slow));
    let folder = folder();
    let log = open_on(&folder, &stream, &storage).await;
    for number in 1..=5 {
        let sequence = receipt(&log, &number.to_string(), "ls").await.sequence;
        assert_eq!(log.extent().last, sequence);
    }
}

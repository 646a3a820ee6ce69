//! Segments that wait for their sidecars, as those who append notice them.

use super::*;
use crate::log::Segment;
use crate::log::disk::sealed::{FRESH_MAX, SegmentFile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_sidecars_cannot_be_made_events_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..5).await;
    // Its file is missing, so neither it nor what comes behind it is indexed.
    let (base, end) = (Sequence::ZERO, Sequence::FIRST);
    let path = folder.path().join("missing.log");
    let segment = Arc::clone(Segment::create(base, 64, 1).segment());
    log.inner.sealed.add(SegmentFile { path, base, end, bytes: 0, salt: 0 }, segment, Vec::new());
    let mut accepted = 5;
    let refused = loop {
        match log.append(&[draft(&format!("id-{accepted}"), "ls")], ALL).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    let Error::Full { why } = &refused else { panic!("{refused:?}") };
    assert!(why.contains("missing.log cannot be indexed"), "{why}");
    assert_eq!(log.inner.sealed.pending(), FRESH_MAX);
    assert_eq!(ids(&log).await, wanted(0..accepted), "they are read from memory");
    let mut state = log.state();
    assert_eq!(*state.borrow(), State::Full(why.clone()));

    log.inner.sealed.remove_before(end);
    let relieved = state.wait_for(|state| *state == State::Ready);
    tokio::time::timeout(Duration::from_secs(60), relieved).await.unwrap().unwrap();
    fill(&log, accepted..accepted + 50).await;
    assert_eq!(ids(&log).await, wanted(0..accepted + 50));
}

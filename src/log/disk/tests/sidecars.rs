//! Sidecars, as the log writes them beside its segments.

use std::fs;
use std::time::Duration;

use super::{config, draft, files, fill, ids, open, wanted};
use crate::log::disk::sealed::FRESH_MAX;
use crate::log::{Error, Log as _, State};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_wait_for_a_sidecar_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..5).await;
    // The file of the first segment cannot be read, and so not be indexed.
    let first = files(folder.path()).pop().unwrap();
    let hidden = folder.path().join("hidden");
    fs::rename(&first, &hidden).unwrap();
    let mut accepted = 5;
    let refused = loop {
        match log.append(vec![draft(&format!("id-{accepted}"), "ls")], true).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    let Error::Full { why } = &refused else { panic!("{refused:?}") };
    assert!(why.contains("00000000000000000001.log cannot be indexed"), "{why}");
    assert_eq!(log.inner.sealed.fresh(), FRESH_MAX);
    assert_eq!(ids(&log).await, wanted(0..accepted), "they are read from memory");
    let mut state = log.state().unwrap();
    assert_eq!(*state.borrow(), State::Full(why.clone()));

    fs::rename(&hidden, &first).unwrap();
    let relieved = state.wait_for(|state| *state == State::Ready);
    tokio::time::timeout(Duration::from_secs(60), relieved).await.unwrap().unwrap();
    fill(&log, accepted..accepted + 50).await;
    assert_eq!(ids(&log).await, wanted(0..accepted + 50));
    drop(log);
    let mut all = files(folder.path());
    // The last one is not full.
    all.pop();
    assert!(all.len() > FRESH_MAX && all.iter().all(|file| file.with_extension("idx").exists()));
}

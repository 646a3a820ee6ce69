//! Sidecars on storage that fails.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::super::FRESH_MAX;
use super::agrees;
use super::scene::{LOG, SEGMENT, files, located, open_on, segment};
use crate::log::disk::sidecar::{self, SegmentRef};
use crate::log::disk::storage::SystemStorage;
use crate::log::disk::storage::faulty::{Faults, FaultyStorage};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_cannot_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 3);
    for faults in [Faults::fail_write(0), Faults::fail_sync(0)] {
        let storage = Arc::new(FaultyStorage::new(faults));
        let sealed = open_on(folder.path(), &files[..1], storage.clone());
        assert_eq!(sealed.unsaved(), 1);
        agrees(&sealed, SEGMENT, &[]).await;
        let sidecar = files[0].0.path.with_extension("idx");
        assert!(!sidecar.exists());
        storage.set(Faults::default());
        sealed.add(files[1].0.clone(), Arc::clone(&files[1].1), Vec::new());
        // The thread is done when the handle is gone.
        drop(sealed);
        fs::remove_file(sidecar).unwrap();
    }
}

/// Of these, not all frames are known: their sidecars are made from their files.
#[tokio::test(flavor = "multi_thread")]
async fn segments_that_wait_for_a_sidecar_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 1 + FRESH_MAX as u64);
    let sealed = open_on(folder.path(), &files[..1], Arc::new(SystemStorage));
    let (relieved, relief) = std::sync::mpsc::channel();
    sealed.on_room(move || relieved.send(()).unwrap_or_default());
    let hidden = folder.path().join("hidden");
    fs::rename(&files[1].0.path, &hidden).unwrap();
    for (file, segment) in files[1..].iter().cloned() {
        assert_eq!(sealed.admit(), Ok(()));
        sealed.add(file, segment, Vec::new());
    }
    let why = sealed.admit().expect_err("all of them wait");
    assert!(why.contains("00000000000000000151.log cannot be indexed"), "{why}");
    assert_eq!(sealed.pending(), FRESH_MAX);
    agrees(&sealed, files.len() as u64 * SEGMENT, &[]).await;

    fs::rename(&hidden, &files[1].0.path).unwrap();
    relief.recv_timeout(Duration::from_secs(60)).expect("the thread tries again");
    assert_eq!(sealed.admit(), Ok(()));
    drop(sealed);
    assert!(files.iter().all(|(file, _)| file.path.with_extension("idx").exists()));
}

#[test]
fn a_sidecar_made_from_memory_is_the_one_that_the_file_makes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, segment) = segment(folder.path(), 1, 1 + SEGMENT);
    let of = file.of(LOG);
    let from_file = sidecar::build(&fs::read(&file.path).unwrap(), &of);
    let mut frames = located(&file);
    let from_memory = sidecar::build_from_memory(&segment, &frames, &of);
    assert!(from_memory.as_ref() == Some(&from_file), "they differ");
    // Where frames are not known, or the segment is not all of the file, the file it is.
    let longer = SegmentRef { covers: of.covers + 1, ..of };
    assert_eq!(sidecar::build_from_memory(&segment, &frames, &longer), None);
    frames.pop();
    assert_eq!(sidecar::build_from_memory(&segment, &frames, &of), None);
}

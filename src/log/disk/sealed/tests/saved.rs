//! Sidecars on storage that fails.

use std::fs;
use std::sync::Arc;

use super::agrees;
use super::scene::{SEGMENT, files, open_on};
use crate::log::disk::storage::faulty::{Faults, Faulty};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_cannot_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 3);
    for faults in [Faults::fail_write(0), Faults::fail_sync(0)] {
        let storage = Arc::new(Faulty::new(faults));
        let sealed = open_on(folder.path(), &files[..1], storage.clone());
        assert_eq!(sealed.unsaved(), 1);
        agrees(&sealed, SEGMENT, &[]).await;
        let sidecar = files[0].0.path.with_extension("idx");
        assert!(!sidecar.exists());
        storage.set(Faults::default());
        sealed.add(files[1].0.clone(), Arc::clone(&files[1].1));
        // The thread is done when the handle is gone.
        drop(sealed);
        fs::remove_file(sidecar).unwrap();
    }
}

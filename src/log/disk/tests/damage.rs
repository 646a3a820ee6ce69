//! Damage that came after the sidecar was made.

use std::fs;

use super::{files, fill, open};
use crate::log::disk::walk::SegmentWalk;
use crate::log::disk::{Config, DiskLog, format};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_the_last_file_is_known_though_its_sidecar_is_older() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, Config::default());
    fill(&log, 0..50).await;
    drop(log);
    drop(open(&folder, Config::default()));
    let file = files(folder.path()).pop().unwrap();
    assert!(file.with_extension("idx").exists());
    let mut bytes = fs::read(&file).unwrap();
    let header = format::FileHeader::decode(&bytes).unwrap();
    let group = SegmentWalk::over(&bytes, &header, None).groups[38].clone();
    bytes[group.at + group.header.len() - 1] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let strict = Config { strict: true, ..Config::default() };
    for _ in 0..2 {
        let refused = DiskLog::open(folder.path(), strict).err().unwrap().to_string();
        assert_eq!(refused, "record 39 is damaged on disk and cannot be read");
    }
}

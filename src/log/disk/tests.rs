//! What only a log on disk does: closing and opening, damage, failing storage.

mod clock;
mod crash;
mod damage;
mod repeats;
mod retention;
mod rolls;
mod sidecars;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::log::DamagedRange;
use crate::log::conformance::{ALL, append, draft, find, make_private, read_all};
use crate::log::disk::storage::faulty::{Faults, FaultyStorage};
use crate::log::disk::walk::SegmentWalk;
use crate::log::disk::{Config, DiskLog, Notice, Retention, SyncPolicy, format, open};
use crate::log::{
    Bounds, Error, Log, ReadHint, ReadResult, ScanOrder, Sequencer as _, State, Store as _,
};
use crate::record::Sequence;

/// A ring of segments of a few records, so that there are many files.
const SMALL: Bounds = Bounds { bytes: 1024 * 1024, records: 160 };

fn config() -> Config {
    Config { ring: SMALL, ..Config::default() }
}

/// Opens the log, and expects that there is nothing to tell.
fn open(folder: &TempDir, config: Config) -> Arc<DiskLog> {
    make_private(folder);
    let (log, notices) = DiskLog::open(folder.path(), config).unwrap();
    assert_eq!(notices, []);
    Arc::new(log)
}

fn as_log(log: &Arc<DiskLog>) -> Arc<dyn Log> {
    Arc::clone(log) as Arc<dyn Log>
}

async fn fill(log: &Arc<DiskLog>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        append(&as_log(log), vec![draft(&format!("id-{number}"), "ls")]).await;
    }
}

/// The ids that are kept, and their sequences, which must be gapless.
async fn ids(log: &Arc<DiskLog>) -> Vec<String> {
    let all = read_all(&as_log(log)).await;
    let first = log.extent().first.0;
    assert!(
        all.iter().enumerate().all(|(place, (sequence, ..))| sequence.0 == first + place as u64)
    );
    all.into_iter().map(|(.., id)| id).collect()
}

fn wanted(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("id-{number}")).collect()
}

/// The segment files, oldest first.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..100).await;
    let identity = *log.identity().borrow();
    assert_eq!(log.extent().synced, Sequence(100));
    drop(log);
    let log = open(&folder, config());
    assert_eq!(*log.identity().borrow(), identity);
    assert_eq!(ids(&log).await, wanted(0..100));
    fill(&log, 100..150).await;
    assert_eq!(ids(&log).await, wanted(0..150));
    assert_eq!(find(&*log, "id-3").await, Some(Sequence(4)));
    assert_eq!(find(&*log, "id-120").await, Some(Sequence(121)));
    // A repeat is known, though it left the memory long ago.
    let again = append(&as_log(&log), vec![draft("id-7", "ls"), draft("new", "ls")]).await;
    assert_eq!((again[0].sequence, again[0].duplicate), (Sequence(8), true));
    assert_eq!((again[1].sequence, again[1].duplicate), (Sequence(151), false));
    let conflict = log.append(&[draft("id-7", "rm")], ALL).await;
    assert!(matches!(conflict, Err(Error::Conflict(found)) if found.sequence == Some(Sequence(8))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_the_ring_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..1_000).await;
    assert!(log.inner.shared.first() > Sequence(700), "most of it is not in memory");
    assert_eq!(log.extent().first, Sequence(1));
    assert_eq!(ids(&log).await, wanted(0..1_000));
    assert!(append(&as_log(&log), vec![draft("id-0", "ls")]).await[0].duplicate);
    let all = read_all(&as_log(&log)).await;
    for (sequence, accepted, _) in all.iter().step_by(97) {
        let since = log.accepted_since(*accepted).await.unwrap();
        let first = all.iter().find(|(_, time, _)| time >= accepted).unwrap().0;
        assert_eq!(since, first, "{sequence}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _log = open(&folder, config());
    let refused = DiskLog::open(folder.path(), config()).err().unwrap().to_string();
    assert!(refused.contains("is in use by another gateway"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_end_is_cut_off_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, Config::default());
    fill(&log, 0..10).await;
    // As a crash leaves it: the file as it is now, the last group torn.
    let crashed = tempfile::tempdir().unwrap();
    make_private(&crashed);
    let file = files(folder.path()).pop().unwrap();
    fs::create_dir(crashed.path().join("segments")).unwrap();
    fs::copy(folder.path().join("log"), crashed.path().join("log")).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let header = format::FileHeader::decode(&bytes).unwrap();
    let walk = SegmentWalk::over(&bytes, &header, None);
    let last = walk.groups.last().unwrap();
    bytes[last.at + last.header.len() - 1] ^= 1;
    let torn = crashed.path().join("segments").join(file.file_name().unwrap());
    fs::write(&torn, bytes).unwrap();
    let (reopened, notices) = DiskLog::open(crashed.path(), Config::default()).unwrap();
    assert!(notices[0].text.starts_with("cut off "), "{notices:?}");
    assert!(notices[0].text.contains("where record 10 would have begun"), "{notices:?}");
    let reopened = Arc::new(reopened);
    assert_eq!(ids(&reopened).await, wanted(0..9));
    assert_eq!(reopened.identity().borrow().epoch, 1, "nobody had seen it");
    fill(&reopened, 9..20).await;
    drop(reopened);
    assert_eq!(ids(&open(&crashed, config())).await, wanted(0..20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_set_aside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, Config::default());
    fill(&log, 0..50).await;
    drop(log);
    let file = files(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let header = format::FileHeader::decode(&bytes).unwrap();
    let walk = SegmentWalk::over(&bytes, &header, None);
    // A closed log has no torn end: even the last record is damaged.
    for group in [&walk.groups[20], &walk.groups[49]] {
        bytes[group.at + group.header.len() - 1] ^= 1;
    }
    fs::write(&file, &bytes).unwrap();
    let strict = Config { strict: true, ..Config::default() };
    let refused = DiskLog::open(folder.path(), strict).err().unwrap().to_string();
    assert_eq!(refused, "records 21, 50 are damaged on disk and cannot be read");
    let (log, notices) = DiskLog::open(folder.path(), Config::default()).unwrap();
    assert_eq!(notices, [Notice::error(refused)]);
    let damage = [21, 50].map(|at| DamagedRange { first: Sequence(at), last: Sequence(at) });
    assert_eq!(log.storage().unwrap().damage, damage);
    let one = super::error::damage_sentence(&damage[..1]);
    assert_eq!(one, "record 21 is damaged on disk and cannot be read");
    assert_eq!(log.extent().last, Sequence(50));
    let at = |sequence| log.read(Sequence(sequence), ReadHint::all(ScanOrder::Ascending));
    let Some(ReadResult::Damaged { first, last }) = at(21).await.unwrap() else {
        panic!("damaged")
    };
    assert_eq!((first, last), (Sequence(21), Sequence(21)));
    let Some(ReadResult::Records(segment)) = at(22).await.unwrap() else { panic!("readable") };
    assert!(segment.view(Sequence(50)).holds(Sequence(22)));
    // Its sequence is not given out again.
    let placed = log.append(&[draft("next", "ls")], ALL).await.unwrap();
    assert_eq!(placed[0].as_ref().unwrap().sequence, Sequence(51));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_segment_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..100).await;
    drop(log);
    let all = files(folder.path());
    assert!(all.len() > 5, "{all:?}");
    fs::remove_file(&all[0]).unwrap();
    fs::remove_file(&all[3]).unwrap();
    let (log, notices) = DiskLog::open(folder.path(), config()).unwrap();
    let told = "records 1 to 10, 31 to 40 are damaged on disk and cannot be read";
    assert_eq!(notices.last(), Some(&Notice::error(told.to_owned())));
    let at = |sequence| log.read(Sequence(sequence), ReadHint::all(ScanOrder::Ascending));
    for (wanted, range) in [(1, (1, 10)), (35, (31, 40))] {
        let found = at(wanted).await.unwrap();
        let Some(ReadResult::Damaged { first, last }) = found else {
            panic!("{wanted} is damaged")
        };
        assert_eq!((first.0, last.0), range);
    }
}

#[tokio::test]
async fn what_is_not_the_log_s_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    for folder in [&folder, &other] {
        fill(&open(folder, config()), 0..30).await;
    }
    let refusal = || DiskLog::open(folder.path(), config()).err().unwrap().to_string();
    let mine = files(folder.path());
    let kept = fs::read(&mine[1]).unwrap();

    fs::copy(&files(other.path())[1], &mine[1]).unwrap();
    assert!(refusal().contains(" belongs to log "), "{}", refusal());
    fs::copy(&mine[2], &mine[1]).unwrap();
    assert!(refusal().ends_with("begins with record 21: rename it accordingly"), "{}", refusal());
    fs::write(&mine[1], kept).unwrap();

    let identity = folder.path().join("log");
    let bytes = fs::read(&identity).unwrap();
    fs::write(&identity, b"something else").unwrap();
    assert!(refusal().ends_with("/log is not an auditgate log"), "{}", refusal());
    fs::remove_file(&identity).unwrap();
    assert!(refusal().contains("/log is missing, but there are segment files"), "{}", refusal());
    fs::write(&identity, bytes).unwrap();
    fs::write(folder.path().join("segments/notes.txt"), b"").unwrap();
    let (_log, notices) = DiskLog::open(folder.path(), config()).unwrap();
    assert!(notices[0].text.ends_with("notes.txt is not a file of the log"), "{notices:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_write_or_sync_ends_the_taking_of_events_for_good() {
    // How many writes and syncs happen before one fails.
    for fault in [Faults::fail_write(12), Faults::fail_sync(12)] {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(FaultyStorage::new(fault));
        let (log, _) = DiskLog::open_on(folder.path(), config(), storage.clone()).unwrap();
        let log = Arc::new(log);
        let mut accepted = 0;
        let refused = loop {
            let id = format!("id-{accepted}");
            match log.append(&[draft(&id, "ls")], ALL).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        // Unless it waited for the next file, it may be there after all.
        let (Error::OutcomeUnknown { why } | Error::Failed { why }) = refused else {
            panic!("{refused:?}")
        };
        assert!(matches!(&*log.state().borrow(), State::Failed(_)));
        storage.set(Faults::default());
        let again = log.append(&[draft("other", "ls")], ALL).await;
        assert_eq!(again, Err(Error::Failed { why }), "it is not tried again");
        assert_eq!(ids(&log).await, wanted(0..accepted), "reading goes on");
        drop(log);
        let (log, _) = DiskLog::open(folder.path(), config()).unwrap();
        let kept = ids(&Arc::new(log)).await;
        assert_eq!(kept[..accepted as usize], wanted(0..accepted));
        assert!(kept.len() as u64 <= accepted + 1, "at most the one that was refused: {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_space_events_are_refused_until_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(FaultyStorage::new(Faults::default()));
    let (log, _) = DiskLog::open_on(folder.path(), config(), storage.clone()).unwrap();
    let log = Arc::new(log);
    fill(&log, 0..5).await;
    storage.set(Faults::full());
    let mut accepted = 5;
    let refused = loop {
        match log.append(&[draft(&format!("id-{accepted}"), "ls")], ALL).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { .. }), "{refused:?}");
    assert!(matches!(&*log.state().borrow(), State::Full(_)));
    assert_eq!(ids(&log).await, wanted(0..accepted));
    let mut state = log.state();
    storage.set(Faults::default());
    let relieved = state.wait_for(|state| *state == State::Ready);
    tokio::time::timeout(Duration::from_secs(10), relieved).await.unwrap().unwrap();
    fill(&log, accepted..accepted + 50).await;
    assert_eq!(ids(&log).await, wanted(0..accepted + 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_syncing_raises_the_epoch_where_something_may_be_lost() {
    let late = Config { sync: SyncPolicy::Interval(Duration::from_secs(3_600)), ..config() };
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, late);
    fill(&log, 0..5).await;
    assert_eq!(log.extent().synced, Sequence(0));
    // A crash: nothing of the process is left but what it wrote.
    let crashed = tempfile::tempdir().unwrap();
    make_private(&crashed);
    fs::create_dir(crashed.path().join("segments")).unwrap();
    fs::copy(folder.path().join("log"), crashed.path().join("log")).unwrap();
    for file in files(folder.path()) {
        fs::copy(&file, crashed.path().join("segments").join(file.file_name().unwrap())).unwrap();
    }
    drop(log);
    let log = open(&folder, config());
    assert_eq!(log.identity().borrow().epoch, 1, "it was closed");
    assert_eq!(ids(&log).await, wanted(0..5));

    let (log, notices) = DiskLog::open(crashed.path(), config()).unwrap();
    assert!(notices[0].text.contains("the epoch is now 2"), "{notices:?}");
    assert_eq!(log.identity().borrow().epoch, 2);
    assert_eq!(log.kept_of_epoch(1), Some(Sequence(5)));
    assert_eq!(log.kept_of_epoch(2), None);
    assert_eq!(ids(&Arc::new(log)).await, wanted(0..5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_synced_after_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let late = Config { sync: SyncPolicy::Interval(Duration::from_millis(5)), ..config() };
    let log = open(&folder, late);
    fill(&log, 0..5).await;
    let synced = async {
        while log.extent().synced < Sequence(5) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), synced).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_is_read_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..3).await;
    log.close().await;
    assert_eq!(log.append(&[draft("late", "ls")], ALL).await, Err(Error::Closed));
    assert_eq!(ids(&log).await, wanted(0..3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_larger_than_a_segment_is_one_group() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..3).await;
    let batch = (3..103).map(|number| draft(&format!("id-{number}"), &"x".repeat(3_000)));
    append(&as_log(&log), batch.collect()).await;
    fill(&log, 103..106).await;
    assert_eq!(ids(&log).await, wanted(0..106));
    drop(log);
    let groups = files(folder.path()).into_iter().flat_map(|file| {
        let bytes = fs::read(file).unwrap();
        SegmentWalk::over(&bytes, &format::FileHeader::decode(&bytes).unwrap(), None).groups
    });
    assert!(groups.into_iter().any(|group| group.header.records == 100));
    assert_eq!(ids(&open(&folder, config())).await, wanted(0..106));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = DiskLog::open(&file, config()).err().unwrap();
    assert!(matches!(refused, super::error::Error::Io { .. }));
    assert!(refused.to_string().contains("file"), "{refused}");
}

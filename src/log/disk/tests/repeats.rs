//! Repeats of records that are only on disk.

use super::*;
use crate::log::ConflictReason;
use crate::log::conformance::{CHECK_EACH, EACH, draft_by};
use crate::record::Draft;

const LARGE_BYTES: usize = 700_000;

fn large(id: &str, principal: &str) -> Draft {
    draft_by(id, &"x".repeat(LARGE_BYTES), principal)
}

/// A log with large records of two principals, of which none is in memory.
async fn filled(folder: &tempfile::TempDir, records: usize) -> Arc<DiskLog> {
    let ring = Bounds { bytes: 2 * 1024 * 1024, records: 1_000 };
    let log = open(folder, Config { ring, ..Config::default() });
    for number in 0..records {
        for principal in ["svc", "other"] {
            append(&as_log(&log), vec![large(&number.to_string(), principal)]).await;
        }
    }
    for number in 0..2_000 {
        append(&as_log(&log), vec![draft(&format!("small-{number}"), "ls")]).await;
    }
    assert!(log.inner.shared.first() > Sequence(2 * records as u64), "they left the memory");
    log
}

/// What is read to compare is bounded by what was handed in, and large records of others
/// under the same ids do not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_records_to_compare_is_bounded() {
    const RECORDS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, RECORDS).await;
    let all = |principal: &str, command: &str| -> Vec<Draft> {
        (0..RECORDS).map(|number| draft_by(&number.to_string(), command, principal)).collect()
    };
    let placed = log.append(&all("svc", "rm"), CHECK_EACH).await.unwrap();
    let reasons: Vec<_> = placed.iter().map(|placed| placed.as_ref().unwrap_err().reason).collect();
    let read = 4 * 1024 * 1024 / LARGE_BYTES;
    assert_eq!(reasons[..read], vec![ConflictReason::Content; read]);
    assert_eq!(reasons[read..], vec![ConflictReason::Unchecked; RECORDS - read]);
    let placed = log.append(&all("third", "rm"), CHECK_EACH).await.unwrap();
    assert!(placed.iter().all(|placed| placed.as_ref().is_ok_and(|placed| !placed.duplicate)));
    // What is sent pays for itself.
    for number in 0..RECORDS {
        let again = append(&as_log(&log), vec![large(&number.to_string(), "svc")]).await;
        assert_eq!(
            (again[0].sequence, again[0].duplicate),
            (Sequence(2 * number as u64 + 1), true)
        );
    }
}

/// The drafts of a call with one key are compared with a record that is read once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_repeats_of_a_record_on_disk_read_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(&folder, 2).await;
    // More than the budget, if each read the record.
    let mut drafts: Vec<Draft> = (0..100).map(|n| draft_by("1", &n.to_string(), "svc")).collect();
    drafts.push(draft_by("1", "7", "svc"));
    let placed = log.append(&drafts, EACH).await.unwrap();
    for placed in &placed {
        let conflict = placed.as_ref().unwrap_err();
        assert_eq!(
            (conflict.sequence, conflict.reason),
            (Some(Sequence(3)), ConflictReason::Content)
        );
    }
}

//! Sealed segments against the same records in a vector.

mod ids;
mod saved;
mod scene;

use std::fs;
use std::ops::ControlFlow;

use super::*;
use crate::filter::Outcome;
use crate::log::ReadContent;
use crate::log::scan::{ScanEnd, ScanOrder, ScanQuery, ScanStats};
use crate::proto::pb;
use crate::record::{FrameScratch, Record};
use scene::{SEGMENT, draft, files, located, open, query, segment, time};

fn every_type() -> Arc<TypeSet> {
    Arc::new(TypeSet::all())
}

/// Queries of each kind: all, rare and broad selections, by columns and by
/// records, by time.
fn queries() -> Vec<ScanQuery> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let mut queries = vec![
        query(pb::Filter::default()),
        query(pb::Filter { types: texts(&["user.login"]), ..Default::default() }),
        query(pb::Filter { types: texts(&["exec"]), ..Default::default() }),
        query(pb::Filter { types: texts(&["custom.odd.1"]), ..Default::default() }),
        query(pb::Filter { types: texts(&["lock.created"]), ..Default::default() }),
        query(pb::Filter { users: texts(&["user-3", "user-11"]), ..Default::default() }),
        query(pb::Filter { users: texts(&["nobody"]), ..Default::default() }),
        query(pb::Filter { session_ids: texts(&["s-40"]), ..Default::default() }),
        query(pb::Filter { text: "run 3".into(), ..Default::default() }),
        query(pb::Filter {
            users: texts(&["user-3"]),
            expression: "event.exec.command.line.contains('4')".into(),
            ..Default::default()
        }),
        query(pb::Filter { results: vec![pb::Result::Failure as i32], ..Default::default() }),
        by_expression("event.id == 'id-7' || event.id in ['id-600', 'id-601', 'none']"),
        by_expression("event.id == 'id-333' && event.user.name != ''"),
        by_expression("event.id == 'none'"),
    ];
    let timed = ScanQuery { start: time(200), end: time(420), ..queries[5].clone() };
    queries.push(ScanQuery { start: time(200), end: time(420), ..queries[0].clone() });
    queries.push(timed);
    queries
}

fn by_expression(expression: &str) -> ScanQuery {
    query(pb::Filter { expression: expression.to_owned(), ..Default::default() })
}

/// The sequences from 1 to `last` that match.
fn expected(query: &ScanQuery, last: u64) -> Vec<u64> {
    let matches = |number: &u64| {
        let mut frame = Vec::new();
        let scratch = &mut FrameScratch::default();
        let put = |part: &[u8]| frame.extend_from_slice(part);
        draft(*number, "svc").frame(Sequence(*number), time(*number), scratch, put);
        let in_time = time(*number) >= query.start && time(*number) < query.end;
        in_time && query.filter.record(crate::record::unframed(&frame)) == Outcome::Match
    };
    (1..=last).filter(matches).collect()
}

/// What a reader finds who goes through everything: matches and gaps, ascending.
async fn found(
    sealed: &SealedSegments,
    hint: ReadHint<'_>,
    query: &ScanQuery,
    last: u64,
) -> (Vec<u64>, Vec<(u64, u64)>) {
    let (mut matches, mut gaps) = (Vec::new(), Vec::new());
    let ascending = hint.order == ScanOrder::Ascending;
    let mut next = if ascending { Sequence(1) } else { Sequence(last) };
    while next >= Sequence(1) && next <= Sequence(last) {
        match sealed.read(next, hint).await.unwrap() {
            None => break,
            Some(ReadResult::Damaged { first, last }) => {
                assert!(first <= next && next <= last);
                gaps.push((first.0, last.0));
                next = if ascending { last.next() } else { first.previous() };
            }
            Some(ReadResult::Records(segment)) => {
                let view = segment.view(Sequence(last));
                assert!(view.base <= next && next < view.end(), "{next} is not covered");
                let range = match hint.order {
                    ScanOrder::Ascending => view.position(next)..view.len(),
                    ScanOrder::Descending => 0..view.position(next.next()),
                };
                let visit = |position| {
                    matches.push(view.sequence(position).0);
                    if hint.content == ReadContent::Frames {
                        assert_eq!(view.record(position).sequence, view.sequence(position));
                    }
                    ControlFlow::Continue(())
                };
                let scanned =
                    query.scan(&view, range, hint.order, &mut ScanStats::default(), visit);
                next = match (scanned, hint.order) {
                    (ScanEnd::Paused(position), ScanOrder::Ascending) => {
                        view.sequence(position).next()
                    }
                    (ScanEnd::Paused(position), _) => view.sequence(position).previous(),
                    (_, ScanOrder::Ascending) => view.end(),
                    (_, ScanOrder::Descending) => view.base.previous(),
                };
            }
        }
    }
    if !ascending {
        matches.reverse();
        gaps.reverse();
    }
    gaps.sort_unstable();
    gaps.dedup();
    (matches, gaps)
}

fn wants(query: &ScanQuery) -> Vec<ReadHint<'_>> {
    let mut wants = Vec::new();
    for order in [ScanOrder::Ascending, ScanOrder::Descending] {
        let all = ReadHint::matching(query, order);
        wants.push(all);
        wants.push(ReadHint { records: 3, ..all });
        wants.push(ReadHint { content: ReadContent::Columns, ..all });
    }
    wants
}

/// Asserts that all queries find what they should, but for what is damaged.
async fn agrees(sealed: &SealedSegments, last: u64, damaged: &[u64]) {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in damaged {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == *number => *end = *number,
            _ => runs.push((*number, *number)),
        }
    }
    for query in queries() {
        let mut expected = expected(&query, last);
        expected.retain(|number| !damaged.contains(number));
        for hint in wants(&query) {
            let (matches, gaps) = found(sealed, hint, &query, last).await;
            assert_eq!(matches, expected, "{hint:?}");
            // A gap may be told of in parts.
            let all: Vec<u64> = gaps.iter().flat_map(|(first, last)| *first..=*last).collect();
            if hint.content == ReadContent::Frames && query.filter.matches_all() {
                assert_eq!(all, damaged, "{hint:?}");
            }
            assert!(all.iter().all(|number| damaged.contains(number)), "{hint:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_disk_is_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 5);
    let sealed = open(folder.path(), &files);
    agrees(&sealed, 5 * SEGMENT, &[]).await;
    assert!(sealed.damage().is_empty());
    // Opened again, the sidecars are there.
    let sidecar = fs::metadata(files[0].0.path.with_extension("idx")).unwrap().modified().unwrap();
    drop(sealed);
    let sealed = open(folder.path(), &files);
    agrees(&sealed, 5 * SEGMENT, &[]).await;
    let again = fs::metadata(files[0].0.path.with_extension("idx")).unwrap().modified().unwrap();
    assert_eq!(sidecar, again, "it was not made again");
}

/// Goes through everything, if all that is wanted is in memory.
fn found_at_once(sealed: &SealedSegments, query: &ScanQuery, last: u64) -> Option<Vec<u64>> {
    let (mut matches, mut next) = (Vec::new(), Sequence(1));
    while next <= Sequence(last) {
        let hint = ReadHint::matching(query, ScanOrder::Ascending);
        let ReadResult::Records(run) = sealed.inner.in_memory(next, hint)? else { return None };
        let view = run.view(Sequence(last));
        let own = (view.position(next)..view.len())
            .filter(|at| query.filter.record(view.record_bytes(*at)) == Outcome::Match);
        matches.extend(own.map(|at| view.sequence(at).0));
        next = view.end();
    }
    Some(matches)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_lately_is_found_again_without_reading() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 3);
    let sealed = open(folder.path(), &files);
    let last = 3 * SEGMENT;
    let users =
        |name: &str| query(pb::Filter { users: vec![name.to_owned()], ..Default::default() });
    // Filters may be wrong of one, not of all.
    let is_passed = |n: u32| found_at_once(&sealed, &users(&format!("nobody-{n}")), last).is_some();
    assert!((0..10).any(is_passed));
    let query = users("user-3");
    // A thread that reads may have done so before anybody looks.
    let all = ReadHint::matching(&query, ScanOrder::Ascending);
    assert!(sealed.inner.in_memory(Sequence(1), all).is_none(), "nobody has looked for it yet");
    let hint = ReadHint { records: 1, ..ReadHint::matching(&query, ScanOrder::Ascending) };
    let expected = expected(&query, last);
    assert_eq!(found(&sealed, hint, &query, last).await.0, expected);
    assert_eq!(found_at_once(&sealed, &query, last), Some(expected));
    // What is damaged must be told of.
    sealed.inner.state.load().segments[1].note_damage(&[5]);
    assert_eq!(found_at_once(&sealed, &query, last), None);
    let at = Sequence(1 + SEGMENT + 5);
    let told = sealed.read(at, hint).await.unwrap();
    assert!(matches!(told, Some(ReadResult::Damaged { first, last }) if first == at && last == at));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_is_read_at_once_and_after_its_sidecar_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 4);
    let sealed = open(folder.path(), &files[..1]);
    for (number, (file, segment)) in files.iter().enumerate().skip(1) {
        sealed.add(file.clone(), Arc::clone(segment), located(file));
        agrees(&sealed, (number as u64 + 1) * SEGMENT, &[]).await;
    }
    drop(sealed);
    assert!(files.iter().all(|(file, _)| file.path.with_extension("idx").exists()));
    agrees(&open(folder.path(), &files), 4 * SEGMENT, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_are_told_of_and_the_others_are_served() {
    for is_indexed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), 3);
        if is_indexed {
            drop(open(folder.path(), &files));
        }
        let mut bytes = fs::read(&files[1].0.path).unwrap();
        let mut damaged = Vec::new();
        for position in [0, 1, 40, 149] {
            let frame = files[1].1.view(Sequence(10_000));
            let frame = frame.frame(position);
            let at = bytes.windows(frame.len()).position(|window| window == frame).unwrap();
            bytes[at + frame.len() / 2] ^= 0x20;
            damaged.push(1 + SEGMENT + position as u64);
        }
        fs::write(&files[1].0.path, &bytes).unwrap();
        let sealed = open(folder.path(), &files);
        agrees(&sealed, 3 * SEGMENT, &damaged).await;
        let known: Vec<u64> =
            sealed.damage().iter().flat_map(|damage| damage.first.0..=damage.last.0).collect();
        assert_eq!(known, damaged);
        assert_eq!(
            sealed.find("id-191", &every_type(), Sequence(10_000)).await,
            Ok(None),
            "damaged"
        );
        assert_eq!(
            sealed.find("id-192", &every_type(), Sequence(10_000)).await,
            Ok(Some(Sequence(192)))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_off_or_is_missing_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path(), 3);
    drop(open(folder.path(), &files));
    let bytes = fs::read(&files[0].0.path).unwrap();
    fs::write(&files[0].0.path, &bytes[..4_096]).unwrap();
    let all: Vec<u64> = (1..=SEGMENT).collect();
    agrees(&open(folder.path(), &files), 3 * SEGMENT, &all).await;
    fs::write(&files[0].0.path, &bytes).unwrap();
    files.remove(1);
    let all: Vec<u64> = (SEGMENT + 1..=2 * SEGMENT).collect();
    let sealed = open(folder.path(), &files);
    agrees(&sealed, 3 * SEGMENT, &all).await;
    let lost = DamagedRange { first: Sequence(SEGMENT + 1), last: Sequence(2 * SEGMENT) };
    assert_eq!(sealed.damage(), [lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_sidecar_makes_no_wrong_answer() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 2);
    drop(open(folder.path(), &files));
    let path = files[0].0.path.with_extension("idx");
    let whole = fs::read(&path).unwrap();
    let query = query(pb::Filter { users: vec!["user-3".into()], ..Default::default() });
    let expected = expected(&query, 2 * SEGMENT);
    let hint = ReadHint::matching(&query, ScanOrder::Ascending);
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        // Changed while it is open, and before it is opened.
        for reopen in [false, true] {
            fs::write(&path, &whole).unwrap();
            let mut sealed = open(folder.path(), &files);
            fs::write(&path, &changed).unwrap();
            if reopen {
                sealed = open(folder.path(), &files);
            }
            let (matches, gaps) = found(&sealed, hint, &query, 2 * SEGMENT).await;
            assert_eq!((matches, gaps), (expected.clone(), vec![]), "byte {at}");
            let id = sealed.find("id-77", &every_type(), Sequence(1_000)).await;
            assert_eq!(id, Ok(Some(Sequence(77))), "byte {at}");
            let since = sealed.accepted_since(time(50)).await;
            assert_eq!(since, Ok(Some(Sequence(50))), "byte {at}");
        }
    }
    // That of another file, an older one, or one that is cut off.
    let other = fs::read(files[1].0.path.with_extension("idx")).unwrap();
    for changed in [other, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&path, &changed).unwrap();
        agrees(&open(folder.path(), &files), 2 * SEGMENT, &[]).await;
        assert_eq!(fs::read(&path).unwrap(), whole, "it was made again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_gone_and_its_sidecar_too() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 4);
    let sealed = open(folder.path(), &files);
    let query = query(pb::Filter::default());
    let hint = ReadHint::matching(&query, ScanOrder::Ascending);
    assert!(matches!(sealed.read(Sequence(5), hint).await, Ok(Some(ReadResult::Records(_)))));
    sealed.remove_before(files[2].0.base);
    assert_eq!(sealed.first(), Some(files[2].0.base));
    assert_eq!(sealed.list().len(), 2);
    for (file, _) in &files[..2] {
        assert!(!file.path.with_extension("idx").exists());
        fs::remove_file(&file.path).unwrap();
    }
    let Ok(Some(ReadResult::Records(run))) = sealed.read(Sequence(5), hint).await else {
        panic!("the oldest that is kept")
    };
    assert_eq!(run.base(), files[2].0.base);
    assert!(!sealed.may_hold(crate::record::key("id-5"), Sequence(1_000)));
    assert_eq!(sealed.find("id-5", &every_type(), Sequence(1_000)).await, Ok(None));
    assert_eq!(sealed.accepted_since(time(1)).await, Ok(Some(files[2].0.base)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_an_error_of_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 2);
    let sealed = open(folder.path(), &files);
    fs::remove_file(&files[0].0.path).unwrap();
    let query = query(pb::Filter::default());
    let hint = ReadHint::matching(&query, ScanOrder::Ascending);
    let read = sealed.read(Sequence(5), hint).await;
    assert!(matches!(read, Err(Error::Unreadable { from: Sequence(5), .. })), "not a gap");
    assert!(matches!(sealed.read(Sequence(200), hint).await, Ok(Some(ReadResult::Records(_)))));
}

#[test]
fn a_record_of_the_tests_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_, segment) = segment(folder.path(), 1, 11);
    let view = segment.view(Sequence(100));
    let record: Record<'_> = view.record(9);
    assert_eq!((record.sequence, record.accept_time), (Sequence(10), time(10)));
}

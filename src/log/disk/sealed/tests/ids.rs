//! Records are found by their ids, and segments without one are passed.

use prost::Message as _;

use super::scene::event;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_by_id_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 6);
    let sealed = open(folder.path(), &files[..4]);
    let (file, segment) = files[4].clone();
    sealed.add(file, segment, Vec::new());
    let (file, segment) = files[5].clone();
    sealed.add(file, segment, Vec::new());
    let last = 6 * SEGMENT;
    let end = Sequence(last + 1);
    let find = |draft| sealed.find_kept(&draft, Sequence::ZERO..end, u64::MAX);
    for number in (1..=last).step_by(13) {
        let id = format!("id-{number}");
        assert!(sealed.may_hold(crate::record::key(&id), end));
        assert_eq!(sealed.find(&id, &every_type(), end).await, Ok(Some(Sequence(number))));
        let kept = find(draft(number, "svc")).await.unwrap();
        let kept = kept.and_then(PriorEvent::kept).unwrap();
        assert_eq!((kept.sequence, kept.accept_time), (Sequence(number), time(number)));
        let record = Record::read(&kept.record);
        assert_eq!(record.client_bytes(), event(number).encode_to_vec());
        assert_eq!(find(draft(number, "other")).await, Ok(None));
        assert_eq!(sealed.accepted_since(time(number)).await, Ok(Some(Sequence(number))));
        let between = Time(time(number).0 - 5);
        assert_eq!(sealed.accepted_since(between).await, Ok(Some(Sequence(number))));
    }
    assert_eq!(
        sealed.find("id-800", &every_type(), Sequence(751)).await,
        Ok(None),
        "not before it"
    );
    assert_eq!(sealed.find("id-0", &every_type(), end).await, Ok(None));
    assert_eq!(sealed.accepted_since(time(last + 1)).await, Ok(None));
    let unknown = (0..10_000).map(|number| crate::record::key(&format!("unknown-{number}")));
    let may = unknown.filter(|key| sealed.may_hold(*key, end)).count();
    assert!(may <= 3, "{may} of 10,000 may be held");
}

/// By the table of ids: a search for one does not read the whole log.
#[tokio::test(flavor = "multi_thread")]
async fn segments_without_an_id_are_not_read_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path(), 6);
    let sealed = open(folder.path(), &files);
    let last = 6 * SEGMENT;
    // The table may be wrong of one id, not of all.
    let is_passed =
        |n: u32| found_at_once(&sealed, &by_expression(&format!("event.id == 'x-{n}'")), last);
    assert!((0..10).any(|n| is_passed(n) == Some(Vec::new())));
    for (number, segment) in [(1, 0), (SEGMENT + 1, 1), (last, 5)] {
        let query = by_expression(&format!("event.id == 'id-{number}'"));
        let ids = sealed.inner.state.load().holding_ids(&query).unwrap();
        let bases = (0..6).map(|n| Sequence(n * SEGMENT + 1));
        let held: Vec<_> = bases.map(|base| ids.contains(base)).collect();
        assert!(held[segment] && held.iter().filter(|held| **held).count() <= 2, "{held:?}");
        for hint in wants(&query) {
            assert_eq!(found(&sealed, hint, &query, last).await.0, [number]);
        }
    }
    assert!(sealed.inner.state.load().holding_ids(&queries()[0]).is_none());
}

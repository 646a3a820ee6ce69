//! Scans against a look at each record, in a segment that is being written and
//! once it has its index.

use std::sync::Arc;

use prost::Message as _;

use super::*;
use crate::event::Event;
use crate::log::Segment;
use crate::log::segment::BLOCK_RECORDS;
use crate::proto::pb;
use crate::proto::pb::event::Payload;
use crate::record::{Draft, Sequence};

/// Some blocks, and a part of one.
const RECORDS: usize = 3 * BLOCK_RECORDS + 100;
const FIRST: u64 = 1_000;

fn time(number: usize) -> Time {
    Time(1_700_000_000_000_000_000 + 10 * number as i64)
}

/// Users and sessions change along the segment; types and servers do not.
fn event(number: usize) -> pb::Event {
    let line = format!("run {number}{}", if number % 300 == 7 { " Findme" } else { "" });
    let command = pb::Command { line: Some(line), ..Default::default() };
    let payload = match number % 100 {
        3 => Payload::UserLogin(pb::UserLogin::default()),
        _ => Payload::Exec(pb::Exec { command: Some(command), ..Default::default() }),
    };
    let id = |text: String| Some(text);
    pb::Event {
        id: id(format!("id-{number}")),
        time: Some(time(number).timestamp()),
        user: Some(pb::User {
            name: id(format!("user-{}", number / 90)),
            impersonator: number.is_multiple_of(50).then(|| format!("boss-{}", number / 900)),
            ..Default::default()
        }),
        session: Some(pb::Session { id: id(format!("s-{}", number / 9)), ..Default::default() }),
        server: Some(pb::Server { id: id(format!("n-{}", number % 40)), ..Default::default() }),
        outcome: Some(pb::Outcome {
            success: Some(!number.is_multiple_of(8)),
            ..Default::default()
        }),
        payload: Some(payload),
        ..Default::default()
    }
}

fn segment() -> Arc<Segment> {
    let emitter = pb::Emitter { principal: "svc".into(), peer: String::new() }.into();
    let mut writer = Segment::create(Sequence(FIRST), 1 << 21, RECORDS);
    for number in 0..RECORDS {
        let bytes = event(number).encode_to_vec();
        let event = Event::check(bytes.into(), time(number), 1 << 20).unwrap();
        let sequence = Sequence(FIRST + number as u64);
        writer.append(&Draft::new(event, &emitter), sequence, time(number));
    }
    writer.publish();
    Arc::clone(writer.segment())
}

fn queries() -> Vec<ScanQuery> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let filters = [
        pb::Filter::default(),
        pb::Filter { types: texts(&["user.login"]), ..Default::default() },
        pb::Filter { types: texts(&["exec", "user.login"]), ..Default::default() },
        pb::Filter { types: texts(&["lock.created"]), ..Default::default() },
        pb::Filter { users: texts(&["user-0"]), ..Default::default() },
        pb::Filter { users: texts(&["boss-1"]), ..Default::default() },
        pb::Filter { users: texts(&["user-3", "user-17", "nobody"]), ..Default::default() },
        pb::Filter { session_ids: texts(&["s-60"]), ..Default::default() },
        pb::Filter { session_ids: texts(&["s-none"]), ..Default::default() },
        pb::Filter { server_ids: texts(&["n-7"]), ..Default::default() },
        pb::Filter {
            users: texts(&["user-11"]),
            server_ids: texts(&["n-7"]),
            ..Default::default()
        },
        pb::Filter { results: vec![pb::Result::Failure as i32], ..Default::default() },
        pb::Filter { results: vec![pb::Result::Success as i32], ..Default::default() },
        pb::Filter { text: "FINDme".into(), ..Default::default() },
        pb::Filter { text: "findme".into(), users: texts(&["user-3"]), ..Default::default() },
        pb::Filter { text: "ks".into(), ..Default::default() },
    ];
    let filters = filters.iter().map(|filter| Filter::compile(filter).unwrap());
    let mut queries: Vec<ScanQuery> = filters.map(Arc::new).map(ScanQuery::new).collect();
    for at in [0, 4, 13] {
        queries.push(ScanQuery { start: time(700), end: time(1_300), ..queries[at].clone() });
    }
    queries
}

/// The positions that a scan visits, which may be asked to go on, or to stop early.
fn visited(
    query: &ScanQuery,
    view: &SegmentView<'_>,
    mut range: Range<usize>,
    order: ScanOrder,
    most: usize,
) -> Vec<usize> {
    let mut found = Vec::new();
    loop {
        let scanned =
            query.scan(view, range.clone(), order, &mut ScanStats::default(), |position| {
                found.push(position);
                if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        match (scanned, order) {
            (ScanEnd::Whole, _) => return found,
            (ScanEnd::Enough(position), _) => {
                assert_eq!(found.last(), Some(&position));
                return found;
            }
            (ScanEnd::Paused(position), ScanOrder::Ascending) => range.start = position + 1,
            (ScanEnd::Paused(position), ScanOrder::Descending) => range.end = position,
        }
    }
}

#[test]
fn a_scan_finds_what_a_look_at_each_record_finds() {
    let segment = segment();
    for is_sealed in [false, true] {
        if is_sealed {
            segment.seal();
        }
        let view = segment.view(Sequence(u64::MAX - 1));
        assert_eq!((view.len(), view.index().is_some()), (RECORDS, is_sealed));
        for query in queries() {
            let is_match = |position: &usize| {
                let in_time = time(*position) >= query.start && time(*position) < query.end;
                let outcome = query.filter.record(view.record_bytes(*position));
                in_time && outcome == Outcome::Match
            };
            for range in [0..RECORDS, 0..1, 500..1_111, 512..1_024, 1_600..1_601, 9..9] {
                let mut expected: Vec<usize> = range.clone().filter(is_match).collect();
                let ascending =
                    visited(&query, &view, range.clone(), ScanOrder::Ascending, usize::MAX);
                assert_eq!(ascending, expected, "{query:?}");
                let few = visited(&query, &view, range.clone(), ScanOrder::Ascending, 2);
                assert_eq!(few, expected[..expected.len().min(2)], "{query:?}");
                expected.reverse();
                let few = visited(&query, &view, range.clone(), ScanOrder::Descending, 2);
                assert_eq!(few, expected[..expected.len().min(2)], "{query:?}");
                let descending = visited(&query, &view, range, ScanOrder::Descending, usize::MAX);
                assert_eq!(descending, expected, "{query:?}");
            }
        }
    }
}

#[test]
fn blocks_without_a_match_are_not_looked_into() {
    let segment = segment();
    let view = segment.view(Sequence(u64::MAX - 1));
    let examined = |filter: pb::Filter, start: Time| {
        let filter = Arc::new(Filter::compile(&filter).unwrap());
        let query = ScanQuery { start, ..ScanQuery::new(filter) };
        let mut stats = ScanStats::default();
        let visit = |_| ControlFlow::Continue(());
        query.scan(&view, 0..RECORDS, ScanOrder::Ascending, &mut stats, visit);
        stats.examined as usize
    };
    let lock = pb::Filter { types: vec!["lock.created".into()], ..Default::default() };
    assert_eq!(examined(lock, Time::MIN), 0);
    // The last block that is full, and the one that is not.
    let late = time(2 * BLOCK_RECORDS);
    assert_eq!(examined(pb::Filter::default(), late), RECORDS - 2 * BLOCK_RECORDS);
}

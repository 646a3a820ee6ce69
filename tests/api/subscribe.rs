//! Subscribe over the wire: where a stream begins, what it delivers, and what it
//! says of what it cannot deliver.

use std::time::Instant;

use crate::support::raw::{self, values};
use crate::support::{self, Tail, WAIT_MAX, after, earliest, gap, latest, numbered, pb, sequences};
use auditgate::hub::MESSAGE_BYTES_MAX;
use auditgate::log::cursor::Cursor;
use auditgate::record::Sequence;
use pb::subscribe_request::Start;

fn sequence_of(cursor: &str) -> u64 {
    Cursor::parse(cursor).expect("a cursor").sequence.0
}

#[tokio::test]
async fn the_first_response_comes_at_once_also_from_an_empty_log() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let anywhere = pb::SubscribeRequest::default();
    for request in [anywhere, latest(), earliest()] {
        let (_tail, first) = Tail::begin(&mut client, request).await;
        assert!(first.records.is_empty() && first.gap.is_none());
        assert!(first.caught_up, "there is nothing to catch up with");
        assert_eq!(sequence_of(&first.cursor), 0);
        let (_resumed, again) = Tail::begin(&mut client, after(&first.cursor)).await;
        assert_eq!(again, first);
    }
}

#[tokio::test]
async fn latest_delivers_what_is_accepted_after_its_first_response() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=3)).await;
    let (mut tail, first) = Tail::begin(&mut client, latest()).await;
    assert!(first.records.is_empty() && first.caught_up);
    assert_eq!(sequence_of(&first.cursor), 3);
    support::emit(&mut client, support::login("e-4", "bob")).await;
    let live = tail.next().await;
    assert_eq!(sequences(&live.records), [4]);
    assert!(live.caught_up);
    assert_eq!(sequence_of(&live.cursor), 4);
}

#[tokio::test]
async fn earliest_delivers_the_history_then_goes_live() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=100)).await;
    let (mut tail, first) = Tail::begin(&mut client, earliest()).await;
    assert!(first.records.is_empty() && !first.caught_up);
    let messages = tail.until_caught_up().await;
    let history: Vec<_> = messages.into_iter().flat_map(|message| message.records).collect();
    assert_eq!(sequences(&history), (1..=100).collect::<Vec<_>>());
    support::emit_all(&mut client, numbered(101..=103)).await;
    assert_eq!(sequences(&tail.records(3).await), [101, 102, 103]);
}

#[tokio::test]
async fn since_begins_at_the_first_record_accepted_then_or_later() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let mut receipts = Vec::new();
    for event in numbered(1..=40) {
        receipts.push(support::emit(&mut client, event).await);
    }
    let accepted: Vec<_> = receipts.iter().map(|receipt| receipt.accept_time.unwrap()).collect();
    for start in [0, 1, 20, 39] {
        let since = support::from(Start::Since(accepted[start]));
        let (mut tail, _) = Tail::begin(&mut client, since).await;
        // Several records may have been accepted in one tick of the clock.
        let expected: Vec<_> = receipts
            .iter()
            .filter(|receipt| {
                let time = receipt.accept_time.unwrap();
                let since = accepted[start];
                (time.seconds, time.nanos) >= (since.seconds, since.nanos)
            })
            .map(|receipt| receipt.sequence)
            .collect();
        assert_eq!(sequences(&tail.records(expected.len()).await), expected);
    }
    let far_ahead = prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 };
    let since = support::from(Start::Since(far_ahead));
    let (_tail, first) = Tail::begin(&mut client, since).await;
    assert!(first.caught_up && first.records.is_empty());
    let since = support::from(Start::Since(prost_types::Timestamp::default()));
    let (mut tail, _) = Tail::begin(&mut client, since).await;
    assert_eq!(tail.records(40).await.len(), 40);
}

/// A time to come is a start like any other: what is accepted before it is left out.
#[tokio::test]
async fn since_a_time_to_come_begins_at_that_time() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit(&mut client, support::login("before", "alice")).await;
    let now = std::time::SystemTime::now();
    let since = prost_types::Timestamp::from(now + std::time::Duration::from_millis(700));
    let start = support::from(Start::Since(since));
    let (mut tail, first) = Tail::begin(&mut client, start).await;
    assert!(first.caught_up && first.gap.is_none());
    // Emitted until well after that time: some records are too early, and some are not.
    let mut accepted = Vec::new();
    for number in 0.. {
        let receipt =
            support::emit(&mut client, support::login(&format!("e-{number}"), "alice")).await;
        let time = receipt.accept_time.unwrap();
        let is_late = (time.seconds, time.nanos) >= (since.seconds, since.nanos);
        accepted.push((receipt.sequence, is_late));
        if accepted.iter().filter(|(_, is_late)| *is_late).count() == 5 {
            break;
        }
    }
    assert!(!accepted[0].1, "the first one is too early");
    let expected = accepted.iter().filter(|(_, is_late)| *is_late).map(|(sequence, _)| *sequence);
    let records = tail.records(5).await;
    assert_eq!(support::sequences(&records), expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn since_a_time_that_was_evicted_says_so() {
    let gateway = support::start_small().await;
    let mut client = support::connect(&gateway).await;
    for event in numbered(1..=200) {
        support::emit(&mut client, event).await;
    }
    let kept = support::status(&mut client).await.first_sequence;
    let since = support::from(Start::Since(prost_types::Timestamp::default()));
    let (mut tail, first) = Tail::begin(&mut client, since).await;
    // How many of those that left had been accepted since is not known.
    assert_eq!(first.gap, Some(gap(0, kept - 1, pb::GapReason::Evicted)));
    let records = tail.records(200 - kept as usize + 1).await;
    assert_eq!(records[0].sequence, kept);
}

#[tokio::test]
async fn reconnecting_with_cursors_neither_misses_nor_repeats() {
    const EVENTS: u64 = 600;
    let gateway = support::start().await;
    let mut emitter = support::connect(&gateway).await;
    let emitting = tokio::spawn(async move {
        for first in (1..=EVENTS).step_by(3) {
            support::emit_all(&mut emitter, numbered(first..=first + 2)).await;
        }
    });
    let mut client = support::connect(&gateway).await;
    let mut seen = Vec::new();
    let mut request = earliest();
    let mut connections = 0;
    let started = Instant::now();
    while seen.len() < EVENTS as usize {
        assert!(started.elapsed() < WAIT_MAX, "{} records", seen.len());
        let (mut tail, first) = Tail::begin(&mut client, request).await;
        connections += 1;
        assert_eq!(first.gap, None);
        let message = tail.next().await;
        seen.extend(sequences(&message.records));
        assert_eq!(message.gap, None);
        assert_eq!(sequence_of(&message.cursor), seen.last().copied().unwrap_or_default());
        request = after(&message.cursor);
    }
    emitting.await.unwrap();
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
    assert!(connections > 10, "only {connections} connections: nothing was shown");
}

#[tokio::test]
async fn a_cursor_that_was_overtaken_gets_the_exact_gap_then_the_oldest_kept() {
    let gateway = support::start_small().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=5)).await;
    let cursor = Tail::begin(&mut client, latest()).await.1.cursor;
    for first in (6..=205).step_by(20) {
        support::emit_all(&mut client, numbered(first..=first + 19)).await;
    }
    let kept = support::status(&mut client).await.first_sequence;
    assert!(kept > 6, "the ring has moved past the cursor");
    let (mut tail, first) = Tail::begin(&mut client, after(&cursor)).await;
    assert_eq!((first.gap, first.caught_up), (None, false));
    let second = tail.next().await;
    assert_eq!(second.gap, Some(gap(6, kept - 1, pb::GapReason::Evicted)));
    assert_eq!(second.records[0].sequence, kept);
    let mut seen = sequences(&second.records);
    seen.extend(sequences(&tail.records(205 - (kept as usize - 1) - seen.len()).await));
    assert_eq!(seen, (kept..=205).collect::<Vec<_>>());
    assert_eq!(support::status(&mut client).await.counters.unwrap().gaps, 1);
}

#[tokio::test]
async fn a_stream_that_is_not_read_gets_records_and_gaps_that_leave_nothing_out() {
    const EVENTS: u64 = 400;
    let gateway = support::start_small().await;
    let mut emitter = support::connect(&gateway).await;
    // A client that does not read takes no more than this from the gateway.
    let window = 64 * 1024;
    let channel = support::endpoint(&gateway)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .connect()
        .await
        .unwrap();
    let mut tail = Tail::open(&mut support::Client::new(channel), earliest()).await;
    for number in 1..=EVENTS {
        support::emit(&mut emitter, support::large(&format!("e-{number}"), 20_000)).await;
    }
    let mut next = 1;
    let mut gaps = 0;
    let started = Instant::now();
    while next <= EVENTS {
        assert!(started.elapsed() < WAIT_MAX, "before record {next}");
        let message = tail.next().await;
        if let Some(gap) = message.gap {
            assert_eq!(gap.first_sequence, next);
            assert_eq!(gap.reason(), pb::GapReason::Evicted);
            next = gap.last_sequence + 1;
            gaps += 1;
        }
        for record in message.records {
            assert_eq!(record.sequence, next);
            next += 1;
        }
        assert_eq!(sequence_of(&message.cursor), next - 1);
    }
    assert!(gaps > 0, "the ring has moved past the reader");
}

#[tokio::test]
async fn a_cursor_of_another_log_starts_over_and_says_so() {
    let (gateway, other) = (support::start().await, support::start().await);
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=3)).await;
    let mut elsewhere = support::connect(&other).await;
    support::emit_all(&mut elsewhere, numbered(1..=50)).await;
    let foreign = Tail::begin(&mut elsewhere, latest()).await.1.cursor;
    let (mut tail, first) = Tail::begin(&mut client, after(&foreign)).await;
    assert_eq!(first.gap, Some(gap(0, 0, pb::GapReason::OtherLog)));
    assert_eq!(sequences(&tail.records(3).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_cursor_past_the_log_is_told_what_was_rolled_back() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=5)).await;
    for sequence in [1_000, u64::MAX] {
        let last = support::status(&mut client).await.last_sequence;
        let ahead = Cursor::new(gateway.hub().identity(), Sequence(sequence)).to_string();
        let (mut tail, first) = Tail::begin(&mut client, after(&ahead)).await;
        assert_eq!(first.gap, Some(gap(last + 1, sequence, pb::GapReason::RolledBack)));
        assert_eq!(sequence_of(&first.cursor), last);
        support::emit_all(&mut client, numbered(last + 1..=last + 3)).await;
        let records = tail.records(3).await;
        assert_eq!(sequences(&records), [last + 1, last + 2, last + 3]);
    }
}

#[tokio::test]
async fn who_is_behind_gets_full_messages_and_large_records_alone() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for first in [1, 101] {
        let small = (first..first + 100).map(|number| format!("small-{number}"));
        let small = small.map(|id| support::large(&id, 4_000)).collect();
        support::emit_all(&mut client, small).await;
        support::emit(&mut client, support::large(&format!("large-{first}"), 200_000)).await;
    }
    let channel = support::channel(&gateway).await;
    let mut stream = raw::open(&channel, "Subscribe", raw::varint(2, 2)).await.unwrap();
    let (mut records, mut messages, mut alone) = (0, 0, 0);
    let started = Instant::now();
    while records < 202 {
        assert!(started.elapsed() < WAIT_MAX, "{records} records");
        let message = support::soon(stream.message()).await.unwrap().expect("no end");
        let frames: Vec<_> = values(&message, 1).iter().map(|record| record.len()).collect();
        if frames.is_empty() {
            continue;
        }
        records += frames.len();
        messages += 1;
        if frames.iter().sum::<usize>() > MESSAGE_BYTES_MAX {
            assert_eq!(frames.len(), 1, "{frames:?}");
            alone += 1;
        }
    }
    assert_eq!(alone, 2);
    // Two hundred records of 4 KB fill at least seven messages.
    assert!((9..=12).contains(&messages), "{messages} messages");
}

#[tokio::test]
async fn the_status_knows_who_subscribes_and_how_far_they_are() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, numbered(1..=10)).await;
    let filter = pb::Filter { users: vec!["alice".into()], ..Default::default() };
    let request = pb::SubscribeRequest { filter: Some(filter.clone()), ..earliest() };
    let mut reader = support::connect(&gateway).await;
    let (mut tail, _) = Tail::begin(&mut reader, request).await;
    tail.until_caught_up().await;
    let status = support::status(&mut client).await;
    let [subscriber] = status.subscribers.as_slice() else { panic!("{status:?}") };
    assert!(subscriber.peer.starts_with("127.0.0.1:"), "{subscriber:?}");
    assert_eq!(subscriber.filter.as_ref(), Some(&filter));
    assert_eq!((subscriber.sequence, subscriber.lag, subscriber.delivered), (10, 0, 10));

    // It does not read on, so the gateway is soon ahead of it.
    for number in 0..300 {
        support::emit(&mut client, support::large(&format!("large-{number}"), 50_000)).await;
    }
    let status = support::status(&mut client).await;
    let subscriber = &status.subscribers[0];
    assert!(subscriber.lag > 0, "{subscriber:?}");
    assert_eq!(subscriber.sequence + subscriber.lag, 310);

    drop(tail);
    let gone = async { while !support::status(&mut client).await.subscribers.is_empty() {} };
    support::soon(gone).await;
}

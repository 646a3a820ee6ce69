//! Conformance tests of accept times, with a clock that runs forward or backward.

use prost_types::Duration;

use super::*;
use crate::time::paused;

pub const SECOND: i64 = 1_000_000_000;
pub const DAY: i64 = 86_400 * SECOND;

/// The times of a record.
#[derive(Debug, PartialEq, Eq)]
pub struct AcceptedRecord {
    pub accept_time: Option<Time>,
    /// The fields of the record about its time.
    pub raised: Option<Duration>,
    /// The event's time, which the gateway set.
    pub event_time: Option<Time>,
}

/// Appends an event without a time while the clock says `now`; returns its record.
pub async fn append_at(log: &Arc<dyn Log>, now: Time, id: &str) -> AcceptedRecord {
    paused::NOW.set(Some(now));
    let event = pb::Event { time: None, ..event(id, "ls") };
    let [receipt] = append(log, vec![draft_of(event.encode_to_vec(), "")]).await[..] else {
        panic!("one receipt")
    };
    paused::NOW.set(None);
    let segment = run(log, receipt.sequence).await;
    let view = segment.view(log.extent().last);
    let position = view.position(receipt.sequence);
    let record = pb::Record::decode(view.record(position).bytes).expect("decodes");
    let time = |time: Option<prost_types::Timestamp>| Time::try_from(&time?).ok();
    assert_eq!(time(record.accept_time), receipt.accept_time);
    let event_time = time(record.event.expect("an event").time);
    assert_eq!(view.columns.get(position).map(|columns| columns.time), event_time);
    AcceptedRecord {
        accept_time: receipt.accept_time,
        raised: record.accept_time_raised,
        event_time,
    }
}

pub async fn accept_times_never_decrease(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    for number in 0..300 {
        append(&log, vec![draft(&number.to_string(), "ls")]).await;
    }
    let all = read_all(&log).await;
    assert!(all.is_sorted_by_key(|(_, accept_time, _)| *accept_time));
}

pub async fn a_clock_that_went_back_is_noted(open: impl AsyncFn(Bounds) -> Arc<dyn Log>) {
    let log = open(ROOMY).await;
    assert_eq!(log.extent().last_accepted, None);
    let now = Time::now();
    let ahead = now.saturating_add(30 * DAY);
    let accepted = |clock: Time, accept_time, raised| AcceptedRecord {
        accept_time: Some(accept_time),
        raised,
        event_time: Some(clock),
    };
    assert_eq!(append_at(&log, ahead, "ahead").await, accepted(ahead, ahead, None));
    for (id, seconds) in [("a", 0), ("b", 1), ("c", 86_400)] {
        let clock = now.saturating_add(seconds * SECOND);
        let raised = Duration { seconds: 30 * 86_400 - seconds, nanos: 0 };
        assert_eq!(append_at(&log, clock, id).await, accepted(clock, ahead, Some(raised)));
        assert_eq!(log.extent().last_accepted, Some(ahead));
    }
    // Clocks are often corrected by less.
    let nearly = ahead.saturating_add(-SECOND);
    assert_eq!(append_at(&log, nearly, "nearly").await, accepted(nearly, ahead, None));
    let behind = ahead.saturating_add(1);
    assert_eq!(append_at(&log, behind, "over").await, accepted(behind, behind, None));
    assert!(read_all(&log).await.is_sorted_by_key(|(_, accept_time, _)| *accept_time));
}

//! A clock that was ahead stays known across restarts, and removes nothing early.

use super::*;
use crate::log::conformance::clock::{DAY, append_at};
use crate::time::{Time, paused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_ahead_is_known_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (now, seconds) = (Time::now(), 30 * 86_400);
    let ahead = now.saturating_add(30 * DAY);
    append_at(&as_log(&open(&folder, config())), ahead, "ahead").await;
    for id in ["first", "second"] {
        let log = open(&folder, config());
        paused::NOW.set(Some(now));
        let noticed = log.extent().accept_time_ahead();
        assert_eq!(noticed.map(|ahead| ahead.seconds), Some(seconds));
        let record = append_at(&as_log(&log), now, id).await;
        assert_eq!(record.accept_time, Some(ahead));
        assert_eq!(record.raised.map(|raised| raised.seconds), Some(seconds));
        assert_eq!(record.event_time, Some(now));
    }
    // It is over when the clock has got there.
    let log = open(&folder, config());
    paused::NOW.set(Some(ahead));
    assert_eq!(log.extent().accept_time_ahead(), None);
    paused::NOW.set(None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_keeps_what_its_stream_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder, config());
    fill(&log, 0..34).await;
    let first_since = |time: Time| {
        log.keep_since(time);
        log.inner.retain();
        log.extent().first
    };
    assert_eq!(first_since(Time(0)), Sequence(1));
    let since = log.extent().last_accepted.unwrap();
    let first = first_since(since.saturating_add(1));
    assert!(first > Sequence(20) && first <= Sequence(34), "{first}: the head stays");
    assert_eq!(first_since(Time(0)), first, "it does not go back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_by_age_keeps_longer_what_a_clock_ahead_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (now, day) = (Time::now(), Duration::from_secs(86_400));
    let retain = Retention { bytes: None, age: Some(day) };
    let log = open(&folder, Config { retain, ..config() });
    append_at(&as_log(&log), now.saturating_add(30 * DAY), "ahead").await;
    fill(&log, 0..34).await;
    let first_at = |days: i64| {
        paused::NOW.set(Some(now.saturating_add(days * DAY)));
        log.inner.retain();
        paused::NOW.set(None);
        log.extent().first
    };
    // By the clock they are two days old, by their accept times none.
    assert_eq!(first_at(2), Sequence(1));
    assert_eq!(first_at(30), Sequence(1));
    assert_eq!(first_at(32), Sequence(31), "the segment that is written stays");
}

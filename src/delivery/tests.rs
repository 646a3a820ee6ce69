//! The engine against destinations that tests play, mostly under paused time.

mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::destination::{ItemReplies, Rejection, Reply};
use super::*;
use crate::record::Sequence;
use scene::{Scene, config, report};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(start_paused = true)]
async fn records_arrive_in_order_and_a_restart_goes_on_where_it_was() {
    let scene = Scene::new(10_000);
    scene.emit(1..=250).await;
    let config = config(scene.destination("one", |_| Reply::ACCEPTED));
    let deliveries = scene.start(config.clone());
    scene.until(|scene| scene.sequences().len() == 250).await;
    scene.emit(251..=300).await;
    scene.until(|scene| scene.sequences().len() == 300).await;
    deliveries.stop(Duration::from_secs(5)).await;
    scene.emit(301..=310).await;
    let deliveries = scene.start(config);
    scene.until(|scene| scene.sequences().len() >= 310).await;
    assert_eq!(scene.sequences(), (1..=310).collect::<Vec<_>>());
    scene.until(|_| report(&deliveries).lag_records == 0).await;
    let report = report(&deliveries);
    assert_eq!((report.delivered, report.position), (10, Sequence(310)));
    assert_eq!(report.phase, DeliveryPhase::Running);
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_record_becomes_a_dead_letter_that_a_replay_delivers() {
    let scene = Scene::new(20_000);
    scene.emit(1..=10_000).await;
    let healed = Arc::new(AtomicBool::new(false));
    let heals = Arc::clone(&healed);
    let poisoned = scene.destination("one", move |ids| {
        match ids.iter().any(|id| id.ends_with("/4711")) && !heals.load(Ordering::Relaxed) {
            true => Reply::Rejected(Rejection { status: "400".into(), words: "no\u{1b}".into() }),
            false => Reply::ACCEPTED,
        }
    });
    let config = config(poisoned);
    let deliveries = scene.start(config.clone());
    scene.until(|scene| scene.sequences().len() == 9_999).await;
    scene.until(|_| report(&deliveries).position == Sequence(10_000)).await;
    assert_eq!(scene.sequences(), (1..=10_000).filter(|one| *one != 4_711).collect::<Vec<_>>());
    let one = report(&deliveries);
    assert_eq!((one.delivered, one.rejected, one.dead_letters), (9_999, 1, 1));
    deliveries.stop(Duration::from_secs(5)).await;
    let text = std::fs::read_to_string(scene.directory().join("siem.dead")).expect("a letter");
    let letter: serde_json::Value = serde_json::from_str(&text).expect("one line");
    assert_eq!(
        (letter["sequence"].as_u64(), letter["status"].as_str()),
        (Some(4_711), Some("400"))
    );
    assert_eq!(letter["words"], "no\\u{1b}");

    let deliveries = scene.start(config);
    assert_eq!(report(&deliveries).dead_letters, 1);
    deliveries.control("siem", ControlAction::Replay).await.expect("it begins");
    // It is refused again, and stays.
    scene.until(|_| report(&deliveries).rejected == 1).await;
    scene.until(|_| report(&deliveries).dead_letters == 1).await;
    healed.store(true, Ordering::Relaxed);
    let replayed = || deliveries.control("siem", ControlAction::Replay);
    while replayed().await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    scene.until(|scene| scene.sequences().last() == Some(&4_711)).await;
    assert_eq!(report(&deliveries).dead_letters, 0);
    scene.until(|scene| !scene.directory().join("siem.replay").exists()).await;
    let refused = deliveries.control("siem", ControlAction::Replay).await;
    assert_eq!(refused.err(), Some(ControlError::NoDeadLetters));
}

#[tokio::test(start_paused = true)]
async fn after_a_day_of_outage_everything_arrives() {
    let scene = Scene::new(100_000);
    scene.emit(1..=100).await;
    let begun = Instant::now();
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&attempts);
    let down = scene.destination("one", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        match begun.elapsed() < DAY {
            true => Reply::unavailable("connection refused"),
            false => Reply::ACCEPTED,
        }
    });
    let deliveries = scene.start(config(down));
    for hour in 1..=24 {
        scene.emit(hour * 100 + 1..=hour * 100 + 100).await;
        sleep(Duration::from_secs(60 * 60)).await;
        let one = report(&deliveries);
        if hour < 24 {
            assert_eq!(one.phase, DeliveryPhase::Retrying, "hour {hour}");
        }
        assert!(one.held_bytes < 4 * 1024 * 1024, "{} bytes", one.held_bytes);
    }
    scene.until(|scene| scene.sequences().len() == 2_500).await;
    assert_eq!(scene.sequences(), (1..=2_500).collect::<Vec<_>>());
    let tries = attempts.load(Ordering::Relaxed);
    // Every 15 to 30 seconds, and not more often.
    assert!((2_800..=6_000).contains(&tries), "{tries} attempts");
    assert_eq!(report(&deliveries).phase, DeliveryPhase::Running);
}

#[tokio::test(start_paused = true)]
async fn what_retention_removes_first_is_one_exact_gap() {
    let scene = Scene::new(1_000);
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let destination = scene.destination("one", move |_| match opened.load(Ordering::Relaxed) {
        true => Reply::ACCEPTED,
        false => Reply::unavailable("down"),
    });
    let deliveries = scene.start(config(destination));
    scene.emit(1..=50).await;
    scene.until(|_| report(&deliveries).phase == DeliveryPhase::Retrying).await;
    scene.emit(51..=20_000).await;
    let first = scene.hub.extent().first.0;
    assert!(first > 10_000, "{first}");
    open.store(true, Ordering::Relaxed);
    scene.until(|scene| scene.sequences().last() == Some(&20_000)).await;
    let got = scene.got.lock().clone();
    let gaps: Vec<&String> = got
        .iter()
        .filter(|id| {
            id.contains('-') && id.rsplit('/').next().is_some_and(|last| last.contains('-'))
        })
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let (_, range) = gaps[0].rsplit_once('/').expect("an id");
    let (from, to) = range.split_once('-').expect("a range");
    let (from, to): (u64, u64) = (from.parse().expect("first"), to.parse().expect("last"));
    let mut all = scene.sequences();
    all.extend(from..=to);
    all.sort_unstable();
    assert_eq!(all, (1..=20_000).collect::<Vec<_>>(), "each is delivered or in the gap");
    let one = report(&deliveries);
    assert_eq!((one.gaps, one.missed), (1, to - from + 1));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_delivery_drops_nothing_and_resumes_at_once() {
    let scene = Scene::new(10_000);
    scene.emit(1..=10).await;
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let destination = scene.destination("one", move |_| match opened.load(Ordering::Relaxed) {
        true => Reply::ACCEPTED,
        false => Reply::Blocked("answers 403".into()),
    });
    let deliveries = scene.start(config(destination));
    scene.until(|_| report(&deliveries).phase == DeliveryPhase::Blocked).await;
    assert_eq!(report(&deliveries).reason, "answers 403");
    open.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    deliveries.control("siem", ControlAction::Resume { from: None }).await.expect("it resumes");
    scene.until(|scene| scene.sequences().len() == 10).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    scene.until(|_| report(&deliveries).phase == DeliveryPhase::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlasts_a_restart() {
    let scene = Scene::new(10_000);
    let config = config(scene.destination("one", |_| Reply::ACCEPTED));
    let deliveries = scene.start(config.clone());
    deliveries.control("siem", ControlAction::Pause).await.expect("it pauses");
    scene.emit(1..=10).await;
    deliveries.stop(Duration::from_secs(1)).await;
    let deliveries = scene.start(config);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(scene.sequences(), Vec::<u64>::new());
    let one = report(&deliveries);
    assert_eq!((one.phase, one.lag_records), (DeliveryPhase::Paused, 10));
    deliveries.control("siem", ControlAction::Resume { from: None }).await.expect("it resumes");
    scene.until(|scene| scene.sequences().len() == 10).await;
}

#[tokio::test(start_paused = true)]
async fn another_destination_must_be_told_where_to_begin() {
    let scene = Scene::new(10_000);
    scene.emit(1..=10).await;
    let deliveries = scene.start(config(scene.destination("one", |_| Reply::ACCEPTED)));
    scene.until(|_| report(&deliveries).position == Sequence(10)).await;
    deliveries.stop(Duration::from_secs(5)).await;
    scene.got.lock().clear();
    let deliveries = scene.start(config(scene.destination("two", |_| Reply::ACCEPTED)));
    scene.emit(11..=12).await;
    scene.until(|_| report(&deliveries).phase == DeliveryPhase::Undecided).await;
    let reason = report(&deliveries).reason;
    assert!(reason.contains("another destination, one"), "{reason}");
    let resume = |from| deliveries.control("siem", ControlAction::Resume { from });
    assert_eq!(resume(None).await.err(), Some(ControlError::Undecided));
    let outside = resume(Some(Sequence(14))).await;
    assert!(matches!(outside, Err(ControlError::NotKept { .. })), "{outside:?}");
    resume(Some(Sequence(9))).await.expect("it begins");
    scene.until(|scene| scene.sequences() == [9, 10, 11, 12]).await;
}

#[tokio::test(start_paused = true)]
async fn the_cursor_waits_for_the_oldest_of_several_batches() {
    let scene = Scene::new(10_000);
    scene.emit(1..=400).await;
    let held = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&held);
    let destination = scene.destination("one", move |ids| {
        match holds.load(Ordering::Relaxed) && ids.iter().any(|id| id.ends_with("/1")) {
            true => Reply::unavailable("slow"),
            false => Reply::ACCEPTED,
        }
    });
    let config = DeliveryConfig { in_flight: 3, ..config(destination) };
    let deliveries = scene.start(config.clone());
    scene.until(|scene| scene.sequences().len() == 200).await;
    sleep(Duration::from_secs(60)).await;
    // Two are acknowledged, and no other leaves before the oldest is.
    assert_eq!(scene.sequences(), (101..=300).collect::<Vec<_>>());
    assert_eq!((report(&deliveries).position, report(&deliveries).in_flight), (Sequence(0), 3));
    // A crash repeats no more than what is in flight.
    drop(deliveries);
    sleep(Duration::from_secs(1)).await;
    held.store(false, Ordering::Relaxed);
    let _deliveries = scene.start(config);
    scene.until(|scene| scene.sequences().len() == 600).await;
    let mut all = scene.sequences();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (1..=400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_changed_filter_goes_on_at_the_cursor_and_is_told() {
    let scene = Scene::new(10_000);
    scene.emit(1..=10).await;
    let first = config(scene.destination("one", |_| Reply::ACCEPTED));
    let (deliveries, changed) = scene.start_with_changes(first.clone());
    assert!(changed.is_empty());
    scene.until(|_| report(&deliveries).position == Sequence(10)).await;
    let filter = pb::Filter { types: vec!["session.*".into()], ..Default::default() };
    let second = DeliveryConfig { filter, ..first.clone() };
    assert_eq!(deliveries.replace(vec![second]).await.expect("replaced"), ["delivery.siem.filter"]);
    scene.emit(11..=20).await;
    // Nothing matches: the cursor follows all the same.
    scene.until(|_| report(&deliveries).lag_records == 0).await;
    assert_eq!(deliveries.replace(vec![first]).await.expect("replaced"), ["delivery.siem.filter"]);
    scene.emit(21..=22).await;
    scene.until(|scene| scene.sequences().len() == 12).await;
    assert_eq!(scene.sequences(), (1..=10).chain(21..=22).collect::<Vec<_>>());
    deliveries.replace(Vec::new()).await.expect("replaced");
    assert!(deliveries.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_skip_leaves_out_what_blocks() {
    let scene = Scene::new(10_000);
    scene.emit(1..=10).await;
    let destination =
        scene.destination("one", |ids| match ids.iter().any(|id| id.ends_with("/3")) {
            true => Reply::unavailable("internal error"),
            false => Reply::ACCEPTED,
        });
    let deliveries = scene.start(config(destination));
    scene.until(|_| report(&deliveries).phase == DeliveryPhase::Retrying).await;
    let skip = |to| deliveries.control("siem", ControlAction::Skip { to: Sequence(to) });
    assert!(matches!(skip(0).await, Err(ControlError::BehindCursor { .. })));
    assert!(matches!(skip(11).await, Err(ControlError::NotKept { .. })));
    skip(3).await.expect("it skips");
    scene.until(|scene| scene.sequences() == [4, 5, 6, 7, 8, 9, 10]).await;
    let unknown = deliveries.control("sime", ControlAction::Pause).await;
    assert_eq!(
        unknown.expect_err("no such").to_string(),
        "there is no delivery \"sime\"; did you mean siem?"
    );
}

#[tokio::test(start_paused = true)]
async fn items_have_answers_of_their_own() {
    let scene = Scene::new(10_000);
    scene.emit(1..=6).await;
    let first = Arc::new(AtomicBool::new(true));
    let destination = scene.destination("one", move |ids| {
        let rejection = Rejection { status: "400".into(), words: "no".into() };
        match first.swap(false, Ordering::Relaxed) {
            true if ids.len() == 6 => Reply::ItemByItem(ItemReplies {
                rejected: vec![(1, rejection)],
                unavailable: vec![3, 5],
                ..ItemReplies::default()
            }),
            _ => Reply::ACCEPTED,
        }
    });
    let deliveries = scene.start(config(destination));
    scene.until(|scene| scene.sequences().len() == 5).await;
    assert_eq!(scene.sequences(), [1, 3, 5, 4, 6]);
    scene.until(|_| report(&deliveries).lag_records == 0).await;
    let one = report(&deliveries);
    assert_eq!((one.delivered, one.dead_letters), (5, 1));
    // Of some 300 bytes each.
    assert!((1_250..1_750).contains(&one.bytes), "{}", one.bytes);
}

#[tokio::test]
async fn what_another_gateway_runs_is_listed_and_left_to_it() {
    let scene = Scene::new(1_000);
    scene.emit(1..=3).await;
    let own = config(scene.destination("one", |_| Reply::ACCEPTED));
    let elsewhere = DeliveryConfig { elsewhere: Some("b:9000".into()), ..own.clone() };
    let deliveries = scene.start(elsewhere.clone());
    let one = report(&deliveries);
    assert_eq!(one.phase, DeliveryPhase::Elsewhere);
    assert_eq!(one.reason, "it runs on the gateway b:9000: ask that one");
    let asked = deliveries.control("siem", ControlAction::Pause).await.expect_err("not here");
    assert_eq!(asked.to_string(), "the delivery siem runs on the gateway b:9000: ask that one");
    // It moves here, and away again.
    deliveries.replace(vec![own]).await.expect("it starts");
    scene.until(|scene| scene.sequences() == [1, 2, 3]).await;
    assert_eq!(report(&deliveries).phase, DeliveryPhase::Running);
    deliveries.replace(vec![elsewhere]).await.expect("it ends");
    assert_eq!(report(&deliveries).phase, DeliveryPhase::Elsewhere);
    scene.emit(4..=4).await;
    assert_eq!(scene.sequences(), [1, 2, 3]);
}

#[tokio::test]
async fn a_directory_is_for_one_gateway() {
    let scene = Scene::new(1_000);
    let config = config(scene.destination("one", |_| Reply::ACCEPTED));
    let deliveries = scene.start(config.clone());
    let again = Deliveries::start(&scene.hub, Some(scene.directory()), vec![config.clone()]);
    assert!(matches!(again, Err(StartError::InUse { .. })));
    let without = Deliveries::start(&scene.hub, None, vec![config]);
    assert!(matches!(without, Err(StartError::NoDirectory)));
    drop(deliveries);
}

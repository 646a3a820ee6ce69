//! What streams do as time passes: at the hub, where time can be paused. Over the
//! wire the same messages are sent.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{self, pb};
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::filter::Filter;
use auditgate::hub::{
    Hub, LAST_READ_TIME_MAX, SubscribeMessage, SubscriberState, Subscription, SubscriptionStart,
};
use auditgate::log::{Append, Bounds, MemoryLog, ScanQuery};
use auditgate::record::Draft;
use auditgate::time::Time;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A subscriber hears from the gateway at least so often.
const SILENCE_MAX: Duration = Duration::from_secs(10);

fn hub() -> Arc<Hub> {
    hub_until(CancellationToken::new())
}

fn hub_until(stopping: CancellationToken) -> Arc<Hub> {
    Hub::new(Arc::new(MemoryLog::new(Bounds::default())), stopping)
}

async fn append(hub: &Hub, event: pb::Event) {
    let event = Event::check(event.encode_to_vec().into(), Time::now(), EVENT_BYTES_MAX).unwrap();
    hub.append(
        &[Draft::new(event, &pb::Emitter::default().into())],
        Append::AllOrNothing { validate_only: false },
    )
    .await
    .unwrap();
}

async fn subscribe(hub: &Arc<Hub>, query: ScanQuery) -> Subscription {
    let subscriber = SubscriberState::new("127.0.0.1:1".to_owned(), &pb::Filter::default());
    hub.subscribe(query, SubscriptionStart::Earliest, subscriber).await.unwrap()
}

fn everything() -> ScanQuery {
    ScanQuery::new(Arc::new(Filter::compile(&pb::Filter::default()).expect("an empty filter")))
}

/// What the query asks for has not happened yet.
fn nothing() -> ScanQuery {
    ScanQuery { start: Time::MAX, ..everything() }
}

async fn next(subscription: &mut Subscription) -> SubscribeMessage {
    let asked = Instant::now();
    let message = subscription.next().await.unwrap().expect("the hub runs");
    assert!(asked.elapsed() <= SILENCE_MAX, "silent for {:?}", asked.elapsed());
    message
}

#[tokio::test(start_paused = true)]
async fn where_everything_is_filtered_out_the_cursor_moves_on() {
    let hub = hub();
    let mut subscription = subscribe(&hub, nothing()).await;
    let first = next(&mut subscription).await;
    assert_eq!(first.cursor.sequence.0, 0);
    let emitting = Arc::clone(&hub);
    tokio::spawn(async move {
        for number in 1.. {
            tokio::time::sleep(Duration::from_millis(100)).await;
            append(&emitting, support::login(&format!("e-{number}"), "alice")).await;
        }
    });
    for _ in 0..3 {
        let before = hub.extent().last;
        let message = next(&mut subscription).await;
        assert!(message.records == 0 && message.gap.is_none());
        assert!(message.caught_up);
        assert!(message.cursor.sequence > before, "{} behind {before}", message.cursor.sequence);
        assert!(hub.extent().last.0 - message.cursor.sequence.0 <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_happens_the_stream_says_that_it_lives() {
    let hub = hub();
    append(&hub, support::login("e-1", "alice")).await;
    let mut subscription = subscribe(&hub, everything()).await;
    assert_eq!(next(&mut subscription).await.cursor.sequence.0, 0);
    let history = next(&mut subscription).await;
    assert!(history.records > 0 && history.caught_up);
    for _ in 0..3 {
        let asked = Instant::now();
        let message = next(&mut subscription).await;
        assert!(asked.elapsed() > SILENCE_MAX / 2, "progress is told at leisure");
        assert!(message.records == 0 && message.caught_up);
        assert_eq!(message.cursor.sequence.0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_history_without_a_match_is_told() {
    let hub = hub();
    for number in 1..=100 {
        append(&hub, support::login(&format!("e-{number}"), "alice")).await;
    }
    let mut subscription = subscribe(&hub, nothing()).await;
    assert!(!next(&mut subscription).await.caught_up);
    let asked = Instant::now();
    let message = next(&mut subscription).await;
    assert!(message.records == 0 && message.caught_up);
    assert_eq!(message.cursor.sequence.0, 100);
    assert_eq!(asked.elapsed(), Duration::ZERO, "it is known without waiting");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_stops_waits_only_so_long_for_a_stream_that_is_behind() {
    let stopping = CancellationToken::new();
    let hub = hub_until(stopping.clone());
    for number in 1..=5 {
        append(&hub, support::large(&format!("e-{number}"), 100_000)).await;
    }
    let mut subscription = subscribe(&hub, everything()).await;
    assert_eq!(next(&mut subscription).await.cursor.sequence.0, 0);
    assert_eq!(next(&mut subscription).await.cursor.sequence.0, 1);
    stopping.cancel();
    assert_eq!(next(&mut subscription).await.cursor.sequence.0, 2);
    tokio::time::advance(LAST_READ_TIME_MAX / 2).await;
    assert_eq!(next(&mut subscription).await.cursor.sequence.0, 3);
    tokio::time::advance(LAST_READ_TIME_MAX / 2).await;
    assert!(subscription.next().await.unwrap().is_none());
    assert_eq!(subscription.cursor().sequence.0, 3, "where it can resume");
}

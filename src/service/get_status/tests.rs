//! What subscriptions hold in memory, and what the status shows of them.

use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::access::AccessControl;
use crate::filter::Filter;
use crate::hub::{Hub, SubscriberState, Subscription, SubscriptionStart};
use crate::log::{Bounds, MemoryLog, ScanQuery};
use crate::service::ServiceLimits;

const MIB: usize = 1024 * 1024;

/// A filter that no other number has.
fn filter(number: usize, values: usize, bytes: usize) -> pb::Filter {
    let text = |field: &str| {
        let text = |value: usize| format!("{number}-{field}-{value:0>width$}", width = bytes - 12);
        (0..values).map(text).collect()
    };
    pb::Filter {
        users: text("u"),
        session_ids: text("s"),
        server_ids: text("v"),
        sources: text("e"),
        ..Default::default()
    }
}

async fn subscribe(hub: &Arc<Hub>, asked: &pb::Filter) -> Subscription {
    let query = ScanQuery::new(Arc::new(Filter::compile(asked).expect("a filter")));
    let subscriber = SubscriberState::new("10.0.0.1:5000".to_owned(), asked);
    hub.subscribe(query, SubscriptionStart::Latest, subscriber).await.expect("open")
}

fn hub() -> Arc<Hub> {
    Hub::new(Arc::new(MemoryLog::new(Bounds::default())), CancellationToken::new())
}

#[tokio::test]
async fn a_subscription_keeps_its_filter_once() {
    let hub = hub();
    let asked = filter(1, 1_000, 1_000);
    let bytes = asked.encoded_len();
    assert!(bytes > 3 * MIB);
    let subscription = subscribe(&hub, &asked).await;
    let held = subscription.held_bytes();
    assert!(held > bytes - 64 * 1024 && held < bytes + bytes / 8, "{held} of {bytes} bytes");
    let [shown] = hub.subscribers().try_into().unwrap_or_else(|_| panic!("one subscribes"));
    assert!(shown.filter_shortened && shown.held_bytes() < 8 * 1024, "{}", shown.held_bytes());
    let small = subscribe(&hub, &pb::Filter::default()).await;
    assert!(small.held_bytes() < 4 * 1024, "{}", small.held_bytes());
}

#[tokio::test]
async fn the_status_is_smaller_than_clients_take_whatever_subscribers_do() {
    let hub = hub();
    let mut subscriptions = Vec::new();
    for number in 0..1_500 {
        subscriptions.push(subscribe(&hub, &filter(number, 2, 1_000)).await);
    }
    let service = Service::new(hub, AccessControl::open(), ServiceLimits::default());
    let body = Bytes::from(pb::GetStatusRequest {}.encode_to_vec());
    let answer = service.current_status(Request::new(body)).await.expect("a status").to_vec();
    assert!(answer.len() < 4 * MIB, "{} bytes", answer.len());
    let status = pb::GetStatusResponse::decode(answer.as_slice()).expect("a status");
    assert_eq!(status.subscriber_count, 1_500);
    assert!((500..=1_000).contains(&status.subscribers.len()), "{}", status.subscribers.len());
    for subscriber in &status.subscribers {
        let filter = subscriber.filter.as_ref().expect("shown to anybody");
        assert!(subscriber.filter_shortened && filter.encoded_len() < 3 * 1024);
        assert!(filter.users.first().is_some_and(|user| user.contains("-u-")), "{filter:?}");
    }
}

#[tokio::test]
async fn a_clock_behind_the_newest_record_is_shown_while_it_lasts() {
    use crate::log::{Append, Sequencer as _};
    use crate::time::paused;
    let (log, seconds) = (Arc::new(MemoryLog::new(Bounds::default())), 30 * 86_400);
    let now = Time::now();
    let ahead = now.saturating_add(seconds * 1_000_000_000);
    paused::NOW.set(Some(ahead));
    let event = pb::Event {
        payload: Some(pb::event::Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    };
    let event = crate::event::Event::check(event.encode_to_vec().into(), ahead, MIB).unwrap();
    let draft = crate::record::Draft::new(event, &pb::Emitter::default().into());
    log.append(&[draft], Append::AllOrNothing { validate_only: false }).await.unwrap();
    let hub = Hub::new(log, CancellationToken::new());
    let service = Service::new(hub, AccessControl::open(), ServiceLimits::default());
    let mut shown = Vec::new();
    for clock in [now, ahead.saturating_add(-1_000_000_000), ahead] {
        paused::NOW.set(Some(clock));
        let answer = service.current_status(Request::new(Bytes::new())).await.unwrap().to_vec();
        let status = pb::GetStatusResponse::decode(answer.as_slice()).unwrap();
        shown.push(status.accept_time_ahead.map(|ahead| ahead.seconds));
    }
    paused::NOW.set(None);
    assert_eq!(shown, [Some(seconds), None, None]);
}

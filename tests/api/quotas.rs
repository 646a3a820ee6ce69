//! What one client may use, and that it is told what it has too much of.

use std::time::Duration;

use crate::support::{self, Tail, pb, soon};
use auditgate::server::{Config, Gateway};
use auditgate::service::quota;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

async fn start(change: impl FnOnce(&mut quota::QuotaLimits)) -> Gateway {
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = Config { listen, ..Config::default() };
    change(&mut config.quotas);
    Gateway::start(config).await.expect("a free port")
}

fn refused(status: &Status, reason: &str, says: &str) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.get_details_error_info().expect("a reason").reason, reason);
    assert!(status.message().contains(says), "{}", status.message());
    let retry = status.get_details_retry_info().expect("when to try again");
    retry.retry_delay.expect("a delay")
}

#[tokio::test]
async fn calls_that_come_too_fast_are_refused_for_a_while() {
    let gateway = start(|limits| limits.calls_per_second = 5).await;
    let mut client = support::connect(&gateway).await;
    let delay = loop {
        match soon(client.get_status(pb::GetStatusRequest {})).await {
            Ok(_) => {}
            Err(status) => break refused(&status, "RATE_LIMITED", "the rate limit of 5 a second"),
        }
    };
    assert!(delay <= Duration::from_secs(1), "{delay:?}");
    tokio::time::sleep(delay + Duration::from_millis(20)).await;
    support::status(&mut client).await;
}

#[tokio::test]
async fn events_leave_a_debt_whatever_way_they_come() {
    let gateway = start(|limits| limits.events_per_second = 2).await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, support::numbered(1..=100)).await;
    let request =
        pb::EmitBatchRequest { events: support::numbered(101..=101), validate_only: false };
    let status = soon(client.emit_batch(request)).await.unwrap_err();
    let delay = refused(&status, "RATE_LIMITED", "events exceed the rate limit of 2 a second");
    assert!(delay > Duration::from_secs(2), "{delay:?}");
    assert_eq!(gateway.hub().extent().last.0, 100, "a refused batch changes nothing");
}

#[tokio::test]
async fn a_stream_is_slowed_down_instead() {
    const EVENTS: u64 = 60;
    let gateway = start(|limits| limits.events_per_second = 40).await;
    let mut client = support::connect(&gateway).await;
    let requests = (1..=EVENTS)
        .map(|number| support::numbered(number..=number))
        .map(|events| pb::EmitStreamRequest { events, validate_only: false });
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let started = std::time::Instant::now();
    let mut answers = soon(client.emit_stream(requests)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(answer) = soon(answers.message()).await.unwrap() {
        answered = answer.answered;
    }
    assert_eq!(answered, EVENTS);
    // A second's worth may come at once.
    assert!(started.elapsed() > Duration::from_millis(300), "{:?}", started.elapsed());
}

#[tokio::test]
async fn subscriptions_are_counted_until_they_end() {
    let gateway = start(|limits| limits.subscribers = 2).await;
    let mut client = support::connect(&gateway).await;
    let mut other = support::connect(&gateway).await;
    let (first, _) = Tail::begin(&mut client, support::latest()).await;
    let (_second, _) = Tail::begin(&mut other, support::latest()).await;
    let status = soon(client.subscribe(support::latest())).await.unwrap_err();
    refused(&status, "LIMIT_REACHED", "open subscriptions of yours, limit 2");
    drop(first);
    let again = async {
        while let Err(status) = client.subscribe(support::latest()).await {
            refused(&status, "LIMIT_REACHED", "open subscriptions of yours");
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn connections_are_refused_beyond_their_limit() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = Config { listen, ..Config::default() };
    config.admission.connections_per_peer = 2;
    let gateway = Gateway::start(config).await.expect("a free port");
    let first = support::connect(&gateway).await;
    let mut second = support::connect(&gateway).await;
    support::status(&mut second).await;
    let one_too_many = async {
        let mut third = pb::audit_service_client::AuditServiceClient::new(
            support::endpoint(&gateway).connect().await?,
        );
        third.get_status(pb::GetStatusRequest {}).await.map_err(Box::new)?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    soon(one_too_many).await.expect_err("it is closed at once");
    drop(first);
    // As soon as the gateway has noticed.
    let again = async {
        loop {
            let Ok(channel) = support::endpoint(&gateway).connect().await else { continue };
            let mut client = support::Client::new(channel);
            if client.get_status(pb::GetStatusRequest {}).await.is_ok() {
                return;
            }
        }
    };
    soon(again).await;
    support::status(&mut second).await;
}

/// What a client holds is on its account, by what holds it, until it is freed.
#[tokio::test]
async fn the_status_shows_what_clients_hold() {
    let gateway = start(|_| {}).await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, vec![support::large("large", 500_000)]).await;
    let (tail, _) = Tail::begin(&mut client, support::latest()).await;
    let status = support::status(&mut client).await;
    let all = status.holding.expect("what all hold");
    assert_eq!(status.account_count, 1);
    let own = &status.accounts[0];
    assert_eq!(own.client, "127.0.0.1");
    assert_eq!(own.holding, Some(all));
    assert!(all.connection_bytes > 0 && all.call_bytes > 0 && all.filter_bytes > 0, "{all:?}");
    assert!(all.room_bytes > 0, "this very call has room: {all:?}");
    drop(tail);
    let freed = async {
        // The call that asks is left.
        while support::status(&mut client).await.holding.unwrap().filter_bytes > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(freed).await;
}

/// A client that takes nothing of what waits for it is cut off, and what it held is given back.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = Config { listen, ..Config::default() };
    config.connections.write_stall = Duration::from_secs(1);
    let gateway = Gateway::start(config).await.expect("a free port");
    let mut client = support::connect(&gateway).await;
    for number in 0..5 {
        let events = vec![support::large(&format!("e-{number}"), 500_000)];
        support::emit_all(&mut client, events).await;
    }
    let endpoint = support::endpoint(&gateway)
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut stuck = support::Client::new(endpoint.connect().await.unwrap());
    let (mut tail, _) = Tail::begin(&mut stuck, support::earliest()).await;
    let cut = auditgate::server::connection::CutReason::NotReading;
    let gone = async {
        while gateway.connections().cut.count(cut) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The call that asks is left.
        while support::status(&mut client).await.holding.unwrap().room_bytes > 16 * 1024 * 1024 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    let ended = async { while tail.message().await.is_ok_and(|next| next.is_some()) {} };
    soon(ended).await;
}

/// A request of a service that takes short names alone may be no longer than they are.
#[tokio::test]
async fn requests_of_other_services_are_small() {
    let gateway = start(|_| {}).await;
    let channel = support::channel(&gateway).await;
    let method = "/grpc.health.v1.Health/Check";
    let request = support::raw::field(1, &[b'x'; 10_000]);
    let status = support::raw::call(&channel, method, request).await.unwrap_err();
    assert_eq!(status.get_details_error_info().expect("a reason").reason, "REQUEST_TOO_LARGE");
    support::raw::call(&channel, method, Vec::new()).await.expect("it is healthy");
}

/// A method of the protocol that the gateway does not serve would be told as unknown.
#[tokio::test]
async fn every_method_of_the_protocol_is_served() {
    let gateway = start(|_| {}).await;
    let channel = support::channel(&gateway).await;
    let pool = prost_reflect::DescriptorPool::decode(auditgate::proto::DESCRIPTOR_SET).unwrap();
    let service = pool.get_service_by_name(auditgate::service::NAME).unwrap();
    assert!(service.methods().count() >= 12);
    for method in service.methods() {
        let answer = support::raw::open(&channel, method.name(), Vec::new()).await;
        let Err(status) = answer else { continue };
        let reason = status.get_details_error_info().map(|info| info.reason);
        assert_ne!(reason.as_deref(), Some("METHOD_UNKNOWN"), "{}", method.name());
    }
}

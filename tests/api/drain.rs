//! How the gateway stops: streams end with a cursor, health says so, and it is
//! over in bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{self, Client, Tail, earliest};
use auditgate::log::cursor::Cursor;
use auditgate::server::{DRAIN_TIMEOUT, Gateway};
use auditgate::service::NAME;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

/// What a stop takes that waits for nobody, and more.
const QUICK: Duration = Duration::from_secs(3);

/// What a stream saw until it ended: sequences, the last cursor, and why.
async fn until_the_end(mut tail: Tail) -> (Vec<u64>, String, Status) {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        match tail.message().await {
            Ok(message) => {
                let message = message.expect("a stream ends with a status");
                assert_eq!(message.gap, None);
                seen.extend(support::sequences(&message.records));
                cursor = message.cursor;
            }
            Err(status) => return (seen, cursor, status),
        }
    }
}

async fn stop_quickly(gateway: Gateway) {
    let started = Instant::now();
    gateway.stop().await;
    // Nothing had to be cut off.
    assert!(started.elapsed() < DRAIN_TIMEOUT, "took {:?}", started.elapsed());
}

/// Emits without pause until that fails; `acknowledged` counts.
async fn emit_on(mut client: Client, task: usize, acknowledged: Arc<AtomicU64>) {
    for number in 0.. {
        let event = support::login(&format!("{task}-{number}"), "alice");
        let request = support::pb::EmitRequest { event: Some(event), validate_only: false };
        match support::soon(client.emit(request)).await {
            Ok(_) => acknowledged.fetch_add(1, Ordering::SeqCst),
            Err(_) => return,
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_a_cursor_behind_all_that_was_acknowledged() {
    const STREAMS: usize = 24;
    const ACKNOWLEDGED_MIN: u64 = 500;
    let gateway = support::start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS / 8 {
        let mut client = support::connect(&gateway).await;
        for _ in 0..8 {
            let (tail, _) = Tail::begin(&mut client, earliest()).await;
            streams.push(tokio::spawn(until_the_end(tail)));
        }
    }
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut emitters = Vec::new();
    for task in 0..3 {
        let client = support::connect(&gateway).await;
        emitters.push(tokio::spawn(emit_on(client, task, Arc::clone(&acknowledged))));
    }
    let enough = async {
        while acknowledged.load(Ordering::SeqCst) < ACKNOWLEDGED_MIN {
            tokio::task::yield_now().await;
        }
    };
    support::soon(enough).await;
    let before = acknowledged.load(Ordering::SeqCst);
    let identity = gateway.hub().identity();
    stop_quickly(gateway).await;

    for stream in streams {
        let (seen, cursor, status) = support::soon(stream).await.unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let info = status.get_details_error_info().expect("a reason");
        assert_eq!(info.reason, "SHUTTING_DOWN");
        assert!(status.get_details_retry_info().is_some());
        assert!(status.message().contains(&cursor), "{}", status.message());
        let last = seen.len() as u64;
        assert_eq!(seen, (1..=last).collect::<Vec<_>>());
        let parsed = Cursor::parse(&cursor).expect("a cursor");
        assert_eq!((parsed.log_id, parsed.sequence.0), (identity.id, last));
        assert!(last >= before, "{before} were acknowledged, {last} were seen");
    }
    for emitter in emitters {
        support::soon(emitter).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_behind_gets_what_is_left() {
    const EVENTS: u64 = 40;
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for number in 1..=EVENTS {
        // More in sum than the gateway sends ahead of a client that does not read.
        support::emit(&mut client, support::large(&format!("e-{number}"), 400_000)).await;
    }
    let (tail, _) = Tail::begin(&mut client, earliest()).await;
    let stopping = tokio::spawn(stop_quickly(gateway));
    let (seen, _, status) = until_the_end(tail).await;
    assert_eq!(seen, (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!(status.code(), Code::Unavailable);
    support::soon(stopping).await.unwrap();
}

#[tokio::test]
async fn health_turns_to_not_serving_and_its_streams_end() {
    let gateway = support::start().await;
    let mut client = HealthClient::new(support::channel(&gateway).await);
    let mut watches = Vec::new();
    for service in ["", NAME] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut watch = support::soon(client.watch(request)).await.expect("known").into_inner();
        let now = support::soon(watch.message()).await.expect("no refusal").expect("no end");
        assert_eq!(now.status(), ServingStatus::Serving);
        watches.push(watch);
    }
    let request = HealthCheckRequest { service: "shop.v1.Orders".to_owned() };
    let refused = support::soon(client.check(request.clone())).await.expect_err("unknown");
    assert_eq!(refused.code(), Code::NotFound);
    let mut unknown = support::soon(client.watch(request)).await.expect("it stays").into_inner();
    let now = support::soon(unknown.message()).await.expect("no refusal").expect("no end");
    assert_eq!(now.status(), ServingStatus::ServiceUnknown);
    let quiet = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(quiet, unknown.message()).await.is_err(), "it may be known later");
    stop_quickly(gateway).await;
    assert_eq!(support::soon(unknown.message()).await.expect("no refusal"), None);
    for mut watch in watches {
        let now = support::soon(watch.message()).await.expect("no refusal").expect("no end");
        assert_eq!(now.status(), ServingStatus::NotServing);
        assert_eq!(support::soon(watch.message()).await.expect("no refusal"), None);
    }
}

#[tokio::test]
async fn a_gateway_that_stopped_takes_no_connections() {
    let gateway = support::start().await;
    let endpoint = support::endpoint(&gateway);
    stop_quickly(gateway).await;
    endpoint.connect().await.expect_err("nobody listens");
}

/// Neither who never reads nor who never writes holds the gateway for longer
/// than it says; who reads is not held up by them.
#[tokio::test]
async fn peers_that_are_stuck_or_silent_hold_it_only_so_long() {
    let gateway = support::start().await;
    let silent = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let mut client = support::connect(&gateway).await;
    let mut other = support::connect(&gateway).await;
    let (stuck, _) = Tail::begin(&mut other, earliest()).await;
    for number in 0..12 {
        support::emit(&mut client, support::large(&format!("e-{number}"), 1_000_000)).await;
    }
    let (tail, _) = Tail::begin(&mut client, support::latest()).await;
    let mut stopping = tokio::spawn(gateway.stop());

    let (_, _, status) = support::soon(until_the_end(tail)).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!stopping.is_finished(), "it waits for the others");

    // From here on, time passes when nothing else can happen.
    tokio::time::pause();
    let almost = DRAIN_TIMEOUT - QUICK;
    assert!(tokio::time::timeout(almost, &mut stopping).await.is_err(), "it gives them time");
    assert!(tokio::time::timeout(QUICK, &mut stopping).await.is_ok(), "but not more");
    drop((stuck, silent));
}

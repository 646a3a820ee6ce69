//! A call ends when its client said that it would wait no longer, with the code that
//! clients expect.

use std::time::{Duration, Instant};

use crate::support::{self, pb, soon};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Ends by then, on a busy machine.
const LATE: Duration = Duration::from_secs(30);

/// A request that says how long the client waits, and a client that waits longer: what
/// ends the call is the gateway.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("{}m", TIMEOUT.as_millis());
    request.metadata_mut().insert("grpc-timeout", value.parse().unwrap());
    request
}

fn is_over(status: &Status, started: Instant) {
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let info = status.get_details_error_info().expect("a reason");
    assert_eq!(info.reason, "DEADLINE_EXCEEDED");
    assert!(status.message().contains("2000 ms"), "{}", status.message());
    let took = started.elapsed();
    assert!((TIMEOUT..LATE).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_subscription_ends_after_its_records() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, support::numbered(1..=3)).await;
    let started = Instant::now();
    let mut stream =
        soon(client.subscribe(request(support::earliest()))).await.unwrap().into_inner();
    let mut seen = Vec::new();
    let status = loop {
        match soon(stream.message()).await {
            Ok(message) => seen.extend(support::sequences(&message.unwrap().records)),
            Err(status) => break status,
        }
    };
    is_over(&status, started);
    assert_eq!(seen, [1, 2, 3]);
    // It is forgotten.
    let gone = async {
        while !gateway.hub().subscribers().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn an_emit_stream_ends_after_its_answers() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let first = pb::EmitStreamRequest { events: support::numbered(1..=2), validate_only: false };
    let events = tokio_stream::once(first).chain(tokio_stream::pending());
    let started = Instant::now();
    let mut answers = soon(client.emit_stream(request(events))).await.unwrap().into_inner();
    let answer = soon(answers.message()).await.unwrap().unwrap();
    assert_eq!(answer.answered, 2);
    let status = soon(answers.message()).await.unwrap_err();
    is_over(&status, started);
}

#[tokio::test]
async fn a_deadline_that_is_far_off_changes_nothing() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let mut request = Request::new(support::earliest());
    request.metadata_mut().insert("grpc-timeout", "99999999H".parse().unwrap());
    let mut stream = soon(client.subscribe(request)).await.unwrap().into_inner();
    support::emit(&mut client, support::login("e-1", "alice")).await;
    let mut records = 0;
    while records == 0 {
        records = soon(stream.message()).await.unwrap().unwrap().records.len();
    }
    assert_eq!(records, 1);
}

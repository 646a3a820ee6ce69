//! Storage that fails: EIO at a write or a sync.

use std::time::{Duration, Instant};

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::emitter::{Known, batches, emit, event};
use crate::gateway::{Gateway, Place, read};
use crate::killed::can_trace;
use crate::{is_long, skip};

/// Steps of one kind and one thread are fewer than this.
const STEPS_MAX: usize = 400;
/// Every so many steps one fails in a bounded run.
const STRIDE: usize = 11;
/// How soon the health must tell.
const HEALTH_TIME_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_or_sync_is_never_acknowledged() {
    if !can_trace() {
        return skip("a_failed_write_or_sync", "strace cannot run here");
    }
    let stride = if is_long() { 1 } else { STRIDE };
    let mut failures = 0;
    for step in ["pwritev", "fdatasync"] {
        // The first ones make the log, and end the start.
        for when in (4..STEPS_MAX).step_by(stride) {
            if !failing_at(step, when).await {
                break;
            }
            failures += 1;
        }
    }
    eprintln!("EIO at {failures} writes and syncs: nothing acknowledged was lost");
    assert!(failures > 4);
}

/// Emits until a step fails. Returns whether it came to that.
async fn failing_at(step: &str, when: usize) -> bool {
    let place = Place::new();
    let trace = format!("trace={step}");
    let inject = format!("inject={step}:error=EIO:when={when}");
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let Some(gateway) = Gateway::start(&place, &place.data(), &tracer) else { return true };
    let mut known = emit(gateway.address, batches("a", 40)).await;
    let failed = !known.open.is_empty();
    if failed {
        serves_readers_only(&gateway, &known).await;
    }
    gateway.kill();
    known.open.clear();
    known.check(&read(&place.data()).await);
    failed
}

async fn serves_readers_only(gateway: &Gateway, known: &Known) {
    let server = format!("http://{}", gateway.address);
    let channel =
        tonic::transport::Endpoint::from_shared(server.clone()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let since = Instant::now();
    loop {
        let asked = health.check(HealthCheckRequest::default()).await.unwrap();
        if asked.into_inner().status() == ServingStatus::NotServing {
            break;
        }
        assert!(since.elapsed() < HEALTH_TIME_MAX, "the health tells");
    }
    let mut client = AuditServiceClient::connect(server).await.unwrap();
    let request = pb::EmitRequest { event: Some(event("late")), validate_only: false };
    let refused = client.emit(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("its storage failed"), "{refused:?}");
    let request = pb::SearchRequest { page_size: 1_000, ..Default::default() };
    let found = client.search(request).await.unwrap().into_inner().records;
    assert_eq!(found.len(), known.acknowledged.len(), "reading goes on");
}

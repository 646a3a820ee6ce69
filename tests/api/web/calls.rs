//! Calls of browsers.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{CALL, free, start};
use crate::support::http1::{ask, call, frames, request, unary, unchunked};
use crate::support::{self, pb, soon};
use auditgate::server::{Config, Gateway};
use auditgate::service::NAME;
use auditgate::service::quota::QuotaLimits;

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test]
async fn a_call_comes_to_the_same_as_on_the_grpc_port() {
    let (gateway, address) = start().await;
    let mut client = support::connect(&gateway).await;
    support::emit_all(&mut client, support::numbered(1..=30)).await;
    let asked = pb::SearchRequest { page_size: 7, ..Default::default() };
    let expected = support::search(&mut client, asked.clone()).await;
    let answer = ask(address, &call("Search", &address.to_string(), &[], &asked)).await;
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    super::check_headers(&answer, "Search");
    let found: pb::SearchResponse = unary(address, "Search", &[], &asked).await.unwrap();
    assert_eq!(found, expected);
    assert_eq!(found.records.len(), 7);
    // A form of answers that the client chooses in other ways.
    let text = [("accept", "application/grpc-web-text+proto")];
    assert_eq!(
        unary::<pb::SearchResponse>(address, "Search", &text, &asked).await.unwrap(),
        expected
    );
    // A refusal has its reason and details.
    let wrong = pb::SearchRequest { page_token: "x".to_owned(), ..Default::default() };
    let refused = unary::<pb::SearchResponse>(address, "Search", &[], &wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason(&refused), reason(&client.search(wrong).await.unwrap_err()));
}

/// All methods of all services, by name: those that do not only read are not there.
#[tokio::test]
async fn browsers_only_read() {
    let (gateway, address) = start().await;
    let pool = auditgate::proto::descriptor_pool();
    let service = pool.get_service_by_name(NAME).unwrap();
    let own = address.to_string();
    let mut refused = Vec::new();
    for method in service.methods() {
        let soon = [("grpc-timeout", "200m")];
        let asked = call(method.name(), &own, &soon, &pb::GetStatusRequest {});
        let (_, status) = ask(address, &asked).await.call();
        if status.code() == Code::Unimplemented {
            assert_eq!(reason(&status), "METHOD_UNKNOWN");
            assert!(status.message().contains("only read"), "{}", status.message());
            refused.push(method.name().to_owned());
        }
    }
    // The status has what a page shows of deliveries.
    let others = ["Emit", "EmitBatch", "EmitStream", "ListDeliveries", "ControlDelivery"];
    assert_eq!(refused, others);
    for path in [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/auditgate.v1.AuditService/Nothing",
        "/",
    ] {
        let asked = request("POST", path, &[("host", own.as_str()), CALL], &[0, 0, 0, 0, 0]);
        let (messages, status) = ask(address, &asked).await.call();
        assert_eq!((messages.len(), status.code()), (0, Code::Unimplemented), "{path}");
    }
    let event = Some(support::login("never", "alice"));
    let emit = pb::EmitRequest { event, validate_only: false };
    unary::<pb::EmitResponse>(address, "Emit", &[], &emit).await.unwrap_err();
    assert_eq!(gateway.hub().extent().last.0, 0, "nothing was stored");
}

/// A browser that goes away frees what it held.
#[tokio::test]
async fn a_subscription_streams_and_ends_with_its_connection() {
    let (gateway, address) = start().await;
    let mut client = support::connect(&gateway).await;
    support::emit(&mut client, support::login("e-1", "alice")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = call("Subscribe", &address.to_string(), &[], &support::earliest());
    stream.write_all(&asked).await.unwrap();
    let mut all = Vec::new();
    let mut seen = |bytes: &[u8]| {
        all.extend_from_slice(bytes);
        let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
        Some(String::from_utf8_lossy(&unchunked(&all[end + 4..])).into_owned())
    };
    for expected in ["e-1", "e-2"] {
        let come = async {
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the stream ended");
                if seen(&buffer[..count]).is_some_and(|text| text.contains(expected)) {
                    return;
                }
            }
        };
        soon(come).await;
        support::emit(&mut client, support::login("e-2", "alice")).await;
    }
    assert_eq!(gateway.hub().subscribers().len(), 1);
    drop(stream);
    let gone = async {
        while !gateway.hub().subscribers().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn a_subscription_ends_at_its_deadline_and_when_the_gateway_stops() {
    let (gateway, address) = start().await;
    let started = Instant::now();
    let own = address.to_string();
    let asked = call("Subscribe", &own, &[("grpc-timeout", "700m")], &support::latest());
    let (_, status) = ask(address, &asked).await.call();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() >= Duration::from_millis(700));
    let asked = call("Subscribe", &own, &[], &support::latest());
    let open = tokio::spawn(async move { ask(address, &asked).await.call() });
    let subscribed = async {
        while gateway.hub().subscribers().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(subscribed).await;
    gateway.stop().await;
    let (messages, status) = open.await.unwrap();
    assert!(!messages.is_empty());
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
}

/// The accounts of clients are those of the gRPC port.
#[tokio::test]
async fn a_client_has_its_limits_on_both_ports_together() {
    let quotas = QuotaLimits { subscribers: 1, ..Config::default().quotas };
    let config = Config { listen: free(), quotas, ..Config::default() };
    let gateway = Gateway::start(config).await.unwrap();
    let address = gateway.web_address().expect("beside a gateway on loopback");
    let mut client = support::connect(&gateway).await;
    let (tail, _) = support::Tail::begin(&mut client, support::latest()).await;
    let asked = call("Subscribe", &address.to_string(), &[], &support::latest());
    let (_, status) = ask(address, &asked).await.call();
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    drop(tail);
}

#[tokio::test]
async fn messages_are_compressed_if_the_browser_takes_that() {
    let (gateway, address) = start().await;
    let mut client = support::connect(&gateway).await;
    support::emit(&mut client, support::large("e-1", 100_000)).await;
    let asked = pb::SearchRequest::default();
    let packed = [("grpc-accept-encoding", "gzip")];
    let answer = ask(address, &call("Search", &address.to_string(), &packed, &asked)).await;
    assert_eq!(answer.header("grpc-encoding"), Some("gzip"));
    assert_eq!(answer.body[0], 1, "the message is compressed");
    assert!(answer.body.len() < 20_000, "{} bytes", answer.body.len());
    let plain = ask(address, &call("Search", &address.to_string(), &[], &asked)).await;
    let (messages, _) = frames(&plain.body);
    assert!(messages[0].len() > 100_000);
}

//! What an operator sees: metrics in the form of OpenMetrics, probes, and ids by which
//! a call is found in the log.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::{self, Tail, pb, soon};
use auditgate::log::Bounds;
use auditgate::log::disk::{self, DiskLog};
use auditgate::proof::SigningKey;
use auditgate::proof::key::SignatureKind;
use auditgate::server::{Config, Gateway};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Request};

fn config() -> Config {
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Config { listen: free, admin: Some(free), ..Config::default() }
}

async fn start() -> Gateway {
    Gateway::start(config()).await.expect("free ports")
}

/// Head and body of an answer, after which the connection is closed.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    ask_for(address, method, path, "").await
}

/// The same, with more headers.
async fn ask_for(address: SocketAddr, method: &str, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn metrics(gateway: &Gateway) -> String {
    let (head, body) = ask(gateway.admin_address().unwrap(), "GET", "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    body
}

/// The value on the line that begins so.
fn value(page: &str, begin: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no {begin} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let gateway = start().await;
    let mut client = support::connect(&gateway).await;
    support::emit(&mut client, support::login("secret-id", "secret-user")).await;
    support::emit(&mut client, support::login("secret-id", "secret-user")).await;
    let empty = pb::EmitBatchRequest { events: vec![], validate_only: false };
    soon(client.emit_batch(empty)).await.unwrap_err();
    let (mut tail, _) = Tail::begin(&mut client, support::earliest()).await;
    tail.records(1).await;

    let page = metrics(&gateway).await;
    let service = r#"grpc_service="auditgate.v1.AuditService""#;
    let emits = format!(r#"{{grpc_type="unary",{service},grpc_method="Emit"#);
    assert_eq!(value(&page, &format!("grpc_server_started_total{emits}\"}}")), 2.0);
    let handled = format!("grpc_server_handled_total{emits}\",grpc_code=\"OK\"}}");
    assert_eq!(value(&page, &handled), 2.0);
    let seconds = "grpc_server_handling_seconds_bucket{le=\"+Inf\",grpc_type=\"unary\"";
    assert!(value(&page, seconds) >= 0.0);
    assert_eq!(value(&page, "auditgate_events_accepted_total{type=\"user.login\"}"), 1.0);
    assert!(value(&page, "auditgate_event_bytes_accepted_total") > 20.0);
    assert_eq!(value(&page, "auditgate_events_duplicate_total"), 1.0);
    assert_eq!(value(&page, "auditgate_refusals_total{reason=\"BATCH_EMPTY\"}"), 1.0);
    assert_eq!(value(&page, "auditgate_log_records "), 1.0);
    assert_eq!(value(&page, "auditgate_ring_records "), 1.0);
    assert_eq!(value(&page, "auditgate_ring_records_limit "), 1_000_000.0);
    assert!(value(&page, "auditgate_ring_bytes ") > 0.0);
    assert!(!page.contains("auditgate_proof_state"), "there is no tree");
    assert_eq!(value(&page, "auditgate_emits_refused_total{reason=\"BATCH_EMPTY\"}"), 1.0);
    assert_eq!(value(&page, "auditgate_subscribers "), 1.0);
    assert_eq!(value(&page, "auditgate_subscriber_lag_records_max "), 0.0);
    assert_eq!(value(&page, "auditgate_records_delivered_total"), 1.0);
    assert_eq!(value(&page, "auditgate_connections "), 1.0);
    assert!(!page.contains("secret"), "no event content: {page}");
}

/// A run of the client that went well is one that the gateway sees end well.
#[cfg(feature = "cli")]
#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_our_own_emitters_end_well() {
    let gateway = start().await;
    let url = format!("http://{}", gateway.address());
    let client = auditgate::client::Client::connect(&url).await.unwrap();
    let emitter = client.emitter(Default::default());
    let receipt = emitter.send(pb::Event::clone(&support::login("first", "alice"))).await.unwrap();
    soon(receipt).await.unwrap();
    soon(emitter.close()).await;
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("teleport.jsonl");
    std::fs::write(&lines, "{\"event\":\"user.login\",\"user\":\"bob\"}\n").unwrap();
    let lines = lines.to_str().unwrap();
    for arguments in [&["emit", "exec"][..], &["import", "--format", "teleport", lines]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_auditgate"));
        let ran = command.args(arguments).env("AUDITGATE_SERVER", &url).output();
        assert!(ran.unwrap().status.success(), "{arguments:?}");
    }

    let page = metrics(&gateway).await;
    let ended = |line: &&str| {
        line.starts_with("grpc_server_handled_total{") && line.contains("\"EmitStream\"")
    };
    let ended: Vec<&str> = page.lines().filter(ended).collect();
    assert!(ended.len() == 1 && ended[0].ends_with("grpc_code=\"OK\"} 3"), "{ended:?}");
}

#[tokio::test]
async fn a_gap_is_counted_by_its_reason() {
    let other = support::start().await;
    let (_tail, first) = Tail::begin(&mut support::connect(&other).await, support::latest()).await;
    let gateway = start().await;
    let mut client = support::connect(&gateway).await;
    let (mut tail, first) = Tail::begin(&mut client, support::after(&first.cursor)).await;
    if first.gap.is_none() {
        assert!(tail.next().await.gap.is_some());
    }
    let page = metrics(&gateway).await;
    assert_eq!(value(&page, "auditgate_gaps_total{reason=\"other_log\"}"), 1.0);
    for reason in ["evicted", "rolled_back", "damaged"] {
        assert_eq!(value(&page, &format!("auditgate_gaps_total{{reason=\"{reason}\"}}")), 0.0);
    }
}

#[tokio::test]
async fn a_log_on_disk_tells_how_long_its_syncs_take() {
    const EMITS: u64 = 3;
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = DiskLog::open(folder.path(), Default::default()).unwrap();
    let signing_key = SigningKey::generate("test.example/log", SignatureKind::Log).unwrap();
    let config =
        Config { signing_key: Some(signing_key), tiles: Some(folder.path().into()), ..config() };
    let gateway = Gateway::start_on(config, Arc::new(log)).await.expect("free ports");
    let mut client = support::connect(&gateway).await;
    for number in 0..EMITS {
        support::emit(&mut client, support::login(&format!("e-{number}"), "alice")).await;
    }
    let page = metrics(&gateway).await;
    // One after the other, so that no two of them share one.
    assert_eq!(value(&page, "auditgate_log_sync_seconds_count "), EMITS as f64);
    assert!(value(&page, "auditgate_log_sync_seconds_sum ") > 0.0);
    assert_eq!(value(&page, "auditgate_log_sync_seconds_bucket{le=\"+Inf\"}"), EMITS as f64);
    assert!(value(&page, "auditgate_log_disk_bytes ") > 0.0);
    let free = value(&page, "auditgate_disk_free_bytes ");
    assert!(free > 0.0 && free <= value(&page, "auditgate_disk_size_bytes "), "{free}");
    assert_eq!(value(&page, "auditgate_log_damaged_records "), 0.0);
    assert!(!page.contains("auditgate_log_disk_bytes_limit"), "nothing limits it");
    assert_eq!(value(&page, "auditgate_proof_state{state=\"ready\"}"), 1.0);
    assert_eq!(value(&page, "auditgate_proof_state{state=\"broken\"}"), 0.0);
    assert!(value(&page, "auditgate_checkpoint_timestamp_seconds ") > 1.6e9);
    assert!(!metrics(&start().await).await.contains("auditgate_log_sync_seconds"), "in memory");
}

#[tokio::test]
async fn a_log_on_disk_is_not_bounded_by_what_is_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Bounds { records: 160, bytes: 1024 * 1024 };
    let retain = disk::Retention { bytes: Some(1 << 30), age: None };
    let disk = disk::Config { ring, retain, ..disk::Config::default() };
    let (log, _) = DiskLog::open(folder.path(), disk).unwrap();
    let gateway = Gateway::start_on(config(), Arc::new(log)).await.expect("free ports");
    let mut client = support::connect(&gateway).await;
    for first in (1..=400).step_by(50) {
        support::emit_all(&mut client, support::numbered(first..=first + 49)).await;
    }
    let page = metrics(&gateway).await;
    assert_eq!(value(&page, "auditgate_log_records "), 400.0);
    let in_memory = value(&page, "auditgate_ring_records ");
    assert!(in_memory > 0.0 && in_memory <= 160.0, "{in_memory}");
    assert_eq!(value(&page, "auditgate_ring_records_limit "), 160.0);
    assert_eq!(value(&page, "auditgate_log_disk_bytes_limit "), (1u64 << 30) as f64);
    let status = support::status(&mut client).await;
    assert_eq!((status.record_count, status.record_limit), (400, 160));
    assert!((1..=160).contains(&status.memory_record_count), "{status:?}");
    assert_eq!(status.disk.unwrap().byte_limit, 1 << 30);
}

#[tokio::test]
async fn refusals_of_streams_are_counted_by_their_reason() {
    let gateway = start().await;
    let mut client = support::connect(&gateway).await;
    let bad = pb::Event { id: Some("x".repeat(1_000)), ..support::login("", "alice") };
    let events = vec![bad, support::login("good", "alice")];
    let stream =
        |events| tokio_stream::iter([pb::EmitStreamRequest { events, validate_only: false }]);
    let mut answers = soon(client.emit_stream(stream(events))).await.unwrap().into_inner();
    while soon(answers.message()).await.unwrap().is_some() {}
    // One that is refused as a whole.
    let mut answers =
        soon(client.emit_stream(stream(support::numbered(1..=10_001)))).await.unwrap().into_inner();
    while let Ok(Some(_)) = soon(answers.message()).await {}
    let page = metrics(&gateway).await;
    for reason in ["ID_TOO_LONG", "BATCH_TOO_LARGE"] {
        let refused = format!("auditgate_emits_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(value(&page, &refused), 1.0);
    }
    assert_eq!(support::status(&mut client).await.counters.unwrap().refused, 2);
}

#[tokio::test]
async fn probes_tell_whether_it_lives_and_whether_it_takes_calls() {
    let gateway = start().await;
    let admin = gateway.admin_address().unwrap();
    for (path, body) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let (head, text) = ask(admin, "GET", path).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(text, body);
    }
    assert!(ask(admin, "POST", "/metrics").await.0.starts_with("HTTP/1.1 405"));
    assert!(ask(admin, "GET", "/events").await.0.starts_with("HTTP/1.1 404"));
    // A client that reads nothing of what waits for it keeps the gateway from
    // stopping at once.
    let mut client = support::connect(&gateway).await;
    let (_stuck, _) = Tail::begin(&mut client, support::earliest()).await;
    for number in 0..12 {
        support::emit(&mut client, support::large(&format!("e-{number}"), 1_000_000)).await;
    }
    let stopping = tokio::spawn(gateway.stop());
    let not_ready =
        async { while !ask(admin, "GET", "/readyz").await.0.starts_with("HTTP/1.1 503") {} };
    soon(not_ready).await;
    assert!(ask(admin, "GET", "/livez").await.0.starts_with("HTTP/1.1 200"));
    stopping.abort();
}

#[tokio::test]
async fn open_metrics_is_for_those_who_ask_for_it() {
    let gateway = start().await;
    let admin = gateway.admin_address().unwrap();
    let open = "accept: application/openmetrics-text;version=1.0.0, text/plain;q=0.5\r\n";
    let (head, body) = ask_for(admin, "GET", "/metrics", open).await;
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert!(body.contains("# TYPE auditgate_events_accepted counter\n"), "{body}");
    let body = metrics(&gateway).await;
    assert!(!body.contains("# EOF"), "{body}");
    assert!(body.contains("# TYPE auditgate_events_accepted_total counter\n"), "{body}");
}

/// Nobody keeps a probe from its answer: neither connections that stay, nor halves of
/// requests, nor those that say nothing, all from the address of the probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_take_no_place_from_probes() {
    const HELD: usize = 300;
    let gateway = start().await;
    let admin = gateway.admin_address().unwrap();
    let whole = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";
    let mut held = Vec::new();
    for sent in
        [whole, "GET /livez HTTP/1.1\r\nhost:", "", "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        for _ in 0..HELD {
            let mut stream = TcpStream::connect(admin).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let begun = std::time::Instant::now();
        for path in ["/livez", "/readyz", "/metrics"] {
            let (head, _) = ask(admin, "GET", path).await;
            assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        }
        println!("{:?} after {sent:?}", begun.elapsed());
        assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_request_has_its_time_and_a_connection_one_answer() {
    let gateway = start().await;
    let admin = gateway.admin_address().unwrap();
    let mut half = TcpStream::connect(admin).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut silent = TcpStream::connect(admin).await.unwrap();
    let begun = std::time::Instant::now();
    let mut rest = Vec::new();
    soon(half.read_to_end(&mut rest)).await.unwrap();
    soon(silent.read_to_end(&mut rest)).await.unwrap();
    let waited = begun.elapsed().as_secs_f64();
    assert!((4.0..15.0).contains(&waited), "{waited} s");
    let mut several = TcpStream::connect(admin).await.unwrap();
    several.write_all("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2).as_bytes()).await.unwrap();
    let mut answers = String::new();
    let _ = soon(several.read_to_string(&mut answers)).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn a_refusal_has_an_id_to_ask_for() {
    let gateway = start().await;
    let mut client = support::connect(&gateway).await;
    let mut request = Request::new(pb::GetRecordRequest::default());
    let status = soon(client.get_record(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.metadata().get("x-request-id").expect("an id").len(), 16);

    request = Request::new(pb::GetRecordRequest::default());
    request.metadata_mut().insert("x-request-id", "order-77".parse().unwrap());
    let status = soon(client.get_record(request)).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "order-77");
    let mut request = Request::new(pb::GetStatusRequest {});
    request.metadata_mut().insert("x-request-id", "order-78".parse().unwrap());
    let answer = soon(client.get_status(request)).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "order-78");
}

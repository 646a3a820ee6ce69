//! Deliveries over the wire, to receivers that are written from what vendors document, and that
//! check what the real ones check.

mod receiver;

use std::path::Path;
use std::time::Duration;

use auditgate::config::{LoadedSettings, Overrides};
use auditgate::delivery::{DeliveryPhase, DeliveryReport};
use auditgate::server::{Config, Gateway};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Code;

use crate::support::{self, Client, pb, soon};
use receiver::{Answer, Receiver};

/// A gateway with one delivery, in a folder of its own.
struct Scene {
    gateway: Gateway,
    client: Client,
    folder: tempfile::TempDir,
}

impl Scene {
    /// `destination` is what stands in `[delivery.destination]`; FOLDER in it is the folder.
    async fn start(delivery: &str, destination: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, delivery, destination).await
    }

    async fn start_in(folder: tempfile::TempDir, delivery: &str, destination: &str) -> Self {
        let path = folder.path().join("auditgate.toml");
        let place = folder.path().display().to_string();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndelivery_dir = \"FOLDER/state\"\n[[delivery]]\n\
             name = \"siem\"\n{delivery}\n[delivery.destination]\n{destination}\n"
        );
        std::fs::write(&path, text.replace("FOLDER", &place)).unwrap();
        let loaded = LoadedSettings::read(Some(&path), &Overrides::default()).unwrap();
        let deliveries = loaded.settings.deliveries().unwrap();
        let config = Config { deliveries, ..Config::from(&loaded.settings) };
        let gateway = Gateway::start(config).await.unwrap();
        let client = support::connect(&gateway).await;
        Self { gateway, client, folder }
    }

    async fn emit(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        support::emit_all(&mut self.client, support::numbered(numbers)).await;
    }

    fn report(&self) -> DeliveryReport {
        self.gateway.deliveries().list().into_iter().next().unwrap()
    }

    async fn until(&self, what: impl Fn(&DeliveryReport) -> bool) -> DeliveryReport {
        soon(async {
            loop {
                let report = self.report();
                if what(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    async fn until_delivered(&self, count: u64) -> DeliveryReport {
        self.until(|one| one.delivered == count && one.lag_records == 0).await
    }
}

/// A secret file of its owner.
fn secret(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn sequences(body: &[u8]) -> Vec<u64> {
    let array: Vec<Value> = serde_json::from_slice(body).unwrap();
    array.iter().map(|one| one["sequence"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_endpoint_gets_signed_arrays() {
    let receiver = Receiver::start(|_| Answer::status(204)).await;
    let folder = tempfile::tempdir().unwrap();
    let key = [7_u8; 32];
    secret(folder.path(), "token", "t0ken\n");
    secret(folder.path(), "secret", &format!("whsec_{}", BASE64.encode(key)));
    let destination = format!(
        "kind = \"http\"\nurl = \"{}\"\ngzip = true\ntoken_file = \"token\"\n\
         signing_secret_file = \"secret\"",
        receiver.url("/in?x=1")
    );
    let mut scene = Scene::start_in(folder, "", &destination).await;
    scene.emit(1..=30).await;
    scene.emit(31..=40).await;
    scene.until_delivered(40).await;
    let mut all = Vec::new();
    for request in receiver.requests() {
        assert_eq!(request.path, "/in?x=1");
        assert_eq!(request.header("authorization"), "Bearer t0ken");
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("content-encoding"), "gzip");
        let signed = [
            format!("{}.{}.", request.header("webhook-id"), request.header("webhook-timestamp"))
                .as_bytes(),
            &request.body,
        ]
        .concat();
        let mac = receiver::hmac_sha256(&key, &signed);
        assert_eq!(request.header("webhook-signature"), format!("v1,{}", BASE64.encode(mac)));
        all.extend(sequences(&request.plain_body()));
    }
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_none_are_tried_again_and_redirects_are_not_followed() {
    let elsewhere = Receiver::start(|_| Answer::status(200)).await;
    let location = elsewhere.url("/stolen");
    let receiver = Receiver::start(move |seen| match seen {
        0 => Answer::Raw(b"\x00\x01garbage\r\n\r\n".to_vec()),
        1 => Answer::Hang,
        2 => Answer::Close,
        3 => Answer::status(503),
        4 => Answer::status(429).with("retry-after", "1"),
        5 => Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
        6 => Answer::EndlessHeaders,
        7 => Answer::status(302).with("location", &location),
        _ => Answer::status(200),
    })
    .await;
    let destination = format!("kind = \"http\"\nurl = \"{}\"\ntimeout = \"1s\"", receiver.url("/"));
    let mut scene = Scene::start("", &destination).await;
    scene.emit(1..=5).await;
    let blocked = scene.until(|one| one.phase == DeliveryPhase::Blocked).await;
    assert!(blocked.reason.contains("which is not followed"), "{}", blocked.reason);
    assert_eq!((blocked.delivered, blocked.rejected), (0, 0));
    assert!(elsewhere.requests().is_empty());
    let request = pb::ControlDeliveryRequest {
        name: "siem".into(),
        action: pb::DeliveryAction::Resume.into(),
        sequence: None,
    };
    soon(scene.client.control_delivery(request)).await.unwrap();
    let done = scene.until_delivered(5).await;
    assert!(done.retries >= 7, "{}", done.retries);
    let last = receiver.requests().pop().unwrap();
    assert_eq!(sequences(&last.body), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_is_read_up_to_a_bound() {
    let receiver = Receiver::start(|_| Answer::EndlessBody).await;
    let destination = format!("kind = \"http\"\nurl = \"{}\"", receiver.url("/"));
    let mut scene = Scene::start("", &destination).await;
    scene.emit(1..=3).await;
    // The status counts; the body is cut.
    scene.until_delivered(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_bulk_request_has_its_answer() {
    let receiver = Receiver::start_with(|seen, request| {
        let body = String::from_utf8(request.plain_body()).unwrap();
        let lines: Vec<Value> =
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // As the bulk API: an action and a document each, and a data stream takes `create` alone,
        // with a time.
        let items: Vec<Value> = lines
            .chunks(2)
            .map(|pair| {
                let id = pair[0]["create"]["_id"].as_str().unwrap();
                assert!(pair[1]["@timestamp"].is_string(), "{}", pair[1]);
                let (status, error) = match id.rsplit('/').next().unwrap() {
                    "2" => (400, json!({"type": "document_parsing_exception", "reason": "bad"})),
                    "3" if seen == 0 => (429, json!({"type": "es_rejected_execution_exception"})),
                    "4" => (409, json!({"type": "version_conflict_engine_exception"})),
                    _ => (201, Value::Null),
                };
                json!({"create": {"_index": "logs-audit", "_id": id, "status": status, "error": error}})
            })
            .collect();
        let errors = items.iter().any(|item| item["create"]["status"] != 201);
        Answer::json(200, &json!({"took": 1, "errors": errors, "items": items}))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "key", "a2V5");
    let destination = format!(
        "kind = \"elasticsearch\"\nurl = \"{}\"\nindex = \"logs-audit\"\ntoken_file = \"key\"",
        receiver.url("")
    );
    let mut scene = Scene::start_in(folder, "batch_time = \"50ms\"", &destination).await;
    scene.emit(1..=5).await;
    let done = scene.until(|one| one.delivered == 4 && one.rejected == 1).await;
    assert_eq!((done.repeated, done.dead_letters), (1, 1));
    let first = &receiver.requests()[0];
    assert!(first.path.starts_with("/logs-audit/_bulk?filter_path="), "{}", first.path);
    assert_eq!(first.header("authorization"), "ApiKey a2V5");
    let letter = std::fs::read_to_string(scene.folder.path().join("state/siem.dead")).unwrap();
    assert!(letter.contains("document_parsing_exception"), "{letter}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_acknowledges_when_its_indexers_have_the_events() {
    // As the collector: a channel, an ack id for each request, and an acknowledgement once.
    let receiver = Receiver::start_with(|seen, request| {
        assert_eq!(request.header("authorization"), "Splunk t0ken");
        assert_eq!(request.header("x-splunk-request-channel").len(), 36);
        match request.path.as_str() {
            "/services/collector/event" => {
                Answer::json(200, &json!({"text": "Success", "code": 0, "ackId": seen}))
            }
            "/services/collector/ack" => {
                let asked: Value = serde_json::from_slice(&request.body).unwrap();
                let id = asked["acks"][0].to_string();
                Answer::json(200, &json!({"acks": {id: seen >= 3}}))
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    secret(folder.path(), "token", "t0ken");
    let destination = format!(
        "kind = \"splunk\"\nurl = \"{}\"\ntoken_file = \"token\"\nindex = \"audit\"\n\
         indexer_ack = true",
        receiver.url("")
    );
    let mut scene = Scene::start_in(folder, "", &destination).await;
    scene.emit(1..=3).await;
    scene.until_delivered(3).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 4, "one post, and three questions");
    let events: Vec<Value> = serde_json::Deserializer::from_slice(&requests[0].body)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2]["event"]["sequence"], "3");
    assert_eq!((&events[2]["index"], &events[2]["source"]), (&json!("audit"), &json!("auditgate")));
    assert!(events[2]["fields"]["record_id"].as_str().unwrap().ends_with("/3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_syslog_receiver_gets_the_last_messages_again_after_a_break() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let destination = format!("kind = \"syslog\"\nurl = \"tcp://{address}\"\nhostname = \"h\"");
    let mut scene = Scene::start("", &destination).await;
    scene.emit(1..=3).await;
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let first = read_frames(&mut stream, 3).await;
    assert!(first[0].starts_with("<110>1 "), "{}", first[0]);
    assert!(first[2].contains("sequence=\"3\" type=\"user.login\"] {\"id\":"), "{}", first[2]);
    scene.until_delivered(3).await;
    assert!(!scene.report().acknowledges);
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    scene.emit(4..=4).await;
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    let again = read_frames(&mut stream, 4).await;
    assert_eq!(again[..3], first[..]);
    assert!(again[3].contains("sequence=\"4\""), "{}", again[3]);
    // The stream ends in order, when the gateway does.
    scene.until_delivered(4).await;
    let ending = tokio::spawn(scene.gateway.stop());
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    stream.shutdown().await.unwrap();
    soon(ending).await.unwrap();
}

async fn read_frames(stream: &mut tokio::net::TcpStream, count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let mut length = String::new();
        loop {
            match soon(stream.read_u8()).await.unwrap() {
                b' ' => break,
                digit => length.push(char::from(digit)),
            }
        }
        let mut message = vec![0; length.parse().unwrap()];
        soon(stream.read_exact(&mut message)).await.unwrap();
        frames.push(String::from_utf8(message).unwrap());
    }
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_have_each_record_once_on_a_line() {
    let mut scene = Scene::start("", "kind = \"file\"\npath = \"FOLDER/out\"").await;
    scene.emit(1..=20).await;
    scene.until_delivered(20).await;
    let entry = std::fs::read_dir(scene.folder.path().join("out")).unwrap().next().unwrap();
    let path = entry.unwrap().path();
    assert!(path.ends_with(format!("records-{:020}.ndjson", 1)), "{}", path.display());
    let text = std::fs::read_to_string(path).unwrap();
    let sequences: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["sequence"].as_str().unwrap().into()
        })
        .collect();
    assert_eq!(sequences, (1..=20).map(|one| one.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_and_controls_deliveries() {
    let receiver = Receiver::start(|_| Answer::status(401)).await;
    let destination = format!("kind = \"http\"\nurl = \"{}\"", receiver.url("/"));
    let mut scene = Scene::start("", &destination).await;
    scene.emit(1..=2).await;
    scene.until(|one| one.phase == DeliveryPhase::Blocked).await;
    let listed = soon(scene.client.list_deliveries(pb::ListDeliveriesRequest {})).await.unwrap();
    let listed = listed.into_inner().deliveries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state(), pb::DeliveryState::Blocked);
    assert_eq!((listed[0].lag_records, listed[0].format.as_str()), (2, "json"));
    assert!(listed[0].reason.starts_with("answers 401"), "{}", listed[0].reason);
    let status = support::status(&mut scene.client).await;
    assert_eq!(status.deliveries.len(), 1);
    let control = |name: &str, action: pb::DeliveryAction, sequence| pb::ControlDeliveryRequest {
        name: name.into(),
        action: action.into(),
        sequence,
    };
    let mut client = scene.client.clone();
    let mut refused = async |request| soon(client.control_delivery(request)).await.unwrap_err();
    use pb::DeliveryAction::{Pause, Replay, Skip, Unspecified};
    assert_eq!(refused(control("sime", Pause, None)).await.code(), Code::NotFound);
    assert_eq!(refused(control("siem", Unspecified, None)).await.code(), Code::InvalidArgument);
    assert_eq!(refused(control("siem", Pause, Some(1))).await.code(), Code::InvalidArgument);
    assert_eq!(refused(control("siem", Skip, None)).await.code(), Code::InvalidArgument);
    assert_eq!(refused(control("siem", Skip, Some(99))).await.code(), Code::InvalidArgument);
    assert_eq!(refused(control("siem", Replay, None)).await.code(), Code::FailedPrecondition);
    let skipped = scene.client.control_delivery(control("siem", Skip, Some(2)));
    let skipped = soon(skipped).await.unwrap().into_inner().delivery.unwrap();
    assert_eq!((skipped.sequence, skipped.lag_records), (2, 0));
}

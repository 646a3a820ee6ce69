//! What methods cost for each byte that was sent to them: the table of docs/RELIABILITY.md.

use std::time::Duration;

use auditgate::proto::pb;
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use crate::TURN;
use crate::scene::{BAD_ADDRESS, Scene};
use crate::support::{login, raw};

/// How long each method is called, ...
const TIME: Duration = Duration::from_secs(1);
/// ... and how long once more to see what it holds: reading the metrics takes of the same processor.
const HELD_TIME: Duration = Duration::from_millis(500);
/// What intake may take for each MiB that is decoded, ...
const PER_MIB_MAX: Duration = Duration::from_millis(20);
/// ... and for each event.
const PER_EVENT_MAX: Duration = Duration::from_micros(10);

async fn channel(scene: &Scene) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", scene.address)).unwrap();
    endpoint.local_address(Some(BAD_ADDRESS.into())).connect().await.unwrap()
}

/// What calls took of a processor, and what they held at most beside the ring.
struct Cost {
    calls: u32,
    took: Duration,
    held: u64,
}

/// Calls one after the other. `request` is given the number of the call.
async fn calls(scene: &Scene, method: &str, request: impl Fn(u32) -> Vec<u8>) -> Cost {
    let channel = channel(scene).await;
    let mut calls = 0;
    let mut call_for = async |time| {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            let request = request(calls);
            // Refusals cost as much.
            let _ = raw::call(&channel, method, request).await;
            calls += 1;
        }
        calls
    };
    let before = scene.processor_time();
    let calls = call_for(TIME).await;
    let took = scene.processor_time() - before;
    let accounts = async || scene.sum("auditgate_account_bytes{").await as u64;
    let before = accounts().await;
    let mut held = 0;
    let watch = async {
        loop {
            held = held.max(accounts().await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = call_for(HELD_TIME) => {}
        () = watch => {}
    }
    Cost { calls, took, held: held.saturating_sub(before) }
}

/// Prints a row; gives what a call took.
fn row(what: &str, bytes: usize, cost: &Cost) -> Duration {
    let each = cost.took / cost.calls.max(1);
    println!(
        "figures: {what} | {bytes} bytes | {:.2} ms | {:.1} ms/MiB | {} KiB held",
        each.as_secs_f64() * 1e3,
        each.as_secs_f64() * 1e3 / bytes.max(1) as f64 * (1024.0 * 1024.0),
        cost.held / 1024,
    );
    each
}

fn batch(events: Vec<pb::Event>) -> Vec<u8> {
    pb::EmitBatchRequest { events, validate_only: false }.encode_to_vec()
}

/// Texts in which everything announces a secret, or looks as if it did.
const DENSE: [&str; 23] = [
    "token ",
    "pass=a&",
    "pw=a ",
    "pass 'x' ",
    "épass",
    "//",
    "http://'",
    "http://;",
    "\\",
    "sk-..",
    "eyJ--",
    "password=x ",
    "{\"pass\":\"x\"}",
    "?a=b&c=d",
    "(a",
    "a:b/p+",
    "//)s ",
    "_//?'",
    "sk]",
    "mc set x y ",
    "mysql //N'",
    "sqlplus a/p:",
    "insert into t (pass) values (\\p\\p\\p\\p\\p\\p",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_cost_what_is_sent_to_them() {
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "64MiB", "--redact-secrets"], None).await;
    scene.fill(100, 2_000).await;
    scene.begin_to_watch().await;
    let judged = !cfg!(debug_assertions);
    // Emit, by the kind of event.
    let small = |_| pb::EmitRequest { event: Some(login("", "alice")), validate_only: false };
    let bytes = small(0).encoded_len();
    row("Emit, a small event", bytes, &calls(&scene, "Emit", |n| small(n).encode_to_vec()).await);
    let many = |_| batch(vec![pb::Event { id: None, ..login("", "alice") }; 5_000]);
    let (bytes, events) = (many(0).len(), 5_000);
    let each = row("EmitBatch, 5,000 small events", bytes, &calls(&scene, "EmitBatch", many).await);
    let allowed = PER_MIB_MAX.mul_f64(bytes as f64 / f64::from(1 << 20)) + PER_EVENT_MAX * events;
    // The good client and the metrics take some of it.
    assert!(!judged || each <= allowed * 2, "{each:?}, may take {allowed:?}");
    let mut worst = Duration::ZERO;
    for unit in DENSE {
        let text = format!("token {}", unit.repeat((900 * 1024) / unit.len()));
        let request = move |_| {
            let event = pb::Event {
                labels: [("text".to_owned(), text.clone())].into(),
                ..login("", "alice")
            };
            pb::EmitRequest { event: Some(event), validate_only: true }.encode_to_vec()
        };
        let bytes = request(0).len();
        let each =
            row(&format!("Emit, secrets: {unit:?}"), bytes, &calls(&scene, "Emit", &request).await);
        worst = worst.max(each.mul_f64(f64::from(1 << 20) / bytes as f64));
    }
    // The same in small events, which are looked through again.
    for unit in DENSE {
        const EVENTS: u32 = 200;
        let text = format!("token {}", unit.repeat(2_000 / unit.len()));
        let event = pb::Event {
            id: None,
            labels: [("text".to_owned(), text)].into(),
            ..login("", "alice")
        };
        let request = move |_| {
            let events = vec![event.clone(); EVENTS as usize];
            pb::EmitBatchRequest { events, validate_only: true }.encode_to_vec()
        };
        let bytes = request(0).len();
        let cost = calls(&scene, "EmitBatch", &request).await;
        let each = row(&format!("EmitBatch, 200 events, secrets: {unit:?}"), bytes, &cost);
        let of_secrets = each.saturating_sub(PER_EVENT_MAX * EVENTS);
        worst = worst.max(of_secrets.mul_f64(f64::from(1 << 20) / bytes as f64));
    }
    println!("figures: the densest text takes {worst:?} a MiB");
    // A machine that is busy takes longer: what is quadratic takes minutes.
    assert!(!judged || worst <= PER_MIB_MAX * 2, "{worst:?}");
    // Reads, with filters that are as large as they may be and with none.
    let filter = |number: u32| pb::Filter {
        users: (0..1_000).map(|user| format!("user-{number}-{user}")).collect(),
        ..Default::default()
    };
    let search = |n: u32| {
        pb::SearchRequest { filter: Some(filter(n)), page_size: 10, ..Default::default() }
            .encode_to_vec()
    };
    row("Search, 1,000 users", search(0).len(), &calls(&scene, "Search", search).await);
    let page = |_| pb::SearchRequest { page_size: 1_000, ..Default::default() }.encode_to_vec();
    row("Search, a page of 2 MiB", page(0).len(), &calls(&scene, "Search", page).await);
    let count = |n: u32| {
        pb::CountRecordsRequest { filter: Some(filter(n)), ..Default::default() }.encode_to_vec()
    };
    row("CountRecords, 1,000 users", count(0).len(), &calls(&scene, "CountRecords", count).await);
    let check = |n: u32| pb::CheckFilterRequest { filter: Some(filter(n)) }.encode_to_vec();
    row("CheckFilter, 1,000 users", check(0).len(), &calls(&scene, "CheckFilter", check).await);
    let values = |_| {
        pb::TopValuesRequest { fields: vec!["user.name".to_owned()], ..Default::default() }
            .encode_to_vec()
    };
    row("TopValues of a field", values(0).len(), &calls(&scene, "TopValues", values).await);
    let record = |_| {
        let key = pb::get_record_request::Key::Id("0-0".to_owned());
        pb::GetRecordRequest { key: Some(key) }.encode_to_vec()
    };
    row("GetRecord", record(0).len(), &calls(&scene, "GetRecord", record).await);
    for method in ["GetStatus", "ListEventTypes", "GetCaller", "ListDeliveries"] {
        row(method, 0, &calls(&scene, method, |_| Vec::new()).await);
    }
    scene.close_watched("each method by itself", None).await;
}

//! Peers that make the gateway hold as much memory as they can: with answers that they do not take, with small
//! messages that are large once decompressed, with requests that wait.

use std::io::Write as _;
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use prost::Message as _;

use crate::TURN;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, call, frame, header, hello,
    hello_with_window, message,
};
use crate::scene::{Bad, STALL_SECONDS, Scene, WAIT_MAX};
use crate::support::{emit_all, large, login, raw};

const SERVICE: &str = "/auditgate.v1.AuditService/";

/// A call with its whole request, or with a request that goes on.
fn begin(path: &str, encoding: &str, stream: u32, request: &[u8], ends: bool) -> Vec<u8> {
    let mut frames = frame(HEADERS, END_HEADERS, stream, &call(path, encoding));
    let pieces = request.chunks(16 * 1024);
    let last = pieces.len().saturating_sub(1);
    for (at, piece) in pieces.enumerate() {
        let flags = if ends && at == last { END_STREAM } else { 0 };
        frames.extend(frame(DATA, flags, stream, piece));
    }
    frames
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    message(true, &gzip.finish().unwrap())
}

fn plain(message_of: &impl prost::Message) -> Vec<u8> {
    message(false, &message_of.encode_to_vec())
}

/// A batch whose one event is large once decompressed.
fn bomb(id: &str, bytes: usize) -> Vec<u8> {
    let event =
        pb::Event { labels: [("x".to_owned(), "x".repeat(bytes))].into(), ..login(id, "a") };
    pb::EmitBatchRequest { events: vec![event], validate_only: false }.encode_to_vec()
}

/// Waits until so many connections were cut off since they did not read.
async fn cut(scene: &Scene, connections: usize) -> Duration {
    let started = Instant::now();
    let count = "auditgate_connections_cut_total{reason=\"not_reading\"}";
    while scene.metric(count).await < connections as f64 {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(count).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

/// Waits until no calls are open but those of the good client. Gives when that was.
async fn none_left(scene: &Scene, started: Instant) -> Duration {
    /// Some calls at a time, in bytes of their accounts.
    const GOOD_BYTES_MAX: f64 = 64.0 * 1024.0;
    while scene.metric("auditgate_account_bytes{kind=\"calls\"}").await > GOOD_BYTES_MAX {
        assert!(started.elapsed() < WAIT_MAX, "calls are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

/// Calls a method a thousand times on one connection, and takes no answer.
async fn take_no_answers(name: &str, path: &str, request: Vec<u8>) {
    const CALLS: u32 = 1_000;
    let scene = Scene::open_with(&["--merkle"], None).await;
    let mut client = scene.client().await;
    emit_all(&mut client, vec![large("large", 900_000)]).await;
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    assert!(bad.send(&hello_with_window(0)).await);
    bad.until_frame(WINDOW_UPDATE).await;
    for number in 0..CALLS {
        // The gateway may be gone before all have been sent.
        if !bad.send(&begin(path, "identity", 2 * number + 1, &request, true)).await {
            break;
        }
    }
    let cut = cut(&scene, 1).await;
    scene.close_watched(&format!("1,000 x {name}, answers not taken"), Some(cut)).await;
}

macro_rules! answers_not_taken {
    ($($test:ident: $name:literal, $path:expr, $request:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let _turn = TURN.lock().await;
            take_no_answers($name, &$path, $request).await;
        }
    )*};
}

fn by_id() -> pb::get_record_request::Key {
    pb::get_record_request::Key::Id("large".to_owned())
}

fn many_tiny() -> Vec<u8> {
    let events = vec![pb::Event { id: None, ..login("", "a") }; 200];
    plain(&pb::EmitBatchRequest { events, validate_only: false })
}

answers_not_taken! {
    records_that_are_not_taken_are_bounded: "GetRecord", format!("{SERVICE}GetRecord"),
        plain(&pb::GetRecordRequest { key: Some(by_id()) });
    proofs_that_are_not_taken_are_bounded: "GetInclusionProof",
        format!("{SERVICE}GetInclusionProof"),
        plain(&pb::GetInclusionProofRequest {
            key: Some(pb::get_inclusion_proof_request::Key::Id("large".to_owned())),
            ..Default::default()
        });
    receipts_that_are_not_taken_are_bounded: "EmitBatch", format!("{SERVICE}EmitBatch"),
        many_tiny();
    event_types_that_are_not_taken_are_bounded: "ListEventTypes",
        format!("{SERVICE}ListEventTypes"), plain(&pb::ListEventTypesRequest {});
    a_status_that_is_not_taken_is_bounded: "GetStatus", format!("{SERVICE}GetStatus"),
        plain(&pb::GetStatusRequest {});
    counts_that_are_not_taken_are_bounded: "CountRecords", format!("{SERVICE}CountRecords"),
        plain(&pb::CountRecordsRequest::default());
    a_health_that_is_not_taken_is_bounded: "Health/Watch",
        "/grpc.health.v1.Health/Watch", message(false, &[]);
    descriptors_that_are_not_taken_are_bounded: "reflection",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        // `file_containing_symbol`.
        message(false, &raw::field(4, b"auditgate.v1.AuditService"));
    subscriptions_that_are_not_taken_are_bounded: "Subscribe", format!("{SERVICE}Subscribe"),
        plain(&crate::support::earliest());
}

/// Events that are large once they are unpacked, on streams whose answers nobody takes:
/// so the streams are not read on, and what has been unpacked waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_answers_are_not_taken_hold_little_that_was_unpacked() {
    // A build to be debugged unpacks slowly.
    const CONNECTIONS: u32 = if cfg!(debug_assertions) { 4 } else { 16 };
    const STREAMS: u32 = 64;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let events = (0..200).map(|number| {
        let event = login(&format!("e-{number}"), "alice");
        pb::Event { labels: [("filler".to_owned(), "x".repeat(20_000))].into(), ..event }
    });
    let request = pb::EmitStreamRequest { events: events.collect(), validate_only: false };
    let packed = gzip(&request.encode_to_vec());
    scene.begin_to_watch().await;
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut bad = scene.bad().await;
        assert!(bad.send(&hello_with_window(0)).await);
        bad.until_frame(WINDOW_UPDATE).await;
        peers.push(bad.stay());
    }
    let started = Instant::now();
    for number in 0..STREAMS {
        for peer in &peers {
            let path = format!("{SERVICE}EmitStream");
            peer.send(&begin(&path, "gzip", 2 * number + 1, &packed, false)).await;
        }
    }
    // A client has room for 256 of them while they wait: the others are refused, and their connections rest.
    cut(&scene, 1).await;
    let cut = none_left(&scene, started).await;
    let name = format!("{} streams with 4 KiB that unpack to 4 MiB", CONNECTIONS * STREAMS);
    scene.close_watched(&name, Some(cut)).await;
}

/// The same on streams whose answers are taken, and which then rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_rest_hold_nothing_of_what_was_unpacked() {
    const STREAMS: u32 = if cfg!(debug_assertions) { 100 } else { 1_000 };
    const AT_ONCE: u32 = 50;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let packed = gzip(&bomb("rest", 1_000_000));
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    // All answers may come.
    let all = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    assert!(bad.send(&[hello(), all].concat()).await);
    bad.until_frame(WINDOW_UPDATE).await;
    let bad = bad.stay();
    let started = Instant::now();
    for number in 0..STREAMS {
        let path = format!("{SERVICE}EmitStream");
        assert!(bad.send(&begin(&path, "gzip", 2 * number + 1, &packed, false)).await);
        // All were answered: the event is a repeated one. More at once would be refused.
        let is_last = number + 1 == STREAMS || number % AT_ONCE == 0;
        while is_last && scene.metric("auditgate_events_duplicate_total").await < f64::from(number)
        {
            assert!(started.elapsed() < WAIT_MAX, "not all are answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held = scene.growth();
    println!("figures: {STREAMS} streams at rest hold {} KiB", held / 1024);
    drop(bad);
    scene.close_watched(&format!("{STREAMS} streams at rest after 1 MiB each"), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_unpack_to_much_wait_for_room() {
    const BATCHES: u32 = 1_000;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "24MiB"], None).await;
    let packed = gzip(&bomb("b", 1_000_000));
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    assert!(bad.send(&hello()).await);
    bad.until_frame(WINDOW_UPDATE).await;
    let path = format!("{SERVICE}EmitBatch");
    let calls = (0..BATCHES).map(|number| begin(&path, "gzip", 2 * number + 1, &packed, true));
    assert!(bad.send(&calls.flatten().collect::<Vec<u8>>()).await);
    answered(&scene, "EmitBatch", BATCHES).await;
    scene.close_watched("1,000 gzip batches of 1 MiB at once", None).await;
}

/// Waits until so many calls of a method have ended.
async fn answered(scene: &Scene, method: &str, calls: u32) {
    let handled = format!(
        "grpc_server_handled_total{{grpc_type=\"unary\",\
         grpc_service=\"auditgate.v1.AuditService\",grpc_method=\"{method}\""
    );
    let started = Instant::now();
    while scene.sum(&handled).await < f64::from(calls) {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.sum(&handled).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_batches_at_once_wait_for_room() {
    const BATCHES: u32 = if cfg!(debug_assertions) { 8 } else { 32 };
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "24MiB"], None).await;
    let event = pb::Event {
        id: None,
        labels: [("filler".to_owned(), "x".repeat(350))].into(),
        ..login("", "alice")
    };
    let batch = plain(&pb::EmitBatchRequest { events: vec![event; 9_900], validate_only: false });
    scene.begin_to_watch().await;
    let path = format!("{SERVICE}EmitBatch");
    let peers = (0..BATCHES).map(|_| async {
        let mut bad = scene.bad().await;
        // Answers are taken, and windows waited for to send the batch.
        let all = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        assert!(bad.send(&[hello_with_window(1 << 30), all].concat()).await);
        let begun = frame(HEADERS, END_HEADERS, 1, &call(&path, "identity"));
        assert!(bad.send(&begun).await);
        bad.send_within_windows(1, &batch).await;
        bad.stay()
    });
    let peers = futures_util::future::join_all(peers).await;
    answered(&scene, "EmitBatch", BATCHES).await;
    let accepted = "grpc_server_handled_total{grpc_type=\"unary\",\
                    grpc_service=\"auditgate.v1.AuditService\",grpc_method=\"EmitBatch\",\
                    grpc_code=\"OK\"";
    let page = crate::scene::get(scene.admin, "/metrics").await;
    let of_batches: Vec<&str> = page.lines().filter(|line| line.contains("EmitBatch")).collect();
    assert_eq!(scene.sum(accepted).await, f64::from(BATCHES), "all are accepted: {of_batches:?}");
    drop(peers);
    scene.close_watched(&format!("{BATCHES} full batches at once"), None).await;
}

/// Batches that are announced as 4 MiB, of which comes what the window of a stream takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_do_not_come_whole_hold_little() {
    const CONNECTIONS: u32 = 8;
    const STREAMS: u32 = 250;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let begun = [&[0][..], &(4_u32 * 1024 * 1024).to_be_bytes(), &[0; 250 * 1024]].concat();
    scene.begin_to_watch().await;
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut bad = scene.bad().await;
        assert!(bad.send(&hello()).await);
        bad.until_frame(WINDOW_UPDATE).await;
        for number in 0..STREAMS {
            let path = format!("{SERVICE}EmitBatch");
            bad.send(&begin(&path, "identity", 2 * number + 1, &begun, false)).await;
        }
        peers.push(bad);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.close_watched("2,000 requests of which 250 KiB of 4 MiB come", None).await;
}

/// Reads an answer at 64 KiB a second.
async fn read_slowly(mut bad: Bad, path: &str, request: Vec<u8>, window: u32, for_time: Duration) {
    const STEP: usize = 16 * 1024;
    let mut begun = hello_with_window(window);
    begun.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    begun.extend(begin(path, "identity", 1, &request, true));
    assert!(bad.send(&begun).await);
    let started = Instant::now();
    let mut steps = tokio::time::interval(Duration::from_millis(250));
    while started.elapsed() < for_time {
        steps.tick().await;
        let read = bad.read_some(STEP).await;
        assert!(read > 0, "cut off after {:?}", started.elapsed());
        if window < 1 << 30 {
            let update = (read as u32).to_be_bytes();
            assert!(bad.send(&frame(WINDOW_UPDATE, 0, 1, &update)).await);
        }
    }
}

/// Whether the socket or the window of the stream is what slows it down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_but_steadily_is_not_cut_off() {
    const TIME: Duration = Duration::from_secs(3 * STALL_SECONDS + 1);
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.fill(20, 100_000).await;
    scene.begin_to_watch().await;
    let page = plain(&pb::SearchRequest { page_size: 1_000, ..Default::default() });
    let all = plain(&crate::support::earliest());
    let mut readers = Vec::new();
    for window in [64 * 1024, 1 << 30] {
        for (method, request) in [("Search", &page), ("Subscribe", &all)] {
            let path = format!("{SERVICE}{method}");
            let (bad, request) = (scene.bad().await, request.clone());
            readers.push(tokio::spawn(async move {
                read_slowly(bad, &path, request, window, TIME).await;
            }));
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let name = format!("readers at 64 KiB/s, for {} s", TIME.as_secs());
    scene.close_watched(&name, None).await;
}

/// They open the window of their streams a byte at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_an_answer_byte_by_byte_is_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut client = scene.client().await;
    emit_all(&mut client, vec![large("large", 900_000)]).await;
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    let request = plain(&pb::GetRecordRequest { key: Some(by_id()) });
    let asked = (0..100).map(|number| {
        begin(&format!("{SERVICE}GetRecord"), "identity", 2 * number + 1, &request, true)
    });
    let asked: Vec<u8> = asked.flatten().collect();
    assert!(bad.send(&[hello_with_window(0), asked].concat()).await);
    let trickle = async {
        loop {
            for number in 0..100 {
                bad.send(&frame(WINDOW_UPDATE, 0, 2 * number + 1, &1_u32.to_be_bytes())).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let cut = tokio::select! {
        cut = cut(&scene, 1) => cut,
        () = trickle => unreachable!("it goes on"),
    };
    scene.close_watched("100 records taken byte by byte", Some(cut)).await;
}

/// Subscribers at different places of the log, each with a message of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_do_not_read_on_hold_little() {
    const STREAMS: u32 = 2_000;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.fill(200, 10_000).await;
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    // The first message passes, and the next one waits.
    assert!(bad.send(&hello_with_window(400)).await);
    bad.until_frame(WINDOW_UPDATE).await;
    for number in 0..STREAMS {
        let expression = format!("event.id != 'none-{number}'");
        let filter = pb::Filter { expression, ..Default::default() };
        let request = pb::SubscribeRequest { filter: Some(filter), ..crate::support::earliest() };
        let path = format!("{SERVICE}Subscribe");
        if !bad.send(&begin(&path, "identity", 2 * number + 1, &plain(&request), true)).await {
            break;
        }
    }
    let cut = cut(&scene, 1).await;
    scene.close_watched("2,000 subscribers that read one message", Some(cut)).await;
}

/// Calls whose headers are as large as they may be, and that never send a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_only_begin_hold_little() {
    const CONNECTIONS: usize = 10;
    const STREAMS: u32 = 4_000;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.begin_to_watch().await;
    let mut block = call(&format!("{SERVICE}Emit"), "identity");
    for number in 0..100 {
        block.extend(header(&format!("x-{number}"), &"x".repeat(100)));
    }
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut bad = scene.bad().await;
        assert!(bad.send(&hello()).await);
        let begun = (0..STREAMS).map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &block));
        bad.send(&begun.flatten().collect::<Vec<u8>>()).await;
        peers.push(bad);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(peers);
    scene.close_watched("40,000 calls that only begin", None).await;
}

//! Peers that hold on to what they have.

use std::time::{Duration, Instant};

use auditgate::proto::pb;

use crate::TURN;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, call, frame, header, hello, hello_with_window,
    message,
};
use crate::scene::{Bad, Scene, WAIT_MAX};

const EMIT: &str = "/auditgate.v1.AuditService/Emit";
const SEARCH: &str = "/auditgate.v1.AuditService/Search";
const SUBSCRIBE: &str = "/auditgate.v1.AuditService/Subscribe";

/// Waits until all of them are cut off; gives when the last one was.
async fn all_cut(mut bad: Vec<Bad>) -> Duration {
    let started = Instant::now();
    for peer in &mut bad {
        peer.until_cut().await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_that_say_nothing_are_cut_off() {
    const SILENT: usize = 1_000;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut bad = Vec::new();
    for number in 0..SILENT {
        let mut peer = scene.bad().await;
        // Nothing, half of the preface, or half of a frame.
        match number % 3 {
            0 => {}
            1 => assert!(peer.send(&PREFACE[..12]).await),
            _ => assert!(peer.send(&hello()[..30]).await),
        }
        bad.push(peer);
    }
    let growth = scene.growth();
    let cut = all_cut(bad).await;
    scene.close("1,000 half-open connections", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_do_not_end_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut bad = Vec::new();
    for _ in 0..100 {
        let mut peer = scene.bad().await;
        let begun = frame(HEADERS, 0, 1, &call(EMIT, "identity"));
        assert!(peer.send(&[hello(), begun].concat()).await);
        bad.push(peer);
    }
    let growth = scene.growth();
    let cut = all_cut(bad).await;
    scene.close("100 x headers that do not end", Some(cut), growth).await;
}

/// Requests of which a byte comes every second: the call is refused, the connection
/// may go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_trickle_are_refused() {
    const PEERS: usize = 100;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut bad = Vec::new();
    for _ in 0..PEERS {
        let mut peer = scene.bad().await;
        let begun = frame(HEADERS, END_HEADERS, 1, &call(EMIT, "identity"));
        let prefix = frame(DATA, 0, 1, &[0, 0, 1, 0, 0]);
        assert!(peer.send(&[hello(), begun, prefix].concat()).await);
        bad.push(peer);
    }
    let started = Instant::now();
    let slow = "auditgate_refusals_total{reason=\"REQUEST_TOO_SLOW\"}";
    while scene.metric(slow).await < PEERS as f64 {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(slow).await);
        for peer in &mut bad {
            peer.send(&frame(DATA, 0, 1, &[0])).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let cut = started.elapsed();
    let growth = scene.growth();
    scene.close("100 x requests that trickle", Some(cut), growth).await;
}

/// The gateway ends the call when its client said that it would wait no longer,
/// although the client says nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_comes_whole_ends_at_its_deadline() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut bad = scene.bad().await;
    let mut block = call(EMIT, "identity");
    block.extend(header("grpc-timeout", "400m"));
    let begun = frame(HEADERS, END_HEADERS, 1, &block);
    let started = Instant::now();
    assert!(bad.send(&[hello(), begun].concat()).await);
    let over = "auditgate_refusals_total{reason=\"DEADLINE_EXCEEDED\"}";
    while scene.metric(over).await < 1.0 {
        assert!(started.elapsed() < WAIT_MAX, "the call goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cut = started.elapsed();
    assert!(cut >= Duration::from_millis(400), "{cut:?}");
    let growth = scene.growth();
    scene.close("a call that never comes whole, 400 ms", Some(cut), growth).await;
}

fn request(path: &str, stream: u32, body: &impl prost::Message) -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, stream, &call(path, "identity"));
    let body = message(false, &body.encode_to_vec());
    [headers, frame(DATA, END_STREAM, stream, &body)].concat()
}

/// They open their windows wide, and then read nothing off the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_the_socket_is_cut_off() {
    const PEERS: usize = 50;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.fill(20, 100_000).await;
    let before = scene.growth();
    let earliest = crate::support::earliest();
    let mut bad = Vec::new();
    for _ in 0..PEERS {
        let mut peer = scene.bad().await;
        let mut hello = hello_with_window(1 << 30);
        hello.extend(frame(0x8, 0, 0, &(1_u32 << 30).to_be_bytes()));
        assert!(peer.send(&[hello, request(SUBSCRIBE, 1, &earliest)].concat()).await);
        bad.push(peer);
    }
    let started = Instant::now();
    let cut = "auditgate_connections_cut_total{reason=\"not_reading\"}";
    let mut peak = 0;
    while scene.metric(cut).await < PEERS as f64 {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(cut).await);
        peak = peak.max(scene.growth());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let cut = started.elapsed();
    scene.close("50 x sockets that are not read", Some(cut), peak.saturating_sub(before)).await;
}

/// They ask for pages on many streams, and never open a window for the answers: the
/// transport is idle, the memory is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_answers_is_cut_off() {
    const PEERS: usize = 10;
    const STREAMS: u32 = 100;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.fill(20, 100_000).await;
    let before = scene.growth();
    let page = pb::SearchRequest { page_size: 1_000, ..Default::default() };
    let mut bad = Vec::new();
    for _ in 0..PEERS {
        let mut peer = scene.bad().await;
        let asked = (0..STREAMS).map(|number| request(SEARCH, 2 * number + 1, &page));
        let asked: Vec<u8> = asked.flatten().collect();
        assert!(peer.send(&[hello_with_window(1), asked].concat()).await);
        bad.push(peer);
    }
    let mut peak = 0;
    let started = Instant::now();
    let cut = "auditgate_connections_cut_total{reason=\"not_reading\"}";
    while scene.metric(cut).await < 1.0 {
        assert!(started.elapsed() < WAIT_MAX, "nobody is cut off");
        peak = peak.max(scene.growth());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let cut = started.elapsed();
    peak = peak.max(scene.growth());
    let growth = peak.saturating_sub(before);
    scene.close("10 x 100 pages that are not taken", Some(cut), growth).await;
}

/// Where no more files can be opened, the gateway waits instead of trying on, and goes
/// on once it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_files_left_is_no_reason_to_spin() {
    const FILES: u32 = 20;
    let _turn = TURN.lock().await;
    let begun = Instant::now();
    let scene = Scene::open_with(&["--limits-unfinished-timeout", "60s"], Some(FILES)).await;
    let mut bad = Vec::new();
    for _ in 0..40 {
        bad.push(scene.bad().await);
    }
    let failed = Instant::now();
    let before = scene.processor_time();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = scene.processor_time() - before;
    let share = used.as_secs_f64() / failed.elapsed().as_secs_f64();
    assert!(cfg!(debug_assertions) || share < 0.5, "{used:?} of processor time");
    drop(bad);
    let mut client = crate::support::soon(scene.client()).await;
    crate::support::status(&mut client).await;
    // One failure, and then a pause of 100 ms.
    let failures = scene.metric("auditgate_connections_refused_total{reason=\"system\"}").await;
    let most = begun.elapsed().as_secs_f64() / 0.1 + 1.0;
    assert!((1.0..=most).contains(&failures), "{failures} failures, at most {most}");
    let growth = scene.growth();
    println!("figures: processor time at the limit of files: {:.0} %", share * 100.0);
    scene.close("no files left", None, growth).await;
}

//! Peers that send more than anyone could want.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::TURN;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, call, frame,
    header, hello, message,
};
use crate::scene::Scene;

const EMIT: &str = "/auditgate.v1.AuditService/Emit";
/// Frames that are sent at once.
const BURST: usize = 500;

/// Sends what `next` gives for as long as it is taken; gives when that ended.
async fn flood(scene: &Scene, mut next: impl FnMut() -> Vec<u8>) -> Duration {
    let mut bad = scene.bad().await;
    assert!(bad.send(&hello()).await);
    let started = Instant::now();
    let (mut reading, mut writing) = bad.stream.split();
    let read = async {
        use tokio::io::AsyncReadExt as _;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    };
    let write = async {
        use tokio::io::AsyncWriteExt as _;
        while writing.write_all(&next()).await.is_ok() {}
    };
    let both = async { tokio::join!(read, write) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the gateway hangs up");
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_is_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(BURST);
    let cut = flood(&scene, || pings.clone()).await;
    assert_eq!(scene.metric("auditgate_connections_cut_total{reason=\"idle_frames\"}").await, 1.0);
    let growth = scene.growth();
    scene.close("PING flood", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_settings_is_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(BURST);
    let cut = flood(&scene, || settings.clone()).await;
    let growth = scene.growth();
    scene.close("SETTINGS flood", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut stream = 1;
    let block = call(EMIT, "identity");
    let next = || {
        let mut frames = Vec::new();
        for _ in 0..BURST {
            frames.extend(frame(HEADERS, END_HEADERS, stream, &block));
            frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        frames
    };
    let cut = flood(&scene, next).await;
    let growth = scene.growth();
    scene.close("rapid reset", Some(cut), growth).await;
}

/// One pair at a time, so that h2 sees no resets of streams it has not looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_one_by_one_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut bad = scene.bad().await;
    bad.stream.set_nodelay(true).unwrap();
    assert!(bad.send(&hello()).await);
    let block = call(EMIT, "identity");
    let started = Instant::now();
    let mut stream = 1;
    while started.elapsed() < Duration::from_secs(20) {
        let pair = [
            frame(HEADERS, END_HEADERS, stream, &block),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ];
        if !bad.send(&pair.concat()).await {
            break;
        }
        stream += 2;
    }
    let cut = started.elapsed();
    let growth = scene.growth();
    scene.close("rapid reset, one by one", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_headers_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let filler = header("x-filler", &"x".repeat(100)).repeat(140);
    let mut begun = false;
    let next = || {
        if std::mem::replace(&mut begun, true) {
            frame(CONTINUATION, 0, 1, &filler)
        } else {
            frame(HEADERS, 0, 1, &call(EMIT, "identity"))
        }
    };
    let cut = flood(&scene, next).await;
    let growth = scene.growth();
    scene.close("CONTINUATION flood", Some(cut), growth).await;
}

/// Small requests that are large once they are decompressed: each is refused, and
/// none is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_one_by_one() {
    const BOMBS: usize = 200;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 256 * 1024 * 1024]).unwrap();
    let bomb = message(true, &gzip.finish().unwrap());
    let mut bad = scene.bad().await;
    assert!(bad.send(&hello()).await);
    let mut peak = 0;
    for number in 0..BOMBS {
        let stream = 2 * number as u32 + 1;
        let mut frames = frame(HEADERS, END_HEADERS, stream, &call(EMIT, "gzip"));
        let pieces = bomb.chunks(16 * 1024);
        let last = pieces.len() - 1;
        for (at, piece) in pieces.enumerate() {
            let flags = if at == last { END_STREAM } else { 0 };
            frames.extend(frame(DATA, flags, stream, piece));
        }
        if !bad.send(&frames).await {
            break;
        }
        peak = peak.max(scene.growth());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    peak = peak.max(scene.growth());
    let refused = scene.metric("auditgate_refusals_total{reason=\"REQUEST_TOO_LARGE\"}").await;
    assert!(refused > 0.0, "the bombs arrive");
    scene.close("compressed bombs, 200 of 256 MiB", None, peak).await;
}

//! Peers that send more than anyone could want.

use std::io::Write as _;
use std::time::{Duration, Instant};

use auditgate::proto::pb;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::TURN;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, call, frame, header, hello, hello_with_window, message,
};
use crate::scene::{BAD_ADDRESS, Bad, Scene, WAIT_MAX};
use crate::support::{emit_all, login, raw};

const EMIT: &str = "/auditgate.v1.AuditService/Emit";
/// Frames that are sent at once.
const BURST: usize = 500;

/// How many peers flood at once.
const PEERS: usize = 4;
/// For how long: who is cut off comes again.
const FLOOD_TIME: Duration = Duration::from_secs(3);

/// Sends what `next` gives for as long as it is taken; gives when that ended.
async fn flood_once(mut bad: Bad, mut next: impl FnMut() -> Vec<u8>) -> Duration {
    bad.stream.set_nodelay(true).unwrap();
    let started = Instant::now();
    if !bad.send(&hello()).await {
        return started.elapsed();
    }
    let (mut reading, mut writing) = bad.stream.split();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    };
    let write = async { while writing.write_all(&next()).await.is_ok() {} };
    let both = async { tokio::join!(read, write) };
    tokio::time::timeout(WAIT_MAX, both).await.expect("the gateway hangs up");
    started.elapsed()
}

/// Floods from several peers, again and again; gives the longest time that it took to
/// cut one off.
async fn flood<N: FnMut() -> Vec<u8>>(scene: &Scene, next: impl Fn() -> N) -> Duration {
    let started = Instant::now();
    let peers = (0..PEERS).map(|_| async {
        let mut longest = Duration::ZERO;
        while started.elapsed() < FLOOD_TIME {
            longest = longest.max(flood_once(scene.bad().await, next()).await);
        }
        longest
    });
    futures_util::future::join_all(peers).await.into_iter().max().unwrap()
}

/// Waits until a peer was counted as cut off for this.
async fn cut_for(scene: &Scene, reason: &str) {
    let count = format!("auditgate_connections_cut_total{{reason=\"{reason}\"}}");
    let started = Instant::now();
    while scene.metric(&count).await < PEERS as f64 {
        assert!(started.elapsed() < WAIT_MAX, "nobody is counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_is_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(BURST);
    let cut = flood(&scene, || || pings.clone()).await;
    cut_for(&scene, "idle_frames").await;
    let growth = scene.growth();
    scene.close("PING flood", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_settings_is_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(BURST);
    let cut = flood(&scene, || || settings.clone()).await;
    cut_for(&scene, "idle_frames").await;
    let growth = scene.growth();
    scene.close("SETTINGS flood", Some(cut), growth).await;
}

/// Calls that are reset as soon as they have begun, `at_once` of them in one piece.
fn resets(at_once: usize) -> impl FnMut() -> Vec<u8> {
    let mut stream = 1;
    let block = call(EMIT, "identity");
    move || {
        let mut frames = Vec::new();
        for _ in 0..at_once {
            frames.extend(frame(HEADERS, END_HEADERS, stream, &block));
            frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        frames
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let cut = flood(&scene, || resets(BURST)).await;
    let growth = scene.growth();
    scene.close("rapid reset", Some(cut), growth).await;
}

/// One pair at a time, so that h2 may have looked at each stream before its reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_one_by_one_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let cut = flood(&scene, || resets(1)).await;
    let growth = scene.growth();
    scene.close("rapid reset, one by one", Some(cut), growth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_headers_are_cut_off() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let filler = header("x-filler", &"x".repeat(100)).repeat(140);
    let endless = || {
        let mut begun = false;
        let filler = &filler;
        move || {
            if std::mem::replace(&mut begun, true) {
                frame(CONTINUATION, 0, 1, filler)
            } else {
                frame(HEADERS, 0, 1, &call(EMIT, "identity"))
            }
        }
    };
    let cut = flood(&scene, endless).await;
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
    // Compressed, it fits into the window that a stream begins with.
    gzip.write_all(&vec![0; 32 * 1024 * 1024]).unwrap();
    let bomb = message(true, &gzip.finish().unwrap());
    let mut bad = scene.bad().await;
    assert!(bad.send(&hello()).await);
    // Before that, a second bomb would not fit into the connection's window.
    bad.until_frame(WINDOW_UPDATE).await;
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
        assert!(bad.send(&frames).await, "cut off at bomb {number}");
        peak = peak.max(scene.growth());
    }
    let refused = "auditgate_refusals_total{reason=\"REQUEST_TOO_LARGE\"}";
    let started = Instant::now();
    while scene.metric(refused).await < BOMBS as f64 {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(refused).await);
        peak = peak.max(scene.growth());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.close("200 compressed bombs of 32 MiB", None, peak).await;
}

/// Pages that are to be compressed: that takes far more of a processor than to find them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_compressed_by_turns() {
    // To compress takes long where that is not optimised.
    const PAGES: u32 = if cfg!(debug_assertions) { 8 } else { 100 };
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut client = scene.client().await;
    let mut random = fastrand::Rng::with_seed(1);
    for batch in 0..10 {
        // Text that compresses as badly as text can.
        let mut text = || std::iter::repeat_with(|| random.alphanumeric()).take(20_000).collect();
        let events = (0..50).map(|number| {
            let event = login(&format!("{batch}-{number}"), "alice");
            pb::Event { labels: [("filler".to_owned(), text())].into(), ..event }
        });
        emit_all(&mut client, events.collect()).await;
    }
    let before = scene.growth();
    let mut bad = scene.bad().await;
    let mut asked = hello_with_window(1 << 30);
    asked.extend(frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let page = pb::SearchRequest { page_size: 1_000, ..Default::default() }.encode_to_vec();
    for number in 0..PAGES {
        let mut block = call("/auditgate.v1.AuditService/Search", "identity");
        block.extend(header("grpc-accept-encoding", "gzip"));
        asked.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &block));
        asked.extend(frame(DATA, END_STREAM, 2 * number + 1, &message(false, &page)));
    }
    assert!(bad.send(&asked).await);
    let (mut reading, _writing) = bad.stream.into_split();
    let read = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    });
    let answered = "grpc_server_handled_total{grpc_type=\"unary\",\
                    grpc_service=\"auditgate.v1.AuditService\",grpc_method=\"Search\"";
    let mut peak = 0;
    let started = Instant::now();
    while scene.metric(answered).await < f64::from(PAGES) {
        assert!(started.elapsed() < WAIT_MAX, "{} so far", scene.metric(answered).await);
        peak = peak.max(scene.growth());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read.abort();
    println!("figures: {PAGES} compressed pages in {:?}", started.elapsed());
    let growth = peak.saturating_sub(before);
    scene.close("compressed pages of 4 MiB", None, growth).await;
}

/// Batches as large as they may be, as fast as they are taken: whoever sends them has
/// the rest of the gateway's time, and not that of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_batches_hold_nobody_up() {
    const EVENTS: usize = 10_000;
    const IN_FLIGHT: usize = 8;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "24MiB"], None).await;
    let event = login("", "alice");
    let event =
        pb::Event { id: None, labels: [("filler".to_owned(), "x".repeat(350))].into(), ..event };
    let batch = pb::EmitBatchRequest { events: vec![event; EVENTS], validate_only: false };
    let batch = batch.encode_to_vec();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", scene.address));
    let endpoint = endpoint.unwrap().local_address(Some(BAD_ADDRESS.into()));
    let channel = endpoint.connect().await.unwrap();
    let started = Instant::now();
    let peers = (0..IN_FLIGHT).map(|_| async {
        let mut taken = 0;
        while started.elapsed() < FLOOD_TIME {
            raw::call(&channel, "EmitBatch", batch.clone()).await.expect("it is within its limits");
            taken += 1;
        }
        taken
    });
    let taken: usize = futures_util::future::join_all(peers).await.into_iter().sum();
    println!("figures: {taken} batches of {EVENTS} events in {:?}", started.elapsed());
    let growth = scene.growth();
    scene.close("batches of 10,000 events", None, growth).await;
}

/// A call whose request comes a byte a frame: h2 keeps each frame apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_byte_hold_little() {
    const CONNECTIONS: usize = 8;
    const FRAMES: usize = 4_000;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.begin_to_watch().await;
    let started = Instant::now();
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut bad = scene.bad().await;
        let all = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        let begun = frame(
            HEADERS,
            END_HEADERS,
            1,
            &call("/auditgate.v1.AuditService/EmitStream", "identity"),
        );
        assert!(bad.send(&[hello(), all, begun].concat()).await);
        bad.until_frame(WINDOW_UPDATE).await;
        let (mut reading, mut writing) = bad.stream.into_split();
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(1..) = reading.read(&mut buffer).await {}
        });
        peers.push(tokio::spawn(async move {
            // Messages without events: five bytes each.
            let frames = frame(DATA, 0, 1, &[0]).repeat(FRAMES);
            let mut sent = 0;
            while started.elapsed() < FLOOD_TIME && writing.write_all(&frames).await.is_ok() {
                sent += FRAMES;
            }
            sent
        }));
    }
    let sent: usize = futures_util::future::join_all(peers).await.into_iter().flatten().sum();
    println!("figures: {sent} frames of a byte");
    scene.close_watched("requests of a byte a frame, 8 peers", None).await;
}

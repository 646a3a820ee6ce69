//! Peers that hold what all share: whoever holds least is served next.

use std::time::{Duration, Instant};

use auditgate::proto::pb;
use prost::Message as _;

use crate::TURN;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, call, frame, hello_with_window, message,
};
use crate::scene::Scene;
use crate::support::{large, login};

const SERVICE: &str = "/auditgate.v1.AuditService/";
/// How long an honest client may wait for its first share of what others hold, and what its call takes.
const SERVED_MAX: Duration = Duration::from_millis(500);

fn judge(name: &str, took: Duration) {
    println!("figures: {name}: an honest call took {:.0} ms", took.as_secs_f64() * 1e3);
    assert!(cfg!(debug_assertions) || took <= SERVED_MAX, "{name}: {took:?}");
}

/// Peers of several addresses ask for more pages than there may be at once, and take none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_that_are_not_taken_do_not_hold_up_an_honest_one() {
    const ADDRESSES: u8 = 3;
    const SEARCHES: u32 = 100;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.fill(20, 100_000).await;
    let mut client = scene.client().await;
    scene.begin_to_watch().await;
    let page = pb::SearchRequest { page_size: 1_000, ..Default::default() };
    let page = message(false, &page.encode_to_vec());
    let mut peers = Vec::new();
    for address in 2..2 + ADDRESSES {
        let mut bad = scene.bad_from(address).await;
        let asked = (0..SEARCHES).flat_map(|number| {
            let block = call(&format!("{SERVICE}Search"), "identity");
            let headers = frame(HEADERS, END_HEADERS, 2 * number + 1, &block);
            [headers, frame(DATA, END_STREAM, 2 * number + 1, &page)].concat()
        });
        let asked: Vec<u8> = asked.collect();
        assert!(bad.send(&[hello_with_window(1), asked].concat()).await);
        peers.push(bad);
    }
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        let started = Instant::now();
        let request = pb::SearchRequest { page_size: 10, ..Default::default() };
        client.search(request).await.expect("it is served");
        longest = longest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    judge("3 x 100 searches that are not taken", longest);
    drop(peers);
    scene
        .close_watched_of(
            u64::from(ADDRESSES),
            "3 addresses x 100 searches that are not taken",
            None,
        )
        .await;
}

/// Emit streams of several addresses that take no answers hold as many events as they may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_not_taken_do_not_hold_up_honest_ones() {
    const ADDRESSES: u8 = 4;
    const STREAMS: u32 = 64;
    const HONEST: usize = 8;
    let _turn = TURN.lock().await;
    let scene = Scene::open_with(&["--ring-bytes", "64MiB"], None).await;
    // As many requests as the window of a stream takes at once.
    let mut requests = Vec::new();
    for request in 0..4 {
        let events = (0..3).map(|number| large(&format!("e-{request}-{number}"), 18_000));
        let request = pb::EmitStreamRequest { events: events.collect(), validate_only: false };
        requests.extend(message(false, &request.encode_to_vec()));
    }
    scene.begin_to_watch().await;
    let mut peers = Vec::new();
    for address in 2..2 + ADDRESSES {
        let mut bad = scene.bad_from(address).await;
        assert!(bad.send(&hello_with_window(0)).await);
        bad.until_frame(WINDOW_UPDATE).await;
        let requests = requests.clone();
        peers.push(tokio::spawn(async move {
            for number in 0..STREAMS {
                let block = call(&format!("{SERVICE}EmitStream"), "identity");
                let mut begun = frame(HEADERS, END_HEADERS, 2 * number + 1, &block);
                for piece in requests.chunks(16 * 1024) {
                    begun.extend(frame(DATA, 0, 2 * number + 1, piece));
                }
                if !bad.send(&begun).await {
                    break;
                }
            }
            bad
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut longest = Duration::ZERO;
    for round in 0..10 {
        for number in 0..HONEST {
            let mut client = scene.client().await;
            let events = vec![login(&format!("honest-{round}-{number}"), "alice")];
            let requests =
                tokio_stream::once(pb::EmitStreamRequest { events, validate_only: false });
            let started = Instant::now();
            let mut answers = client.emit_stream(requests).await.unwrap().into_inner();
            answers.message().await.unwrap().expect("an answer");
            longest = longest.max(started.elapsed());
        }
    }
    judge("4 x 64 emit streams that are not taken", longest);
    drop(peers);
    scene
        .close_watched_of(
            u64::from(ADDRESSES),
            "4 addresses x 64 emit streams that are not taken",
            None,
        )
        .await;
}

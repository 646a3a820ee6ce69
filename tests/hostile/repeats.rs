//! An emitter that sends small events with the id of a large record, again and again.

use std::time::Duration;

use auditgate::proto::pb;

use crate::TURN;
use crate::scene::Scene;
use crate::support::login;

/// What a call may take beside its events, good client and all.
const SLACK_PER_EVENT: Duration = Duration::from_micros(10);
/// What the gateway may take for each byte: 20 ms for a MiB.
const NANOS_PER_BYTE: u64 = 20_000_000 / (1024 * 1024);

/// A record of nearly 1 MiB in as many fields as can be.
fn large(id: &str) -> pb::Event {
    let labels = (0..60_000).map(|number| (format!("{number:06}"), "value".to_owned()));
    pb::Event { labels: labels.collect(), ..login(id, "alice") }
}

fn small(count: u32) -> Vec<pb::Event> {
    (0..count)
        .map(|number| pb::Event { id: Some("large".into()), ..login("", &number.to_string()) })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_events_with_the_id_of_a_large_record() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut client = scene.client().await;
    let kept = pb::EmitRequest { event: Some(large("large")), validate_only: false };
    client.emit(kept).await.expect("accepted");
    let before = scene.processor_time();
    let begun = std::time::Instant::now();
    let mut budget = Duration::ZERO;
    let mut growth = 0;
    for count in [150, 3_000, 10_000] {
        for _ in 0..10 {
            let request = pb::EmitBatchRequest { events: small(count), validate_only: true };
            budget += SLACK_PER_EVENT * count
                + Duration::from_nanos(
                    prost::Message::encoded_len(&request) as u64 * NANOS_PER_BYTE,
                );
            let status = client.emit_batch(request).await.expect_err("the id is taken");
            assert_eq!(status.code(), tonic::Code::AlreadyExists, "{status:?}");
            growth = growth.max(scene.growth());
        }
    }
    let used = scene.processor_time() - before;
    // What the good client's calls take meanwhile, generously.
    let good = begun.elapsed() / 5;
    println!("figures: repeats took {used:?}, may take {budget:?} and {good:?} for the others");
    // A gateway that is built to be debugged is some twenty times slower.
    let factor = if cfg!(debug_assertions) { 20 } else { 1 };
    assert!(used <= budget * factor + good * factor, "{used:?}, may be {budget:?}");
    scene.close("small events with the id of a large record", None, growth).await;
}

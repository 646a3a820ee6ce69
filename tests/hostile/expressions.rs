//! Readers whose filters cost as much as filters may.

use std::time::{Duration, Instant};

use auditgate::proto::pb;
use futures_util::future::join_all;
use prost::Message as _;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::TURN;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, call, frame, hello, message,
};
use crate::scene::{BAD_ADDRESS, Scene, WAIT_MAX};
use crate::support::{Client, emit_all, login, raw};

/// For how long they read.
const READING_TIME: Duration = Duration::from_secs(3);
/// How many calls at once.
const AT_ONCE: usize = 16;
/// Field of `Event` with the payload of `user.login`.
const LOGIN: u32 = 173;

async fn bad_client(scene: &Scene) -> (Channel, Client) {
    let endpoint = Endpoint::from_shared(format!("http://{}", scene.address)).unwrap();
    let channel = endpoint.local_address(Some(BAD_ADDRESS.into())).connect().await.unwrap();
    (channel.clone(), Client::new(channel))
}

/// Counts with an expression, as many at once as there may be, for some seconds. Each has the deadline of a
/// second: what it costs is the same.
async fn count(scene: &Scene, expression: &str) -> usize {
    let (_, client) = bad_client(scene).await;
    let started = Instant::now();
    let readers = (0..AT_ONCE).map(|_| {
        let mut client = client.clone();
        async move {
            let mut calls = 0;
            while started.elapsed() < READING_TIME {
                let filter = pb::Filter { expression: expression.to_owned(), ..Default::default() };
                let request =
                    pb::CountRecordsRequest { filter: Some(filter), ..Default::default() };
                let mut request = tonic::Request::new(request);
                request.set_timeout(Duration::from_secs(1));
                match client.count_records(request).await {
                    Ok(counted) => assert!(counted.into_inner().expression_errors > 0),
                    // By whose clock the deadline came first: the gateway's, or the client's.
                    Err(status) => assert!(
                        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
                        "{status:?}"
                    ),
                }
                calls += 1;
            }
            calls
        }
    });
    join_all(readers).await.into_iter().sum()
}

/// Each of a thousand records takes all steps that a record may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_at_the_limit_of_steps_hold_nobody_up() {
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let mut client = scene.client().await;
    for batch in 0..10 {
        let events = (0..100).map(|number| {
            let labels = (0..400).map(|label| (format!("label-{label}"), "value".to_owned()));
            pb::Event { labels: labels.collect(), ..login(&format!("{batch}-{number}"), "alice") }
        });
        emit_all(&mut client, events.collect()).await;
    }
    scene.begin_to_watch().await;
    // Each element looks through all of them.
    let calls = count(&scene, "event.labels.all(k, event.labels[k] == 'value')").await;
    println!("figures: {calls} counts at the limit of steps");
    scene.close_watched("16 counts at once at the limit of steps", None).await;
}

/// Records of as many fields as there can be in their bytes, some in as many parts as they may come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_many_fields_hold_nobody_up() {
    const RECORDS: usize = 20;
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    let (channel, mut client) = bad_client(&scene).await;
    for number in 0..RECORDS {
        let mut event = login(&format!("dense-{number}"), "alice").encode_to_vec();
        for part in 0..15 {
            let user = pb::User { name: Some(format!("user-{part}")), ..Default::default() };
            event.extend(pb::Event { user: Some(user), ..Default::default() }.encode_to_vec());
        }
        // A list of numbers that is not known, within the payload: three bytes each.
        let dense = [0xe0, 0x76, 0].repeat(250_000);
        event.extend(raw::field(LOGIN, &dense));
        let request = raw::field(1, &event);
        raw::call(&channel, "Emit", request).await.expect("it is taken");
    }
    scene.begin_to_watch().await;
    let started = Instant::now();
    let mut calls = 0;
    while started.elapsed() < READING_TIME {
        let fields = ["source.name", "user.name", "user.impersonator", "connection.remote_address"];
        let request = pb::TopValuesRequest {
            fields: fields.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let all = (0..AT_ONCE).map(|_| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.top_values(request).await.expect("it is served") }
        });
        calls += join_all(all).await.len();
    }
    let filter = pb::Filter { expression: "event.source.name == 'x'".into(), ..Default::default() };
    let request = pb::CountRecordsRequest { filter: Some(filter), ..Default::default() };
    client.count_records(request).await.expect("it is served");
    println!("figures: {calls} times the values of four fields of {RECORDS} dense records");
    scene.close_watched("16 TopValues at once over records of 250,000 fields", None).await;
}

/// Filters whose patterns take long to compile, on as many streams as a client may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_with_costly_filters_hold_nobody_up() {
    const STREAMS: u32 = if cfg!(debug_assertions) { 200 } else { 4_000 };
    let _turn = TURN.lock().await;
    let scene = Scene::open().await;
    scene.begin_to_watch().await;
    let mut bad = scene.bad().await;
    let all = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    assert!(bad.send(&[hello(), all].concat()).await);
    bad.until_frame(WINDOW_UPDATE).await;
    let bad = bad.stay();
    for number in 0..STREAMS {
        let pattern =
            |at: usize| format!("event.user.name.matches('(?i)\\\\w{{1,12}}x{number}-{at}')");
        let expression = (0..16).map(pattern).collect::<Vec<_>>().join(" || ");
        let filter = pb::Filter { expression, ..Default::default() };
        let request = pb::SubscribeRequest { filter: Some(filter), ..Default::default() };
        let block = call("/auditgate.v1.AuditService/Subscribe", "identity");
        let mut begun = frame(HEADERS, END_HEADERS, 2 * number + 1, &block);
        begun.extend(frame(
            DATA,
            END_STREAM,
            2 * number + 1,
            &message(false, &request.encode_to_vec()),
        ));
        assert!(bad.send(&begun).await);
    }
    // An honest reader's expression is compiled meanwhile.
    let mut client = scene.client().await;
    let mut longest = Duration::ZERO;
    let started = Instant::now();
    while started.elapsed() < READING_TIME {
        let expression = format!("event.user.name == 'u{}'", started.elapsed().as_nanos());
        let filter = pb::Filter { expression, ..Default::default() };
        let request = pb::SearchRequest { filter: Some(filter), ..Default::default() };
        let begun = Instant::now();
        let served = tokio::time::timeout(WAIT_MAX, client.search(request)).await;
        served.expect("it is answered").expect("it is served");
        longest = longest.max(begun.elapsed());
    }
    println!("figures: an honest search with an expression took {longest:?} at most");
    assert!(cfg!(debug_assertions) || longest < Duration::from_millis(500), "{longest:?}");
    drop(bad);
    let name = format!("{STREAMS} subscriptions with 16 patterns each");
    scene.close_watched(&name, None).await;
}

//! A thousand subscribers with filters of their own, one of them stuck: each
//! other one gets exactly what its filter matches, in order.

mod wishes;

use std::time::Duration;

use crate::support::{self, Client, Random, Tail, WAIT_MAX, pb, sequences};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;
use wishes::{Wish, some_event, wish_of};

const SUBSCRIBERS: usize = 1_000;
const SUBSCRIBERS_PER_CONNECTION: usize = 125;
const EMITTERS: usize = 4;
const BATCHES: usize = 10;
const BATCH_EVENTS: usize = 50;
/// One batch in the middle is sent one by one up to here.
const SINGLE_EVENTS: usize = 20;
const EVENTS: usize = EMITTERS * BATCHES * BATCH_EVENTS;
/// All of it takes no longer, also on a busy machine where nothing is optimised.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A subscriber that reads all it gets, until the gateway stops.
struct Reader {
    wish: Wish,
    /// How many records it has.
    count: watch::Receiver<usize>,
    seen: JoinHandle<Vec<u64>>,
}

impl Reader {
    async fn start(client: &mut Client, wish: Wish) -> Self {
        let request = pb::SubscribeRequest { filter: Some(wish.filter.clone()), start: None };
        let stream = support::soon(client.subscribe(request)).await.expect("subscribed");
        let mut stream = stream.into_inner();
        // After the first response, nothing that is accepted is missed.
        support::soon(stream.message()).await.expect("no refusal").expect("no end");
        let (count_sender, count) = watch::channel(0);
        let seen = tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                match stream.message().await {
                    Ok(message) => {
                        let message = message.expect("a stream ends with a status");
                        assert_eq!(message.gap, None);
                        seen.extend(sequences(&message.records));
                        count_sender.send_replace(seen.len());
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                        return seen;
                    }
                }
            }
        });
        Self { wish, count, seen }
    }
}

async fn start_readers(gateway: &auditgate::server::Gateway) -> Vec<Reader> {
    let mut readers = Vec::new();
    while readers.len() < SUBSCRIBERS {
        let mut client = support::connect(gateway).await;
        for _ in 0..SUBSCRIBERS_PER_CONNECTION {
            let wish = wish_of(readers.len());
            readers.push(Reader::start(&mut client, wish).await);
        }
    }
    readers
}

/// Emits from several connections at once, in batches and one by one.
async fn emit_all(gateway: &auditgate::server::Gateway) {
    let mut emitters = Vec::new();
    for emitter in 0..EMITTERS {
        let mut client = support::connect(gateway).await;
        emitters.push(tokio::spawn(async move {
            let mut random = Random(emitter as u64);
            for batch in 0..BATCHES {
                let ids = (0..BATCH_EVENTS).map(|number| format!("{emitter}-{batch}-{number}"));
                let mut events: Vec<_> = ids.map(|id| some_event(&mut random, id)).collect();
                if batch == BATCHES / 2 {
                    for event in events.drain(..SINGLE_EVENTS) {
                        support::emit(&mut client, event).await;
                    }
                }
                support::emit_all(&mut client, events).await;
            }
        }));
    }
    for emitter in emitters {
        emitter.await.unwrap();
    }
}

/// The whole log, oldest first.
async fn log(client: &mut Client) -> Vec<pb::Record> {
    let mut records = Vec::new();
    let mut request = pb::SearchRequest {
        order: pb::Order::OldestFirst.into(),
        page_size: 1_000,
        ..Default::default()
    };
    loop {
        let page = support::search(client, request.clone()).await;
        records.extend(page.records);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return records;
        }
    }
}

/// A subscriber of everything that does not read.
async fn start_stuck(gateway: &auditgate::server::Gateway) -> Tail {
    let window = 64 * 1024;
    let endpoint = support::endpoint(gateway)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window);
    let mut client = Client::new(endpoint.connect().await.unwrap());
    Tail::open(&mut client, support::latest()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_thousand_gets_what_its_filter_matches() {
    tokio::time::timeout(TIME_MAX, fan_out()).await.expect("it is over in time");
}

async fn fan_out() {
    // A stuck subscriber is kept for as long as the others take.
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = auditgate::server::Config { listen, ..Default::default() };
    config.connections.write_stall = TIME_MAX;
    let gateway = auditgate::server::Gateway::start(config).await.expect("a free port");
    let mut stuck = start_stuck(&gateway).await;
    let mut readers = start_readers(&gateway).await;
    emit_all(&gateway).await;

    let mut client = support::connect(&gateway).await;
    let log = log(&mut client).await;
    assert_eq!(log.len(), EVENTS);
    let expected: Vec<Vec<u64>> = readers
        .iter()
        .map(|reader| {
            let matching = log.iter().filter(|record| {
                (reader.wish.matches)(record, record.event.as_ref().expect("an event"))
            });
            matching.map(|record| record.sequence).collect()
        })
        .collect();
    let some = expected.iter().filter(|expected| !expected.is_empty()).count();
    assert!(some > SUBSCRIBERS * 9 / 10, "only {some} filters match anything");

    // Everyone else has everything while one is stuck.
    for (reader, expected) in readers.iter_mut().zip(&expected) {
        let all = expected.len();
        let enough = tokio::time::timeout(WAIT_MAX, reader.count.wait_for(|count| *count >= all));
        let enough = enough.await.is_ok();
        assert!(enough, "{} of {all} for {:?}", *reader.count.borrow(), reader.wish.filter);
    }
    let status = support::status(&mut client).await;
    assert_eq!(status.subscriber_count, SUBSCRIBERS as u64 + 1);
    let subscribers = status.subscribers;
    let behind = subscribers.iter().filter(|found| found.filter == Some(pb::Filter::default()));
    assert!(behind.clone().any(|found| found.lag > 0), "nobody is stuck: nothing was shown");

    // It has missed nothing either.
    let first = stuck.next().await;
    assert!(first.records.is_empty());
    assert_eq!(sequences(&stuck.records(EVENTS).await), sequences(&log));
    drop(stuck);

    gateway.stop().await;
    for (reader, expected) in readers.into_iter().zip(expected) {
        let seen = reader.seen.await.unwrap();
        assert_eq!(seen, expected, "{:?}", reader.wish.filter);
    }
}
